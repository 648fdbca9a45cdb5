// Package deadline bounds how long a call may take: [Calls] how long it waits, for the
// disk or for a database, and [Work] how long it computes.
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
	// Working is how long work may take until it has begun, behind that of others. With
	// Waiting after it, it is no longer than a server that ends leaves to calls, and
	// shorter than the SDKs wait for an answer.
	Working = 20 * time.Second
)

// SharedFor is how long a deadline is handed to the calls that begin: a call may wait at
// most this less.
const SharedFor = 250 * time.Millisecond

// Calls hands one context to all calls that begin within SharedFor, since a
// timer and a context for each call would cost more than its encryption. It is safe
// for concurrent use.
type Calls struct {
	clock   clock.Clock
	waiting time.Duration

	mu      sync.Mutex
	parent  context.Context
	current context.Context
	end     context.CancelFunc
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
		// The one before ends by its deadline: calls that are under way have it.
		d.current, d.end = context.WithTimeout(context.WithValue(parent, origin{}, &begin{d, parent}), d.waiting)
		d.parent, d.fresh = parent, now.Add(SharedFor)
	}
	return d.current
}

// origin is the key under which a context says how it began.
type origin struct{}

type begin struct {
	calls  *Calls
	parent context.Context
}

// Work runs what needs a processor for long, as making an RSA key does, in time of its
// own: work has a context that ends after [Working], or with the server. The context that
// Work returns is the call's from then on, which has waited for nothing yet. Where ctx is
// not from [Calls.Context], work has it, and it is what is returned. A call whose time is
// up already does no work.
func Work(ctx context.Context, work func(context.Context) error) (context.Context, error) {
	from, ok := ctx.Value(origin{}).(*begin)
	if !ok {
		return ctx, work(ctx)
	}
	if err := ctx.Err(); err != nil {
		return ctx, err
	}
	within, end := context.WithTimeout(from.parent, Working)
	defer end()
	err := work(within)
	return from.calls.Context(from.parent), err
}
