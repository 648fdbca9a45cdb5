package index

import (
	"bytes"
	"cmp"
	"slices"
)

// span is a part of a record, by its offsets.
type span struct{ from, to int }

func (s span) of(record []byte) []byte { return record[s.from:s.to] }

// layout is where records of one length have what is their own. Those of a busy server
// differ in ids, times and contexts alone: what a record has outside of its layout's
// spans then tells its shape, and it need not be read member by member.
type layout struct {
	id, time span
	// texts are the contents of strings, id and time among them, values whole JSON
	// values; both in their order.
	texts, values []span
	shapes        map[string]*shape // by all that is outside
}

// fits reports whether a record as long as the layout's has texts and values where the
// layout has them. If it is the same outside as well, it has the same members.
func (l *layout) fits(record []byte) bool {
	for _, s := range l.texts {
		if bytes.IndexByte(s.of(record), '"') >= 0 || bytes.IndexByte(s.of(record), '\\') >= 0 {
			return false
		}
	}
	for _, s := range l.values {
		value := scanner{b: record[:s.to], pos: s.from}
		if !value.skip() || value.pos != s.to {
			return false
		}
	}
	return true
}

// appendOutside appends what a record has outside of its spans.
func (l *layout) appendOutside(dst, record []byte) []byte {
	texts, values, at := l.texts, l.values, 0
	for len(texts) > 0 || len(values) > 0 {
		var s span
		if len(values) == 0 || len(texts) > 0 && texts[0].from < values[0].from {
			s, texts = texts[0], texts[1:]
		} else {
			s, values = values[0], values[1:]
		}
		dst = append(dst, record[at:s.from]...)
		at = s.to
	}
	return append(dst, record[at:]...)
}

func (l *layout) same(o *layout) bool {
	return l.id == o.id && l.time == o.time && slices.Equal(l.texts, o.texts) && slices.Equal(l.values, o.values)
}

// sort puts the spans into the order in which they stand. Of members that come twice
// the record has two.
func (l *layout) sort() {
	by := func(a, b span) int { return cmp.Compare(a.from, b.from) }
	slices.SortFunc(l.texts, by)
	slices.SortFunc(l.values, by)
}

// layouts are those that a hasher has met, by the length of their records.
type layouts struct {
	bySize  map[int][]*layout
	shapes  int // in all of them
	outside []byte
}

const (
	// maxLayouts bounds the layouts of one length, and maxLaidOut the shapes in all,
	// whose keys are nearly as long as their records.
	maxLayouts = 4
	maxLaidOut = 1 << 12
)

// find returns the shape of a record if one of its layout was kept.
func (l *layouts) find(record []byte) (*layout, *shape) {
	for _, at := range l.bySize[len(record)] {
		if !at.fits(record) {
			continue
		}
		l.outside = at.appendOutside(l.outside[:0], record)
		if s := at.shapes[string(l.outside)]; s != nil {
			return at, s
		}
	}
	return nil, nil
}

// keep remembers the shape of a record that was read as a whole.
func (l *layouts) keep(o *outline, s *shape) {
	if l.bySize == nil || o.escaped || len(o.b) > maxKey {
		return
	}
	o.layout.sort()
	if l.shapes >= maxLaidOut {
		l.clear()
	}
	known := l.bySize[len(o.b)]
	i := slices.IndexFunc(known, func(at *layout) bool { return at.same(&o.layout) })
	if i < 0 {
		if len(known) == maxLayouts {
			return
		}
		at := o.layout
		at.texts, at.values, at.shapes = slices.Clone(at.texts), slices.Clone(at.values), map[string]*shape{}
		known, i = append(known, &at), len(known)
		l.bySize[len(o.b)] = known
	}
	known[i].shapes[string(known[i].appendOutside(nil, o.b))] = s
	l.shapes++
}

func (l *layouts) clear() {
	clear(l.bySize)
	l.shapes = 0
}
