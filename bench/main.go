// Command bench measures what Strongroom costs: throughput and latency of its
// everyday calls, signed, authorised, audited and durable, beside servers that do
// nothing and libraries that do one thing.
//
//	go run ./bench                                   # all rows, five rounds, some three minutes
//	go run ./bench -list
//	go run ./bench -only "Encrypt 32 B, CreateKey" -json bench.json
//	go run ./bench -binary new -against old -rounds 15
//	go run ./bench -nodes                            # deployments, some four minutes; takes PostgreSQL 15
//
// Each server is a process of its own. A round measures everything once, one after
// the other, so that whatever else the machine does meets all of it; figures are
// medians over the rounds, and each ratio is of two measurements of one round. The
// empty servers get the same requests, read them and answer 200.
//
// With -against two executables of Strongroom take turns in each round, and what is
// printed is the difference within rounds: a change can be measured so on a machine
// that others keep busy.
//
// With -nodes it is deployments that are compared: one node over the embedded store, one
// and three over a PostgreSQL that the bench starts, and three over one whose commits wait
// for a standby, all on this machine. What the database does for a request is counted by
// its own log.
//
// Requests are signed before a measurement starts, one for each connection, and
// sent again and again: within the five minutes in which a signature holds, as any
// KMS accepts them. The client shares the machine with the server, for the empty
// servers as for Strongroom; what it costs is printed, and so is what other programs
// took of the machine meanwhile.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"
)

// options are what the flags say.
type options struct {
	rounds   int
	duration time.Duration
	only     []string
	list     bool
	nodes    bool
	binary   string
	against  string
	data     string
	json     string
}

func main() {
	var o options
	var only, serve, cert, key string
	var reply int
	flag.IntVar(&o.rounds, "rounds", 5, "how often everything is measured")
	flag.DurationVar(&o.duration, "duration", time.Second, "how long one measurement takes, after a warm-up of a fifth of it")
	flag.StringVar(&only, "only", "", "measure only the rows whose name contains one of these, with commas between; names as -list prints them, without their commas")
	flag.BoolVar(&o.list, "list", false, "print the rows and what they aim at, and measure nothing")
	flag.BoolVar(&o.nodes, "nodes", false, "compare deployments instead: one node and three, the embedded store, PostgreSQL, and one with a synchronous standby")
	flag.StringVar(&o.binary, "binary", "", "measure this strongroom executable instead of building one")
	flag.StringVar(&o.against, "against", "", "compare with this strongroom executable; without -only, by Encrypt at 64 connections")
	flag.StringVar(&o.data, "data", "", "folder for the data folder; if empty, the system's for temporary files")
	flag.StringVar(&o.json, "json", "", "write the figures to this file as well")
	flag.StringVar(&serve, "serve", "", "be an empty server, nethttp or fasthttp, until killed (what the bench starts itself with)")
	flag.IntVar(&reply, "reply", 0, "with -serve: how many bytes an answer has")
	flag.StringVar(&cert, "cert", "", "with -serve nethttp: serve over TLS with this certificate")
	flag.StringVar(&key, "key", "", "with -serve nethttp: the certificate's key")
	flag.Parse()
	if flag.NArg() > 0 {
		fail(fmt.Errorf("unexpected argument %q", flag.Arg(0)))
	}
	if o.rounds < 1 || o.duration <= 0 {
		fail(fmt.Errorf("-rounds and -duration must be positive"))
	}
	if serve != "" {
		fail(serveEmpty(serve, reply, cert, key))
	}
	if only == "" && o.against != "" && !o.nodes {
		only = "Encrypt 32 B 64 connections"
	}
	for name := range strings.SplitSeq(only, ",") {
		o.only = append(o.only, strings.TrimSpace(name))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		stop()
		fail(err)
	}
}

// fail ends the program with a message.
func fail(err error) {
	fmt.Fprintf(os.Stderr, "bench: %v\n", err)
	os.Exit(1)
}
