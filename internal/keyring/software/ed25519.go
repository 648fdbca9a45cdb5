package software

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha512"
	"crypto/x509"
	"errors"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/secret"
)

var kindEd25519 = kind{
	generate: randomMaterial(ed25519.SeedSize),
	private: func(material secret.Bytes) (privateKey, error) {
		if len(material) != ed25519.SeedSize {
			return nil, errors.New("software: not a seed of Ed25519")
		}
		return edPrivate(ed25519.NewKeyFromSeed(material)), nil
	},
	public: func(spki []byte) (any, error) {
		parsed, err := x509.ParsePKIXPublicKey(spki)
		if err != nil {
			return nil, err
		}
		key, ok := parsed.(ed25519.PublicKey)
		if !ok {
			return nil, errors.New("software: not an Ed25519 public key")
		}
		return edPublic(key), nil
	},
}

type edPrivate ed25519.PrivateKey

func (k edPrivate) spki() ([]byte, error) {
	return x509.MarshalPKIXPublicKey(ed25519.PrivateKey(k).Public())
}

func (k edPrivate) pkcs8() (secret.Bytes, error) {
	return x509.MarshalPKCS8PrivateKey(ed25519.PrivateKey(k))
}

func (k edPrivate) sign(algorithm keyring.Algorithm, form keyring.Form, message []byte) ([]byte, error) {
	message, options, err := edMessage(algorithm, form, message)
	if err != nil {
		return nil, err
	}
	return ed25519.PrivateKey(k).Sign(nil, message, options)
}

type edPublic ed25519.PublicKey

func (k edPublic) verify(algorithm keyring.Algorithm, form keyring.Form, message, signature []byte) error {
	message, options, err := edMessage(algorithm, form, message)
	if err != nil {
		return err
	}
	if err := ed25519.VerifyWithOptions(ed25519.PublicKey(k), message, signature, options); err != nil {
		return keyring.ErrInvalidSignature
	}
	return nil
}

// edMessage returns what the standard library signs. Ed25519 takes the message;
// Ed25519ph takes a digest and hashes it once more, since KMS performs the
// prehash of FIPS 186-5 §7.8.1 on what it is given (KMS API, Sign, MessageType).
func edMessage(algorithm keyring.Algorithm, form keyring.Form, message []byte) ([]byte, *ed25519.Options, error) {
	switch {
	case algorithm == keyring.Ed25519SHA512 && form == keyring.Raw:
		return message, &ed25519.Options{}, nil
	case algorithm == keyring.Ed25519PHSHA512 && form == keyring.Digest:
		if len(message) != sha512.Size {
			return nil, nil, keyring.ErrMessageSize
		}
		prehash := sha512.Sum512(message)
		return prehash[:], &ed25519.Options{Hash: crypto.SHA512}, nil
	}
	return nil, nil, unsupported("algorithm and form", string(algorithm)+", "+string(form))
}
