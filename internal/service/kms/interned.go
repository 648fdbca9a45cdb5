package kms

import (
	"runtime"
	"sync"
	"weak"
)

// interned finds values that are in use by what they are made of, so that one is made
// and kept for all who have it, as long as anybody does. The zero value is empty.
type interned[K comparable, V any] struct {
	mu sync.RWMutex
	by map[K]weak.Pointer[V]
}

// get returns the value that is in use under key, or nil.
func (i *interned[K, V]) get(key K) *V {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.by[key].Value()
}

// keep returns value, or the one that is in use under key already. With most values
// there, if most is not 0, it keeps none and returns nil.
func (i *interned[K, V]) keep(key K, value *V, most int) *V {
	i.mu.Lock()
	defer i.mu.Unlock()
	if other := i.by[key].Value(); other != nil {
		return other
	}
	if most != 0 && len(i.by) >= most {
		return nil
	}
	if i.by == nil {
		i.by = map[K]weak.Pointer[V]{}
	}
	i.by[key] = weak.Make(value)
	runtime.AddCleanup(value, i.forget, key)
	return value
}

// forget removes a key whose value nobody has any more.
func (i *interned[K, V]) forget(key K) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.by[key].Value() == nil { // or it was made again since
		delete(i.by, key)
	}
}
