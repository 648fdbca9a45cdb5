// Package storetest is the contract of a store's backend as a test suite, and
// what tests of the store and of what stands on it need: a store in memory, a
// sealer, a journal, and backends that misbehave on demand.
package storetest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/pebble"
)

// New returns a store in memory that runs the function of every Update at least
// twice when it commits, so that one which can't be run again shows. It has a
// journal, and ends with the test.
func New(t testing.TB) *store.Store {
	t.Helper()
	s, _ := NewWithBackend(t)
	return s
}

// NewWithBackend is New, with the backend to look into.
func NewWithBackend(t testing.TB) (*store.Store, store.Backend) {
	t.Helper()
	b := Memory(t)
	return Open(t, Conflicting(b)), b
}

// Memory returns an empty backend in memory.
func Memory(t testing.TB) store.Backend {
	t.Helper()
	b, err := pebble.Open(pebble.Config{Dir: "data", FS: vfs.NewMem(), Fatal: failer(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("closing the backend: %v", err)
		}
	})
	return b
}

// Open returns a store over a backend, with a Sealer and a Journal of this
// package, that ends with the test. A failed commit fails the test.
func Open(t testing.TB, b store.Backend) *store.Store {
	t.Helper()
	return OpenConfig(t, store.Config{Backend: b, Fatal: failer(t)})
}

// OpenConfig is Open for a configuration whose empty Sealer and Journal are
// filled in.
func OpenConfig(t testing.TB, cfg store.Config) *store.Store {
	t.Helper()
	if cfg.Sealer == nil {
		cfg.Sealer = new(Sealer)
	}
	if cfg.Journal == nil {
		j, err := NewJournal(context.Background(), cfg.Backend)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Journal = j
	}
	s, err := store.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func failer(t testing.TB) func(error) {
	return func(err error) { t.Errorf("the store failed: %v", err) }
}

// Sealer has a fixed key for each version of the domain key from 1 to Current.
// The zero Sealer is at version 1. It is for tests: its keys are no secret.
type Sealer struct{ rotations atomic.Uint32 }

// Current implements store.Sealer.
func (s *Sealer) Current() uint32 { return s.rotations.Load() + 1 }

// Rotate begins the next version.
func (s *Sealer) Rotate() { s.rotations.Add(1) }

// Key implements store.Sealer.
func (s *Sealer) Key(version uint32) (secret.Bytes, error) {
	if version < 1 || version > s.Current() {
		return nil, fmt.Errorf("%w: domain key %d", store.ErrNotFound, version)
	}
	key := sha256.Sum256(binary.BigEndian.AppendUint32([]byte("storetest"), version))
	return key[:], nil
}
