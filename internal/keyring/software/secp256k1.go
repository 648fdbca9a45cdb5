package software

import (
	"errors"
	"io"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/secret"
)

// kindSecp256k1 is ECC_SECG_P256K1. Its signatures are deterministic (RFC 6979)
// and have the lower of the two values that s can have; both are accepted.
var kindSecp256k1 = kind{
	generate: func(rand io.Reader) (secret.Bytes, error) {
		key, err := secp256k1.GeneratePrivateKeyFromRand(rand)
		if err != nil {
			return nil, err
		}
		defer key.Zero()
		return key.Serialize(), nil
	},
	private: func(material secret.Bytes) (privateKey, error) {
		var scalar secp256k1.ModNScalar
		if len(material) != 32 || scalar.SetByteSlice(material) || scalar.IsZero() {
			return nil, errors.New("software: not a scalar of secp256k1")
		}
		return &secpPrivate{secp256k1.NewPrivateKey(&scalar)}, nil
	},
	public: func(spki []byte) (any, error) {
		point, err := parseSPKI(spki, oidECPublicKey, oidSecp256k1)
		if err != nil {
			return nil, err
		}
		key, err := secp256k1.ParsePubKey(point)
		if err != nil {
			return nil, err
		}
		return &secpPublic{key}, nil
	},
}

type secpPrivate struct{ key *secp256k1.PrivateKey }

func (k *secpPrivate) spki() ([]byte, error) {
	algorithm, err := algorithmOn(oidSecp256k1)
	if err != nil {
		return nil, err
	}
	return marshalSPKI(algorithm, k.key.PubKey().SerializeUncompressed())
}

func (k *secpPrivate) pkcs8() (secret.Bytes, error) {
	scalar := k.key.Serialize()
	defer clear(scalar)
	return marshalECPrivateKey(oidSecp256k1, scalar, k.key.PubKey().SerializeUncompressed())
}

func (k *secpPrivate) sign(algorithm keyring.Algorithm, form keyring.Form, message []byte) ([]byte, error) {
	digest, err := secpDigest(algorithm, form, message)
	if err != nil {
		return nil, err
	}
	return ecdsa.Sign(k.key, digest).Serialize(), nil
}

type secpPublic struct{ key *secp256k1.PublicKey }

func (k *secpPublic) verify(algorithm keyring.Algorithm, form keyring.Form, message, signature []byte) error {
	digest, err := secpDigest(algorithm, form, message)
	if err != nil {
		return err
	}
	parsed, err := ecdsa.ParseDERSignature(signature)
	if err != nil || !parsed.Verify(digest, k.key) {
		return keyring.ErrInvalidSignature
	}
	return nil
}

func secpDigest(algorithm keyring.Algorithm, form keyring.Form, message []byte) ([]byte, error) {
	if algorithm != keyring.ECDSASHA256 {
		return nil, unsupported("algorithm", string(algorithm))
	}
	return digestOf(hashOf(algorithm), form, message)
}
