// Package deadline bounds how long calls wait: for the disk or a database, see [Calls],
// and for their turn where many want a processor for long, see [Work].
package deadline

import (
	"context"
	"sync"
	"time"

	"github.com/strongroom/strongroom/internal/clock"
)

const (
	// Waiting is how long a call may wait; after it the outcome is unknown, and the
	// caller is told to ask again.
	Waiting = 5 * time.Second
	// Turn is how long work may wait for its turn. Work itself, which has no end but its
	// own, is not bounded.
	Turn = 10 * time.Second
)

// SharedFor is how long a deadline is handed to the calls that begin: a call may wait at
// most this less.
const SharedFor = 250 * time.Millisecond

// Calls hands one context to all calls that begin within [SharedFor], since a
// timer and a context for each call would cost more than its encryption. It is safe
// for concurrent use.
type Calls struct {
	clock   clock.Clock
	waiting time.Duration

	mu      sync.Mutex
	parent  context.Context
	current context.Context
	fresh   time.Time // until when current is handed out
}

// NewCalls returns what gives calls so long for waiting.
func NewCalls(c clock.Clock, waiting time.Duration) *Calls {
	return &Calls{clock: c, waiting: waiting}
}

// Context returns the context of a call that begins now. It ends with parent, too.
func (d *Calls) Context(parent context.Context) context.Context {
	now := d.clock.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.current == nil || d.parent != parent || !now.Before(d.fresh) || now.Add(SharedFor).Before(d.fresh) {
		b := &beginning{clock: d.clock, parent: parent}
		d.current, b.end = context.WithTimeout(b.known(), d.waiting)
		d.parent, d.fresh = parent, now.Add(SharedFor)
	}
	return d.current
}

// beginning is what a call's context began with.
type beginning struct {
	clock  clock.Clock
	parent context.Context
	end    context.CancelFunc // not called: other calls have the context until its deadline
}

// origin is the key of a context's beginning.
type origin struct{}

func (b *beginning) known() context.Context { return context.WithValue(b.parent, origin{}, b) }

// Work is for what needs a processor for long, as making an RSA key does, which is no
// waiting for the disk. It returns the context that work may wait for its turn with, for
// [Turn] or until the server ends, and done, to be called when work has ended. What that
// returns is the call's context from then on: ctx, with its deadline as much later as work
// took. Of a context that is not from [Calls.Context], or derived from one, nothing is
// changed, and nothing of one that has ended.
func Work(ctx context.Context) (turn context.Context, done func() context.Context) {
	at, bounded := ctx.Deadline()
	b, ok := ctx.Value(origin{}).(*beginning)
	if !ok || !bounded || ctx.Err() != nil {
		return ctx, func() context.Context { return ctx }
	}
	began := b.clock.Now()
	turn, end := context.WithTimeout(b.parent, Turn)
	return turn, func() context.Context {
		end()
		after := &beginning{clock: b.clock, parent: b.parent}
		var later context.Context
		later, after.end = context.WithDeadline(after.known(), at.Add(b.clock.Now().Sub(began)))
		return later
	}
}
