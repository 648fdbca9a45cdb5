package kms

import (
	"context"
	"errors"

	"github.com/strongroom/strongroom/internal/store"
)

// CacheSizes returns how many entries each cache holds, by a name for it.
func (s *Service) CacheSizes() map[string]int {
	return map[string]int{
		"kms-keys": s.keys.Len(), "kms-aliases": s.aliases.Len(), "kms-key-owners": s.owners.Len(), "kms-key-stores": s.keyStores.Len(),
	}
}

// EachKeyCount calls fn for each Region with how many keys all accounts have there, as
// their quotas count. Accounts whose keys were never counted are left out: the next
// key that they make has theirs counted.
func (s *Service) EachKeyCount(ctx context.Context, fn func(region string, keys int64)) error {
	counts := map[string]int64{}
	err := s.eachScope(ctx, func(r store.Reader, in store.Scope) error {
		count, err := keyCounts.Get(r, in, countID)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		counts[in.Region] += count.Keys
		return err
	})
	if err != nil {
		return err
	}
	for _, region := range s.Regions {
		fn(region, counts[region])
	}
	return nil
}

// EachKeyStoreState calls fn for each Region and each state of a connection that
// custom key stores are in there, with how many are.
func (s *Service) EachKeyStoreState(ctx context.Context, fn func(region, state string, stores int)) error {
	type place struct{ region, state string }
	counts := map[place]int{}
	err := s.eachScope(ctx, func(r store.Reader, in store.Scope) error {
		for after, more := "", true; more; {
			var items []store.Item[keyStoreRecord]
			var err error
			if items, more, err = keyStoreRecords.Scan(r, in, after, countBatch); err != nil {
				return err
			}
			for _, item := range items {
				counts[place{in.Region, string(item.Value.State)}]++
			}
			after = lastID(items)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for at, stores := range counts {
		fn(at.region, at.state, stores)
	}
	return nil
}

func (s *Service) eachScope(ctx context.Context, fn func(store.Reader, store.Scope) error) error {
	return s.Store.View(ctx, func(r store.Reader) error {
		scopes, err := store.Scopes(r)
		for _, in := range scopes {
			if err == nil {
				err = fn(r, in)
			}
		}
		return err
	})
}
