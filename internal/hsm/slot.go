package hsm

import (
	"context"

	"github.com/strongroom/strongroom/internal/secret"
)

// Sizes, in bytes.
const (
	NonceSize = 12
	TagSize   = 16
	// Overhead is by how much a sealed message is longer than its plaintext.
	Overhead = NonceSize + TagSize
	// MaxMessage is the most that EncryptGCM takes of a plaintext, and of aad.
	MaxMessage = 16384
	// MaxRandom is the most that Random gives.
	MaxRandom = 1024
	// MaxID is the length of the longest id (CKA_ID) and label (CKA_LABEL) of a key.
	MaxID = 128
)

// Keys are the AES keys that one HSM, or several that hold the same, keep.
//
// A key is known by its id, 1 to MaxID bytes, which is its CKA_ID. All methods are
// safe for concurrent use and honour ctx; a call whose ctx ends answers
// ErrUnavailable and ctx's error. Nothing is retried inside, but see [Group].
type Keys interface {
	// GenerateAES256 makes a key in the HSM: sensitive, not extractable, durable when
	// the call returns. label is its CKA_LABEL. Errors: ErrKeyExists, ErrSize,
	// ErrUnsupported, ErrUnavailable. It may be retried after Destroy.
	GenerateAES256(ctx context.Context, id []byte, label string) error
	// Find says what the key is. Errors: ErrNoKey, ErrUnavailable.
	Find(ctx context.Context, id []byte) (Key, error)
	// Destroy deletes the key for ever. Errors: ErrNoKey, ErrUnavailable.
	Destroy(ctx context.Context, id []byte) error
	// EncryptGCM returns nonce (12) ‖ ciphertext ‖ tag (16) of AES-256-GCM with a
	// fresh random nonce; the HSM chooses it where it insists. Up to 2³² messages
	// under one key are safe (SP 800-38D §8.3): a caller that may make more must not
	// rely on a nonce being unique. Errors: ErrNoKey, ErrSize, ErrUnavailable.
	EncryptGCM(ctx context.Context, id, aad []byte, plaintext secret.Bytes) ([]byte, error)
	// DecryptGCM opens what EncryptGCM returned. The caller owns the plaintext.
	// Errors: ErrDecrypt, ErrNoKey, ErrSize, ErrUnavailable.
	DecryptGCM(ctx context.Context, id, aad, sealed []byte) (secret.Bytes, error)
	// Random returns n bytes, 1 to MaxRandom, from the HSM's generator. The caller
	// owns them. Errors: ErrSize, ErrUnavailable.
	Random(ctx context.Context, n int) (secret.Bytes, error)
	// Health asks the HSM whether it answers, and returns nil if it does. Errors:
	// ErrUnavailable.
	Health(ctx context.Context) error
}

// Slot is one token, with its user logged in.
type Slot interface {
	Keys
	Sharer
	// Info says what module and token these are. Errors: ErrUnavailable.
	Info(ctx context.Context) (Info, error)
	// Close logs out and ends the helper. Calls under way answer ErrUnavailable, later
	// ones ErrClosed.
	Close() error
}

// Sharer copies a key that is being made into another HSM, without anybody seeing
// it: the receiver makes an RSA pair of which the private half cannot leave it, the
// sender wraps the key under the public one. The sender's key is extractable,
// under wrapping alone, until Lock. Callers use [Group].
type Sharer interface {
	// TransportKey returns the receiver's pair, 3,072 bits, which lives as long as the
	// login does. Number names it. Errors: ErrUnsupported, ErrUnavailable.
	TransportKey(ctx context.Context) (TransportKey, error)
	// GenerateShareable is GenerateAES256 of a key that WrapFor takes.
	GenerateShareable(ctx context.Context, id []byte, label string) error
	// WrapFor wraps the key under public, a DER SubjectPublicKeyInfo of an RSA key,
	// with RSA-OAEP, SHA-1 and MGF1-SHA-1, which is what every HSM has. Errors:
	// ErrNoKey, ErrUnsupported, ErrUnavailable; a *Failure for a key that was locked.
	WrapFor(ctx context.Context, id, public []byte) ([]byte, error)
	// Receive makes a wrapped key a durable one of this HSM that cannot be extracted.
	// Errors: ErrKeyExists, ErrNoKey for a pair that there is not any more,
	// ErrUnsupported, ErrUnavailable.
	Receive(ctx context.Context, pair uint64, id []byte, label string, wrapped []byte) error
	// Lock makes the key one that cannot be extracted, for ever. Errors: ErrNoKey,
	// ErrUnavailable.
	Lock(ctx context.Context, id []byte) error
}

// TransportKey is the receiver's pair.
type TransportKey struct {
	Number uint64
	Public []byte // DER SubjectPublicKeyInfo
}

// Key is what a token says of a key. AES-256 keys that this package made are
// Sensitive, not Extractable, and Token.
type Key struct {
	Label string `json:"label"`
	// Bits is the key's length; 0 where the token does not tell it.
	Bits                          int  `json:"bits"`
	Sensitive, Extractable, Token bool `json:",omitempty"`
	// NeverExtractable is false of a key that was shared when it was made.
	NeverExtractable bool `json:"neverExtractable"`
}

// Info is what a slot says of itself.
type Info struct {
	// The library, as C_GetInfo has it.
	Library         string `json:"library"`
	LibraryVersion  string `json:"libraryVersion"`
	LibraryMaker    string `json:"libraryMaker"`
	CryptokiVersion string `json:"cryptokiVersion"`
	// The token, as C_GetTokenInfo has it.
	Slot            uint64 `json:"slot"`
	TokenLabel      string `json:"tokenLabel"`
	TokenSerial     string `json:"tokenSerial"`
	TokenModel      string `json:"tokenModel"`
	TokenMaker      string `json:"tokenMaker"`
	FirmwareVersion string `json:"firmwareVersion"`
	// Sessions is how many the pool has at most.
	Sessions int `json:"sessions"`
	// ModuleNonce says that the HSM insists on making GCM's nonces itself.
	ModuleNonce bool `json:"moduleNonce"`
}
