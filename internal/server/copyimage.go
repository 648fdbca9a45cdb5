package server

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"iter"

	"github.com/strongroom/strongroom/internal/store"
)

func publicKeys(signer ed25519.PrivateKey) []ed25519.PublicKey {
	return []ed25519.PublicKey{signer.Public().(ed25519.PublicKey)}
}

// Bounds of one step of a copy: it is one transaction, or one sync.
const (
	copyBytes = 1 << 20
	copyMost  = 1000
)

// copyImage checks an image, writes it into the target, reads all back and compares.
func (c *storeCopy) copyImage(ctx context.Context, o *operator, image *store.Image, note moveNote) error {
	live, err := o.folder.liveKey()
	if err != nil {
		return err
	}
	c.Progress("checking the records", 0, 0)
	report, err := image.Check(ctx, live)
	if err == nil {
		err = report.Err()
	}
	if errors.Is(err, store.ErrRolledBack) || errors.Is(err, store.ErrCorrupt) {
		return changedRecords(err)
	}
	if err != nil {
		return err
	}
	trail, err := c.checkTrail(ctx, o, image.Frame)
	if err != nil {
		return err
	}
	c.out.AuditRecords, c.out.Checkpoint = trail.Records, trail.Checkpoint.String()
	if err := c.target.vacate(ctx, note); err != nil {
		return err
	}
	if err := c.load(ctx, image, report.Records); err != nil {
		return err
	}
	return c.compare(ctx, o, image, report.Records)
}

// load writes an image into the target.
func (c *storeCopy) load(ctx context.Context, image *store.Image, total uint64) (err error) {
	backend, err := c.target.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, backend.Close()) }()
	var records []store.Write
	var frames []store.Frame
	size, done := 0, uint64(0)
	flush := func() error {
		if len(records)+len(frames) == 0 {
			return nil
		}
		err := backend.Load(ctx, image.Epoch, records, frames)
		records, frames, size = nil, nil, 0
		return errors.Join(err, ctx.Err())
	}
	full := func(n int) bool {
		size += n
		return size >= copyBytes || len(records)+len(frames) >= copyMost
	}
	err = image.Records(ctx, func(key, value []byte) error {
		records = append(records, store.Write{Key: bytes.Clone(key), Value: append([]byte{}, value...)})
		done++
		c.Progress("records copied", done, total+1) // the live set is one more
		if full(len(key) + len(value)) {
			return flush()
		}
		return nil
	})
	if err == nil {
		err = flush()
	}
	if err == nil {
		err = image.Frames(ctx, func(seq uint64, frame []byte) error {
			frames = append(frames, store.Frame{Seq: seq, Bytes: bytes.Clone(frame)})
			c.Progress("frames of the audit trail copied", seq, image.Frame)
			if full(len(frame)) {
				return flush()
			}
			return nil
		})
	}
	if err == nil {
		err = flush()
	}
	return err
}

// errDiffers says that the target gives back something else than was written to it.
var errDiffers = errors.New("server: what was read back is not what was written")

// compare reads all from the target, opens every record, and compares it with the
// image, byte by byte, and the whole with the live set.
func (c *storeCopy) compare(ctx context.Context, o *operator, image *store.Image, total uint64) (err error) {
	backend, err := c.target.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, backend.Close()) }()
	key, err := o.folder.liveKey()
	if err != nil {
		return err
	}
	state, err := backend.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	live := store.NewLiveCheck(newRecordSealer(o.domain), key)
	seen := uint64(0)
	err = sameRecords(ctx, image, state, func(key, value []byte) error {
		seen++
		c.Progress("records compared", seen, total+1)
		return live.Add(key, value)
	})
	c.out.Records = total
	if err == nil && state.Epoch() != image.Epoch {
		err = fmt.Errorf("%w: it is at change %d, not %d", errDiffers, state.Epoch(), image.Epoch)
	}
	if err == nil {
		err = sameFrames(ctx, image, backend, func(seq uint64) {
			c.out.Frames++
			c.Progress("frames of the audit trail compared", seq, image.Frame)
		})
	}
	var signed []byte
	if err == nil {
		signed, _, err = (&folder{domain: o.domain, backend: backend}).signedState(ctx)
	}
	if err == nil {
		err = live.Done(image.Epoch, signed)
	}
	if errors.Is(err, errDiffers) || errors.Is(err, store.ErrCorrupt) || errors.Is(err, store.ErrRolledBack) {
		return problem(fmt.Sprintf("%s does not hold what was copied into it", c.out.To),
			"Look at its disk and who can write to it, and run the copy again. Nothing serves from it; the records are where they were.", err)
	}
	return err
}

type entry struct{ key, value []byte }

// sameRecords compares the records of two states, in order, and calls each with those
// of the second.
func sameRecords(ctx context.Context, image *store.Image, state store.Snapshot, each func(key, value []byte) error) error {
	var failed error
	next, stop := iter.Pull(func(yield func(entry) bool) {
		failed = state.Scan(nil, []byte{0xff}, func(key, value []byte) bool { return yield(entry{key, value}) })
	})
	defer stop()
	n := 0
	err := image.Records(ctx, func(key, value []byte) error {
		n++
		there, ok := next()
		switch {
		case !ok:
			return errors.Join(failed, fmt.Errorf("%w: record %d and those behind it are missing", errDiffers, n))
		case !bytes.Equal(there.key, key):
			return fmt.Errorf("%w: another record stands in the place of record %d", errDiffers, n)
		case !bytes.Equal(there.value, value):
			return fmt.Errorf("%w: record %d is another", errDiffers, n)
		}
		return each(there.key, there.value)
	})
	if err != nil {
		return err
	}
	if _, more := next(); more {
		return fmt.Errorf("%w: there are more than %d records", errDiffers, n)
	}
	return failed
}

// sameFrames compares the frames of an image with those that there are.
func sameFrames(ctx context.Context, image *store.Image, there store.JournalReader, each func(seq uint64)) error {
	type numbered struct {
		seq   uint64
		frame []byte
	}
	var failed error
	next, stop := iter.Pull(func(yield func(numbered) bool) {
		failed = there.Frames(ctx, 0, func(seq uint64, frame []byte) error {
			if !yield(numbered{seq, frame}) {
				return errEnough
			}
			return nil
		})
	})
	defer stop()
	err := image.Frames(ctx, func(seq uint64, frame []byte) error {
		is, ok := next()
		switch {
		case !ok:
			return errors.Join(failed, fmt.Errorf("%w: frame %d of the audit trail and those behind it are missing", errDiffers, seq))
		case is.seq != seq:
			return fmt.Errorf("%w: frame %d of the audit trail stands where frame %d belongs", errDiffers, is.seq, seq)
		case !bytes.Equal(is.frame, frame):
			return fmt.Errorf("%w: frame %d of the audit trail is another", errDiffers, seq)
		}
		each(seq)
		return nil
	})
	if err != nil {
		return err
	}
	if more, ok := next(); ok {
		return fmt.Errorf("%w: there is a frame %d of the audit trail", errDiffers, more.seq)
	}
	return failed
}
