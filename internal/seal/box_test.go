package seal

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"path/filepath"
	"testing"
	"testing/iotest"

	"github.com/strongroom/strongroom/internal/secret"
)

func boxDomain(t *testing.T, deployment string) *Domain {
	t.Helper()
	root, err := CreateFileRoot(filepath.Join(t.TempDir(), "root.key"), nil)
	if err != nil {
		t.Fatal(err)
	}
	d, _, err := Create(context.Background(), root, deployment, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func mustBox(t *testing.T, d *Domain, label Label) *Box {
	t.Helper()
	b, err := d.Box(label)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustSeal(t *testing.T, b *Box, plaintext, binding string) []byte {
	t.Helper()
	sealed, err := b.Seal(rand.Reader, secret.Bytes(plaintext), []byte(binding))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func TestBoxOpensWhatItSealed(t *testing.T) {
	b := mustBox(t, boxDomain(t, "d"), LabelSigV4Secrets)
	for _, text := range []string{"", "a", "a secret access key of some length", string(make([]byte, 5000))} {
		sealed := mustSeal(t, b, text, "binding")
		if want := boxHeader + 12 + len(text) + 16; len(sealed) != want {
			t.Errorf("%d bytes sealed as %d, want %d", len(text), len(sealed), want)
		}
		if len(text) > 4 && bytes.Contains(sealed, []byte(text)) {
			t.Error("the plaintext shows")
		}
		opened, err := b.Open(sealed, []byte("binding"))
		if err != nil || string(opened) != text {
			t.Errorf("opened %d bytes, %v", len(opened), err)
		}
	}
	if bytes.Equal(mustSeal(t, b, "same", "b"), mustSeal(t, b, "same", "b")) {
		t.Error("two sealings are equal")
	}
}

// TestBoxBinding: what was sealed opens with its binding, in its box, alone.
func TestBoxBinding(t *testing.T) {
	d := boxDomain(t, "d")
	b := mustBox(t, d, LabelSigV4Secrets)
	sealed := mustSeal(t, b, "secret", "access-key/A/1")
	for _, binding := range []string{"", "access-key/A/2", "access-key/A/1 ", "access-key/A/"} {
		if _, err := b.Open(sealed, []byte(binding)); err != ErrBox {
			t.Errorf("with the binding %q: %v", binding, err)
		}
	}
	if _, err := mustBox(t, d, LabelRecords).Open(sealed, []byte("access-key/A/1")); err != ErrBox {
		t.Errorf("in the box of another label: %v", err)
	}
	if _, err := mustBox(t, boxDomain(t, "d"), LabelSigV4Secrets).Open(sealed, []byte("access-key/A/1")); err != ErrBox {
		t.Errorf("in the box of another domain key: %v", err)
	}
}

func TestBoxRefusesEveryFlipAndCut(t *testing.T) {
	b := mustBox(t, boxDomain(t, "d"), LabelSigV4Secrets)
	sealed := mustSeal(t, b, "secret", "binding")
	for i := range len(sealed) * 8 {
		changed := bytes.Clone(sealed)
		changed[i/8] ^= 1 << (i % 8)
		if _, err := b.Open(changed, []byte("binding")); err != ErrBox {
			t.Fatalf("bit %d flipped: %v", i, err)
		}
	}
	for n := range len(sealed) {
		if _, err := b.Open(sealed[:n], []byte("binding")); err != ErrBox {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := b.Open(append(bytes.Clone(sealed), 0), []byte("binding")); err != ErrBox {
		t.Errorf("with a byte more: %v", err)
	}
}

// TestBoxAcrossVersions: what an earlier version of the domain key sealed still
// opens, and what is sealed is under the current one.
func TestBoxAcrossVersions(t *testing.T) {
	d := boxDomain(t, "d")
	old := mustSeal(t, mustBox(t, d, LabelSigV4Secrets), "old", "binding")
	next := domainOf(d.deployment, 2, map[uint32]*[keySize]byte{1: d.state.Load().keys[1], 2: {1, 2, 3}})
	b := mustBox(t, next, LabelSigV4Secrets)
	if opened, err := b.Open(old, []byte("binding")); err != nil || string(opened) != "old" {
		t.Errorf("version 1: %d bytes, %v", len(opened), err)
	}
	sealed := mustSeal(t, b, "new", "binding")
	if !bytes.Equal(sealed[:4], []byte{0, 0, 0, 2}) {
		t.Errorf("sealed under version %x", sealed[:4])
	}
	if _, err := mustBox(t, d, LabelSigV4Secrets).Open(sealed, []byte("binding")); err != ErrBox {
		t.Errorf("a version that the domain key does not have: %v", err)
	}
	// A version in the header that is not the one that sealed.
	copy(sealed, []byte{0, 0, 0, 1})
	if _, err := b.Open(sealed, []byte("binding")); err != ErrBox {
		t.Errorf("sealed under 2, presented as 1: %v", err)
	}
}

func TestBoxNeedsRandomness(t *testing.T) {
	b := mustBox(t, boxDomain(t, "d"), LabelSigV4Secrets)
	broken := errors.New("no randomness")
	for _, r := range []io.Reader{iotest.ErrReader(broken), bytes.NewReader(make([]byte, saltSize-1))} {
		sealed, err := b.Seal(r, secret.Bytes("secret"), nil)
		if err == nil || sealed != nil {
			t.Errorf("sealed %d bytes, %v", len(sealed), err)
		}
	}
}

func FuzzBoxOpen(f *testing.F) {
	d := domainOf("d", 1, map[uint32]*[keySize]byte{1: {9}})
	b, err := d.Box(LabelSigV4Secrets)
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := b.Seal(rand.Reader, secret.Bytes("secret"), []byte("binding"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{})
	f.Add(sealed[:boxHeader])
	f.Add(make([]byte, len(sealed)))
	f.Fuzz(func(t *testing.T, in []byte) {
		if opened, err := b.Open(in, []byte("binding")); err != ErrBox || opened != nil {
			t.Errorf("opened %d bytes, %v", len(opened), err)
		}
	})
}
