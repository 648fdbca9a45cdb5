package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/strongroom/strongroom/internal/secret"
)

// ReaderConfig is what a [Reader] is made of.
type ReaderConfig struct {
	// Deployment and Stream name the chain; both must be set.
	Deployment, Stream string
	// Frames is where the stream is kept, and NotFound what the error of its
	// LastFrame wraps when it is empty; both must be set.
	Frames   Frames
	NotFound error
	// Key returns the journal key of a version; it must be set.
	Key func(version uint32) (secret.Bytes, error)
	// Recent is where the stream's writer leaves keys; if nil, all are derived.
	Recent *RecentKeys
}

// Reader reads the records of one stream. It shows what the frames hold; that
// nothing is missing or changed is for [Verify] to say. Its methods may be
// called at the same time and show the stream as it is when they begin.
type Reader struct{ c ReaderConfig }

// Entry is one record and where it stands.
type Entry struct {
	Stream string
	// Seq is the frame's number, Index the record's within it, from 0.
	Seq   uint64
	Index int
	// Committed is the time of the frame, at or shortly after the record's own
	// eventTime.
	Committed time.Time
	// Record is a JSON object on one line, valid during the call only.
	Record []byte
}

// NewReader returns a reader.
func NewReader(c ReaderConfig) (*Reader, error) {
	if err := checkNames(c.Deployment, c.Stream); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	if c.Frames == nil || c.NotFound == nil || c.Key == nil {
		return nil, errors.New("journal: ReaderConfig.Frames, NotFound and Key must be set")
	}
	return &Reader{c}, nil
}

// All calls fn for each record, in order, until fn returns an error, which it
// returns.
func (r *Reader) All(ctx context.Context, fn func(Entry) error) error {
	last, err := r.last(ctx)
	if last == nil || err != nil {
		return err
	}
	front, err := frontOf(ctx, r.c.Frames, last)
	if err != nil {
		return err
	}
	return r.between(ctx, front.seq+1, last.seq, func(f *frame) error { return r.each(f, 0, fn) })
}

// Tail calls fn for each of the last n records, or of all when there are fewer,
// oldest first.
func (r *Reader) Tail(ctx context.Context, n int, fn func(Entry) error) error {
	last, err := r.last(ctx)
	if last == nil || err != nil || n <= 0 {
		return err
	}
	front, err := frontOf(ctx, r.c.Frames, last)
	if err != nil {
		return err
	}
	before := last.records - min(last.records-front.records, uint64(n))
	first, err := r.search(ctx, front.seq+1, last.seq, func(f *frame) bool { return f.records > before })
	if err != nil {
		return err
	}
	return r.between(ctx, first, last.seq, func(f *frame) error {
		skip := uint64(0)
		if start := f.records - uint64(f.count); start < before {
			skip = before - start
		}
		return r.each(f, int(skip), fn)
	})
}

