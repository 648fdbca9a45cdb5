package store

import (
	"context"
	"errors"

	"github.com/strongroom/strongroom/internal/secret"
)

// Image is the store and its journal at one commit, as they are kept: sealed. It is
// used by one goroutine, during [Store.Image] only.
type Image struct {
	store *Store
	state Snapshot
	// Epoch is that of the records, Frame the number of the last journal frame,
	// which is a checkpoint of just this state.
	Epoch, Frame uint64
}

// Image makes a checkpoint and calls fn with the state that it covers, while the
// store goes on. The state takes space on disk until fn returns, and Close waits for
// it. Errors are as for Update, or fn's.
func (s *Store) Image(ctx context.Context, fn func(*Image) error) error {
	if s.journal == nil {
		return ErrNoJournal
	}
	taken := &Image{store: s}
	var snap *snapshot
	err := s.appendAlone(ctx, func(frame uint64) {
		s.mu.Lock()
		defer s.mu.Unlock()
		snap = s.durable
		snap.users++
		taken.state, taken.Epoch, taken.Frame = snap.state, snap.state.Epoch(), frame
	})
	if err != nil {
		return err
	}
	defer s.views.Done()
	defer s.release(snap)
	return fn(taken)
}

// Records calls fn with every key and sealed value until it returns an error, which
// Records returns. The slices are valid during the call.
func (i *Image) Records(ctx context.Context, fn func(key, value []byte) error) error {
	var stopped error
	n := 0
	err := i.state.Scan(nil, []byte{0xff}, func(key, value []byte) bool {
		if n++; n%256 == 0 {
			stopped = ctx.Err()
		}
		if stopped == nil {
			stopped = fn(key, value)
		}
		return stopped == nil
	})
	return errors.Join(stopped, err)
}

// Frames calls fn with the journal's frames up to the image's until it returns an
// error, which Frames returns.
func (i *Image) Frames(ctx context.Context, fn func(seq uint64, frame []byte) error) error {
	return i.store.backend.Frames(ctx, 0, func(seq uint64, frame []byte) error {
		if seq > i.Frame {
			return nil
		}
		return fn(seq, frame)
	})
}

// Check is [Store.CheckLive] for the image.
func (i *Image) Check(ctx context.Context, key secret.Bytes) (LiveReport, error) {
	return i.store.checkLive(ctx, i.state, key, nil)
}

// Loader is a backend that takes an image. Whole backends are loaded, never parts.
type Loader interface {
	// Load writes records, and frames in order, and returns when they are durable.
	// The epoch is written with them. Frames follow those that there are.
	Load(ctx context.Context, epoch uint64, records []Write, frames []Frame) error
}

// Frame is a journal frame and its number.
type Frame struct {
	Seq   uint64
	Bytes []byte
}

// LiveCheck compares records with the live set among them, one after the other.
type LiveCheck struct {
	store *Store
	mac   liveMAC
	want  *liveSet
	seen  liveSet
}

// NewLiveCheck returns a check of records that sealer opens.
func NewLiveCheck(sealer Sealer, key secret.Bytes) *LiveCheck {
	return &LiveCheck{store: &Store{sealer: sealer}, mac: newLiveMAC(key)}
}

// Add opens a record and counts it in. It returns ErrCorrupt for one that does not
// open.
func (c *LiveCheck) Add(key, value []byte) error {
	h, text, err := c.store.unseal(key, value)
	if err != nil {
		return err
	}
	if string(key) == string(liveKey) {
		c.want, err = decodeLive(text)
		return err
	}
	e := c.mac.element(key, value)
	c.seen.cells[e.cell].add(e)
	c.seen.epoch = max(c.seen.epoch, h.version)
	return nil
}

// Done returns nil when the records are all those of the epoch, and those that
// signed, the state of a checkpoint, stands for.
func (c *LiveCheck) Done(epoch uint64, signed []byte) error {
	if c.want == nil {
		return corrupt(liveKey, "it is missing")
	}
	if err := c.want.checkSigned(c.mac, epoch, signed); err != nil {
		return err
	}
	if c.want.cells != c.seen.cells || c.seen.epoch > epoch {
		return corrupt(liveKey, "the records are not those that it counts")
	}
	return nil
}
