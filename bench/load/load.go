// Package load puts load on a server over HTTP/1.1 and counts how long its answers
// take. Requests are bytes that were made ahead, so that a client costs little beside
// the server that it shares a machine with: on Linux one thread writes, waits and
// reads for all connections; over TLS, and elsewhere, a goroutine for each.
//
// In a closed loop each connection sends its next request when it has the answer to
// the one before. In an open loop requests are due at a fixed rate, whatever became of
// those before, and a latency counts from the moment at which its request was due: a
// server that stalls is shown all that waited for it (no coordinated omission).
package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"
)

// Config says what load it is.
type Config struct {
	// Addr is the server's IP address and port; must be set.
	Addr string
	// TLS, if not nil, is how to speak TLS with it.
	TLS *tls.Config
	// Requests are sent in turns; there must be one at least. In a closed loop connection
	// i of n begins with request i, and goes on with i+n: with as many requests as
	// connections, each connection sends its own over and over. In an open loop they are
	// sent in the order in which they are due, over whichever connection is free.
	Requests [][]byte
	// Connections is how many there are at once; must be set.
	Connections int
	// Rate, if not 0, makes it an open loop of that many requests a second.
	Rate float64
	// Duration is how long is measured; must be set unless Total is. WarmUp comes
	// before it.
	WarmUp, Duration time.Duration
	// Total, if not 0, is how many requests a closed loop sends, all of them measured.
	Total int
	// Mark, if not nil, is called as the measured part begins and as it ends.
	Mark func() error
}

// Result is what was measured.
type Result struct {
	// Latency is of what was answered within the measured part, in an open loop of
	// what was due in it.
	Latency *Histogram
	// Took is how long the measured part took.
	Took time.Duration
	// Client is the processor time that this process took in it; 0 where that is not
	// known.
	Client time.Duration
}

// forEver is longer than any load.
const forEver = 1000 * time.Hour

// silence is how long a server may leave all requests without an answer.
const silence = 30 * time.Second

// ErrNothing is returned when no answer falls into the measured part.
var ErrNothing = errors.New("nothing was answered in time")

var errSilent = fmt.Errorf("no answer for %v", silence)

// Run puts the load on the server. An answer other than 200 is an error.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	if cfg.Total > 0 {
		cfg.WarmUp, cfg.Duration, cfg.Rate = 0, forEver, 0
	}
	if len(cfg.Requests) == 0 || cfg.Connections < 1 || cfg.Duration <= 0 {
		return nil, errors.New("load: requests, connections and a duration must be set")
	}
	r := &run{Config: cfg, result: &Result{Latency: new(Histogram)}}
	loop := r.goroutines
	if polls && cfg.TLS == nil {
		loop = r.poll
	}
	if err := loop(ctx); err != nil {
		return nil, err
	}
	if r.result.Latency.Count() == 0 {
		return nil, ErrNothing
	}
	return r.result, nil
}

// run is a load under way.
type run struct {
	Config
	began, from, to time.Time // the start, and the measured part

	measuring time.Time     // when the measured part really began
	used      time.Duration // processor time of this process at that moment
	result    *Result
}

// start sets the clock.
func (r *run) start() {
	r.began = time.Now()
	r.from = r.began.Add(r.WarmUp)
	r.to = r.from.Add(r.Duration)
}

// begin is called once, when the measured part begins.
func (r *run) begin() error {
	r.measuring, r.used = time.Now(), ProcessorTime()
	return r.mark()
}

// end is called once, when it ends.
func (r *run) end() error {
	err := r.mark()
	r.result.Took, r.result.Client = time.Since(r.measuring), ProcessorTime()-r.used
	return err
}

func (r *run) mark() error {
	if r.Mark == nil {
		return nil
	}
	return r.Mark()
}

// last reports whether a connection whose next request is n has none to send.
func (r *run) last(n int) bool { return r.Total > 0 && n >= r.Total }

// due is when request n of an open loop is due.
func (r *run) due(n int) time.Time {
	return r.began.Add(time.Duration(float64(n) / r.Rate * float64(time.Second)))
}

// counts reports whether a call that began, or was due, and ended at those moments
// belongs to the measured part.
func (r *run) counts(began, ended time.Time) bool {
	if r.Rate > 0 {
		return !began.Before(r.from) && began.Before(r.to)
	}
	return !ended.Before(r.from) && ended.Before(r.to)
}
