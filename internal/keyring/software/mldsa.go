package software

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"

	"filippo.io/mldsa"
	"filippo.io/mldsa/mldsacrypto"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/secret"
)

var (
	kindMLDSA44 = mldsaKind(mldsa.MLDSA44(), oidMLDSA44)
	kindMLDSA65 = mldsaKind(mldsa.MLDSA65(), oidMLDSA65)
	kindMLDSA87 = mldsaKind(mldsa.MLDSA87(), oidMLDSA87)
)

// mldsaKind has the 32-byte seed of FIPS 204 §5.1 as its material.
func mldsaKind(parameters mldsa.Parameters, oid asn1.ObjectIdentifier) kind {
	return kind{
		generate: randomMaterial(mldsa.PrivateKeySize),
		private: func(material secret.Bytes) (privateKey, error) {
			key, err := mldsa.NewPrivateKey(parameters, material)
			if err != nil {
				return nil, err
			}
			return &mldsaPrivate{key, oid}, nil
		},
		public: func(spki []byte) (any, error) {
			encoded, err := parseSPKI(spki, oid, nil)
			if err != nil {
				return nil, err
			}
			key, err := mldsa.NewPublicKey(parameters, encoded)
			if err != nil {
				return nil, err
			}
			return &mldsaPublic{key}, nil
		},
	}
}

// muSize is the length of a message representative µ, in bytes.
const muSize = 64

type mldsaPrivate struct {
	key *mldsa.PrivateKey
	oid asn1.ObjectIdentifier
}

func (k *mldsaPrivate) spki() ([]byte, error) {
	return marshalSPKI(pkix.AlgorithmIdentifier{Algorithm: k.oid}, k.key.PublicKey().Bytes())
}

func (k *mldsaPrivate) sign(algorithm keyring.Algorithm, form keyring.Form, message []byte) ([]byte, error) {
	if err := mldsaTakes(algorithm, form, message); err != nil {
		return nil, err
	}
	if form == keyring.ExternalMu {
		return k.key.Sign(nil, message, mldsacrypto.MLDSAMu)
	}
	return k.key.Sign(nil, message, &mldsa.Options{})
}

type mldsaPublic struct{ key *mldsa.PublicKey }

func (k *mldsaPublic) verify(algorithm keyring.Algorithm, form keyring.Form, message, signature []byte) error {
	if err := mldsaTakes(algorithm, form, message); err != nil {
		return err
	}
	var err error
	if form == keyring.ExternalMu {
		err = verifyMu(k.key, message, signature)
	} else {
		err = mldsa.Verify(k.key, message, signature, &mldsa.Options{})
	}
	if err != nil {
		return keyring.ErrInvalidSignature
	}
	return nil
}

var errMu = errors.New("software: not a signature of that µ")

func mldsaTakes(algorithm keyring.Algorithm, form keyring.Form, message []byte) error {
	if algorithm != keyring.MLDSAShake256 {
		return unsupported("algorithm", string(algorithm))
	}
	switch {
	case form == keyring.Raw:
		return nil
	case form != keyring.ExternalMu:
		return unsupported("form", string(form))
	case len(message) != muSize:
		return keyring.ErrMessageSize
	}
	return nil
}
