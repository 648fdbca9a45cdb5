package delivery

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/strongroom/strongroom/internal/store"
)

const (
	// firstRetry and lastRetry bound how long a trail rests after a failure: twice as
	// long each time.
	firstRetry = 10 * time.Second
	lastRetry  = 5 * time.Minute
	// roundTimeout bounds one round of one trail, so that a server that hangs holds
	// up the others no longer.
	roundTimeout = 5 * time.Minute
	// maxTogether is how many trails are delivered at once: each holds a batch, and
	// its file while that is made, in memory.
	maxTogether = 4
)

// Run delivers until ctx ends.
func (s *Service) Run(ctx context.Context) {
	changed := true
	for ctx.Err() == nil {
		next := s.round(ctx, changed)
		wake, stop := s.Clock.Wake(next)
		changed = false
		select {
		case <-wake:
		case <-s.wake:
			changed = true
		case <-ctx.Done():
		}
		stop()
	}
}

// round delivers once for every trail and returns when the next round is due.
// Trails that failed are tried when they have rested, or when something changed.
func (s *Service) round(ctx context.Context, changed bool) time.Time {
	now := s.Clock.Now()
	next := now.Add(s.Every)
	trails, err := s.trails(ctx)
	if err != nil {
		if ctx.Err() == nil {
			s.Log.Error("the trails could not be read; it will be tried again", "error", err)
		}
		return now.Add(firstRetry)
	}
	s.forgetOthers(trails)
	var running sync.WaitGroup
	var mu sync.Mutex // guards next
	places := make(chan struct{}, maxTogether)
	for i := range trails {
		t := &trails[i]
		rests := s.restsUntil(t)
		if rests.After(now) && !changed {
			next = earlier(next, rests)
			continue
		}
		running.Go(func() {
			select {
			case places <- struct{}{}:
				defer func() { <-places }()
			case <-ctx.Done():
				return
			}
			within, cancel := context.WithTimeout(ctx, roundTimeout)
			defer cancel()
			due, err := s.deliver(within, t)
			if errors.Is(err, errGone) || ctx.Err() != nil {
				return
			}
			if err != nil {
				due = s.failed(t, err)
			} else {
				s.succeeded(t)
			}
			mu.Lock()
			defer mu.Unlock()
			next = earlier(next, due)
		})
	}
	running.Wait()
	return next
}

func earlier(a, b time.Time) time.Time {
	if !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// trails are all trails of the deployment.
func (s *Service) trails(ctx context.Context) (all []Trail, err error) {
	// Not a View: the wake comes before Views show what it is about. An Update may
	// run twice.
	err = s.Store.Update(ctx, func(r *store.Tx) error {
		all = nil
		scopes, err := store.Scopes(r)
		if err != nil {
			return err
		}
		for _, scope := range scopes {
			for after, more := "", true; more; {
				var items []store.Item[Trail]
				if items, more, err = Trails.Scan(r, scope, after, 100); err != nil {
					return err
				}
				for _, item := range items {
					all, after = append(all, item.Value), item.ID
				}
			}
		}
		return nil
	})
	return all, err
}

// errGone ends the delivery of a trail that was deleted meanwhile.
var errGone = errors.New("delivery: the trail was deleted")

// update changes what is kept of a trail's delivery, if the trail still is.
func (s *Service) update(ctx context.Context, t *Trail, fn func(tx *store.Tx) error) error {
	return s.Store.Update(ctx, func(tx *store.Tx) error {
		now, err := Trails.Get(tx, t.Scope(), t.Name)
		if errors.Is(err, store.ErrNotFound) || err == nil && now.ID != t.ID {
			return errGone
		}
		if err != nil {
			return err
		}
		return fn(tx)
	})
}

// deliver brings a trail up to date: first the batch that was announced and not
// finished, then the digests that are due, then what is new. It returns when the
// next digest is due; zero if none will be.
func (s *Service) deliver(ctx context.Context, t *Trail) (time.Time, error) {
	var p position
	err := s.Store.View(ctx, func(r store.Reader) (err error) {
		p, err = positionOf(r, t)
		return err
	})
	if err != nil {
		return time.Time{}, err
	}
	if err := s.beginChains(ctx, t, &p); err != nil {
		return time.Time{}, err
	}
	if p.Batch != nil {
		if err := s.deliverBatch(ctx, t, &p); err != nil {
			return time.Time{}, err
		}
	}
	due, err := s.digests(ctx, t, &p)
	if err != nil {
		return time.Time{}, &digestFailure{err}
	}
	for more := true; more; {
		if more, err = s.nextBatch(ctx, t, &p); err != nil {
			return time.Time{}, err
		}
	}
	return due, nil
}
