package software

import (
	"context"
	"fmt"
	"slices"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/secret"
)

var _ keyring.Layered = (*Ring)(nil)

// EncryptInner implements [keyring.Layered].
func (r *Ring) EncryptInner(_ context.Context, suite keyring.Suite, key keyring.KeyRef, plaintext secret.Bytes, encryptionContext map[string]string) (header []byte, body secret.Bytes, err error) {
	if !layered(suite) {
		return nil, nil, fmt.Errorf("%w: suite %#x has no layers", keyring.ErrUnsupported, byte(suite))
	}
	blob, err := r.encrypt(suite, &key, plaintext, encryptionContext)
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
	if !layered(parsed.Suite) || len(blob) <= keyring.Overhead || len(blob) > keyring.Overhead+keyring.MaxPlaintext {
		return nil, keyring.ErrInvalidCiphertext
	}
	return r.decrypt(parsed.Suite, &key, parsed, blob, encryptionContext)
}

// layered tells whether ciphertexts of the suite have an inner layer of ours.
func layered(s keyring.Suite) bool { return s == keyring.SuiteExternal || s == keyring.SuiteHSM }
