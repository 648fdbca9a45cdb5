package software

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/secret"
)

func mustDetach(t *testing.T, r *Ring, key keyring.KeyRef, plaintext, aad string) keyring.Detached {
	t.Helper()
	d, err := r.EncryptDetached(context.Background(), key, secret.Bytes(plaintext), []byte(aad))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDetachedOpensAndHasTheSpecifiedSizes(t *testing.T) {
	r := newRing(t, Config{})
	key := mustGenerate(t, r, uuidA)
	for _, size := range []int{1, 16, 4188, 4300} {
		for _, aad := range []string{"", "aad", string(bytes.Repeat([]byte{7}, 8192))} {
			plaintext := string(bytes.Repeat([]byte{9}, size))
			d := mustDetach(t, r, key, plaintext, aad)
			if len(d.IV) != 16 || len(d.Tag) != 16 || len(d.Metadata) > 20 || len(d.Ciphertext) != size {
				t.Errorf("IV %d, tag %d, metadata %d, ciphertext %d of %d", len(d.IV), len(d.Tag), len(d.Metadata), len(d.Ciphertext), size)
			}
			got, err := r.DecryptDetached(context.Background(), key, d, []byte(aad))
			if err != nil || !got.Equal([]byte(plaintext)) {
				t.Errorf("%d bytes, aad of %d: %v", size, len(aad), err)
			}
		}
	}
	for _, size := range []int{0, 4301} {
		if _, err := r.EncryptDetached(context.Background(), key, make(secret.Bytes, size), nil); !errors.Is(err, keyring.ErrPlaintextSize) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	if _, err := r.EncryptDetached(context.Background(), key, secret.Bytes("x"), make([]byte, 8193)); !errors.Is(err, keyring.ErrContextTooLarge) {
		t.Errorf("aad of 8193 bytes: %v", err)
	}
}

// TestDetachedRefusesEveryFlippedBit: in each part, and in the aad; and metadata
// that is moved to the end of the aad, which the lengths keep apart.
func TestDetachedRefusesEveryFlippedBit(t *testing.T) {
	r := newRing(t, Config{})
	key := mustGenerate(t, r, uuidA)
	d := mustDetach(t, r, key, "hello world", "aad")
	refused := func(what string, key keyring.KeyRef, d keyring.Detached, aad string) {
		t.Helper()
		if got, err := r.DecryptDetached(context.Background(), key, d, []byte(aad)); err != keyring.ErrInvalidCiphertext || got != nil {
			t.Errorf("%s: %d bytes, %v", what, len(got), err)
		}
	}
	for name, part := range map[string][]byte{"IV": d.IV, "metadata": d.Metadata, "ciphertext": d.Ciphertext, "tag": d.Tag} {
		for bit := range len(part) * 8 {
			part[bit/8] ^= 1 << (bit % 8)
			refused(name, key, d, "aad")
			part[bit/8] ^= 1 << (bit % 8)
		}
	}
	for _, aad := range []string{"", "aae", "aad ", "aad" + string(d.Metadata)} {
		refused("aad", key, d, aad)
	}
	without := d
	without.Metadata = nil
	refused("no metadata", key, without, "aad")
	refused("no metadata", key, without, "aad"+string(d.Metadata))
	short := d
	short.IV = d.IV[:12]
	refused("short IV", key, short, "aad")
	refused("another key", mustGenerate(t, r, uuidB), d, "aad")
}

func TestDetachedOpensAfterRotation(t *testing.T) {
	r := newRing(t, Config{})
	key := mustGenerate(t, r, uuidA)
	old := mustDetach(t, r, key, "before", "")
	rotated := keyring.KeyRef{KeyID: uuidA, Current: mustGenerate(t, r, uuidA).Current, Older: []keyring.Material{key.Current}}
	if got, err := r.DecryptDetached(context.Background(), rotated, old, nil); err != nil || !got.Equal([]byte("before")) {
		t.Errorf("an older material's ciphertext: %v", err)
	}
	fresh := mustDetach(t, r, rotated, "after", "")
	for material, d := range map[string]keyring.Detached{key.Current.ID: old, rotated.Current.ID: fresh} {
		if named := hex.EncodeToString(d.Metadata[1:4]); named != material[:6] {
			t.Errorf("the metadata names %s, not %s", named, material)
		}
	}
	if _, err := r.DecryptDetached(context.Background(), key, fresh, nil); !errors.Is(err, keyring.ErrInvalidCiphertext) {
		t.Errorf("without the new material: %v", err)
	}
}

func TestInnerLayerOpensUnderItsHeaderAlone(t *testing.T) {
	r := newRing(t, Config{})
	key := mustGenerate(t, r, uuidA)
	header, body, err := r.EncryptInner(context.Background(), keyring.SuiteExternal, key, secret.Bytes("hello"), someContext)
	if err != nil {
		t.Fatal(err)
	}
	open := func(header []byte, body secret.Bytes, c map[string]string) (secret.Bytes, error) {
		return r.DecryptInner(context.Background(), key, header, body, c)
	}
	if got, err := open(header, body, someContext); err != nil || !got.Equal([]byte("hello")) {
		t.Fatalf("%v", err)
	}
	// The two layers' forms never stand for each other.
	wantRefused(t, "an inner layer as a whole ciphertext", r, key, append(bytes.Clone(header), body...), someContext)
	whole := mustEncrypt(t, r, key, "hello", someContext)
	for what, err := range map[string]error{
		"another context": second(open(header, body, nil)),
		"a whole one":     second(open(whole[:keyring.HeaderSize], whole[keyring.HeaderSize:], someContext)),
		"a short body":    second(open(header, body[:10], someContext)),
		"a short header":  second(open(header[:65], body, someContext)),
		"no body":         second(open(header, nil, someContext)),
	} {
		if !errors.Is(err, keyring.ErrInvalidCiphertext) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func second(_ secret.Bytes, err error) error { return err }
