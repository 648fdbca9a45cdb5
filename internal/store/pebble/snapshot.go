package pebble

import (
	"context"

	"github.com/cockroachdb/pebble/v2"

	"github.com/strongroom/strongroom/internal/store"
)

type snapshot struct {
	b     *Backend
	snap  *pebble.Snapshot
	epoch uint64
}

// Snapshot implements store.Backend. Pebble shows a batch before it is synced,
// hence the wait for a commit that is under way.
func (b *Backend) Snapshot(context.Context) (store.Snapshot, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.failure.get(); err != nil {
		return nil, err
	}
	snap := b.db.NewSnapshot()
	epoch, err := b.epoch(snap)
	if err != nil {
		_ = snap.Close()
		return nil, err
	}
	return &snapshot{b: b, snap: snap, epoch: epoch}, nil
}

func (s *snapshot) Epoch() uint64 { return s.epoch }

func (s *snapshot) Get(key []byte) ([]byte, error) {
	return s.b.read(s.snap, append([]byte{areaRecord}, key...))
}

func (s *snapshot) Scan(from, to []byte, fn func(key, value []byte) bool) error {
	lower, upper := append([]byte{areaRecord}, from...), append([]byte{areaRecord}, to...)
	return scan(s.snap, lower, upper, func(key, value []byte) bool { return fn(key[1:], value) })
}

func (s *snapshot) Close() error {
	if s.b.failure.get() != nil {
		return nil // Pebble may hold its locks for ever
	}
	return s.snap.Close()
}
