package kms

import (
	"context"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
)

// GetPublicKey returns the public half of a key pair. It works on disabled keys
// too: what others have encrypted or signed does not depend on the key's state.
func (s *Service) GetPublicKey(ctx context.Context, call *authz.Call, in *api.GetPublicKeyInput) (*api.GetPublicKeyOutput, error) {
	k, err := s.findFor(ctx, call, in.KeyId, keysAndAliases, in.GrantTokens)
	if err != nil {
		return nil, err
	}
	if err := s.may(ctx, call, need{key: k}); err != nil {
		return nil, err
	}
	if refused := k.admits(showingPublic); refused != nil {
		return nil, refused
	}
	if k.spec.family != asymmetricKey {
		return nil, api.UnsupportedOperationException("")
	}
	lists := k.algorithmLists()
	return &api.GetPublicKeyOutput{
		KeyId:                   k.ARN,
		PublicKey:               k.current().Public,
		CustomerMasterKeySpec:   api.CustomerMasterKeySpec(k.Spec),
		KeySpec:                 k.Spec,
		KeyUsage:                k.Usage,
		EncryptionAlgorithms:    lists.encryption,
		SigningAlgorithms:       lists.signing,
		KeyAgreementAlgorithms:  lists.agreement,
		EncapsulationAlgorithms: lists.encapsulation,
	}, nil
}
