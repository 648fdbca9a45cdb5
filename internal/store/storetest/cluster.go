package storetest

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/strongroom/strongroom/internal/store"
)

// Cluster is one database in memory, and the nodes that have it.
type Cluster struct {
	backend store.Backend

	turn sync.Mutex // held between Prepare and Commit

	mu      sync.Mutex // guards what follows
	changed []store.Changed
	// forgotten is the last epoch that is no longer in changed.
	forgotten uint64
	nodes     []*ClusterNode
	moved     chan struct{} // closed when a node has confirmed something
}

// ClusterNode is a [store.Shared] backend of a [Cluster]. Its node confirms an epoch
// when Refreshed is called.
type ClusterNode struct {
	store.Backend
	cluster   *Cluster
	known     store.Snapshot // guarded by cluster.mu
	opened    []store.Snapshot
	confirmed uint64 // guarded by cluster.mu
	fresh     error  // guarded by cluster.mu
	seq       uint64
	head      []byte
}

// NewCluster returns an empty database.
func NewCluster(t testing.TB) *Cluster {
	return &Cluster{backend: Memory(t), moved: make(chan struct{})}
}

// Node returns a backend for one more node.
func (c *Cluster) Node(t testing.TB) *ClusterNode {
	n := &ClusterNode{Backend: c.backend, cluster: c}
	must(t, n.Advance(context.Background()))
	c.mu.Lock()
	defer c.mu.Unlock()
	n.confirmed = n.known.Epoch()
	c.nodes = append(c.nodes, n)
	t.Cleanup(func() {
		for _, state := range n.opened {
			must(t, state.Close())
		}
	})
	return n
}

// Forget lets the database forget what was changed so far.
func (c *Cluster) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, change := range c.changed {
		c.forgotten = max(c.forgotten, change.Epoch)
	}
	c.changed = nil
}

// Refreshed says that the node's store is at an epoch.
func (n *ClusterNode) Refreshed(epoch uint64) {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	n.confirmed = max(n.confirmed, epoch)
	close(n.cluster.moved)
	n.cluster.moved = make(chan struct{})
}

// SetFresh makes Fresh return err.
func (n *ClusterNode) SetFresh(err error) {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	n.fresh = err
}

// Fresh implements store.Shared.
func (n *ClusterNode) Fresh() error {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	return n.fresh
}

// Snapshot implements store.Backend.
func (n *ClusterNode) Snapshot(context.Context) (store.Snapshot, error) {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	return kept{n.known}, nil
}

// kept is a snapshot that stays open until the test ends.
type kept struct{ store.Snapshot }

func (kept) Close() error { return nil }

// Advance implements store.Shared.
func (n *ClusterNode) Advance(ctx context.Context) error {
	state, err := n.Backend.Snapshot(ctx)
	if err != nil {
		return err
	}
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	if n.known != nil && n.known.Epoch() == state.Epoch() {
		return state.Close()
	}
	n.known, n.opened = state, append(n.opened, state)
	return nil
}

// Newest implements store.Shared.
func (n *ClusterNode) Newest(ctx context.Context) (store.Snapshot, error) {
	return n.Backend.Snapshot(ctx)
}

// Changed implements store.Shared.
func (n *ClusterNode) Changed(_ context.Context, after, upTo uint64) ([]store.Changed, error) {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	if after < n.cluster.forgotten {
		return nil, store.ErrOutrun
	}
	var changed []store.Changed
	for _, c := range n.cluster.changed {
		if after < c.Epoch && c.Epoch <= upTo {
			changed = append(changed, c)
		}
	}
	return changed, nil
}

// Prepare implements store.Backend.
func (n *ClusterNode) Prepare(ctx context.Context, base uint64) error {
	n.cluster.turn.Lock()
	err := n.Backend.Prepare(ctx, base)
	if err != nil {
		n.cluster.turn.Unlock()
		return cmp.Or(n.Advance(ctx), err)
	}
	n.seq, n.head, err = n.LastFrame(ctx)
	if err != nil {
		n.seq, n.head = 0, nil
	}
	return nil
}

// Tip implements store.Shared.
func (n *ClusterNode) Tip() (uint64, []byte) {
	return n.seq, n.head[:min(len(n.head), store.FrameHead)]
}

// Commit implements store.Backend.
func (n *ClusterNode) Commit(ctx context.Context, batch store.Batch) error {
	defer n.cluster.turn.Unlock()
	// Whoever sees the commit must see what it changed; before it, nobody asks.
	n.cluster.mu.Lock()
	for _, w := range batch.Writes {
		n.cluster.changed = append(n.cluster.changed, store.Changed{Key: w.Key, Epoch: batch.Epoch, Deleted: w.Value == nil})
	}
	n.cluster.mu.Unlock()
	if err := n.Backend.Commit(ctx, batch); err != nil {
		return err
	}
	return n.Advance(ctx)
}

// Confirm implements store.Shared.
func (n *ClusterNode) Confirm(ctx context.Context, epoch uint64) error {
	for {
		n.cluster.mu.Lock()
		behind := slices.ContainsFunc(n.cluster.nodes, func(o *ClusterNode) bool { return o != n && o.confirmed < epoch })
		moved := n.cluster.moved
		n.cluster.mu.Unlock()
		if !behind {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
