package kms

import (
	"context"
	"errors"
	"fmt"
	"time"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/store"
)

// Run does what falls due until ctx ends: it deletes keys whose waiting period is
// over and material that has expired, rotates material, connects key stores and
// finishes what multi-Region operations began. What is to be done stands in the
// store, so nothing is forgotten over a restart, and each task checks the key again
// inside its commit, so that nothing is done twice or after it was cancelled.
//
// A task that fails is tried again after retryAfter; the others go on.
func (s *Service) Run(ctx context.Context) {
	for ctx.Err() == nil {
		next := s.Clock.Now().Add(longestSleep)
		for _, region := range s.Regions {
			at, err := s.doDue(ctx, region)
			if err != nil && ctx.Err() == nil {
				s.Log.Error("scheduled work failed; it will be tried again", "region", region, "error", err)
				at = s.Clock.Now().Add(retryAfter)
			}
			if !at.IsZero() && at.Before(next) {
				next = at
			}
		}
		wake, stop := s.Clock.Wake(next)
		select {
		case <-wake:
		case <-s.due:
		case <-ctx.Done():
		}
		stop()
	}
}

// CatchUp does what fell due while no server ran, until it is done or ctx ends; Run does
// what is left. A start calls it before the first call comes in, where no other node
// does the work.
func (s *Service) CatchUp(ctx context.Context) {
	for _, region := range s.Regions {
		if _, err := s.doDue(ctx, region); err != nil {
			s.Log.Warn("some of what fell due while the server was stopped is done only after its start", "region", region, "error", err)
		}
	}
}

const (
	longestSleep = time.Hour
	retryAfter   = 10 * time.Second
	dueBatch     = 100
)

// nudge tells the worker that something new is due.
func (s *Service) nudge() {
	select {
	case s.due <- struct{}{}:
	default:
	}
}

// doDue does what is due in a region and returns when the next thing will be;
// zero if there is none.
func (s *Service) doDue(ctx context.Context, region string) (time.Time, error) {
	after := ""
	var failed error
	for {
		var items []store.Item[dueRecord]
		var more bool
		// Not a View: the nudge comes before Views show what it is about.
		err := s.Store.Update(ctx, func(tx *store.Tx) error {
			var err error
			items, more, err = dueRecords.Scan(tx, regionScope(region), after, dueBatch)
			return err
		})
		if err != nil {
			return time.Time{}, err
		}
		now := s.Clock.Now()
		for _, item := range items {
			if item.Value.At.After(now) {
				return item.Value.At, failed
			}
			if err := s.do(ctx, region, item.Value); err != nil {
				failed = errors.Join(failed, err)
			}
			if ctx.Err() != nil {
				return time.Time{}, errors.Join(failed, ctx.Err())
			}
			after = item.ID
		}
		if !more {
			return time.Time{}, failed
		}
	}
}

// job is what a task does to its key, inside the commit that strikes the task off.
type job func(tx *store.Tx, k *key) error

// do does one task, once.
func (s *Service) do(ctx context.Context, region string, due dueRecord) error {
	if due.Task == deleteGrants {
		return s.removeGrants(ctx, region, due)
	}
	if due.Task == connectStore {
		return s.connect(ctx, region, due)
	}
	if due.Task == destroyMaterial {
		return s.destroy(ctx, region, due)
	}
	run, err := s.prepare(ctx, region, due)
	if err != nil {
		return err
	}
	return s.Store.Update(ctx, func(tx *store.Tx) error {
		err := dueRecords.Delete(tx, regionScope(region), due.id())
		if errors.Is(err, store.ErrNotFound) {
			return nil // done or taken back meanwhile
		}
		if err != nil {
			return err
		}
		k, err := readKey(tx, due.Account, region, due.Key)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		return run(tx, k)
	})
}

// prepare gets ready what a task needs from outside its commit, and returns the
// task. Each job looks at the key as it is then, so that it does nothing that has
// been done or is no longer wanted.
func (s *Service) prepare(ctx context.Context, region string, due dueRecord) (job, error) {
	events, err := s.newEvents()
	if err != nil {
		return nil, err
	}
	switch due.Task {
	case deleteKey:
		return s.deletion(due, events), nil
	case rotateKey, rotateOnDemand:
		return s.rotation(ctx, region, due, events)
	case finishReplica:
		return finish(api.KeyStateCreating, events), nil
	case finishPrimary:
		return finish(api.KeyStateUpdating, events), nil
	case expireMaterial:
		return expiry(due, events), nil
	default:
		return nil, fmt.Errorf("kms: a task that this version does not know: %q", due.Task)
	}
}

// strike takes a task back; one that is not there is no error.
func strike(tx *store.Tx, region string, due dueRecord) error {
	err := dueRecords.Delete(tx, regionScope(region), due.id())
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

func (s *Service) deletion(due dueRecord, events *serviceEvents) job {
	return func(tx *store.Tx, k *key) error {
		if k.DeletionDate == nil || !k.DeletionDate.Equal(due.At) {
			return nil
		}
		if err := removeKey(tx, k); err != nil {
			return err
		}
		if err := leaveSiblings(tx, k, events.at); err != nil {
			return err
		}
		if err := destroyLater(tx, k, events.at); err != nil {
			return err
		}
		return events.add(tx, 0, k, "DeleteKey", `{"keyId":"`+k.ARN+`"}`)
	}
}

// removeKey takes away a key, with its material, and all that hangs on it.
func removeKey(tx *store.Tx, k *key) error {
	in := scope(k.Account, k.Region)
	for more := true; more; {
		var items []store.Item[aliasRecord]
		var err error
		items, more, err = aliasRecords.ScanIndex(tx, in, byTarget, k.ID, "", maxAliases)
		if err != nil {
			return err
		}
		for _, item := range items {
			if err := aliasRecords.Delete(tx, in, item.ID); err != nil {
				return err
			}
		}
	}
	if err := orphanGrants(tx, k); err != nil {
		return err
	}
	if err := freeExternalKey(tx, k); err != nil {
		return err
	}
	if err := useRecords.Delete(tx, in, k.ID); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if err := ownerRecords.Delete(tx, regionScope(k.Region), k.ID); err != nil {
		return err
	}
	if err := keyRecords.Delete(tx, in, k.ID); err != nil {
		return err
	}
	return countKeyGone(tx, k.Account, k.Region)
}
