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
		if !slices.Contains(t.scopes, d.scope) {
			t.scopes = append(t.scopes, d.scope)
		}
		for _, f := range d.fingerprints {
			l := t.lists[f]
			if l == nil {
				l = &list{}
				t.lists[f] = l
			}
			l.add(n)
		}
	}
}

// find implements [part].
func (t *tail) find(prints []fingerprint) ([]run, error) {
	lists := make([][]run, 0, len(prints))
	for _, f := range prints {
		if l := t.lists[f]; l != nil {
			lists = append(lists, l.runs(nil))
		}
	}
	return merge(lists), nil
}
