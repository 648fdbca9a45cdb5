package main

import (
	"context"
	"errors"
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

// run does all that the flags ask for, and writes to out while it goes on.
func run(ctx context.Context, o options, out io.Writer) (err error) {
	work, err := os.MkdirTemp(o.data, "strongroom-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	f, err := newFleet(work)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.stop()) }()
	if o.list {
		return list(out, o.table(newStrongroom(f, "", "")))
	}
	if o.binary == "" {
		fmt.Fprintln(out, "building strongroom")
		if o.binary, err = binary.Build(work, nil); err != nil {
			return err
		}
	}
	r := newReport(o, work)
	fmt.Fprintf(out, "commit %s, %s, %d CPUs; data on %s; %d rounds of %v\n", r.Commit, r.Go, r.CPUs, r.FileSystem, o.rounds, o.duration)
	if r.FileSystem == "tmpfs" {
		fmt.Fprintln(out, "a sync costs nothing there: choose a folder on a disk with -data")
	}
	var tables [][]row
	if o.against == "" {
		tables = [][]row{o.table(newStrongroom(f, "", o.binary))}
	} else {
		tables = [][]row{o.table(newStrongroom(f, "A", o.binary)), o.table(newStrongroom(f, "B", o.against))}
		fmt.Fprintf(out, "A is %s, B is %s\n", o.binary, o.against)
	}
	for i := range tables {
		if tables[i] = chosen(tables[i], o.only); len(tables[i]) == 0 {
			return fmt.Errorf("no row's name contains %q: -list prints them", strings.Join(o.only, ", "))
		}
	}
	if err := r.measure(ctx, o, order(tables), out); err != nil {
		return err
	}
	r.sumUp(tables)
	if err := r.print(out); err != nil {
		return err
	}
	if o.json != "" {
		return r.write(o.json)
	}
	return nil
}

// table returns the rows of an executable.
func (o options) table(s *strongroom) []row {
	if o.nodes {
		return nodeRows(s)
	}
	return rows(s)
}

// width is what the longest name needs.
func (o options) width() int {
	if o.nodes {
		return 60
	}
	return 42
}

// chosen returns the rows whose name contains one of only.
func chosen(all []row, only []string) []row {
	return slices.DeleteFunc(all, func(r row) bool {
		name := strings.ReplaceAll(r.subject.name, ",", "")
		return !slices.ContainsFunc(only, func(part string) bool {
			return strings.Contains(name, part) || strings.Contains(r.subject.name, part)
		})
	})
}

// order returns what a round measures, one after the other: for each line of the
// tables what its subjects are compared with, and then the subjects, which take
// turns in being first.
func order(tables [][]row) func(round int) []*point {
	return func(round int) (all []*point) {
		add := func(p *point) {
			if p != nil && !slices.Contains(all, p) {
				all = append(all, p)
			}
		}
		for i := range tables[0] {
			for _, table := range tables {
				add(table[i].subject.empty)
			}
			for turn := range tables {
				one := tables[(turn+round)%len(tables)][i]
				add(one.reference)
				add(one.subject)
			}
		}
		return all
	}
}

// measure runs the rounds.
func (r *report) measure(ctx context.Context, o options, order func(round int) []*point, out io.Writer) error {
	for round := range o.rounds {
		fmt.Fprintf(out, "\nround %d of %d\n", round+1, o.rounds)
		for _, p := range order(round) {
			s, err := p.measure(ctx, o.duration)
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			p.samples = append(p.samples, s)
			if p.empty != nil {
				s.compare(p.empty.last())
			}
			fmt.Fprintf(out, "%*s  %7.0f/s  p50 %6.0f µs  p99 %6.0f µs  CPU %5.1f + %4.1f µs  others %.2f  %s%s\n", o.width(),
				p.name, s.Throughput, s.P50, s.P99, s.CPU, s.Client, s.Others, orNothing("%.2f", s.Ratio), s.database())
		}
	}
	return nil
}

// newReport returns a report without figures.
func newReport(o options, work string) *report {
	return &report{
		Time: time.Now().UTC().Truncate(time.Second), Commit: commit(), Go: runtime.Version(), CPUs: runtime.NumCPU(),
		FileSystem: fileSystem(work), Duration: o.duration, A: name(o.binary), B: name(o.against),
	}
}

func name(path string) string {
	if path == "" {
		return ""
	}
	return filepath.Base(path)
}

// commit returns what is measured, as git knows it.
func commit() string {
	text, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}
