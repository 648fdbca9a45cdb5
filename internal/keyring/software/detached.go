package software

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/secret"
)

// Parts of a ciphertext of keyring.SuiteProxy: what fits into the 20 bytes of
// metadata and the 16 of IV that a requester keeps.
const (
	detachedSalt       = keyring.LongIV - keyring.NonceSize
	detachedMaterial   = 3 // of the material id
	detachedCommitment = keyring.MaxCiphertextMetadata - 1 - detachedMaterial
)

var _ keyring.DetachedCipher = (*Ring)(nil)

// EncryptDetached implements [keyring.DetachedCipher].
func (r *Ring) EncryptDetached(_ context.Context, key keyring.KeyRef, plaintext secret.Bytes, aad []byte) (keyring.Detached, error) {
	var d keyring.Detached
	if len(plaintext) < 1 || len(plaintext) > keyring.MaxExternalPlaintext {
		return d, keyring.ErrPlaintextSize
	}
	if len(aad) > keyring.MaxExternalAAD {
		return d, keyring.ErrContextTooLarge
	}
	bound, err := detachedHeader(key.KeyID, &key.Current)
	if err != nil {
		return d, err
	}
	start := len(bound)
	bound = append(bound, make([]byte, detachedSalt)...)
	if _, err := io.ReadFull(r.rand, bound[start:]); err != nil {
		return d, fmt.Errorf("software: making a salt: %w", err)
	}
	secret.Do(func() {
		err = r.withDetachedKey(key.KeyID, &key.Current, bound, aad, func(dv *deriver, aead cipher.AEAD) error {
			d.Metadata = append(detachedPrefix(bound), dv.commitment[:detachedCommitment]...)
			out := aead.Seal(nil, nil, plaintext, detachedAAD(bound, aad, d.Metadata))
			d.IV = append(out[:keyring.NonceSize:keyring.NonceSize], bound[start:]...)
			d.Ciphertext = out[keyring.NonceSize : len(out)-keyring.TagSize]
			d.Tag = out[len(out)-keyring.TagSize:]
			return nil
		})
	})
	if err != nil {
		return keyring.Detached{}, err
	}
	return d, nil
}

// DecryptDetached implements [keyring.DetachedCipher].
func (r *Ring) DecryptDetached(_ context.Context, key keyring.KeyRef, d keyring.Detached, aad []byte) (secret.Bytes, error) {
	if len(d.IV) != keyring.LongIV || len(d.Metadata) != keyring.MaxCiphertextMetadata || len(d.Tag) != keyring.TagSize ||
		len(d.Ciphertext) < 1 || len(d.Ciphertext) > keyring.MaxExternalPlaintext || len(aad) > keyring.MaxExternalAAD {
		return nil, keyring.ErrInvalidCiphertext
	}
	candidates := append([]keyring.Material{key.Current}, key.Older...)
	for i := range candidates {
		m := &candidates[i]
		bound, err := detachedHeader(key.KeyID, m)
		if err != nil {
			return nil, err
		}
		if string(detachedPrefix(bound)) != string(d.Metadata[:1+detachedMaterial]) {
			continue
		}
		plaintext, err := r.openDetached(key.KeyID, m, append(bound, d.IV[keyring.NonceSize:]...), &d, aad)
		// Two materials of one key may begin alike, once in millions.
		if !errors.Is(err, keyring.ErrInvalidCiphertext) {
			return plaintext, err
		}
	}
	return nil, keyring.ErrInvalidCiphertext
}

func (r *Ring) openDetached(keyID string, m *keyring.Material, bound []byte, d *keyring.Detached, aad []byte) (secret.Bytes, error) {
	sealed := make([]byte, 0, keyring.NonceSize+len(d.Ciphertext)+keyring.TagSize)
	sealed = append(append(append(sealed, d.IV[:keyring.NonceSize]...), d.Ciphertext...), d.Tag...)
	var plaintext secret.Bytes
	var err error
	secret.Do(func() {
		err = r.withDetachedKey(keyID, m, bound, aad, func(dv *deriver, aead cipher.AEAD) error {
			if subtle.ConstantTimeCompare(dv.commitment[:detachedCommitment], d.Metadata[1+detachedMaterial:]) != 1 {
				return keyring.ErrInvalidCiphertext
			}
			opened, err := aead.Open(nil, nil, sealed, detachedAAD(bound, aad, d.Metadata))
			if err != nil {
				return keyring.ErrInvalidCiphertext
			}
			plaintext = opened
			return nil
		})
	})
	return plaintext, err
}

// withDetachedKey is withMessageKey with the requester's aad in the context's place.
func (r *Ring) withDetachedKey(keyID string, m *keyring.Material, bound, aad []byte, use func(*deriver, cipher.AEAD) error) error {
	e, d, err := r.deriver(keyID, m)
	if err != nil {
		return err
	}
	defer e.release(d)
	d.context = append(d.context[:0], aad...)
	d.expand(d.commitment[:], commitmentLabel, bound)
	d.expand(d.key[:], keyLabel, bound)
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

// detachedHeader is the header without its tag, which nobody keeps.
func detachedHeader(keyID string, m *keyring.Material) ([]byte, error) {
	return keyring.AppendIDs(make([]byte, 0, 64), keyring.Header{Suite: keyring.SuiteProxy, KeyID: keyID, MaterialID: m.ID})
}

// detachedPrefix is how metadata begins: the suite and the first bytes of the
// material id, which stand at offset 18 of a header.
func detachedPrefix(header []byte) []byte {
	return append(append(make([]byte, 0, keyring.MaxCiphertextMetadata), header[0]), header[18:18+detachedMaterial]...)
}

// detachedAAD is what GCM authenticates: lengths keep aad and metadata apart.
func detachedAAD(bound, aad, metadata []byte) []byte {
	out := make([]byte, 0, len(bound)+3+len(aad)+len(metadata))
	out = append(out, bound...)
	out = binary.BigEndian.AppendUint16(out, uint16(len(aad)))
	out = append(out, aad...)
	out = append(out, byte(len(metadata)))
	return append(out, metadata...)
}
