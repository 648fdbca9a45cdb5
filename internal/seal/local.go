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
	// wrapFormat is the first byte of what a localKey wraps:
	// format ‖ salt (32) ‖ nonce (12) ‖ AES-256-GCM ciphertext ‖ tag (16).
	wrapFormat   = 1
	wrapOverhead = 1 + saltSize + 12 + 16
)

// localKey is the key of a root that this process holds itself: it wraps each
// message under a key that comes, by HKDF, from it and a fresh salt.
type localKey struct {
	id   string
	kind Kind
	key  *[keySize]byte // a pointer: fmt follows one from an unexported field, not two
	rand io.Reader
}

// newLocalKey takes key over. Its id is the kind and 32 hex digits that are derived
// from the key, so that a root may be moved and is recognised.
func newLocalKey(kind Kind, key secret.Bytes, randomness io.Reader) (localKey, error) {
	id := make([]byte, 16)
	if err := derive(id, key, []byte("strongroom/seal/"+string(kind)+"/id/v1"), ""); err != nil {
		return localKey{}, err
	}
	return localKey{id: string(kind) + ":" + hex.EncodeToString(id), kind: kind, key: (*[keySize]byte)(key), rand: randomness}, nil
}

func (k localKey) wrap(plaintext secret.Bytes, place Place) ([]byte, error) {
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

// unwrap's only error is ErrUnwrap.
func (k localKey) unwrap(wrapped []byte, place Place) (secret.Bytes, error) {
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
func (k localKey) aead(salt []byte) (cipher.AEAD, error) {
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
