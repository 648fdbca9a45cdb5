package main

import (
	"slices"
	"time"
)

// sample is one measurement.
type sample struct {
	Requests   int     `json:"requests"`
	Throughput float64 `json:"requestsPerSecond"`
	// P50 and P99 are latencies in microseconds.
	P50 float64 `json:"p50Micros"`
	P99 float64 `json:"p99Micros"`
	// CPU is what a request costs the server, Client what it costs the client, in
	// microseconds of processor time; 0 where that is not known.
	CPU    float64 `json:"serverCPUMicros"`
	Client float64 `json:"clientCPUMicros"`
	// Others is how many processors all other programs took meanwhile.
	Others float64 `json:"otherProcessors"`
	// Memory is the server's, resident, in MB of 10^6 bytes.
	Memory float64 `json:"memoryMB"`
	// Database is what a request costs the database's processes, in microseconds of
	// processor time; Commits how many transactions it commits there, Log how many bytes
	// it writes to the database's log, and Pages how many more there are images of pages
	// that were touched for the first time since a checkpoint. 0 without a database.
	Database float64 `json:"databaseCPUMicros,omitempty"`
	Commits  float64 `json:"commitsPerRequest,omitempty"`
	Log      float64 `json:"logBytesPerRequest,omitempty"`
	Pages    float64 `json:"pageImageBytesPerRequest,omitempty"`
	// Ratio is the throughput to that of an empty server in the same round, and
	// CPURatio what a request to that costs, server and client together, to what one of
	// these costs; 0 where there is none to compare with. Where both keep all
	// processors busy the two are the same; the second depends less on what other
	// programs do.
	Ratio    float64 `json:"ratio"`
	CPURatio float64 `json:"cpuRatio"`
}

func micros(d time.Duration) float64 { return float64(d) / 1e3 }

// compare fills in the ratios to an empty server's sample.
func (s *sample) compare(empty *sample) {
	s.Ratio = s.Throughput / empty.Throughput
	if cost := s.CPU + s.Client; cost > 0 {
		s.CPURatio = (empty.CPU + empty.Client) / cost
	}
}

// each calls fn for every figure of a sample.
func (s *sample) each(fn func(i int, figure *float64)) {
	for i, f := range []*float64{&s.Throughput, &s.P50, &s.P99, &s.CPU, &s.Client, &s.Others, &s.Memory, &s.Database, &s.Commits, &s.Log, &s.Pages, &s.Ratio, &s.CPURatio} {
		fn(i, f)
	}
}

// medians returns the sample whose figures are the medians of others'.
func medians(samples []*sample) (m sample) {
	requests := make([]float64, len(samples))
	for i, s := range samples {
		requests[i] = float64(s.Requests)
	}
	m.Requests = int(spreadOf(requests).Median)
	m.each(func(i int, figure *float64) {
		values := make([]float64, 0, len(samples))
		for _, s := range samples {
			s.each(func(j int, value *float64) {
				if i == j {
					values = append(values, *value)
				}
			})
		}
		*figure = spreadOf(values).Median
	})
	return m
}

// spread is the median of some values, or the mean of the two middles, and the
// least and the most of them.
type spread struct {
	Median float64 `json:"median"`
	Least  float64 `json:"least"`
	Most   float64 `json:"most"`
}

func spreadOf(values []float64) spread {
	n := len(values)
	if n == 0 {
		return spread{}
	}
	sorted := slices.Sorted(slices.Values(values))
	return spread{Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Least: sorted[0], Most: sorted[n-1]}
}
