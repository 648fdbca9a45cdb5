package software

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/secret"
	"pgregory.net/rapid"
)

type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// vector is one case of testdata/vectors.py.
type vector struct {
	KeyID, MaterialID string
	Material, Wrapped hexBytes
	Context           map[string]string
	Canonical, Salt   hexBytes
	Plaintext, Blob   hexBytes
}

func (v vector) key() keyring.KeyRef {
	return keyring.KeyRef{KeyID: v.KeyID, Current: keyring.Material{
		ID: v.MaterialID, Spec: keyring.SymmetricDefault, DomainVersion: 1, Wrapped: v.Wrapped}}
}

func readVectors(t testing.TB) []vector {
	t.Helper()
	b, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Domain hexBytes
		Cases  []vector
	}
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) == 0 || !bytes.Equal(file.Domain, bytes.Repeat([]byte{0xd0}, 32)) {
		t.Fatal("vectors.json is not what this test knows")
	}
	return file.Cases
}

func TestVectors(t *testing.T) {
	for _, v := range readVectors(t) {
		if id, err := materialID(v.KeyID, secret.Bytes(v.Material)); err != nil || id != v.MaterialID {
			t.Errorf("material id %s (%v), want %s", id, err, v.MaterialID)
		}
		if c, err := keyring.AppendContext(nil, v.Context); err != nil || !bytes.Equal(c, v.Canonical) {
			t.Errorf("canonical context %x (%v), want %x", c, err, v.Canonical)
		}
		r := newRing(t, Config{})
		got, err := r.Decrypt(context.Background(), v.key(), v.Blob, v.Context)
		if err != nil || !bytes.Equal(got, v.Plaintext) {
			t.Errorf("%s, %d bytes: Decrypt: %v", v.KeyID, len(v.Plaintext), err)
		}
		// With the same salt Encrypt must make the same blob up to the nonce, which
		// the module chooses.
		r = newRing(t, Config{Rand: bytes.NewReader(v.Salt)})
		blob, err := r.Encrypt(context.Background(), v.key(), secret.Bytes(v.Plaintext), v.Context)
		if err != nil || len(blob) != len(v.Blob) || !bytes.Equal(blob[:nonceAt], v.Blob[:nonceAt]) {
			t.Errorf("Encrypt gives %x (%v), want %x", blob, err, v.Blob)
		}
	}
}

// TestWrapIsAsInVectors generates material from known randomness and compares
// what does not depend on the module's nonce.
func TestWrapIsAsInVectors(t *testing.T) {
	for _, v := range readVectors(t) {
		salt := v.Wrapped[1:33]
		r := newRing(t, Config{Rand: bytes.NewReader(append(bytes.Clone(v.Material), salt...))})
		m, err := r.Generate(context.Background(), v.KeyID, keyring.SymmetricDefault)
		if err != nil {
			t.Fatal(err)
		}
		want := v.key().Current
		if m.ID != want.ID || m.Spec != want.Spec || m.DomainVersion != want.DomainVersion ||
			len(m.Wrapped) != len(want.Wrapped) || !bytes.Equal(m.Wrapped[:33], want.Wrapped[:33]) {
			t.Errorf("Generate = %+v, want %+v", m, want)
		}
		got, err := r.Decrypt(context.Background(), keyring.KeyRef{KeyID: v.KeyID, Current: m}, v.Blob, v.Context)
		if err != nil || !bytes.Equal(got, v.Plaintext) {
			t.Errorf("%s: Decrypt with generated material: %v", v.KeyID, err)
		}
	}
}

// TestDeriveIsHKDF holds the keyed states against crypto/hkdf, in one deriver
// that serves messages of all lengths in turn.
func TestDeriveIsHKDF(t *testing.T) {
	material := bytes.Repeat([]byte{0x5a}, materialSize)
	e, err := newEntry(uuidA, "m", material)
	if err != nil {
		t.Fatal(err)
	}
	text := rapid.StringN(0, 300, -1)
	contexts := rapid.MapOfN(text, text, 0, 4)
	prefixes := rapid.SliceOfN(rapid.Byte(), 0, 200)
	rapid.Check(t, func(t *rapid.T) {
		prefix, ec := prefixes.Draw(t, "prefix"), contexts.Draw(t, "context")
		d := e.take()
		defer e.release(d)
		if err := d.derive(prefix, ec); err != nil {
			t.Fatal(err)
		}
		canonical, err := keyring.AppendContext(nil, ec)
		if err != nil {
			t.Fatal(err)
		}
		for label, got := range map[string][]byte{
			"strongroom/keyring/commitment/v1": d.commitment[:],
			"strongroom/keyring/key/v1":        d.key[:],
		} {
			want, err := hkdf.Key(sha256.New, material, []byte("strongroom/keyring/message/v1"), label+"\x00"+string(prefix)+string(canonical), 32)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s: %x, want %x (%v)", label, got, want, err)
			}
		}
	})
}
