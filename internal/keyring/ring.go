package keyring

import (
	"context"
	"errors"

	"github.com/strongroom/strongroom/internal/secret"
)

// Errors that every key module returns, wrapped or bare.
var (
	// ErrInvalidCiphertext is the one answer to a ciphertext that does not open:
	// wrong context, altered, truncated or extended blob, another key, a material
	// that the key does not have. Nothing tells which.
	ErrInvalidCiphertext = errors.New("keyring: the ciphertext does not open")
	// ErrCorrupt is returned when stored material does not open under the key id,
	// material id, spec and domain-key version that it is presented with. It says
	// that a record was altered or moved, never that a caller sent something wrong.
	ErrCorrupt = errors.New("keyring: stored key material is corrupt")
	// ErrUnsupported is returned for what the module cannot do: a key spec that it
	// does not know, random bytes from a device that gives none.
	ErrUnsupported = errors.New("keyring: the key module does not support this")
	// ErrPlaintextSize is returned by Encrypt for less than 1 or more than
	// [MaxPlaintext] bytes.
	ErrPlaintextSize = errors.New("keyring: the plaintext must have 1 to 4096 bytes")
	// ErrContextTooLarge is returned for an encryption context whose canonical
	// form has more than [MaxContext] bytes, by Encrypt and by Decrypt.
	ErrContextTooLarge = errors.New("keyring: the encryption context is larger than 8192 bytes")
	// ErrKeyID is returned for a key id that is neither a lower-case UUID with
	// dashes nor "mrk-" and 32 lower-case hex digits.
	ErrKeyID = errors.New("keyring: malformed key id")
)

const (
	// MaxPlaintext is the most that Encrypt takes, in bytes (KMS API, Encrypt).
	MaxPlaintext = 4096
	// MaxRandom is the most that Random gives, in bytes (KMS API, GenerateRandom).
	MaxRandom = 1024
)

// Spec says what kind of key a material is, by its KMS KeySpec.
type Spec string

// SymmetricDefault is a 256-bit AES key.
const SymmetricDefault Spec = "SYMMETRIC_DEFAULT"

// Material is one generation of a key's bytes as it is stored in a key record:
// opaque to everyone but the module that made it, and safe to marshal, since the
// bytes are wrapped. The JSON form is stable.
type Material struct {
	// ID is 64 lower-case hex digits, derived one-way from key id and bytes.
	ID   string `json:"id"`
	Spec Spec   `json:"spec"`
	// DomainVersion is the domain key under which Wrapped is sealed.
	DomainVersion uint32 `json:"domainVersion"`
	Wrapped       []byte `json:"wrapped"`
	// Public is the public key of a key pair, a DER SubjectPublicKeyInfo in the
	// clear, so that showing it, verifying and encrypting need no unwrapping; nil
	// for symmetric and HMAC keys. Unwrapping fails if it was altered.
	Public []byte `json:"public,omitempty"`
}

// KeyRef is a key as an operation uses it.
type KeyRef struct {
	// KeyID is the bare key id, which multi-Region replicas share.
	KeyID string
	// Current is the material that Encrypt uses.
	Current Material
	// Older are further materials that Decrypt may need, in any order.
	Older []Material
}

// Ring is what every key module offers. Further abilities (signing, MACs, key
// agreement, encapsulation, import) are small interfaces of their own, which a
// caller finds by type assertion.
//
// All methods are safe for concurrent use and keep no reference to their
// arguments. They change nothing durable, so each may be retried. A module that
// has to ask another device honours ctx; one that works in memory does not block.
type Ring interface {
	// Generate makes new material for the key. The caller stores it; until then
	// nothing is lost by forgetting it. Errors: ErrUnsupported, ErrKeyID, ErrBusy,
	// and whatever the source of randomness returns.
	Generate(ctx context.Context, keyID string, spec Spec) (Material, error)

	// Random returns n random bytes from the module, 1 to MaxRandom. The caller
	// owns them. Errors: ErrUnsupported, and whatever the source of randomness
	// returns.
	Random(ctx context.Context, n int) (secret.Bytes, error)

	// Forget drops whatever the module holds in memory for the key, in all its
	// materials, and wipes it once operations under way have ended. Call it when a
	// key is deleted or loses material. A later use of the key loads it again.
	Forget(keyID string)
}

// Cipher is a Ring's ability to encrypt under symmetric keys.
type Cipher interface {
	// ParseCiphertext reads a blob's header and checks that this deployment made
	// it, before any key is looked up. Error: ErrInvalidCiphertext.
	ParseCiphertext(blob []byte) (Header, error)

	// Encrypt returns a ciphertext of plaintext under the key's current material,
	// bound to the encryption context; nil and the empty map are one context. Two
	// calls never give the same blob. Errors: ErrPlaintextSize,
	// ErrContextTooLarge, ErrKeyID, ErrUnsupported, ErrCorrupt, and whatever the
	// source of randomness returns.
	Encrypt(ctx context.Context, key KeyRef, plaintext secret.Bytes, encryptionContext map[string]string) ([]byte, error)

	// Decrypt opens what Encrypt returned, with the material that the blob names.
	// The caller owns the plaintext. Errors: ErrInvalidCiphertext for everything
	// that is wrong with blob, key or context; ErrContextTooLarge; ErrCorrupt.
	Decrypt(ctx context.Context, key KeyRef, blob []byte, encryptionContext map[string]string) (secret.Bytes, error)
}
