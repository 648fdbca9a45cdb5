package gateway

import (
	"log/slog"
	"sync"
	"time"

	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/metrics"
)

// refusals counts what was refused before it was known who asks, and says it in
// the log at most once a minute, so that neither the disk nor the log can be
// filled from outside.
type refusals struct {
	log   *slog.Logger
	clock clock.Clock
	calls *metrics.Calls

	mu     sync.Mutex
	counts map[string]int
	said   time.Time
}

const refusalsEvery = time.Minute

func (r *refusals) count(code string) {
	if code == "" {
		code = "InternalFailure"
	}
	r.calls.Refused(code)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = map[string]int{}
	}
	r.counts[code]++
	now := r.clock.Now()
	if now.Sub(r.said) < refusalsEvery && !now.Before(r.said) {
		return
	}
	args := make([]any, 0, 2*len(r.counts))
	for code, n := range r.counts {
		args = append(args, slog.Int(code, n))
	}
	r.log.Warn("requests were refused before authentication", slog.Group("refused", args...))
	r.said = now
	clear(r.counts)
}

// outage says in the log, at most once a minute, that calls are answered with 503
// and why: a log that grew with every call would be the next thing to fill the
// disk.
type outage struct {
	log   *slog.Logger
	clock clock.Clock

	mu    sync.Mutex
	calls int
	said  time.Time
}

const outageEvery = time.Minute

func (o *outage) count(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls++
	now := o.clock.Now()
	if now.Sub(o.said) < outageEvery && !now.Before(o.said) {
		return
	}
	o.log.Error("calls cannot be made durable and are answered with 503", "calls", o.calls, "error", err)
	o.said, o.calls = now, 0
}
