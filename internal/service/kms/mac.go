package kms

import (
	"context"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/keyring"
)

// GenerateMac returns the HMAC of a message.
func (s *Service) GenerateMac(ctx context.Context, call *authz.Call, in *api.GenerateMacInput) (*api.GenerateMacOutput, error) {
	k, module, err := s.macKey(ctx, call, in.KeyId, in.GrantTokens, in.MacAlgorithm)
	if err != nil {
		return nil, err
	}
	mac, err := module.GenerateMAC(ctx, k.ref(), keyring.Algorithm(in.MacAlgorithm), in.Message)
	if err != nil {
		return nil, fromKeyring(err)
	}
	if err := dryRun(in.DryRun); err != nil {
		return nil, err
	}
	return &api.GenerateMacOutput{Mac: mac, MacAlgorithm: in.MacAlgorithm, KeyId: k.ARN}, nil
}

// VerifyMac checks an HMAC. As with Verify, a wrong one is an exception.
func (s *Service) VerifyMac(ctx context.Context, call *authz.Call, in *api.VerifyMacInput) (*api.VerifyMacOutput, error) {
	k, module, err := s.macKey(ctx, call, in.KeyId, in.GrantTokens, in.MacAlgorithm)
	if err != nil {
		return nil, err
	}
	if err := module.VerifyMAC(ctx, k.ref(), keyring.Algorithm(in.MacAlgorithm), in.Message, in.Mac); err != nil {
		return nil, fromKeyring(err)
	}
	if err := dryRun(in.DryRun); err != nil {
		return nil, err
	}
	return &api.VerifyMacOutput{KeyId: k.ARN, MacValid: true, MacAlgorithm: in.MacAlgorithm}, nil
}

func (s *Service) macKey(ctx context.Context, call *authz.Call, keyID string, grantTokens []string, algorithm api.MacAlgorithmSpec) (found, keyring.MAC, error) {
	k, err := s.keyFor(ctx, call, &keyUse{
		keyID: keyID, grantTokens: grantTokens,
		usage: api.KeyUsageTypeGenerateVerifyMac, algorithm: string(algorithm),
		conditions: conditionList{{"macalgorithm", string(algorithm)}},
	})
	if err != nil {
		return found{}, nil, err
	}
	module, ok := s.Keyring.(keyring.MAC)
	if !ok {
		return found{}, nil, errModule
	}
	return k, module, nil
}
