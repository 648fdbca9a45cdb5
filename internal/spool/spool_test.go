package spool

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"

	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/journal"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/storetest"
)

// rig is a spool between two stores in memory.
type rig struct {
	shared, local store.Backend
	key           secret.Bytes
	signer        ed25519.PrivateKey
}

func newRig(t *testing.T) *rig {
	_, signer, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &rig{storetest.Memory(t), storetest.Memory(t), make(secret.Bytes, 32), signer}
}

// open starts a node anew.
func (r *rig) open(t *testing.T) (*Spool, error) {
	t.Helper()
	ctx := t.Context()
	w, err := journal.Open(ctx, journal.Config{Deployment: "d", Stream: "node", Key: r.key, KeyVersion: 1, Signer: r.signer,
		Clock: clock.System(), Frames: r.local, NotFound: store.ErrNotFound})
	if err != nil {
		t.Fatal(err)
	}
	reader, err := journal.NewReader(journal.ReaderConfig{Deployment: "d", Stream: "node", Frames: r.local, NotFound: store.ErrNotFound,
		Key: func(uint32) (secret.Bytes, error) { return r.key, nil }})
	if err != nil {
		t.Fatal(err)
	}
	return New(ctx, Config{
		Node: "node", Frames: r.local, Reader: reader, Clock: clock.System(), Log: slog.New(slog.DiscardHandler),
		Local:  storetest.OpenConfig(t, store.Config{Backend: r.local, Journal: w}),
		Shared: storetest.Open(t, storetest.Conflicting(r.shared)),
	})
}

func (s *Spool) stop(t *testing.T) {
	if err := errors.Join(s.Local.Close(), s.Shared.Close()); err != nil {
		t.Error(err)
	}
}

// TestEachRecordOnce takes and moves records in every order, with the node started
// anew in between: each is in the database's journal once, in order.
func TestEachRecordOnce(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	var want []string
	for range 5 {
		s, err := r.open(t)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 7 {
			record := fmt.Sprintf(`{"n":%d}`, len(want))
			other := fmt.Sprintf(`{"of":%d}`, len(want))
			if err := s.Append(ctx, []byte(record), []byte(other)); err != nil {
				t.Fatal(err)
			}
			want = append(want, record, other)
			if i%3 == 1 {
				if err := s.Move(ctx); err != nil {
					t.Fatal(err)
				}
			}
		}
		s.stop(t)
	}
	s, err := r.open(t)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Move(ctx); err != nil {
		t.Fatal(err)
	}
	got, err := storetest.Records(ctx, r.shared)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("the database's journal holds %q, %v; want %q", got, err, want)
	}
	left := 0
	if err := r.local.Frames(ctx, 0, func(uint64, []byte) error { left++; return nil }); err != nil || left != 1 {
		t.Errorf("%d frames are left on the node, %v; want the last", left, err)
	}
}

// TestUnknownCommit: a move whose outcome was not known is looked up, not made again.
func TestUnknownCommit(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	s, err := r.open(t)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Append(ctx, []byte(`{"n":1}`)); err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(ctx)
	defer s.Shared.Watch(positions.Name(), func(store.Change) { cancel() })() // durable, and nobody is told
	if err := s.Move(gone); err != nil && !errors.Is(err, store.ErrUnknown) {
		t.Fatal(err)
	}
	if err := s.Move(ctx); err != nil {
		t.Fatal(err)
	}
	if got, err := storetest.Records(ctx, r.shared); err != nil || len(got) != 1 {
		t.Errorf("the database's journal holds %q, %v", got, err)
	}
}

// TestCut: a node that comes back without what it had moved, or with another stream,
// is refused.
func TestCut(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	s, err := r.open(t)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := errors.Join(s.Append(ctx, []byte(`{"n":1}`)), s.Move(ctx)); err != nil {
			t.Fatal(err)
		}
	}
	s.stop(t)
	r.local = storetest.Memory(t)
	if _, err := r.open(t); !errors.Is(err, ErrCut) {
		t.Errorf("an empty stream: %v, want ErrCut", err)
	}
	other := &rig{shared: storetest.Memory(t), local: r.local, key: r.key, signer: r.signer}
	s, err = other.open(t)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if err := s.Append(ctx, []byte(`{"other":1}`)); err != nil {
			t.Fatal(err)
		}
	}
	s.stop(t)
	if _, err := r.open(t); !errors.Is(err, ErrCut) {
		t.Errorf("another stream: %v, want ErrCut", err)
	}
}
