package software

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/secret"
)

var (
	kindRSA2048 = rsaKind(2048)
	kindRSA3072 = rsaKind(3072)
	kindRSA4096 = rsaKind(4096)
)

func rsaKind(bits int) kind {
	return kind{
		generate: func(io.Reader) (secret.Bytes, error) {
			key, err := rsa.GenerateKey(rand.Reader, bits)
			if err != nil {
				return nil, err
			}
			return x509.MarshalPKCS8PrivateKey(key)
		},
		private: func(material secret.Bytes) (privateKey, error) {
			parsed, err := x509.ParsePKCS8PrivateKey(material)
			if err != nil {
				return nil, err
			}
			key, ok := parsed.(*rsa.PrivateKey)
			if !ok || key.N.BitLen() != bits {
				return nil, fmt.Errorf("software: not an RSA key of %d bits", bits)
			}
			return &rsaPrivate{key, rsaOperationsOf(key)}, nil
		},
		public: func(spki []byte) (any, error) {
			parsed, err := x509.ParsePKIXPublicKey(spki)
			if err != nil {
				return nil, err
			}
			key, ok := parsed.(*rsa.PublicKey)
			if !ok || key.N.BitLen() != bits {
				return nil, fmt.Errorf("software: not an RSA public key of %d bits", bits)
			}
			return &rsaPublic{key}, nil
		},
		slowMake:    true,
		slowPrivate: bits > 3072,
	}
}

type rsaPrivate struct {
	key *rsa.PrivateKey
	rsaOperations
}

// rsaOperations are what a private key does. They are Go's own, or OpenSSL's in
// builds with the tag strongroom_openssl.
type rsaOperations interface {
	// Sign signs a digest of h: with PSS, and a salt of the digest's length, or
	// with PKCS #1 v1.5 (RFC 8017 §8).
	Sign(pss bool, h crypto.Hash, digest []byte) ([]byte, error)
	// DecryptOAEP opens a blob that was encrypted with h, as OAEP's and MGF1's
	// hash, and an empty label (RFC 8017 §7.1.2).
	DecryptOAEP(h crypto.Hash, blob []byte) (secret.Bytes, error)
}

// goRSA is Go's own library. Like OpenSSL it checks each result with the public
// key before it shows it.
type goRSA struct{ key *rsa.PrivateKey }

func (k goRSA) Sign(pss bool, h crypto.Hash, digest []byte) ([]byte, error) {
	if pss {
		return rsa.SignPSS(rand.Reader, k.key, h, digest, pssOptions)
	}
	return rsa.SignPKCS1v15(nil, k.key, h, digest)
}

func (k goRSA) DecryptOAEP(h crypto.Hash, blob []byte) (secret.Bytes, error) {
	return rsa.DecryptOAEP(h.New(), nil, k.key, blob, nil)
}

func (k *rsaPrivate) spki() ([]byte, error)        { return x509.MarshalPKIXPublicKey(&k.key.PublicKey) }
func (k *rsaPrivate) pkcs8() (secret.Bytes, error) { return x509.MarshalPKCS8PrivateKey(k.key) }

func (k *rsaPrivate) sign(algorithm keyring.Algorithm, form keyring.Form, message []byte) ([]byte, error) {
	pss, h, err := rsaSignature(algorithm)
	if err != nil {
		return nil, err
	}
	digest, err := digestOf(h, form, message)
	if err != nil {
		return nil, err
	}
	return k.Sign(pss, h, digest)
}

func (k *rsaPrivate) decrypt(algorithm keyring.Algorithm, blob []byte) (secret.Bytes, error) {
	h, err := oaepHash(algorithm)
	if err != nil {
		return nil, err
	}
	if len(blob) != k.key.Size() { // RFC 8017 §7.1.2 step 1b; the libraries take shorter ones
		return nil, keyring.ErrInvalidCiphertext
	}
	plaintext, err := k.DecryptOAEP(h, blob)
	if err != nil {
		return nil, keyring.ErrInvalidCiphertext
	}
	return plaintext, nil
}

type rsaPublic struct{ key *rsa.PublicKey }

func (k *rsaPublic) verify(algorithm keyring.Algorithm, form keyring.Form, message, signature []byte) error {
	pss, h, err := rsaSignature(algorithm)
	if err != nil {
		return err
	}
	digest, err := digestOf(h, form, message)
	if err != nil {
		return err
	}
	if pss {
		err = rsa.VerifyPSS(k.key, h, digest, signature, pssOptions)
	} else {
		err = rsa.VerifyPKCS1v15(k.key, h, digest, signature)
	}
	if err != nil {
		return keyring.ErrInvalidSignature
	}
	return nil
}

func (k *rsaPublic) encrypt(algorithm keyring.Algorithm, plaintext []byte) ([]byte, error) {
	h, err := oaepHash(algorithm)
	if err != nil {
		return nil, err
	}
	blob, err := rsa.EncryptOAEP(h.New(), rand.Reader, k.key, plaintext, nil)
	if errors.Is(err, rsa.ErrMessageTooLong) {
		return nil, keyring.ErrMessageSize
	}
	return blob, err
}

// pssOptions is what KMS signs and verifies with: the salt has the hash's length.
var pssOptions = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}

func rsaSignature(a keyring.Algorithm) (pss bool, h crypto.Hash, err error) {
	switch a {
	case keyring.PKCS1SHA256, keyring.PKCS1SHA384, keyring.PKCS1SHA512:
		return false, hashOf(a), nil
	case keyring.PSSSHA256, keyring.PSSSHA384, keyring.PSSSHA512:
		return true, hashOf(a), nil
	}
	return false, 0, unsupported("algorithm", string(a))
}

func oaepHash(a keyring.Algorithm) (crypto.Hash, error) {
	if a == keyring.OAEPSHA1 || a == keyring.OAEPSHA256 {
		return hashOf(a), nil
	}
	return 0, unsupported("algorithm", string(a))
}
