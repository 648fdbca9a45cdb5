package server

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/journal"
	"github.com/strongroom/strongroom/internal/journal/index"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
)

// trail is the audit trail of an open data folder, as the command line asks for
// it.
type trail struct {
	frames journal.Frames
	reader *journal.Reader
	// records finds records; nil for the folder of a stopped server, which is
	// read through.
	records *index.Index
	// settle brings into the trail what a node has taken and not sent yet; nil for a
	// stopped server.
	settle func(context.Context)
	// keys is the server's store; nil for a stopped one.
	keys   *store.Store
	folder *folder
	random io.Reader
	now    func() time.Time
	signer crypto.Signer
	public ed25519.PublicKey
	key    func(version uint32) (secret.Bytes, error)
	name   string // of the deployment
}

var _ admin.Source = (*trail)(nil)

func newTrail(f *folder) (*trail, error) {
	signer, err := journalSigner(f.domain)
	if err != nil {
		return nil, err
	}
	reader, err := f.journalReader()
	if err != nil {
		return nil, err
	}
	return &trail{
		frames: f.backend, reader: reader, signer: signer, public: signer.Public().(ed25519.PublicKey),
		key: journalKey(f.domain), name: f.domain.Deployment(),
		folder: f, random: rand.Reader, now: machineClock.Now,
	}, nil
}

func (f *folder) journalReader() (*journal.Reader, error) {
	return journal.NewReader(journal.ReaderConfig{
		Deployment: f.domain.Deployment(), Stream: streamName, Frames: f.backend, NotFound: store.ErrNotFound, Key: journalKey(f.domain), Recent: &f.recent,
	})
}

// journalSigner returns the key that signs checkpoints and exports. It comes from
// the first version of the domain key, so that one public key verifies all.
func journalSigner(domain *seal.Domain) (ed25519.PrivateKey, error) {
	seed, err := domain.Derive(firstVersion, seal.LabelJournalSigning)
	if err != nil {
		return nil, err
	}
	defer seed.Wipe()
	return ed25519.NewKeyFromSeed(seed), nil
}

// journalKey returns what knows the journal keys of all versions. It remembers
// them: a reader asks for each frame.
func journalKey(domain *seal.Domain) func(version uint32) (secret.Bytes, error) {
	var known sync.Map // version → secret.Bytes
	return func(version uint32) (secret.Bytes, error) {
		if key, ok := known.Load(version); ok {
			return key.(secret.Bytes), nil
		}
		key, err := domain.Derive(version, seal.LabelJournalSealing)
		if err == nil {
			known.Store(version, key)
		}
		return key, err
	}
}

func (t *trail) settled(ctx context.Context) {
	if t.settle != nil {
		t.settle(ctx)
	}
}

// followEvery is how often a follower looks for new frames.
const followEvery = 200 * time.Millisecond

// Tail implements [admin.Source].
func (t *trail) Tail(ctx context.Context, n int, follow bool, emit func([]byte) error) error {
	t.settled(ctx)
	next, _, err := t.frames.LastFrame(ctx)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	next++
	// A frame that is committed between the two reads is shown once: Tail leaves
	// out what follow will begin with.
	err = t.reader.Tail(ctx, n, func(e journal.Entry) error {
		if e.Seq >= next {
			return nil
		}
		return emit(e.Record)
	})
	for follow && err == nil {
		wake, stop := machineClock.Wake(machineClock.Now().Add(followEvery))
		select {
		case <-wake:
		case <-ctx.Done():
			stop()
			return ctx.Err()
		}
		stop()
		err = t.reader.From(ctx, next, func(e journal.Entry) error {
			next = e.Seq + 1
			return emit(e.Record)
		})
	}
	return err
}

// Search implements [admin.Source].
func (t *trail) Search(ctx context.Context, f admin.Filter, emit func([]byte) error) error {
	t.settled(ctx)
	if t.records != nil {
		if found, err := searchIndex(ctx, t.records, f, emit); found {
			return err
		}
	}
	// A record's time is that of its call's arrival, a frame's that of its
	// commit: what arrived before Until may have been committed a little later.
	return t.reader.Range(ctx, f.Since, time.Time{}, func(e journal.Entry) error {
		match, err := f.Match(e.Record)
		if err != nil || !match {
			return err
		}
		return emit(e.Record)
	})
}

// Export implements [admin.Source].
func (t *trail) Export(ctx context.Context, f admin.Filter, emit func([]byte) error) error {
	t.settled(ctx)
	lines := &lineWriter{emit: emit}
	var keep func([]byte) bool
	var failed error
	if f != (admin.Filter{}) {
		keep = func(record []byte) bool {
			match, err := f.Match(record)
			failed = errors.Join(failed, err)
			return match
		}
	}
	if err := t.reader.Export(ctx, lines, t.signer, keep); err != nil {
		return err
	}
	return failed
}

// lineWriter hands on whole lines.
type lineWriter struct {
	emit    func([]byte) error
	pending []byte
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.pending = append(w.pending, p...)
	for {
		line, rest, found := bytes.Cut(w.pending, []byte{'\n'})
		if !found {
			return len(p), nil
		}
		if err := w.emit(line); err != nil {
			return 0, err
		}
		w.pending = append(w.pending[:0], rest...)
	}
}

// Verify implements [admin.Source].
func (t *trail) Verify(ctx context.Context, opts admin.VerifyOptions, _ func(admin.Progress)) (admin.Report, error) {
	t.settled(ctx)
	keys, later, err := verifyWith(opts, t.public)
	if err != nil {
		return admin.Report{}, err
	}
	report, err := journal.Verify(ctx, journal.VerifyConfig{
		Deployment: t.name, Stream: streamName, PublicKeys: keys, Frames: t.frames, Key: t.key, Later: later,
	})
	shown, err := adminReport(report, err)
	if err != nil {
		return shown, err
	}
	live, err := t.folder.checkRecords(ctx, t.keys)
	shown.Stored, shown.Changed = live.Records, live.Findings
	return shown, err
}

