package software

import (
	"context"
	"slices"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/secret"
)

var _ keyring.Layered = (*Ring)(nil)

// EncryptInner implements [keyring.Layered].
func (r *Ring) EncryptInner(_ context.Context, key keyring.KeyRef, plaintext secret.Bytes, encryptionContext map[string]string) (header []byte, body secret.Bytes, err error) {
	blob, err := r.encrypt(keyring.SuiteExternal, &key, plaintext, encryptionContext)
	if err != nil {
		return nil, nil, err
	}
	return blob[:keyring.HeaderSize:keyring.HeaderSize], blob[keyring.HeaderSize:], nil
}

// DecryptInner implements [keyring.Layered].
func (r *Ring) DecryptInner(_ context.Context, key keyring.KeyRef, header []byte, body secret.Bytes, encryptionContext map[string]string) (secret.Bytes, error) {
	parsed, err := r.headers.ParseHeader(header)
	if err != nil {
		return nil, err
	}
	blob := slices.Concat(header, body)
	if len(blob) <= keyring.Overhead || len(blob) > keyring.Overhead+keyring.MaxPlaintext {
		return nil, keyring.ErrInvalidCiphertext
	}
	return r.decrypt(keyring.SuiteExternal, &key, parsed, blob, encryptionContext)
}
