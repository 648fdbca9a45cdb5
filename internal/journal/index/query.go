package index

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"github.com/strongroom/strongroom/internal/journal"
)

// Query says which records are wanted: those that have one of the terms.
type Query struct {
	// Terms are alternatives; at least one.
	Terms []Term
	// Since and Until bound the eventTime, Since ≤ t ≤ Until; a zero time does
	// not. Records carry whole seconds.
	Since, Until time.Time
	// Before, when not 0, leaves out records from that number on.
	Before uint64
}

// Found is a record that a query has found.
type Found struct {
	// Number is the record's place in the stream, from 1.
	Number uint64
	Seq    uint64
	// Record is one line of JSON. It belongs to whoever is handed it.
	Record []byte
}

// part is a segment or the tail, as a query sees it.
type part interface {
	// find returns the places that have one of the fingerprints, ascending.
	find(prints []fingerprint) ([]run, error)
	row(n uint32) (row, error)
	close() error
}

// frozen is what a query needs of the tail as it was when the query began.
type frozen struct {
	rows  []row
	found []run
}

func (f *frozen) find([]fingerprint) ([]run, error) { return f.found, nil }
func (f *frozen) row(n uint32) (row, error)         { return f.rows[n], nil }
func (f *frozen) close() error                      { return nil }

// stretch is a part and what bounds it.
type stretch struct {
	number     uint64
	count      uint32
	start, end int64
	open       func() (part, error)
	segment    *segment // nil for the tail
}

// view returns all parts, oldest first, as they are now.
func (ix *Index) view(prints []fingerprint) ([]stretch, error) {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	out := make([]stretch, 0, len(ix.segments)+1)
	for _, s := range ix.segments {
		out = append(out, stretch{s.Number, s.Count, s.Start, s.End, func() (part, error) { return s.open() }, s})
	}
	if t := ix.tail; t.count() > 0 {
		found, err := t.find(prints)
		if err != nil {
			return nil, err
		}
		kept := &frozen{slices.Clip(t.rows), found}
		out = append(out, stretch{t.number, uint32(t.count()), t.start, t.end, func() (part, error) { return kept, nil }, nil})
	}
	return out, nil
}

// Newest calls fn with what q finds, the newest first, until fn returns false or
// an error, which it returns. The order is that of commits, which may differ from
// that of event times by as long as a call takes.
func (ix *Index) Newest(ctx context.Context, q Query, fn func(Found) (more bool, err error)) error {
	return ix.walk(ctx, q, true, fn)
}

// Oldest is Newest in the other order.
func (ix *Index) Oldest(ctx context.Context, q Query, fn func(Found) (more bool, err error)) error {
	return ix.walk(ctx, q, false, fn)
}

func (ix *Index) walk(ctx context.Context, q Query, newest bool, fn func(Found) (bool, error)) error {
	if len(q.Terms) == 0 {
		return errors.New("index: a query without terms")
	}
	if err := ix.CatchUp(ctx); err != nil {
		return err
	}
	prints := ix.asked.of(q.Terms)
	parts, err := ix.view(prints)
	if err != nil {
		return err
	}
	if newest {
		slices.Reverse(parts)
	}
	w := &walker{ix: ix, q: q, newest: newest, fn: fn, since: math.MinInt64, until: math.MaxInt64}
	if !q.Since.IsZero() {
		// A record's time has lost its fraction of a second.
		w.since = q.Since.Unix()
	}
	if !q.Until.IsZero() {
		w.until = q.Until.Unix()
	}
	for _, p := range parts {
		if p.end < w.since || p.start > w.until || q.Before != 0 && p.number >= q.Before {
			continue
		}
		more, err := w.part(ctx, p, prints)
		if errors.Is(err, errDamaged) {
			return ix.discard(ctx, p.segment, err)
		}
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// discard removes a segment that turned out to be damaged and those behind it,
// so that they are made again.
func (ix *Index) discard(ctx context.Context, damaged *segment, why error) error {
	select {
	case ix.turn <- struct{}{}:
		defer func() { <-ix.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	ix.mu.Lock()
	defer ix.mu.Unlock()
	at := slices.Index(ix.segments, damaged)
	if at < 0 {
		return ErrGone // somebody else has met it
	}
	ix.c.Log.Warn("a file of the index of the audit trail is damaged; it is made again", "file", damaged.path, "error", why)
	for _, s := range slices.Backward(ix.segments[at:]) {
		if err := s.remove(); err != nil {
			return errors.Join(why, err)
		}
	}
	ix.segments = slices.Clone(ix.segments[:at])
	ix.next = max(damaged.First, ix.first)
	ix.beginTail()
	return ErrGone
}

// walker goes through the parts for one query.
type walker struct {
	ix           *Index
	q            Query
	newest       bool
	fn           func(Found) (bool, error)
	since, until int64

	batch journal.Batch // the frame that was read last
}

func (w *walker) part(ctx context.Context, s stretch, prints []fingerprint) (more bool, err error) {
	p, err := s.open()
	if err != nil {
		return false, w.gone(err)
	}
	defer func() { err = errors.Join(err, p.close()) }()
	runs, err := p.find(prints)
	if err != nil {
		return false, err
	}
	if w.newest {
		slices.Reverse(runs)
	}
	for _, r := range runs {
		if w.q.Before != 0 {
			if s.number+uint64(r.first) >= w.q.Before {
				continue
			}
			r.last = uint32(min(uint64(r.last), w.q.Before-1-s.number))
		}
		for i := range r.last - r.first + 1 {
			n := r.first + i
			if w.newest {
				n = r.last - i
			}
			if i%1024 == 0 && ctx.Err() != nil {
				return false, ctx.Err()
			}
			at, err := p.row(n)
			if err != nil {
				return false, err
			}
			if at.time < w.since || at.time > w.until {
				continue
			}
			more, err := w.show(ctx, s.number+uint64(n), at.seq)
			if err != nil || !more {
				return false, err
			}
		}
	}
	return true, nil
}

// ErrGone is returned when a part of the index was damaged, and removed to be made
// again. What fn was told until then holds; the query may be made again.
var ErrGone = errors.New("index: a part of the index of the audit trail was removed meanwhile; ask again")

func (w *walker) gone(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return ErrGone
	}
	return err
}

// show reads a record and hands it on.
func (w *walker) show(ctx context.Context, number, seq uint64) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if w.ix.gone(seq) {
		return true, nil
	}
	if w.batch.Seq != seq {
		b, err := w.ix.c.Reader.Batch(ctx, seq)
		if errors.Is(err, journal.ErrRemoved) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		w.batch = b
	}
	i := number - w.batch.First
	if i >= uint64(len(w.batch.Records)) {
		return false, fmt.Errorf("index: record %d is not in frame %d", number, seq)
	}
	return w.fn(Found{Number: number, Seq: seq, Record: w.batch.Records[i]})
}

// Scopes returns the accounts and Regions that there are records for.
func (ix *Index) Scopes(ctx context.Context) ([]Scope, error) {
	if err := ix.CatchUp(ctx); err != nil {
		return nil, err
	}
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	seen := map[Scope]bool{}
	var out []Scope
	add := func(scopes []Scope) {
		for _, s := range scopes {
			if !seen[s] {
				seen[s] = true
				out = append(out, s)
			}
		}
	}
	for _, s := range ix.segments {
		add(s.Scopes)
	}
	add(ix.tail.scopes)
	return out, nil
}
