package software

import (
	"bytes"
	"context"
	"testing"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/secret"
)

const (
	uuidA = "1234abcd-12ab-34cd-56ef-1234567890ab"
	uuidB = "00000000-0000-4000-8000-000000000001"
	mrkA  = "mrk-1234abcd12ab34cd56ef1234567890ab"
)

// plainRoot is a root of trust that protects nothing.
type plainRoot struct{}

func (plainRoot) ID() string       { return "plain" }
func (plainRoot) Describe() string { return "no root at all" }
func (plainRoot) Wrap(_ context.Context, plaintext secret.Bytes, _ seal.Place) ([]byte, error) {
	return bytes.Clone(plaintext), nil
}
func (plainRoot) Unwrap(_ context.Context, wrapped []byte, _ seal.Place) (secret.Bytes, error) {
	return bytes.Clone(wrapped), nil
}

// domainOf returns a domain whose key is 32 times fill.
func domainOf(t testing.TB, fill byte) *seal.Domain {
	t.Helper()
	d, _, err := seal.Create(context.Background(), plainRoot{}, "test", bytes.NewReader(bytes.Repeat([]byte{fill}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func newRing(t testing.TB, c Config) *Ring {
	t.Helper()
	if c.Domain == nil {
		c.Domain = domainOf(t, 0xd0)
	}
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustGenerate(t testing.TB, r *Ring, keyID string) keyring.KeyRef {
	t.Helper()
	m, err := r.Generate(context.Background(), keyID, keyring.SymmetricDefault)
	if err != nil {
		t.Fatal(err)
	}
	return keyring.KeyRef{KeyID: keyID, Current: m}
}

func mustEncrypt(t testing.TB, r *Ring, key keyring.KeyRef, plaintext string, encryptionContext map[string]string) []byte {
	t.Helper()
	blob, err := r.Encrypt(context.Background(), key, secret.Bytes(plaintext), encryptionContext)
	if err != nil {
		t.Fatal(err)
	}
	return blob
}

func TestNewChecksItsConfig(t *testing.T) {
	for name, c := range map[string]Config{"no domain": {}, "negative cache": {Domain: domainOf(t, 1), CacheSize: -1}} {
		if _, err := New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestRandom(t *testing.T) {
	r := newRing(t, Config{})
	for _, n := range []int{1, 16, 1024} {
		a, err := r.Random(context.Background(), n)
		if err != nil || len(a) != n {
			t.Errorf("Random(%d): %d bytes, %v", n, len(a), err)
		}
		if b, _ := r.Random(context.Background(), n); n >= 16 && b.Equal(a) {
			t.Errorf("Random(%d) repeats itself", n)
		}
	}
	for _, n := range []int{-1, 0, 1025} {
		if _, err := r.Random(context.Background(), n); err == nil {
			t.Errorf("Random(%d) is accepted", n)
		}
	}
	if _, err := newRing(t, Config{Rand: bytes.NewReader(nil)}).Random(context.Background(), 1); err == nil {
		t.Error("Random went without randomness")
	}
}
