package kms

import (
	"context"
	"errors"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/store"
)

// Decrypt opens what Encrypt, ReEncrypt or one of the GenerateDataKey operations
// made.
func (s *Service) Decrypt(ctx context.Context, call *authz.Call, in *api.DecryptInput) (*api.DecryptOutput, error) {
	algorithm := orDefault(&in.EncryptionAlgorithm)
	ignored := ignoresCiphertext(in.DryRun, in.DryRunModifiers)
	if in.CiphertextBlob == nil && !ignored {
		return nil, awserr.Validation("1 validation error detected: Value null at 'ciphertextBlob' failed to satisfy constraint: Member must not be null")
	}
	if (algorithm != symmetricDefault || ignored) && in.KeyId == "" {
		return nil, awserr.Validation("KeyId must not be null")
	}
	to, err := s.recipientOf(call, in.Recipient)
	if err != nil {
		return nil, err
	}
	from := source{
		blob: in.CiphertextBlob, keyID: in.KeyId, context: in.EncryptionContext,
		algorithm: algorithm, grantTokens: in.GrantTokens, action: "kms:Decrypt",
		ignored: ignored, recipient: to,
	}
	k, material, err := s.sourceKey(ctx, call, &from)
	if err != nil {
		return nil, err
	}
	in.KeyId = k.ARN // which is what the audit record shows
	if err := k.usable(call.Time, "Decrypt", api.KeyUsageTypeEncryptDecrypt, algorithm); err != nil {
		return nil, err
	}
	if err := checkContext(algorithm, in.EncryptionContext); err != nil {
		return nil, err
	}
	if ignored {
		return nil, dryRun(in.DryRun)
	}
	plaintext, err := s.decrypt(ctx, call, k.key, algorithm, in.CiphertextBlob, in.EncryptionContext)
	if err != nil {
		return nil, err
	}
	if material != "" {
		call.Audit.SetAdditional("keyMaterialId", material)
	}
	if err := dryRun(in.DryRun); err != nil {
		plaintext.Wipe()
		return nil, err
	}
	out := &api.DecryptOutput{KeyId: k.ARN, EncryptionAlgorithm: api.EncryptionAlgorithmSpec(algorithm)}
	if to != nil {
		out.CiphertextForRecipient, err = s.enclose(to, plaintext)
	} else {
		out.Plaintext, out.KeyMaterialId = plaintext, material
	}
	return out, err
}

// errIncorrectKey is the answer to the name of another key than the ciphertext's.
var errIncorrectKey = api.IncorrectKeyException("The key ID in the request does not identify a CMK that can perform this operation.")

// source is a ciphertext that Decrypt or ReEncrypt is asked to open.
type source struct {
	blob        []byte
	keyID       string // as the caller named it; may be empty
	context     map[string]string
	algorithm   string
	grantTokens []string
	action      string
	sameKey     func(k *key) *bool
	recipient   *recipient
	ignored     bool // the dry run is to look at everything but the ciphertext
}

// sourceKey finds the key of a ciphertext, asks for permission to use it, and
// returns it with the id of the material that the ciphertext names. A symmetric
// blob is parsed before anything is looked up, and a key that the caller names must
// be the one that the blob names, whatever that key's usage or state (kms.md §3).
// An asymmetric one names neither, and its material has no id to show.
func (s *Service) sourceKey(ctx context.Context, call *authz.Call, from *source) (found, string, error) {
	if err := s.checkTokens(call, from.grantTokens); err != nil {
		return found{}, "", err
	}
	named := from.algorithm == symmetricDefault && !from.ignored // the blob names its key
	var header keyring.Header
	if named {
		var err error
		if header, err = s.Keyring.ParseCiphertext(from.blob); err != nil {
			return found{}, "", fromKeyring(err)
		}
	}
	k, unnamed, err := s.keyOfCiphertext(ctx, call, from, header.KeyID)
	if err != nil {
		return found{}, "", err
	}
	if k, err = s.withTokens(ctx, call, k, from.grantTokens); err != nil {
		return found{}, "", err
	}
	conditions := cryptoConditions{known: true, context: from.context, algorithm: from.algorithm, recipient: from.recipient}
	if from.sameKey != nil {
		conditions.sameKey = from.sameKey(k.key)
	}
	if err := s.may(ctx, call, need{action: from.action, key: k, crypto: conditions, unnamed: unnamed}); err != nil {
		return found{}, "", err
	}
	if named && k.ID != header.KeyID {
		return found{}, "", errIncorrectKey
	}
	if k.Store != "" {
		return k, "", nil
	}
	return k, header.MaterialID, nil
}

// keyOfCiphertext finds the key that the caller names or, without a name, the one
// that the blob names. unnamed is how a denial speaks of a key that the caller did
// not name.
func (s *Service) keyOfCiphertext(ctx context.Context, call *authz.Call, from *source, headerKeyID string) (k found, unnamed string, err error) {
	if from.keyID != "" {
		if headerKeyID != "" && namesElsewhere(call, from.keyID) {
			return found{}, "", errIncorrectKey
		}
		k, err = s.find(ctx, call, from.keyID, keysAndAliases)
		return k, "", err
	}
	unnamed = "the resource associated with this ciphertext"
	// A key id belongs to one account of a Region: it is the caller's if the caller
	// has a key of that id, which needs no looking up when the key is in memory.
	own, held, err := s.keys.Held(scope(call.Principal.Account, call.Region), headerKeyID)
	if held {
		k.key = own
	} else {
		var account string
		if account, err = s.owners.Get(ctx, regionScope(call.Region), headerKeyID); err == nil {
			k.key, err = s.keys.Get(ctx, scope(account, call.Region), headerKeyID)
		}
	}
	if err == nil {
		k.key, err = s.asItStands(ctx, k.key)
	}
	if errors.Is(err, store.ErrNotFound) {
		return found{}, "", call.DeniedUnseen(from.action, unnamed)
	}
	if err != nil {
		return found{}, "", err
	}
	call.Audit.Resource(k.Account, keyResource, k.ARN)
	return k, unnamed, nil
}
