package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/storetest"
)

var liveKey = secret.Bytes(strings.Repeat("k", 32))

// openLive opens a store with a live set; signed is what a checkpoint says.
func openLive(t *testing.T, b store.Backend, signed []byte) *store.Store {
	t.Helper()
	return storetest.OpenConfig(t, store.Config{Backend: b, LiveKey: liveKey, LiveSigned: signed})
}

func check(t *testing.T, s *store.Store, signed []byte) store.LiveReport {
	t.Helper()
	report, err := s.CheckLive(context.Background(), liveKey, signed)
	must(t, err)
	return report
}

// commitRaw writes behind a store's back.
func commitRaw(t *testing.T, b store.Backend, writes ...store.Write) {
	t.Helper()
	snap, err := b.Snapshot(context.Background())
	must(t, err)
	epoch := snap.Epoch()
	must(t, snap.Close())
	must(t, b.Prepare(context.Background(), epoch))
	must(t, b.Commit(context.Background(), store.Batch{Epoch: epoch, Writes: writes}))
}

// TestTheLiveSetNamesWhatWasDone does one thing to each entry of a store in turn,
// and undoes it.
func TestTheLiveSetNamesWhatWasDone(t *testing.T) {
	b := storetest.Memory(t)
	s := openLive(t, b, nil)
	const n = 24
	for i := range n {
		put(t, s, fmt.Sprintf("thing-%d", i), thing{Name: "old", Owner: "me"})
	}
	put(t, s, "gone", thing{Name: "old"})
	old := stored(t, b, "things")
	for i := range n {
		put(t, s, fmt.Sprintf("thing-%d", i), thing{Name: "new", Owner: "me"})
	}
	must(t, s.Update(context.Background(), func(tx *store.Tx) error { return things.Delete(tx, scope, "gone") }))
	now := map[string][]byte{}
	for _, w := range stored(t, b, "things") {
		now[string(w.Key)] = w.Value
	}
	signed := s.LiveState()
	must(t, s.Close())
	reopened := func(what string, writes ...store.Write) []string {
		t.Helper()
		commitRaw(t, b, writes...)
		s := openLive(t, b, signed)
		report := check(t, s, signed)
		must(t, s.Close())
		if what != "" && (len(report.Findings) != 1 || !strings.Contains(report.Findings[0], what)) {
			t.Errorf("%q, want one finding with %q", report.Findings, what)
		}
		return report.Findings
	}
	if found := reopened(""); found != nil {
		t.Fatalf("an untouched store: %q", found)
	}
	for _, w := range old {
		value, lives := now[string(w.Key)]
		id := "gone"
		for i := range n {
			if strings.Contains(string(w.Key), fmt.Sprintf("thing-%d\x00", i)) {
				id = fmt.Sprintf("thing-%d", i)
			}
		}
		switch {
		case !lives:
			reopened(`record ["`+id+`"] of collection "things" in 111122223333/us-east-1 was put back as it was after change 25, although`, w)
			commitRaw(t, b, store.Write{Key: w.Key})
		case string(value) != string(w.Value):
			reopened(`record ["`+id+`"] of collection "things" in 111122223333/us-east-1 was put back to how it was`, w)
			commitRaw(t, b, store.Write{Key: w.Key, Value: value})
		}
		if lives {
			reopened(fmt.Sprintf("%q] of collection \"things\" in 111122223333/us-east-1 was removed", id), store.Write{Key: w.Key})
			commitRaw(t, b, store.Write{Key: w.Key, Value: value})
		}
	}
	if found := reopened(""); found != nil {
		t.Errorf("with everything undone: %q", found)
	}
	var all []store.Write
	for key := range now {
		all = append(all, store.Write{Key: []byte(key)})
	}
	if found := reopened("", all...); len(found) == 0 || !strings.Contains(found[0], "removed") {
		t.Errorf("with everything removed: %q", found)
	}
}

// TestAnOlderLiveSetIsRefused puts the record of what is there back as well.
func TestAnOlderLiveSetIsRefused(t *testing.T) {
	b := storetest.Memory(t)
	s := openLive(t, b, nil)
	put(t, s, "one", thing{Name: "old"})
	before := stored(t, b)
	put(t, s, "one", thing{Name: "new"})
	signed := s.LiveState()
	must(t, s.Close())
	live := one(t, b, "live-set")
	for name, writes := range map[string][]store.Write{
		"removed":  {{Key: live.Key}},
		"put back": before,
		"cut":      {{Key: live.Key, Value: live.Value[:40]}},
	} {
		commitRaw(t, b, writes...)
		_, err := store.New(store.Config{Backend: b, Sealer: new(storetest.Sealer), LiveKey: liveKey, LiveSigned: signed})
		if !errors.Is(err, store.ErrRolledBack) && !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%s: %v, want ErrRolledBack or ErrCorrupt", name, err)
		}
		if report, err := store.CheckLive(t.Context(), b, new(storetest.Sealer), liveKey, signed); err != nil || report.Err() == nil {
			t.Errorf("%s: a check finds %v, %v", name, report, err)
		}
	}
	s = storetest.OpenConfig(t, store.Config{Backend: b, LiveKey: liveKey, LiveSigned: signed, LiveAccept: true})
	if report := check(t, s, s.LiveState()); !s.LiveComputed() || report.Err() != nil {
		t.Errorf("accepted: computed %v, %q", s.LiveComputed(), report.Findings)
	}
}

