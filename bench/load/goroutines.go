package load

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// goroutines is the loop with a goroutine for each connection.
func (r *run) goroutines(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	conns := make([]*Conn, r.Connections)
	for i := range conns {
		c, err := Dial(ctx, r.Addr, r.TLS)
		if err != nil {
			return err
		}
		defer c.Close()
		conns[i] = c
	}
	r.start()
	latencies := make([]Histogram, len(conns))
	var sent atomic.Int64 // of an open loop
	var calling sync.WaitGroup
	for i, c := range conns {
		calling.Go(func() {
			next := r.closed(i)
			if r.Rate > 0 {
				next = func() (int, time.Time) { n := int(sent.Add(1) - 1); return n, r.due(n) }
			}
			if err := r.callAll(ctx, c, next, &latencies[i]); err != nil {
				cancel(err)
			}
		})
	}
	if waitUntil(ctx, r.from) {
		if err := r.begin(); err != nil {
			cancel(err)
		}
	}
	if r.Total > 0 {
		calling.Wait()
		r.to = time.Now()
	}
	if waitUntil(ctx, r.to) {
		if err := r.end(); err != nil {
			cancel(err)
		}
	}
	calling.Wait()
	for i := range latencies {
		r.result.Latency.Add(&latencies[i])
	}
	return context.Cause(ctx)
}

// closed returns what connection i sends next, and when: at once.
func (r *run) closed(i int) func() (n int, due time.Time) {
	n := i - r.Connections
	return func() (int, time.Time) {
		n += r.Connections
		return n, time.Now()
	}
}

// callAll makes one call after the other until the measured part is over.
func (r *run) callAll(ctx context.Context, c *Conn, next func() (int, time.Time), latency *Histogram) error {
	for ctx.Err() == nil {
		n, due := next()
		if r.last(n) || !due.Before(r.to) || !waitUntil(ctx, due) {
			return nil
		}
		if _, err := c.Call(r.Requests[n%len(r.Requests)]); err != nil {
			return err
		}
		if ended := time.Now(); r.counts(due, ended) {
			latency.Record(ended.Sub(due))
		}
	}
	return nil
}

// waitUntil waits for a moment, and reports whether it came before ctx ended.
func waitUntil(ctx context.Context, moment time.Time) bool {
	wait := time.Until(moment)
	if wait <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
