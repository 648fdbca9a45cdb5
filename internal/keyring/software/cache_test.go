package software

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/secret"
)

func keyIDOf(i int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012x", i) }

// entries returns what the cache holds, and fails if it is not in order.
func entries(t *testing.T, c *cache) []*entry {
	t.Helper()
	var all []*entry
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		if len(s.ring) != len(s.byID) || len(s.ring) > s.limit {
			t.Errorf("shard %d has %d entries in order, %d by id, and may have %d", i, len(s.ring), len(s.byID), s.limit)
		}
		for _, e := range s.ring {
			if s.byID[e.materialID] != e {
				t.Errorf("shard %d does not find %s", i, e.materialID)
			}
			all = append(all, e)
		}
		s.mu.Unlock()
	}
	return all
}

func TestCacheIsBounded(t *testing.T) {
	for _, size := range []int{1, 2, 63, 64, 65, 200} {
		r := newRing(t, Config{CacheSize: size})
		keys := make([]keyring.KeyRef, 300)
		for i := range keys {
			keys[i] = mustGenerate(t, r, keyIDOf(i))
			mustEncrypt(t, r, keys[i], "x", nil)
		}
		if n := len(entries(t, r.cache)); n > size {
			t.Errorf("a cache for %d holds %d", size, n)
		}
		for _, key := range keys { // evicted or not, all are usable
			mustEncrypt(t, r, key, "x", nil)
		}
	}
}

// TestEvictionSparesWhatIsUsed keeps one key in use among many that come and go.
func TestEvictionSparesWhatIsUsed(t *testing.T) {
	r := newRing(t, Config{CacheSize: 1})
	r.cache.shards[0].limit = 4 // one shard, so that all keys meet
	hot := mustGenerate(t, r, uuidA)
	mustEncrypt(t, r, hot, "x", nil)
	kept := entries(t, r.cache)[0]
	for i := range 50 {
		mustEncrypt(t, r, mustGenerate(t, r, keyIDOf(i)), "x", nil)
		mustEncrypt(t, r, hot, "x", nil)
	}
	if kept.prk == nil {
		t.Error("the key that was in use all the time was evicted")
	}
}

func TestEvictedAndForgottenEntriesAreWiped(t *testing.T) {
	r := newRing(t, Config{CacheSize: 1})
	first := mustGenerate(t, r, uuidA)
	blob := mustEncrypt(t, r, first, "x", nil)
	wiped := func(what string, out func()) {
		t.Helper()
		held := entries(t, r.cache)
		if len(held) != 1 {
			t.Fatalf("%s: %d entries", what, len(held))
		}
		prk := held[0].prk
		if bytes.Equal(prk, make([]byte, 32)) {
			t.Fatalf("%s: wiped before its time", what)
		}
		inUse := held[0].take()
		before := mustDerived(t, inUse)
		out()
		if !bytes.Equal(prk, make([]byte, 32)) || held[0].prk != nil || held[0].idle != nil {
			t.Errorf("%s: not wiped", what)
		}
		if held[0].take() != nil {
			t.Errorf("%s: still usable", what)
		}
		if mustDerived(t, inUse) != before {
			t.Errorf("%s: a use under way was disturbed", what)
		}
		held[0].release(inUse)
		if held[0].idle != nil {
			t.Errorf("%s: took a keyed state back", what)
		}
	}
	wiped("evicted", func() { mustEncrypt(t, r, mustGenerate(t, r, uuidB), "x", nil) })
	wiped("forgotten", func() { r.Forget(uuidB) })
	if n := len(entries(t, r.cache)); n != 0 {
		t.Errorf("%d entries left", n)
	}
	if _, err := r.Decrypt(context.Background(), first, blob, nil); err != nil {
		t.Errorf("after eviction: %v", err)
	}
	wiped("forgotten with another key around", func() { r.Forget(uuidB); r.Forget(uuidA) })
}

