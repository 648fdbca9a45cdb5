package kms

import (
	"context"

	"github.com/strongroom/strongroom/internal/store"
)

// Reset deletes every key and all that belongs to them, in all accounts and
// regions. Only dev servers offer it. The audit trail stays: it cannot be cut.
func (s *Service) Reset(ctx context.Context) error {
	var scopes []store.Scope
	err := s.Store.View(ctx, func(r store.Reader) error {
		var err error
		scopes, err = store.Scopes(r)
		return err
	})
	if err != nil {
		return err
	}
	for _, in := range scopes {
		for _, clearAll := range []func(context.Context, *store.Store, store.Scope) error{
			clearCollection(grantRecords), clearCollection(aliasRecords), clearCollection(dueRecords), clearCollection(ownerRecords), clearCollection(keyRecords), clearCollection(keyCounts), clearCollection(useRecords), clearCollection(externalKeyRecords), clearCollection(keyStoreRecords),
		} {
			if err := clearAll(ctx, s.Store, in); err != nil {
				return err
			}
		}
	}
	s.throttle.forget()
	return nil
}

const clearBatch = 500

func clearCollection[T any](c *store.Collection[T]) func(context.Context, *store.Store, store.Scope) error {
	return func(ctx context.Context, s *store.Store, in store.Scope) error {
		for more := true; more; {
			err := s.Update(ctx, func(tx *store.Tx) error {
				items, rest, err := c.Scan(tx, in, "", clearBatch)
				if err != nil {
					return err
				}
				more = rest
				for _, item := range items {
					if err := c.Delete(tx, in, item.ID); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
}
