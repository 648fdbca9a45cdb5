package software

import (
	"crypto/mlkem"
	"crypto/rand"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"

	"github.com/cloudflare/circl/kem/mlkem/mlkem512"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/secret"
)

var (
	kindMLKEM512 = mlkemKind(oidMLKEM512,
		func(seed []byte) (decapsulationKey, error) { return newKEM512(seed) },
		func(key []byte) (encapsulationKey, error) { return parseKEM512(key) })
	kindMLKEM768 = mlkemKind(oidMLKEM768,
		func(seed []byte) (decapsulationKey, error) {
			key, err := mlkem.NewDecapsulationKey768(seed)
			return kem768{key}, err
		},
		func(key []byte) (encapsulationKey, error) { return mlkem.NewEncapsulationKey768(key) })
	kindMLKEM1024 = mlkemKind(oidMLKEM1024,
		func(seed []byte) (decapsulationKey, error) {
			key, err := mlkem.NewDecapsulationKey1024(seed)
			return kem1024{key}, err
		},
		func(key []byte) (encapsulationKey, error) { return mlkem.NewEncapsulationKey1024(key) })
)

// decapsulationKey is what the three parameter sets have in common. Decapsulate
// fails for a ciphertext of a wrong length and for nothing else.
type decapsulationKey interface {
	Bytes() []byte // the seed
	Decapsulate(ciphertext []byte) (sharedKey []byte, err error)
	encapsulationKey() []byte
}

type encapsulationKey interface {
	Encapsulate() (sharedKey, ciphertext []byte)
}

// mlkemKind has the 64-byte seed of FIPS 203 §7.1 as its material.
func mlkemKind(oid asn1.ObjectIdentifier, private func([]byte) (decapsulationKey, error), public func([]byte) (encapsulationKey, error)) kind {
	return kind{
		generate: randomMaterial(mlkem.SeedSize),
		private: func(material secret.Bytes) (privateKey, error) {
			key, err := private(material)
			if err != nil {
				return nil, err
			}
			return &mlkemPrivate{key, oid}, nil
		},
		public: func(spki []byte) (any, error) {
			encoded, err := parseSPKI(spki, oid, nil)
			if err != nil {
				return nil, err
			}
			key, err := public(encoded)
			if err != nil {
				return nil, err
			}
			return &mlkemPublic{key}, nil
		},
	}
}

type mlkemPrivate struct {
	key decapsulationKey
	oid asn1.ObjectIdentifier
}

func (k *mlkemPrivate) spki() ([]byte, error) {
	return marshalSPKI(pkix.AlgorithmIdentifier{Algorithm: k.oid}, k.key.encapsulationKey())
}

// pkcs8 has the key as its seed (RFC 9935 §6).
func (k *mlkemPrivate) pkcs8() (secret.Bytes, error) {
	seed := k.key.Bytes()
	defer clear(seed)
	inner, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, Bytes: seed})
	if err != nil {
		return nil, err
	}
	defer clear(inner)
	return asn1.Marshal(privateKeyInfo{0, pkix.AlgorithmIdentifier{Algorithm: k.oid}, inner})
}

func (k *mlkemPrivate) decapsulate(algorithm keyring.Algorithm, blob []byte) (secret.Bytes, error) {
	if algorithm != keyring.MLKEM {
		return nil, unsupported("algorithm", string(algorithm))
	}
	shared, err := k.key.Decapsulate(blob)
	if err != nil {
		return nil, keyring.ErrInvalidCiphertext
	}
	return shared, nil
}

type mlkemPublic struct{ key encapsulationKey }

func (k *mlkemPublic) encapsulate(algorithm keyring.Algorithm) (secret.Bytes, []byte, error) {
	if algorithm != keyring.MLKEM {
		return nil, nil, unsupported("algorithm", string(algorithm))
	}
	shared, blob := k.key.Encapsulate()
	return shared, blob, nil
}

type kem768 struct{ *mlkem.DecapsulationKey768 }

func (k kem768) encapsulationKey() []byte { return k.EncapsulationKey().Bytes() }

type kem1024 struct{ *mlkem.DecapsulationKey1024 }

func (k kem1024) encapsulationKey() []byte { return k.EncapsulationKey().Bytes() }

// kem512 is ML-KEM-512, which the standard library leaves out.
type kem512 struct {
	key    *mlkem512.PrivateKey
	seed   secret.Bytes
	public []byte
}

func newKEM512(seed []byte) (*kem512, error) {
	if len(seed) != mlkem512.KeySeedSize {
		return nil, errors.New("software: not a seed of ML-KEM")
	}
	public, private := mlkem512.NewKeyFromSeed(seed)
	encoded, err := public.MarshalBinary()
	return &kem512{private, append(secret.Bytes(nil), seed...), encoded}, err
}

func (k *kem512) Bytes() []byte            { return append([]byte(nil), k.seed...) }
func (k *kem512) encapsulationKey() []byte { return k.public }

func (k *kem512) Decapsulate(ciphertext []byte) ([]byte, error) {
	if len(ciphertext) != mlkem512.CiphertextSize {
		return nil, keyring.ErrInvalidCiphertext
	}
	shared := make([]byte, mlkem512.SharedKeySize)
	k.key.DecapsulateTo(shared, ciphertext)
	return shared, nil
}

type kem512Public struct{ key mlkem512.PublicKey }

func parseKEM512(encoded []byte) (*kem512Public, error) {
	if len(encoded) != mlkem512.PublicKeySize {
		return nil, errors.New("software: an ML-KEM-512 public key of a wrong length")
	}
	var k kem512Public
	return &k, k.key.Unpack(encoded)
}

func (k *kem512Public) Encapsulate() (shared, ciphertext []byte) {
	shared = make([]byte, mlkem512.SharedKeySize)
	ciphertext = make([]byte, mlkem512.CiphertextSize)
	seed := make([]byte, mlkem512.EncapsulationSeedSize)
	defer clear(seed)
	_, _ = rand.Read(seed) // never fails
	k.key.EncapsulateTo(ciphertext, shared, seed)
	return shared, ciphertext
}
