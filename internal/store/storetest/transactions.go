package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/strongroom/strongroom/internal/store"
)

// note is what the suite stores.
type note struct {
	Text  string   `json:"text"`
	Count int      `json:"count"`
	Tags  []string `json:"tags,omitempty"`
}

var (
	notes = store.NewCollection("notes", 1,
		store.Index[note]{Name: "tag", Values: func(_ string, n note) []string { return n.Tags }},
		store.Index[note]{Name: "text", Values: func(_ string, n note) []string {
			if n.Text == "" {
				return nil
			}
			return []string{n.Text}
		}})
	// neighbour has a name that begins with the other's.
	neighbour = store.NewCollection[note]("notes2", 1)

	here  = store.Scope{Account: "111122223333", Region: "us-east-1"}
	there = store.Scope{Account: "111122223333", Region: "us-east-12"}
	else_ = store.Scope{Account: "11112222333", Region: "3us-east-1"}
)

func update(t testing.TB, s *store.Store, fn func(tx *store.Tx) error) {
	t.Helper()
	must(t, s.Update(context.Background(), fn))
}

func view(t testing.TB, s *store.Store, fn func(r store.Reader) error) {
	t.Helper()
	must(t, s.View(context.Background(), fn))
}

func ids(items []store.Item[note]) (ids []string) {
	for _, item := range items {
		ids = append(ids, item.ID)
	}
	return ids
}

func testRecords(t *testing.T, _ store.Backend, s *store.Store) {
	ctx := context.Background()
	update(t, s, func(tx *store.Tx) error {
		return notes.Put(tx, here, "a", note{Text: "one"})
	})
	view(t, s, func(r store.Reader) error {
		item, err := notes.GetItem(r, here, "a")
		if err != nil || item.Value.Text != "one" || item.Version != 1 || item.ID != "a" || r.Epoch() != 1 || s.Epoch() != 1 {
			t.Errorf("GetItem = %+v, %v at epoch %d", item, err, r.Epoch())
		}
		for _, scope := range []store.Scope{there, else_, store.Deployment} {
			if _, err := notes.Get(r, scope, "a"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("the record is seen from %v: %v", scope, err)
			}
		}
		if _, err := neighbour.Get(r, here, "a"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the record is seen from another collection: %v", err)
		}
		return nil
	})
	update(t, s, func(tx *store.Tx) error {
		if err := notes.Put(tx, here, "a", note{Text: "two"}); err != nil {
			return err
		}
		item, err := notes.GetItem(tx, here, "a")
		if err != nil || item.Value.Text != "two" || item.Version != 2 {
			t.Errorf("a transaction reads %+v, %v where it wrote two", item, err)
		}
		return neighbour.Put(tx, there, "a", note{})
	})
	update(t, s, func(tx *store.Tx) error { return notes.Delete(tx, here, "a") })
	err := s.Update(ctx, func(tx *store.Tx) error { return notes.Delete(tx, here, "a") })
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("deleting nothing: %v, want ErrNotFound", err)
	}
	update(t, s, func(tx *store.Tx) error { return nil })
	if s.Epoch() != 3 {
		t.Errorf("epoch %d after 3 changes", s.Epoch())
	}
	for _, id := range []string{"", string(make([]byte, 1025))} {
		err := s.Update(ctx, func(tx *store.Tx) error {
			_ = notes.Put(tx, here, id, note{})
			return nil
		})
		if !errors.Is(err, store.ErrKey) {
			t.Errorf("an id of %d bytes: %v, want ErrKey", len(id), err)
		}
	}
	long := strings.Repeat("\x00", 1024) // each takes two bytes of a key
	err = s.Update(ctx, func(tx *store.Tx) error { return notes.Put(tx, here, long, note{Text: long}) })
	if !errors.Is(err, store.ErrKey) {
		t.Errorf("an id and an index value that are too long together: %v, want ErrKey", err)
	}
}

