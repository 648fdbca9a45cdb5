package cluster

import (
	"flag"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/e2e/binary"
)

var (
	seedFlag   = flag.Uint64("seed", 0, "where all choices come from; 0 for any")
	binaryFlag = flag.String("binary", "", "run this strongroom `executable` instead of building one")
)

func seed() uint64 {
	if *seedFlag != 0 {
		return *seedFlag
	}
	return rand.Uint64()
}

func build(t *testing.T) string {
	t.Helper()
	if *binaryFlag != "" {
		return *binaryFlag
	}
	path, err := binary.Build(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func run(t *testing.T, cfg Config, p platform) *Report {
	t.Helper()
	cfg.Progress = t.Logf
	report, err := Run(t.Context(), cfg, p)
	if err != nil {
		t.Fatal(err)
	}
	violations := report.Violations
	report.Violations = nil
	t.Logf("%d violations; %+v", len(violations), *report)
	if len(violations) > 0 {
		t.Fatal(strings.Join(violations, "\n"))
	}
	return report
}

// TestFailover is the short form of the proof: it kills the primary twice, takes the
// database and the notifications away, and cuts a node off for less than its lease. It
// takes PostgreSQL and no rights.
func TestFailover(t *testing.T) {
	run(t, Config{
		Path: build(t), Dir: t.TempDir(), Lease: time.Minute, Cut: time.Second, Seed: seed(),
		Loaders: 2, Probers: 1, Histories: 6, Probes: 200, Within: 30 * time.Second,
		Faults: []string{"kill the primary", "cut the primary off from the nodes", "take notifications away", "kill the primary and cut a node off meantime"},
	}, newPair(t))
}

// TestLeases keeps nodes from their database for longer than their lease, and stops one
// for so long.
func TestLeases(t *testing.T) {
	run(t, Config{
		Path: build(t), Dir: t.TempDir(), Lease: 3 * time.Second, Cut: time.Second / 2, MayRefuse: true, Seed: seed(),
		Loaders: 2, Probers: 1, Histories: 4, Probes: 200, Within: 30 * time.Second,
		Faults: []string{"cut a node off past its lease", "stop a node past its lease"},
	}, newPair(t))
}