// TestTheLiveSetStartsWithWhatIsThere is the upgrade of an older folder, and the way
// back over an older version.
func TestTheLiveSetStartsWithWhatIsThere(t *testing.T) {
	b := storetest.Memory(t)
	s := storetest.Open(t, b)
	put(t, s, "one", thing{Owner: "me"})
	must(t, s.Close())
	if _, err := store.New(store.Config{Backend: b, Sealer: new(storetest.Sealer), LiveKey: liveKey}); !errors.Is(err, store.ErrRolledBack) {
		t.Errorf("records without a checkpoint: %v, want ErrRolledBack", err)
	}
	for range 2 {
		s = storetest.OpenConfig(t, store.Config{Backend: b, LiveKey: liveKey, LiveAbsent: true})
		put(t, s, "two", thing{})
		if report := check(t, s, s.LiveState()); !s.LiveComputed() || report.Err() != nil || report.Records != 3 {
			t.Errorf("%v, computed %v", report, s.LiveComputed())
		}
		must(t, s.Close())
		s = openLive(t, b, nil) // a start that was interrupted before it signed
		if s.LiveComputed() {
			t.Error("what was kept was computed again")
		}
		must(t, s.Close())
		s = storetest.Open(t, b) // which keeps none
		put(t, s, "one", thing{Owner: "you"})
		must(t, s.Close())
	}
}

