package index

import (
	"encoding/binary"
	"errors"
)

// run is a stretch of records that follow each other, by their places in a
// segment: first to last, both included. What most records share (the service,
// the account) takes a few runs for thousands.
type run struct{ first, last uint32 }

// list is an ascending list of places. Its first run stands in it: most lists,
// those of event ids, have one place.
type list struct {
	some  bool
	first run
	more  []run
}

// add appends a place; it is not below the last one, and may be it.
func (l *list) add(n uint32) {
	if !l.some {
		l.some, l.first = true, run{n, n}
		return
	}
	last := &l.first
	if len(l.more) > 0 {
		last = &l.more[len(l.more)-1]
	}
	switch {
	case n == last.last:
	case n == last.last+1:
		last.last = n
	default:
		l.more = append(l.more, run{n, n})
	}
}

// runs appends the list to dst.
func (l *list) runs(dst []run) []run {
	if !l.some {
		return dst
	}
	return append(append(dst, l.first), l.more...)
}

// single reports whether the list is one place.
func (l *list) single() bool { return l.some && len(l.more) == 0 && l.first.first == l.first.last }

// A list is written as the number of its bytes and then, for each run, the gap to
// the end of the run before, doubled, plus one when the run has more than one
// place, which is then followed by how many more; all as uvarints.

func (l *list) append(dst []byte) []byte {
	var body []byte
	next := uint32(0)
	for _, r := range l.runs(nil) {
		gap, more := uint64(r.first-next)<<1, r.last-r.first
		if more > 0 {
			body = binary.AppendUvarint(body, gap|1)
			body = binary.AppendUvarint(body, uint64(more))
		} else {
			body = binary.AppendUvarint(body, gap)
		}
		next = r.last + 1
	}
	dst = binary.AppendUvarint(dst, uint64(len(body)))
	return append(dst, body...)
}

var errList = errors.New("index: a list that is none")

// parseRuns reads the runs of a list, whose places are below count.
func parseRuns(dst []run, body []byte, count uint32) ([]run, error) {
	next := uint64(0)
	for len(body) > 0 {
		gap, n := binary.Uvarint(body)
		if n <= 0 {
			return nil, errList
		}
		body = body[n:]
		first := next + gap>>1
		last := first
		if gap&1 != 0 {
			more, n := binary.Uvarint(body)
			if n <= 0 || more > uint64(count) {
				return nil, errList
			}
			body = body[n:]
			last += more
		}
		if gap>>1 > uint64(count) || last >= uint64(count) {
			return nil, errList
		}
		dst = append(dst, run{uint32(first), uint32(last)})
		next = last + 1
	}
	return dst, nil
}

// merge makes one ascending list of several.
func merge(lists [][]run) []run {
	for len(lists) > 1 {
		lists = append(lists[2:], mergeTwo(lists[0], lists[1]))
	}
	if len(lists) == 0 {
		return nil
	}
	return lists[0]
}

func mergeTwo(a, b []run) []run {
	out := make([]run, 0, len(a)+len(b))
	for len(a) > 0 || len(b) > 0 {
		var r run
		if len(b) == 0 || len(a) > 0 && a[0].first <= b[0].first {
			r, a = a[0], a[1:]
		} else {
			r, b = b[0], b[1:]
		}
		if n := len(out); n > 0 && r.first <= out[n-1].last+1 {
			out[n-1].last = max(out[n-1].last, r.last)
		} else {
			out = append(out, r)
		}
	}
	return out
}
