package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/strongroom/strongroom/internal/journal"
	"github.com/strongroom/strongroom/internal/store"
)

// history is what was changed after a backup, as the audit trail tells it.
type history struct {
	changes []past
	// whole says that it reaches to the end of the trail, as far as the folder shows:
	// it is from the journal itself and no export of some earlier time.
	whole bool
}

// past is a change, as its audit record shows it.
type past struct {
	UserIdentity struct {
		Type, UserName, AccountID string
	}
	EventSource, EventName, EventType, EventID, EventTime string
	AWSRegion, RecipientAccountID, ErrorCode              string
	ReadOnly                                              bool
	RequestParameters                                     map[string]any
	AdditionalEventData                                   struct{ GrantID string }
	Resources                                             []struct {
		AccountID, Type, ARN string
	}
}

// keep adds a record if it is of a change. What a call did to another account's
// resources has two records; the caller's own says all.
func (h *history) keep(record []byte) error {
	var p past
	if err := json.Unmarshal(record, &p); err != nil {
		return err
	}
	if p.ErrorCode == "" && !p.ReadOnly && p.UserIdentity.Type != "AWSAccount" {
		h.changes = append(h.changes, p)
	}
	return nil
}

// readHistory reads what stands in the trail behind the backup: of a data folder that
// no server has open, or of an export. Either must be whole, signed by this
// deployment, go on from the backup, and reach the later checkpoint if there is one.
func (c *checkedBackup) readHistory(ctx context.Context, path string, later []byte) (*history, error) {
	signer, err := journalSigner(c.domain)
	if err != nil {
		return nil, err
	}
	keys := []ed25519.PublicKey{signer.Public().(ed25519.PublicKey)}
	var met []journal.Checkpoint
	for _, text := range [][]byte{[]byte(c.header.Checkpoint), later} {
		if len(text) == 0 {
			continue
		}
		at, err := journal.ParseCheckpoint(string(bytes.TrimSpace(text)))
		if err != nil {
			return nil, err
		}
		met = append(met, at)
	}
	read := c.readExport
	if info, err := os.Stat(path); err != nil {
		return nil, problem("the history "+path+" cannot be read", "Name the old data folder, or a file that `strongroom audit export` has written.", err)
	} else if info.IsDir() {
		read = c.readJournal
	}
	h, err := read(ctx, path, keys, met)
	var wrong *journal.Problem
	if errors.As(err, &wrong) {
		return nil, problem(path+" is not what happened after this backup", "Name another history, or none: keys then come back disabled. Nothing was changed.", err)
	}
	return h, err
}

func (c *checkedBackup) readJournal(ctx context.Context, path string, keys []ed25519.PublicKey, met []journal.Checkpoint) (h *history, err error) {
	if _, err := os.Stat(filepath.Join(path, storeFolder)); err != nil {
		return nil, problem(path+" is no data folder of Strongroom", "Name the folder that the backup is of.", nil)
	}
	backend, err := openStore(slog.Default(), path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, backend.Close()) }()
	report, err := journal.Verify(ctx, journal.VerifyConfig{
		Deployment: c.header.Deployment, Stream: streamName, PublicKeys: keys, Frames: backend, Key: journalKey(c.domain), Later: met,
	})
	if err != nil {
		return nil, err
	}
	reader, err := journal.NewReader(journal.ReaderConfig{
		Deployment: c.header.Deployment, Stream: streamName, Frames: backend, NotFound: store.ErrNotFound, Key: journalKey(c.domain),
	})
	if err != nil {
		return nil, err
	}
	h = &history{whole: true}
	err = reader.All(ctx, func(e journal.Entry) error {
		if e.Seq <= c.header.Frame || e.Seq > report.Last {
			return nil
		}
		return h.keep(e.Record)
	})
	return h, err
}

func (c *checkedBackup) readExport(_ context.Context, path string, keys []ed25519.PublicKey, met []journal.Checkpoint) (*history, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	// What is kept is what was verified: the file is read once.
	lines, fed := io.Pipe()
	h, kept := &history{}, make(chan error, 1)
	go func() {
		err := c.keepLines(h, lines)
		_ = lines.CloseWithError(err) // never fails
		kept <- err
	}()
	report, err := journal.VerifyExport(io.TeeReader(file, fed), keys, met)
	_ = fed.CloseWithError(err) // never fails
	keepErr := <-kept
	switch {
	case err != nil:
		return nil, err
	case keepErr != nil:
		return nil, keepErr
	case report.Filtered:
		return nil, problem(path+" holds a selection of the trail", "A history is whole: strongroom audit export, without filters.", nil)
	case report.Deployment != c.header.Deployment:
		return nil, problem(path+" is of another deployment", "Name an export of the deployment that the backup is of.", nil)
	}
	return h, nil
}

func (c *checkedBackup) keepLines(h *history, lines io.Reader) error {
	in := bufio.NewReader(lines)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 {
			var at struct {
				Strongroom struct{ Seq uint64 }
			}
			if err := json.Unmarshal(line, &at); err != nil {
				return fmt.Errorf("the export: %w", err)
			}
			if at.Strongroom.Seq > c.header.Frame {
				if err := h.keep(line); err != nil {
					return err
				}
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
