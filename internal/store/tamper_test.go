package store_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/storetest"
)

type thing struct {
	Name  string `json:"name"`
	Owner string `json:"owner,omitempty"`
}

var (
	things = store.NewCollection("things", 2, store.Index[thing]{Name: "owner", Values: func(_ string, v thing) []string {
		if v.Owner == "" {
			return nil
		}
		return []string{v.Owner}
	}})
	scope = store.Scope{Account: "111122223333", Region: "us-east-1"}
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t testing.TB, s *store.Store, id string, v thing) {
	t.Helper()
	must(t, s.Update(context.Background(), func(tx *store.Tx) error { return things.Put(tx, scope, id, v) }))
}

func get(s *store.Store, id string) (v thing, err error) {
	err = s.View(context.Background(), func(r store.Reader) (err error) { v, err = things.Get(r, scope, id); return err })
	return v, err
}

// stored returns the raw entries of a backend whose key contains all words.
func stored(t *testing.T, b store.Backend, words ...string) (found []store.Write) {
	t.Helper()
	snap, err := b.Snapshot(context.Background())
	must(t, err)
	defer snap.Close()
	must(t, snap.Scan(nil, []byte{0xff}, func(k, v []byte) bool {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(string(k), w) }) {
			found = append(found, store.Write{Key: bytes.Clone(k), Value: bytes.Clone(v)})
		}
		return true
	}))
	return found
}

// overwrite writes behind the store's back, and returns a store that reads it.
func overwrite(t *testing.T, s *store.Store, b store.Backend, writes ...store.Write) *store.Store {
	t.Helper()
	epoch := s.Epoch()
	must(t, s.Close())
	must(t, b.Prepare(context.Background(), epoch))
	must(t, b.Commit(context.Background(), store.Batch{Epoch: epoch, Writes: writes}))
	return storetest.Open(t, b)
}

func one(t *testing.T, b store.Backend, words ...string) store.Write {
	t.Helper()
	found := stored(t, b, words...)
	if len(found) != 1 {
		t.Fatalf("%d entries with %q", len(found), words)
	}
	return found[0]
}

const (
	mark  = "things\x00\x01r" // in the key of a record
	entry = "things\x00\x01i" // in the key of an index entry
)

func TestNothingIsStoredInTheClear(t *testing.T) {
	b := storetest.Memory(t)
	s := storetest.Open(t, b)
	put(t, s, "one", thing{Name: "canary", Owner: "me"})
	all := stored(t, b)
	if len(all) != 2 {
		t.Fatalf("%d entries, want a record and an index entry", len(all))
	}
	for _, w := range all {
		if bytes.Contains(w.Value, []byte("canary")) || bytes.Contains(w.Value, []byte("name")) {
			t.Errorf("%q is in the clear", w.Key)
		}
	}
}

