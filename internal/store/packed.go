package store

// Packing is how the entries of a cache are kept in little memory, for caches of many
// entries that are much alike.
type Packing[V, S, P any] struct {
	// Pack takes an entry apart into what it has in common with others, which they
	// all point to, and what is its own; P should hold no pointers, so that nobody
	// follows them. It returns false for an entry that is to be kept as it is, or not
	// at all.
	Pack func(V) (common *S, own P, ok bool)
	// Unpack makes the entry again, or returns false if the parts are those of
	// another record than the one with that scope and id.
	Unpack func(in Scope, id string, common *S, own *P) (V, bool)
}

// packed holds the packed entries of a shard, each under a number that is made of its
// key. Whoever calls holds the shard's lock: to write for put and drop.
type packed[V any] interface {
	get(key cacheKey, at uint32) (V, bool)
	// put returns false if v can't be packed; then nothing is under the number.
	put(at uint32, v V) bool
	drop(at uint32)
	has(at uint32) bool
	len() int
}

// slabBlock is how many entries' memory is taken at once.
const slabBlock = 64

// slab is packed. Entries lie side by side: the collector has nothing to follow in
// them, and a key takes little more than the size of P.
type slab[V, S, P any] struct {
	Packing[V, S, P]
	limit  int
	places map[uint32]uint32
	blocks []slabPart[S, P]
	hand   uint32 // whose place is taken next when all are
}

// slabPart holds slabBlock entries, what is their own apart from pointers.
type slabPart[S, P any] struct {
	common  *[slabBlock]*S
	own     *[slabBlock]P
	numbers *[slabBlock]uint32
}

func newSlab[V, S, P any](packing Packing[V, S, P], limit int) *slab[V, S, P] {
	return &slab[V, S, P]{Packing: packing, limit: limit, places: map[uint32]uint32{}}
}

func (s *slab[V, S, P]) len() int { return len(s.places) }

func (s *slab[V, S, P]) has(at uint32) bool {
	_, ok := s.places[at]
	return ok
}

// entry returns the parts of the entry at a place.
func (s *slab[V, S, P]) entry(place uint32) (common **S, own *P, number *uint32) {
	b, i := &s.blocks[place/slabBlock], place%slabBlock
	return &b.common[i], &b.own[i], &b.numbers[i]
}

func (s *slab[V, S, P]) get(key cacheKey, at uint32) (v V, ok bool) {
	place, ok := s.places[at]
	if !ok {
		return v, false
	}
	common, own, _ := s.entry(place)
	return s.Unpack(key.scope, key.id, *common, own)
}

func (s *slab[V, S, P]) put(at uint32, v V) bool {
	shared, fresh, ok := s.Pack(v)
	if !ok {
		s.drop(at)
		return false
	}
	place, held := s.places[at]
	if !held {
		place = s.room()
		s.places[at] = place
	}
	common, own, number := s.entry(place)
	*common, *own, *number = shared, fresh, at
	return true
}

// room returns a place that nothing is at: behind all others as long as there is one,
// and then that of whoever has been there longest.
func (s *slab[V, S, P]) room() uint32 {
	n := len(s.places)
	if n < s.limit {
		if n == len(s.blocks)*slabBlock {
			s.blocks = append(s.blocks, slabPart[S, P]{new([slabBlock]*S), new([slabBlock]P), new([slabBlock]uint32)})
		}
		return uint32(n)
	}
	place := s.hand % uint32(n)
	s.hand = place + 1
	_, _, number := s.entry(place)
	delete(s.places, *number)
	return place
}

// drop forgets the entry under a number; the last one takes its place.
func (s *slab[V, S, P]) drop(at uint32) {
	place, held := s.places[at]
	if !held {
		return
	}
	delete(s.places, at)
	common, own, number := s.entry(place)
	lastCommon, lastOwn, lastNumber := s.entry(uint32(len(s.places)))
	if *lastNumber != at {
		s.places[*lastNumber] = place
	}
	*common, *own, *number = *lastCommon, *lastOwn, *lastNumber
	*lastCommon, *lastOwn, *lastNumber = nil, *new(P), 0
}
