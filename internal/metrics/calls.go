package metrics

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Outcome is how a call ended.
type Outcome uint8

// The outcomes of calls.
const (
	// Succeeded calls were answered with their result.
	Succeeded Outcome = iota
	// Denied calls were refused for want of permission.
	Denied
	// Throttled calls came too soon.
	Throttled
	// Refused calls were at fault in another way.
	Refused
	// Unavailable calls could not be made durable, or not in time.
	Unavailable
	// Failed calls met a fault of the server's own.
	Failed
	outcomes
)

var outcomeNames = [outcomes]string{"succeeded", "denied", "throttled", "refused", "unavailable", "failed"}

// Calls counts the calls of all operations. A nil *Calls counts nothing.
type Calls struct {
	ended   *prometheus.CounterVec
	took    *prometheus.HistogramVec
	refused *prometheus.CounterVec
}

func newCalls(registry prometheus.Registerer) *Calls {
	c := &Calls{
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "calls_total",
			Help: "Calls that were answered, by how they ended: succeeded, denied, throttled, refused, unavailable (503) or failed (500).",
		}, []string{"service", "operation", "outcome"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "call_duration_seconds", Buckets: latencies,
			Help: "Time from a call's arrival to its answer.",
		}, []string{"service", "operation"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "unauthenticated_refusals_total",
			Help: "Requests that were refused before it was known who asks, by the code of the answer.",
		}, []string{"code"}),
	}
	registry.MustRegister(c.ended, c.took, c.refused)
	return c
}

// Refused counts a request that was refused before it was known who asks. code is one
// of the server's, not the request's.
func (c *Calls) Refused(code string) {
	if c != nil {
		c.refused.WithLabelValues(code).Inc()
	}
}

// Operation returns what counts the calls of one operation; it is asked for once, ahead
// of all calls.
func (c *Calls) Operation(service, operation string) *Operation {
	if c == nil {
		return nil
	}
	return &Operation{calls: c, service: service, operation: operation}
}

// Operation counts the calls of one operation. A nil *Operation counts nothing.
type Operation struct {
	calls              *Calls
	service, operation string

	// An operation is shown from its first call on, with all its outcomes: of the
	// hundreds that there are, a deployment uses a few.
	used  sync.Once
	ended [outcomes]prometheus.Counter
	took  prometheus.Observer
}

// Ended counts a call that began with t.
func (o *Operation) Ended(t Timer, how Outcome) {
	if o == nil {
		return
	}
	o.used.Do(o.resolve)
	o.ended[how].Inc()
	o.took.Observe(t.Took().Seconds())
}

func (o *Operation) resolve() {
	for i, name := range outcomeNames {
		o.ended[i] = o.calls.ended.WithLabelValues(o.service, o.operation, name)
	}
	o.took = o.calls.took.WithLabelValues(o.service, o.operation)
}