// TestTheLiveSetFollowsSharedCommits: many updates to the same records in shared
// commits, with conflicts in between.
func TestTheLiveSetFollowsSharedCommits(t *testing.T) {
	b := storetest.Memory(t)
	s := storetest.OpenConfig(t, store.Config{Backend: storetest.Conflicting(b), LiveKey: liveKey})
	done := make(chan error)
	const workers = 8
	for w := range workers {
		go func() {
			for i := range 20 {
				err := s.Update(context.Background(), func(tx *store.Tx) error {
					id := fmt.Sprint((w + i) % 5)
					if i%4 == 3 {
						if err := things.Delete(tx, scope, id); !errors.Is(err, store.ErrNotFound) {
							return err
						}
						return nil
					}
					err := things.Put(tx, scope, id, thing{Owner: fmt.Sprint(w)})
					if i%4 == 1 { // twice in one Update
						err = errors.Join(err, things.Put(tx, scope, id, thing{Owner: fmt.Sprint(i)}))
					}
					if i%8 == 2 {
						err = errors.Join(err, things.Delete(tx, scope, id))
					}
					return err
				})
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range workers {
		must(t, <-done)
	}
	if report := check(t, s, s.LiveState()); report.Err() != nil {
		t.Errorf("%q", report.Findings)
	}
}

// readCounted is a backend that counts the reads of single records.
type readCounted struct {
	store.Backend
	gets *atomic.Int64
}

func (c readCounted) Snapshot(ctx context.Context) (store.Snapshot, error) {
	state, err := c.Backend.Snapshot(ctx)
	return readCountedState{state, c.gets}, err
}

type readCountedState struct {
	store.Snapshot
	gets *atomic.Int64
}

func (c readCountedState) Get(key []byte) ([]byte, error) {
	c.gets.Add(1)
	return c.Snapshot.Get(key)
}

// TestTheLiveSetReadsNothingAgain: what an Update has read, its commit does not.
func TestTheLiveSetReadsNothingAgain(t *testing.T) {
	var gets atomic.Int64
	s := storetest.OpenConfig(t, store.Config{Backend: readCounted{storetest.Memory(t), &gets}, LiveKey: liveKey, LiveAbsent: true})
	for i, owner := range []string{"", "", "me"} {
		before := gets.Load()
		put(t, s, "one", thing{Name: fmt.Sprint(i), Owner: owner})
		want := int64(1)
		if owner != "" {
			want = 2 // its index entry
		}
		if made := gets.Load() - before; made != want {
			t.Errorf("Put %d read %d times, want %d", i, made, want)
		}
	}
	before := gets.Load()
	must(t, s.Update(context.Background(), func(tx *store.Tx) error {
		return errors.Join(things.Put(tx, scope, "two", thing{}), things.Delete(tx, scope, "two"), things.Put(tx, scope, "two", thing{Name: "x"}))
	}))
	if made := gets.Load() - before; made != 1 {
		t.Errorf("three writes of one record read %d times", made)
	}
	if report := check(t, s, s.LiveState()); report.Err() != nil || report.Records != 3 {
		t.Errorf("%d records, %q", report.Records, report.Findings)
	}
}

// unreadable is a backend whose live set cannot be read while failing is set.
type unreadable struct {
	store.Backend
	failing *atomic.Bool
}

type unreadableState struct {
	store.Snapshot
	failing *atomic.Bool
}

func (b unreadable) Snapshot(ctx context.Context) (store.Snapshot, error) {
	state, err := b.Backend.Snapshot(ctx)
	return unreadableState{state, b.failing}, err
}

func (s unreadableState) Get(key []byte) ([]byte, error) {
	if s.failing.Load() && bytes.Contains(key, []byte("live-set")) {
		return nil, errors.New("cannot be read")
	}
	return s.Snapshot.Get(key)
}

// TestTheLiveSetThatCouldNotBeReadAgain: a node that cannot read the set which another
// has left refuses, and keeps the set when it can.
func TestTheLiveSetThatCouldNotBeReadAgain(t *testing.T) {
	b, failing := storetest.Memory(t), new(atomic.Bool)
	one, two := openLive(t, b, nil), openLive(t, unreadable{b, failing}, nil)
	put(t, one, "1", thing{Name: "one"})
	failing.Store(true)
	err := two.Update(t.Context(), func(tx *store.Tx) error { return things.Put(tx, scope, "2", thing{Name: "two"}) })
	if err == nil {
		t.Fatal("changed on top of a live set that could not be read")
	}
	failing.Store(false)
	put(t, two, "2", thing{Name: "two"})
	if report := check(t, two, two.LiveState()); two.LiveState() == nil || report.Err() != nil {
		t.Errorf("%q", report.Findings)
	}
}

// TestTheLiveSetOfTwoNodes: two stores over one backend write in turn. Neither may
// lose what the other put into the set, and a checkpoint of a change that one has
// not taken in yet is no rollback to it.
func TestTheLiveSetOfTwoNodes(t *testing.T) {
	b := storetest.Memory(t)
	nodes := []*store.Store{openLive(t, b, nil), openLive(t, b, nil)}
	for i := range 12 {
		writer, other := nodes[i%2], nodes[(i+1)%2]
		put(t, writer, fmt.Sprint(i%5), thing{Name: fmt.Sprint(i)})
		signed := writer.LiveState()
		for name, s := range map[string]*store.Store{"the writer": writer, "the other": other} {
			if report := check(t, s, signed); report.Err() != nil || report.Epoch != uint64(i+1) {
				t.Errorf("change %d: %s finds %v", i, name, report)
			}
		}
		if report := check(t, openLive(t, b, signed), signed); report.Err() != nil {
			t.Errorf("change %d: a third finds %v", i, report)
		}
	}
}

// TestADatabaseOlderThanItsTrail: the records, their epoch and their live set are of
// one moment, and the newest checkpoint is of a later one.
func TestADatabaseOlderThanItsTrail(t *testing.T) {
	older, newer := storetest.Memory(t), openLive(t, storetest.Memory(t), nil)
	s := openLive(t, older, nil)
	put(t, s, "one", thing{})
	must(t, s.Close())
	put(t, newer, "one", thing{})
	put(t, newer, "two", thing{})
	_, err := store.New(store.Config{Backend: older, Sealer: new(storetest.Sealer), LiveKey: liveKey, LiveSigned: newer.LiveState()})
	if !errors.Is(err, store.ErrRolledBack) {
		t.Errorf("%v, want ErrRolledBack", err)
	}
}

// TestAdd: what is added is read as what is put, without a look at what was there; what
// was there nevertheless is found to be lost.
func TestAdd(t *testing.T) {
	b := storetest.Memory(t)
	s := openLive(t, b, nil)
	add := func(id string, v thing) {
		t.Helper()
		must(t, s.Update(t.Context(), func(tx *store.Tx) error { return things.Add(tx, scope, id, v) }))
	}
	add("one", thing{Name: "1", Owner: "alice"})
	must(t, s.View(t.Context(), func(r store.Reader) error {
		items, _, err := things.ScanIndex(r, scope, "owner", "alice", "", 10)
		if err != nil || len(items) != 1 || items[0].Value != (thing{Name: "1", Owner: "alice"}) {
			t.Errorf("%v, %v", items, err)
		}
		return nil
	}))
	if report := check(t, s, s.LiveState()); report.Err() != nil {
		t.Error(report.Err())
	}
	add("one", thing{Name: "another"})
	if report := check(t, s, s.LiveState()); report.Err() == nil {
		t.Error("nobody sees that a record was lost")
	}
	err := s.Update(t.Context(), func(tx *store.Tx) error { return things.Add(tx, scope, "", thing{}) })
	if !errors.Is(err, store.ErrKey) {
		t.Errorf("an id of no bytes: %v, want ErrKey", err)
	}
}
