package kms

import (
	"context"
	"fmt"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/secret"
)

// GenerateDataKeyPair returns a fresh key pair, its private key in the clear and
// encrypted under a key.
func (s *Service) GenerateDataKeyPair(ctx context.Context, call *authz.Call, in *api.GenerateDataKeyPairInput) (*api.GenerateDataKeyPairOutput, error) {
	to, err := s.recipientOf(call, in.Recipient)
	if err != nil {
		return nil, err
	}
	made, err := s.dataKeyPair(ctx, call, &dataKeyPairRequest{
		keyID: in.KeyId, context: in.EncryptionContext, spec: in.KeyPairSpec,
		grantTokens: in.GrantTokens, dryRun: in.DryRun, recipient: to,
	})
	if err != nil {
		return nil, err
	}
	out := &api.GenerateDataKeyPairOutput{
		PrivateKeyCiphertextBlob: made.blob,
		PublicKey:                made.public,
		KeyId:                    made.key.ARN,
		KeyPairSpec:              in.KeyPairSpec,
	}
	if to != nil {
		out.CiphertextForRecipient, err = s.enclose(to, made.private)
	} else {
		out.PrivateKeyPlaintext, out.KeyMaterialId = made.private, made.material
	}
	return out, err
}

// GenerateDataKeyPairWithoutPlaintext is GenerateDataKeyPair for those who will
// decrypt the private key when they need it.
func (s *Service) GenerateDataKeyPairWithoutPlaintext(ctx context.Context, call *authz.Call, in *api.GenerateDataKeyPairWithoutPlaintextInput) (*api.GenerateDataKeyPairWithoutPlaintextOutput, error) {
	made, err := s.dataKeyPair(ctx, call, &dataKeyPairRequest{
		keyID: in.KeyId, context: in.EncryptionContext, spec: in.KeyPairSpec,
		grantTokens: in.GrantTokens, dryRun: in.DryRun,
	})
	if err != nil {
		return nil, err
	}
	made.private.Wipe()
	return &api.GenerateDataKeyPairWithoutPlaintextOutput{
		PrivateKeyCiphertextBlob: made.blob,
		PublicKey:                made.public,
		KeyId:                    made.key.ARN,
		KeyPairSpec:              in.KeyPairSpec,
		KeyMaterialId:            made.material,
	}, nil
}

type dataKeyPairRequest struct {
	keyID       string
	context     map[string]string
	spec        api.DataKeyPairSpec
	grantTokens []string
	dryRun      *bool
	recipient   *recipient
}

type dataKeyPair struct {
	private  secret.Bytes // PKCS #8, DER
	public   []byte       // SubjectPublicKeyInfo, DER
	blob     []byte
	key      found
	material string
}

func (s *Service) dataKeyPair(ctx context.Context, call *authz.Call, in *dataKeyPairRequest) (*dataKeyPair, error) {
	k, err := s.keyFor(ctx, call, &keyUse{
		keyID: in.keyID, grantTokens: in.grantTokens,
		usage: api.KeyUsageTypeEncryptDecrypt, algorithm: symmetricDefault,
		crypto: cryptoConditions{known: true, context: in.context, algorithm: symmetricDefault, pairSpec: string(in.spec), recipient: in.recipient},
		check: func() error {
			if row := specOf(api.KeySpec(in.spec)); row == nil || !row.pair || !row.in(call.Region) {
				return api.UnsupportedOperationException(fmt.Sprintf("KeyPairSpec %s is not supported in this Region.", in.spec))
			}
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	if k.Store != "" {
		return nil, api.UnsupportedOperationException(k.ARN + " origin is " + string(k.Origin) + " which is not valid for this operation.")
	}
	if err := checkContext(symmetricDefault, in.context); err != nil {
		return nil, err
	}
	// Nothing that could still fail depends on the pair, and making one is
	// expensive.
	if err := dryRun(in.dryRun); err != nil {
		return nil, err
	}
	module, ok := s.Keyring.(keyring.PairMaker)
	if !ok {
		return nil, errModule
	}
	var private secret.Bytes
	var public []byte
	if err := call.Work(ctx, func(ctx context.Context) (err error) {
		private, public, err = module.GeneratePair(ctx, keyring.Spec(in.spec))
		return err
	}); err != nil {
		return nil, fromKeyring(err)
	}
	ref := k.ref()
	blob, err := s.Keyring.Encrypt(call.Context(ctx), ref, private, in.context)
	if err != nil {
		private.Wipe()
		return nil, fromKeyring(err)
	}
	call.Audit.SetAdditional("keyMaterialId", ref.Current.ID)
	return &dataKeyPair{private: private, public: public, blob: blob, key: k, material: ref.Current.ID}, nil
}
