// Package crash kills a server with SIGKILL at random moments under load and
// checks, after each restart, that nothing it acknowledged is lost and nothing is
// half made: every key, alias, grant, description, policy, tag, state and rotation
// is there, multi-Region keys in their Regions, every IAM user with its policy and
// access key, and none that nobody asked for; every ciphertext decrypts, or does not while its key is disabled, waits
// for its deletion or has lost its imported material; every call that was answered
// has its audit record, the trail verifies, and what it says was made is what is
// there. Calls that were under way when the server died may have been done or not; once
// the restarted server has shown which, that must stay so.
//
// What it does not prove: SIGKILL takes a process away, not the kernel's page
// cache, so that a server which never synced a file would pass. The tests that
// use it therefore also run a server whose log keeps what is not yet synced in
// its own memory, where SIGKILL does take it away, and show that the harness then
// finds a missing sync. Torn and reordered writes of a power cut are the store's
// own crash tests.
//
// A run goes through data folders one after another, because the check after each
// kill reads the whole trail of the folder: in one folder, its cost would grow with
// the square of the kills. Recovery leaves a file more each time, so that a folder
// of ten kills has had compactions.
//
// Everything that the harness chooses comes from one seed, which is reported. The
// choices replay; how far the server got when it was killed does not.
package crash

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Config says what to run.
type Config struct {
	// Path of the server's executable; must be set.
	Path string
	// Dir is where the data folders are made; must exist. Those in which nothing
	// was wrong are removed.
	Dir string
	// Kills is how often servers are killed under load; must be positive.
	Kills int
	// FolderKills is how many kills a data folder sees on average; if 0, 25. A
	// folder sees between 1 and twice as many.
	FolderKills int
	// Parallel is how many folders are at work at once; if 0, 1.
	Parallel int
	// Workers load each server at once; if 0, 8.
	Workers int
	// MostCalls bounds the calls acknowledged between two kills, but for one kill in
	// a hundred that comes up to ten times as late; if 0, 300. Most kills come much
	// sooner: the average is an eighth.
	MostCalls int
	// Seed is where all choices come from.
	Seed uint64
	// Progress is told what is going on; if nil, nobody is. It must be safe for
	// concurrent use.
	Progress func(format string, args ...any)
}

// Run kills and restarts servers cfg.Kills times. The error is about not being able
// to go on (a server that does not start again is a violation, not an error). A
// run ends with the restart that shows the first violation; other folders that
// were at work finish the kill they are at.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	for _, or := range []struct {
		field *int
		usual int
	}{{&cfg.FolderKills, 25}, {&cfg.Parallel, 1}, {&cfg.Workers, 8}, {&cfg.MostCalls, 300}} {
		if *or.field == 0 {
			*or.field = or.usual
		}
	}
	if cfg.Progress == nil {
		cfg.Progress = func(string, ...any) {}
	}
	cfg.Progress("crash: seed %d, %d kills, %d workers", cfg.Seed, cfg.Kills, cfg.Workers)
	run := &run{cfg: cfg, folders: make(chan *folder)}
	run.starting.Store(int64(usualStart))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var working sync.WaitGroup
	for range cfg.Parallel {
		working.Go(func() {
			for f := range run.folders {
				if err := f.goThrough(ctx); err != nil {
					cancel(err)
				}
				run.add(f)
			}
		})
	}
	run.plan(ctx)
	working.Wait()
	return &run.report, context.Cause(ctx)
}

// usualStart is how long a server takes to be ready, as long as the run has not
// seen one.
const usualStart = 80 * time.Millisecond

// run is one run through its folders.
type run struct {
	cfg      Config
	folders  chan *folder
	starting atomic.Int64 // nanoseconds that a server took last to be ready

	mu     sync.Mutex
	report Report
}

// plan hands the folders out, until all kills are or something is wrong.
func (r *run) plan(ctx context.Context) {
	defer close(r.folders)
	choices := rand.New(rand.NewPCG(r.cfg.Seed, 0))
	for number, left := 1, r.cfg.Kills; left > 0; number++ {
		kills := min(left, 1+choices.IntN(2*r.cfg.FolderKills))
		left -= kills
		f := newFolder(r, filepath.Join(r.cfg.Dir, "data-"+strconv.Itoa(number)), kills, rand.NewPCG(r.cfg.Seed, uint64(number)))
		select {
		case r.folders <- f:
		case <-ctx.Done():
			return
		}
		if r.violated() {
			return
		}
	}
}

// violated reports whether any folder showed a violation.
func (r *run) violated() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.report.Violations) > 0
}

// add takes a folder that has ended into the report.
func (r *run) add(f *folder) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.add(&f.report)
	r.cfg.Progress("crash: %d of %d kills; %s", r.report.Kills, r.cfg.Kills, &r.report)
}
