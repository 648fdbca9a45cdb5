package kms

import (
	"context"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
)

// Encrypt encrypts up to 4,096 bytes under a key.
func (s *Service) Encrypt(ctx context.Context, call *authz.Call, in *api.EncryptInput) (*api.EncryptOutput, error) {
	algorithm := orDefault(&in.EncryptionAlgorithm)
	k, err := s.findFor(ctx, call, in.KeyId, keysAndAliases, in.GrantTokens)
	if err != nil {
		return nil, err
	}
	conditions := cryptoConditions{known: true, context: in.EncryptionContext, algorithm: algorithm}
	if err := s.may(ctx, call, need{key: k, crypto: conditions}); err != nil {
		return nil, err
	}
	if err := k.usable(call.Time, "Encrypt", api.KeyUsageTypeEncryptDecrypt, algorithm); err != nil {
		return nil, err
	}
	if err := checkContext(algorithm, in.EncryptionContext); err != nil {
		return nil, err
	}
	blob, err := s.encrypt(ctx, call, k.key, algorithm, in.Plaintext, in.EncryptionContext)
	if err != nil {
		return nil, err
	}
	if err := dryRun(in.DryRun); err != nil {
		return nil, err
	}
	return &api.EncryptOutput{
		CiphertextBlob:      blob,
		KeyId:               k.ARN,
		EncryptionAlgorithm: api.EncryptionAlgorithmSpec(algorithm),
	}, nil
}
