package main

import (
	"context"
	"fmt"
	"time"

	"github.com/strongroom/strongroom/bench/load"
	"github.com/strongroom/strongroom/e2e/binary"
)

// point is one thing to measure.
type point struct {
	// name is what is asked for, and under which load.
	name string
	// empty is the empty server that its throughput is compared with; nil for none.
	empty *point
	// measure measures it once.
	measure func(ctx context.Context, duration time.Duration) (*sample, error)

	samples []*sample // those of the rounds so far
}

// last is what the newest round measured.
func (p *point) last() *sample { return p.samples[len(p.samples)-1] }

// shape is how much load there is.
type shape struct {
	connections int
	rate        float64 // if not 0, an open loop
}

func (s shape) String() string {
	switch {
	case s.rate > 0:
		return fmt.Sprintf("%.0f requests a second", s.rate)
	case s.connections == 1:
		return "1 connection"
	default:
		return fmt.Sprintf("%d connections", s.connections)
	}
}

// put puts requests on a server.
func (s shape) put(ctx context.Context, server *binary.Server, cfg load.Config, duration time.Duration) (*sample, error) {
	var watch stopwatch
	cfg.Addr, cfg.Connections, cfg.Rate = server.Addr(), s.connections, s.rate
	cfg.WarmUp, cfg.Duration = duration/5, duration
	cfg.Mark = func() error { return watch.lap(server) }
	result, err := load.Run(ctx, cfg)
	if err != nil {
		return nil, err
	}
	n := result.Latency.Count()
	one := &sample{
		Requests:   n,
		Throughput: float64(n) / result.Took.Seconds(),
		P50:        micros(result.Latency.Quantile(0.50)),
		P99:        micros(result.Latency.Quantile(0.99)),
		CPU:        micros(watch.server) / float64(n),
		Client:     micros(result.Client) / float64(n),
		Others:     max(0, (watch.machine-watch.server-result.Client).Seconds()/result.Took.Seconds()),
	}
	// What is not known, as on other systems than Linux, is 0.
	if memory, err := server.Memory(); err == nil {
		one.Memory = float64(memory.Resident) / 1e6
	}
	return one, nil
}

// stopwatch is what processor time went by between two laps.
type stopwatch struct {
	server, machine time.Duration
}

func (w *stopwatch) lap(server *binary.Server) error {
	spent, err := server.CPU()
	if err != nil {
		return err
	}
	w.server, w.machine = spent-w.server, binary.MachineTime()-w.machine
	return nil
}
