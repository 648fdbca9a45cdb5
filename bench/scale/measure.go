package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/strongroom/strongroom/bench/load"
)

// figures are what was found. Times are in microseconds unless their name says more,
// memory is in MB of 10^6 bytes.
type figures struct {
	Keys int `json:"keys"`
	// EmptyReadyMillis and EmptyMemory are of a server that was started for the first
	// time.
	EmptyReadyMillis float64 `json:"emptyReadyMillis"`
	EmptyMemory      usage   `json:"emptyMemory"`
	// ReadyMillis are of starts with all keys.
	ReadyMillis []float64 `json:"readyMillis"`
	ReadyMemory usage     `json:"readyMemory"`
	// Checking is at the fixed rate while the server compares all records with their
	// hash, Checked afterwards; CheckSeconds is how long that took.
	Checking     sample  `json:"checking"`
	Checked      sample  `json:"checked"`
	CheckSeconds float64 `json:"checkSeconds"`
	// UsedMemory is after each key was used once, in InUse; EndMemory at the end.
	InUse      sample `json:"inUse"`
	UsedMemory usage  `json:"usedMemory"`
	EndMemory  usage  `json:"endMemory"`

	Few  []sample `json:"few"`  // closed loop, some keys
	Many []sample `json:"many"` // all keys
	// FewSteady and ManySteady are at the fixed rate.
	FewSteady  []sample `json:"fewSteady"`
	ManySteady []sample `json:"manySteady"`
}

// usage is what a process has in memory: all that is resident, and what of it is its
// own. The rest is mapped from the executable's file, in blocks of the kernel's choice.
type usage struct {
	Resident float64 `json:"residentMB"`
	Own      float64 `json:"ownMB"`
}

// sample is one measurement.
type sample struct {
	Throughput float64 `json:"requestsPerSecond"`
	P50        float64 `json:"p50Micros"`
	P99        float64 `json:"p99Micros"`
	CPU        float64 `json:"serverCPUMicros"`
}

func (s *server) memory() (usage, error) {
	m, err := s.Memory()
	return usage{Resident: float64(m.Resident) / 1e6, Own: float64(m.Anonymous) / 1e6}, err
}

// empty looks at a server without keys.
func (f *figures) empty(path, data string) error {
	s, err := start(path, data)
	if err != nil {
		return err
	}
	f.EmptyReadyMillis = millis(s.readyAfter)
	f.EmptyMemory, err = s.memory()
	return errors.Join(err, s.Stop())
}

func millis(d time.Duration) float64 { return float64(d) / 1e6 }

// starts takes the time of starts.
func (f *figures) starts(o options, data string) error {
	for range o.rounds {
		s, err := start(o.binary, data)
		if err != nil {
			return err
		}
		f.ReadyMillis = append(f.ReadyMillis, millis(s.readyAfter))
		f.ReadyMemory, err = s.memory()
		if err := errors.Join(err, s.Stop()); err != nil {
			return err
		}
		fmt.Printf("ready with %d keys after %.0f ms, %.0f MB\n", o.keys, millis(s.readyAfter), f.ReadyMemory.Resident)
	}
	return nil
}

