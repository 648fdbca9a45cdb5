package e2e

import (
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/e2e/binary"
	"github.com/strongroom/strongroom/e2e/crash"
)

// The build tags of the proof. They exist in package store/pebble only and in no
// release: volatileTag lets the log keep what is not synced in the process's own
// memory, as the kernel keeps it in its page cache, so that SIGKILL takes it away
// as a power cut would; plantedTag leaves the sync of a commit out.
const (
	volatileTag = "strongroom_volatile"
	plantedTag  = "strongroom_planted_nosync"
)

// TestCrash kills the server under load, 10 times unless STRONGROOM_KILLS says
// otherwise. The long run:
//
//	STRONGROOM_KILLS=10000 STRONGROOM_PARALLEL=2 go test ./e2e -run '^TestCrash$' -v -timeout 24h
//
// Its data folders are made in TMPDIR; STRONGROOM_CALLS bounds the calls between two
// kills. The seed of a run is in its log; STRONGROOM_SEED replays its choices.
func TestCrash(t *testing.T) {
	if report := runCrash(t, executable, number(t, "STRONGROOM_KILLS", 10)); len(report.Violations) > 0 {
		t.Fatalf("%d violations:\n%s", len(report.Violations), first(report.Violations))
	}
}

// TestCrashLosingTheCache is TestCrash on a server that loses, with its life, all
// that it has not synced. It shows that what the server acknowledged was synced.
func TestCrashLosingTheCache(t *testing.T) {
	path := planted(t, volatileTag)
	if report := runCrash(t, path, number(t, "STRONGROOM_KILLS", 5)); len(report.Violations) > 0 {
		t.Fatalf("%d violations:\n%s", len(report.Violations), first(report.Violations))
	}
}

// TestCrashFindsAMissingSync is the test of the harness: with the sync taken out
// of the commit it must find acknowledged things lost.
func TestCrashFindsAMissingSync(t *testing.T) {
	path := planted(t, volatileTag, plantedTag)
	report := runCrash(t, path, 10)
	if len(report.Violations) == 0 {
		t.Fatalf("%d kills of a server that does not sync, and nothing was lost: the harness is blind", report.Kills)
	}
	t.Logf("found after %d kills:\n%s", report.Kills, first(report.Violations))
}

// planted builds a server with build tags.
func planted(t *testing.T, tags ...string) string {
	t.Helper()
	if *binaryFlag != "" {
		t.Skip("needs a server of its own build; run without -binary")
	}
	path, err := binary.Build(builds, tags)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// runCrash runs the harness. When the test fails, the data folders in which
// something is wrong stay.
func runCrash(t *testing.T, path string, kills int) *crash.Report {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("STRONGROOM_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("STRONGROOM_SEED: %v", err)
		}
	}
	dir, err := os.MkdirTemp("", "strongroom-crash-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !t.Failed() {
			_ = os.RemoveAll(dir)
		}
	})
	report, err := crash.Run(t.Context(), crash.Config{
		Path: path, Dir: dir, Kills: kills, Seed: seed, Progress: t.Logf,
		Parallel: number(t, "STRONGROOM_PARALLEL", 1), MostCalls: number(t, "STRONGROOM_CALLS", 300),
	})
	if err != nil {
		t.Fatalf("after %d kills, in %s: %v\n%s", report.Kills, dir, err, first(report.Violations))
	}
	t.Log(report)
	return report
}

// number returns a setting that is a number from 1 on.
func number(t *testing.T, name string, usual int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%s is not a number from 1 on", name, text)
	}
	return n
}

// first returns the first few of many lines.
func first(lines []string) string {
	const few = 5
	if len(lines) > few {
		lines = append(lines[:few:few], "…")
	}
	return strings.Join(lines, "\n")
}
