package pebble

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/strongroom/strongroom/internal/store"
)

var _ store.Loader = (*Backend)(nil)

// Load implements store.Loader. As after Commit, an error stops the backend.
func (b *Backend) Load(_ context.Context, epoch uint64, records []store.Write, frames []store.Frame) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.failure.get(); err != nil {
		return err
	}
	if err := b.cfg.room(b.cfg.Reserve); err != nil {
		return err
	}
	last, some := b.frames.durable()
	for _, f := range frames {
		if some && f.Seq != last+1 {
			return fmt.Errorf("pebble: journal frame %d cannot follow frame %d", f.Seq, last)
		}
		last, some = f.Seq, true
	}
	err := b.apply(func(p *pebble.Batch) error {
		if err := fill(p, store.Batch{Writes: records}); err != nil {
			return err
		}
		for _, f := range frames {
			if err := p.Set(frameKey(f.Seq), f.Bytes, nil); err != nil {
				return err
			}
		}
		return p.Set(metaKey(metaEpoch), binary.BigEndian.AppendUint64(nil, epoch), nil)
	})
	if err != nil {
		return err
	}
	b.committed = epoch
	if len(frames) > 0 {
		b.frames.add(store.Batch{Frame: frames[len(frames)-1].Bytes, Seq: last})
	}
	return nil
}
