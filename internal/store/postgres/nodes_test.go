package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/postgres"
	"github.com/strongroom/strongroom/internal/store/storetest"
)

// steady is a clock that goes on when it is told to; waits are short.
type steady struct{ now atomic.Int64 }

func (s *steady) Elapsed() time.Duration { return time.Duration(s.now.Load()) }

func (s *steady) After(time.Duration) (<-chan time.Time, func()) {
	t := time.NewTimer(time.Millisecond)
	return t.C, func() { t.Stop() }
}

func (s *steady) advance(d time.Duration) { s.now.Add(int64(d)) }

// node is a store with the database, and a cache of its records.
type node struct {
	*store.Store
	backend *postgres.Backend
	cache   *store.Cache[int, int]
	stop    context.CancelFunc
	ended   chan struct{}
}

var counters = store.NewCollection[int]("counters", 1)

func newNode(t *testing.T, cfg postgres.Config) *node {
	t.Helper()
	n := &node{backend: open(t, cfg)}
	n.Store = storetest.Open(t, n.backend)
	n.cache = store.NewCache(n.Store, counters, 100, func(_ store.Scope, i store.Item[int]) (int, error) { return i.Value, nil })
	t.Cleanup(n.cache.Close)
	n.follow()
	t.Cleanup(func() { n.hang() })
	return n
}

// follow lets the node hear of the others.
func (n *node) follow() {
	ctx, stop := context.WithCancel(context.Background())
	n.stop, n.ended = stop, make(chan struct{})
	go func() {
		defer close(n.ended)
		n.backend.Follow(ctx, n.Refresh)
	}()
}

// hang keeps the node from hearing of the others, and from renewing its lease.
func (n *node) hang() {
	n.stop()
	<-n.ended
}

func (n *node) put(ctx context.Context, id string, value int) error {
	return n.Update(ctx, func(tx *store.Tx) error {
		return errors.Join(counters.Put(tx, store.Deployment, id, value), tx.Append(fmt.Appendf(nil, "%s=%d", id, value)))
	})
}

// look asks the database something, so that others get to do so, too, before a clock
// goes on. The node may be closed.
func (n *node) look() { _, _ = n.backend.Versions(context.Background()) }

func (n *node) get(id string) (int, error) {
	return n.cache.Get(context.Background(), store.Deployment, id)
}

func three(t *testing.T, change func(*postgres.Config)) []*node {
	t.Helper()
	url := shared(t).URL(t)
	var nodes []*node
	for _, name := range []string{"one", "two", "three"} {
		cfg := settings(url, name)
		if change != nil {
			change(&cfg)
		}
		nodes = append(nodes, newNode(t, cfg))
	}
	return nodes
}

// TestAcknowledgedIsSeenEverywhere: once a change is acknowledged on one node, no
// cache of another shows what was before; with notifications and without.
func TestAcknowledgedIsSeenEverywhere(t *testing.T) {
	for _, mute := range []bool{false, true} {
		t.Run(fmt.Sprintf("mute=%v", mute), func(t *testing.T) {
			nodes := three(t, nil)
			changes := 40
			if mute {
				changes = 10
			}
			for i := range changes {
				n := nodes[i%len(nodes)]
				if mute {
					n.backend.Mute()
				}
				if err := n.put(context.Background(), "a", i); err != nil {
					t.Fatal(err)
				}
				for at, other := range nodes {
					if got, err := other.get("a"); err != nil || got != i {
						t.Errorf("node %d shows %d, %v after %d was acknowledged", at, got, err, i)
					}
				}
			}
		})
	}
}

