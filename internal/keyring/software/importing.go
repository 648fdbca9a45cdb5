package software

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/secret"
)

var _ keyring.Importer = (*Ring)(nil)

const (
	// An import token seals
	// version (1) ‖ algorithm (1) ‖ expiry, milliseconds since 1970 (8) ‖ wrapping key
	// and is bound to the ARN of the key that it is for.
	tokenVersion = 1
	tokenHeader  = 1 + 1 + 8
	tokenBinding = "strongroom/keyring/import-token/v1\x00"
)

// wrappings are the wrapping algorithms by their byte in a token.
var wrappings = map[byte]struct {
	algorithm keyring.Algorithm
	hash      crypto.Hash
	aes       bool // an AES key wraps the material, RSA wraps the AES key
}{
	1: {keyring.OAEPSHA1, crypto.SHA1, false},
	2: {keyring.OAEPSHA256, crypto.SHA256, false},
	3: {keyring.AESKeyWrapSHA1, crypto.SHA1, true},
	4: {keyring.AESKeyWrapSHA256, crypto.SHA256, true},
}

// ImportParameters implements [keyring.Importer].
func (r *Ring) ImportParameters(ctx context.Context, terms keyring.ImportTerms) (public, token []byte, err error) {
	var code byte
	for c, w := range wrappings {
		if w.algorithm == terms.Algorithm {
			code = c
		}
	}
	switch terms.WrappingSpec {
	case keyring.RSA2048, keyring.RSA3072, keyring.RSA4096:
	default:
		return nil, nil, unsupported("wrapping key spec", string(terms.WrappingSpec))
	}
	if code == 0 {
		return nil, nil, unsupported("wrapping algorithm", string(terms.Algorithm))
	}
	box, err := r.domain.Box(seal.LabelImportTokens)
	if err != nil {
		return nil, nil, err
	}
	err = r.fresh(ctx, kindOf(terms.WrappingSpec), func(material secret.Bytes, key privateKey) error {
		if public, err = key.spki(); err != nil {
			return err
		}
		content := make(secret.Bytes, 0, tokenHeader+len(material))
		defer func() { content.Wipe() }()
		content = append(content, tokenVersion, code)
		content = binary.BigEndian.AppendUint64(content, uint64(terms.Expires.UnixMilli()))
		content = append(content, material...)
		token, err = box.Seal(r.rand, content, []byte(tokenBinding+terms.Key))
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return public, token, nil
}

// Import implements [keyring.Importer].
func (r *Ring) Import(ctx context.Context, in keyring.Wrapped) (m keyring.Material, err error) {
	box, err := r.domain.Box(seal.LabelImportTokens)
	if err != nil {
		return m, err
	}
	content, err := box.Open(in.Token, []byte(tokenBinding+in.Key))
	if err != nil || len(content) <= tokenHeader || content[0] != tokenVersion {
		return m, keyring.ErrImportToken
	}
	defer content.Wipe()
	if expires := time.UnixMilli(int64(binary.BigEndian.Uint64(content[2:]))); !in.Now.Before(expires) {
		return m, keyring.ErrImportExpired
	}
	// Unwrapping and checking a key takes as long as a hostile key makes it, so all
	// of it waits for a place.
	err = r.using.do(ctx, func() (err error) {
		secret.Do(func() { m, err = r.take(&in, content) })
		return err
	})
	return m, err
}

// take unwraps, checks and wraps.
func (r *Ring) take(in *keyring.Wrapped, content secret.Bytes) (keyring.Material, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(content[tokenHeader:])
	if err != nil {
		return keyring.Material{}, fmt.Errorf("%w: the wrapping key in an import token", keyring.ErrCorrupt)
	}
	wrapping, ok := parsed.(*rsa.PrivateKey)
	how, known := wrappings[content[1]]
	if !ok || !known {
		return keyring.Material{}, fmt.Errorf("%w: the terms in an import token", keyring.ErrCorrupt)
	}
	plaintext, err := unwrapRSA(wrapping, how.hash, how.aes, in.Material)
	if err != nil {
		return keyring.Material{}, keyring.ErrInvalidCiphertext
	}
	defer plaintext.Wipe()
	material, public, err := materialOf(in.Spec, plaintext)
	if err != nil {
		return keyring.Material{}, err
	}
	defer material.Wipe()
	return r.wrap(in.KeyID, in.Spec, material, public)
}

// unwrapRSA opens RSA-OAEP or, with an AES key between, RSA-OAEP and RFC 5649.
func unwrapRSA(key *rsa.PrivateKey, h crypto.Hash, aes bool, wrapped []byte) (secret.Bytes, error) {
	var inner []byte
	if aes {
		if len(wrapped) <= key.Size() {
			return nil, errUnwrap
		}
		wrapped, inner = wrapped[:key.Size()], wrapped[key.Size():]
	}
	if len(wrapped) != key.Size() { // RFC 8017 §7.1.2 step 1b; the library takes shorter ones
		return nil, errUnwrap
	}
	plaintext, err := rsa.DecryptOAEP(h.New(), nil, key, wrapped, nil)
	if err != nil || !aes {
		return plaintext, err
	}
	defer clear(plaintext)
	if len(plaintext) != 32 {
		return nil, errUnwrap
	}
	return unwrapKWP(plaintext, inner)
}

// materialOf brings what was imported into the form that the spec's material has,
// and returns the public key of a pair with it. Its error is ErrInvalidCiphertext
// unless the spec takes no import.
func materialOf(spec keyring.Spec, plaintext secret.Bytes) (material secret.Bytes, public []byte, err error) {
	var own []byte // the public key that came with the private one
	switch spec {
	case keyring.SymmetricDefault:
		if len(plaintext) != materialSize {
			return nil, nil, keyring.ErrInvalidCiphertext
		}
		return append(secret.Bytes(nil), plaintext...), nil, nil
	case keyring.HMAC224, keyring.HMAC256, keyring.HMAC384, keyring.HMAC512:
		material = append(material, plaintext...)
	case keyring.RSA2048, keyring.RSA3072, keyring.RSA4096, keyring.P256, keyring.P384, keyring.P521, keyring.Ed25519, keyring.Secp256k1:
		var der secret.Bytes
		if der, err = derKey(plaintext); err != nil {
			break
		}
		defer der.Wipe()
		if spec == keyring.Secp256k1 {
			material, err = secpFromPKCS8(der)
		} else {
			material, own, err = fromPKCS8(der)
		}
	default:
		return nil, nil, unsupported("import of key spec", string(spec))
	}
	var key privateKey
	if err == nil {
		key, err = kindOf(spec).private(material)
	}
	if err == nil {
		public, err = key.spki()
	}
	// The bytes of one spec's key can be a key of another spec.
	if err != nil || own != nil && !bytes.Equal(public, own) {
		material.Wipe()
		return nil, nil, keyring.ErrInvalidCiphertext
	}
	return material, public, nil
}

// fromPKCS8 returns the material and the public key of a key that the standard
// library knows. RSA keys are encoded anew, so that one key has one id however it
// came.
func fromPKCS8(der secret.Bytes) (material secret.Bytes, public []byte, err error) {
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, nil, err
	}
	pair, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, nil, keyring.ErrInvalidCiphertext
	}
	if public, err = x509.MarshalPKIXPublicKey(pair.Public()); err != nil {
		return nil, nil, err
	}
	switch key := parsed.(type) {
	case *rsa.PrivateKey:
		material, err = x509.MarshalPKCS8PrivateKey(key)
	case *ecdsa.PrivateKey:
		material, err = key.Bytes()
	case ed25519.PrivateKey:
		material = append(material, key.Seed()...)
	default:
		err = keyring.ErrInvalidCiphertext
	}
	return material, public, err
}

