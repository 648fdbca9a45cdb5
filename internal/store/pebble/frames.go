package pebble

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/strongroom/strongroom/internal/store"
)

// frames knows which journal frames are durable. Pebble shows a frame before it
// is synced; readers stop at the last one that is.
type frames struct {
	mu   sync.Mutex
	some bool
	last uint64
}

// follows refuses a frame that leaves a gap or overwrites another.
func (f *frames) follows(batch store.Batch) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if batch.Frame != nil && f.some && batch.Seq != f.last+1 {
		return fmt.Errorf("pebble: journal frame %d cannot follow frame %d", batch.Seq, f.last)
	}
	return nil
}

func (f *frames) add(batch store.Batch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if batch.Frame != nil {
		f.some, f.last = true, batch.Seq
	}
}

func (f *frames) durable() (last uint64, some bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last, f.some
}

func (b *Backend) findLastFrame() (err error) {
	it, err := b.db.NewIter(&pebble.IterOptions{LowerBound: []byte{areaJournal}, UpperBound: afterFrames})
	if err != nil {
		return corruption(err)
	}
	defer func() { err = errors.Join(err, closeIter(it)) }()
	if it.Last() {
		if b.frames.last, err = frameSeq(it.Key()); err != nil {
			return err
		}
		b.frames.some = true
	}
	return nil
}

func frameSeq(key []byte) (uint64, error) {
	if len(key) != 9 {
		return 0, fmt.Errorf("%w: malformed key of a journal frame", store.ErrCorrupt)
	}
	return binary.BigEndian.Uint64(key[1:]), nil
}

// LastFrame implements store.JournalReader.
func (b *Backend) LastFrame(context.Context) (seq uint64, frame []byte, err error) {
	last, some := b.frames.durable()
	if !some {
		return 0, nil, fmt.Errorf("%w: the journal has no frames", store.ErrNotFound)
	}
	frame, err = b.read(b.db, frameKey(last))
	return last, frame, err
}

// RemoveFrames implements store.Backend: all of them in one batch. The space comes
// back as Pebble merges its files.
func (b *Backend) RemoveFrames(_ context.Context, through uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.failure.get(); err != nil {
		return err
	}
	if last, some := b.frames.durable(); !some || through >= last {
		return fmt.Errorf("pebble: journal frames up to %d cannot be removed: the last one is %d", through, last)
	}
	return b.apply(func(p *pebble.Batch) error { return p.DeleteRange(frameKey(0), frameKey(through+1), nil) })
}

// Frames implements store.JournalReader.
func (b *Backend) Frames(ctx context.Context, from uint64, fn func(seq uint64, frame []byte) error) error {
	last, some := b.frames.durable()
	if !some || from > last {
		return nil
	}
	var stopped error
	err := scan(b.db, frameKey(from), append(frameKey(last), 0), func(key, value []byte) bool {
		seq, err := frameSeq(key)
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = fn(seq, value)
		}
		stopped = err
		return err == nil
	})
	if stopped != nil {
		return stopped
	}
	return err
}