// Range calls fn for each record that was committed at from or later and before
// to, in the order of commits. A zero time sets no bound. It reads the frames in
// between and, for each time that the clock was ever set back, a few more.
func (r *Reader) Range(ctx context.Context, from, to time.Time, fn func(Entry) error) error {
	last, err := r.last(ctx)
	if last == nil || err != nil {
		return err
	}
	front, err := frontOf(ctx, r.c.Frames, last)
	if err != nil {
		return err
	}
	// Within a run time never goes back, so each is searched by itself.
	type run struct{ first, last uint64 }
	begin := front.seq + 1
	runs := []run{{max(last.runStart, begin), last.seq}}
	for runs[len(runs)-1].first > begin {
		end := runs[len(runs)-1].first - 1
		f, err := r.at(ctx, end)
		if err != nil {
			return err
		}
		runs = append(runs, run{max(f.runStart, begin), end})
	}
	for _, run := range slices.Backward(runs) {
		first := run.first
		if !from.IsZero() {
			first, err = r.search(ctx, run.first, run.last, func(f *frame) bool { return !f.time.Before(from) })
			if err != nil {
				return err
			}
		}
		err := r.between(ctx, first, run.last, func(f *frame) error {
			if !to.IsZero() && !f.time.Before(to) {
				return errStop
			}
			return r.each(f, 0, fn)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// LastCheckpoint returns the newest checkpoint of the stream, and false when
// there is none. Being read back, it covers durable frames only, so it may be
// shipped.
func (r *Reader) LastCheckpoint(ctx context.Context) (Checkpoint, bool, error) {
	c, _, ok, err := r.LastState(ctx)
	return c, ok, err
}

// LastState is LastCheckpoint with the state digest that is signed with it; empty
// when it has none. The caller verifies the signature.
func (r *Reader) LastState(ctx context.Context) (c Checkpoint, state []byte, ok bool, err error) {
	last, err := r.last(ctx)
	if last == nil || err != nil {
		return Checkpoint{}, nil, false, err
	}
	f, err := newestSigned(ctx, r.c.Frames, last, anyFrame)
	if f == nil || err != nil {
		return Checkpoint{}, nil, false, err
	}
	return f.checkpoint(), slices.Clone(f.state), true, nil
}

// CheckpointAt returns the checkpoint that frame seq carries; it is an error if the
// frame has none.
func (r *Reader) CheckpointAt(ctx context.Context, seq uint64) (Checkpoint, error) {
	f, err := r.at(ctx, seq)
	if err != nil {
		return Checkpoint{}, err
	}
	if !f.signed {
		return Checkpoint{}, fmt.Errorf("journal: frame %d carries no checkpoint", seq)
	}
	return f.checkpoint(), nil
}

// errStop ends a walk without an error.
var errStop = errors.New("journal: stop")

// last returns the last frame, or nil when there is none.
func (r *Reader) last(ctx context.Context) (*frame, error) {
	seq, encoded, err := r.c.Frames.LastFrame(ctx)
	if errors.Is(err, r.c.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("journal: read the last frame: %w", err)
	}
	return r.parse(seq, encoded)
}

func (r *Reader) parse(seq uint64, encoded []byte) (*frame, error) {
	f, err := parseUnhashed(encoded)
	switch {
	case err != nil:
		return nil, fmt.Errorf("journal: frame %d: %w", seq, err)
	case f.seq != seq:
		return nil, fmt.Errorf("journal: frame %d is kept as %d", f.seq, seq)
	case f.deployment != r.c.Deployment || f.stream != r.c.Stream:
		return nil, fmt.Errorf("journal: frame %d is of deployment %s, stream %s; this is %s, %s",
			seq, f.deployment, f.stream, r.c.Deployment, r.c.Stream)
	}
	return f, nil
}

// at returns frame seq.
func (r *Reader) at(ctx context.Context, seq uint64) (f *frame, err error) {
	err = r.c.Frames.Frames(ctx, seq, func(at uint64, encoded []byte) error {
		if at == seq {
			// The frame outlives the call that lends its bytes.
			if f, err = r.parse(seq, slices.Clone(encoded)); err != nil {
				return err
			}
		}
		return errStop
	})
	if err != nil && !errors.Is(err, errStop) {
		return nil, err
	}
	if f == nil {
		return nil, r.missing(ctx, seq)
	}
	return f, nil
}

// between calls fn for the frames from first to last, all of which must be
// there, until fn returns an error; errStop ends it without one.
func (r *Reader) between(ctx context.Context, first, last uint64, fn func(*frame) error) error {
	next := first
	if next > last {
		return nil
	}
	err := r.c.Frames.Frames(ctx, first, func(seq uint64, encoded []byte) error {
		if seq != next {
			return r.missing(ctx, next)
		}
		f, err := r.parse(seq, encoded)
		if err != nil {
			return err
		}
		if err := fn(f); err != nil {
			return err
		}
		if next++; seq == last {
			return errStop
		}
		return ctx.Err()
	})
	switch {
	case errors.Is(err, errStop):
		return nil
	case err == nil:
		return r.missing(ctx, next)
	}
	return err
}

// search returns the number of the first frame from first to last for which
// reached holds, or last+1. Once it holds it must go on holding.
func (r *Reader) search(ctx context.Context, first, last uint64, reached func(*frame) bool) (uint64, error) {
	for end := last + 1; first < end; {
		middle := first + (end-first)/2
		f, err := r.at(ctx, middle)
		if err != nil {
			return 0, err
		}
		if reached(f) {
			end = middle
		} else {
			first = middle + 1
		}
	}
	return first, nil
}

// each calls fn for the records of f from number skip on.
func (r *Reader) each(f *frame, skip int, fn func(Entry) error) error {
	if f.count == 0 {
		return nil
	}
	o, err := r.open(f)
	if err != nil {
		return err
	}
	for i := skip; i < len(o.records); i++ {
		e := Entry{Stream: f.stream, Seq: f.seq, Index: i, Committed: f.time, Record: o.records[i]}
		if err := fn(e); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) open(f *frame) (*opened, error) {
	o := new(opened)
	return o, r.openIn(o, f)
}

func (r *Reader) openIn(o *opened, f *frame) error {
	key, err := r.c.Key(f.keyVersion)
	if err != nil {
		return fmt.Errorf("journal: key version %d of frame %d: %w", f.keyVersion, f.seq, err)
	}
	return o.open(f, r.c.Recent, key)
}

// From calls fn for each record of the frames with number seq or higher, in
// order, until fn returns an error, which it returns.
func (r *Reader) From(ctx context.Context, seq uint64, fn func(Entry) error) error {
	last, err := r.last(ctx)
	if last == nil || err != nil || seq > last.seq {
		return err
	}
	return r.between(ctx, seq, last.seq, func(f *frame) error { return r.each(f, 0, fn) })
}

// Batch is one frame as [Reader.Batches] shows it.
type Batch struct {
	// Seq is the frame's number, and Hash what the frame after it names.
	Seq  uint64
	Hash Hash
	// Committed is the time of the frame.
	Committed time.Time
	// First is the place of the first record in the stream, from 1.
	First uint64
	// Records are valid during the call only.
	Records [][]byte
}

// Last returns the number of the newest frame, 0 when there is none. It opens
// nothing.
func (r *Reader) Last(ctx context.Context) (uint64, error) {
	seq, _, err := r.c.Frames.LastFrame(ctx)
	if errors.Is(err, r.c.NotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("journal: read the last frame: %w", err)
	}
	return seq, nil
}

// Batches calls fn for each frame with number from or higher, also for those
// without records, until fn returns an error, which it returns.
func (r *Reader) Batches(ctx context.Context, from uint64, fn func(Batch) error) error {
	last, err := r.Last(ctx)
	if err != nil || from > last {
		return err
	}
	var room opened
	return r.between(ctx, from, last, func(f *frame) error {
		b, err := r.batch(f, &room)
		if err != nil {
			return err
		}
		return fn(b)
	})
}

// Batch returns one frame. Its records belong to the caller.
func (r *Reader) Batch(ctx context.Context, seq uint64) (Batch, error) {
	f, err := r.at(ctx, seq)
	if err != nil {
		return Batch{}, err
	}
	return r.batch(f, new(opened))
}

// HashOf returns the hash of a frame, without opening it.
func (r *Reader) HashOf(ctx context.Context, seq uint64) (Hash, error) {
	f, err := r.at(ctx, seq)
	if err != nil {
		return Hash{}, err
	}
	return f.hash(), nil
}

// batch opens a frame into room.
func (r *Reader) batch(f *frame, room *opened) (Batch, error) {
	b := Batch{Seq: f.seq, Hash: f.hash(), Committed: f.time, First: f.records - uint64(f.count) + 1}
	if f.count == 0 {
		return b, nil
	}
	if err := r.openIn(room, f); err != nil {
		return Batch{}, err
	}
	b.Records = room.records
	return b, nil
}
