package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/strongroom/strongroom/e2e/binary"
)

// measureAll does a whole run and writes the table to out while it goes on.
func measureAll(ctx context.Context, o options, out io.Writer) error {
	work, err := os.MkdirTemp(o.data, "strongroom-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	executable := o.binary
	if executable == "" {
		fmt.Fprintln(out, "building strongroom")
		if executable, err = binary.Build(work, nil); err != nil {
			return err
		}
	} else if executable, err = filepath.Abs(executable); err != nil {
		return err
	}
	r := &report{
		Time: time.Now().UTC().Truncate(time.Second), Commit: commit(), Go: runtime.Version(), CPUs: runtime.NumCPU(),
		FileSystem: fileSystem(work), Duration: o.duration,
	}
	if r.SyncMicros, err = syncCost(work); err != nil {
		return err
	}
	fmt.Fprintf(out, "commit %s, %s, %d CPUs; data on %s, where a sync takes %.0f µs\n", r.Commit, r.Go, r.CPUs, r.FileSystem, r.SyncMicros)
	if r.FileSystem == "tmpfs" {
		fmt.Fprintln(out, "a sync costs nothing there: choose a folder on a disk with -data")
	}
	f, err := newFleet(ctx, executable, work)
	if err != nil {
		return err
	}
	defer f.stop()
	targets := slices.DeleteFunc(f.targets(ctx), func(t target) bool {
		return t.name != baseline && !strings.Contains(t.name, o.only)
	})
	if err := r.measure(ctx, o, targets, out); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nmedians of %d rounds\n", o.rounds)
	if err := r.table(out); err != nil {
		return err
	}
	if o.json != "" {
		return r.write(o.json)
	}
	return nil
}

// measure runs the rounds. The baseline is the first target.
func (r *report) measure(ctx context.Context, o options, targets []target, out io.Writer) error {
	for _, t := range targets {
		for _, n := range o.concurrency {
			r.Results = append(r.Results, &result{Target: t.name, Concurrency: n})
		}
	}
	for round := range o.rounds {
		fmt.Fprintf(out, "\nround %d of %d\n", round+1, o.rounds)
		compared := map[int]float64{} // concurrency → the baseline's throughput
		for i, t := range targets {
			for j, n := range o.concurrency {
				requests, err := t.requests(n)
				if err != nil {
					return fmt.Errorf("%s: %w", t.name, err)
				}
				s, err := measure(ctx, t, requests, o.duration)
				if err != nil {
					return fmt.Errorf("%s with %d connections: %w", t.name, n, err)
				}
				if t.name == baseline {
					compared[n] = s.Throughput
				}
				if compared[n] > 0 {
					s.Ratio = s.Throughput / compared[n]
				}
				one := r.Results[i*len(o.concurrency)+j]
				one.Rounds = append(one.Rounds, s)
				one.sumUp()
				fmt.Fprintf(out, "%16s  %3d connections  %7.0f/s  p50 %6.0f µs  p99 %6.0f µs  CPU %5.1f µs  %.2f\n", t.name, n, s.Throughput, s.P50, s.P99, s.CPU, s.Ratio)
			}
		}
	}
	return nil
}

// commit returns what is measured, as git knows it.
func commit() string {
	text, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}

// syncCost returns the median of what a write of 4 KB and its sync take in a
// folder, in microseconds: the price of durability on this machine.
func syncCost(folder string) (float64, error) {
	file, err := os.CreateTemp(folder, "sync-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	page := make([]byte, 4096)
	took := make([]time.Duration, 100)
	for i := range took {
		before := time.Now()
		if _, err := file.Write(page); err != nil {
			return 0, err
		}
		if err := file.Sync(); err != nil {
			return 0, err
		}
		took[i] = time.Since(before)
	}
	slices.Sort(took)
	return quantile(took, 50), nil
}
