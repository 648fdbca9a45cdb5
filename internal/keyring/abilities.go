package keyring

import (
	"context"
	"errors"

	"github.com/strongroom/strongroom/internal/secret"
)

// Errors of keys that are not SymmetricDefault.
var (
	// ErrInvalidSignature is the one answer to a signature that does not verify,
	// malformed ones included.
	ErrInvalidSignature = errors.New("keyring: the signature does not verify")
	// ErrInvalidMAC is the one answer to a MAC that does not verify, those of the
	// wrong length included.
	ErrInvalidMAC = errors.New("keyring: the MAC does not verify")
	// ErrPeerKey is returned by DeriveSharedSecret for a public key that is not a
	// well-formed one of the key's own curve.
	ErrPeerKey = errors.New("keyring: not a public key of the key's own curve")
	// ErrMessageSize is returned for a digest or a µ that does not have its
	// algorithm's length, and for a plaintext longer than RSA-OAEP can take.
	ErrMessageSize = errors.New("keyring: the message does not have a length that the algorithm takes")
	// ErrBusy is returned when ctx ended before one of the module's places for
	// expensive work was free. It may be retried.
	ErrBusy = errors.New("keyring: no place for expensive work was free in time")
)

// The interfaces below are a Ring's further abilities. A caller finds them by type
// assertion. All use the key's current material. Beyond the errors that each
// names, each returns ErrUnsupported for a key spec, an algorithm or a form that
// the module does not know or that do not go together, ErrCorrupt, and ErrBusy.

// Signer makes signatures.
type Signer interface {
	// Sign signs a message that is given in a form. Errors: ErrMessageSize.
	Sign(ctx context.Context, key KeyRef, algorithm Algorithm, form Form, message secret.Bytes) ([]byte, error)
}

// Verifier checks signatures. It needs Material.Public alone and unwraps nothing.
type Verifier interface {
	// Verify returns nil if signature is the key's of that message. Errors:
	// ErrInvalidSignature, ErrMessageSize.
	Verify(ctx context.Context, key KeyRef, algorithm Algorithm, form Form, message secret.Bytes, signature []byte) error
}

// MAC makes and checks message authentication codes. They are as long as the
// algorithm's hash, never cut.
type MAC interface {
	// GenerateMAC returns the message's code.
	GenerateMAC(ctx context.Context, key KeyRef, algorithm Algorithm, message secret.Bytes) ([]byte, error)
	// VerifyMAC compares in constant time. Errors: ErrInvalidMAC.
	VerifyMAC(ctx context.Context, key KeyRef, algorithm Algorithm, message secret.Bytes, mac []byte) error
}

// KeyAgreement derives secrets that two parties share.
type KeyAgreement interface {
	// DeriveSharedSecret returns the raw x-coordinate, as long as the curve's
	// field, of the agreement (SP 800-56A §5.7.1.2) with peer, a DER
	// SubjectPublicKeyInfo. The caller owns it. Errors: ErrPeerKey.
	DeriveSharedSecret(ctx context.Context, key KeyRef, algorithm Algorithm, peer []byte) (secret.Bytes, error)
}

// AsymmetricCipher encrypts under public keys.
type AsymmetricCipher interface {
	// EncryptAsymmetric needs Material.Public alone. Errors: ErrMessageSize.
	EncryptAsymmetric(ctx context.Context, key KeyRef, algorithm Algorithm, plaintext secret.Bytes) ([]byte, error)
	// DecryptAsymmetric opens what EncryptAsymmetric or anyone who has the public
	// key made. The caller owns the plaintext. Errors: ErrInvalidCiphertext for
	// everything that is wrong with blob.
	DecryptAsymmetric(ctx context.Context, key KeyRef, algorithm Algorithm, blob []byte) (secret.Bytes, error)
}

// Encapsulator makes secrets that only the holder of the private key learns.
type Encapsulator interface {
	// Encapsulate returns a fresh 32-byte secret and its encapsulation. It needs
	// Material.Public alone. The caller owns the secret.
	Encapsulate(ctx context.Context, key KeyRef, algorithm Algorithm) (shared secret.Bytes, blob []byte, err error)
	// Decapsulate returns the secret of an encapsulation. A blob of the right
	// length always gives one: of an altered blob it is pseudorandom (implicit
	// rejection, FIPS 203 §6.3). Errors: ErrInvalidCiphertext for a blob of another
	// length.
	Decapsulate(ctx context.Context, key KeyRef, algorithm Algorithm, blob []byte) (secret.Bytes, error)
}

// PairMaker makes key pairs for use outside the module.
type PairMaker interface {
	// GeneratePair returns a fresh pair: the private key as a PKCS #8
	// PrivateKeyInfo, which the caller owns, and the public key as a
	// SubjectPublicKeyInfo, both DER.
	GeneratePair(ctx context.Context, spec Spec) (private secret.Bytes, public []byte, err error)
}
