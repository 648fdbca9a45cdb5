package delivery

import (
	"context"
	"errors"
	"time"

	"github.com/strongroom/strongroom/internal/journal"
	"github.com/strongroom/strongroom/internal/store"
)

// Status is how the delivery of a trail goes.
type Status struct {
	// Delivered and Digested are when a file and a digest were written last; nil for
	// never. Attempted is when it was last tried, since the server has started.
	Delivered, Digested, Attempted *time.Time
	// Error and DigestError are the code of what fails now; "" if nothing does.
	Error, DigestError string
}

// health is what is known of a trail since the server has started.
type health struct {
	attempted          time.Time
	error, digestError string
	failures           int
	rests              time.Time // until when it is not tried
	logged             time.Time
}

// digestFailure marks the failure of a digest.
type digestFailure struct{ error }

func (f *digestFailure) Unwrap() error { return f.error }

// logAgain is how often the log says that a trail still fails.
const logAgain = time.Hour

// failed notes a failure and returns when to try again.
func (s *Service) failed(t *Trail, err error) time.Time {
	now, code := s.Clock.Now(), codeOf(err)
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.health[t.ID]
	if h == nil {
		h = new(health)
		s.health[t.ID] = h
	}
	news := h.error != code || now.Sub(h.logged) >= logAgain
	h.attempted, h.error, h.digestError = now, code, ""
	var digest *digestFailure
	if errors.As(err, &digest) {
		h.digestError = code
	}
	h.rests = now.Add(min(lastRetry, firstRetry<<min(h.failures, 10)))
	h.failures++
	if news {
		h.logged = now
		s.Log.Warn("a trail cannot be delivered; nothing is lost, and it will be tried again",
			"trail", t.Name, "account", t.Account, "region", t.Region, "bucket", t.Bucket, "code", code, "error", err)
	}
	return h.rests
}

func (s *Service) succeeded(t *Trail) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.health[t.ID]; h != nil && h.error != "" {
		s.Log.Info("a trail is delivered again", "trail", t.Name, "account", t.Account, "region", t.Region)
	}
	s.health[t.ID] = &health{attempted: s.Clock.Now()}
}

func (s *Service) restsUntil(t *Trail) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.health[t.ID]; h != nil {
		return h.rests
	}
	return time.Time{}
}

// forgetOthers drops what is known of trails that are no more.
func (s *Service) forgetOthers(trails []Trail) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := make(map[string]*health, len(trails))
	for i := range trails {
		if h := s.health[trails[i].ID]; h != nil {
			kept[trails[i].ID] = h
		}
	}
	s.health = kept
}

// Failing reports whether a trail cannot be delivered at the moment.
func (s *Service) Failing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.health {
		if h.error != "" {
			return true
		}
	}
	return false
}

// Status tells how the delivery of t goes.
func (s *Service) Status(ctx context.Context, t *Trail) (Status, error) {
	var p position
	err := s.Store.View(ctx, func(r store.Reader) (err error) {
		p, err = positionOf(r, t)
		return err
	})
	if err != nil {
		return Status{}, err
	}
	status := Status{Delivered: p.Delivered, Digested: p.Digested}
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.health[t.ID]; h != nil {
		attempted := h.attempted
		status.Attempted, status.Error, status.DigestError = &attempted, h.error, h.digestError
	}
	return status, nil
}

// Progress is how far the delivery of a trail that logs has come.
type Progress struct {
	Account, Region, Trail string
	// Failing says that it cannot be delivered at the moment.
	Failing bool
	// Lag is how old the oldest record is that was not looked at yet; 0 if there is
	// none.
	Lag time.Duration
}

// Progress returns how far the deliveries of all trails that log have come.
func (s *Service) Progress(ctx context.Context) ([]Progress, error) {
	trails, err := s.trails(ctx)
	if err != nil {
		return nil, err
	}
	var all []Progress
	for i := range trails {
		t := &trails[i]
		if !t.Logging() {
			continue
		}
		p := Progress{Account: t.Account, Region: t.Region, Trail: t.Name}
		if p.Lag, err = s.lagOf(ctx, t); err != nil {
			return nil, err
		}
		s.mu.Lock()
		if h := s.health[t.ID]; h != nil {
			p.Failing = h.error != ""
		}
		s.mu.Unlock()
		all = append(all, p)
	}
	return all, nil
}

func (s *Service) lagOf(ctx context.Context, t *Trail) (time.Duration, error) {
	var p position
	err := s.Store.View(ctx, func(r store.Reader) (err error) {
		p, err = positionOf(r, t)
		return err
	})
	if err != nil || p.Seq == 0 {
		return 0, err
	}
	var oldest time.Time
	err = s.Records.From(ctx, p.Seq, func(e journal.Entry) error {
		if e.Seq == p.Seq && e.Index < p.Index {
			return nil
		}
		oldest = e.Committed
		return errFound
	})
	if err != nil && !errors.Is(err, errFound) || oldest.IsZero() {
		return 0, err
	}
	return max(0, s.Clock.Now().Sub(oldest)), nil
}

// errFound ends a walk through the journal.
var errFound = errors.New("delivery: found")
