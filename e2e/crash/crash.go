// Package crash kills a server with SIGKILL at random moments under load and
// checks, after each restart, that nothing it acknowledged is lost: every key,
// alias, description and policy is there, every ciphertext decrypts, every call
// that was answered has its audit record, and the trail verifies. Calls that were
// under way when the server died may have been done or not; once the restarted
// server has shown which, that must stay so.
//
// What it does not prove: SIGKILL takes a process away, not the kernel's page
// cache, so that a server which never synced a file would pass. The tests that
// use it therefore also run a server whose log keeps what is not yet synced in
// its own memory, where SIGKILL does take it away, and show that the harness then
// finds a missing sync. Torn and reordered writes of a power cut are the store's
// own crash tests.
//
// Everything that the harness chooses comes from one seed, which is reported. The
// choices replay; how far the server got when it was killed does not.
package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strongroom/strongroom/e2e/binary"
)

// Config says what to run.
type Config struct {
	// Path of the server's executable; must be set.
	Path string
	// Data is the data folder; must not exist yet.
	Data string
	// Kills is how often the server is killed; must be positive.
	Kills int
	// Workers load the server at once; if 0, 8.
	Workers int
	// MostCalls bounds the calls acknowledged between two kills; if 0, 300.
	MostCalls int
	// Seed is where all choices come from.
	Seed uint64
	// Progress is told what is going on; if nil, nobody is.
	Progress func(format string, args ...any)
}

// Report is what a run did.
type Report struct {
	Kills, Keys, Ciphertexts, Calls, Records int
	// Violations are acknowledged things that were not there after a restart.
	// The run ends with the restart that shows the first.
	Violations []string
}

// Run kills and restarts a server cfg.Kills times. The error is about not being
// able to go on (a server that does not start again is a violation, not an
// error).
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if cfg.Workers == 0 {
		cfg.Workers = 8
	}
	if cfg.MostCalls == 0 {
		cfg.MostCalls = 300
	}
	if cfg.Progress == nil {
		cfg.Progress = func(string, ...any) {}
	}
	r := &runner{cfg: cfg, choices: rand.New(rand.NewPCG(cfg.Seed, 0)), requests: map[string]string{}}
	for i := range cfg.Workers {
		r.workers = append(r.workers, newWorker(i, rand.New(rand.NewPCG(cfg.Seed, uint64(i)+1))))
	}
	cfg.Progress("crash: seed %d, %d kills, %d workers", cfg.Seed, cfg.Kills, cfg.Workers)
	err := r.run(ctx)
	r.report.Calls = len(r.requests)
	for _, w := range r.workers {
		r.report.Keys += len(w.keys)
		r.report.Ciphertexts += len(w.blobs)
	}
	return &r.report, err
}

// runner is one run.
type runner struct {
	cfg     Config
	choices *rand.Rand
	workers []*worker
	report  Report

	mu       sync.Mutex
	requests map[string]string // acknowledged: request id → operation
}

func (r *runner) run(ctx context.Context) error {
	for kill := range r.cfg.Kills {
		s, err := r.startAgain()
		if err != nil {
			return r.violate("%v", err)
		}
		if err := r.check(ctx, s, false); err != nil {
			s.Kill()
			return err
		}
		if len(r.report.Violations) > 0 {
			s.Kill()
			return nil
		}
		if err := r.load(ctx, s, 1+r.choices.IntN(r.cfg.MostCalls)); err != nil {
			s.Kill()
			return err
		}
		r.report.Kills++
		if (kill+1)%10 == 0 {
			r.cfg.Progress("crash: %d of %d kills; %d calls acknowledged", kill+1, r.cfg.Kills, len(r.requests))
		}
	}
	s, err := r.startAgain()
	if err != nil {
		return r.violate("%v", err)
	}
	defer s.Kill()
	if err := r.check(ctx, s, true); err != nil || len(r.report.Violations) > 0 {
		return err
	}
	if err := s.Stop(); err != nil {
		return r.violate("after the last restart: %v", err)
	}
	return r.checkTrail(s) // the folder alone must tell the same
}

// startAgain starts the server on what the last kill left. Now and then it is
// killed while it is starting, so that recovery is interrupted as well.
func (r *runner) startAgain() (*binary.Server, error) {
	cfg := binary.Config{Path: r.cfg.Path, Data: r.cfg.Data}
	for r.choices.IntN(4) == 0 {
		s, err := binary.Launch(cfg)
		if err != nil {
			return nil, err
		}
		select {
		case <-time.After(time.Duration(r.choices.IntN(80)) * time.Millisecond):
			s.Kill()
		case <-s.Exited():
			return nil, fmt.Errorf("the server does not start again; it said:\n%s", s.Output())
		}
	}
	return binary.Start(cfg)
}

// load lets the workers call the server, kills it when calls of them have been
// acknowledged, and returns when the workers have noticed.
func (r *runner) load(ctx context.Context, s *binary.Server, calls int) error {
	var acknowledged atomic.Int64
	reached := make(chan struct{})
	client, err := newClient(s, func(operation, requestID string) {
		r.note(operation, requestID)
		if acknowledged.Add(1) == int64(calls) {
			close(reached)
		}
	})
	if err != nil {
		return err
	}
	// A worker ends when the server is gone, or with an answer that it cannot
	// explain.
	var working sync.WaitGroup
	unexplained := make(chan error, len(r.workers))
	for _, w := range r.workers {
		working.Go(func() {
			if err := w.work(ctx, client); !errors.Is(err, errGone) {
				unexplained <- fmt.Errorf("worker %d: %w", w.id, err)
			}
		})
	}
	defer working.Wait()
	defer s.Kill()
	select {
	case <-reached:
		return nil
	case err := <-unexplained:
		return err
	case <-s.Exited():
		return r.violate("the server ended by itself; it said:\n%s", s.Output())
	case <-ctx.Done():
		return ctx.Err()
	}
}

// note enters an acknowledged call into the ledger.
func (r *runner) note(operation, requestID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests[requestID] = operation
}

// violate notes a violation and returns nil: the run has its result.
func (r *runner) violate(format string, args ...any) error {
	r.report.Violations = append(r.report.Violations, fmt.Sprintf(format, args...))
	return nil
}
