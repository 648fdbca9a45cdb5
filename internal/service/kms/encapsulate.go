package kms

import (
	"context"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/keyring"
)

// Encapsulate returns a fresh secret and the form of it that only Decapsulate with
// the same key opens.
func (s *Service) Encapsulate(ctx context.Context, call *authz.Call, in *api.EncapsulateInput) (*api.EncapsulateOutput, error) {
	k, module, err := s.encapsulationKey(ctx, call, in.KeyId, in.GrantTokens, in.EncapsulationAlgorithm)
	if err != nil {
		return nil, err
	}
	shared, blob, err := module.Encapsulate(ctx, k.ref(), keyring.Algorithm(in.EncapsulationAlgorithm))
	if err != nil {
		return nil, fromKeyring(err)
	}
	if err := dryRun(in.DryRun); err != nil {
		shared.Wipe()
		return nil, err
	}
	return &api.EncapsulateOutput{
		KeyId:                      k.ARN,
		SharedSecret:               shared,
		SharedSecretCiphertextBlob: blob,
		EncapsulationAlgorithm:     in.EncapsulationAlgorithm,
	}, nil
}

// Decapsulate returns the secret of an encapsulation. Only a blob of the wrong
// length is refused: another key's or an altered one gives a pseudorandom secret
// (FIPS 203 §6.3), which the two parties find out when they use it.
func (s *Service) Decapsulate(ctx context.Context, call *authz.Call, in *api.DecapsulateInput) (*api.DecapsulateOutput, error) {
	k, module, err := s.encapsulationKey(ctx, call, in.KeyId, in.GrantTokens, in.EncapsulationAlgorithm)
	if err != nil {
		return nil, err
	}
	shared, err := module.Decapsulate(ctx, k.ref(), keyring.Algorithm(in.EncapsulationAlgorithm), in.SharedSecretCiphertextBlob)
	if err != nil {
		return nil, fromKeyring(err)
	}
	if err := dryRun(in.DryRun); err != nil {
		shared.Wipe()
		return nil, err
	}
	return &api.DecapsulateOutput{KeyId: k.ARN, SharedSecret: shared, EncapsulationAlgorithm: in.EncapsulationAlgorithm}, nil
}

func (s *Service) encapsulationKey(ctx context.Context, call *authz.Call, keyID string, grantTokens []string, algorithm api.EncapsulationAlgorithmSpec) (found, keyring.Encapsulator, error) {
	k, err := s.keyFor(ctx, call, &keyUse{
		keyID: keyID, grantTokens: grantTokens,
		usage: api.KeyUsageTypeEncapsulateDecapsulate, algorithm: string(algorithm),
	})
	if err != nil {
		return found{}, nil, err
	}
	module, ok := s.Keyring.(keyring.Encapsulator)
	if !ok {
		return found{}, nil, errModule
	}
	return k, module, nil
}
