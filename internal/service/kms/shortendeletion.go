package kms

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/store"
)

// errShortWindow refuses a waiting period that this deployment has two people decide.
func errShortWindow(least int32) error {
	return awserr.New("AccessDeniedException", fmt.Sprintf(
		"This deployment asks two of its operators to approve a waiting period of less than %d days. Leave PendingWindowInDays out, and have an operator shorten the wait.", least))
}

// leastWindow is the shortest waiting period that callers may choose.
func (s *Service) leastWindow(ctx context.Context) (int32, error) {
	if s.LeastWindow == nil {
		return shortestWindow, nil
	}
	return s.LeastWindow(ctx)
}

// Errors of ShortenDeletion, in words for operators.
var (
	ErrNoSuchKey     = errors.New("there is no such key")
	ErrNotWaiting    = errors.New("the key does not wait for its deletion")
	ErrNotShorter    = errors.New("the key is deleted earlier than that already")
	ErrNoSuchWaiting = fmt.Errorf("a waiting period has %d to %d days", shortestWindow, longestWindow-1)
)

// WaitingKey is a key that waits for its deletion.
type WaitingKey struct {
	ARN          string
	DeletionDate time.Time
}

// keyOf takes the ARN of a key apart, in whatever partition.
func keyOf(arn string) (account, region, id string, err error) {
	parts := strings.Split(arn, ":")
	if len(parts) == 6 && parts[0] == "arn" && parts[2] == "kms" {
		if name, ok := strings.CutPrefix(parts[5], "key/"); ok && parts[3] != "" && parts[4] != "" && name != "" {
			return parts[4], parts[3], name, nil
		}
	}
	return "", "", "", ErrNoSuchKey
}

// MayShorten says what ShortenDeletion would answer now, and returns the key as it is.
func (s *Service) MayShorten(ctx context.Context, arn string, days int32) (w WaitingKey, err error) {
	if err := checkWindow(days); err != nil {
		return w, err
	}
	err = s.Store.View(ctx, func(r store.Reader) error {
		k, err := waitingKey(r, arn)
		if err != nil {
			return err
		}
		w = WaitingKey{k.ARN, *k.DeletionDate}
		if !s.Clock.Now().Add(time.Duration(days) * 24 * time.Hour).Before(w.DeletionDate) {
			return ErrNotShorter
		}
		return nil
	})
	return w, err
}

func checkWindow(days int32) error {
	if days < shortestWindow || days >= longestWindow {
		return ErrNoSuchWaiting
	}
	return nil
}

func waitingKey(r store.Reader, arn string) (*key, error) {
	account, region, id, err := keyOf(arn)
	if err != nil {
		return nil, err
	}
	k, err := readKey(r, account, region, id)
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && k.ARN != arn:
		return nil, ErrNoSuchKey
	case err != nil:
		return nil, err
	case k.State != api.KeyStatePendingDeletion || k.DeletionDate == nil:
		return nil, ErrNotWaiting
	}
	return k, nil
}

// ShortenDeletion lets a key that waits for its deletion wait for so many days from now
// instead, if that is earlier. commit adds to the same commit, and may run twice. Errors:
// ErrNoSuchKey, ErrNotWaiting, ErrNotShorter, ErrNoSuchWaiting.
func (s *Service) ShortenDeletion(ctx context.Context, arn string, days int32, commit func(*store.Tx) error) (w WaitingKey, err error) {
	if err := checkWindow(days); err != nil {
		return w, err
	}
	now := s.Clock.Now()
	err = s.Store.Update(ctx, func(tx *store.Tx) error {
		k, err := waitingKey(tx, arn)
		if err != nil {
			return err
		}
		record := k.keyRecord
		was := *record.DeletionDate
		record.PendingWindow = days
		if err := startWaiting(tx, &record, now); err != nil {
			return err
		}
		if !record.DeletionDate.Before(was) {
			return ErrNotShorter
		}
		if err := strike(tx, k.Region, dueRecord{At: was, Account: k.Account, Key: k.ID, Task: deleteKey}); err != nil {
			return err
		}
		if err := keyRecords.Put(tx, scope(record.Account, record.Region), record.ID, record); err != nil {
			return err
		}
		w = WaitingKey{k.ARN, *record.DeletionDate}
		return commit(tx)
	})
	return w, err
}
