package store

import (
	"slices"
	"sync"
)

// Change tells a watcher that a record was written or deleted.
type Change struct {
	// Epoch is the epoch that the change leads to, and the version of the record
	// if it was written.
	Epoch      uint64
	Collection string
	Scope      Scope
	ID         string
	Deleted    bool
}

// watchers is the list of who wants to hear of changes.
type watchers struct {
	mu   sync.Mutex
	list []*watcher // replaced, never changed
}

type watcher struct {
	collection string
	fn         func(Change)
}

// Watch calls fn for every change of a record in a collection, or in any when
// the name is empty, until stop is called.
//
// The calls come one at a time, in commit order; within one Update in the order
// of the records' keys. Each comes after the change is durable and before any
// View shows it, any Update that builds on it returns, and the Update that made
// it returns. So a cache that drops what changed, and keeps what it reads only
// when the [Reader.Epoch] it was read at is not less than the epoch of the last
// change it heard of, never answers from a state older than one that was
// acknowledged.
//
// fn must return soon and must not call the store: commits wait for it. A call
// that has begun may still run when stop returns.
func (s *Store) Watch(collection string, fn func(Change)) (stop func()) {
	w := &watcher{collection: collection, fn: fn}
	s.watchers.mu.Lock()
	defer s.watchers.mu.Unlock()
	s.watchers.list = append(slices.Clone(s.watchers.list), w)
	return func() {
		s.watchers.mu.Lock()
		defer s.watchers.mu.Unlock()
		s.watchers.list = slices.DeleteFunc(slices.Clone(s.watchers.list), func(x *watcher) bool { return x == w })
	}
}

func (w *watchers) tell(changes []Change) {
	w.mu.Lock()
	list := w.list
	w.mu.Unlock()
	for _, c := range changes {
		for _, to := range list {
			if to.collection == "" || to.collection == c.Collection {
				to.fn(c)
			}
		}
	}
}
