package kms

import (
	"context"
	"errors"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
)

// ReEncrypt decrypts under one key and encrypts under another without showing the
// plaintext. It is authorised as kms:ReEncryptFrom on the source and
// kms:ReEncryptTo on the destination.
func (s *Service) ReEncrypt(ctx context.Context, call *authz.Call, in *api.ReEncryptInput) (*api.ReEncryptOutput, error) {
	sourceAlgorithm := orDefault(&in.SourceEncryptionAlgorithm)
	destinationAlgorithm := orDefault(&in.DestinationEncryptionAlgorithm)
	ignored := ignoresCiphertext(in.DryRun, in.DryRunModifiers)
	if in.CiphertextBlob == nil && !ignored {
		return nil, awserr.Validation("1 validation error detected: Value null at 'ciphertextBlob' failed to satisfy constraint: Member must not be null")
	}
	if (sourceAlgorithm != symmetricDefault || ignored) && in.SourceKeyId == "" {
		return nil, awserr.Validation("SourceKeyId must not be null")
	}
	if err := s.checkTokens(call, in.GrantTokens); err != nil {
		return nil, err
	}
	destination, err := s.find(ctx, call, in.DestinationKeyId, keysAndAliases)
	// A destination of another account that is not there is refused where one would
	// be that is there and closed: after the source.
	var unseen error
	if errors.Is(err, authz.ErrDenied) {
		unseen = call.DeniedUnseen("kms:ReEncryptTo", "this resource")
	} else if err != nil {
		return nil, err
	}
	// The record names the source first.
	destinationResource := call.Audit.Resources
	call.Audit.Resources = nil
	same := func(k *key) *bool {
		equal := destination.key != nil && k.ARN == destination.ARN
		return &equal
	}
	from := source{
		blob: in.CiphertextBlob, keyID: in.SourceKeyId, context: in.SourceEncryptionContext,
		algorithm: sourceAlgorithm, grantTokens: in.GrantTokens, action: "kms:ReEncryptFrom", sameKey: same,
		ignored: ignored,
	}
	k, material, err := s.sourceKey(ctx, call, &from)
	for _, r := range destinationResource {
		call.Audit.Resource(r.Account, r.Type, r.ARN)
	}
	if err == nil {
		err = unseen
	}
	if err != nil {
		return nil, err
	}
	if destination, err = s.withTokens(ctx, call, destination, in.GrantTokens); err != nil {
		return nil, err
	}
	conditions := cryptoConditions{known: true, context: in.DestinationEncryptionContext, algorithm: destinationAlgorithm, sameKey: same(k.key)}
	if err := s.may(ctx, call, need{action: "kms:ReEncryptTo", key: destination, crypto: conditions}); err != nil {
		return nil, err
	}
	// Both keys are checked before either is used: no answer tells whether the
	// ciphertext opens to whom the destination refuses.
	if err := k.usable(call.Time, "ReEncrypt", api.KeyUsageTypeEncryptDecrypt, sourceAlgorithm); err != nil {
		return nil, err
	}
	if err := destination.usable(call.Time, "ReEncrypt", api.KeyUsageTypeEncryptDecrypt, destinationAlgorithm); err != nil {
		return nil, err
	}
	if err := checkContext(sourceAlgorithm, in.SourceEncryptionContext); err != nil {
		return nil, err
	}
	if err := checkContext(destinationAlgorithm, in.DestinationEncryptionContext); err != nil {
		return nil, err
	}
	if ignored {
		return nil, dryRun(in.DryRun)
	}
	plaintext, err := s.decrypt(ctx, call, k.key, sourceAlgorithm, in.CiphertextBlob, in.SourceEncryptionContext)
	if err != nil {
		return nil, err
	}
	defer plaintext.Wipe()
	blob, err := s.encrypt(ctx, call, destination.key, destinationAlgorithm, plaintext, in.DestinationEncryptionContext)
	if err != nil {
		return nil, err
	}
	if err := dryRun(in.DryRun); err != nil {
		return nil, err
	}
	return &api.ReEncryptOutput{
		CiphertextBlob:                 blob,
		SourceKeyId:                    k.ARN,
		KeyId:                          destination.ARN,
		SourceEncryptionAlgorithm:      api.EncryptionAlgorithmSpec(sourceAlgorithm),
		DestinationEncryptionAlgorithm: api.EncryptionAlgorithmSpec(destinationAlgorithm),
		SourceKeyMaterialId:            material,
		DestinationKeyMaterialId:       materialOf(destination.key),
	}, nil
}
