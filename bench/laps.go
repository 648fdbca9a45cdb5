package main

import (
	"context"
	"sync"
	"time"

	"github.com/strongroom/strongroom/bench/load"
	"github.com/strongroom/strongroom/e2e/binary"
)

// laps is what a measurement of a deployment takes, from when the first of its loads
// begins to be measured until the first of them ends.
type laps struct {
	d     *deployment
	loads int

	mu    sync.Mutex
	marks int
	from  moment
	to    moment
}

// moment is what was used up to a moment.
type moment struct {
	at                               time.Time
	client, nodes, database, machine time.Duration
	log                              string // where the database's log ends
}

// mark is called by each load as it begins to be measured, and as it ends. All begin
// together, long before one ends.
func (l *laps) mark() (err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch l.marks {
	case 0:
		l.from, err = l.d.moment()
	case l.loads:
		l.to, err = l.d.moment()
	}
	l.marks++
	return err
}

// moment takes the time.
func (d *deployment) moment() (m moment, err error) {
	m.machine, m.client = binary.MachineTime(), load.ProcessorTime()
	for _, s := range d.servers {
		spent, err := s.CPU()
		if err != nil {
			return m, err
		}
		m.nodes += spent
	}
	if d.store != nil {
		m.database = d.store.processorTime()
		if m.log, err = d.store.logEnd(context.Background()); err != nil {
			return m, err
		}
	}
	m.at = time.Now()
	return m, nil
}

// sample sums up what was measured.
func (l *laps) sample(ctx context.Context, latency *load.Histogram) (*sample, error) {
	n, took := float64(latency.Count()), l.to.at.Sub(l.from.at).Seconds()
	nodes, database, client := l.to.nodes-l.from.nodes, l.to.database-l.from.database, l.to.client-l.from.client
	s := &sample{
		Requests: latency.Count(), Throughput: n / took,
		P50: micros(latency.Quantile(0.50)), P99: micros(latency.Quantile(0.99)),
		CPU: micros(nodes) / n, Client: micros(client) / n, Database: micros(database) / n,
		Others: max(0, (l.to.machine-l.from.machine-nodes-database-client).Seconds()/took),
	}
	for _, server := range l.d.servers {
		// What is not known, as on other systems than Linux, is 0.
		if memory, err := server.Memory(); err == nil {
			s.Memory += float64(memory.Resident) / 1e6
		}
	}
	if l.d.store == nil {
		return s, nil
	}
	log, err := l.d.store.logged(ctx, l.from.log, l.to.log)
	s.Commits, s.Log, s.Pages = log.commits/n, log.bytes/n, log.pages/n
	return s, err
}
