package kms

import (
	"context"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/keyring"
)

// DeriveSharedSecret returns the raw secret that the key shares with the holder of
// another public key; deriving a key from it is the caller's to do.
func (s *Service) DeriveSharedSecret(ctx context.Context, call *authz.Call, in *api.DeriveSharedSecretInput) (*api.DeriveSharedSecretOutput, error) {
	to, err := s.recipientOf(call, in.Recipient)
	if err != nil {
		return nil, err
	}
	algorithm := string(in.KeyAgreementAlgorithm)
	k, err := s.keyFor(ctx, call, &keyUse{
		keyID: in.KeyId, grantTokens: in.GrantTokens,
		usage: api.KeyUsageTypeKeyAgreement, algorithm: algorithm,
		conditions: either{conditionList{{"keyagreementalgorithm", algorithm}}, to},
	})
	if err != nil {
		return nil, err
	}
	module, ok := s.Keyring.(keyring.KeyAgreement)
	if !ok {
		return nil, errModule
	}
	shared, err := module.DeriveSharedSecret(ctx, k.ref(), keyring.Algorithm(algorithm), in.PublicKey)
	if err != nil {
		return nil, fromKeyring(err)
	}
	if err := dryRun(in.DryRun); err != nil {
		shared.Wipe()
		return nil, err
	}
	out := &api.DeriveSharedSecretOutput{
		KeyId:                 k.ARN,
		KeyAgreementAlgorithm: in.KeyAgreementAlgorithm,
		KeyOrigin:             k.Origin,
	}
	if to != nil {
		out.CiphertextForRecipient, err = s.enclose(to, shared)
	} else {
		out.SharedSecret = shared
	}
	return out, err
}
