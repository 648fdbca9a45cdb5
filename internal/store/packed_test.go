package store

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/metrics"
	"testing"
)

// own is what is an entry's own in these tests.
type own struct{ n, version int }

type entryOf struct {
	id      string
	version int
}

// odd are entries that cannot be packed.
const odd = 5

func newTestSlab(limit int) *slab[entryOf, string, own] {
	return newSlab(Packing[entryOf, string, own]{
		Pack: func(e entryOf) (*string, own, bool) {
			var n int
			_, _ = fmt.Sscan(e.id, &n)
			return &Deployment.Account, own{n, e.version}, n%odd != 0
		},
		Unpack: func(_ Scope, id string, common *string, o *own) (entryOf, bool) {
			return entryOf{id, o.version}, common == &Deployment.Account && fmt.Sprint(o.n) == id
		},
	}, limit)
}

// TestSlabKeepsWhatItWasGiven puts, drops and reads entries at random, some of them
// under one number, and compares with what a map says: an entry is the newest or it is
// not there, and never another's.
func TestSlabKeepsWhatItWasGiven(t *testing.T) {
	const limit, ids = 150, 400
	s, rnd := newTestSlab(limit), rand.New(rand.NewPCG(1, 2))
	number := func(n int) uint32 { return uint32(n % (ids - 20)) } // 20 pairs meet
	newest := map[int]int{}
	hits := 0
	for step := range 200_000 {
		n := rnd.IntN(ids)
		key := cacheKey{Deployment, fmt.Sprint(n)}
		switch rnd.IntN(4) {
		case 0:
			if put := s.put(number(n), entryOf{key.id, step}); put != (n%odd != 0) {
				t.Fatalf("put %d: %v", n, put)
			}
			newest[n] = step
		case 1:
			s.drop(number(n))
			delete(newest, n)
			if s.has(number(n)) {
				t.Fatalf("%d is there after it was dropped", n)
			}
		default:
			e, ok := s.get(key, number(n))
			if !ok {
				continue
			}
			hits++
			if want, there := newest[n]; !there || e != (entryOf{key.id, want}) {
				t.Fatalf("step %d: %d is %v, want %d (%v)", step, n, e, want, there)
			}
		}
		if s.len() > limit {
			t.Fatalf("%d entries, at most %d may be", s.len(), limit)
		}
	}
	if hits < 10_000 {
		t.Errorf("only %d reads found something", hits)
	}
	for at := range uint32(ids) {
		s.drop(at)
	}
	if s.len() != 0 {
		t.Errorf("%d entries are left", s.len())
	}
}

// TestSlabIsFilled sees that entries stay until the room is needed, and then go one at
// a time, the oldest first.
func TestSlabIsFilled(t *testing.T) {
	const limit = 100
	s := newTestSlab(limit)
	at := func(i int) int { return odd*i + 1 }
	put := func(i int) { s.put(uint32(at(i)), entryOf{fmt.Sprint(at(i)), i}) }
	for i := range limit {
		put(i)
	}
	for i := limit; i < 2*limit; i++ {
		put(i)
		for j := range i + 1 {
			if has := s.has(uint32(at(j))); has != (j > i-limit) {
				t.Fatalf("after %d entries, entry %d is there: %v", i+1, j, has)
			}
		}
	}
}

// TestSlabTakesLittle counts what entries of 168 bytes take, and that the collector
// need not look through them.
func TestSlabTakesLittle(t *testing.T) {
	const entries, each, scanned = 100_000, 200, 10
	common := new(int)
	s := newSlab(Packing[int, int, [21]uint64]{
		Pack: func(n int) (*int, [21]uint64, bool) { return common, [21]uint64{uint64(n)}, true },
	}, entries)
	heap := func() (live, scan int64) {
		runtime.GC()
		runtime.GC() // what pools held is gone after two
		sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/heap:bytes"}}
		metrics.Read(sample)
		return int64(sample[0].Value.Uint64()), int64(sample[1].Value.Uint64())
	}
	liveBefore, scanBefore := heap()
	for n := range entries {
		s.put(uint32(n)*2654435761, n)
	}
	liveAfter, scanAfter := heap()
	live, scan := (liveAfter-liveBefore)/entries, (scanAfter-scanBefore)/entries
	t.Logf("an entry takes %d bytes, of which %d are looked through", live, scan)
	if live > each || scan > scanned {
		t.Errorf("an entry takes %d bytes, of which %d are looked through; at most %d and %d may be", live, scan, each, scanned)
	}
	runtime.KeepAlive(s)
}
