package kms

import (
	"context"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/keyring"
)

// Sign signs a message, its digest or its µ.
func (s *Service) Sign(ctx context.Context, call *authz.Call, in *api.SignInput) (*api.SignOutput, error) {
	form, algorithm := orRaw(&in.MessageType), string(in.SigningAlgorithm)
	k, err := s.keyFor(ctx, call, &keyUse{
		keyID: in.KeyId, grantTokens: in.GrantTokens,
		usage: api.KeyUsageTypeSignVerify, algorithm: algorithm,
		conditions: signConditions(algorithm, form),
	})
	if err != nil {
		return nil, err
	}
	if err := k.checkMessage(algorithm, form, len(in.Message)); err != nil {
		return nil, err
	}
	module, ok := s.Keyring.(keyring.Signer)
	if !ok {
		return nil, errModule
	}
	signature, err := module.Sign(ctx, k.ref(), keyring.Algorithm(algorithm), keyring.Form(form), in.Message)
	if err != nil {
		return nil, fromKeyring(err)
	}
	if err := dryRun(in.DryRun); err != nil {
		return nil, err
	}
	return &api.SignOutput{KeyId: k.ARN, Signature: signature, SigningAlgorithm: in.SigningAlgorithm}, nil
}

// Verify checks a signature. One that is not the key's is an exception, so that
// whoever forgets to look at SignatureValid is not fooled.
func (s *Service) Verify(ctx context.Context, call *authz.Call, in *api.VerifyInput) (*api.VerifyOutput, error) {
	form, algorithm := orRaw(&in.MessageType), string(in.SigningAlgorithm)
	k, err := s.keyFor(ctx, call, &keyUse{
		keyID: in.KeyId, grantTokens: in.GrantTokens,
		usage: api.KeyUsageTypeSignVerify, algorithm: algorithm,
		conditions: signConditions(algorithm, form),
	})
	if err != nil {
		return nil, err
	}
	if err := k.checkMessage(algorithm, form, len(in.Message)); err != nil {
		return nil, err
	}
	module, ok := s.Keyring.(keyring.Verifier)
	if !ok {
		return nil, errModule
	}
	if err := module.Verify(ctx, k.ref(), keyring.Algorithm(algorithm), keyring.Form(form), in.Message, in.Signature); err != nil {
		return nil, fromKeyring(err)
	}
	if err := dryRun(in.DryRun); err != nil {
		return nil, err
	}
	return &api.VerifyOutput{KeyId: k.ARN, SignatureValid: true, SigningAlgorithm: in.SigningAlgorithm}, nil
}

func signConditions(algorithm string, form api.MessageType) conditions {
	return conditionList{{"signingalgorithm", algorithm}, {"messagetype", string(form)}}
}
