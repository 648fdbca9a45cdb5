package kms

import (
	"context"
	"strconv"
	"time"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/store"
)

// Bounds of the waiting period before a key is deleted, in days.
const (
	shortestWindow = 7
	longestWindow  = 30
)

// ScheduleKeyDeletion starts the waiting period at whose end the worker deletes
// the key, its aliases and its material for ever. That of a multi-Region primary
// key starts when its last replica is gone.
func (s *Service) ScheduleKeyDeletion(ctx context.Context, call *authz.Call, in *api.ScheduleKeyDeletionInput) (*api.ScheduleKeyDeletionOutput, error) {
	window := int32(longestWindow)
	if in.PendingWindowInDays != nil {
		window = *in.PendingWindowInDays
	}
	least, err := s.leastWindow(ctx)
	if err != nil {
		return nil, err
	}
	return changeKey(ctx, s, call, change[*api.ScheduleKeyDeletionOutput]{
		keyID:      in.KeyId,
		group:      schedulingDel,
		conditions: conditionMap{"schedulekeydeletionpendingwindowindays": {strconv.Itoa(int(window))}},
		check: func(*key) error {
			if window < shortestWindow || window > longestWindow {
				return awserr.Validation("PendingWindowInDays must be between 7 and 30")
			}
			if window < least {
				return errShortWindow(least)
			}
			return nil
		},
		edit: func(tx *store.Tx, k *key, record *keyRecord) (*api.ScheduleKeyDeletionOutput, error) {
			record.PendingWindow = window
			if record.hasReplicas() {
				record.State = api.KeyStatePendingReplicaDeletion
			} else if err := startWaiting(tx, record, call.Time); err != nil {
				return nil, err
			}
			return &api.ScheduleKeyDeletionOutput{
				KeyId:               k.ARN,
				DeletionDate:        record.DeletionDate,
				KeyState:            record.State,
				PendingWindowInDays: &window,
			}, nil
		},
	})
}

// startWaiting starts a key's waiting period.
func startWaiting(tx *store.Tx, record *keyRecord, now time.Time) error {
	date := now.Add(time.Duration(record.PendingWindow) * 24 * time.Hour).Truncate(time.Millisecond)
	record.State = api.KeyStatePendingDeletion
	record.DeletionDate = &date
	due := dueRecord{At: date, Account: record.Account, Key: record.ID, Task: deleteKey}
	return dueRecords.Put(tx, regionScope(record.Region), due.id(), due)
}

// CancelKeyDeletion ends the waiting period. The key is Disabled afterwards, or
// waits for material that is missing. A key whose period is over is gone, also while
// the worker has not come to it yet, as after a start.
func (s *Service) CancelKeyDeletion(ctx context.Context, call *authz.Call, in *api.CancelKeyDeletionInput) (*api.CancelKeyDeletionOutput, error) {
	return changeKey(ctx, s, call, change[*api.CancelKeyDeletionOutput]{
		keyID: in.KeyId,
		group: cancellingDel,
		check: func(k *key) error {
			if k.DeletionDate != nil && !call.Time.Before(*k.DeletionDate) {
				return errNoKey(k.ARN)
			}
			return nil
		},
		edit: func(tx *store.Tx, k *key, record *keyRecord) (*api.CancelKeyDeletionOutput, error) {
			if k.DeletionDate != nil {
				due := dueRecord{At: *k.DeletionDate, Account: k.Account, Key: k.ID, Task: deleteKey}
				if err := strike(tx, k.Region, due); err != nil {
					return nil, err
				}
			}
			record.State = api.KeyStateDisabled
			if !record.complete() {
				record.State = api.KeyStatePendingImport
			}
			record.DeletionDate = nil
			record.PendingWindow = 0
			return &api.CancelKeyDeletionOutput{KeyId: k.ARN}, nil
		},
	})
}
