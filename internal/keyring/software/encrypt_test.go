package software

import (
	"bytes"
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/secret"
)

var someContext = map[string]string{"tenant": "acme", "purpose": "backup"}

// wantRefused checks that a blob is refused in the one way there is.
func wantRefused(t *testing.T, what string, r *Ring, key keyring.KeyRef, blob []byte, encryptionContext map[string]string) {
	t.Helper()
	got, err := r.Decrypt(context.Background(), key, blob, encryptionContext)
	if err != keyring.ErrInvalidCiphertext || got != nil {
		t.Errorf("%s: Decrypt = %d bytes, %v", what, len(got), err)
	}
}

func TestEncryptDecrypt(t *testing.T) {
	r := newRing(t, Config{})
	for _, keyID := range []string{uuidA, mrkA} {
		key := mustGenerate(t, r, keyID)
		for _, size := range []int{1, 15, 16, 17, 32, 1024, 4095, 4096} {
			plaintext := bytes.Repeat([]byte{byte(size)}, size)
			blob := mustEncrypt(t, r, key, string(plaintext), someContext)
			if len(blob) != size+keyring.Overhead {
				t.Errorf("%d bytes give a blob of %d", size, len(blob))
			}
			h, err := r.ParseCiphertext(blob)
			if err != nil || h != (keyring.Header{Suite: keyring.SuiteSoftware, KeyID: keyID, MaterialID: key.Current.ID}) {
				t.Errorf("the blob's header is %+v, %v", h, err)
			}
			kept := bytes.Clone(blob)
			got, err := r.Decrypt(context.Background(), key, blob, someContext)
			if err != nil || !got.Equal(plaintext) {
				t.Errorf("%d bytes: Decrypt: %v", size, err)
			}
			if !bytes.Equal(blob, kept) {
				t.Error("Decrypt changed the blob")
			}
		}
	}
}

