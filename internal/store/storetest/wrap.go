package storetest

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/strongroom/strongroom/internal/store"
)

// Conflicting returns b with every other Prepare answering ErrConflict, as if
// another node had been faster: whatever commits has run twice.
func Conflicting(b store.Backend) store.Backend { return &conflicting{Backend: b} }

type conflicting struct {
	store.Backend
	calls atomic.Uint64
}

func (c *conflicting) Prepare(ctx context.Context, base uint64) error {
	if c.calls.Add(1)%2 == 1 {
		return store.ErrConflict
	}
	return c.Backend.Prepare(ctx, base)
}

// Gate is a backend whose commits can be held, and made to fail.
type Gate struct {
	store.Backend

	mu      sync.Mutex
	opened  chan struct{} // closed while commits may go on
	arrived chan struct{} // one for each commit that came to the gate
	prepare error
	commit  error
}

// NewGate returns an open gate before b.
func NewGate(b store.Backend) *Gate {
	g := &Gate{Backend: b, opened: make(chan struct{}), arrived: make(chan struct{}, 1024)}
	close(g.opened)
	return g
}

// Hold makes commits wait until Release, like a disk that hangs.
func (g *Gate) Hold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.opened = make(chan struct{})
}

// Release lets held commits go on.
func (g *Gate) Release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.opened)
}

// Arrived receives once for each commit that came to the gate, held or not.
func (g *Gate) Arrived() <-chan struct{} { return g.arrived }

// Refuse makes Prepare return err until it is nil.
func (g *Gate) Refuse(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.prepare = err
}

// Break makes Commit return err, with nothing written.
func (g *Gate) Break(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.commit = err
}

// Prepare implements store.Backend.
func (g *Gate) Prepare(ctx context.Context, base uint64) error {
	g.mu.Lock()
	err := g.prepare
	g.mu.Unlock()
	if err != nil {
		return err
	}
	return g.Backend.Prepare(ctx, base)
}

// Commit implements store.Backend.
func (g *Gate) Commit(ctx context.Context, batch store.Batch) error {
	g.mu.Lock()
	opened := g.opened
	g.mu.Unlock()
	g.arrived <- struct{}{}
	<-opened
	g.mu.Lock()
	err := g.commit
	g.mu.Unlock()
	if err != nil {
		return err
	}
	return g.Backend.Commit(ctx, batch)
}
