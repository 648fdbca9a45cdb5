package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/storetest"
)

type counted struct {
	N int `json:"n"`
}

var (
	countedRecords = store.NewCollection[counted]("cache-test", 1)
	cacheScope     = store.Scope{Account: "111122223333", Region: "us-east-1"}
)

func putCounted(t *testing.T, s *store.Store, id string, n int) {
	t.Helper()
	err := s.Update(t.Context(), func(tx *store.Tx) error {
		return countedRecords.Put(tx, cacheScope, id, counted{n})
	})
	if err != nil {
		t.Fatal(err)
	}
}

type makeCounted = func(store.Scope, store.Item[counted]) (int, error)

// eachCache runs a test with each kind of cache.
func eachCache(t *testing.T, test func(t *testing.T, open openCache)) {
	t.Run("as made", func(t *testing.T) {
		test(t, func(s *store.Store, limit int, build makeCounted) *store.Cache[counted, int] {
			return store.NewCache(s, countedRecords, limit, build)
		})
	})
	t.Run("packed", func(t *testing.T) {
		test(t, func(s *store.Store, limit int, build makeCounted) *store.Cache[counted, int] {
			// One in each shard as it is made, and the others packed.
			return store.NewPackedCache(s, countedRecords, 1, limit/2, build, store.Packing[int, store.Scope, int]{
				Pack:   func(n int) (*store.Scope, int, bool) { return &cacheScope, n, n%7 != 0 },
				Unpack: func(_ store.Scope, _ string, _ *store.Scope, n *int) (int, bool) { return *n, true },
			})
		})
	})
}

type openCache = func(s *store.Store, limit int, build makeCounted) *store.Cache[counted, int]

// newCache returns a cache of the numbers, and how often it had to make one.
func newCache(t *testing.T, s *store.Store, open openCache, limit int) (*store.Cache[counted, int], *atomic.Int64) {
	t.Helper()
	var made atomic.Int64
	c := open(s, limit, func(_ store.Scope, item store.Item[counted]) (int, error) {
		made.Add(1)
		if item.Value.N < 0 {
			return 0, errBuild
		}
		return item.Value.N, nil
	})
	t.Cleanup(c.Close)
	return c, &made
}

var errBuild = errors.New("cannot be made")