func TestRecordsThatWereTamperedWith(t *testing.T) {
	// Each gives what to write, having records one and two, both owned by me.
	for name, tamper := range map[string]func(t *testing.T, b store.Backend) []store.Write{
		"swapped": func(t *testing.T, b store.Backend) []store.Write {
			x, y := one(t, b, mark, "one"), one(t, b, mark, "two")
			return []store.Write{{Key: x.Key, Value: y.Value}, {Key: y.Key, Value: x.Value}}
		},
		"cut": func(t *testing.T, b store.Backend) []store.Write {
			x := one(t, b, mark, "one")
			return []store.Write{{Key: x.Key, Value: x.Value[:30]}}
		},
		"emptied": func(t *testing.T, b store.Backend) []store.Write {
			return []store.Write{{Key: one(t, b, mark, "one").Key, Value: []byte{}}}
		},
		"flipped": func(t *testing.T, b store.Backend) []store.Write {
			x := one(t, b, mark, "one")
			x.Value[len(x.Value)-20] ^= 1
			return []store.Write{x}
		},
		"an index entry's value": func(t *testing.T, b store.Backend) []store.Write {
			return []store.Write{{Key: one(t, b, mark, "one").Key, Value: one(t, b, entry, "one").Value}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := storetest.Memory(t)
			s := storetest.Open(t, b)
			put(t, s, "one", thing{Name: "canary", Owner: "me"})
			put(t, s, "two", thing{Name: "canary", Owner: "me"})
			s = overwrite(t, s, b, tamper(t, b)...)
			for what, err := range map[string]error{
				"Get": func() error { _, err := get(s, "one"); return err }(),
				"Scan": s.View(context.Background(), func(r store.Reader) error {
					_, _, err := things.Scan(r, scope, "", 10)
					return err
				}),
				"ScanIndex": s.View(context.Background(), func(r store.Reader) error {
					_, _, err := things.ScanIndex(r, scope, "owner", "me", "", 10)
					return err
				}),
				"Put": s.Update(context.Background(), func(tx *store.Tx) error { return things.Put(tx, scope, "one", thing{}) }),
			} {
				if !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), `"things"`) ||
					!strings.Contains(err.Error(), `"one"`) || strings.Contains(err.Error(), "canary") {
					t.Errorf("%s: %v; want ErrCorrupt that names the record alone", what, err)
				}
			}
		})
	}
}

func TestIndexEntriesThatWereTamperedWith(t *testing.T) {
	for name, tamper := range map[string]func(t *testing.T, b store.Backend, stale store.Write) []store.Write{
		"put back": func(_ *testing.T, _ store.Backend, stale store.Write) []store.Write {
			return []store.Write{stale}
		},
		"forged": func(_ *testing.T, _ store.Backend, stale store.Write) []store.Write {
			return []store.Write{{Key: stale.Key, Value: []byte{}}}
		},
		"copied": func(t *testing.T, b store.Backend, stale store.Write) []store.Write {
			return []store.Write{{Key: stale.Key, Value: one(t, b, entry, "new").Value}}
		},
		"left without its record": func(t *testing.T, b store.Backend, stale store.Write) []store.Write {
			return []store.Write{stale, {Key: one(t, b, mark).Key}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := storetest.Memory(t)
			s := storetest.Open(t, b)
			put(t, s, "one", thing{Owner: "old"})
			stale := one(t, b, entry, "old")
			put(t, s, "one", thing{Owner: "new"})
			s = overwrite(t, s, b, tamper(t, b, stale)...)
			err := s.View(context.Background(), func(r store.Reader) error {
				items, _, err := things.ScanIndex(r, scope, "owner", "old", "", 10)
				if err == nil {
					t.Errorf("found %v", items)
				}
				return err
			})
			if !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("%v, want ErrCorrupt", err)
			}
		})
	}
}

func TestARecordFromTheFutureIsRefused(t *testing.T) {
	b := storetest.Memory(t)
	s := storetest.Open(t, b)
	put(t, s, "one", thing{})
	put(t, s, "one", thing{}) // version 2
	must(t, s.Close())
	x := one(t, b, mark)
	other := storetest.Memory(t) // where the epoch is 1
	must(t, other.Prepare(context.Background(), 0))
	must(t, other.Commit(context.Background(), store.Batch{Epoch: 1, Writes: []store.Write{x}}))
	if _, err := get(storetest.Open(t, other), "one"); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("%v, want ErrCorrupt", err)
	}
}

