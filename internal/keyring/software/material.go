package software

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/secret"
)

const (
	materialSize = 32 // of SYMMETRIC_DEFAULT

	// wrapFormat is the first byte of wrapped material:
	// format ‖ salt (32) ‖ nonce (12) ‖ AES-256-GCM ciphertext ‖ tag (16).
	wrapFormat   = 1
	wrapOverhead = 1 + keyring.SaltSize + keyring.NonceSize + keyring.TagSize

	wrapInfo       = "strongroom/keyring/material-wrap/v1"
	materialIDSalt = "strongroom/keyring/material-id/v1"
)

// materialID returns the id of material in the key: HKDF-SHA256 with a salt of
// its own and the key id as info, in hex. It does not depend on the domain key, so
// that material that is imported again, or into a replica, has the id it had. It
// gives material away no sooner than a ciphertext would: who can guess the bytes
// can check the guess.
func materialID(keyID string, material secret.Bytes) (string, error) {
	id, err := hkdf.Key(sha256.New, material, []byte(materialIDSalt), keyID, 32)
	return hex.EncodeToString(id), err
}

// wrap returns material as it is stored: sealed under the current domain key,
// with a key of its own. public is nil for keys that have none.
func (r *Ring) wrap(keyID string, spec keyring.Spec, material secret.Bytes, public []byte) (keyring.Material, error) {
	m := keyring.Material{Spec: spec, DomainVersion: r.domain.Current(), Public: public}
	out := make([]byte, 1+keyring.SaltSize, wrapOverhead+len(material))
	out[0] = wrapFormat
	if _, err := io.ReadFull(r.rand, out[1:]); err != nil {
		return keyring.Material{}, fmt.Errorf("software: making a salt: %w", err)
	}
	var err error
	secret.Do(func() {
		if m.ID, err = materialID(keyID, material); err != nil {
			return
		}
		// A key id that no ciphertext can carry must not get material.
		if _, err = keyring.AppendIDs(nil, keyring.Header{KeyID: keyID, MaterialID: m.ID}); err != nil {
			return
		}
		var aead cipher.AEAD
		if aead, err = r.wrapCipher(m.DomainVersion, out[1:]); err == nil {
			m.Wrapped = aead.Seal(out, nil, material, wrapAAD(keyID, m))
		}
	})
	if err != nil {
		return keyring.Material{}, err
	}
	return m, nil
}

// unwrap opens stored material into dst, which must have the length that the
// spec demands. Its errors are ErrCorrupt, which it wraps.
func (r *Ring) unwrap(dst secret.Bytes, keyID string, m keyring.Material) error {
	if len(m.Wrapped) != wrapOverhead+len(dst) || m.Wrapped[0] != wrapFormat {
		return fmt.Errorf("%w: material %.64q of key %.64q is not in a form that this build knows", keyring.ErrCorrupt, m.ID, keyID)
	}
	aead, err := r.wrapCipher(m.DomainVersion, m.Wrapped[1:1+keyring.SaltSize])
	if err != nil {
		return fmt.Errorf("%w: material %.64q of key %.64q: %w", keyring.ErrCorrupt, m.ID, keyID, err)
	}
	if _, err := aead.Open(dst[:0], nil, m.Wrapped[1+keyring.SaltSize:], wrapAAD(keyID, m)); err != nil {
		return fmt.Errorf("%w: material %.64q does not open as that of key %.64q", keyring.ErrCorrupt, m.ID, keyID)
	}
	return nil
}

// wrapCipher returns the cipher that wraps one material.
func (r *Ring) wrapCipher(version uint32, salt []byte) (cipher.AEAD, error) {
	domain, err := r.wrappingKey(version)
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, domain, salt, wrapInfo, 32)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// wrappingKey returns what wrapping keys come from under a version of the domain key.
// It is derived once for each version: every new key and every material that is not
// cached asks for it.
func (r *Ring) wrappingKey(version uint32) (secret.Bytes, error) {
	if key, ok := r.wrapping.Load(version); ok {
		return key.(secret.Bytes), nil
	}
	key, err := r.domain.Derive(version, seal.LabelMaterial)
	if err != nil {
		return nil, err
	}
	kept, before := r.wrapping.LoadOrStore(version, key)
	if before {
		key.Wipe()
	}
	return kept.(secret.Bytes), nil
}

// wrapAAD binds wrapped material to its place: a label, then key id, material id
// and spec with their lengths, the domain-key version and, if there is one, the
// public key.
func wrapAAD(keyID string, m keyring.Material) []byte {
	aad := make([]byte, 0, len(wrapInfo)+4*4+len(keyID)+len(m.ID)+len(m.Spec)+len(m.Public))
	aad = append(aad, wrapInfo...)
	for _, s := range []string{keyID, m.ID, string(m.Spec)} {
		aad = binary.BigEndian.AppendUint32(aad, uint32(len(s)))
		aad = append(aad, s...)
	}
	aad = binary.BigEndian.AppendUint32(aad, m.DomainVersion)
	return append(aad, m.Public...)
}