// secpFromPKCS8 returns the scalar of a secp256k1 key, which the standard library
// does not know. A public key in the structure is not looked at.
func secpFromPKCS8(der secret.Bytes) (secret.Bytes, error) {
	var outer privateKeyInfo
	if rest, err := asn1.Unmarshal(der, &outer); err != nil || len(rest) != 0 {
		return nil, keyring.ErrInvalidCiphertext
	}
	var curve asn1.ObjectIdentifier
	rest, err := asn1.Unmarshal(outer.Algorithm.Parameters.FullBytes, &curve)
	if err != nil || len(rest) != 0 || !outer.Algorithm.Algorithm.Equal(oidECPublicKey) || !curve.Equal(oidSecp256k1) {
		return nil, keyring.ErrInvalidCiphertext
	}
	var inner struct {
		Version    int
		PrivateKey []byte
		Curve      asn1.ObjectIdentifier `asn1:"optional,explicit,tag:0"`
		PublicKey  asn1.BitString        `asn1:"optional,explicit,tag:1"`
	}
	if rest, err := asn1.Unmarshal(outer.PrivateKey, &inner); err != nil || len(rest) != 0 || inner.Version != 1 ||
		inner.Curve != nil && !inner.Curve.Equal(oidSecp256k1) {
		return nil, keyring.ErrInvalidCiphertext
	}
	return inner.PrivateKey, nil
}
