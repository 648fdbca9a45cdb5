package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strongroom/strongroom/e2e/binary"
)

// folder is one data folder and what its servers acknowledged.
type folder struct {
	run     *run
	data    string
	kills   int
	choices *rand.Rand
	workers []*worker
	started bool // a server was started on it
	version int  // of the domain key, as it was acknowledged last
	report  Report

	mu       sync.Mutex
	requests map[string]string // acknowledged: request id → operation
}

func newFolder(r *run, data string, kills int, source *rand.PCG) *folder {
	f := &folder{run: r, data: data, kills: kills, choices: rand.New(source), requests: map[string]string{}}
	for i := range r.cfg.Workers {
		f.workers = append(f.workers, newWorker(i, rand.New(rand.NewPCG(f.choices.Uint64(), f.choices.Uint64()))))
	}
	f.report.Folders = 1
	return f
}

// goThrough goes through the folder's kills and notes in its report what came of them.
// The folder stays when something was wrong.
func (f *folder) goThrough(ctx context.Context) error {
	err := f.killAll(ctx)
	f.report.Calls = len(f.requests)
	for _, w := range f.workers {
		f.report.Keys += len(w.keys)
		f.report.Adopted += w.adopted
		f.report.Ciphertexts += len(w.blobs)
		f.report.Grants += w.grants
		f.report.Imports += w.imports
	}
	if err != nil || len(f.report.Violations) > 0 {
		return err
	}
	return os.RemoveAll(f.data)
}

func (f *folder) killAll(ctx context.Context) error {
	for range f.kills {
		s, err := f.startAgain(ctx)
		if err != nil {
			return f.wrong(ctx, err)
		}
		if err := f.check(ctx, s, false); err != nil {
			s.Kill()
			return err
		}
		if len(f.report.Violations) > 0 || f.run.violated() {
			s.Kill()
			return nil
		}
		if err := f.load(ctx, s, f.calls()); err != nil {
			s.Kill()
			return err
		}
		f.report.Kills++
	}
	s, err := f.startAgain(ctx)
	if err != nil {
		return f.wrong(ctx, err)
	}
	defer s.Kill()
	if err := f.check(ctx, s, true); err != nil || len(f.report.Violations) > 0 {
		return err
	}
	if err := f.checkSeal(); err != nil {
		return f.violate("%v", err)
	}
	if err := s.Stop(); err != nil {
		return f.violate("after the last restart: %v", err)
	}
	return f.checkTrail(s, true) // the folder alone must tell the same
}

// startAgain starts the server on what the last kill left, and returns it when it
// has answered. Now and then it is killed while it is starting, at any moment of
// the time that this took last, so that recovery is interrupted as well.
func (f *folder) startAgain(ctx context.Context) (*binary.Server, error) {
	cfg := binary.Config{Path: f.run.cfg.Path, Data: f.data, Args: []string{"--regions", strings.Join(regions[:], ",")}}
	for f.choices.IntN(4) == 0 {
		s, err := binary.Launch(cfg)
		if err != nil {
			return nil, err
		}
		select {
		case <-time.After(time.Duration(f.choices.Int64N(f.run.starting.Load() * 5 / 4))):
			s.Kill()
			f.started = true
			f.report.KilledStarting++
		case <-s.Exited():
			return nil, fmt.Errorf("the server does not start again; it said:\n%s", s.Output())
		}
	}
	if f.report.Kills > 0 && f.choices.IntN(10) == 0 { // the folder without a server
		if err := f.verify(); err != nil {
			return nil, err
		}
	}
	began := time.Now()
	s, err := binary.Start(cfg)
	if err != nil {
		return nil, err
	}
	restart := Restart{Ready: time.Since(began)}
	f.run.starting.Store(int64(restart.Ready))
	client, err := newClient(s, f.note)
	if err == nil {
		_, err = listAliases(ctx, patient(client))
	}
	restart.Answer = time.Since(began)
	if err == nil {
		restart.CPU, err = s.CPU()
	}
	if err != nil {
		s.Kill()
		return nil, fmt.Errorf("a server that said it was ready: %w", err)
	}
	if f.started {
		f.report.Restarts = append(f.report.Restarts, restart)
	}
	f.started = true
	return s, nil
}

// calls chooses how many calls are to be acknowledged before the next kill: most
// often few, as kills soon after a start find most under way, and now and then so
// many that the server goes on to further logs.
func (f *folder) calls() int {
	if f.choices.IntN(100) == 0 {
		return 1 + f.choices.IntN(10*f.run.cfg.MostCalls)
	}
	return 1 + f.choices.IntN(1+f.choices.IntN(1+f.choices.IntN(f.run.cfg.MostCalls)))
}

// load lets the workers call the server, kills it when calls of them have been
// acknowledged, and returns when the workers have noticed.
func (f *folder) load(ctx context.Context, s *binary.Server, calls int) error {
	var acknowledged atomic.Int64
	reached := make(chan struct{})
	client, err := newClient(s, func(operation, requestID string) {
		f.note(operation, requestID)
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
	var vanished atomic.Bool // a call had no answer at all
	unexplained := make(chan error, len(f.workers))
	for _, w := range f.workers {
		working.Go(func() {
			err := w.work(ctx, client)
			if !unavailable(err) {
				vanished.Store(true)
			}
			if !errors.Is(err, errGone) {
				unexplained <- fmt.Errorf("worker %d: %w", w.id, err)
			}
		})
	}
	idle := make(chan struct{})
	go func() { working.Wait(); close(idle) }()
	var killed atomic.Bool
	rotating := make(chan error, 1)
	if f.choices.IntN(8) == 0 {
		// A new domain key meanwhile. What outlives the server works on the folder,
		// which must be free before the next start.
		go func() { rotating <- f.rotateSeal(&killed) }()
	} else {
		rotating <- nil
	}
	defer func() {
		killed.Store(true)
		s.Kill()
		working.Wait()
		if failed := <-rotating; failed != nil {
			_ = f.violate("%v", failed)
		}
	}()
	select {
	case <-reached:
		return nil
	case <-idle:
		select {
		case err := <-unexplained:
			return err
		default:
		}
		if vanished.Load() {
			return f.violate("the server answers no more; it said:\n%s", s.Output())
		}
		return nil // the disk let all of them wait too long
	case err := <-unexplained:
		return err
	case <-s.Exited():
		return f.violate("the server ended by itself; it said:\n%s", s.Output())
	case <-ctx.Done():
		return ctx.Err()
	}
}

// note enters an acknowledged call into the ledger.
func (f *folder) note(operation, requestID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests[requestID] = operation
}

// violate notes a violation and returns nil: the folder has its result.
func (f *folder) violate(format string, args ...any) error {
	f.report.Violations = append(f.report.Violations, f.data+": "+fmt.Sprintf(format, args...))
	return nil
}

// wrong notes err as a violation, unless it comes of the end of ctx.
func (f *folder) wrong(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return f.violate("%v", err)
}
