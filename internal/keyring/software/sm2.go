package software

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/asn1"
	"io"

	"github.com/emmansun/gmsm/sm2"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/secret"
)

// kindSM2 is GB/T 32918: signatures over SM3 with the default distinguishing id
// 1234567812345678, and ciphertexts in the ASN.1 form of GB/T 35276.
var kindSM2 = kind{
	generate: func(io.Reader) (secret.Bytes, error) {
		key, err := sm2.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		return scalarOf(key)
	},
	private: func(material secret.Bytes) (privateKey, error) {
		key, err := sm2.NewPrivateKey(material)
		if err != nil {
			return nil, err
		}
		return &sm2Private{key}, nil
	},
	public: func(spki []byte) (any, error) {
		key, err := parseSM2Public(spki)
		if err != nil {
			return nil, err
		}
		return &sm2Public{key}, nil
	},
}

var oidSM2 = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 301} // GM/T 0006

func parseSM2Public(spki []byte) (*ecdsa.PublicKey, error) {
	point, err := parseSPKI(spki, oidECPublicKey, oidSM2)
	if err != nil {
		return nil, err
	}
	return sm2.NewPublicKey(point)
}

// scalarOf returns the 32 bytes of a private key.
func scalarOf(key *sm2.PrivateKey) (secret.Bytes, error) {
	own, err := key.ECDH()
	if err != nil {
		return nil, err
	}
	return own.Bytes(), nil
}

type sm2Private struct{ key *sm2.PrivateKey }

// point is the public key, uncompressed.
func (k *sm2Private) point() ([]byte, error) {
	public, err := sm2.PublicKeyToECDH(&k.key.PublicKey)
	if err != nil {
		return nil, err
	}
	return public.Bytes(), nil
}

func (k *sm2Private) spki() ([]byte, error) {
	point, err := k.point()
	if err != nil {
		return nil, err
	}
	algorithm, err := algorithmOn(oidSM2)
	if err != nil {
		return nil, err
	}
	return marshalSPKI(algorithm, point)
}

func (k *sm2Private) pkcs8() (secret.Bytes, error) {
	point, err := k.point()
	if err != nil {
		return nil, err
	}
	scalar, err := scalarOf(k.key)
	if err != nil {
		return nil, err
	}
	defer scalar.Wipe()
	return marshalECPrivateKey(oidSM2, scalar, point)
}

func (k *sm2Private) sign(algorithm keyring.Algorithm, form keyring.Form, message []byte) ([]byte, error) {
	digest, err := sm2Digest(&k.key.PublicKey, algorithm, form, message)
	if err != nil {
		return nil, err
	}
	return sm2.SignASN1(rand.Reader, k.key, digest, nil)
}

func (k *sm2Private) decrypt(algorithm keyring.Algorithm, blob []byte) (secret.Bytes, error) {
	if algorithm != keyring.SM2PKE {
		return nil, unsupported("algorithm", string(algorithm))
	}
	// The library takes other forms too, which KMS does not make.
	var parts sm2Ciphertext
	if rest, err := asn1.Unmarshal(blob, &parts); err != nil || len(rest) != 0 {
		return nil, keyring.ErrInvalidCiphertext
	}
	plaintext, err := k.key.Decrypt(nil, blob, nil)
	if err != nil {
		return nil, keyring.ErrInvalidCiphertext
	}
	return plaintext, nil
}

func (k *sm2Private) agree(algorithm keyring.Algorithm, peer []byte) (secret.Bytes, error) {
	if algorithm != keyring.ECDH {
		return nil, unsupported("algorithm", string(algorithm))
	}
	parsed, err := parseSM2Public(peer)
	if err != nil {
		return nil, keyring.ErrPeerKey
	}
	other, err := sm2.PublicKeyToECDH(parsed)
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

type sm2Public struct{ key *ecdsa.PublicKey }

func (k *sm2Public) verify(algorithm keyring.Algorithm, form keyring.Form, message, signature []byte) error {
	digest, err := sm2Digest(k.key, algorithm, form, message)
	if err != nil {
		return err
	}
	if !sm2.VerifyASN1(k.key, digest, signature) {
		return keyring.ErrInvalidSignature
	}
	return nil
}

func (k *sm2Public) encrypt(algorithm keyring.Algorithm, plaintext []byte) ([]byte, error) {
	switch {
	case algorithm != keyring.SM2PKE:
		return nil, unsupported("algorithm", string(algorithm))
	case len(plaintext) < 1 || len(plaintext) > maxSM2Plaintext:
		return nil, keyring.ErrMessageSize
	}
	// Short plaintexts meet two faults of the library. Where the derived key stream is
	// zero (once in 256 times for one byte) it makes another attempt, as it must, but
	// with a point that the first one has changed: nobody can open the result. And it
	// refuses to decrypt a text that is all zero. Neither is let out of here.
	for {
		random := &counted{Reader: rand.Reader}
		blob, err := sm2.EncryptASN1(random, k.key, plaintext)
		if err != nil {
			return nil, err
		}
		var parts sm2Ciphertext
		if _, err := asn1.Unmarshal(blob, &parts); err != nil {
			return nil, err
		}
		const oneAttempt = 32 + 1 // a scalar, and a byte that the library may read for nothing
		if random.n <= oneAttempt && !bytes.Equal(parts.Text, make([]byte, len(parts.Text))) {
			return blob, nil
		}
	}
}

// counted counts what is read.
type counted struct {
	io.Reader
	n int
}

// Read implements io.Reader.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += n
	return n, err
}

// sm2Ciphertext is a ciphertext in ASN.1 (GB/T 35276): the point, the hash, and the text
// under the key stream.
type sm2Ciphertext struct {
	X, Y       asn1.RawValue
	Hash, Text []byte
}

// maxSM2Plaintext is KMS's limit, in bytes (KMS API, Encrypt).
const maxSM2Plaintext = 1024

// sm2Digest is SM3 of the signer's Z and the message, or that digest itself.
func sm2Digest(key *ecdsa.PublicKey, algorithm keyring.Algorithm, form keyring.Form, message []byte) ([]byte, error) {
	switch {
	case algorithm != keyring.SM2DSA:
		return nil, unsupported("algorithm", string(algorithm))
	case form == keyring.Raw:
		return sm2.CalculateSM2Hash(key, message, nil)
	case form != keyring.Digest:
		return nil, unsupported("form", string(form))
	case len(message) != 32:
		return nil, keyring.ErrMessageSize
	}
	return message, nil
}