// TestNodesCountTogether: Updates of three nodes on the same record lose nothing; the
// history is linearizable, and the records of all nodes are one chain.
func TestNodesCountTogether(t *testing.T) {
	nodes := three(t, nil)
	type input struct {
		key  string
		read bool
		next int // what is to be put; a read and swap returns what was there
	}
	model := porcupine.Model{
		Partition: func(history []porcupine.Operation) (parts [][]porcupine.Operation) {
			byKey := map[string][]porcupine.Operation{}
			for _, o := range history {
				byKey[o.Input.(input).key] = append(byKey[o.Input.(input).key], o)
			}
			for _, part := range byKey {
				parts = append(parts, part)
			}
			return parts
		},
		Init: func() any { return 0 },
		Step: func(state, in, out any) (bool, any) {
			if in.(input).read {
				return out == state, state
			}
			return out == state, in.(input).next
		},
	}
	var mu sync.Mutex
	var history []porcupine.Operation
	var ticks atomic.Int64
	acked := map[string]int{} // the last acknowledged, by key
	var wg sync.WaitGroup
	for w := range 6 {
		n := nodes[w%len(nodes)]
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(7, uint64(w)))
			for range 30 {
				in := input{key: fmt.Sprint("k", rng.IntN(3)), read: rng.IntN(3) == 0, next: int(ticks.Add(1))}
				out := 0
				call := ticks.Add(1)
				err := n.Update(context.Background(), func(tx *store.Tx) error {
					was, err := counters.Get(tx, store.Deployment, in.key)
					if out = was; err != nil && !errors.Is(err, store.ErrNotFound) {
						return err
					}
					if in.read {
						return nil
					}
					return errors.Join(counters.Put(tx, store.Deployment, in.key, in.next), tx.Append(fmt.Append(nil, in.next)))
				})
				if err == nil {
					err = n.Append(context.Background(), []byte("read"))
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				history = append(history, porcupine.Operation{ClientId: w, Input: in, Call: call, Output: out, Return: ticks.Add(1)})
				if !in.read {
					acked[in.key]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if result := porcupine.CheckOperationsTimeout(model, history, time.Minute); result != porcupine.Ok {
		t.Errorf("the history of %d operations on three nodes is not linearizable: %v", len(history), result)
	}
	records, err := storetest.Records(context.Background(), nodes[0].backend)
	writes := acked["k0"] + acked["k1"] + acked["k2"]
	if err != nil || len(records) != writes+len(history) {
		t.Errorf("the journal holds %d records of %d changes and %d reads, %v", len(records), writes, len(history), err)
	}
}

// TestHungNode: a change waits for a node that has stopped listening until its lease
// has run out; by then that node answers nothing. When it comes back it knows of the
// change before it answers.
func TestHungNode(t *testing.T) {
	url := shared(t).URL(t)
	clock := &steady{}
	cfg := func(name string) postgres.Config {
		c := settings(url, name)
		c.Steady, c.Lease = clock, time.Minute
		return c
	}
	one, two := newNode(t, cfg("one")), newNode(t, cfg("two"))
	if err := one.put(context.Background(), "a", 1); err != nil {
		t.Fatal(err)
	}
	if got, err := two.get("a"); err != nil || got != 1 {
		t.Fatal(got, err)
	}
	two.hang()
	done := make(chan error, 1)
	go func() { done <- one.put(context.Background(), "a", 2) }()
	for one.Epoch() < 2 { // it is durable, and not acknowledged
		if _, err := one.Refresh(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	clock.advance(59 * time.Second)
	if got, err := two.get("a"); err != nil || got != 1 {
		t.Errorf("within its lease the node answers %d, %v", got, err)
	}
	select {
	case err := <-done:
		t.Fatalf("acknowledged (%v) while a node may answer by what was before", err)
	default:
	}
	clock.advance(time.Second)
	if _, err := two.get("a"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("without a lease: %v, want ErrUnavailable", err)
	}
	if err := two.backend.Ready(context.Background()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Ready without a lease: %v", err)
	}
	for acknowledged := false; !acknowledged; clock.advance(time.Second) {
		one.look()
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			acknowledged = true
		default:
		}
	}
	// Its row is gone: it commits nothing, even if it thought that it might.
	if err := two.backend.Prepare(context.Background(), 1); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a node that was removed begins a commit: %v", err)
	}
	two.follow()
	for {
		got, err := two.get("a")
		if err == nil {
			if got != 2 {
				t.Errorf("back again, the node answers %d", got)
			}
			break
		}
		if !errors.Is(err, store.ErrUnavailable) {
			t.Fatal(err)
		}
	}
}

// TestOneLeads: one node leads; when it leaves or hangs, another does, and the one
// before does not.
func TestOneLeads(t *testing.T) {
	url := shared(t).URL(t)
	clock := &steady{}
	var nodes []*node
	for _, name := range []string{"one", "two", "three"} {
		c := settings(url, name)
		c.Steady = clock
		nodes = append(nodes, newNode(t, c))
	}
	alive := 0
	leader := func() (at int) {
		for {
			leads := 0
			for i, n := range nodes {
				if n.backend.Leading() {
					at, leads = i, leads+1
				}
			}
			if leads > 1 {
				t.Fatalf("%d nodes lead", leads)
			}
			if leads == 1 {
				return at
			}
			nodes[alive].look()
			clock.advance(time.Second)
		}
	}
	first := leader()
	nodes[first].hang()
	clock.advance(time.Hour)
	second := leader()
	if second == first {
		t.Fatal("a node without a lease leads")
	}
	nodes[second].hang()
	if err := errors.Join(nodes[second].Store.Close(), nodes[second].backend.Close()); err != nil {
		t.Fatal(err)
	}
	alive = 3 - first - second
	if third := leader(); third == first || third == second {
		t.Errorf("node %d leads after %d and %d", third, first, second)
	}
}

// TestPrune: versions that nobody can ask for go; one that is still read stays.
func TestPrune(t *testing.T) {
	ctx := context.Background()
	clock := &steady{}
	nodes := three(t, func(c *postgres.Config) { c.Steady, c.Remember = clock, -1 })
	put := func(from, to int) {
		for i := from; i < to; i++ {
			if err := nodes[i%3].put(ctx, "a", i); err != nil {
				t.Fatal(err)
			}
		}
	}
	wait := func(most int) {
		for {
			n, err := nodes[0].backend.Versions(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if n <= most {
				return
			}
			clock.advance(10 * time.Millisecond) // leases last for a minute
		}
	}
	put(1, 20)
	wait(1)
	err := nodes[0].View(ctx, func(r store.Reader) error {
		put(20, 40)
		got, err := counters.Get(r, store.Deployment, "a")
		if err == nil && got != 19 {
			err = fmt.Errorf("a View that was opened at 19 shows %d", got)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if err := nodes[0].Update(ctx, func(tx *store.Tx) error { return counters.Delete(tx, store.Deployment, "a") }); err != nil {
		t.Fatal(err)
	}
	wait(0)
	for _, n := range nodes {
		if _, err := n.get("a"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a record that was deleted: %v", err)
		}
	}
}
