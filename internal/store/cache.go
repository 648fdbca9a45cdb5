package store

import (
	"context"
	"hash/maphash"
	"strings"
	"sync"
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
	// changed is the epoch of the last change that fell into this shard.
	changed uint64
}

// NewCache returns a cache of at most about limit entries of collection. build
// makes an entry from a record; entries are shared between readers, who must not
// change them. Close ends it.
func NewCache[T, V any](s *Store, collection *Collection[T], limit int, build func(Scope, Item[T]) (V, error)) *Cache[T, V] {
	c := &Cache[T, V]{store: s, collection: collection, make: build, seed: maphash.MakeSeed()}
	for i := range c.shards {
		c.shards[i] = cacheShard[V]{entries: map[cacheKey]V{}, limit: max(1, limit/cacheShards)}
	}
	c.stop = s.Watch(collection.Name(), func(change Change) {
		key := cacheKey{change.Scope, change.ID}
		c.shard(key).drop(key, change.Epoch)
	})
	return c
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
		s.mu.RUnlock()
	}
	return n
}

func (c *Cache[T, V]) shard(key cacheKey) *cacheShard[V] {
	return &c.shards[maphash.Comparable(c.seed, key)%cacheShards]
}

// Get returns what was made of a record, or ErrNotFound; and ErrUnavailable, as
// [Store.View] does, while this node may not answer.
func (c *Cache[T, V]) Get(ctx context.Context, scope Scope, id string) (V, error) {
	key := cacheKey{scope, id}
	shard := c.shard(key)
	if v, ok := shard.get(key); ok {
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
		shard.put(key, v, r.Epoch())
		return nil
	})
	return v, err
}

func (s *cacheShard[V]) get(key cacheKey) (V, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	v, ok := s.entries[key]
	return v, ok
}

// put keeps v, which was read at epoch. Over the limit, an entry of the map's
// choosing makes room: eviction needs no order, since a miss costs one read.
func (s *cacheShard[V]) put(key cacheKey, v V, epoch uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if epoch < s.changed {
		return
	}
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

func (s *cacheShard[V]) drop(key cacheKey, epoch uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.entries, key)
	s.changed = max(s.changed, epoch)
}