func verifyWith(opts admin.VerifyOptions, public ed25519.PublicKey) (keys []ed25519.PublicKey, later []journal.Checkpoint, err error) {
	keys = []ed25519.PublicKey{public}
	if len(opts.PublicKey) > 0 {
		if keys, err = journal.ParsePublicKeys(opts.PublicKey); err != nil {
			return nil, nil, err
		}
	}
	if len(opts.Checkpoint) > 0 {
		checkpoint, err := journal.ParseCheckpoint(string(bytes.TrimSpace(opts.Checkpoint)))
		if err != nil {
			return nil, nil, problem("--checkpoint does not hold a checkpoint",
				`It is the text of "checkpoint" in the report of: strongroom audit verify --json`, err)
		}
		later = append(later, checkpoint)
	}
	return keys, later, nil
}

// adminReport puts what a verification found into the command line's form.
func adminReport(r *journal.Report, err error) (admin.Report, error) {
	report := admin.Report{Records: r.Records, Frames: r.Frames, Checkpoints: r.Checkpoints, Unanchored: r.UnsignedRecords, Removed: r.RemovedRecords}
	if r.Checkpoint != nil {
		report.Checkpoint = r.Checkpoint.String()
	}
	var wrong *journal.Problem
	switch {
	case errors.As(err, &wrong):
		report.Fault = &admin.Fault{Problem: wrong.Error()}
	case err != nil:
		return report, err
	}
	return report, nil
}

// Audit is the audit trail of a data folder that no server has open. It is an
// [admin.Source] that does not follow.
type Audit interface {
	admin.Source
	io.Closer
}

type closedTrail struct{ *trail }

func (t closedTrail) Close() error { return t.folder.close() }

// OpenAudit opens the audit trail in a data folder for reading. It is refused while a
// server has the folder.
func OpenAudit(ctx context.Context, in Folder) (Audit, error) {
	f, err := openExisting(ctx, in)
	if err != nil {
		return nil, err
	}
	t, err := newTrail(f)
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	return closedTrail{t}, nil
}

// VerifyExport checks an export, read to its end, as [admin.Source.Verify] checks
// a trail. dataDir is where the public key is looked up when opts has none; it
// may then be open in a server.
func VerifyExport(_ context.Context, dataDir string, export io.Reader, opts admin.VerifyOptions) (admin.Report, error) {
	if len(opts.PublicKey) == 0 {
		text, err := os.ReadFile(filepath.Join(dataDir, publicKeyFile))
		if err != nil {
			return admin.Report{}, problem("there is no public key to verify with", "Name the data folder with --data, or the key's file with --public-key.", err)
		}
		opts.PublicKey = text
	}
	keys, later, err := verifyWith(opts, nil)
	if err != nil {
		return admin.Report{}, err
	}
	return adminReport(journal.VerifyExport(export, keys, later))
}

// listenAdmin opens the command line's way in.
func (s *Server) listenAdmin() (*admin.Server, error) {
	t, err := newTrail(s.folder)
	if err != nil {
		return nil, err
	}
	t.records, t.keys, t.random, t.now, t.settle = s.records, s.store, s.cfg.rand(), s.clock.Now, s.settle
	return admin.Listen(admin.Config{
		SocketDir: s.cfg.DataDir, Log: s.cfg.Log, Clock: s.clock, Audit: t, Operator: &operator{Server: s},
		Seals:     &operator{Server: s},
		Doctor:    &operator{Server: s},
		Buckets:   buckets{&operator{Server: s}},
		XKS:       s.manageXKS,
		HSMSlots:  s.manageHSMSlots,
		Backups:   s,
		Retention: s.retain,
		Approvals: &operator{Server: s},
		Record:    s.recordAdmin,
	})
}

// recordAdmin records a request over the admin socket. If it changes nothing, that is
// possible on a full disk too: it is then that an operator looks at things, and who
// reaches the socket could fill the disk anyway.
func (s *Server) recordAdmin(ctx context.Context, e admin.AdminEvent) error {
	record, err := s.adminRecord(e, nil)
	if err != nil {
		return err
	}
	if !e.ReadOnly {
		return s.store.Append(ctx, record)
	}
	return s.store.AppendUrgent(ctx, record)
}

// adminRecord is the audit record of what the command line asks. Its caller is a
// user of this machine, known by uid and process id alone.
func (s *Server) adminRecord(e admin.AdminEvent, refused error) ([]byte, error) {
	var id [16]byte
	if _, err := io.ReadFull(s.cfg.rand(), id[:]); err != nil {
		return nil, err
	}
	params, err := json.Marshal(e.Params)
	if err != nil {
		return nil, err
	}
	r := journal.Record{
		UserIdentity: journal.UserIdentity{
			Type: "Unknown", AccountID: s.cfg.Account,
			PrincipalID: fmt.Sprintf("uid:%d", e.UID), UserName: fmt.Sprintf("uid:%d pid:%d", e.UID, e.PID),
		},
		EventTime:          e.Time,
		EventSource:        "strongroom.local",
		EventName:          e.Name,
		AWSRegion:          s.cfg.Regions[0],
		SourceIPAddress:    "admin.sock",
		RequestParameters:  params,
		EventID:            journal.NewUUID(id),
		ReadOnly:           e.ReadOnly,
		EventType:          journal.AwsApiCall,
		RecipientAccountID: s.cfg.Account,
	}
	if refused != nil {
		r.ErrorCode, r.ErrorMessage = "Refused", refused.Error()
	}
	return r.AppendJSON(nil), nil
}