// use puts load on a server that has just been started.
func (f *figures) use(ctx context.Context, o options, data string, ids []string) (err error) {
	s, err := start(o.binary, data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	began := time.Now()
	one := ids[:1]
	if f.Checking, err = s.steady(ctx, one, o); err != nil {
		return err
	}
	fmt.Printf("while all records are compared: p99 %.0f µs\n", f.Checking.P99)
	for !s.checked() {
		if err := ctx.Err(); err != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	f.CheckSeconds = time.Since(began).Seconds()
	if f.Checked, err = s.steady(ctx, one, o); err != nil {
		return err
	}
	fmt.Printf("afterwards, %.1f s after the start: p99 %.0f µs\n", f.CheckSeconds, f.Checked.P99)
	if err := f.touch(ctx, s, ids); err != nil {
		return err
	}
	few := slices.Clone(ids)
	rand.Shuffle(len(few), func(i, j int) { few[i], few[j] = few[j], few[i] })
	few = few[:min(o.few, len(few))]
	for round := range o.rounds {
		for _, m := range []struct {
			name string
			keys []string
			to   *[]sample
			put  func(context.Context, []string, options) (sample, error)
		}{
			{"some keys", few, &f.Few, s.closed}, {"all keys", ids, &f.Many, s.closed},
			{"some keys, fixed rate", few, &f.FewSteady, s.steady}, {"all keys, fixed rate", ids, &f.ManySteady, s.steady},
		} {
			one, err := m.put(ctx, m.keys, o)
			if err != nil {
				return err
			}
			*m.to = append(*m.to, one)
			fmt.Printf("round %d  %22s  %7.0f/s  p50 %6.0f µs  p99 %6.0f µs  CPU %5.1f µs\n", round+1, m.name, one.Throughput, one.P50, one.P99, one.CPU)
		}
	}
	f.EndMemory, err = s.memory()
	return err
}

// touch uses each key once. The quantiles are those of the slowest block.
func (f *figures) touch(ctx context.Context, s *server, ids []string) (err error) {
	const block = 50_000
	began, spent, total := time.Now(), time.Duration(0), sample{}
	for from := 0; from < len(ids); from += block {
		part := ids[from:min(from+block, len(ids))]
		requests, err := several(len(part), func(i int) ([]byte, error) { return s.encrypt(part[i]) })
		if err != nil {
			return err
		}
		before := time.Now()
		one, err := s.put(ctx, load.Config{Requests: requests, Total: len(part)})
		if err != nil {
			return err
		}
		total.P50, total.P99 = max(total.P50, one.P50), max(total.P99, one.P99)
		total.CPU += one.CPU * float64(len(part)) / float64(len(ids))
		spent += time.Since(before)
		fmt.Printf("%d of %d keys used, p99 %.0f µs\n", from+len(part), len(ids), one.P99)
	}
	total.Throughput = float64(len(ids)) / spent.Seconds()
	f.InUse = total
	f.UsedMemory, err = s.memory()
	fmt.Printf("each key used once after %.0f s; %.0f MB resident\n", time.Since(began).Seconds(), f.UsedMemory.Resident)
	return err
}

// encrypt returns an Encrypt of 32 bytes.
func (s *server) encrypt(key string) ([]byte, error) {
	return s.signer.Request("Encrypt", fmt.Sprintf(`{"KeyId":%q,"Plaintext":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}`, key))
}

// random returns requests that use keys at random.
func (s *server) random(keys []string, n int) ([][]byte, error) {
	return several(n, func(int) ([]byte, error) { return s.encrypt(keys[rand.IntN(len(keys))]) })
}

// mostRate is how many requests a second are signed ahead for a closed loop: more than
// a server answers.
const mostRate = 30_000

// closed uses keys at random as fast as the server answers.
func (s *server) closed(ctx context.Context, keys []string, o options) (sample, error) {
	requests, err := s.random(keys, int(mostRate*o.duration.Seconds()*1.2))
	if err != nil {
		return sample{}, err
	}
	return s.put(ctx, load.Config{Requests: requests, WarmUp: o.duration / 5, Duration: o.duration})
}

// steady uses keys at random at the fixed rate.
func (s *server) steady(ctx context.Context, keys []string, o options) (sample, error) {
	requests, err := s.random(keys, int(o.rate*o.duration.Seconds()*1.2)+1)
	if err != nil {
		return sample{}, err
	}
	return s.put(ctx, load.Config{Requests: requests, WarmUp: o.duration / 5, Duration: o.duration, Rate: o.rate})
}

func (s *server) put(ctx context.Context, cfg load.Config) (sample, error) {
	var spent time.Duration
	cfg.Addr, cfg.Connections = s.Addr(), 64
	cfg.Mark = func() error {
		now, err := s.CPU()
		spent = now - spent
		return err
	}
	result, err := load.Run(ctx, cfg)
	if err != nil {
		return sample{}, err
	}
	n := float64(result.Latency.Count())
	micros := func(d time.Duration) float64 { return float64(d) / 1e3 }
	return sample{
		Throughput: n / result.Took.Seconds(), CPU: micros(spent) / n,
		P50: micros(result.Latency.Quantile(0.5)), P99: micros(result.Latency.Quantile(0.99)),
	}, nil
}

// print writes the figures and what they are aimed at.
func (f *figures) print(out io.Writer) {
	median := func(samples []sample, of func(sample) float64) float64 {
		values := make([]float64, len(samples))
		for i, s := range samples {
			values[i] = of(s)
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	throughput := func(s sample) float64 { return s.Throughput }
	p99 := func(s sample) float64 { return s.P99 }
	cpu := func(s sample) float64 { return s.CPU }
	ready := slices.Sorted(slices.Values(f.ReadyMillis))
	fmt.Fprintf(out, "\n%d keys; medians of %d rounds\n", f.Keys, len(f.Few))
	fmt.Fprintf(out, "memory, empty                %5.0f MB resident, %.0f of it the process's own   aim ≤ 40\n", f.EmptyMemory.Resident, f.EmptyMemory.Own)
	fmt.Fprintf(out, "memory, just ready           %5.0f MB resident, %.0f of it the process's own\n", f.ReadyMemory.Resident, f.ReadyMemory.Own)
	fmt.Fprintf(out, "memory, all keys in use      %5.0f MB resident, %.0f of it the process's own   aim ≤ 250\n", f.UsedMemory.Resident, f.UsedMemory.Own)
	fmt.Fprintf(out, "memory, at the end           %5.0f MB resident, %.0f of it the process's own   aim ≤ 250\n", f.EndMemory.Resident, f.EndMemory.Own)
	fmt.Fprintf(out, "ready after                  %5.0f ms (%.0f–%.0f; empty, made for the first time, %.0f)   aim ≤ 1000\n", ready[len(ready)/2], ready[0], ready[len(ready)-1], f.EmptyReadyMillis)
	fmt.Fprintf(out, "p99 while records are compared, %.1f s   %.0f µs, afterwards %.0f\n", f.CheckSeconds, f.Checking.P99, f.Checked.P99)
	fmt.Fprintf(out, "each key once                %5.0f/s, %.1f µs of the server's CPU\n", f.InUse.Throughput, f.InUse.CPU)
	for _, line := range []struct {
		name      string
		few, many []sample
		of        func(sample) float64
		unit, aim string
	}{
		{"throughput", f.Few, f.Many, throughput, "/s", "≥ 0.9"}, {"server CPU", f.Few, f.Many, cpu, "µs", ""}, {"p99, closed loop", f.Few, f.Many, p99, "µs", "≤ 1.1"},
		{"p99, fixed rate", f.FewSteady, f.ManySteady, p99, "µs", "≤ 1.1"}, {"server CPU, fixed rate", f.FewSteady, f.ManySteady, cpu, "µs", ""},
	} {
		some, all := median(line.few, line.of), median(line.many, line.of)
		fmt.Fprintf(out, "%-22s some keys %8.1f %s, all %8.1f, ratio %.2f   %s\n", line.name, some, line.unit, all, all/some, line.aim)
	}
}
