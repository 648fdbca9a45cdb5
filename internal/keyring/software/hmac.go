package software

import (
	"bytes"
	"crypto/hmac"
	"errors"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/secret"
)

var (
	kindHMAC224 = hmacKind(keyring.HMACSHA224)
	kindHMAC256 = hmacKind(keyring.HMACSHA256)
	kindHMAC384 = hmacKind(keyring.HMACSHA384)
	kindHMAC512 = hmacKind(keyring.HMACSHA512)
)

// hmacKind has material as long as the hash; longer keys, to maxMACKey bytes, are
// taken as well.
func hmacKind(algorithm keyring.Algorithm) kind {
	size := hashOf(algorithm).Size()
	return kind{
		generate: randomMaterial(size),
		private: func(material secret.Bytes) (privateKey, error) {
			if len(material) < size || len(material) > maxMACKey {
				return nil, errors.New("software: a MAC key of a wrong length")
			}
			return &macKey{bytes.Clone(material), algorithm}, nil
		},
	}
}

const maxMACKey = 128

type macKey struct {
	key       secret.Bytes
	algorithm keyring.Algorithm
}

func (k *macKey) spki() ([]byte, error) { return nil, nil }

func (k *macKey) mac(algorithm keyring.Algorithm, message []byte) ([]byte, error) {
	if algorithm != k.algorithm {
		return nil, unsupported("algorithm", string(algorithm))
	}
	h := hmac.New(hashOf(algorithm).New, k.key)
	h.Write(message)
	return h.Sum(nil), nil
}
