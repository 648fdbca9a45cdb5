// Package metrics counts what the server does and shows it, in Prometheus's format and
// with Go's profiles, on a listener of its own.
//
// # What it promises
//
// Counting costs a call two readings of the clock and a few atomic additions: what is
// counted is looked up once for each operation, never for each call, and nothing is
// allocated. Labels are services, operations, outcomes, error codes, Regions, and the
// names that the operator or an account has given to trails, sinks and key stores;
// never a key, a principal, an address or anything of a request.
//
// # The threat
//
// Whoever reaches the listener. Figures tell who watches them how much a deployment is
// used and when, and profiles make the server work; so each request needs the token in
// the data folder or, where that is configured, a client certificate. Who has either
// learns figures and stacks, no memory's contents, and can slow the server down.
package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Timer measures how long something takes. It decides nothing, so that it need not be
// handed in, and a clock that is set meanwhile does not disturb it.
type Timer struct{ begun time.Time }

// Start returns a Timer that begins now.
func Start() Timer { return Timer{time.Now()} }

// Took returns the time since Start.
func (t Timer) Took() time.Duration { return time.Since(t.begun) }

const namespace = "strongroom"

// Registry holds everything that is counted. It is safe for concurrent use.
type Registry struct {
	registry *prometheus.Registry
	// Calls counts calls, Commits commits of the store.
	Calls   *Calls
	Commits *Commits
	// Proxies counts requests to the proxies of external key stores.
	Proxies *Proxies
}

// New returns a registry that counts, with figures of the process and of Go's runtime.
func New() *Registry {
	r := &Registry{registry: prometheus.NewRegistry()}
	r.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	r.Calls, r.Commits, r.Proxies = newCalls(r.registry), newCommits(r.registry), newProxies(r.registry)
	return r
}

// latencies are the bounds of histograms of times, in seconds.
var latencies = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// Gauges are figures that are found out when they are asked for.
type Gauges struct{ metrics chan<- prometheus.Metric }

// Gauge is one figure's name, its help text and the names of its labels.
type Gauge struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

// NewGauge describes a figure that goes up and down. name lacks the prefix.
func NewGauge(name, help string, labels ...string) *Gauge {
	return &Gauge{prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil), prometheus.GaugeValue}
}

// NewCounter describes a figure that only grows.
func NewCounter(name, help string, labels ...string) *Gauge {
	return &Gauge{prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil), prometheus.CounterValue}
}

// Set states a figure, with a value for each of its labels.
func (g Gauges) Set(which *Gauge, value float64, labels ...string) {
	g.metrics <- prometheus.MustNewConstMetric(which.desc, which.kind, value, labels...)
}

// Flag states 1 for true and 0 for false.
func (g Gauges) Flag(which *Gauge, value bool, labels ...string) {
	n := 0.0
	if value {
		n = 1
	}
	g.Set(which, n, labels...)
}

// Collect has collect called whenever figures are asked for.
func (r *Registry) Collect(collect func(Gauges)) { r.registry.MustRegister(source(collect)) }

// source is a collector whose figures are not known before it is asked.
type source func(Gauges)

// Describe implements [prometheus.Collector].
func (source) Describe(chan<- *prometheus.Desc) {}

// Collect implements [prometheus.Collector].
func (s source) Collect(metrics chan<- prometheus.Metric) { s(Gauges{metrics}) }
