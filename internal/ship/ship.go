// Package ship hands audit records to log shippers as they are made: as JSON lines
// to a file or to standard output, or as syslog messages (RFC 5424).
//
// What it promises: every record that is made while a sink is configured reaches
// it at least once and in the journal's order, over restarts and outages. The
// position is remembered in the store after what was written is out of our hands:
// synced to disk for a file, taken by the kernel for a pipe or a connection. Syslog
// has no acknowledgements, so that what a receiver lost when its connection broke
// is not sent again; who must not lose a record reads a file, or has a trail. A
// sink that is configured for the first time begins with what comes then.
//
// Nothing here is in the way of a reply: records lie in the journal before.
package ship

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/journal"
	"github.com/strongroom/strongroom/internal/store"
)

// Config is what shipping needs.
type Config struct {
	// Store must be set.
	Store *store.Store
	// Records must be set: the journal.
	Records Records
	// Clock must be set.
	Clock clock.Clock
	// Sinks are where records go.
	Sinks []*Sink
	// Log must be set.
	Log *slog.Logger
}

// Records is the journal. [journal.Reader] implements it.
type Records interface {
	// From calls fn for each record of the frames with number seq or higher.
	From(ctx context.Context, seq uint64, fn func(journal.Entry) error) error
	// Last returns the number of the newest frame; 0 if there is none.
	Last(ctx context.Context) (uint64, error)
	// First returns the number of the first frame that retention has left; 1 if there
	// is none.
	First(ctx context.Context) (uint64, error)
}

// Service ships. It is safe for concurrent use; Run runs once.
type Service struct {
	Config
	mu      sync.Mutex
	failing map[string]time.Time // since the log said so, by the sink's name
}

// New returns the service.
func New(cfg Config) *Service { return &Service{Config: cfg, failing: map[string]time.Time{}} }

const (
	// lookEvery is how long a record waits at most before it is shipped.
	lookEvery = 200 * time.Millisecond
	// restAfter is how long a sink rests after it failed.
	restAfter = 5 * time.Second
	logAgain  = time.Hour
	// maxStretch is how many bytes of records are written before the position is
	// remembered.
	maxStretch = 1 << 20
)

// position is how far a sink has come, under its name.
type position struct {
	// Seq and Index are the record to ship next.
	Seq   uint64 `json:"seq"`
	Index int    `json:"index"`
}

var positions = store.NewCollection[position]("audit.ship", 1)

// Run ships until ctx ends.
func (s *Service) Run(ctx context.Context) {
	var running sync.WaitGroup
	for _, sink := range s.Sinks {
		running.Go(func() { s.follow(ctx, sink) })
	}
	running.Wait()
}

// Failing reports whether a sink cannot be written to at the moment.
func (s *Service) Failing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.failing) > 0
}

func (s *Service) follow(ctx context.Context, sink *Sink) {
	defer sink.close()
	var p *position
	for ctx.Err() == nil {
		rest := lookEvery
		err := s.step(ctx, sink, &p)
		if err != nil && ctx.Err() == nil {
			rest = restAfter
			p = nil
			sink.close()
		}
		s.note(ctx, sink, err)
		wake, stop := s.Clock.Wake(s.Clock.Now().Add(rest))
		select {
		case <-wake:
		case <-ctx.Done():
		}
		stop()
	}
}

// note says in the log when a sink begins to fail, every hour, and when it works
// again.
func (s *Service) note(ctx context.Context, sink *Sink, err error) {
	if ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.Clock.Now()
	logged, failing := s.failing[sink.name]
	switch {
	case err == nil && failing:
		delete(s.failing, sink.name)
		s.Log.Info("audit records are shipped again", "to", sink.name)
	case err != nil && (!failing || now.Sub(logged) >= logAgain):
		s.failing[sink.name] = now
		s.Log.Warn("audit records cannot be shipped; nothing is lost, and it will be tried again", "to", sink.name, "error", err)
	}
}

var errStretch = errors.New("ship: the stretch is over")