func mustGet(t *testing.T, c *store.Cache[counted, int], id string) int {
	t.Helper()
	n, err := c.Get(t.Context(), cacheScope, id)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestCacheMakesOnceUntilChanged(t *testing.T) { eachCache(t, testCacheMakesOnceUntilChanged) }

func testCacheMakesOnceUntilChanged(t *testing.T, open openCache) {
	s := storetest.New(t)
	c, made := newCache(t, s, open, 1000)
	putCounted(t, s, "a", 1)
	for range 3 {
		if n := mustGet(t, c, "a"); n != 1 {
			t.Fatalf("got %d", n)
		}
	}
	if made.Load() != 1 {
		t.Errorf("made %d times, want 1", made.Load())
	}
	putCounted(t, s, "a", 2)
	if n := mustGet(t, c, "a"); n != 2 {
		t.Errorf("after the change: %d", n)
	}
	err := s.Update(t.Context(), func(tx *store.Tx) error { return countedRecords.Delete(tx, cacheScope, "a") })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(t.Context(), cacheScope, "a"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("after the deletion: %v", err)
	}
}

func TestCacheKeepsNoErrors(t *testing.T) { eachCache(t, testCacheKeepsNoErrors) }

func testCacheKeepsNoErrors(t *testing.T, open openCache) {
	s := storetest.New(t)
	c, made := newCache(t, s, open, 1000)
	if _, err := c.Get(t.Context(), cacheScope, "absent"); !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	putCounted(t, s, "bad", -1)
	for range 2 {
		if _, err := c.Get(t.Context(), cacheScope, "bad"); !errors.Is(err, errBuild) {
			t.Fatal(err)
		}
	}
	if made.Load() != 2 {
		t.Errorf("made %d times, want 2: an error was kept", made.Load())
	}
	putCounted(t, s, "absent", 5)
	if n := mustGet(t, c, "absent"); n != 5 {
		t.Errorf("got %d", n)
	}
}

func TestCacheTellsScopesApart(t *testing.T) { eachCache(t, testCacheTellsScopesApart) }

func testCacheTellsScopesApart(t *testing.T, open openCache) {
	s := storetest.New(t)
	c, _ := newCache(t, s, open, 1000)
	scopes := []store.Scope{cacheScope, {Account: "111122223333", Region: "eu-west-1"}, {Account: "444455556666", Region: "us-east-1"}}
	err := s.Update(t.Context(), func(tx *store.Tx) error {
		for i, in := range scopes {
			if err := countedRecords.Put(tx, in, "same", counted{i}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for i, in := range scopes {
			if n, err := c.Get(t.Context(), in, "same"); err != nil || n != i {
				t.Errorf("%v: %d, %v", in, n, err)
			}
		}
	}
}

// TestCacheIsBounded reads far more records than fit, and then again: what was
// kept is not made again, and that is at most the limit.
func TestCacheIsBounded(t *testing.T) { eachCache(t, testCacheIsBounded) }

func testCacheIsBounded(t *testing.T, open openCache) {
	const limit, records = 128, 600
	s := storetest.New(t)
	c, made := newCache(t, s, open, limit)
	err := s.Update(t.Context(), func(tx *store.Tx) error {
		for i := range records {
			if err := countedRecords.Put(tx, cacheScope, fmt.Sprint("id-", i), counted{i}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range records {
		mustGet(t, c, fmt.Sprint("id-", i))
	}
	if made.Load() != records {
		t.Fatalf("made %d, want %d", made.Load(), records)
	}
	// Backwards, so that each shard is asked first for what it kept last.
	for i := records - 1; i >= 0; i-- {
		if n := mustGet(t, c, fmt.Sprint("id-", i)); n != i {
			t.Fatalf("id-%d: %d", i, n)
		}
	}
	if kept := 2*records - int(made.Load()); kept < 1 || kept > limit {
		t.Errorf("%d entries were kept, want 1 to %d", kept, limit)
	}
}

// TestCacheOwnsItsKeys reads under an id whose bytes are used for something else
// afterwards, as a request's are, and changes the record then: an entry under a
// name that moved could not be dropped.
func TestCacheOwnsItsKeys(t *testing.T) { eachCache(t, testCacheOwnsItsKeys) }

func testCacheOwnsItsKeys(t *testing.T, open openCache) {
	s := storetest.New(t)
	c, _ := newCache(t, s, open, 1000)
	putCounted(t, s, "key-one", 1)
	for _, part := range []string{"id", "account", "region"} {
		id, in := "key-one", cacheScope
		buffer := []byte(map[string]string{"id": id, "account": in.Account, "region": in.Region}[part])
		original := string(buffer)
		borrowed := unsafe.String(&buffer[0], len(buffer))
		switch part {
		case "id":
			id = borrowed
		case "account":
			in.Account = borrowed
		case "region":
			in.Region = borrowed
		}
		before, err := c.Get(t.Context(), in, id)
		if err != nil {
			t.Fatal(err)
		}
		for i := range buffer {
			buffer[i] = 'x'
		}
		putCounted(t, s, "key-one", before+1)
		copy(buffer, original)
		if after, err := c.Get(t.Context(), in, id); err != nil || after != before+1 {
			t.Errorf("%s: %d, %v; want %d", part, after, err, before+1)
		}
	}
}

// TestCacheRefusesOldReads holds a reader between its read and its keeping while
// the record changes: it may answer what it read, but the next reader must not.
func TestCacheRefusesOldReads(t *testing.T) { eachCache(t, testCacheRefusesOldReads) }

func testCacheRefusesOldReads(t *testing.T, open openCache) {
	s := storetest.New(t)
	putCounted(t, s, "a", 1)
	reading, goOn := make(chan struct{}), make(chan struct{})
	var hold atomic.Bool
	hold.Store(true)
	c := open(s, 1000, func(_ store.Scope, item store.Item[counted]) (int, error) {
		if hold.Swap(false) {
			close(reading)
			<-goOn
		}
		return item.Value.N, nil
	})
	t.Cleanup(c.Close)
	old := make(chan int)
	go func() {
		n, _ := c.Get(context.Background(), cacheScope, "a")
		old <- n
	}()
	<-reading
	putCounted(t, s, "a", 2)
	close(goOn)
	if n := <-old; n != 1 {
		t.Fatalf("the reader that came first read %d", n)
	}
	if n := mustGet(t, c, "a"); n != 2 {
		t.Errorf("after the change was acknowledged: %d", n)
	}
}

// TestCacheIsNeverBehindAnAcknowledgedChange lets readers check, while a writer
// counts up, that no read that begins after a change was acknowledged is behind it.
func TestCacheIsNeverBehindAnAcknowledgedChange(t *testing.T) {
	eachCache(t, testCacheIsNeverBehindAnAcknowledgedChange)
}

func testCacheIsNeverBehindAnAcknowledgedChange(t *testing.T, open openCache) {
	s := storetest.New(t)
	c, _ := newCache(t, s, open, 1000)
	ids := []string{"a", "b", "c"}
	acknowledged := make([]atomic.Int64, len(ids))
	for _, id := range ids {
		putCounted(t, s, id, 0)
	}
	var done atomic.Bool
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for i := 0; !done.Load(); i = (i + 1) % len(ids) {
				least := acknowledged[i].Load()
				n, err := c.Get(context.Background(), cacheScope, ids[i])
				if err != nil || int64(n) < least {
					t.Errorf("%s: %d, %v; %d had been acknowledged", ids[i], n, err, least)
					return
				}
			}
		})
	}
	for n := 1; n <= 50; n++ {
		for i, id := range ids {
			putCounted(t, s, id, n)
			acknowledged[i].Store(int64(n))
		}
	}
	done.Store(true)
	group.Wait()
}
