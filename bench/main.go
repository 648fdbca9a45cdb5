// Command bench measures what Strongroom costs: throughput and latency of its
// everyday calls, signed, authorised, audited and durable, beside HTTP servers
// that do nothing.
//
//	go run ./bench                              # three rounds, about two minutes
//	go run ./bench -rounds 10 -json bench.json
//	go run ./bench -only Encrypt -concurrency 64
//
// Each server is a process of its own. A round runs every target once, one after
// the other, so that whatever else the machine does meets all of them; figures
// are medians over the rounds. The empty servers get the Encrypt request of 32
// bytes, read it and answer 200 with an empty body; a ratio is a target's
// throughput to the empty net/http server's in the same round at the same
// concurrency.
//
// Requests are signed before a measurement starts, one for each connection, and
// sent again and again: within the five minutes in which a signature holds, as
// any KMS accepts them. The client is a loop of write and read on a raw
// connection. It shares the machine with the server all the same, for the empty
// servers as for Strongroom.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"
)

// options are what the flags say.
type options struct {
	rounds      int
	duration    time.Duration
	concurrency []int
	only        string
	binary      string
	data        string
	json        string
}

func main() {
	var o options
	var concurrency, serve string
	flag.IntVar(&o.rounds, "rounds", 3, "how often everything is measured")
	flag.DurationVar(&o.duration, "duration", time.Second, "how long one measurement takes, after a warm-up of a fifth of it")
	flag.StringVar(&concurrency, "concurrency", "1,16,64", "connections at once")
	flag.StringVar(&o.only, "only", "", "measure only the targets whose name contains this, and the empty net/http server")
	flag.StringVar(&o.binary, "binary", "", "measure this strongroom executable instead of building one")
	flag.StringVar(&o.data, "data", "", "folder for the data folder; if empty, the system's for temporary files")
	flag.StringVar(&o.json, "json", "", "write the figures to this file as well")
	flag.StringVar(&serve, "serve", "", "be an empty server, nethttp or fasthttp, until killed (what the bench starts itself with)")
	flag.Parse()
	for text := range strings.SplitSeq(concurrency, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			fail(fmt.Errorf("-concurrency %s: %q is not a number of connections", concurrency, text))
		}
		o.concurrency = append(o.concurrency, n)
	}
	if flag.NArg() > 0 {
		fail(fmt.Errorf("unexpected argument %q", flag.Arg(0)))
	}
	if o.rounds < 1 || o.duration <= 0 {
		fail(fmt.Errorf("-rounds and -duration must be positive"))
	}
	if serve != "" {
		fail(serveEmpty(serve))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := measureAll(ctx, o, os.Stdout); err != nil {
		stop()
		fail(err)
	}
}

// fail ends the program with a message.
func fail(err error) {
	fmt.Fprintf(os.Stderr, "bench: %v\n", err)
	os.Exit(1)
}
