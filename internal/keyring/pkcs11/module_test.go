package pkcs11

import (
	"context"
	"encoding/hex"
	"errors"
	"path/filepath"
	"testing"

	"github.com/strongroom/strongroom/internal/hsm"
	"github.com/strongroom/strongroom/internal/hsm/hsmtest"
	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/keyring/keyringtest"
	"github.com/strongroom/strongroom/internal/keyring/software"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/secret"
)

func TestMain(m *testing.M) { hsmtest.Main(m) }

const keyID = "1234abcd-12ab-34cd-56ef-1234567890ab"

func newModule(t testing.TB) (*Module, *software.Ring) {
	t.Helper()
	root, err := seal.CreateFileRoot(filepath.Join(t.TempDir(), "root.key"), nil)
	if err != nil {
		t.Fatal(err)
	}
	domain, _, err := seal.Create(t.Context(), root, "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := software.New(software.Config{Domain: domain})
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(ring)
	if err != nil {
		t.Fatal(err)
	}
	return m, ring
}

func openMemory(t *testing.T, token *hsmtest.Token) hsm.Slot {
	t.Helper()
	s, err := hsmtest.Tokens{token}.Open(t.Context(), hsm.Config{Token: hsm.Token{Label: "token"}, PIN: hsm.FixedPIN(secret.Bytes("1234"))})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// contract is the suite on keys in an HSM.
func contract(m *Module, ring *software.Ring, in hsm.Keys) keyringtest.Symmetric {
	return keyringtest.Symmetric{
		Suite: keyring.SuiteHSM, Overhead: keyring.Overhead + hsm.Overhead, Generates: true,
		Generate: func(ctx context.Context, id string, spec keyring.Spec) (keyring.Material, error) {
			return m.Generate(ctx, in, id, spec)
		},
		Encrypt: func(ctx context.Context, key keyring.KeyRef, plaintext secret.Bytes, c map[string]string) ([]byte, error) {
			return m.Encrypt(ctx, in, key, plaintext, c)
		},
		Decrypt: func(ctx context.Context, key keyring.KeyRef, blob []byte, c map[string]string) (secret.Bytes, error) {
			return m.Decrypt(ctx, in, key, blob, c)
		},
		Parse:  ring.ParseCiphertext,
		Random: func(ctx context.Context, n int) (secret.Bytes, error) { return m.Random(ctx, in, n) },
		Forget: ring.Forget,
	}
}

func TestContractOnMemory(t *testing.T) {
	m, ring := newModule(t)
	a, b := hsmtest.NewToken("token", "1234"), hsmtest.NewToken("token", "1234")
	group, err := hsm.NewGroup(0, openMemory(t, a), openMemory(t, b))
	if err != nil {
		t.Fatal(err)
	}
	contract(m, ring, group).Run(t)
	if a.Len() != b.Len() || a.Len() == 0 {
		t.Errorf("the members hold %d and %d keys", a.Len(), b.Len())
	}
}

func TestContractOnSoftHSM(t *testing.T) {
	soft := hsmtest.MustSoftHSM(t)
	soft.MustToken(t, "one")
	soft.MustToken(t, "two")
	group, err := hsm.NewGroup(0, soft.MustOpen(t, "one"), soft.MustOpen(t, "two"))
	if err != nil {
		t.Fatal(err)
	}
	m, ring := newModule(t)
	contract(m, ring, group).Run(t)
}

// TestBothLayersAreNeeded: neither the HSM nor the deployment opens a ciphertext
// alone, and a key that the HSM has lost is said to be lost.
func TestBothLayersAreNeeded(t *testing.T) {
	m, ring := newModule(t)
	token := hsmtest.NewToken("token", "1234")
	slot := openMemory(t, token)
	material, err := m.Generate(t.Context(), slot, keyID, keyring.SymmetricDefault)
	if err != nil {
		t.Fatal(err)
	}
	key := keyring.KeyRef{KeyID: keyID, Current: material}
	id, err := hex.DecodeString(material.ID)
	if err != nil {
		t.Fatal(err)
	}
	if found, err := slot.Find(t.Context(), id); err != nil || found.Label != "strongroom:"+keyID || found.Extractable {
		t.Errorf("the HSM has %+v, %v", found, err)
	}
	blob, err := m.Encrypt(t.Context(), slot, key, secret.Bytes("hello"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ring.Decrypt(t.Context(), key, blob, nil); !errors.Is(err, keyring.ErrInvalidCiphertext) {
		t.Errorf("the software module alone: %v", err)
	}
	other, _ := newModule(t)
	if _, err := other.Decrypt(t.Context(), slot, key, blob, nil); err == nil {
		t.Error("another deployment opens it with the same HSM")
	}
	asked := token.Asked()
	if _, err := m.Decrypt(t.Context(), slot, keyring.KeyRef{KeyID: keyID, Current: keyring.Material{ID: material.ID[1:] + "0"}}, blob, nil); !errors.Is(err, keyring.ErrInvalidCiphertext) || token.Asked() != asked {
		t.Errorf("another material: %v; the HSM was asked %d times", err, token.Asked()-asked)
	}
	token.Pull()
	if _, err := m.Encrypt(t.Context(), slot, key, secret.Bytes("x"), nil); !errors.Is(err, hsm.ErrUnavailable) {
		t.Errorf("without the token: %v", err)
	}
	if err := m.Destroy(t.Context(), slot, key); !errors.Is(err, hsm.ErrUnavailable) {
		t.Errorf("destroyed without the token: %v", err)
	}
	token.Insert()
	for range 2 { // once more is nothing that fails
		if err := m.Destroy(t.Context(), slot, key); err != nil {
			t.Error(err)
		}
	}
	if _, err := m.Decrypt(t.Context(), slot, key, blob, nil); !errors.Is(err, hsm.ErrNoKey) || token.Len() != 0 {
		t.Errorf("after Destroy: %v, %d keys", err, token.Len())
	}
}
