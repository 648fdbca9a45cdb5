// Command soak keeps a server busy for a long time, with calls that change things among
// those that use keys, and fails when its memory grows or its latency drifts.
//
//	go run ./bench/soak                       # an hour at 2,000 requests a second
//	go run ./bench/soak -duration 10m -data DIR
//
// Requests are due at a fixed rate, and latency counts from when they were due. They are
// signed ahead, for a window at a time. After each window a line is printed: what was
// answered, how fast, what the server has in memory, and how much of the processors other
// programs took, and other machines that share them. In the end the windows of the
// first third are compared with those of the last, by their medians; a warm-up of a
// tenth, in which caches fill, belongs to neither. Windows in which others took more than
// a fifth of a processor say nothing of the server's latency, and are left out of it;
// when more than three quarters of a third are, nothing can be said. After each of them
// there is a rest as long as a window, so that a virtual machine whose host gives it no
// more for long has something to give again; the duration is without rests.
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
	// others is how many processors others may take while latencies are judged.
	others float64
}

func main() {
	var o options
	flag.DurationVar(&o.duration, "duration", time.Hour, "how long the windows are together")
	flag.DurationVar(&o.window, "window", 10*time.Second, "how long each line counts")
	flag.Float64Var(&o.rate, "rate", 2000, "requests a second")
	flag.IntVar(&o.keys, "keys", 500, "how many keys are in use; more are created on the way")
	flag.StringVar(&o.binary, "binary", "", "run this strongroom executable instead of building one")
	flag.StringVar(&o.data, "data", "", "folder for the data folder; if empty, the system's for temporary files")
	flag.Float64Var(&o.memory, "memory", 1.15, "fail when memory has grown by more than this factor")
	flag.Float64Var(&o.p99, "p99", 1.5, "fail when p99 has grown by more than this factor")
	flag.Float64Var(&o.others, "others", 0.2, "do not judge the latency of windows in which others took more processors than this")
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
	others   float64       // how many processors other programs and machines took
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
	for time.Duration(len(lines))*o.window < o.duration {
		l, err := window(ctx, s, w, o)
		if err != nil {
			return fmt.Errorf("after %v: %w; the server said:\n%s", time.Since(began).Round(time.Second), err, s.Output())
		}
		lines = append(lines, l)
		fmt.Printf("%8s  %6.0f/s  p50 %6d µs  p99 %7d µs  CPU %4d µs  others %.2f  memory %4d MB, resident %4d MB  %d keys made, %d rotations, %d policies\n",
			time.Since(began).Round(time.Second), l.rate, l.p50.Microseconds(), l.p99.Microseconds(), l.cpu.Microseconds(), l.others,
			l.memory.Anonymous/1e6, l.memory.Resident/1e6, w.made, w.rotated, w.policies)
		if l.others > o.others {
			select {
			case <-time.After(o.window):
			case <-ctx.Done():
			}
		}
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
	var spent, machine time.Duration
	result, err := load.Run(ctx, load.Config{
		Addr: s.Addr(), Requests: requests, Connections: 64, Rate: o.rate, Duration: o.window,
		Mark: func() error {
			now, err := s.CPU()
			spent, machine = now-spent, binary.MachineTime()-machine
			return err
		},
	})
	if err != nil {
		return line{}, err
	}
	n := result.Latency.Count()
	l = line{rate: float64(n) / result.Took.Seconds(), p50: result.Latency.Quantile(0.5), p99: result.Latency.Quantile(0.99), cpu: spent / time.Duration(n)}
	l.others = max(0, (machine-spent-result.Client).Seconds()/result.Took.Seconds())
	l.memory, err = s.Memory()
	return l, err
}

// judge compares the last third of the windows with the first, after a warm-up.
func judge(lines []line, o options) error {
	lines = lines[len(lines)/10:]
	third := len(lines) / 3
	first, last := lines[:third], lines[len(lines)-third:]
	undisturbed := func(of []line) []line {
		return slices.DeleteFunc(slices.Clone(of), func(l line) bool { return l.others > o.others })
	}
	var problems []error
	compare := func(name, unit string, first, last []line, of func(line) float64, most float64) {
		if enough := max(min(third, 3), (third+3)/4); len(first) < enough || len(last) < enough {
			problems = append(problems, fmt.Errorf("others took too much of the processors to tell how %s went: %d and %d windows of %d are left", name, len(first), len(last), third))
			return
		}
		before, after := median(first, of), median(last, of)
		fmt.Printf("%s: %.0f %s in the first third (%d windows), %.0f in the last (%d): ratio %.2f, at most %.2f\n",
			name, before, unit, len(first), after, len(last), after/before, most)
		if after > before*most {
			problems = append(problems, fmt.Errorf("%s has grown from %.0f to %.0f %s", name, before, after, unit))
		}
	}
	compare("memory", "MB", first, last, func(l line) float64 { return float64(l.memory.Anonymous) / 1e6 }, o.memory)
	compare("p99", "µs", undisturbed(first), undisturbed(last), func(l line) float64 { return float64(l.p99) / 1e3 }, o.p99)
	return errors.Join(problems...)
}

// median returns the median of a figure.
func median(of []line, figure func(line) float64) float64 {
	values := make([]float64, len(of))
	for i, l := range of {
		values[i] = figure(l)
	}
	slices.Sort(values)
	return values[len(values)/2]
}
