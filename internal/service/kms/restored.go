package kms

import (
	"context"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/store"
)

// disablePage is how many keys are disabled in one commit.
const disablePage = 100

// DisableAll disables every enabled key of every account and Region, a page of keys
// to a commit, and returns how many they were. record makes the audit record of a
// page from the keys' ARNs. What a backup holds is old: only somebody who knows what
// was disabled since can tell which keys may be used.
//
// A replica or primary that is being made or moved at the time is enabled when that
// is finished, as it would have been.
func (s *Service) DisableAll(ctx context.Context, record func(keyARNs []string) ([]byte, error)) (disabled int, err error) {
	var scopes []store.Scope
	if err := s.Store.View(ctx, func(r store.Reader) (err error) { scopes, err = store.Scopes(r); return err }); err != nil {
		return 0, err
	}
	for _, in := range scopes {
		for after, more := "", true; more; {
			var next string
			var arns []string
			err := s.Store.Update(ctx, func(tx *store.Tx) (err error) {
				var items []store.Item[keyRecord]
				arns = nil
				if items, more, err = keyRecords.Scan(tx, in, after, disablePage); err != nil {
					return err
				}
				for _, item := range items {
					next = item.ID
					if item.Value.State != api.KeyStateEnabled {
						continue
					}
					item.Value.State = api.KeyStateDisabled
					if err := keyRecords.Put(tx, in, item.ID, item.Value); err != nil {
						return err
					}
					arns = append(arns, keyARN(authz.PartitionOf(item.Value.Region), item.Value.Region, item.Value.Account, item.ID))
				}
				if len(arns) == 0 {
					return nil
				}
				text, err := record(arns)
				if err != nil {
					return err
				}
				return tx.Append(text)
			})
			if err != nil {
				return disabled, err
			}
			disabled += len(arns)
			after = next
		}
	}
	return disabled, nil
}
