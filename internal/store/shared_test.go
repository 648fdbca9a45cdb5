package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/storetest"
)

// node is a store of a cluster, whose refreshes are confirmed.
type node struct {
	*store.Store
	backend *storetest.ClusterNode
}

func newNode(t *testing.T, c *storetest.Cluster) node {
	b := c.Node(t)
	return node{storetest.Open(t, b), b}
}

func (n node) refresh(t *testing.T) {
	t.Helper()
	epoch, err := n.Refresh(context.Background())
	if err != nil {
		t.Error(err)
		return
	}
	n.backend.Refreshed(epoch)
}

var counters = store.NewCollection[int]("counters", 1)

func set(n node, id string, value int) error {
	return n.Update(context.Background(), func(tx *store.Tx) error {
		return errors.Join(counters.Put(tx, store.Deployment, id, value), tx.Append(fmt.Appendf(nil, "%s=%d", id, value)))
	})
}

// TestNodesHearOfEachOther: a change is answered when the other node knows of it,
// whose watchers were told and whose cache does not show the old any more.
func TestNodesHearOfEachOther(t *testing.T) {
	c := storetest.NewCluster(t)
	one, two := newNode(t, c), newNode(t, c)
	cache := store.NewCache(two.Store, counters, 10, func(_ store.Scope, i store.Item[int]) (int, error) { return i.Value, nil })
	defer cache.Close()
	var heard []store.Change
	defer two.Watch("", func(c store.Change) { heard = append(heard, c) })()
	for i := range 3 {
		answered := make(chan error, 1)
		go func() { answered <- set(one, "a", i) }()
		for one.Epoch() != uint64(i+1) {
			two.refresh(t) // until there is something to hear of
		}
		two.refresh(t)
		if err := <-answered; err != nil {
			t.Fatal(err)
		}
		if got, err := cache.Get(context.Background(), store.Deployment, "a"); err != nil || got != i {
			t.Errorf("the other node's cache shows %d, %v after %d was acknowledged", got, err, i)
		}
		if len(heard) != i+1 || heard[i].Epoch != uint64(i+1) || heard[i].ID != "a" || heard[i].Collection != "counters" {
			t.Errorf("the watcher heard %+v", heard)
		}
	}
}

// TestUnconfirmedChangeIsUnknown: while a node has not heard of a change, whoever
// waits for it is not told that it is done; records that change nothing are.
func TestUnconfirmedChangeIsUnknown(t *testing.T) {
	c := storetest.NewCluster(t)
	one, two := newNode(t, c), newNode(t, c)
	ctx, cancel := context.WithCancel(context.Background())
	defer one.Watch("", func(store.Change) { cancel() })()
	err := one.Update(ctx, func(tx *store.Tx) error { return counters.Put(tx, store.Deployment, "a", 1) })
	if !errors.Is(err, store.ErrUnknown) {
		t.Errorf("a change that the other node has not heard of: %v, want ErrUnknown", err)
	}
	if err := one.Append(context.Background(), []byte("record")); err != nil {
		t.Errorf("a record behind it: %v", err)
	}
	if two.Epoch() != 0 {
		t.Errorf("the other node is at epoch %d without a refresh", two.Epoch())
	}
	if err := one.Close(); err != nil { // waits for no other node
		t.Error(err)
	}
}

// TestUpdatesWaitForWhatTheyFound: an Update that is refused because of a change, or
// that changes nothing after it, is not answered while another node does not know of
// that change: asked afterwards, that node would refuse for the lack of it.
func TestUpdatesWaitForWhatTheyFound(t *testing.T) {
	c := storetest.NewCluster(t)
	one, two := newNode(t, c), newNode(t, c)
	refused := errors.New("refused")
	ctx, cancel := context.WithCancel(context.Background())
	defer one.Watch("", func(store.Change) { cancel() })()
	if err := one.Update(ctx, func(tx *store.Tx) error { return counters.Put(tx, store.Deployment, "a", 1) }); !errors.Is(err, store.ErrUnknown) {
		t.Fatal(err)
	}
	waiting, cancel := context.WithCancel(context.Background())
	err := one.Update(waiting, func(*store.Tx) error { cancel(); return refused })
	if !errors.Is(err, store.ErrUnknown) {
		t.Errorf("a refusal, of a state that the other node does not know: %v, want ErrUnknown", err)
	}
	answers := make(chan error, 2)
	go func() { answers <- one.Update(context.Background(), func(*store.Tx) error { return nil }) }()
	go func() {
		answers <- one.Update(context.Background(), func(tx *store.Tx) error { return tx.Append([]byte("nothing to do")) })
	}()
	two.refresh(t)
	for range 2 {
		if err := <-answers; err != nil {
			t.Errorf("an Update that changes nothing: %v", err)
		}
	}
	if err := one.Update(context.Background(), func(*store.Tx) error { return refused }); !errors.Is(err, refused) {
		t.Errorf("a refusal, once the other node knows: %v", err)
	}
}

