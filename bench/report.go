package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"
)

// sample is one measurement.
type sample struct {
	Requests   int     `json:"requests"`
	Throughput float64 `json:"requestsPerSecond"`
	// P50 and P99 are latencies in microseconds.
	P50 float64 `json:"p50Micros"`
	P99 float64 `json:"p99Micros"`
	// CPU is what a request costs the server, in microseconds of processor time; 0
	// where that is not known.
	CPU float64 `json:"serverCPUMicros"`
	// Ratio is the throughput to the empty net/http server's in the same round.
	Ratio float64 `json:"ratio"`
}

// newSample sums up what the calls of each connection took, in a measurement of
// that duration, and the processor time that all of them cost the server.
func newSample(took [][]time.Duration, duration, cost time.Duration) *sample {
	all := slices.Concat(took...)
	slices.Sort(all)
	return &sample{
		Requests:   len(all),
		Throughput: float64(len(all)) / duration.Seconds(),
		P50:        quantile(all, 50),
		P99:        quantile(all, 99),
		CPU:        float64(cost.Microseconds()) / float64(max(len(all), 1)),
	}
}

// quantile returns the value below which percent of a sorted list lie, in
// microseconds.
func quantile(sorted []time.Duration, percent int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[(len(sorted)-1)*percent/100]) / 1e3
}

// median returns the middle of what get picks, or the mean of the two middles.
func median(samples []*sample, get func(*sample) float64) float64 {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = get(s)
	}
	slices.Sort(values)
	n := len(values)
	if n == 0 {
		return 0
	}
	return (values[(n-1)/2] + values[n/2]) / 2
}

// result is a target at one concurrency: its rounds and their medians.
type result struct {
	Target      string    `json:"target"`
	Concurrency int       `json:"concurrency"`
	Median      sample    `json:"median"`
	Rounds      []*sample `json:"rounds"`
}

// sumUp fills in the medians.
func (r *result) sumUp() {
	r.Median = sample{
		Requests:   int(median(r.Rounds, func(s *sample) float64 { return float64(s.Requests) })),
		Throughput: median(r.Rounds, func(s *sample) float64 { return s.Throughput }),
		P50:        median(r.Rounds, func(s *sample) float64 { return s.P50 }),
		P99:        median(r.Rounds, func(s *sample) float64 { return s.P99 }),
		CPU:        median(r.Rounds, func(s *sample) float64 { return s.CPU }),
		Ratio:      median(r.Rounds, func(s *sample) float64 { return s.Ratio }),
	}
}

// report is the JSON file.
type report struct {
	Time       time.Time `json:"time"`
	Commit     string    `json:"commit"`
	Go         string    `json:"go"`
	CPUs       int       `json:"cpus"`
	FileSystem string    `json:"fileSystem"`
	// SyncMicros is the median of what a write of 4 KB and its sync take on the
	// file system of the data folder.
	SyncMicros float64       `json:"syncMicros"`
	Duration   time.Duration `json:"measurementNanos"`
	Results    []*result     `json:"results"`
}

// table writes the medians.
func (r *report) table(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "target\tconnections\trequests/s\tp50 µs\tp99 µs\tserver CPU µs\tof net/http\t")
	for _, one := range r.Results {
		m := one.Median
		fmt.Fprintf(w, "%s\t%d\t%.0f\t%.0f\t%.0f\t%.1f\t%.2f\t\n", one.Target, one.Concurrency, m.Throughput, m.P50, m.P99, m.CPU, m.Ratio)
	}
	return w.Flush()
}

// write writes the JSON file.
func (r *report) write(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
