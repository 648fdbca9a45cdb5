package kms

import (
	"context"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/store"
)

// OfferedKey returns a key for the proxy of external key stores, which offers it to
// another KMS. Only symmetric encryption keys whose material is in this deployment
// can be offered; of every other key it says that there is none. usable is false
// for one whose state forbids its use.
func (s *Service) OfferedKey(ctx context.Context, account, region, id string) (ref keyring.KeyRef, arn string, usable bool, err error) {
	canonical, ok := canonicalKeyID(id)
	if !ok || canonical != id {
		return ref, "", false, store.ErrNotFound
	}
	k, err := s.keys.Get(ctx, scope(account, region), id)
	if err != nil {
		return ref, "", false, err
	}
	if k.spec.family != symmetricKey || k.Usage != api.KeyUsageTypeEncryptDecrypt || k.Store != "" {
		return ref, "", false, store.ErrNotFound
	}
	return k.ref(), k.ARN, k.admits(cryptographic) == nil && !k.expired(s.Clock.Now()), nil
}
