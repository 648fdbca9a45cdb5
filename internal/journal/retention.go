package journal

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Retention removes frames from the front of a stream, and says so in the chain:
// each frame with a checkpoint names the last frame that was removed, with its
// hash and the number of records up to it, and is signed. So a stream that begins
// behind that frame is whole, and one that begins anywhere else is not.
//
// Two steps make a removal, and a crash between them or within the second leaves a
// stream that is right: first a frame is committed that says what will be removed
// ([Writer.Announce]); from then on nobody reads what stands before. Then the
// frames are removed.

// append appends the position as a front.
func (p position) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, p.seq)
	dst = append(dst, p.hash[:]...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(p.time.UnixMicro()))
	dst = binary.BigEndian.AppendUint64(dst, p.runStart)
	return binary.BigEndian.AppendUint64(dst, p.records)
}

func (d *decoder) position() (p position) {
	p.seq = d.uint64()
	d.hash(&p.hash)
	p.time = time.UnixMicro(int64(d.uint64())).UTC()
	p.runStart = d.uint64()
	p.records = d.uint64()
	return p
}

func (p position) valid() bool { return p.runStart > 0 && p.runStart <= p.seq && validTime(p.time) }

// newestSigned returns the newest frame with a checkpoint that accept takes, last or
// one before it; nil when there is none. Frames that cannot be parsed are passed
// over. A checkpoint is at most about a second of frames away: it looks back in
// stretches that double.
func newestSigned(ctx context.Context, frames Frames, last *frame, accept func(*frame) bool) (found *frame, err error) {
	if last.signed && accept(last) {
		return last, nil
	}
	for end, step := last.seq-1, uint64(1); end > 0 && found == nil; step *= 2 {
		start := end - min(end, step) + 1
		err := frames.Frames(ctx, start, func(seq uint64, encoded []byte) error {
			if seq > end {
				return errStop
			}
			if f, _, err := parseHeadPrefix(encoded); err == nil && f.signed && accept(f) {
				found, _ = parseHead(slices.Clone(f.head))
			}
			return ctx.Err()
		})
		if err != nil && !errors.Is(err, errStop) {
			return nil, err
		}
		end = start - 1
	}
	return found, nil
}

func anyFrame(*frame) bool { return true }

// frontOf returns the last frame that was removed of the stream that ends with last:
// what its newest frame with a checkpoint says.
func frontOf(ctx context.Context, frames Frames, last *frame) (position, error) {
	f, err := newestSigned(ctx, frames, last, anyFrame)
	if f == nil || err != nil {
		return position{}, err
	}
	return f.front, nil
}

// ErrRemoved is wrapped by the error of a reader that asks for a frame that
// retention has removed.
var ErrRemoved = errors.New("journal: the frame was removed by retention")

// missing is the error for a frame that is not there.
func (r *Reader) missing(ctx context.Context, seq uint64) error {
	last, err := r.last(ctx)
	if err == nil && last != nil {
		var front position
		if front, err = frontOf(ctx, r.c.Frames, last); err == nil && seq <= front.seq {
			return fmt.Errorf("%w: frame %d; the first is %d", ErrRemoved, seq, front.seq+1)
		}
	}
	return errors.Join(fmt.Errorf("journal: frame %d is missing", seq), err)
}

// First returns the number of the first frame that has not been removed; 1 when
// there is none.
func (r *Reader) First(ctx context.Context) (uint64, error) {
	last, err := r.last(ctx)
	if last == nil || err != nil {
		return 1, err
	}
	front, err := frontOf(ctx, r.c.Frames, last)
	return front.seq + 1, err
}

// Removal is a stretch of frames at the front of a stream, as it was checked.
type Removal struct {
	// First and Last are its frames, Records how many records they hold.
	First, Last, Records uint64
	// From and Until are the times of First and Last.
	From, Until time.Time
	// Hash is that of Last: what the frame after it names.
	Hash Hash

	front position
}

// RemovalConfig says what may be removed.
type RemovalConfig struct {
	// PublicKeys verify the checkpoints; at least one.
	PublicKeys []ed25519.PublicKey
	// Only frames that were committed before Before, and with numbers below Below,
	// are looked at.
	Before time.Time
	Below  uint64
	// Enough is how many records are enough.
	Enough uint64
}

// Removable checks the frames at the front of the stream as [Verify] does with the
// journal key, and returns the stretch up to the last that carries a checkpoint; nil
// when there is none. The stream's last frame is never in it. fn is called for each
// record of the stretch, and maybe for some behind it. The error is a *[Problem]
// when the stream is not as it was written: then nothing of it is to be removed.
func (r *Reader) Removable(ctx context.Context, c RemovalConfig, fn func(record []byte) error) (*Removal, error) {
	last, err := r.last(ctx)
	if last == nil || err != nil {
		return nil, err
	}
	front, err := frontOf(ctx, r.c.Frames, last)
	if err != nil {
		return nil, err
	}
	ch, err := newChain(r.c.Deployment, r.c.Stream, c.PublicKeys, nil)
	if err != nil {
		return nil, err
	}
	ch.behind(front)
	var removal *Removal
	err = r.c.Frames.Frames(ctx, front.seq+1, func(seq uint64, encoded []byte) error {
		if seq >= min(c.Below, last.seq) {
			return errStop
		}
		f, err := checkFrame(seq, encoded)
		if err != nil {
			return err
		}
		if !f.time.Before(c.Before) {
			return errStop
		}
		if err := ch.next(f); errors.Is(err, errBroken) {
			return ch.blame(f, nil)
		} else if err != nil {
			return err
		}
		o, err := openBody(f, r.c.Key)
		if err != nil {
			return err
		}
		for _, record := range o.records {
			if err := fn(record); err != nil {
				return err
			}
		}
		if f.signed {
			removal = &Removal{
				First: front.seq + 1, Last: seq, Records: f.records - front.records,
				From: ch.report.First, Until: f.time, Hash: f.hash(), front: positionOf(f),
			}
			if removal.Records >= c.Enough {
				return errStop
			}
		}
		return ctx.Err()
	})
	if err != nil && !errors.Is(err, errStop) {
		return nil, err
	}
	return removal, nil
}

// announced is a removal that the frame with its record will speak of.
type announced struct {
	front  position
	record []byte
}

// Announce makes the frame that will hold record, byte for byte, say that the
// stretch is removed; the caller commits that record next, and removes the frames
// once it is durable. It refuses a stretch that does not stand at the front any
// more. Another call replaces one whose record was not committed.
func (w *Writer) Announce(r *Removal, record []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r.First != w.front.seq+1 || r.Last >= w.last.seq {
		return fmt.Errorf("journal: frames %d to %d are not at the front of a stream that begins at %d and ends with %d",
			r.First, r.Last, w.front.seq+1, w.last.seq)
	}
	w.remove = &announced{r.front, bytes.Clone(record)}
	return nil
}

// frontLocked returns what a frame with these records says of the front.
func (w *Writer) frontLocked(records [][]byte) position {
	if w.remove != nil && slices.ContainsFunc(records, func(r []byte) bool { return bytes.Equal(r, w.remove.record) }) {
		return w.remove.front
	}
	return w.front
}
