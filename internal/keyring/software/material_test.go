package software

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/secret"
)

// mustWrap wraps given bytes, as Generate does with random ones.
func mustWrap(t testing.TB, r *Ring, keyID string, material []byte) keyring.Material {
	t.Helper()
	m, err := r.wrap(keyID, keyring.SymmetricDefault, material, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMaterialID(t *testing.T) {
	r := newRing(t, Config{})
	one, two := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	m := mustWrap(t, r, uuidA, one)
	if again := mustWrap(t, r, uuidA, one); again.ID != m.ID {
		t.Error("the same bytes in the same key have another id")
	} else if bytes.Equal(again.Wrapped, m.Wrapped) {
		t.Error("wrapping twice gives the same bytes")
	}
	if other := newRing(t, Config{Domain: domainOf(t, 0xd1)}); mustWrap(t, other, uuidA, one).ID != m.ID {
		t.Error("the id depends on the domain key")
	}
	for _, keyID := range []string{uuidB, mrkA} {
		if mustWrap(t, r, keyID, one).ID == m.ID {
			t.Errorf("the same bytes in key %s have the same id", keyID)
		}
	}
	if mustWrap(t, r, uuidA, two).ID == m.ID {
		t.Error("other bytes have the same id")
	}
	if len(m.ID) != 64 || strings.Trim(m.ID, "0123456789abcdef") != "" {
		t.Errorf("the id is %q", m.ID)
	}
}

func TestGenerateRefusals(t *testing.T) {
	r := newRing(t, Config{})
	for _, keyID := range []string{"", "x", strings.ToUpper(uuidA)} {
		if m, err := r.Generate(context.Background(), keyID, keyring.SymmetricDefault); !errors.Is(err, keyring.ErrKeyID) || m.Wrapped != nil {
			t.Errorf("key id %q: %v", keyID, err)
		}
	}
	for _, spec := range []keyring.Spec{"", "RSA_1024", "symmetric_default"} {
		if _, err := r.Generate(context.Background(), uuidA, spec); !errors.Is(err, keyring.ErrUnsupported) {
			t.Errorf("spec %q: %v", spec, err)
		}
	}
	for _, n := range []int{0, 31, 32, 63} {
		if _, err := newRing(t, Config{Rand: bytes.NewReader(make([]byte, n))}).Generate(context.Background(), uuidA, keyring.SymmetricDefault); err == nil {
			t.Errorf("Generate needs but %d random bytes", n)
		}
	}
}

// TestMovedMaterialIsCorrupt presents wrapped material with everything that it is
// bound to changed in turn. Each ring is new, so that nothing comes from a cache.
func TestMovedMaterialIsCorrupt(t *testing.T) {
	domain := domainOf(t, 0xd0)
	maker := newRing(t, Config{Domain: domain})
	a, b := mustGenerate(t, maker, uuidA), mustGenerate(t, maker, uuidB)
	for name, c := range map[string]struct {
		domain *seal.Domain
		key    keyring.KeyRef
	}{
		"another key":          {domain, keyring.KeyRef{KeyID: uuidB, Current: a.Current}},
		"another key's bytes":  {domain, withMaterial(b, func(m *keyring.Material) { m.Wrapped = a.Current.Wrapped })},
		"another material id":  {domain, withMaterial(a, func(m *keyring.Material) { m.ID = b.Current.ID })},
		"unknown version":      {domain, withMaterial(a, func(m *keyring.Material) { m.DomainVersion = 2 })},
		"version 0":            {domain, withMaterial(a, func(m *keyring.Material) { m.DomainVersion = 0 })},
		"another domain":       {domainOf(t, 0xd1), a},
		"nothing":              {domain, withMaterial(a, func(m *keyring.Material) { m.Wrapped = nil })},
		"longer":               {domain, withMaterial(a, func(m *keyring.Material) { m.Wrapped = append(bytes.Clone(m.Wrapped), 0) })},
		"format of tomorrow":   {domain, withMaterial(a, func(m *keyring.Material) { m.Wrapped = append([]byte{2}, m.Wrapped[1:]...) })},
		"material of 31 bytes": {domain, withMaterial(a, func(m *keyring.Material) { *m = mustWrap(t, maker, uuidA, make([]byte, 31)) })},
	} {
		r := newRing(t, Config{Domain: c.domain})
		if _, err := r.Encrypt(context.Background(), c.key, secret.Bytes("x"), nil); !errors.Is(err, keyring.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range a.Current.Wrapped {
		bad := withMaterial(a, func(m *keyring.Material) {
			m.Wrapped = bytes.Clone(m.Wrapped)
			m.Wrapped[i] ^= 0x80
		})
		if _, err := newRing(t, Config{Domain: domain}).Encrypt(context.Background(), bad, secret.Bytes("x"), nil); !errors.Is(err, keyring.ErrCorrupt) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
	// The spec is bound too, although only one is usable today.
	got := make(secret.Bytes, materialSize)
	m := a.Current
	m.Spec = "HMAC_256"
	if err := maker.unwrap(got, uuidA, m); !errors.Is(err, keyring.ErrCorrupt) {
		t.Errorf("another spec: %v", err)
	}
	// And with a warm cache: a ring that has a's material must not serve it as b's.
	warm := newRing(t, Config{Domain: domain, CacheSize: 1})
	mustEncrypt(t, warm, a, "x", nil)
	if _, err := warm.Encrypt(context.Background(), keyring.KeyRef{KeyID: uuidB, Current: a.Current}, secret.Bytes("x"), nil); !errors.Is(err, keyring.ErrCorrupt) {
		t.Errorf("another key, warm cache: %v", err)
	}
}

func withMaterial(key keyring.KeyRef, change func(*keyring.Material)) keyring.KeyRef {
	change(&key.Current)
	return key
}

func TestMaterialSurvivesJSON(t *testing.T) {
	r := newRing(t, Config{})
	key := mustGenerate(t, r, uuidA)
	blob := mustEncrypt(t, r, key, "x", nil)
	stored, err := json.Marshal(key.Current)
	if err != nil {
		t.Fatal(err)
	}
	var back keyring.Material
	if err := json.Unmarshal(stored, &back); err != nil {
		t.Fatal(err)
	}
	got, err := newRing(t, Config{}).Decrypt(context.Background(), keyring.KeyRef{KeyID: uuidA, Current: back}, blob, nil)
	if err != nil || string(got) != "x" {
		t.Errorf("Decrypt with stored material: %v", err)
	}
}

// TestNothingIsShown looks for material in everything that leaves the package.
func TestNothingIsShown(t *testing.T) {
	material := bytes.Repeat([]byte("\xc5\xe7"), 16)
	r := newRing(t, Config{Rand: bytes.NewReader(append(bytes.Clone(material), make([]byte, 64)...))})
	key := mustGenerate(t, r, uuidA)
	blob := mustEncrypt(t, r, key, string(material), nil) // the plaintext is the canary too
	prk := bytes.Clone(r.cache.shard(uuidA).byID[key.Current.ID].prk)

	var shown strings.Builder
	print := func(v any) {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&shown, verb+"\n", v)
		}
	}
	type holder struct {
		Ring *Ring
		ring *Ring
		key  keyring.KeyRef
	}
	print(r)
	print(holder{r, r, key})
	print(&holder{r, r, key})
	print(Config{Domain: domainOf(t, 0xc5)})
	for _, err := range []error{
		errOf(r.Encrypt(context.Background(), keyring.KeyRef{KeyID: uuidB, Current: key.Current}, material, nil)),
		errOf(r.Decrypt(context.Background(), key, blob, someContext)),
		errOf(r.Encrypt(context.Background(), key, bytes.Repeat(material, 129), nil)),
	} {
		print(err)
	}
	stored, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	shown.Write(stored)
	shown.Write(key.Current.Wrapped)
	shown.Write(blob)
	out := shown.String()
	for name, b := range map[string][]byte{"material": material, "pseudorandom key": prk, "domain key": bytes.Repeat([]byte{0xc5}, 32)} {
		part := b[:8]
		for _, form := range []string{string(part), fmt.Sprintf("%x", part), strings.Trim(fmt.Sprint(part), "[]"), strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", part), "[]byte{"), "}")} {
			if strings.Contains(out, form) {
				t.Errorf("the %s is shown as %q in:\n%s", name, form, out)
			}
		}
	}
}

func errOf[T any](_ T, err error) error { return err }
