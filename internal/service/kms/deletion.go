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
// the key, its aliases and its material for ever.
func (s *Service) ScheduleKeyDeletion(ctx context.Context, call *authz.Call, in *api.ScheduleKeyDeletionInput) (*api.ScheduleKeyDeletionOutput, error) {
	window := int32(longestWindow)
	if in.PendingWindowInDays != nil {
		window = *in.PendingWindowInDays
	}
	return changeKey(ctx, s, call, change[*api.ScheduleKeyDeletionOutput]{
		keyID:      in.KeyId,
		group:      schedulingDel,
		conditions: conditionMap{"schedulekeydeletionpendingwindowindays": {strconv.Itoa(int(window))}},
		check: func(*key) error {
			if window < shortestWindow || window > longestWindow {
				return awserr.Validation("PendingWindowInDays must be between 7 and 30")
			}
			return nil
		},
		edit: func(tx *store.Tx, k *key, record *keyRecord) (*api.ScheduleKeyDeletionOutput, error) {
			date := call.Time.Add(time.Duration(window) * 24 * time.Hour).Truncate(time.Millisecond)
			record.State = api.KeyStatePendingDeletion
			record.DeletionDate = &date
			record.PendingWindow = window
			due := dueRecord{At: date, Account: k.Account, Key: k.ID, Task: deleteKey}
			if err := dueRecords.Put(tx, regionScope(k.Region), due.id(), due); err != nil {
				return nil, err
			}
			return &api.ScheduleKeyDeletionOutput{
				KeyId:               k.ARN,
				DeletionDate:        &date,
				KeyState:            record.State,
				PendingWindowInDays: &window,
			}, nil
		},
	})
}

// CancelKeyDeletion ends the waiting period. The key is Disabled afterwards.
func (s *Service) CancelKeyDeletion(ctx context.Context, call *authz.Call, in *api.CancelKeyDeletionInput) (*api.CancelKeyDeletionOutput, error) {
	return changeKey(ctx, s, call, change[*api.CancelKeyDeletionOutput]{
		keyID: in.KeyId,
		group: cancellingDel,
		edit: func(tx *store.Tx, k *key, record *keyRecord) (*api.CancelKeyDeletionOutput, error) {
			if k.DeletionDate != nil {
				due := dueRecord{At: *k.DeletionDate, Account: k.Account, Key: k.ID, Task: deleteKey}
				if err := dueRecords.Delete(tx, regionScope(k.Region), due.id()); err != nil {
					return nil, err
				}
			}
			record.State = api.KeyStateDisabled
			record.DeletionDate = nil
			record.PendingWindow = 0
			return &api.CancelKeyDeletionOutput{KeyId: k.ARN}, nil
		},
	})
}