func mustDerived(t *testing.T, d *deriver) [32]byte {
	t.Helper()
	if err := d.derive(make([]byte, commitmentAt), nil); err != nil {
		t.Fatal(err)
	}
	return d.key
}

func TestForgetTakesAllMaterialsOfAKeyOnly(t *testing.T) {
	r := newRing(t, Config{})
	for range 3 {
		mustEncrypt(t, r, mustGenerate(t, r, uuidA), "x", nil)
	}
	mustEncrypt(t, r, mustGenerate(t, r, uuidB), "x", nil)
	r.Forget(uuidA)
	r.Forget("never seen")
	if held := entries(t, r.cache); len(held) != 1 || held[0].keyID != uuidB {
		t.Errorf("%d entries are left", len(held))
	}
}

// TestForgetDuringLoad: what was being unwrapped when its key was forgotten must
// not be cached afterwards.
func TestForgetDuringLoad(t *testing.T) {
	r := newRing(t, Config{})
	_, epoch := r.cache.get(uuidA, "m")
	e, err := newEntry(uuidA, "m", make(secret.Bytes, 32))
	if err != nil {
		t.Fatal(err)
	}
	r.Forget(uuidA)
	if r.cache.put(e, epoch) {
		t.Error("the entry was cached")
	}
	if n := len(entries(t, r.cache)); n != 0 {
		t.Errorf("%d entries", n)
	}
}

func TestIdleStatesAreBoundedAndClean(t *testing.T) {
	e, err := newEntry(uuidA, "m", make(secret.Bytes, 32))
	if err != nil {
		t.Fatal(err)
	}
	var all []*deriver
	for range 2 * maxIdle {
		d := e.take()
		big := map[string]string{"n": string(bytes.Repeat([]byte("v"), 2*maxIdleBuffer))}
		if err := d.derive(nil, big); err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	for _, d := range all {
		e.release(d)
		if d.key != [32]byte{} || d.commitment != [32]byte{} || cap(d.context) > maxIdleBuffer {
			t.Error("an idle state holds a message's secrets")
		}
	}
	if len(e.idle) != maxIdle {
		t.Errorf("%d states are idle", len(e.idle))
	}
}

// TestConcurrentUseAndForget runs everything at once, for the race detector, in
// a cache that is too small. Every ciphertext made must open.
func TestConcurrentUseAndForget(t *testing.T) {
	r := newRing(t, Config{CacheSize: 3})
	keys := make([]keyring.KeyRef, 6)
	for i := range keys {
		keys[i] = mustGenerate(t, r, keyIDOf(i))
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 300 {
				key := keys[(g+i)%len(keys)]
				plaintext := fmt.Sprint(g, " ", i)
				blob, err := r.Encrypt(context.Background(), key, secret.Bytes(plaintext), someContext)
				if err != nil {
					t.Error(err)
					return
				}
				if i%3 == 0 {
					r.Forget(key.KeyID)
				}
				got, err := r.Decrypt(context.Background(), key, blob, someContext)
				if err != nil || string(got) != plaintext {
					t.Errorf("%d %d: %v", g, i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	entries(t, r.cache)
}

// mostUncached is how often an operation may allocate whose material is not in memory;
// the race detector adds some.
const mostUncached = 52

// TestCostOfUncachedMaterial counts, as that does not depend on the machine.
func TestCostOfUncachedMaterial(t *testing.T) {
	r := newRing(t, Config{})
	key := mustGenerate(t, r, uuidA)
	blob, err := r.Encrypt(t.Context(), key, make([]byte, 32), benchContext)
	if err != nil {
		t.Fatal(err)
	}
	allocations := testing.AllocsPerRun(100, func() {
		r.Forget(uuidA)
		if _, err := r.Decrypt(t.Context(), key, blob, benchContext); err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("a Decrypt allocates %v times", allocations)
	if allocations > mostUncached {
		t.Errorf("a Decrypt allocates %v times, at most %d may be", allocations, mostUncached)
	}
}