func testScans(t *testing.T, _ store.Backend, s *store.Store) {
	const n = 1200
	want := make([]string, n)
	for i := range want {
		want[i] = fmt.Sprintf("%05d", i*3)
	}
	for half := range 2 { // the second between those of the first
		update(t, s, func(tx *store.Tx) error {
			for i := half; i < n; i += 2 {
				if err := notes.Put(tx, here, want[i], note{Count: i}); err != nil {
					return err
				}
			}
			return errors.Join(notes.Put(tx, there, "00000", note{}), notes.Put(tx, else_, "00000", note{}),
				neighbour.Put(tx, here, "00000", note{}))
		})
	}
	check := func(r store.Reader, want []string) {
		t.Helper()
		for _, limit := range []int{1, 7, 1000, n, n + 1} {
			if limit == 1 && len(want) > 100 {
				continue
			}
			var got []string
			for more := true; more; {
				after := ""
				if len(got) > 0 {
					after = got[len(got)-1]
				}
				var items []store.Item[note]
				var err error
				items, more, err = notes.Scan(r, here, after, limit)
				if err != nil || more && len(items) != limit || len(items) > limit {
					t.Fatalf("a page of %d has %d items, more: %v, %v", limit, len(items), more, err)
				}
				got = append(got, ids(items)...)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("pages of %d give %d items, want %d", limit, len(got), len(want))
			}
		}
	}
	view(t, s, func(r store.Reader) error {
		check(r, want)
		items, more, err := notes.Scan(r, here, "00001", 1) // behind an id that isn't there
		if err != nil || !more || items[0].ID != "00003" {
			t.Errorf("Scan behind 00001 = %v, %v, %v", items, more, err)
		}
		if _, _, err := notes.Scan(r, here, "", 0); !errors.Is(err, store.ErrLimit) {
			t.Errorf("a limit of 0: %v, want ErrLimit", err)
		}
		return nil
	})
	update(t, s, func(tx *store.Tx) error { // a transaction's own writes among those of others
		mine := slices.Clone(want[:100])
		for _, id := range want[100:] {
			if err := notes.Delete(tx, here, id); err != nil {
				return err
			}
		}
		for _, id := range []string{"", "00000", "00005", "00297"} {
			if err := notes.Put(tx, here, id+"+", note{}); err != nil {
				return err
			}
			mine = append(mine, id+"+")
		}
		slices.Sort(mine)
		check(tx, mine)
		return nil
	})
}

