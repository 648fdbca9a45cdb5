package store

import (
	"context"
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
)

// Cache holds what is made of a collection's records in front of the store, for
// reading without a lock on the store and without decoding.
//
// It is never behind an acknowledged change: the store's watch drops an entry
// when its change is durable and before the change is acknowledged, and what was
// read from a snapshot older than the last change of its shard is not kept. A
// reader that races with a change may see the state before it, as if it had come
// earlier.
type Cache[T, V any] struct {
	store      *Store
	collection *Collection[T]
	make       func(Scope, Item[T]) (V, error)
	stop       func()
	seed       maphash.Seed
	shards     [cacheShards]cacheShard[V]
}

const cacheShards = 64

// readyEvery is one in how many readers of a packed entry leave it ready for the next:
// what is read often soon is, and what is read evenly seldom makes room for its like.
const readyEvery = 16

type cacheKey struct {
	scope Scope
	id    string
}

func (k cacheKey) clone() cacheKey {
	return cacheKey{Scope{strings.Clone(k.scope.Account), strings.Clone(k.scope.Region)}, strings.Clone(k.id)}
}

type cacheShard[V any] struct {
	mu      sync.RWMutex
	entries map[cacheKey]V
	limit   int
	// packed holds more of them in less memory; nil if the cache has no [Packing]. An
	// entry may be in both.
	packed packed[V]
	asked  atomic.Uint32 // how often packed entries were read
	// changed is the epoch of the last change that fell into this shard.
	changed uint64
}

// NewCache returns a cache of at most about limit entries of collection. build
// makes an entry from a record; entries are shared between readers, who must not
// change them. Close ends it.
func NewCache[T, V any](s *Store, collection *Collection[T], limit int, build func(Scope, Item[T]) (V, error)) *Cache[T, V] {
	c := &Cache[T, V]{store: s, collection: collection, make: build, seed: maphash.MakeSeed()}
	for i := range c.shards {
		c.shards[i].entries, c.shards[i].limit = map[cacheKey]V{}, max(1, limit/cacheShards)
	}
	c.follow()
	return c
}

// NewPackedCache is NewCache of at most about most entries, of which about limit at
// once are kept as build makes them and the others packed.
func NewPackedCache[T, V, S, P any](s *Store, collection *Collection[T], limit, most int, build func(Scope, Item[T]) (V, error), packing Packing[V, S, P]) *Cache[T, V] {
	c := &Cache[T, V]{store: s, collection: collection, make: build, seed: maphash.MakeSeed()}
	for i := range c.shards {
		c.shards[i].entries, c.shards[i].limit = map[cacheKey]V{}, max(1, limit/cacheShards)
		c.shards[i].packed = newSlab(packing, max(1, most/cacheShards))
	}
	c.follow()
	return c
}

func (c *Cache[T, V]) follow() {
	c.stop = c.store.Watch(c.collection.Name(), func(change Change) {
		key := cacheKey{change.Scope, change.ID}
		shard, at := c.shard(key)
		shard.drop(key, at, change.Epoch)
	})
}

// Close stops following the store.
func (c *Cache[T, V]) Close() { c.stop() }

// Len returns how many entries are held.
func (c *Cache[T, V]) Len() int {
	n := 0
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.RLock()
		n += len(s.entries)
		if s.packed != nil {
			n += s.packed.len()
			for key := range s.entries {
				if _, at := c.shard(key); s.packed.has(at) {
					n--
				}
			}
		}
		s.mu.RUnlock()
	}
	return n
}

// shard returns where an entry is, and the number of its place among the packed ones
// there. Two entries may have one number; the later one is kept.
func (c *Cache[T, V]) shard(key cacheKey) (*cacheShard[V], uint32) {
	h := maphash.Comparable(c.seed, key)
	return &c.shards[h%cacheShards], uint32(h >> 32)
}

// Get returns what was made of a record, or ErrNotFound; and ErrUnavailable, as
// [Store.View] does, while this node may not answer.
func (c *Cache[T, V]) Get(ctx context.Context, scope Scope, id string) (V, error) {
	key := cacheKey{scope, id}
	shard, at := c.shard(key)
	if v, ok := shard.get(key, at); ok {
		return v, c.store.fresh()
	}
	var v V
	err := c.store.View(ctx, func(r Reader) error {
		item, err := c.collection.GetItem(r, scope, id)
		if err != nil {
			return err
		}
		if v, err = c.make(scope, item); err != nil {
			return err
		}
		shard.put(key, at, v, r.Epoch())
		return nil
	})
	return v, err
}

// Held is Get of what is in memory: it tells whether there is any, and reads nothing.
func (c *Cache[T, V]) Held(scope Scope, id string) (V, bool, error) {
	key := cacheKey{scope, id}
	shard, at := c.shard(key)
	v, ok := shard.get(key, at)
	return v, ok, c.store.fresh()
}

func (s *cacheShard[V]) get(key cacheKey, at uint32) (V, bool) {
	v, ok, packed := s.held(key, at)
	if packed && s.asked.Add(1)%readyEvery == 0 {
		s.ready(key, at)
	}
	return v, ok
}

func (s *cacheShard[V]) held(key cacheKey, at uint32) (v V, ok, packed bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if v, ok = s.entries[key]; ok || s.packed == nil {
		return v, ok, false
	}
	v, ok = s.packed.get(key, at)
	return v, ok, ok
}

// ready keeps a packed entry as it was made, if it is still there.
func (s *cacheShard[V]) ready(key cacheKey, at uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.packed.get(key, at); ok {
		s.keep(key, v)
	}
}

// put keeps v, which was read at epoch.
func (s *cacheShard[V]) put(key cacheKey, at uint32, v V, epoch uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if epoch < s.changed {
		return
	}
	if s.packed != nil && s.packed.put(at, v) && len(s.entries) >= s.limit {
		delete(s.entries, key)
		return
	}
	s.keep(key, v)
}

// keep holds v as it is. Over the limit, an entry of the map's choosing makes room:
// eviction needs no order, since a miss costs one read.
func (s *cacheShard[V]) keep(key cacheKey, v V) {
	if _, kept := s.entries[key]; !kept && len(s.entries) >= s.limit {
		for victim := range s.entries {
			delete(s.entries, victim)
			break
		}
	}
	// Account and id may be strings over a request's own bytes, which end with it;
	// an entry outlives it, and under a name that changes it could not be dropped.
	s.entries[key.clone()] = v
}

func (s *cacheShard[V]) drop(key cacheKey, at uint32, epoch uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.entries, key)
	if s.packed != nil {
		s.packed.drop(at)
	}
	s.changed = max(s.changed, epoch)
}