// step ships what is there. *p is nil when the position is to be read.
func (s *Service) step(ctx context.Context, sink *Sink, p **position) error {
	if *p == nil {
		at, err := s.position(ctx, sink)
		if err != nil {
			return err
		}
		*p = at
	}
	for more := true; more; {
		next, size := **p, 0
		err := s.Records.From(ctx, next.Seq, func(e journal.Entry) error {
			if e.Seq == next.Seq && e.Index < next.Index {
				return nil
			}
			if size >= maxStretch {
				return errStretch
			}
			if err := sink.write(ctx, e); err != nil {
				return err
			}
			size += len(e.Record)
			next = position{e.Seq, e.Index + 1}
			return nil
		})
		more = errors.Is(err, errStretch)
		if err != nil && !more {
			return err
		}
		if next == **p {
			return nil
		}
		if err := sink.flush(); err != nil {
			return err
		}
		if err := s.remember(ctx, sink, next); err != nil {
			return err
		}
		**p = next
	}
	return nil
}

// position returns where a sink goes on. One that is new begins behind what there
// is.
func (s *Service) position(ctx context.Context, sink *Sink) (*position, error) {
	var p position
	err := s.Store.View(ctx, func(r store.Reader) (err error) {
		p, err = positions.Get(r, store.Deployment, sink.name)
		return err
	})
	if err == nil {
		return s.skipRemoved(ctx, sink, p)
	}
	if !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	last, err := s.Records.Last(ctx)
	if err != nil {
		return nil, err
	}
	p = position{Seq: last + 1}
	return &p, s.remember(ctx, sink, p)
}

// skipRemoved moves a position to where the journal begins. Records are removed only
// when they were shipped to all sinks that were configured then; this one was not.
func (s *Service) skipRemoved(ctx context.Context, sink *Sink, p position) (*position, error) {
	first, err := s.Records.First(ctx)
	if err != nil || p.Seq >= first {
		return &p, err
	}
	s.Log.Warn("audit records were removed while they were not to be shipped here; this goes on behind them",
		"to", sink.name, "from frame", p.Seq, "to frame", first-1)
	p = position{Seq: first}
	return &p, s.remember(ctx, sink, p)
}

// Needed returns the number of the first journal frame that has still to be shipped
// to a sink; math.MaxUint64 when there is none.
func (s *Service) Needed(ctx context.Context) (uint64, error) {
	first := uint64(math.MaxUint64)
	err := s.Store.View(ctx, func(r store.Reader) error {
		for _, sink := range s.Sinks {
			p, err := positions.Get(r, store.Deployment, sink.name)
			switch {
			case err == nil:
				first = min(first, p.Seq)
			case !errors.Is(err, store.ErrNotFound): // one that is new begins behind what there is
				return err
			}
		}
		return nil
	})
	return first, err
}

func (s *Service) remember(ctx context.Context, sink *Sink, p position) error {
	return s.Store.Update(ctx, func(tx *store.Tx) error { return positions.Put(tx, store.Deployment, sink.name, p) })
}

// Progress is how far a sink has come.
type Progress struct {
	// Name is the sink's, as it was configured.
	Name string
	// Failing says that it cannot be written to at the moment.
	Failing bool
	// Next is the number of the journal's frame that it goes on with; 0 before it has
	// begun.
	Next uint64
}

// Progress returns how far all sinks have come.
func (s *Service) Progress(ctx context.Context) ([]Progress, error) {
	all := make([]Progress, len(s.Sinks))
	err := s.Store.View(ctx, func(r store.Reader) error {
		for i, sink := range s.Sinks {
			p, err := positions.Get(r, store.Deployment, sink.name)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			all[i] = Progress{Name: sink.name, Next: p.Seq}
			if p.Index > 0 { // some of the frame, and mostly all of it, was shipped
				all[i].Next++
			}
		}
		return nil
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range all {
		_, all[i].Failing = s.failing[all[i].Name]
	}
	return all, err
}