// TestNodesCountTogether: Updates of two nodes on one record, with neither told of
// the other's in time, lose nothing, and their records make one chain.
func TestNodesCountTogether(t *testing.T) {
	c := storetest.NewCluster(t)
	nodes := []node{newNode(t, c), newNode(t, c)}
	ctx, stop := context.WithCancel(context.Background())
	var following, counting sync.WaitGroup
	for _, n := range nodes {
		following.Go(func() {
			for ctx.Err() == nil {
				n.refresh(t)
			}
		})
		for w := range 2 {
			counting.Go(func() {
				for i := range 25 {
					err := n.Update(context.Background(), func(tx *store.Tx) error {
						v, err := counters.Get(tx, store.Deployment, "sum")
						if err != nil && !errors.Is(err, store.ErrNotFound) {
							return err
						}
						return errors.Join(counters.Put(tx, store.Deployment, "sum", v+1), tx.Append(fmt.Append(nil, v+1)))
					})
					if err == nil {
						err = n.Append(context.Background(), fmt.Appendf(nil, "read %d/%d", w, i))
					}
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	counting.Wait()
	stop()
	following.Wait()
	records, err := storetest.Records(context.Background(), nodes[0].backend)
	if err != nil {
		t.Fatal(err)
	}
	want := 0
	for _, r := range records {
		if !strings.HasPrefix(r, "read") {
			if want++; r != fmt.Sprint(want) {
				t.Errorf("record %q where %d was to come", r, want)
			}
		}
	}
	if want != 100 || len(records) != 200 {
		t.Errorf("%d changes in %d records, want 100 in 200", want, len(records))
	}
}

// TestOutrun: a node that cannot learn what changed must not go on.
func TestOutrun(t *testing.T) {
	c := storetest.NewCluster(t)
	one := newNode(t, c)
	if err := set(one, "a", 1); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	two := node{backend: c.Node(t)}
	two.Store = storetest.OpenConfig(t, store.Config{Backend: two.backend, Fatal: func(err error) { ended <- err }})
	two.backend.Refreshed(10)
	if err := set(one, "a", 2); err != nil {
		t.Fatal(err)
	}
	c.Forget()
	if _, err := two.Refresh(context.Background()); !errors.Is(err, store.ErrOutrun) {
		t.Errorf("Refresh returned %v, want ErrOutrun", err)
	}
	if err := <-ended; !errors.Is(err, store.ErrOutrun) {
		t.Errorf("the process ends with %v", err)
	}
}

// TestStaleNodeAnswersNothing: a node that may not answer by what it knows refuses
// Views, Updates and what its caches hold.
func TestStaleNodeAnswersNothing(t *testing.T) {
	ctx := context.Background()
	n := newNode(t, storetest.NewCluster(t))
	if err := set(n, "a", 1); err != nil {
		t.Fatal(err)
	}
	cache := store.NewCache(n.Store, counters, 10, func(_ store.Scope, i store.Item[int]) (int, error) { return i.Value, nil })
	defer cache.Close()
	if got, err := cache.Get(ctx, store.Deployment, "a"); err != nil || got != 1 {
		t.Fatal(got, err)
	}
	n.backend.SetFresh(store.ErrUnavailable)
	_, cached := cache.Get(ctx, store.Deployment, "a")
	for what, err := range map[string]error{
		"a cache": cached,
		"View":    n.View(ctx, func(store.Reader) error { return nil }),
		"Update":  n.Update(ctx, func(*store.Tx) error { return nil }),
	} {
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: %v, want ErrUnavailable", what, err)
		}
	}
	if err := n.Append(ctx, []byte("refused")); err != nil {
		t.Errorf("the record of a refusal: %v", err)
	}
}
