// Command soak keeps a server busy for a long time, with calls that change things among
// those that use keys, and fails when its memory grows or its latency drifts.
//
//	go run ./bench/soak                       # an hour at 2,000 requests a second
//	go run ./bench/soak -duration 10m -data DIR
//
// Requests are due at a fixed rate, and latency counts from when they were due. They are
// signed ahead, for a window at a time. After each window a line is printed: what was
// answered, how fast, and what the server has in memory. In the end the windows of the
// first third are compared with those of the last, by their medians; a warm-up of a
// tenth, in which caches fill, belongs to neither.
//
// Memory is the process's own: what is mapped of the executable comes and goes. The
// audit trail grows on the disk by 1 KB a request.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"time"

	"github.com/strongroom/strongroom/bench/load"
	"github.com/strongroom/strongroom/e2e/binary"
)

// options are what the flags say.
type options struct {
	duration, window time.Duration
	rate             float64
	keys             int
	binary, data     string
	// memory and p99 are how much higher the last third may be, as a factor.
	memory, p99 float64
}

func main() {
	var o options
	flag.DurationVar(&o.duration, "duration", time.Hour, "how long")
	flag.DurationVar(&o.window, "window", 10*time.Second, "how long each line counts")
	flag.Float64Var(&o.rate, "rate", 2000, "requests a second")
	flag.IntVar(&o.keys, "keys", 500, "how many keys are in use; more are created on the way")
	flag.StringVar(&o.binary, "binary", "", "run this strongroom executable instead of building one")
	flag.StringVar(&o.data, "data", "", "folder for the data folder; if empty, the system's for temporary files")
	flag.Float64Var(&o.memory, "memory", 1.15, "fail when memory has grown by more than this factor")
	flag.Float64Var(&o.p99, "p99", 1.5, "fail when p99 has grown by more than this factor")
	flag.Parse()
	if o.duration < 10*o.window || o.window < time.Second || o.rate*o.window.Seconds() < 1 || o.keys < 1 {
		fail(errors.New("there must be ten windows of a second or more, and something to do in each"))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		stop()
		fail(err)
	}
}

// fail ends the program with a message.
func fail(err error) {
	fmt.Fprintf(os.Stderr, "soak: %v\n", err)
	os.Exit(1)
}

// line is what a window showed.
type line struct {
	rate     float64 // requests a second
	p50, p99 time.Duration
	cpu      time.Duration // of the server, a request
	memory   binary.Memory
}

func run(ctx context.Context, o options) (err error) {
	work, err := os.MkdirTemp(o.data, "strongroom-soak-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if o.binary == "" {
		fmt.Println("building strongroom")
		if o.binary, err = binary.Build(work, nil); err != nil {
			return err
		}
	}
	s, err := binary.Start(binary.Config{Path: o.binary, Data: filepath.Join(work, "data")})
	if err != nil {
		return err
	}
	defer s.Kill()
	id, secret, err := binary.Credentials(s.Data)
	if err != nil {
		return err
	}
	w := &mix{signer: &load.Signer{Addr: s.Addr(), AccessKeyID: id, SecretAccessKey: secret}}
	if err := w.prepare(ctx, o.keys); err != nil {
		return err
	}
	var lines []line
	began := time.Now()
	for time.Since(began) < o.duration {
		l, err := window(ctx, s, w, o)
		if err != nil {
			return fmt.Errorf("after %v: %w; the server said:\n%s", time.Since(began).Round(time.Second), err, s.Output())
		}
		lines = append(lines, l)
		fmt.Printf("%8s  %6.0f/s  p50 %6d µs  p99 %7d µs  CPU %4d µs  memory %4d MB, resident %4d MB  %d keys made, %d rotations, %d policies\n",
			time.Since(began).Round(time.Second), l.rate, l.p50.Microseconds(), l.p99.Microseconds(), l.cpu.Microseconds(),
			l.memory.Anonymous/1e6, l.memory.Resident/1e6, w.made, w.rotated, w.policies)
	}
	if err := s.Stop(); err != nil {
		return err
	}
	return judge(lines, o)
}

// window puts load on the server for a window.
func window(ctx context.Context, s *binary.Server, w *mix, o options) (l line, err error) {
	requests, err := w.requests(int(o.rate * o.window.Seconds()))
	if err != nil {
		return line{}, err
	}
	var spent time.Duration
	result, err := load.Run(ctx, load.Config{
		Addr: s.Addr(), Requests: requests, Connections: 64, Rate: o.rate, Duration: o.window,
		Mark: func() error {
			now, err := s.CPU()
			spent = now - spent
			return err
		},
	})
	if err != nil {
		return line{}, err
	}
	n := result.Latency.Count()
	l = line{rate: float64(n) / result.Took.Seconds(), p50: result.Latency.Quantile(0.5), p99: result.Latency.Quantile(0.99), cpu: spent / time.Duration(n)}
	l.memory, err = s.Memory()
	return l, err
}

// judge compares the last third of the windows with the first, after a warm-up.
func judge(lines []line, o options) error {
	lines = lines[len(lines)/10:]
	third := len(lines) / 3
	median := func(of []line, figure func(line) float64) float64 {
		values := make([]float64, len(of))
		for i, l := range of {
			values[i] = figure(l)
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	var problems []error
	for _, f := range []struct {
		name, unit string
		of         func(line) float64
		most       float64
	}{
		{"memory", "MB", func(l line) float64 { return float64(l.memory.Anonymous) / 1e6 }, o.memory},
		{"p99", "µs", func(l line) float64 { return float64(l.p99) / 1e3 }, o.p99},
	} {
		first, last := median(lines[:third], f.of), median(lines[len(lines)-third:], f.of)
		fmt.Printf("%s: %.0f %s in the first third, %.0f in the last: ratio %.2f, at most %.2f\n", f.name, first, f.unit, last, last/first, f.most)
		if last > first*f.most {
			problems = append(problems, fmt.Errorf("%s has grown from %.0f to %.0f %s", f.name, first, last, f.unit))
		}
	}
	return errors.Join(problems...)
}