func testIndexes(t *testing.T, _ store.Backend, s *store.Store) {
	update(t, s, func(tx *store.Tx) error {
		return errors.Join(
			notes.Put(tx, here, "1", note{Text: "x", Tags: []string{"a", "b"}}),
			notes.Put(tx, here, "2", note{Text: "y", Tags: []string{"b"}}),
			notes.Put(tx, here, "3", note{Tags: []string{"b\x00", "ba", "b"}}),
			notes.Put(tx, there, "4", note{Tags: []string{"b"}}))
	})
	check := func(r store.Reader, index, value string, want ...string) {
		t.Helper()
		var got []string
		for more, after := true, ""; more; after = got[len(got)-1] {
			var items []store.Item[note]
			var err error
			items, more, err = notes.ScanIndex(r, here, index, value, after, 1)
			must(t, err)
			if got = append(got, ids(items)...); len(got) == 0 {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s %q: %q, want %q", index, value, got, want)
		}
	}
	view(t, s, func(r store.Reader) error {
		check(r, "tag", "a", "1")
		check(r, "tag", "b", "1", "2", "3")
		check(r, "tag", "b\x00", "3")
		check(r, "tag", "c")
		check(r, "text", "y", "2")
		var got []string
		for cursor, more := (store.Cursor{}), true; more; {
			var items []store.Item[note]
			var err error
			items, more, err = notes.ScanIndexRange(r, here, "tag", "b", "bb", cursor, 2)
			must(t, err)
			for _, item := range items {
				got = append(got, item.Index+item.ID)
				cursor = store.Cursor{Value: item.Index, ID: item.ID}
			}
		}
		if want := []string{"b1", "b2", "b3", "b\x003", "ba3"}; !slices.Equal(got, want) {
			t.Errorf("tags from b to bb: %q, want %q", got, want)
		}
		if items, _, err := notes.ScanIndexRange(r, here, "tag", "b", "a", store.Cursor{}, 9); err != nil || items != nil {
			t.Errorf("an empty range: %v, %v", items, err)
		}
		if items, _, err := notes.ScanIndexRange(r, here, "tag", "", "", store.Cursor{}, 9); err != nil || len(items) != 6 {
			t.Errorf("the whole index: %v, %v", items, err)
		}
		if _, _, err := notes.ScanIndex(r, here, "none", "b", "", 1); err == nil {
			t.Error("an index that isn't there was scanned")
		}
		return nil
	})
	update(t, s, func(tx *store.Tx) error {
		err := errors.Join(
			notes.Put(tx, here, "1", note{Text: "z", Tags: []string{"c", "b"}}),
			notes.Delete(tx, here, "2"))
		check(tx, "tag", "b", "1", "3")
		check(tx, "tag", "c", "1")
		return err
	})
	view(t, s, func(r store.Reader) error {
		check(r, "tag", "a")
		check(r, "tag", "b", "1", "3")
		check(r, "tag", "c", "1")
		check(r, "text", "x")
		check(r, "text", "y")
		check(r, "text", "z", "1")
		return nil
	})
}

func testIsolation(t *testing.T, _ store.Backend, s *store.Store) {
	put := func(n int) {
		update(t, s, func(tx *store.Tx) error {
			return errors.Join(notes.Put(tx, here, "a", note{Count: n}), notes.Put(tx, here, "b", note{Count: -n}),
				notes.Put(tx, here, fmt.Sprint("new ", n), note{}))
		})
	}
	put(1)
	view(t, s, func(r store.Reader) error {
		for n := 2; n < 6; n++ {
			put(n)
			a, err := notes.GetItem(r, here, "a")
			must(t, err)
			b, err := notes.Get(r, here, "b")
			must(t, err)
			all, _, err := notes.Scan(r, here, "", 100)
			must(t, err)
			if a.Value.Count != 1 || b.Count != -1 || len(all) != 3 || r.Epoch() != 1 || a.Version != 1 {
				t.Errorf("a View changed while it was open: %v, %v, %v, epoch %d", a, b, all, r.Epoch())
			}
		}
		return nil
	})
	var kept store.Reader
	view(t, s, func(r store.Reader) error {
		a, err := notes.GetItem(r, here, "a")
		if err != nil || a.Value.Count != 5 || a.Version != 5 {
			t.Errorf("a new View shows %v, %v", a, err)
		}
		kept = r
		return nil
	})
	if _, err := notes.Get(kept, here, "a"); !errors.Is(err, store.ErrFinished) {
		t.Errorf("a Reader was used after its View: %v", err)
	}
	var tx *store.Tx
	update(t, s, func(x *store.Tx) error { tx = x; return nil })
	if err := notes.Put(tx, here, "a", note{}); !errors.Is(err, store.ErrFinished) {
		t.Errorf("a Tx was used after its Update: %v", err)
	}
	if err := tx.Append([]byte("x")); !errors.Is(err, store.ErrFinished) {
		t.Errorf("a Tx was appended to after its Update: %v", err)
	}
}

func testAtomicity(t *testing.T, b store.Backend, s *store.Store) {
	ctx := context.Background()
	no := errors.New("no")
	write := func(tx *store.Tx, name string) error {
		return errors.Join(notes.Put(tx, here, name+"1", note{}), tx.Append([]byte(name+"1")),
			notes.Put(tx, there, name+"2", note{}), tx.Append([]byte(name+"2")))
	}
	update(t, s, func(tx *store.Tx) error { return write(tx, "kept") })
	err := s.Update(ctx, func(tx *store.Tx) error { return errors.Join(write(tx, "dropped"), no) })
	if !errors.Is(err, no) {
		t.Errorf("Update returned %v, want its function's error", err)
	}
	must(t, s.Append(ctx, []byte("alone")))
	must(t, s.Checkpoint(ctx))
	func() {
		defer func() {
			if recover() == nil {
				t.Error("a panic was swallowed")
			}
		}()
		_ = s.Update(ctx, func(tx *store.Tx) error { _ = write(tx, "panicked"); panic("here") })
	}()
	for name, record := range map[string][]byte{"none": nil, "a large one": make([]byte, 1<<20+1)} {
		if err := s.Append(ctx, record); !errors.Is(err, store.ErrTooLarge) {
			t.Errorf("appending %s: %v, want ErrTooLarge", name, err)
		}
		err := s.Update(ctx, func(tx *store.Tx) error { _ = write(tx, "large"); _ = tx.Append(record); return nil })
		if !errors.Is(err, store.ErrTooLarge) {
			t.Errorf("appending %s in an Update: %v, want ErrTooLarge", name, err)
		}
	}
	update(t, s, func(tx *store.Tx) error { return write(tx, "last") })
	records, err := Records(ctx, b)
	must(t, err)
	if want := []string{"kept1", "kept2", "alone", "last1", "last2"}; !slices.Equal(records, want) {
		t.Errorf("the journal holds %q, want %q", records, want)
	}
	view(t, s, func(r store.Reader) error {
		for _, scope := range []store.Scope{here, there} {
			items, _, err := notes.Scan(r, scope, "", 100)
			if err != nil || len(items) != 2 {
				t.Errorf("%v holds %q, %v", scope, ids(items), err)
			}
		}
		return nil
	})
}

func testScopes(t *testing.T, _ store.Backend, s *store.Store) {
	scopes := []store.Scope{store.Deployment, {Account: "1", Region: "a"}, {Account: "1", Region: "a\x00"},
		{Account: "1", Region: "aa"}, {Account: "1\x00", Region: "a"}, {Account: "11", Region: "a"}}
	update(t, s, func(tx *store.Tx) error {
		for _, scope := range scopes {
			for i := range 3 {
				if err := notes.Put(tx, scope, fmt.Sprint(i), note{Text: "x"}); err != nil {
					return err
				}
			}
		}
		return nil
	})
	view(t, s, func(r store.Reader) error {
		got, err := store.Scopes(r)
		if err != nil || !slices.Equal(got, scopes) {
			t.Errorf("Scopes = %q, %v; want %q", got, err, scopes)
		}
		return nil
	})
}

// testRandom compares a store with a map.
func testRandom(t *testing.T, _ store.Backend, s *store.Store) {
	const seed = 5
	rng := rand.New(rand.NewPCG(seed, 0))
	model := map[string]note{}
	for range 60 {
		type op struct {
			id     string
			value  note
			delete bool
		}
		var ops []op
		for range 1 + rng.IntN(8) {
			ops = append(ops, op{fmt.Sprint(rng.IntN(20)), note{Count: rng.Int(), Tags: []string{fmt.Sprint(rng.IntN(4))}}, rng.IntN(3) == 0})
		}
		keep := rng.IntN(4) > 0
		var next map[string]note
		err := s.Update(context.Background(), func(tx *store.Tx) error {
			next = make(map[string]note)
			for k, v := range model {
				next[k] = v
			}
			for _, o := range ops {
				if o.delete {
					_, exists := next[o.id]
					if err := notes.Delete(tx, here, o.id); errors.Is(err, store.ErrNotFound) == exists {
						return fmt.Errorf("deleting %s: %w", o.id, err)
					}
					delete(next, o.id)
				} else {
					must(t, notes.Put(tx, here, o.id, o.value))
					next[o.id] = o.value
				}
			}
			compare(t, tx, next)
			if !keep {
				return errors.New("no")
			}
			return nil
		})
		if (err == nil) != keep {
			t.Fatalf("Update: %v", err)
		}
		if keep {
			model = next
		}
		view(t, s, func(r store.Reader) error { compare(t, r, model); return nil })
	}
}

func compare(t *testing.T, r store.Reader, model map[string]note) {
	t.Helper()
	items, _, err := notes.Scan(r, here, "", 1000)
	must(t, err)
	if len(items) != len(model) {
		t.Fatalf("%d records, want %d", len(items), len(model))
	}
	byTag := map[string]int{}
	for _, item := range items {
		if want := model[item.ID]; want.Count != item.Value.Count {
			t.Fatalf("record %s is %+v, want %+v", item.ID, item.Value, want)
		}
		byTag[item.Value.Tags[0]]++
	}
	for i := range 4 {
		tag := fmt.Sprint(i)
		found, _, err := notes.ScanIndex(r, here, "tag", tag, "", 1000)
		must(t, err)
		if len(found) != byTag[tag] {
			t.Fatalf("%d records with tag %s, want %d", len(found), tag, byTag[tag])
		}
	}
}

// testSerialisable moves amounts between records from many goroutines: no sum a
// View or a transaction sees differs, and no move is lost.
func testSerialisable(t *testing.T, b store.Backend, s *store.Store) {
	const records, workers, moves = 5, 8, 25
	update(t, s, func(tx *store.Tx) error {
		for i := range records {
			if err := notes.Put(tx, here, fmt.Sprint(i), note{Count: 100}); err != nil {
				return err
			}
		}
		return nil
	})
	sum := func(r store.Reader) error {
		items, _, err := notes.Scan(r, here, "", records)
		total := 0
		for _, item := range items {
			total += item.Value.Count
		}
		if err == nil && total != 100*records {
			err = fmt.Errorf("the records sum up to %d", total)
		}
		return err
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(w)))
			for i := range moves {
				from, to := fmt.Sprint(rng.IntN(records)), fmt.Sprint(rng.IntN(records))
				err := s.Update(context.Background(), func(tx *store.Tx) error {
					for id, by := range map[string]int{from: -1, to: +1} {
						if from == to {
							by = 0
						}
						n, err := notes.Get(tx, here, id)
						if err != nil {
							return err
						}
						n.Count += by
						if err := notes.Put(tx, here, id, n); err != nil {
							return err
						}
					}
					return errors.Join(sum(tx), tx.Append(fmt.Appendf(nil, "%d/%d", w, i)))
				})
				if err == nil {
					err = s.View(context.Background(), sum)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if s.Epoch() != 1+workers*moves {
		t.Errorf("epoch %d after %d changes", s.Epoch(), 1+workers*moves)
	}
	got, err := Records(context.Background(), b)
	must(t, err)
	next := make(map[string]int)
	for _, r := range got {
		var w string
		var i int
		if _, err := fmt.Sscanf(r, "%1s/%d", &w, &i); err != nil || next[w] != i {
			t.Errorf("record %q where number %d was to come", r, next[w])
		}
		next[w] = i + 1
	}
	if len(got) != workers*moves {
		t.Errorf("%d audit records of %d", len(got), workers*moves)
	}
}
