package kms

import (
	"context"

	"github.com/strongroom/strongroom/internal/store"
)

// aliasNames returns the names of a key's aliases, for kms:ResourceAliases. They
// are read when a policy first asks about a version of the key; calls under
// policies that do not ask pay nothing.
func (s *Service) aliasNames(ctx context.Context, k *key) ([]string, error) {
	if names := k.names.Load(); names != nil {
		return *names, nil
	}
	var names []string
	err := s.Store.View(ctx, func(r store.Reader) error {
		items, _, err := aliasRecords.ScanIndex(r, scope(k.Account, k.Region), byTarget, k.ID, "", maxAliases)
		if err != nil {
			return err
		}
		for _, item := range items {
			names = append(names, item.ID)
		}
		// Names that were read from an earlier state than the key hold for this
		// call at most.
		if r.Epoch() >= k.Version {
			k.names.Store(&names)
		}
		return nil
	})
	return names, err
}

// renew writes a key as it is, in the commit that changes its aliases: policies can
// ask for them, so that whatever was decided upon the key before is decided again.
// It reads the record: k may show a state that its key store gives it.
func renew(tx *store.Tx, k *key) error {
	now, err := unchanged(tx, k)
	if err != nil {
		return err
	}
	return keyRecords.Put(tx, scope(k.Account, k.Region), k.ID, now.keyRecord)
}
