package cluster

import (
	"context"
	"sync"
	"time"
)

// A machine that stands still for seconds, as a virtual one may, answers nobody. That
// is not what the proof is about, and is told apart by a pulse of its own.
const (
	pulseEvery = 50 * time.Millisecond
	stillFor   = 2 * time.Second
)

// pulse notices when this whole machine stood still.
type pulse struct {
	mu     sync.Mutex
	stills []still
}

// still is a time without a beat.
type still struct{ from, to time.Time }

// run beats until ctx ends.
func (p *pulse) run(ctx context.Context) {
	last := time.Now()
	for ctx.Err() == nil {
		rest(ctx, pulseEvery)
		now := time.Now()
		if now.Sub(last) > stillFor {
			p.mu.Lock()
			p.stills = append(p.stills, still{last, now})
			p.mu.Unlock()
		}
		last = now
	}
}

// stoodStill tells whether the machine did so since a moment.
func (p *pulse) stoodStill(ctx context.Context, since time.Time) bool {
	rest(ctx, 4*pulseEvery) // what is late now was noticed then
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.stills) > 0 && p.stills[len(p.stills)-1].to.After(since)
}

// count is how often it did.
func (p *pulse) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.stills)
}