func TestSchemas(t *testing.T) {
	type thing3 struct {
		Name string `json:"name"`
		More string `json:"more,omitempty"`
	}
	older := store.NewCollection[thing]("things", 1)
	newer := store.NewCollection[thing3]("things", 3)
	same := store.NewCollection[thing3]("things", 2) // which knows no owner
	s := storetest.New(t)
	ctx := context.Background()
	must(t, s.Update(ctx, func(tx *store.Tx) error {
		return errors.Join(
			older.Put(tx, scope, "old", thing{Name: "x"}),
			newer.Put(tx, scope, "new", thing3{Name: "x"}),
			things.Put(tx, scope, "now", thing{Name: "x", Owner: "me"}))
	}))
	must(t, s.View(ctx, func(r store.Reader) error {
		if v, err := things.Get(r, scope, "old"); err != nil || v.Name != "x" {
			t.Errorf("an older record: %v, %v", v, err)
		}
		_, err := things.Get(r, scope, "new")
		if !errors.Is(err, store.ErrNewerSchema) || !strings.Contains(err.Error(), `"new"`) {
			t.Errorf("a newer record: %v, want ErrNewerSchema", err)
		}
		if _, err := same.Get(r, scope, "now"); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("a member that the schema doesn't have: %v, want ErrCorrupt", err)
		}
		return nil
	}))
	err := s.Update(ctx, func(tx *store.Tx) error { return things.Put(tx, scope, "new", thing{}) })
	if !errors.Is(err, store.ErrNewerSchema) {
		t.Errorf("overwriting a newer record: %v, want ErrNewerSchema", err)
	}
}

// oddly encodes to something that it can't be decoded from.
type oddly struct{}

func (oddly) MarshalJSON() ([]byte, error) { return []byte(`{"x":1}`), nil }

func TestCollectionsThatCannotBe(t *testing.T) {
	values := func(string, thing) []string { return nil }
	for name, make := range map[string]func(){
		"no name":   func() { store.NewCollection[thing]("", 1) },
		"schema 0":  func() { store.NewCollection[thing]("x", 0) },
		"long name": func() { store.NewCollection[thing](strings.Repeat("x", 65), 1) },
		"twice": func() {
			store.NewCollection("x", 1, store.Index[thing]{Name: "i", Values: values}, store.Index[thing]{Name: "i", Values: values})
		},
		"no values":                 func() { store.NewCollection("x", 1, store.Index[thing]{Name: "i"}) },
		"values that can't be read": func() { store.NewCollection[oddly]("x", 1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("a collection with %s was made", name)
				}
			}()
			make()
		}()
	}
}

func TestKeysRotate(t *testing.T) {
	b := storetest.Memory(t)
	sealer := new(storetest.Sealer)
	s := storetest.OpenConfig(t, store.Config{Backend: b, Sealer: sealer})
	put(t, s, "one", thing{Name: "before"})
	sealer.Rotate()
	put(t, s, "two", thing{Name: "after"})
	for id, want := range map[string]string{"one": "before", "two": "after"} {
		if v, err := get(s, id); err != nil || v.Name != want {
			t.Errorf("%s is %v, %v", id, v, err)
		}
	}
	must(t, s.Close())
	s = storetest.Open(t, b) // whose sealer has version 1 alone
	if _, err := get(s, "two"); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("without the second key: %v, want ErrCorrupt", err)
	}
}

func TestWhatIsReadIsWhatIsIndexed(t *testing.T) {
	s := storetest.New(t)
	ctx := context.Background()
	const bad = "a\xffb" // encoding/json writes U+FFFD for the byte that isn't UTF-8
	put(t, s, "one", thing{Owner: bad})
	put(t, s, "one", thing{Owner: bad, Name: "again"})
	must(t, s.View(ctx, func(r store.Reader) error {
		items, _, err := things.ScanIndex(r, scope, "owner", "a\ufffdb", "", 10)
		if err != nil || len(items) != 1 || items[0].Value.Name != "again" {
			t.Errorf("%v, %v", items, err)
		}
		return nil
	}))
	secrets := store.NewCollection[secret.Bytes]("secrets", 1)
	err := s.Update(ctx, func(tx *store.Tx) error { return secrets.Put(tx, scope, "x", secret.Bytes("canary")) })
	if !errors.Is(err, secret.ErrMarshal) || strings.Contains(err.Error(), "canary") {
		t.Errorf("writing a secret: %v, want secret.ErrMarshal", err)
	}
}
