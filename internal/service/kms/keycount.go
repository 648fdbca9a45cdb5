package kms

import (
	"errors"
	"fmt"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/store"
)

// keyCount is how many keys an account has in a Region, replicas and keys that wait
// for their deletion included; AWS managed keys do not count.
type keyCount struct {
	Keys int64 `json:"keys"`
}

const (
	countCollection = "kms-key-count"
	countID         = "keys"
	countBatch      = 1000
)

var keyCounts = store.NewCollection[keyCount](countCollection, 1)

// countNewKey counts a key that is about to be written, or refuses it when the
// account has as many as it may.
func (s *Service) countNewKey(tx *store.Tx, account, region string) error {
	n, err := countKeys(tx, account, region)
	if err != nil {
		return err
	}
	if limit := s.Limits.keys(account); limit != unlimited && n >= limit {
		return api.LimitExceededException(fmt.Sprintf("Key quota for this account in this region is %d but the current usage is %d.", limit, n))
	}
	return keyCounts.Put(tx, scope(account, region), countID, keyCount{n + 1})
}

// countKeyGone counts a key that has been deleted.
func countKeyGone(tx *store.Tx, account, region string) error {
	in := scope(account, region)
	count, err := keyCounts.Get(tx, in, countID)
	if errors.Is(err, store.ErrNotFound) {
		return nil // The next new key has them counted.
	}
	if err != nil {
		return err
	}
	return keyCounts.Put(tx, in, countID, keyCount{count.Keys - 1})
}

// countKeys returns the count. Where none has been kept, as in a data folder of an
// earlier version, it counts.
func countKeys(tx *store.Tx, account, region string) (int64, error) {
	in := scope(account, region)
	count, err := keyCounts.Get(tx, in, countID)
	if !errors.Is(err, store.ErrNotFound) {
		return count.Keys, err
	}
	after := ""
	for more := true; more; {
		var items []store.Item[keyRecord]
		items, more, err = keyRecords.Scan(tx, in, after, countBatch)
		if err != nil {
			return 0, err
		}
		for _, item := range items {
			if item.Value.Manager != api.KeyManagerTypeAws {
				count.Keys++
			}
		}
		after = lastID(items)
	}
	return count.Keys, nil
}
