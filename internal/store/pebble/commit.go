package pebble

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/strongroom/strongroom/internal/store"
)

// Prepare implements store.Backend. There is no other node: a base that is not
// the folder's epoch is a mistake of the caller's.
func (b *Backend) Prepare(_ context.Context, base uint64) error {
	return b.prepare(base, b.cfg.Reserve)
}

var _ store.Reserver = (*Backend)(nil)

// PrepareUrgent implements store.Reserver.
func (b *Backend) PrepareUrgent(_ context.Context, base uint64) error {
	return b.prepare(base, b.cfg.Reserve/2)
}

func (b *Backend) prepare(base, reserve uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.failure.get(); err != nil {
		return err
	}
	if b.committed != base {
		return fmt.Errorf("%w: the folder is at epoch %d, the commit builds upon %d", store.ErrConflict, b.committed, base)
	}
	return b.cfg.room(reserve)
}

// Ready implements store.Backend. It takes no lock that a commit holds.
func (b *Backend) Ready(context.Context) error {
	if err := b.failure.get(); err != nil {
		return err
	}
	return b.cfg.room(b.cfg.Reserve)
}

// room returns store.ErrFull when less than need bytes are free.
func (c *Config) room(need uint64) error {
	usage, err := c.FS.GetDiskUsage(c.Dir)
	switch {
	case errors.Is(err, vfs.ErrUnsupported):
		return nil
	case err != nil:
		return fmt.Errorf("pebble: asking for free space: %w", err)
	case usage.AvailBytes < need:
		return fmt.Errorf("%w: %d MiB are free at %s and %d MiB are needed",
			store.ErrFull, usage.AvailBytes>>20, c.Dir, need>>20)
	}
	return nil
}

// Commit implements store.Backend. A write that Pebble can't take ends in an
// error, in a panic or in a call of Fatalf, depending on where it stands; all
// three stop the backend for good.
func (b *Backend) Commit(_ context.Context, batch store.Batch) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.failure.get(); err != nil {
		return err
	}
	if err := b.frames.follows(batch); err != nil {
		b.failure.set(err)
		return err
	}
	if err := b.apply(func(p *pebble.Batch) error { return fill(p, batch) }); err != nil {
		return err
	}
	b.frames.add(batch)
	if len(batch.Writes) > 0 {
		b.committed = batch.Epoch
	}
	return nil
}

func fill(p *pebble.Batch, batch store.Batch) error {
	for _, w := range batch.Writes {
		key := append([]byte{areaRecord}, w.Key...)
		var err error
		if w.Value == nil {
			err = p.Delete(key, nil)
		} else {
			err = p.Set(key, w.Value, nil)
		}
		if err != nil {
			return err
		}
	}
	if batch.Frame != nil {
		if err := p.Set(frameKey(batch.Seq), batch.Frame, nil); err != nil {
			return err
		}
	}
	if len(batch.Writes) == 0 {
		// The epoch is as it was. To write it all the same would put a key behind
		// the frames into every table, so that no table could move down a level
		// as it is: each frame would be compacted again and again.
		return nil
	}
	return p.Set(metaKey(metaEpoch), binary.BigEndian.AppendUint64(nil, batch.Epoch), nil)
}

// apply writes one batch, synced. Any error, and any panic in Pebble, is a
// failure: whether the batch is on disk is unknown.
func (b *Backend) apply(fill func(*pebble.Batch) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("pebble: committing: %v", p)
		}
		if err != nil {
			b.failure.set(err)
		}
	}()
	batch := b.db.NewBatch()
	if err := fill(batch); err != nil {
		return err
	}
	if err := b.db.Apply(batch, durable); err != nil {
		return err
	}
	// Apply returns nil after Fatalf has returned.
	if err := b.failure.get(); err != nil {
		return err
	}
	return batch.Close()
}

func (b *Backend) findEpoch() (err error) {
	b.committed, err = b.epoch(b.db)
	return err
}

func (b *Backend) epoch(in pebble.Reader) (uint64, error) {
	raw, err := b.read(in, metaKey(metaEpoch))
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if len(raw) != 8 {
		return 0, fmt.Errorf("%w: the epoch of %s", store.ErrCorrupt, b.cfg.Dir)
	}
	return binary.BigEndian.Uint64(raw), nil
}
