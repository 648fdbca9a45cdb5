package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/strongroom/strongroom/internal/store"
)

// testWatch: every change is told once and in order, before any View shows it
// and before the Update that made it returns.
func testWatch(t *testing.T, _ store.Backend, s *store.Store) {
	var heard []store.Change
	var told atomic.Uint64 // epoch
	stop := s.Watch(notes.Name(), func(c store.Change) {
		heard = append(heard, c)
		told.Store(c.Epoch)
	})
	var all atomic.Int64
	s.Watch("", func(store.Change) { all.Add(1) })

	const workers, rounds = 8, 20
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range rounds {
				var version uint64
				err := s.Update(context.Background(), func(tx *store.Tx) error {
					version = tx.Epoch() + 1
					return errors.Join(notes.Put(tx, here, fmt.Sprint(w), note{Count: i}), neighbour.Put(tx, here, "x", note{}))
				})
				if err != nil || told.Load() < version {
					t.Errorf("the Update of epoch %d returned %v when the watcher knew %d", version, err, told.Load())
				}
				err = s.View(context.Background(), func(r store.Reader) error {
					if told := told.Load(); told < r.Epoch() {
						return fmt.Errorf("a View shows epoch %d, the watcher knows %d", r.Epoch(), told)
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for i, c := range heard {
		if c.Epoch != uint64(i)+1 || c.Collection != "notes" || c.Scope != here || c.Deleted || len(c.ID) != 1 {
			t.Errorf("change %d is %+v", i, c)
		}
	}
	if len(heard) != workers*rounds || all.Load() != 2*workers*rounds {
		t.Errorf("heard of %d and %d changes, want %d and twice as many", len(heard), all.Load(), workers*rounds)
	}
	heard = nil
	update(t, s, func(tx *store.Tx) error { return notes.Delete(tx, here, "0") })
	if len(heard) != 1 || !heard[0].Deleted || heard[0].ID != "0" {
		t.Errorf("a deletion was told as %+v", heard)
	}
	stop()
	_ = s.Update(context.Background(), func(tx *store.Tx) error { _ = notes.Delete(tx, here, "1"); return errors.New("no") })
	update(t, s, func(tx *store.Tx) error { return notes.Delete(tx, here, "2") })
	if len(heard) != 1 {
		t.Errorf("heard after stop: %+v", heard[1:])
	}
}

// testOrdering: a record appended after something was seen stands behind the
// record of what was seen, whether it was seen in a View or in an Update.
func testOrdering(t *testing.T, b store.Backend, s *store.Store) {
	ctx := context.Background()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { // writers
			for range 20 {
				err := s.Update(ctx, func(tx *store.Tx) error {
					if err := notes.Put(tx, here, "x", note{}); err != nil {
						return err
					}
					return tx.Append(fmt.Appendf(nil, "wrote %d", tx.Epoch()+1))
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() { // readers
			for i := range 20 {
				var seen uint64
				var err error
				if i%2 == 0 {
					err = s.View(ctx, func(r store.Reader) error { seen = r.Epoch(); return nil })
				} else {
					no := errors.New("no")
					err = s.Update(ctx, func(tx *store.Tx) error { seen = tx.Epoch(); return no })
					if err == no {
						err = nil
					}
					if seen > s.Epoch() {
						t.Errorf("an Update returned what it had read at epoch %d when %d was durable", seen, s.Epoch())
					}
				}
				if err == nil {
					err = s.Append(ctx, fmt.Appendf(nil, "saw %d", seen))
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	records, err := Records(ctx, b)
	must(t, err)
	if len(records) != 160 {
		t.Errorf("%d records, want 160", len(records))
	}
	written := uint64(0)
	for _, r := range records {
		var epoch uint64
		if rest, ok := strings.CutPrefix(r, "wrote "); ok {
			_, err = fmt.Sscan(rest, &epoch)
			if epoch != written+1 {
				t.Errorf("%q follows epoch %d", r, written)
			}
			written = epoch
		} else {
			_, err = fmt.Sscanf(r, "saw %d", &epoch)
			if epoch > written {
				t.Errorf("%q stands before the record of what it saw", r)
			}
		}
		must(t, err)
	}
}

func testCancelled(t *testing.T, b store.Backend, s *store.Store) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	ran := false
	for name, err := range map[string]error{
		"View":       s.View(ctx, func(store.Reader) error { ran = true; return nil }),
		"Update":     s.Update(ctx, func(*store.Tx) error { ran = true; return nil }),
		"Append":     s.Append(ctx, []byte("x")),
		"Checkpoint": s.Checkpoint(ctx),
	} {
		if !errors.Is(err, context.Canceled) || errors.Is(err, store.ErrUnknown) || ran {
			t.Errorf("%s with an ended context: %v, ran: %v", name, err, ran)
		}
	}
	ctx, cancel = context.WithCancel(context.Background())
	err := s.Update(ctx, func(tx *store.Tx) error {
		err := errors.Join(notes.Put(tx, here, "x", note{}), tx.Append([]byte("x")))
		cancel()
		return err
	})
	if !errors.Is(err, context.Canceled) || errors.Is(err, store.ErrUnknown) {
		t.Errorf("an Update whose context ended in its function: %v", err)
	}
	if _, _, err := b.LastFrame(context.Background()); !errors.Is(err, store.ErrNotFound) || s.Epoch() != 0 {
		t.Errorf("something was written: %v, epoch %d", err, s.Epoch())
	}
}

// testGroupCommits: concurrent appends share frames, and none is lost or doubled.
func testGroupCommits(t *testing.T, b store.Backend, s *store.Store) {
	const workers, each = 32, 20
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				if err := s.Append(context.Background(), fmt.Appendf(nil, "%d/%d", w, i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	records, err := Records(context.Background(), b)
	must(t, err)
	seen := make(map[string]bool)
	for _, r := range records {
		if seen[r] {
			t.Errorf("record %q is there twice", r)
		}
		seen[r] = true
	}
	if len(seen) != workers*each {
		t.Errorf("%d records, want %d", len(seen), workers*each)
	}
}

// The registers that testLinearizable checks.
type registerInput struct {
	key  string
	op   byte // r: read in a View, R: read in an Update, w: write, c: compare and swap
	old  int
	next int
}

var registers = porcupine.Model{
	Partition: func(history []porcupine.Operation) (parts [][]porcupine.Operation) {
		byKey := map[string][]porcupine.Operation{}
		for _, o := range history {
			key := o.Input.(registerInput).key
			byKey[key] = append(byKey[key], o)
		}
		for _, part := range byKey {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() any { return 0 },
	Step: func(state, input, output any) (bool, any) {
		now, in, out := state.(int), input.(registerInput), output.(int)
		switch {
		case in.op == 'w':
			return true, in.next
		case in.op == 'c' && now == in.old:
			return out == 1, in.next
		case in.op == 'c':
			return out == 0, now
		default:
			return out == now, now
		}
	},
	Equal: func(a, b any) bool { return a == b },
}

func testLinearizable(t *testing.T, _ store.Backend, s *store.Store) {
	ctx := context.Background()
	get := func(r store.Reader, id string) (int, error) {
		n, err := notes.Get(r, here, id)
		if errors.Is(err, store.ErrNotFound) {
			return 0, nil
		}
		return n.Count, err
	}
	var mu sync.Mutex
	var history []porcupine.Operation
	var ticks atomic.Int64
	var wg sync.WaitGroup
	for w := range 6 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(3, uint64(w)))
			for range 40 {
				in := registerInput{key: fmt.Sprint(rng.IntN(3)), op: "rRwc"[rng.IntN(4)], old: rng.IntN(4), next: rng.IntN(4)}
				out := 0
				var err error
				call := ticks.Add(1)
				switch in.op {
				case 'r':
					err = s.View(ctx, func(r store.Reader) (err error) { out, err = get(r, in.key); return err })
				case 'R':
					err = s.Update(ctx, func(tx *store.Tx) (err error) { out, err = get(tx, in.key); return err })
				case 'w':
					err = s.Update(ctx, func(tx *store.Tx) error { return notes.Put(tx, here, in.key, note{Count: in.next}) })
				case 'c':
					err = s.Update(ctx, func(tx *store.Tx) error {
						out = 0
						now, err := get(tx, in.key)
						if err != nil || now != in.old {
							return err
						}
						out = 1
						return notes.Put(tx, here, in.key, note{Count: in.next})
					})
				}
				if err != nil {
					t.Error(err)
					return
				}
				end := ticks.Add(1)
				mu.Lock()
				history = append(history, porcupine.Operation{ClientId: w, Input: in, Call: call, Output: out, Return: end})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if result := porcupine.CheckOperationsTimeout(registers, history, time.Minute); result != porcupine.Ok {
		t.Errorf("the history of %d operations is not linearizable: %v", len(history), result)
	}
}