func TestPlaintextSize(t *testing.T) {
	r := newRing(t, Config{})
	key := mustGenerate(t, r, uuidA)
	for _, size := range []int{0, 4097, 1 << 20} {
		if _, err := r.Encrypt(context.Background(), key, make(secret.Bytes, size), nil); err != keyring.ErrPlaintextSize {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func TestTwoEncryptionsDiffer(t *testing.T) {
	r := newRing(t, Config{})
	key := mustGenerate(t, r, uuidA)
	a, b := mustEncrypt(t, r, key, "same", nil), mustEncrypt(t, r, key, "same", nil)
	parts := map[string][2]int{"salt": {saltAt, commitmentAt}, "commitment": {commitmentAt, nonceAt}, "nonce": {nonceAt, nonceAt + 12}, "ciphertext": {nonceAt + 12, len(a)}}
	for name, at := range parts {
		if bytes.Equal(a[at[0]:at[1]], b[at[0]:at[1]]) {
			t.Errorf("two encryptions have one %s", name)
		}
	}
}

func TestEveryBitFlipIsRefused(t *testing.T) {
	r := newRing(t, Config{})
	key := mustGenerate(t, r, uuidA)
	blob := mustEncrypt(t, r, key, "some forty bytes of plaintext to protect", someContext)
	for i := range blob {
		for bit := range 8 {
			blob[i] ^= 1 << bit
			wantRefused(t, fmt.Sprintf("bit %d of byte %d", bit, i), r, key, blob, someContext)
			blob[i] ^= 1 << bit
		}
	}
}

func TestEveryOtherLengthIsRefused(t *testing.T) {
	r := newRing(t, Config{})
	key := mustGenerate(t, r, uuidA)
	blob := mustEncrypt(t, r, key, "some forty bytes of plaintext to protect", someContext)
	for i := range blob {
		wantRefused(t, fmt.Sprintf("cut to %d", i), r, key, blob[:i], someContext)
		wantRefused(t, fmt.Sprintf("without its first %d", i+1), r, key, blob[i+1:], someContext)
	}
	for _, n := range []int{1, 16, 4096, 10 << 20} {
		wantRefused(t, fmt.Sprintf("extended by %d", n), r, key, append(bytes.Clone(blob), make([]byte, n)...), someContext)
	}
}

func TestContextIsBound(t *testing.T) {
	r := newRing(t, Config{})
	key := mustGenerate(t, r, uuidA)
	blob := mustEncrypt(t, r, key, "x", someContext)
	for i := range 20 { // maps are walked in another order each time
		same := map[string]string{}
		for _, name := range []string{"purpose", "tenant"} {
			same[name] = someContext[name]
		}
		if _, err := r.Decrypt(context.Background(), key, blob, same); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
	}
	for _, c := range []map[string]string{
		nil,
		{},
		{"tenant": "acme"},
		{"tenant": "acme", "purpose": "backup", "more": ""},
		{"Tenant": "acme", "purpose": "backup"},
		{"tenant": "Acme", "purpose": "backup"},
		{"tenant": "backup", "purpose": "acme"},
		{"tenantacme": "", "purpose": "backup"},
		{"tenant": "acme ", "purpose": "backup"},
	} {
		wantRefused(t, fmt.Sprintf("context %q", c), r, key, blob, c)
	}
	// é composed and decomposed look alike and are not.
	blob = mustEncrypt(t, r, key, "x", map[string]string{"\u00e9": ""})
	wantRefused(t, "decomposed é", r, key, blob, map[string]string{"e\u0301": ""})
	// No context and the empty one are the same, both ways.
	for _, pair := range [][2]map[string]string{{nil, {}}, {{}, nil}} {
		if _, err := r.Decrypt(context.Background(), key, mustEncrypt(t, r, key, "x", pair[0]), pair[1]); err != nil {
			t.Errorf("%#v then %#v: %v", pair[0], pair[1], err)
		}
	}
}

func TestContextSize(t *testing.T) {
	r := newRing(t, Config{})
	key := mustGenerate(t, r, uuidA)
	fits := map[string]string{"n": strings.Repeat("v", keyring.MaxContext-4-8-1)}
	blob := mustEncrypt(t, r, key, "x", fits)
	if _, err := r.Decrypt(context.Background(), key, blob, fits); err != nil {
		t.Error(err)
	}
	fits["n"] += "v"
	if _, err := r.Encrypt(context.Background(), key, secret.Bytes("x"), fits); err != keyring.ErrContextTooLarge {
		t.Errorf("Encrypt: %v", err)
	}
	if _, err := r.Decrypt(context.Background(), key, blob, fits); err != keyring.ErrContextTooLarge {
		t.Errorf("Decrypt: %v", err)
	}
	if blob := mustEncrypt(t, r, key, "x", nil); len(blob) != keyring.Overhead+1 {
		t.Error("a refused context left something behind")
	}
}

func TestOtherKeysAndMaterials(t *testing.T) {
	r := newRing(t, Config{})
	a, b := mustGenerate(t, r, uuidA), mustGenerate(t, r, uuidB)
	next := mustGenerate(t, r, uuidA)
	blob := mustEncrypt(t, r, a, "x", nil)

	rotated := keyring.KeyRef{KeyID: uuidA, Current: next.Current, Older: []keyring.Material{b.Current, a.Current}}
	if got, err := r.Decrypt(context.Background(), rotated, blob, nil); err != nil || string(got) != "x" {
		t.Errorf("after rotation: %v", err)
	}
	if h, err := r.ParseCiphertext(mustEncrypt(t, r, rotated, "x", nil)); err != nil || h.MaterialID != next.Current.ID {
		t.Errorf("Encrypt after rotation used %+v, %v", h, err)
	}
	wantRefused(t, "another key", r, b, blob, nil)
	wantRefused(t, "another material", r, next, blob, nil)
	wantRefused(t, "another key with the right material", r, keyring.KeyRef{KeyID: uuidB, Current: a.Current}, blob, nil)

	// The blob is rewritten to name the other key or material: what is bound in no
	// longer matches.
	for name, to := range map[string]keyring.KeyRef{"key": b, "material": next} {
		moved, err := r.headers.Append(nil, keyring.Header{Suite: keyring.SuiteSoftware, KeyID: to.KeyID, MaterialID: to.Current.ID})
		if err != nil {
			t.Fatal(err)
		}
		wantRefused(t, "moved to another "+name, r, to, append(moved, blob[keyring.HeaderSize:]...), nil)
	}
}

// TestCommitment shows that the commitment depends on everything that the key
// depends on, so that a blob that opens under two keys or contexts needs two
// inputs with one HMAC; and that it is checked, in a blob that is right in all
// else: GCM alone would open it.
func TestCommitment(t *testing.T) {
	base := mustDerive(t, bytes.Repeat([]byte{1}, 32), make([]byte, commitmentAt), someContext)
	otherPrefix := make([]byte, commitmentAt)
	otherPrefix[commitmentAt-1] = 1
	for name, other := range map[string]*deriver{
		"material": mustDerive(t, append(bytes.Repeat([]byte{1}, 31), 2), make([]byte, commitmentAt), someContext),
		"salt":     mustDerive(t, bytes.Repeat([]byte{1}, 32), otherPrefix, someContext),
		"context":  mustDerive(t, bytes.Repeat([]byte{1}, 32), make([]byte, commitmentAt), nil),
	} {
		if other.commitment == base.commitment || other.key == base.key {
			t.Errorf("another %s gives the same commitment or key", name)
		}
	}
	if base.commitment == base.key {
		t.Error("the commitment shows the key")
	}

	r := newRing(t, Config{})
	key := mustGenerate(t, r, uuidA)
	for name, flip := range map[string]byte{"right": 0, "wrong": 1} {
		blob := mustEncrypt(t, r, key, "x", nil)[:nonceAt]
		blob[nonceAt-1] ^= flip
		err := r.withMessageKey(uuidA, &key.Current, blob[:commitmentAt], nil, func(_ *deriver, aead cipher.AEAD) error {
			blob = aead.Seal(blob, nil, []byte("y"), blob)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if flip == 0 {
			if got, err := r.Decrypt(context.Background(), key, blob, nil); err != nil || string(got) != "y" {
				t.Fatalf("a blob that is made by hand does not open: %v", err)
			}
		} else {
			wantRefused(t, name+" commitment", r, key, blob, nil)
		}
	}
}

func mustDerive(t *testing.T, material, prefix []byte, encryptionContext map[string]string) *deriver {
	t.Helper()
	e, err := newEntry(uuidA, "m", material)
	if err != nil {
		t.Fatal(err)
	}
	d := e.take()
	if err := d.derive(prefix, encryptionContext); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestEncryptRefusals(t *testing.T) {
	r := newRing(t, Config{})
	good := mustGenerate(t, r, uuidA)
	for name, c := range map[string]struct {
		change func(*keyring.KeyRef)
		want   error
	}{
		"key id":      {func(k *keyring.KeyRef) { k.KeyID = "alias/x" }, keyring.ErrKeyID},
		"material id": {func(k *keyring.KeyRef) { k.Current.ID = "" }, keyring.ErrCorrupt},
		"spec":        {func(k *keyring.KeyRef) { k.Current.Spec = "RSA_2048" }, keyring.ErrUnsupported},
		"other key":   {func(k *keyring.KeyRef) { k.KeyID = uuidB }, keyring.ErrCorrupt},
	} {
		key := good
		c.change(&key)
		if blob, err := r.Encrypt(context.Background(), key, secret.Bytes("x"), nil); !errors.Is(err, c.want) || blob != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	short := newRing(t, Config{Rand: strings.NewReader("short")})
	if _, err := short.Encrypt(context.Background(), good, secret.Bytes("x"), nil); err == nil {
		t.Error("Encrypt went without a salt")
	}
}

func FuzzDecrypt(f *testing.F) {
	r := newRing(f, Config{})
	v := readVectors(f)[1]
	for _, v := range readVectors(f)[:3] {
		f.Add([]byte(v.Blob), "tenant", "acme")
	}
	f.Fuzz(func(t *testing.T, blob []byte, name, value string) {
		got, err := r.Decrypt(context.Background(), v.key(), blob, map[string]string{name: value, "purpose": "backup"})
		genuine := bytes.Equal(blob, v.Blob) && name == "tenant" && value == "acme"
		if genuine != (err == nil) || err == nil && !bytes.Equal(got, v.Plaintext) {
			t.Fatalf("Decrypt = %x, %v", []byte(got), err)
		}
		if err != nil && err != keyring.ErrInvalidCiphertext && err != keyring.ErrContextTooLarge {
			t.Fatalf("Decrypt: %v", err)
		}
	})
}
