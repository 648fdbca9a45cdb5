package xks

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/keyring/keyringtest"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/xksapi"
)

// sealing answers as a proxy with one AES-256 key does, with metadata that it binds
// as the specification wants it.
func sealing(t *testing.T) func(http.ResponseWriter, *http.Request, []byte) {
	t.Helper()
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	metadata := []byte("v1")
	bound := func(aad, metadata []byte) []byte {
		return slices.Concat(aad, []byte{byte(len(metadata))}, metadata)
	}
	return func(w http.ResponseWriter, r *http.Request, body []byte) {
		in, err := xksapi.ParseRequest(body)
		switch {
		case err != nil:
			refuse(w, xksapi.Validation)
		case strings.HasSuffix(r.URL.Path, "/encrypt") && in.CheckEncrypt() == nil:
			nonce := make([]byte, aead.NonceSize())
			if _, err := rand.Read(nonce); err != nil {
				t.Error(err)
			}
			sealed := aead.Seal(nil, nonce, in.Plaintext, bound(in.AAD, metadata))
			at := len(sealed) - keyring.TagSize
			e := &xksapi.Encrypted{Ciphertext: sealed[:at], Tag: sealed[at:], IV: nonce, CiphertextMetadata: metadata}
			_, _ = w.Write(e.AppendJSON(nil, in.AAD, in.Integrity))
		case strings.HasSuffix(r.URL.Path, "/decrypt") && in.CheckDecrypt() == nil && len(in.IV) == aead.NonceSize():
			opened, err := aead.Open(nil, in.IV, slices.Concat(in.Ciphertext, in.Tag), bound(in.AAD, in.CiphertextMetadata))
			if err != nil {
				refuse(w, xksapi.InvalidCiphertext)
				return
			}
			_, _ = w.Write(xksapi.AppendDecrypted(nil, opened))
		default:
			refuse(w, xksapi.InvalidCiphertext)
		}
	}
}

func TestContract(t *testing.T) {
	s := newStand(t)
	s.answer = sealing(t)
	ring := newRing(t)
	s.config.Inner = ring
	s.renew()
	keyringtest.Symmetric{
		Suite: keyring.SuiteExternal, Overhead: keyring.Overhead + 1 + keyring.ShortIV + 1 + len("v1") + keyring.TagSize,
		Generate: ring.Generate, // the inner material; the external key is there already
		Encrypt: func(ctx context.Context, key keyring.KeyRef, plaintext secret.Bytes, c map[string]string) ([]byte, error) {
			return s.client.Encrypt(ctx, &s.target, key, plaintext, c)
		},
		Decrypt: func(ctx context.Context, key keyring.KeyRef, blob []byte, c map[string]string) (secret.Bytes, error) {
			return s.client.Decrypt(ctx, &s.target, key, blob, c)
		},
		Parse:  ring.ParseCiphertext,
		Forget: ring.Forget,
		// Only the proxy can tell of its own layer, and the inner one of what is behind.
		Refused: func(err error) bool {
			var refusal *xksapi.Error
			return errors.Is(err, ErrInner) || errors.As(err, &refusal) && refusal.Name == xksapi.InvalidCiphertext
		},
	}.Run(t)
}
