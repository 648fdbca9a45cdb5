package kms

import (
	"context"
	"io"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/secret"
)

// GenerateDataKey returns fresh random bytes in the clear and encrypted under a
// key.
func (s *Service) GenerateDataKey(ctx context.Context, call *authz.Call, in *api.GenerateDataKeyInput) (*api.GenerateDataKeyOutput, error) {
	to, err := s.recipientOf(call, in.Recipient)
	if err != nil {
		return nil, err
	}
	made, err := s.dataKey(ctx, call, &dataKeyRequest{
		keyID: in.KeyId, context: in.EncryptionContext, spec: in.KeySpec, bytes: in.NumberOfBytes,
		grantTokens: in.GrantTokens, dryRun: in.DryRun, recipient: to,
	})
	if err != nil {
		return nil, err
	}
	out := &api.GenerateDataKeyOutput{CiphertextBlob: made.blob, KeyId: made.key.ARN}
	if to != nil {
		out.CiphertextForRecipient, err = s.enclose(to, made.plaintext)
	} else {
		out.Plaintext, out.KeyMaterialId = made.plaintext, made.material
	}
	return out, err
}

// GenerateDataKeyWithoutPlaintext is GenerateDataKey for those who will decrypt
// the data key when they need it.
func (s *Service) GenerateDataKeyWithoutPlaintext(ctx context.Context, call *authz.Call, in *api.GenerateDataKeyWithoutPlaintextInput) (*api.GenerateDataKeyWithoutPlaintextOutput, error) {
	made, err := s.dataKey(ctx, call, &dataKeyRequest{
		keyID: in.KeyId, context: in.EncryptionContext, spec: in.KeySpec, bytes: in.NumberOfBytes,
		grantTokens: in.GrantTokens, dryRun: in.DryRun,
	})
	if err != nil {
		return nil, err
	}
	made.plaintext.Wipe()
	return &api.GenerateDataKeyWithoutPlaintextOutput{
		CiphertextBlob: made.blob,
		KeyId:          made.key.ARN,
		KeyMaterialId:  made.material,
	}, nil
}

type dataKeyRequest struct {
	keyID       string
	context     map[string]string
	spec        api.DataKeySpec
	bytes       *int32
	grantTokens []string
	dryRun      *bool
	recipient   *recipient
}

type dataKey struct {
	plaintext secret.Bytes
	blob      []byte
	key       found
	material  string
}

func (s *Service) dataKey(ctx context.Context, call *authz.Call, in *dataKeyRequest) (*dataKey, error) {
	k, err := s.findFor(ctx, call, in.keyID, keysAndAliases, in.grantTokens)
	if err != nil {
		return nil, err
	}
	algorithm := string(api.EncryptionAlgorithmSpecSymmetricDefault)
	if err := s.may(ctx, call, need{key: k, crypto: cryptoConditions{known: true, context: in.context, algorithm: algorithm, recipient: in.recipient}}); err != nil {
		return nil, err
	}
	length, err := in.length()
	if err != nil {
		return nil, err
	}
	if err := k.usable(call.Time, call.Operation, api.KeyUsageTypeEncryptDecrypt, algorithm); err != nil {
		return nil, err
	}
	plaintext := make(secret.Bytes, length)
	if _, err := io.ReadFull(s.Rand, plaintext); err != nil {
		return nil, err
	}
	blob, err := s.encrypt(ctx, call, k.key, algorithm, plaintext, in.context)
	if err == nil {
		err = dryRun(in.dryRun)
	}
	if err != nil {
		plaintext.Wipe()
		return nil, err
	}
	material := materialOf(k.key)
	if material != "" {
		call.Audit.SetAdditional("keyMaterialId", material)
	}
	return &dataKey{plaintext: plaintext, blob: blob, key: k, material: material}, nil
}

func (in *dataKeyRequest) length() (int, error) {
	switch {
	case (in.spec == "") == (in.bytes == nil):
		return 0, awserr.Validation("Please specify either number of bytes or key spec.")
	case in.bytes != nil:
		return int(*in.bytes), nil
	case in.spec == api.DataKeySpecAes128:
		return 16, nil
	default:
		return 32, nil
	}
}

// GenerateRandom returns 1 to 1,024 random bytes.
func (s *Service) GenerateRandom(ctx context.Context, call *authz.Call, in *api.GenerateRandomInput) (*api.GenerateRandomOutput, error) {
	if in.NumberOfBytes == nil {
		return nil, awserr.Validation("NumberOfBytes is required.")
	}
	to, err := s.recipientOf(call, in.Recipient)
	if err != nil {
		return nil, err
	}
	if err := s.mayInAccount(ctx, call, "", "*", to); err != nil {
		return nil, err
	}
	random := make(secret.Bytes, *in.NumberOfBytes)
	if in.CustomKeyStoreId != "" {
		random, err = s.randomFromHSMs(ctx, call, in.CustomKeyStoreId, len(random))
	} else {
		_, err = io.ReadFull(s.Rand, random)
	}
	if err != nil {
		return nil, err
	}
	if to != nil {
		sealed, err := s.enclose(to, random)
		return &api.GenerateRandomOutput{CiphertextForRecipient: sealed}, err
	}
	return &api.GenerateRandomOutput{Plaintext: random}, nil
}
