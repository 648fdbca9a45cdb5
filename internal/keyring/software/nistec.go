package software

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"io"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/secret"
)

var (
	kindP256 = nistKind(elliptic.P256(), oidP256, keyring.ECDSASHA256)
	kindP384 = nistKind(elliptic.P384(), oidP384, keyring.ECDSASHA384)
	kindP521 = nistKind(elliptic.P521(), oidP521, keyring.ECDSASHA512)
)

func nistKind(curve elliptic.Curve, oid asn1.ObjectIdentifier, algorithm keyring.Algorithm) kind {
	return kind{
		generate: func(io.Reader) (secret.Bytes, error) {
			key, err := ecdsa.GenerateKey(curve, rand.Reader)
			if err != nil {
				return nil, err
			}
			return key.Bytes()
		},
		private: func(material secret.Bytes) (privateKey, error) {
			key, err := ecdsa.ParseRawPrivateKey(curve, material)
			if err != nil {
				return nil, err
			}
			return &nistPrivate{key, oid, algorithm}, nil
		},
		public: func(spki []byte) (any, error) {
			key, err := parseNISTPublic(curve, spki)
			if err != nil {
				return nil, err
			}
			return &nistPublic{key, algorithm}, nil
		},
		slowPrivate: curve == elliptic.P521(),
		slowPublic:  curve == elliptic.P521(),
	}
}

func parseNISTPublic(curve elliptic.Curve, spki []byte) (*ecdsa.PublicKey, error) {
	parsed, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PublicKey)
	if !ok || key.Curve != curve {
		return nil, fmt.Errorf("software: not a public key on %s", curve.Params().Name)
	}
	return key, nil
}

// nistPrivate signs and agrees; which of the two a key may do is not known here.
type nistPrivate struct {
	key       *ecdsa.PrivateKey
	oid       asn1.ObjectIdentifier
	algorithm keyring.Algorithm // the one that the curve signs with
}

func (k *nistPrivate) spki() ([]byte, error) { return x509.MarshalPKIXPublicKey(&k.key.PublicKey) }

func (k *nistPrivate) pkcs8() (secret.Bytes, error) {
	scalar, err := k.key.Bytes()
	if err != nil {
		return nil, err
	}
	defer clear(scalar)
	point, err := k.key.PublicKey.Bytes()
	if err != nil {
		return nil, err
	}
	return marshalECPrivateKey(k.oid, scalar, point)
}

func (k *nistPrivate) sign(algorithm keyring.Algorithm, form keyring.Form, message []byte) ([]byte, error) {
	if algorithm != k.algorithm {
		return nil, unsupported("algorithm", string(algorithm))
	}
	digest, err := digestOf(hashOf(algorithm), form, message)
	if err != nil {
		return nil, err
	}
	return ecdsa.SignASN1(rand.Reader, k.key, digest)
}

func (k *nistPrivate) agree(algorithm keyring.Algorithm, peer []byte) (secret.Bytes, error) {
	if algorithm != keyring.ECDH {
		return nil, unsupported("algorithm", string(algorithm))
	}
	parsed, err := parseNISTPublic(k.key.Curve, peer)
	if err != nil {
		return nil, keyring.ErrPeerKey
	}
	other, err := parsed.ECDH()
	if err != nil {
		return nil, keyring.ErrPeerKey
	}
	own, err := k.key.ECDH()
	if err != nil {
		return nil, err
	}
	shared, err := own.ECDH(other)
	if err != nil {
		return nil, keyring.ErrPeerKey
	}
	return shared, nil
}

type nistPublic struct {
	key       *ecdsa.PublicKey
	algorithm keyring.Algorithm
}

func (k *nistPublic) verify(algorithm keyring.Algorithm, form keyring.Form, message, signature []byte) error {
	if algorithm != k.algorithm {
		return unsupported("algorithm", string(algorithm))
	}
	digest, err := digestOf(hashOf(algorithm), form, message)
	if err != nil {
		return err
	}
	if !ecdsa.VerifyASN1(k.key, digest, signature) {
		return keyring.ErrInvalidSignature
	}
	return nil
}
