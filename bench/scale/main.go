// Command scale measures Strongroom with many keys: how soon it is ready, how much
// memory it takes empty and with all keys in use, and whether it is slower for them.
//
//	go run ./bench/scale                                    # a million keys, some fifteen minutes
//	go run ./bench/scale -keys 100000 -data DIR
//	go run ./bench/scale -data DIR -binary strongroom       # again, with the keys that are there
//
// The keys are made with CreateKey, over HTTP, as a user would. Then the server is
// started again, and
//
//   - the time from the start of its process to its ready line is taken, several times;
//   - requests are sent at a fixed rate while it compares all records with their hash,
//     as it does after each start, and afterwards;
//   - each key is used once, and the server's memory is looked at;
//   - keys are used at random, of 1,000 and of all, in rounds that take turns: in a
//     closed loop for the throughput and at a fixed rate for the latency.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/strongroom/strongroom/e2e/binary"
)

// options are what the flags say.
type options struct {
	keys, few, rounds int
	duration          time.Duration
	rate              float64
	binary, data      string
	json              string
}

func main() {
	var o options
	flag.IntVar(&o.keys, "keys", 1_000_000, "how many keys")
	flag.IntVar(&o.few, "few", 1000, "how many of them are used for comparison")
	flag.IntVar(&o.rounds, "rounds", 5, "how often everything is measured")
	flag.DurationVar(&o.duration, "duration", 2*time.Second, "how long one measurement takes, after a warm-up of a fifth of it")
	flag.Float64Var(&o.rate, "rate", 2000, "requests a second of the open loop")
	flag.StringVar(&o.binary, "binary", "", "measure this strongroom executable instead of building one")
	flag.StringVar(&o.data, "data", "", "keep the keys in this folder, and use those that are there; if empty, they are removed in the end")
	flag.StringVar(&o.json, "json", "", "write the figures to this file as well")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		stop()
		fmt.Fprintf(os.Stderr, "scale: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	work, err := os.MkdirTemp("", "strongroom-scale-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if o.data == "" {
		o.data = work
	}
	if o.binary == "" {
		fmt.Println("building strongroom")
		if o.binary, err = binary.Build(work, nil); err != nil {
			return err
		}
	}
	f := &figures{Keys: o.keys}
	if err := f.empty(o.binary, filepath.Join(work, "empty")); err != nil {
		return err
	}
	data, file := filepath.Join(o.data, "data"), filepath.Join(o.data, "keys")
	if err := prepare(ctx, o, data, file); err != nil {
		return err
	}
	ids, err := readKeys(file)
	if err != nil {
		return err
	}
	if err := f.starts(o, data); err != nil {
		return err
	}
	if err := f.use(ctx, o, data, ids); err != nil {
		return err
	}
	f.print(os.Stdout)
	if o.json == "" {
		return nil
	}
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(o.json, append(text, '\n'), 0o644)
}

// prepare makes the keys that are missing.
func prepare(ctx context.Context, o options, data, file string) error {
	if ids, err := readKeys(file); err == nil && len(ids) >= o.keys {
		return nil
	}
	s, err := start(o.binary, data)
	if err != nil {
		return err
	}
	err = fill(ctx, s, o.keys, file)
	return errors.Join(err, s.Stop())
}
