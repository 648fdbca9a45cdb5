package keyring

import (
	"context"
	"errors"
	"time"
)

// Errors of import.
var (
	// ErrImportToken is the one answer to an import token that this module did not
	// make for that key, or that was altered since.
	ErrImportToken = errors.New("keyring: the import token does not belong to this key")
	// ErrImportExpired is returned for an import token whose time is over.
	ErrImportExpired = errors.New("keyring: the import token has expired")
)

// Wrapping algorithms beside OAEPSHA1 and OAEPSHA256 (KMS API,
// GetParametersForImport): RSA-OAEP of a 256-bit AES key, followed by the material
// under that key by AES key wrap with padding (RFC 5649).
const (
	AESKeyWrapSHA1   Algorithm = "RSA_AES_KEY_WRAP_SHA_1"
	AESKeyWrapSHA256 Algorithm = "RSA_AES_KEY_WRAP_SHA_256"
)

// ImportTerms are what an import token is made for.
type ImportTerms struct {
	// Key is the ARN of the key that the material is for; the token serves no
	// other.
	Key string
	// Algorithm is how the material will come wrapped.
	Algorithm Algorithm
	// WrappingSpec is the kind of the wrapping key: RSA2048, RSA3072 or RSA4096.
	WrappingSpec Spec
	// Expires is when the token's time is over, in whole milliseconds.
	Expires time.Time
}

// Wrapped is material on its way in.
type Wrapped struct {
	// Key is the ARN that the token was made for, KeyID the bare key id in it.
	Key, KeyID string
	// Spec is the key's.
	Spec Spec
	// Token and Material are as the caller sent them.
	Token, Material []byte
	// Now is the time by which the token is judged.
	Now time.Time
}

// Importer is a Ring's ability to take in material that was made elsewhere.
type Importer interface {
	// ImportParameters makes a fresh wrapping key pair. It returns the public key,
	// a DER SubjectPublicKeyInfo, and the token that Import needs with what was
	// wrapped under it. The pair may be used any number of times until it expires.
	// Nothing is kept: the private key is sealed inside the token. Errors:
	// ErrUnsupported, ErrBusy.
	ImportParameters(ctx context.Context, terms ImportTerms) (public, token []byte, err error)

	// Import unwraps material and returns it as Generate would: wrapped for the
	// store, under an id that follows from key id and bytes, so that the same bytes
	// have the same id each time and in every replica. The plaintext is 32 bytes
	// for SymmetricDefault, the raw key for HMAC specs, and a PKCS #8 PrivateKeyInfo
	// in DER for the others. Errors: ErrImportToken, ErrImportExpired,
	// ErrInvalidCiphertext for everything that is wrong with what was wrapped, a
	// key of another spec included; ErrUnsupported, ErrBusy.
	Import(ctx context.Context, in Wrapped) (Material, error)
}
