package index

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/journal"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/secret"
)

var errNone = errors.New("no frames")

// stream is a journal in memory.
type stream struct {
	mu     sync.Mutex
	first  uint64
	frames [][]byte
}

func (s *stream) LastFrame(context.Context) (uint64, []byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.frames) == 0 {
		return 0, nil, errNone
	}
	return s.first + uint64(len(s.frames)) - 1, s.frames[len(s.frames)-1], nil
}

func (s *stream) Frames(_ context.Context, from uint64, fn func(uint64, []byte) error) error {
	s.mu.Lock()
	frames, first := slices.Clone(s.frames), s.first
	s.mu.Unlock()
	for i, f := range frames {
		if seq := first + uint64(i); seq >= from {
			if err := fn(seq, f); err != nil {
				return err
			}
		}
	}
	return nil
}

// rig is an index over a journal, with what writes to it.
type rig struct {
	t       testing.TB
	clock   *clock.Fake
	stream  *stream
	writer  *journal.Writer
	config  Config
	index   *Index
	log     bytes.Buffer
	records [][]byte // all of them
}

var (
	journalKey = secret.Bytes(bytes.Repeat([]byte{7}, 32))
	signer     = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, ed25519.SeedSize))
	began      = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

func newRig(t testing.TB, segmentRecords int) *rig {
	r := &rig{t: t, clock: clock.NewFake(began), stream: &stream{first: 1}}
	r.open()
	key := func(uint32) (secret.Bytes, error) { return journalKey, nil }
	reader, err := journal.NewReader(journal.ReaderConfig{
		Deployment: "test", Stream: "store", Frames: r.stream, NotFound: errNone, Key: key,
	})
	if err != nil {
		t.Fatal(err)
	}
	trust, err := seal.CreateFileRoot(filepath.Join(t.TempDir(), "root.key"), nil)
	if err != nil {
		t.Fatal(err)
	}
	domain, _, err := seal.Create(context.Background(), trust, "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	box, err := domain.Box(seal.LabelRecordIndex)
	if err != nil {
		t.Fatal(err)
	}
	r.config = Config{
		Dir: filepath.Join(t.TempDir(), "index"), Reader: reader, Box: box, TermKey: bytes.Repeat([]byte{3}, 32),
		Rand: rand.Reader, Log: slog.New(slog.NewTextHandler(&r.log, nil)), SegmentRecords: segmentRecords,
	}
	r.start()
	return r
}

// open makes the writer go on from where the stream is.
func (r *rig) open() {
	w, err := journal.Open(context.Background(), journal.Config{
		Deployment: "test", Stream: "store", Key: journalKey, KeyVersion: 1, Signer: signer, Clock: r.clock,
		Frames: r.stream, NotFound: errNone,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.writer = w
}

// start opens the index, as a process does.
func (r *rig) start() {
	r.t.Helper()
	ix, err := Open(context.Background(), r.config)
	if err != nil {
		r.t.Fatal(err)
	}
	r.index = ix
}

// commit writes one frame; without records it holds a checkpoint alone.
func (r *rig) commit(records ...journal.Record) {
	r.t.Helper()
	var lines [][]byte
	for _, record := range records {
		lines = append(lines, record.AppendJSON(nil))
	}
	r.records = append(r.records, lines...)
	_, frame, err := r.writer.Frame(lines)
	if err != nil {
		r.t.Fatal(err)
	}
	r.stream.mu.Lock()
	r.stream.frames = append(r.stream.frames, frame)
	r.stream.mu.Unlock()
}

const (
	account = "111122223333"
	region  = "us-east-1"
)

func keyARN(id string) string { return "arn:aws:kms:" + region + ":" + account + ":key/" + id }

// event is a record of a call on a key.
func (r *rig) event(name, user, key string) journal.Record {
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		r.t.Fatal(err)
	}
	return journal.Record{
		UserIdentity: journal.UserIdentity{
			Type: "IAMUser", PrincipalID: "AIDA" + user, ARN: "arn:aws:iam::" + account + ":user/" + user,
			AccountID: account, AccessKeyID: "AKIA" + user, UserName: user,
		},
		EventTime: r.clock.Now(), EventSource: "kms.amazonaws.com", EventName: name, AWSRegion: region,
		SourceIPAddress: "192.0.2.1", RequestParameters: fmt.Appendf(nil, `{"keyId":"alias/%s","encryptionContext":{"a":"b"}}`, key),
		RequestID: "r", EventID: journal.NewUUID(id), ReadOnly: name != "CreateKey",
		Resources: []journal.Resource{{AccountID: account, Type: "AWS::KMS::Key", ARN: keyARN(key)}},
		EventType: journal.AwsApiCall, RecipientAccountID: account,
	}
}

// find returns the numbers that a query finds, at most limit.
func (r *rig) find(q Query, newest bool, limit int) []uint64 {
	r.t.Helper()
	var out []uint64
	walk := r.index.Oldest
	if newest {
		walk = r.index.Newest
	}
	err := walk(context.Background(), q, func(f Found) (bool, error) {
		if want := r.records[f.Number-1]; !bytes.Equal(want, f.Record) {
			r.t.Errorf("record %d is shown as %s", f.Number, f.Record)
		}
		out = append(out, f.Number)
		return len(out) < limit, nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

func inScope(kind Kind, value string) Query {
	return Query{Terms: []Term{{Kind: kind, Scope: Scope{account, region}, Value: value}}}
}
