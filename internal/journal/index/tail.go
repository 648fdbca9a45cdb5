package index

import (
	"math"
	"slices"

	"github.com/strongroom/strongroom/internal/journal"
)

// row is where a record stands and when it happened.
type row struct {
	seq  uint64 // of its frame
	time int64  // eventTime, in seconds since 1970
}

// tail is the newest records, in memory.
type tail struct {
	first, last uint64 // frames taken in; 0 before the first
	hash        journal.Hash
	number      uint64 // of the first record
	rows        []row
	start, end  int64 // the least and the greatest time of rows
	scopes      []Scope
	lists       map[fingerprint]*list
	// ids has the terms that one record has: a list for each would take more
	// than all else.
	ids []id
}

// id is the term of a record's event id.
type id struct {
	fingerprint
	place uint32
}

func newTail() *tail {
	return &tail{lists: map[fingerprint]*list{}, start: math.MaxInt64, end: math.MinInt64}
}

func (t *tail) count() int { return len(t.rows) }

func (t *tail) add(b journal.Batch, documents []document) {
	if t.first == 0 {
		t.first, t.number = b.Seq, b.First
	}
	t.last, t.hash = b.Seq, b.Hash
	for _, d := range documents {
		n := uint32(len(t.rows))
		t.rows = append(t.rows, row{b.Seq, d.time})
		t.start, t.end = min(t.start, d.time), max(t.end, d.time)
		if d.named {
			t.ids = append(t.ids, id{d.id, n})
		}
		if d.shape.lists == nil {
			t.meet(d.shape)
		}
		for _, l := range d.shape.lists {
			l.add(n)
		}
	}
}

// meet finds the lists of a shape, or makes them.
func (t *tail) meet(s *shape) {
	if !slices.Contains(t.scopes, s.scope) {
		t.scopes = append(t.scopes, s.scope)
	}
	for _, f := range s.fingerprints {
		l := t.lists[f]
		if l == nil {
			l = &list{}
			t.lists[f] = l
		}
		s.lists = append(s.lists, l)
	}
}

// find implements [part].
func (t *tail) find(prints []fingerprint) ([]run, error) {
	lists := make([][]run, 0, len(prints))
	for _, f := range prints {
		if l := t.lists[f]; l != nil {
			lists = append(lists, l.runs(nil))
		}
		for _, id := range t.ids {
			if id.fingerprint == f {
				lists = append(lists, []run{{id.place, id.place}})
			}
		}
	}
	return merge(lists), nil
}
