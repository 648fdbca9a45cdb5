package software

import (
	"hash/maphash"
	"sync"
)

// maxShards is how many parts a cache has, so that readers of different keys
// seldom meet on a lock.
const maxShards = 64

// cache holds entries by material id, at most so many, in shards by key id. What
// has to go is found by a clock hand that spares entries that were used since it
// last passed.
type cache struct {
	seed   maphash.Seed
	shards []shard
}

type shard struct {
	mu    sync.RWMutex
	limit int
	byID  map[string]*entry
	ring  []*entry
	hand  int
	epoch uint64   // counts calls of forget
	_     [64]byte // keeps neighbours' locks off this cache line
}

func newCache(size int) *cache {
	c := &cache{seed: maphash.MakeSeed(), shards: make([]shard, min(size, maxShards))}
	for i := range c.shards {
		c.shards[i].limit = size / len(c.shards)
		c.shards[i].byID = map[string]*entry{}
	}
	return c
}

func (c *cache) shard(keyID string) *shard {
	return &c.shards[maphash.String(c.seed, keyID)%uint64(len(c.shards))]
}

// get returns the entry of a key's material, or nil. epoch is for put.
func (c *cache) get(keyID, materialID string) (e *entry, epoch uint64) {
	s := c.shard(keyID)
	s.mu.RLock()
	defer s.mu.RUnlock()
	e = s.byID[materialID]
	if e == nil || e.keyID != keyID {
		return nil, s.epoch
	}
	if !e.used.Load() { // a store each time would make every reader's core wait
		e.used.Store(true)
	}
	return e, s.epoch
}

// put adds an entry that was loaded after get returned epoch. It reports false,
// and leaves the entry to the caller, if the material is there already or its key
// may have been forgotten meanwhile.
func (c *cache) put(e *entry, epoch uint64) bool {
	s := c.shard(e.keyID)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch != epoch || s.byID[e.materialID] != nil {
		return false
	}
	if len(s.ring) < s.limit {
		s.ring = append(s.ring, e)
	} else {
		for s.ring[s.hand].used.Swap(false) {
			s.hand = (s.hand + 1) % len(s.ring)
		}
		old := s.ring[s.hand]
		delete(s.byID, old.materialID)
		old.retire()
		s.ring[s.hand] = e
		s.hand = (s.hand + 1) % len(s.ring)
	}
	s.byID[e.materialID] = e
	return true
}

// forget retires all entries of a key.
func (c *cache) forget(keyID string) {
	s := c.shard(keyID)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch++
	kept := s.ring[:0]
	for _, e := range s.ring {
		if e.keyID == keyID {
			delete(s.byID, e.materialID)
			e.retire()
		} else {
			kept = append(kept, e)
		}
	}
	clear(s.ring[len(kept):])
	s.ring, s.hand = kept, 0
}
