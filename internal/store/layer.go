package store

import (
	"maps"
	"slices"
)

// layer is a set of writes that lie over a state and are not part of it yet, in
// key order. The zero layer is empty.
type layer struct {
	keys    []string // sorted
	entries map[string]entry
}

type entry struct {
	value  []byte  // nil: deleted
	epoch  uint64  // of the Update that wrote it
	change *Change // nil for an index entry

	before []byte // what lay under the key for who wrote it, if read; nil for nothing
	read   bool
}

func (l *layer) get(key string) (entry, bool) {
	e, ok := l.entries[key]
	return e, ok
}

func (l *layer) put(key string, e entry) {
	if l.entries == nil {
		l.entries = make(map[string]entry)
	}
	if _, ok := l.entries[key]; !ok {
		i, _ := slices.BinarySearch(l.keys, key)
		l.keys = slices.Insert(l.keys, i, key)
	}
	l.entries[key] = e
}

// within returns the keys from <= key < to, in order. The slice is the layer's.
func (l *layer) within(from, to string) []string {
	i, _ := slices.BinarySearch(l.keys, from)
	j, _ := slices.BinarySearch(l.keys, to)
	return l.keys[i:max(i, j)]
}

// drop forgets the entries of Updates up to an epoch.
func (l *layer) drop(upTo uint64) {
	maps.DeleteFunc(l.entries, func(_ string, e entry) bool { return e.epoch <= upTo })
	l.keys = slices.DeleteFunc(l.keys, func(key string) bool {
		_, ok := l.entries[key]
		return !ok
	})
}

func (l *layer) empty() bool { return len(l.keys) == 0 }
