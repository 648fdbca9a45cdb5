package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/strongroom/strongroom/internal/secret"
)

const (
	saltSize = 32
	// wrapFormat is the first byte of what a LocalKey wraps:
	// format ‖ salt (32) ‖ nonce (12) ‖ AES-256-GCM ciphertext ‖ tag (16).
	wrapFormat   = 1
	wrapOverhead = 1 + saltSize + 12 + 16
)

// LocalKey is the key of a root that this process holds itself, for good or while it
// is used: it wraps each message under a key that comes, by HKDF, from it and a
// fresh salt. It is safe for concurrent use until it is wiped.
type LocalKey struct {
	id   string
	kind Kind
	key  *[keySize]byte // a pointer: fmt follows one from an unexported field, not two
	rand io.Reader
}

// NewLocalKey takes over key, which has 32 bytes. Its id is the kind and 32 hex digits
// that are derived from the key, so that a root may be moved and is recognised.
// randomness gives the salts, and must be safe for concurrent use.
func NewLocalKey(kind Kind, key secret.Bytes, randomness io.Reader) (LocalKey, error) {
	if len(key) != keySize {
		return LocalKey{}, fmt.Errorf("seal: a key of %d bytes is no root", len(key))
	}
	id := make([]byte, 16)
	if err := derive(id, key, []byte("strongroom/seal/"+string(kind)+"/id/v1"), ""); err != nil {
		return LocalKey{}, err
	}
	return LocalKey{id: string(kind) + ":" + hex.EncodeToString(id), kind: kind, key: (*[keySize]byte)(key), rand: randomness}, nil
}

// ID is that of the root.
func (k LocalKey) ID() string { return k.id }

// Wipe overwrites the key, which wraps and unwraps nothing from then on.
func (k LocalKey) Wipe() { clear(k.key[:]) }

// Wrap is that of [Root].
func (k LocalKey) Wrap(plaintext secret.Bytes, place Place) ([]byte, error) {
	out := make([]byte, 1+saltSize, wrapOverhead+len(plaintext))
	out[0] = wrapFormat
	if _, err := io.ReadFull(k.rand, out[1:]); err != nil {
		return nil, fmt.Errorf("seal: making a salt: %w", err)
	}
	var err error
	secret.Do(func() {
		var aead cipher.AEAD
		if aead, err = k.aead(out[1:]); err == nil {
			out = aead.Seal(out, nil, plaintext, place.AAD(k.id))
		}
	})
	return out, err
}

// Unwrap is that of [Root]. Its only error is ErrUnwrap.
func (k LocalKey) Unwrap(wrapped []byte, place Place) (secret.Bytes, error) {
	if len(wrapped) < wrapOverhead || wrapped[0] != wrapFormat {
		return nil, ErrUnwrap
	}
	out := make([]byte, 0, len(wrapped)-wrapOverhead)
	var err error
	secret.Do(func() {
		var aead cipher.AEAD
		if aead, err = k.aead(wrapped[1 : 1+saltSize]); err == nil {
			out, err = aead.Open(out, nil, wrapped[1+saltSize:], place.AAD(k.id))
		}
	})
	if err != nil {
		return nil, ErrUnwrap
	}
	return out, nil
}

// aead returns the cipher of one message.
func (k LocalKey) aead(salt []byte) (cipher.AEAD, error) {
	key := make([]byte, keySize)
	defer clear(key)
	if err := derive(key, k.key[:], salt, "strongroom/seal/"+string(k.kind)+"/wrap/v1"); err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// Format implements fmt.Formatter: fmt would print unexported fields raw.
func (k LocalKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "the key "+k.id) }
