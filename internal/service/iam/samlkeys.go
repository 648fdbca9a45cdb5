package iam

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"time"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/secret"
)

// maxSAMLKeys is how many private keys a provider may have, so that one can be changed for
// another. Their sizes are bounded because whoever knows the provider's name can have them
// used.
const (
	maxSAMLKeys                    = 2
	minSAMLKeyBits, maxSAMLKeyBits = 2_048, 4_096
)

// samlPrivateKey is a key that assertions may be encrypted for.
type samlPrivateKey struct {
	ID    string    `json:"id"`
	Added time.Time `json:"added"`
	// Key is PKCS #8 in DER, sealed. Nobody is ever answered it.
	Key []byte `json:"key"`
}

func samlKeyBinding(account, provider, id string) []byte {
	return []byte("saml-provider/" + account + "/" + provider + "/" + id)
}

// newSAMLKey seals a private key for a provider; nil if none is given.
func (s *Service) newSAMLKey(call *authz.Call, r *samlProviderRecord, text secret.String) (*samlPrivateKey, error) {
	if text == "" {
		return nil, nil
	}
	given := secret.Bytes(text)
	defer given.Wipe()
	der, ok := privateKeyDER(given)
	if !ok {
		return nil, api.InvalidInputException(fmt.Sprintf("Invalid private key. It must be an RSA key of %d to %d bits in PEM, not encrypted.", minSAMLKeyBits, maxSAMLKeyBits))
	}
	defer der.Wipe()
	id, err := s.newID("SAMLPK")
	if err != nil {
		return nil, err
	}
	sealed, err := s.Secrets.Seal(s.Rand, der, samlKeyBinding(call.Principal.Account, r.ID, id))
	if err != nil {
		return nil, err
	}
	return &samlPrivateKey{ID: id, Added: now(call), Key: sealed}, nil
}

// privateKeyDER returns an RSA key in PEM as PKCS #8.
func privateKeyDER(text secret.Bytes) (secret.Bytes, bool) {
	block, rest := pem.Decode(text)
	if block == nil || len(block.Headers) != 0 || len(bytes.TrimSpace(rest)) != 0 { // those of encrypted ones, for one
		return nil, false
	}
	defer clear(block.Bytes)
	var private any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		private, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		private, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		return nil, false
	}
	key, ok := private.(*rsa.PrivateKey)
	if err != nil || !ok || key.N.BitLen() < minSAMLKeyBits || key.N.BitLen() > maxSAMLKeyBits {
		return nil, false
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return der, err == nil
}

// samlKeys opens the private keys of a provider.
func (s *Service) samlKeys(account string, r *samlProviderRecord) ([]*rsa.PrivateKey, error) {
	var keys []*rsa.PrivateKey
	for _, k := range r.PrivateKeys {
		der, err := s.Secrets.Open(k.Key, samlKeyBinding(account, r.ID, k.ID))
		if err != nil {
			return nil, fmt.Errorf("iam: a private key of a SAML provider: %w", err)
		}
		parsed, err := x509.ParsePKCS8PrivateKey(der)
		der.Wipe()
		key, ok := parsed.(*rsa.PrivateKey)
		if err != nil || !ok {
			return nil, fmt.Errorf("iam: a private key of a SAML provider that we sealed: %w", err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// samlKeyChange is what a request asks for as to encryption.
type samlKeyChange struct {
	mode   api.AssertionEncryptionModeType // empty to leave it as it is
	add    *samlPrivateKey
	remove string
}

// encrypt makes the change, or refuses it (IAM User Guide, "Troubleshoot SAML federation
// with IAM", which has the texts).
func (r *samlProviderRecord) encrypt(c samlKeyChange) error {
	if c.add != nil {
		if len(r.PrivateKeys) >= maxSAMLKeys {
			return api.LimitExceededException(fmt.Sprintf("Private key limit of %d is reached.", maxSAMLKeys))
		}
		r.PrivateKeys = append(slices.Clip(r.PrivateKeys), *c.add)
	}
	if c.mode != "" {
		r.Encrypted = c.mode == api.AssertionEncryptionModeTypeRequired
	}
	if c.remove != "" {
		kept := slices.DeleteFunc(slices.Clone(r.PrivateKeys), func(k samlPrivateKey) bool { return k.ID == c.remove })
		if len(kept) == len(r.PrivateKeys) {
			return api.InvalidInputException("Failed to remove private key because the Key ID does not match a private key.")
		}
		if len(kept) == 0 && r.Encrypted {
			return api.InvalidInputException("Failed to remove private key. Assertions must be encrypted, and it is the only one.")
		}
		r.PrivateKeys = kept
	}
	if r.Encrypted && len(r.PrivateKeys) == 0 {
		return api.InvalidInputException("Unable to set assertion encryption mode to Required because no private key is provided.")
	}
	return nil
}

func (r *samlProviderRecord) mode() api.AssertionEncryptionModeType {
	if r.Encrypted {
		return api.AssertionEncryptionModeTypeRequired
	}
	return api.AssertionEncryptionModeTypeAllowed
}

// shownKeys are the private keys as answers show them.
func (r *samlProviderRecord) shownKeys() []api.SAMLPrivateKey {
	shown := []api.SAMLPrivateKey{}
	for _, k := range r.PrivateKeys {
		shown = append(shown, api.SAMLPrivateKey{KeyId: k.ID, Timestamp: new(k.Added)})
	}
	return shown
}
