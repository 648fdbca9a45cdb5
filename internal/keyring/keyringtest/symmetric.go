// Package keyringtest is the contract of key modules as a test suite: what package
// keyring promises of symmetric keys, for whichever module makes the ciphertexts.
package keyringtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/secret"
)

// Symmetric is a key module with symmetric keys, as the suite asks it.
type Symmetric struct {
	// Suite is that of the module's ciphertexts, and Overhead by how much they are
	// longer than their plaintexts.
	Suite    keyring.Suite
	Overhead int
	// Generate makes material of a key. The module makes whatever belongs to it.
	Generate func(ctx context.Context, keyID string, spec keyring.Spec) (keyring.Material, error)
	// Encrypt, Decrypt and Parse are as in keyring.Cipher.
	Encrypt func(ctx context.Context, key keyring.KeyRef, plaintext secret.Bytes, encryptionContext map[string]string) ([]byte, error)
	Decrypt func(ctx context.Context, key keyring.KeyRef, blob []byte, encryptionContext map[string]string) (secret.Bytes, error)
	Parse   func(blob []byte) (keyring.Header, error)
	// Refused tells the errors with which ciphertexts are refused by somebody else
	// than the module; if nil, there are none.
	Refused func(error) bool
	// Random is as in keyring.Ring; nil for a module that gives none.
	Random func(ctx context.Context, n int) (secret.Bytes, error)
	// Forget is as in keyring.Ring; nil for a module that keeps nothing.
	Forget func(keyID string)
	// Generates says that the module makes keys of its own, and so refuses specs
	// that it does not know.
	Generates bool
}

// The ids of the suite's keys.
const (
	keyA = "1234abcd-12ab-34cd-56ef-1234567890ab"
	keyB = "00000000-0000-4000-8000-000000000001"
)

var someContext = map[string]string{"tenant": "acme", "purpose": "backup"}

// Run runs the suite on a module. It makes three keys.
func (s Symmetric) Run(t *testing.T) {
	a, b := s.mustKey(t, keyA), s.mustKey(t, keyB)
	t.Run("what is encrypted opens", func(t *testing.T) { s.opens(t, a) })
	t.Run("sizes", func(t *testing.T) { s.sizes(t, a) })
	t.Run("two encryptions differ", func(t *testing.T) { s.differ(t, a) })
	t.Run("every altered byte is refused", func(t *testing.T) { s.altered(t, a) })
	t.Run("every other length is refused", func(t *testing.T) { s.lengths(t, a) })
	t.Run("the context is bound", func(t *testing.T) { s.context(t, a) })
	t.Run("other keys and materials", func(t *testing.T) { s.others(t, a, b) })
	t.Run("specs", func(t *testing.T) { s.specs(t) })
	t.Run("random bytes", func(t *testing.T) { s.random(t) })
	t.Run("at once", func(t *testing.T) { s.atOnce(t, a, b) })
}

func (s Symmetric) mustKey(t *testing.T, id string) keyring.KeyRef {
	t.Helper()
	m, err := s.Generate(t.Context(), id, keyring.SymmetricDefault)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.ID) != 64 || m.Spec != keyring.SymmetricDefault {
		t.Fatalf("material %q of spec %q", m.ID, m.Spec)
	}
	return keyring.KeyRef{KeyID: id, Current: m}
}

func (s Symmetric) mustEncrypt(t *testing.T, key keyring.KeyRef, plaintext string, c map[string]string) []byte {
	t.Helper()
	blob, err := s.Encrypt(t.Context(), key, secret.Bytes(plaintext), c)
	if err != nil {
		t.Fatal(err)
	}
	return blob
}

func (s Symmetric) wantRefused(t *testing.T, what string, key keyring.KeyRef, blob []byte, c map[string]string) {
	t.Helper()
	got, err := s.Decrypt(t.Context(), key, blob, c)
	if got != nil || err == nil || !errors.Is(err, keyring.ErrInvalidCiphertext) && (s.Refused == nil || !s.Refused(err)) {
		t.Errorf("%s: Decrypt = %d bytes, %v", what, len(got), err)
	}
}

