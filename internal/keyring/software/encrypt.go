package software

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"fmt"
	"io"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/secret"
)

// Offsets in a blob of keyring.SuiteSoftware.
const (
	saltAt       = keyring.HeaderSize
	commitmentAt = saltAt + keyring.SaltSize
	nonceAt      = commitmentAt + keyring.CommitmentSize
)

// ParseCiphertext implements [keyring.Cipher].
func (r *Ring) ParseCiphertext(blob []byte) (keyring.Header, error) { return r.headers.Parse(blob) }

// Encrypt implements [keyring.Cipher].
func (r *Ring) Encrypt(_ context.Context, key keyring.KeyRef, plaintext secret.Bytes, encryptionContext map[string]string) ([]byte, error) {
	return r.encrypt(keyring.SuiteSoftware, &key, plaintext, encryptionContext)
}

// encrypt makes a blob of SuiteSoftware, or in its form the inner layer of another.
func (r *Ring) encrypt(suite keyring.Suite, key *keyring.KeyRef, plaintext secret.Bytes, encryptionContext map[string]string) ([]byte, error) {
	if len(plaintext) < 1 || len(plaintext) > keyring.MaxPlaintext {
		return nil, keyring.ErrPlaintextSize
	}
	blob := make([]byte, 0, keyring.Overhead+len(plaintext))
	blob, err := r.headers.Append(blob, keyring.Header{Suite: suite, KeyID: key.KeyID, MaterialID: key.Current.ID})
	if err != nil {
		return nil, err
	}
	blob = blob[:commitmentAt]
	if _, err := io.ReadFull(r.rand, blob[saltAt:]); err != nil {
		return nil, fmt.Errorf("software: making a salt: %w", err)
	}
	secret.Do(func() {
		err = r.withMessageKey(key.KeyID, &key.Current, blob, encryptionContext, func(d *deriver, aead cipher.AEAD) error {
			blob = append(blob, d.commitment[:]...)
			blob = aead.Seal(blob, nil, plaintext, blob)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return blob, nil
}

// Decrypt implements [keyring.Cipher].
func (r *Ring) Decrypt(_ context.Context, key keyring.KeyRef, blob []byte, encryptionContext map[string]string) (secret.Bytes, error) {
	header, err := r.headers.Parse(blob)
	if err != nil {
		return nil, err
	}
	return r.decrypt(keyring.SuiteSoftware, &key, header, blob, encryptionContext)
}

// decrypt opens what encrypt made; header is the blob's, whose length was checked.
func (r *Ring) decrypt(suite keyring.Suite, key *keyring.KeyRef, header keyring.Header, blob []byte, encryptionContext map[string]string) (secret.Bytes, error) {
	m := find(key, header)
	if m == nil || header.Suite != suite {
		return nil, keyring.ErrInvalidCiphertext
	}
	var err error
	plaintext := make(secret.Bytes, 0, len(blob)-keyring.Overhead)
	secret.Do(func() {
		err = r.withMessageKey(key.KeyID, m, blob[:commitmentAt], encryptionContext, func(d *deriver, aead cipher.AEAD) error {
			if subtle.ConstantTimeCompare(d.commitment[:], blob[commitmentAt:nonceAt]) != 1 {
				return keyring.ErrInvalidCiphertext
			}
			if _, err := aead.Open(plaintext, nil, blob[nonceAt:], blob[:nonceAt]); err != nil {
				return keyring.ErrInvalidCiphertext
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return plaintext[:cap(plaintext)], nil
}

// find returns the material that a header names, or nil if the key is another or
// does not have it.
func find(key *keyring.KeyRef, h keyring.Header) *keyring.Material {
	if h.KeyID != key.KeyID {
		return nil
	}
	if h.MaterialID == key.Current.ID {
		return &key.Current
	}
	for i := range key.Older {
		if h.MaterialID == key.Older[i].ID {
			return &key.Older[i]
		}
	}
	return nil
}

// withMessageKey derives key and commitment of one message and calls use with
// them; both end with the call.
func (r *Ring) withMessageKey(keyID string, m *keyring.Material, headerAndSalt []byte, encryptionContext map[string]string, use func(*deriver, cipher.AEAD) error) error {
	e, d, err := r.deriver(keyID, m)
	if err != nil {
		return err
	}
	defer e.release(d)
	if err := d.derive(headerAndSalt, encryptionContext); err != nil {
		return err
	}
	block, err := aes.NewCipher(d.key[:])
	if err != nil {
		return err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return err
	}
	return use(d, aead)
}

// deriver returns a deriver of the material and the entry to release it to, from
// the cache or by unwrapping.
func (r *Ring) deriver(keyID string, m *keyring.Material) (*entry, *deriver, error) {
	if m.Spec != keyring.SymmetricDefault {
		return nil, nil, fmt.Errorf("%w: %q", keyring.ErrUnsupported, m.Spec)
	}
	cached, epoch := r.cache.get(keyID, m.ID)
	if cached != nil {
		if d := cached.take(); d != nil {
			return cached, d, nil
		}
	}
	material := make(secret.Bytes, materialSize)
	defer material.Wipe()
	if err := r.unwrap(material, keyID, *m); err != nil {
		return nil, nil, err
	}
	e, err := newEntry(keyID, m.ID, material)
	if err != nil {
		return nil, nil, err
	}
	d := e.take()
	if !r.cache.put(e, epoch) {
		e.retire()
	}
	return e, d, nil
}
