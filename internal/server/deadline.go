package server

import (
	"context"
	"sync"
	"time"

	"github.com/strongroom/strongroom/internal/front"
	"github.com/strongroom/strongroom/internal/wire"
)

// callDeadline is how long a call may wait for the disk; after it the outcome is
// unknown, and the caller is told to ask again.
const callDeadline = 5 * time.Second

// sharedFor is how long a deadline is handed to the calls that begin: a call has
// callDeadline less at most this.
const sharedFor = 250 * time.Millisecond

// deadlines hands one context to all calls that begin within sharedFor, since a
// timer and a context for each call would cost more than its encryption.
type deadlines struct {
	after time.Duration // how long a call may wait

	mu      sync.Mutex
	parent  context.Context
	current context.Context
	end     context.CancelFunc
	fresh   time.Time // until when current is handed out
}

// deadlines returns what bounds the calls of one listener.
func (s *Server) deadlines() *deadlines {
	if s.cfg.patience != 0 {
		return &deadlines{after: s.cfg.patience}
	}
	return &deadlines{after: callDeadline}
}

// bound gives handler's calls a deadline. The front's context, which ends with
// the server, is the parent.
func (d *deadlines) bound(handler front.Handler) front.Handler {
	return func(ctx context.Context, req *wire.Request, resp *wire.Response) {
		handler(d.context(ctx), req, resp)
	}
}

func (d *deadlines) context(parent context.Context) context.Context {
	now := machineClock.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.current == nil || d.parent != parent || !now.Before(d.fresh) || now.Add(sharedFor).Before(d.fresh) {
		// The one before ends by its deadline: calls that are under way have it.
		d.current, d.end = context.WithTimeout(parent, d.after)
		d.parent, d.fresh = parent, now.Add(sharedFor)
	}
	return d.current
}
