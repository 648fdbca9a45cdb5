package store_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/storetest"
)

// stuckDisk is a backend whose reads hang once it is told to, until it is let go.
type stuckDisk struct {
	store.Backend
	hangs   atomic.Bool
	reached chan struct{} // one for each read that hangs
	letGo   chan struct{}
}

func newStuckDisk(t *testing.T) *stuckDisk {
	return &stuckDisk{Backend: storetest.Memory(t), reached: make(chan struct{}, 100), letGo: make(chan struct{})}
}

func (d *stuckDisk) Snapshot(ctx context.Context) (store.Snapshot, error) {
	snap, err := d.Backend.Snapshot(ctx)
	return &stuckSnapshot{snap, d}, err
}

func (d *stuckDisk) wait() {
	if d.hangs.Load() {
		d.reached <- struct{}{}
		<-d.letGo
	}
}

type stuckSnapshot struct {
	store.Snapshot
	disk *stuckDisk
}

func (s *stuckSnapshot) Get(key []byte) ([]byte, error) {
	s.disk.wait()
	return s.Snapshot.Get(key)
}

func (s *stuckSnapshot) Scan(from, to []byte, fn func(key, value []byte) bool) error {
	first := true
	return s.Snapshot.Scan(from, to, func(key, value []byte) bool {
		if !first {
			s.disk.wait() // within the scan, after some of it was shown
		}
		first = false
		return fn(key, value)
	})
}

// TestReadsOfADiskThatHangs: whoever reads is answered when its time is over, and
// what it left behind neither calls it again nor keeps the store from closing well.
func TestReadsOfADiskThatHangs(t *testing.T) {
	disk := newStuckDisk(t)
	s := storetest.Open(t, disk)
	must(t, s.Update(t.Context(), func(tx *store.Tx) error {
		return errors.Join(things.Put(tx, scope, "one", thing{Name: "1"}), things.Put(tx, scope, "two", thing{Name: "2"}))
	}))
	disk.hangs.Store(true)
	cached := store.NewCache(s, things, 10, func(_ store.Scope, item store.Item[thing]) (thing, error) { return item.Value, nil })
	t.Cleanup(cached.Close)
	reads := map[string]func(ctx context.Context) error{
		"a View's Get": func(ctx context.Context) error {
			return s.View(ctx, func(r store.Reader) error { _, err := things.Get(r, scope, "one"); return err })
		},
		"a View's Scan": func(ctx context.Context) error {
			return s.View(ctx, func(r store.Reader) error { _, _, err := things.Scan(r, scope, "", 10); return err })
		},
		"an Update's Get": func(ctx context.Context) error {
			return s.Update(ctx, func(tx *store.Tx) error { _, err := things.Get(tx, scope, "one"); return err })
		},
		"an Update's Scan": func(ctx context.Context) error {
			return s.Update(ctx, func(tx *store.Tx) error { _, _, err := things.Scan(tx, scope, "", 10); return err })
		},
		"a Cache": func(ctx context.Context) error { _, err := cached.Get(ctx, scope, "one"); return err },
	}
	for name, read := range reads {
		ctx, cancel := context.WithCancel(t.Context())
		answer := make(chan error, 1)
		go func() { answer <- read(ctx) }()
		<-disk.reached
		cancel()
		if err := <-answer; !errors.Is(err, context.Canceled) || errors.Is(err, store.ErrUnknown) {
			t.Errorf("%s: %v, want that its time is over and nothing was done", name, err)
		}
	}
	// What needs no reading goes through.
	must(t, s.Append(t.Context(), []byte("a record")))

	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	select {
	case err := <-closed:
		t.Fatalf("the store closed under reads that had not come back: %v", err)
	case <-s.Closing():
	}
	close(disk.letGo)
	must(t, <-closed)
}

func TestAPanicWhileScanningIsTheCallers(t *testing.T) {
	s := storetest.New(t)
	must(t, s.Update(t.Context(), func(tx *store.Tx) error { return things.Put(tx, scope, "one", thing{Name: "1"}) }))
	broken := store.NewCollection[exploding]("things", 2)
	defer func() {
		if p := recover(); p == nil || !strings.Contains(p.(string), "boom") {
			t.Errorf("recovered %v", p)
		}
		// Nothing is held.
		must(t, s.View(t.Context(), func(r store.Reader) error { _, _, err := things.Scan(r, scope, "", 10); return err }))
	}()
	_ = s.View(t.Context(), func(r store.Reader) error { _, _, err := broken.Scan(r, scope, "", 10); return err })
}

// exploding panics when it is decoded from anything but its zero value.
type exploding struct{}

func (exploding) UnmarshalJSON(text []byte) error {
	if string(text) != "{}" {
		panic("boom")
	}
	return nil
}
