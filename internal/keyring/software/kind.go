package software

import (
	"io"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/secret"
)

// kind is what the module knows of one key spec other than SymmetricDefault.
type kind struct {
	// generate makes material, in the one form that the spec's material has: the
	// scalar, seed or MAC key itself, for RSA its PKCS #8 form.
	generate func(rand io.Reader) (secret.Bytes, error)
	// private parses material.
	private func(material secret.Bytes) (privateKey, error)
	// public parses a SubjectPublicKeyInfo; nil for MAC keys, which have none.
	public func(spki []byte) (any, error)
	// What is slow waits for a place in a lane: making keys, private operations,
	// public ones.
	slowMake, slowPrivate, slowPublic bool
}

// privateKey is a parsed private or MAC key. What it can do is in the interfaces
// below, found by type assertion. All are safe for concurrent use.
type privateKey interface {
	// spki returns the public key as a DER SubjectPublicKeyInfo, nil for MAC keys.
	spki() ([]byte, error)
}

// What parsed keys can do. The errors are those of the interfaces of package
// keyring that they serve.
type (
	signer interface {
		sign(algorithm keyring.Algorithm, form keyring.Form, message []byte) ([]byte, error)
	}
	verifier interface {
		verify(algorithm keyring.Algorithm, form keyring.Form, message, signature []byte) error
	}
	macer interface {
		mac(algorithm keyring.Algorithm, message []byte) ([]byte, error)
	}
	encrypter interface {
		encrypt(algorithm keyring.Algorithm, plaintext []byte) ([]byte, error)
	}
	decrypter interface {
		decrypt(algorithm keyring.Algorithm, blob []byte) (secret.Bytes, error)
	}
	agreer interface {
		agree(algorithm keyring.Algorithm, peer []byte) (secret.Bytes, error)
	}
	encapsulator interface {
		encapsulate(algorithm keyring.Algorithm) (shared secret.Bytes, blob []byte, err error)
	}
	decapsulator interface {
		decapsulate(algorithm keyring.Algorithm, blob []byte) (secret.Bytes, error)
	}
	exporter interface {
		pkcs8() (secret.Bytes, error)
	}
)

// kindOf returns what is known of a spec, or nil.
func kindOf(spec keyring.Spec) *kind {
	switch spec {
	case keyring.RSA2048:
		return &kindRSA2048
	case keyring.RSA3072:
		return &kindRSA3072
	case keyring.RSA4096:
		return &kindRSA4096
	case keyring.P256:
		return &kindP256
	case keyring.P384:
		return &kindP384
	case keyring.P521:
		return &kindP521
	case keyring.Secp256k1:
		return &kindSecp256k1
	case keyring.Ed25519:
		return &kindEd25519
	case keyring.SM2:
		return &kindSM2
	case keyring.HMAC224:
		return &kindHMAC224
	case keyring.HMAC256:
		return &kindHMAC256
	case keyring.HMAC384:
		return &kindHMAC384
	case keyring.HMAC512:
		return &kindHMAC512
	case keyring.MLDSA44:
		return &kindMLDSA44
	case keyring.MLDSA65:
		return &kindMLDSA65
	case keyring.MLDSA87:
		return &kindMLDSA87
	case keyring.MLKEM512:
		return &kindMLKEM512
	case keyring.MLKEM768:
		return &kindMLKEM768
	case keyring.MLKEM1024:
		return &kindMLKEM1024
	}
	return nil
}

// randomMaterial returns a generator of n random bytes.
func randomMaterial(n int) func(io.Reader) (secret.Bytes, error) {
	return func(rand io.Reader) (secret.Bytes, error) {
		b := make(secret.Bytes, n)
		_, err := io.ReadFull(rand, b)
		return b, err
	}
}