func (s Symmetric) opens(t *testing.T, key keyring.KeyRef) {
	for _, size := range []int{1, 15, 16, 17, 32, 1024, 4095, 4096} {
		plaintext := bytes.Repeat([]byte{byte(size)}, size)
		blob := s.mustEncrypt(t, key, string(plaintext), someContext)
		if len(blob) != size+s.Overhead {
			t.Errorf("%d bytes give a blob of %d", size, len(blob))
		}
		h, err := s.Parse(blob)
		if err != nil || h != (keyring.Header{Suite: s.Suite, KeyID: key.KeyID, MaterialID: key.Current.ID}) {
			t.Errorf("the blob's header is %+v, %v", h, err)
		}
		kept := bytes.Clone(blob)
		got, err := s.Decrypt(t.Context(), key, blob, maps.Clone(someContext))
		if err != nil || !got.Equal(plaintext) {
			t.Errorf("%d bytes: Decrypt: %v", size, err)
		}
		if !bytes.Equal(blob, kept) {
			t.Error("Decrypt changed the blob")
		}
		if s.Forget != nil {
			s.Forget(key.KeyID)
		}
	}
}

func (s Symmetric) sizes(t *testing.T, key keyring.KeyRef) {
	for _, size := range []int{0, 4097, 1 << 20} {
		if _, err := s.Encrypt(t.Context(), key, make(secret.Bytes, size), nil); !errors.Is(err, keyring.ErrPlaintextSize) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	long := map[string]string{"k": string(make([]byte, keyring.MaxContext))}
	if _, err := s.Encrypt(t.Context(), key, secret.Bytes("x"), long); !errors.Is(err, keyring.ErrContextTooLarge) {
		t.Errorf("a long context: %v", err)
	}
	if _, err := s.Decrypt(t.Context(), key, s.mustEncrypt(t, key, "x", nil), long); !errors.Is(err, keyring.ErrContextTooLarge) {
		t.Errorf("a long context: %v", err)
	}
}

func (s Symmetric) differ(t *testing.T, key keyring.KeyRef) {
	a, b := s.mustEncrypt(t, key, "same", nil), s.mustEncrypt(t, key, "same", nil)
	equal := 0
	for i := keyring.HeaderSize; i < len(a); i++ {
		if a[i] == b[i] {
			equal++
		}
	}
	if !bytes.Equal(a[:keyring.HeaderSize], b[:keyring.HeaderSize]) || equal > 40 {
		t.Errorf("two encryptions have %d bytes of %d in common", equal, len(a)-keyring.HeaderSize)
	}
}

func (s Symmetric) altered(t *testing.T, key keyring.KeyRef) {
	blob := s.mustEncrypt(t, key, "hello", someContext)
	for i := range blob {
		bad := bytes.Clone(blob)
		bad[i] ^= 1 << (i % 8)
		s.wantRefused(t, fmt.Sprintf("byte %d", i), key, bad, someContext)
	}
	for _, suite := range []keyring.Suite{keyring.SuiteSoftware, keyring.SuiteHSM, keyring.SuiteExternal, keyring.SuiteProxy, 1} {
		if bad := bytes.Clone(blob); suite != s.Suite {
			bad[0] = byte(suite)
			s.wantRefused(t, fmt.Sprintf("suite %#x", byte(suite)), key, bad, someContext)
		}
	}
}

func (s Symmetric) lengths(t *testing.T, key keyring.KeyRef) {
	blob := s.mustEncrypt(t, key, "hello", nil)
	for size := range blob {
		s.wantRefused(t, fmt.Sprintf("%d bytes", size), key, blob[:size], nil)
	}
	s.wantRefused(t, "a byte more", key, append(bytes.Clone(blob), 0), nil)
	s.wantRefused(t, "twice", key, append(bytes.Clone(blob), blob...), nil)
	s.wantRefused(t, "a megabyte", key, append(bytes.Clone(blob), make([]byte, 1<<20)...), nil)
}

func (s Symmetric) context(t *testing.T, key keyring.KeyRef) {
	blob := s.mustEncrypt(t, key, "hello", someContext)
	for name, c := range map[string]map[string]string{
		"none": nil, "one of two": {"tenant": "acme"}, "another value": {"tenant": "acme", "purpose": "Backup"},
		"another name": {"tenant": "acme", "Purpose": "backup"}, "one more": {"tenant": "acme", "purpose": "backup", "": ""},
		"swapped": {"acme": "tenant", "backup": "purpose"}, "moved": {"tenanta": "cme", "purpose": "backup"},
	} {
		s.wantRefused(t, name, key, blob, c)
	}
	bare := s.mustEncrypt(t, key, "hello", nil)
	if _, err := s.Decrypt(t.Context(), key, bare, map[string]string{}); err != nil {
		t.Errorf("no context and the empty one differ: %v", err)
	}
	s.wantRefused(t, "a context where there was none", key, bare, someContext)
}

func (s Symmetric) others(t *testing.T, a, b keyring.KeyRef) {
	blob := s.mustEncrypt(t, a, "hello", nil)
	s.wantRefused(t, "another key", b, blob, nil)
	s.wantRefused(t, "another key under this one's id", keyring.KeyRef{KeyID: a.KeyID, Current: b.Current}, blob, nil)
	s.wantRefused(t, "this material under another id", keyring.KeyRef{KeyID: b.KeyID, Current: a.Current}, blob, nil)
	next := s.mustKey(t, a.KeyID)
	if next.Current.ID == a.Current.ID {
		t.Fatal("two materials have one id")
	}
	s.wantRefused(t, "a material that the key does not have", next, blob, nil)
	next.Older = []keyring.Material{b.Current, a.Current}
	if got, err := s.Decrypt(t.Context(), next, blob, nil); err != nil || string(got) != "hello" {
		t.Errorf("with an older material: %v", err)
	}
	if h, err := s.Parse(s.mustEncrypt(t, next, "x", nil)); err != nil || h.MaterialID != next.Current.ID {
		t.Errorf("encrypted under %+v, %v", h, err)
	}
}

func (s Symmetric) specs(t *testing.T) {
	if _, err := s.Generate(t.Context(), "no key id", keyring.SymmetricDefault); !errors.Is(err, keyring.ErrKeyID) {
		t.Errorf("no key id: %v", err)
	}
	if !s.Generates {
		return
	}
	if _, err := s.Generate(t.Context(), keyA, "ROT_13"); !errors.Is(err, keyring.ErrUnsupported) {
		t.Errorf("another spec: %v", err)
	}
}

func (s Symmetric) random(t *testing.T) {
	if s.Random == nil {
		return
	}
	for _, n := range []int{1, 32, keyring.MaxRandom} {
		got, err := s.Random(t.Context(), n)
		if err != nil || len(got) != n {
			t.Errorf("%d bytes: %d, %v", n, len(got), err)
		}
		again, err := s.Random(t.Context(), n)
		if err != nil || n > 1 && got.Equal(again) {
			t.Errorf("%d bytes came twice, %v", n, err)
		}
	}
	for _, n := range []int{-1, 0, keyring.MaxRandom + 1} {
		if got, err := s.Random(t.Context(), n); err == nil {
			t.Errorf("%d bytes: %d", n, len(got))
		}
	}
}

// atOnce uses keys from several goroutines, and forgets them beneath.
func (s Symmetric) atOnce(t *testing.T, a, b keyring.KeyRef) {
	var wg sync.WaitGroup
	for i, key := range []keyring.KeyRef{a, b, a, b} {
		wg.Go(func() {
			for j := range 10 {
				text := fmt.Sprintf("%d %d", i, j)
				blob, err := s.Encrypt(t.Context(), key, secret.Bytes(text), someContext)
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := s.Decrypt(t.Context(), key, blob, someContext); err != nil || string(got) != text {
					t.Errorf("%s: %v", text, err)
				}
				if s.Forget != nil {
					s.Forget(key.KeyID)
				}
			}
		})
	}
	wg.Wait()
}
