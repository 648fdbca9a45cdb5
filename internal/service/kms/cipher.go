package kms

import (
	"context"
	"errors"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/secret"
)

// encrypt encrypts under a key that is usable with algorithm; the context is
// checked.
func (s *Service) encrypt(ctx context.Context, call *authz.Call, k *key, algorithm string, plaintext secret.Bytes, encryptionContext map[string]string) ([]byte, error) {
	if k.Store != "" {
		return s.encryptOutside(ctx, call, k, plaintext, encryptionContext)
	}
	if algorithm == symmetricDefault {
		blob, err := s.Keyring.Encrypt(ctx, k.ref(), plaintext, encryptionContext)
		return blob, fromKeyring(err)
	}
	if longest := k.spec.longestPlaintext(algorithm); len(plaintext) > longest {
		return nil, awserr.Validationf("Algorithm %s and key spec %s cannot encrypt data larger than %d bytes.", algorithm, k.Spec, longest)
	}
	module, ok := s.Keyring.(keyring.AsymmetricCipher)
	if !ok {
		return nil, errModule
	}
	blob, err := module.EncryptAsymmetric(ctx, k.ref(), keyring.Algorithm(algorithm), plaintext)
	return blob, fromKeyring(err)
}

// decrypt opens a ciphertext with a key that is usable with algorithm; the context
// is checked.
func (s *Service) decrypt(ctx context.Context, call *authz.Call, k *key, algorithm string, blob []byte, encryptionContext map[string]string) (secret.Bytes, error) {
	if k.Store != "" {
		return s.decryptOutside(ctx, call, k, blob, encryptionContext)
	}
	if algorithm == symmetricDefault {
		plaintext, err := s.Keyring.Decrypt(ctx, k.ref(), blob, encryptionContext)
		return plaintext, fromKeyring(err)
	}
	module, ok := s.Keyring.(keyring.AsymmetricCipher)
	if !ok {
		return nil, errModule
	}
	plaintext, err := module.DecryptAsymmetric(ctx, k.ref(), keyring.Algorithm(algorithm), blob)
	if err == nil && len(plaintext) == 0 {
		// Whoever has the public key can encrypt nothing at all; Encrypt cannot,
		// and no answer has room for it.
		err = keyring.ErrInvalidCiphertext
	}
	return plaintext, fromKeyring(err)
}

// checkContext refuses an encryption context for algorithms that cannot bind one,
// and one that is too large.
func checkContext(algorithm string, encryptionContext map[string]string) error {
	if algorithm != symmetricDefault {
		if len(encryptionContext) > 0 {
			return awserr.Validation("EncryptionContext is not supported when encrypting/decrypting with asymmetric CMKs.")
		}
		return nil
	}
	return fromKeyring(keyring.CheckContext(encryptionContext))
}

// materialOf is the KeyMaterialId that answers show: symmetric keys alone have one,
// and of those only they that are in no custom key store.
func materialOf(k *key) string {
	if k.spec.family != symmetricKey || k.Store != "" {
		return ""
	}
	return k.current().ID
}

// fromKeyring turns the keyring's refusals into the exceptions that say no more
// than AWS's do.
func fromKeyring(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, keyring.ErrInvalidCiphertext):
		return api.InvalidCiphertextException("")
	case errors.Is(err, keyring.ErrInvalidSignature):
		return api.KMSInvalidSignatureException("")
	case errors.Is(err, keyring.ErrInvalidMAC):
		return api.KMSInvalidMacException("")
	case errors.Is(err, keyring.ErrPeerKey):
		return awserr.Validation("")
	case errors.Is(err, keyring.ErrContextTooLarge):
		return awserr.Validation("The encryption context is too large.")
	case errors.Is(err, keyring.ErrUnsupported):
		return errModule
	case errors.Is(err, keyring.ErrBusy):
		return timedOut()
	}
	return err
}

// errModule is the answer when the key module lacks an ability or a key spec.
var errModule = api.UnsupportedOperationException("The key module does not support this operation.")
