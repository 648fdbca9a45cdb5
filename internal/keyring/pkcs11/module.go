// Package pkcs11 is the key module whose keys are in HSMs: symmetric keys that are
// made inside, cannot be extracted, and encrypt there.
//
// # Promises
//
// What is encrypted is encrypted twice: by material of this deployment, and the
// result inside the HSM (package keyring, suite 0xA2, which says why). The HSM is
// shown neither plaintext nor encryption context; without it nobody opens
// anything. What it answers is checked by the inner layer before it is believed.
//
// A key's id in the HSM (CKA_ID) is its material id, 32 bytes; its label is
// "strongroom:" and the key id.
//
// # What it leaves
//
// Whoever may log in to the HSM can delete keys there, and the data with them. An
// HSM alone does not bring data back: the inner material is in the deployment's
// store and its backups. Random bytes are the HSM's own, as it gives them.
package pkcs11

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/strongroom/strongroom/internal/hsm"
	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/secret"
)

// labelPrefix is what a key's label in the HSM begins with.
const labelPrefix = "strongroom:"

// Inner makes the material and the inner layer. Package software's Ring does.
type Inner interface {
	keyring.Ring
	keyring.Layered
}

// Module uses keys in HSMs. Which ones, each call says: one slot, or the group of a
// cluster. It is safe for concurrent use.
//
// Beyond the errors that each method names, all return what hsm.Keys does: most of
// all hsm.ErrUnavailable, which may be retried, and hsm.ErrNoKey when the key is not
// in the HSM any more.
type Module struct{ inner Inner }

// New returns a Module over inner, which must be set.
func New(inner Inner) (*Module, error) {
	if inner == nil {
		return nil, errors.New("pkcs11: inner must be set")
	}
	return &Module{inner}, nil
}

// Generate makes a key in the HSMs, and returns the material that belongs to it. If
// the caller does not come to store it, Destroy takes the key away again. Errors:
// those of keyring.Ring's Generate; keyring.ErrUnsupported for other specs than
// SYMMETRIC_DEFAULT.
func (m *Module) Generate(ctx context.Context, in hsm.Keys, keyID string, spec keyring.Spec) (keyring.Material, error) {
	if spec != keyring.SymmetricDefault {
		return keyring.Material{}, fmt.Errorf("%w: %q", keyring.ErrUnsupported, spec)
	}
	material, err := m.inner.Generate(ctx, keyID, spec)
	if err != nil {
		return keyring.Material{}, err
	}
	id, err := objectID(material)
	if err != nil {
		return keyring.Material{}, err
	}
	if err := in.GenerateAES256(ctx, id, labelPrefix+keyID); err != nil {
		return keyring.Material{}, err
	}
	return material, nil
}

// Destroy deletes the key from the HSMs, in all its materials, for ever. A key that
// is not there is nothing that fails.
func (m *Module) Destroy(ctx context.Context, in hsm.Keys, key keyring.KeyRef) error {
	m.inner.Forget(key.KeyID)
	for _, material := range append([]keyring.Material{key.Current}, key.Older...) {
		id, err := objectID(material)
		if err != nil {
			return err
		}
		if err := in.Destroy(ctx, id); err != nil && !errors.Is(err, hsm.ErrNoKey) {
			return err
		}
	}
	return nil
}

// Encrypt returns a ciphertext of keyring.SuiteHSM. Errors: those of
// keyring.Cipher's Encrypt.
func (m *Module) Encrypt(ctx context.Context, in hsm.Keys, key keyring.KeyRef, plaintext secret.Bytes, encryptionContext map[string]string) ([]byte, error) {
	id, err := objectID(key.Current)
	if err != nil {
		return nil, err
	}
	header, body, err := m.inner.EncryptInner(ctx, keyring.SuiteHSM, key, plaintext, encryptionContext)
	if err != nil {
		return nil, err
	}
	aad, err := keyring.ExternalAAD(header, encryptionContext)
	if err != nil {
		return nil, err
	}
	sealed, err := in.EncryptGCM(ctx, id, aad, body)
	if err != nil {
		return nil, err
	}
	if len(sealed) != len(body)+hsm.Overhead {
		return nil, fmt.Errorf("pkcs11: the HSM made %d bytes of %d", len(sealed), len(body))
	}
	return keyring.AppendHSM(header, sealed)
}

// Decrypt opens what Encrypt returned, with the material that the blob names. The
// caller owns the plaintext. Errors: those of keyring.Cipher's Decrypt. A blob that
// names another key or material is refused before the HSM is asked.
func (m *Module) Decrypt(ctx context.Context, in hsm.Keys, key keyring.KeyRef, blob []byte, encryptionContext map[string]string) (secret.Bytes, error) {
	header, sealed, err := keyring.SplitHSM(blob)
	if err != nil {
		return nil, err
	}
	id, err := m.named(header, key)
	if err != nil {
		return nil, err
	}
	aad, err := keyring.ExternalAAD(header, encryptionContext)
	if err != nil {
		return nil, err
	}
	body, err := in.DecryptGCM(ctx, id, aad, sealed)
	if errors.Is(err, hsm.ErrDecrypt) {
		return nil, keyring.ErrInvalidCiphertext
	}
	if err != nil {
		return nil, err
	}
	return m.inner.DecryptInner(ctx, key, header, body, encryptionContext)
}

// named returns the object that a header names, if it is one of the key's.
func (m *Module) named(header []byte, key keyring.KeyRef) ([]byte, error) {
	named, err := keyring.HeaderIDs(header)
	if err != nil || named.KeyID != key.KeyID {
		return nil, keyring.ErrInvalidCiphertext
	}
	for _, material := range append([]keyring.Material{key.Current}, key.Older...) {
		if material.ID == named.MaterialID {
			return objectID(material)
		}
	}
	return nil, keyring.ErrInvalidCiphertext
}

// Random returns n random bytes of the HSM, 1 to keyring.MaxRandom. The caller owns
// them.
func (m *Module) Random(ctx context.Context, in hsm.Keys, n int) (secret.Bytes, error) {
	if n < 1 || n > keyring.MaxRandom {
		return nil, fmt.Errorf("pkcs11: asked for %d random bytes; 1 to %d can be had at a time", n, keyring.MaxRandom)
	}
	return in.Random(ctx, n)
}

// objectID is the CKA_ID of a material's key.
func objectID(m keyring.Material) ([]byte, error) {
	id, err := hex.DecodeString(m.ID)
	if err != nil || len(id) != 32 {
		return nil, fmt.Errorf("%w: a material id of %d characters", keyring.ErrCorrupt, len(m.ID))
	}
	return id, nil
}
