package kms

import (
	"context"
	"errors"
	"strings"
	"time"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/keyring"
)

// tokenLifetime is how long a wrapping key and its import token can be used.
const tokenLifetime = 24 * time.Hour

// importable tells whether keys of this spec can have origin EXTERNAL.
func (s *keySpec) importable() bool {
	return s.family == symmetricKey || s.family == hmacKey || s.isRSA() || strings.HasPrefix(string(s.spec), "ECC_")
}

func (s *keySpec) isRSA() bool { return strings.HasPrefix(string(s.spec), "RSA_") }

// takes tells whether material of this spec can come wrapped in that way (kms.md
// §12): RSA keys are too long for RSA-OAEP, keys without a structure of their own
// come by RSA-OAEP alone, and some curves' keys are too long for its shortest key.
func (s *keySpec) takes(algorithm api.AlgorithmSpec, wrapping api.WrappingKeySpec) bool {
	if wrapping == api.WrappingKeySpecSm2 {
		return false
	}
	switch algorithm {
	case api.AlgorithmSpecRsaesOaepSha1, api.AlgorithmSpecRsaesOaepSha256:
		tooLong := s.spec == "ECC_NIST_P521" || s.spec == "ECC_NIST_EDWARDS25519"
		return !s.isRSA() && !(tooLong && wrapping == api.WrappingKeySpecRsa2048)
	case api.AlgorithmSpecRsaAesKeyWrapSha1, api.AlgorithmSpecRsaAesKeyWrapSha256:
		return s.family == asymmetricKey
	}
	return false
}

// importer is the keyring's ability to import.
func (s *Service) importer() (keyring.Importer, error) {
	i, ok := s.Keyring.(keyring.Importer)
	if !ok {
		return nil, api.UnsupportedOperationException("")
	}
	return i, nil
}

// mustBeExternal refuses keys whose material is not imported.
func (k *key) mustBeExternal() error {
	if k.Origin != api.OriginTypeExternal {
		return api.UnsupportedOperationException(k.ARN + " origin is " + string(k.Origin) + " which is not valid for this operation.")
	}
	return nil
}

// GetParametersForImport makes a public key to wrap material under and the token
// that ImportKeyMaterial needs with it.
func (s *Service) GetParametersForImport(ctx context.Context, call *authz.Call, in *api.GetParametersForImportInput) (*api.GetParametersForImportOutput, error) {
	k, err := s.find(ctx, call, in.KeyId, keysOnly)
	if err != nil {
		return nil, err
	}
	conditions := conditionMap{"wrappingalgorithm": {string(in.WrappingAlgorithm)}, "wrappingkeyspec": {string(in.WrappingKeySpec)}}
	if err := s.mayOwn(ctx, call, need{key: k, conditions: conditions}); err != nil {
		return nil, err
	}
	if err := k.mustBeExternal(); err != nil {
		return nil, err
	}
	if refused := k.admits(gettingParameters); refused != nil {
		return nil, refused
	}
	if !k.spec.takes(in.WrappingAlgorithm, in.WrappingKeySpec) {
		return nil, awserr.Validationf("Wrapping algorithm %s and wrapping key spec %s cannot be used to import a %s key.",
			in.WrappingAlgorithm, in.WrappingKeySpec, k.Spec)
	}
	module, err := s.importer()
	if err != nil {
		return nil, err
	}
	expires := call.Time.Add(tokenLifetime).Truncate(time.Millisecond)
	terms := keyring.ImportTerms{Key: k.ARN, Algorithm: keyring.Algorithm(in.WrappingAlgorithm), WrappingSpec: keyring.Spec(in.WrappingKeySpec), Expires: expires}
	var public, token []byte
	if err := call.Work(ctx, func(ctx context.Context) (err error) {
		public, token, err = module.ImportParameters(ctx, terms)
		return err
	}); err != nil {
		return nil, fromKeyring(err)
	}
	return &api.GetParametersForImportOutput{KeyId: k.ARN, ImportToken: token, PublicKey: public, ParametersValidTo: &expires}, nil
}

// fromImport turns the keyring's refusals into exceptions.
func fromImport(err error) error {
	switch {
	case errors.Is(err, keyring.ErrImportToken):
		return api.InvalidImportTokenException("")
	case errors.Is(err, keyring.ErrImportExpired):
		return api.ExpiredImportTokenException("")
	}
	return fromKeyring(err)
}
