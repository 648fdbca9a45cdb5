package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Commits counts the commits of the store. It is told by one goroutine.
type Commits struct {
	took, bytes, calls prometheus.Histogram
	records            prometheus.Counter
	failed             prometheus.Counter
	begun              Timer
}

func newCommits(registry prometheus.Registerer) *Commits {
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets})
	}
	c := &Commits{
		took:  histogram("commit_duration_seconds", "Time that a commit took, its sync included.", latencies),
		bytes: histogram("commit_bytes", "Bytes of changes and audit records in a commit.", prometheus.ExponentialBuckets(256, 4, 8)),
		calls: histogram("commit_calls", "Calls that shared a commit.", prometheus.ExponentialBuckets(1, 2, 10)),
		records: prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: "audit_records_total",
			Help: "Audit records that were made durable."}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: "commit_refusals_total",
			Help: "Commits that were refused, as on a full disk."}),
	}
	registry.MustRegister(c.took, c.bytes, c.calls, c.records, c.failed)
	return c
}

// Beside returns Commits for another goroutine, which count in the same figures.
func (c *Commits) Beside() *Commits {
	beside := *c
	beside.begun = Timer{}
	return &beside
}

// CommitBegins starts the time.
func (c *Commits) CommitBegins() { c.begun = Start() }

// CommitEnds counts a commit.
func (c *Commits) CommitEnds(calls, records, bytes int, err error) {
	if err != nil {
		c.failed.Inc()
		return
	}
	c.took.Observe(c.begun.Took().Seconds())
	c.bytes.Observe(float64(bytes))
	c.calls.Observe(float64(calls))
	c.records.Add(float64(records))
}

// Proxies counts requests to the proxies of external key stores.
type Proxies struct {
	ended *prometheus.CounterVec
	took  prometheus.Histogram
}

func newProxies(registry prometheus.Registerer) *Proxies {
	p := &Proxies{
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: "xks_requests_total",
			Help: "Requests to the proxies of external key stores, by how they ended: succeeded, refused by the proxy, or failed without an answer that could be used."},
			[]string{"outcome"}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: "xks_request_duration_seconds",
			Help: "Time that such a request took; 250 ms is the limit.", Buckets: latencies[:10]}),
	}
	registry.MustRegister(p.ended, p.took)
	for _, outcome := range []string{"succeeded", "refused", "failed"} {
		p.ended.WithLabelValues(outcome)
	}
	return p
}

// Ended counts a request that began with t; how is Succeeded, Refused or Failed.
func (p *Proxies) Ended(t Timer, how Outcome) {
	if p == nil {
		return
	}
	p.ended.WithLabelValues(outcomeNames[how]).Inc()
	p.took.Observe(t.Took().Seconds())
}
