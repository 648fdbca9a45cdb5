package kms

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/strongroom/strongroom/internal/journal"
	"github.com/strongroom/strongroom/internal/store"
)

// Run does what falls due until ctx ends: it deletes keys whose waiting period is
// over. What is to be done stands in the store, so nothing is forgotten over a
// restart, and each task checks the key again inside its commit, so that nothing
// is done twice or after it was cancelled.
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
		err := s.Store.View(ctx, func(r store.Reader) error {
			var err error
			items, more, err = dueRecords.Scan(r, regionScope(region), after, dueBatch)
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
			after = item.ID
		}
		if !more {
			return time.Time{}, failed
		}
	}
}

// do does one task, once.
func (s *Service) do(ctx context.Context, region string, due dueRecord) error {
	if due.Task == deleteGrants {
		return s.removeGrants(ctx, region, due)
	}
	var event [16]byte
	if _, err := io.ReadFull(s.Rand, event[:]); err != nil {
		return err
	}
	now := s.Clock.Now()
	return s.Store.Update(ctx, func(tx *store.Tx) error {
		err := dueRecords.Delete(tx, regionScope(region), due.id())
		if errors.Is(err, store.ErrNotFound) {
			return nil // done or cancelled since it was found
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
		if due.Task != deleteKey || k.DeletionDate == nil || !k.DeletionDate.Equal(due.At) {
			return nil
		}
		if err := removeKey(tx, k); err != nil {
			return err
		}
		record := journal.Record{
			UserIdentity:        journal.UserIdentity{AccountID: k.Account, InvokedBy: "AWS Internal"},
			EventTime:           now,
			EventSource:         eventSource,
			EventName:           "DeleteKey",
			AWSRegion:           region,
			SourceIPAddress:     "AWS Internal",
			UserAgent:           "AWS Internal",
			EventID:             journal.NewUUID(event),
			Resources:           []journal.Resource{{AccountID: k.Account, Type: keyResource, ARN: k.ARN}},
			EventType:           journal.AwsServiceEvent,
			RecipientAccountID:  k.Account,
			ServiceEventDetails: []byte(`{"keyId":"` + k.ARN + `"}`),
		}
		return tx.Append(record.AppendJSON(nil))
	})
}

const eventSource = "kms.amazonaws.com"

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
	if err := ownerRecords.Delete(tx, regionScope(k.Region), k.ID); err != nil {
		return err
	}
	return keyRecords.Delete(tx, in, k.ID)
}
