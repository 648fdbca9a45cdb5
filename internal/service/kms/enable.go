package kms

import (
	"context"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/store"
)

// EnableKey lets a disabled key be used again. It is idempotent.
func (s *Service) EnableKey(ctx context.Context, call *authz.Call, in *api.EnableKeyInput) (*api.EnableKeyOutput, error) {
	return changeKey(ctx, s, call, change[*api.EnableKeyOutput]{
		keyID: in.KeyId,
		group: switching,
		edit: func(tx *store.Tx, k *key, record *keyRecord) (*api.EnableKeyOutput, error) {
			call.Audit.SetResponse("keyId", k.ARN)
			record.State = api.KeyStateEnabled
			return &api.EnableKeyOutput{}, putRotation(tx, record)
		},
	})
}

// DisableKey stops cryptographic use of a key. Once it is answered, no later call
// can use the key. It is idempotent.
func (s *Service) DisableKey(ctx context.Context, call *authz.Call, in *api.DisableKeyInput) (*api.DisableKeyOutput, error) {
	return changeKey(ctx, s, call, change[*api.DisableKeyOutput]{
		keyID: in.KeyId,
		group: switching,
		edit: func(_ *store.Tx, k *key, record *keyRecord) (*api.DisableKeyOutput, error) {
			call.Audit.SetResponse("keyId", k.ARN)
			record.State = api.KeyStateDisabled
			return &api.DisableKeyOutput{}, nil
		},
	})
}

// UpdateKeyDescription replaces a key's description.
func (s *Service) UpdateKeyDescription(ctx context.Context, call *authz.Call, in *api.UpdateKeyDescriptionInput) (*api.UpdateKeyDescriptionOutput, error) {
	return changeKey(ctx, s, call, change[*api.UpdateKeyDescriptionOutput]{
		keyID: in.KeyId,
		group: editing,
		edit: func(_ *store.Tx, k *key, record *keyRecord) (*api.UpdateKeyDescriptionOutput, error) {
			call.Audit.SetResponse("keyId", k.ARN)
			record.Description = in.Description
			return &api.UpdateKeyDescriptionOutput{}, nil
		},
	})
}
