package journal

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
)

// Made once from the seed of 32 bytes 0x09; Ed25519 is deterministic. OpenSSL
// verifies the signature over all but the last word.
const goldenCheckpoint = `strongroom-journal-checkpoint-v1 0193f1a2-test main 1 60de1e152ee9a7ff8ed41c492525be91a5d19d31080f631a0c2bb6d793e4285a 0 2026-03-01T12:00:00.000000Z 3dba97edb866520d36063a0d9f795768 9tUhsrO5EeT09x/WL0lilIb0sfiH7ez8OsxO14OthD9yLzip1IDDuqRSNT4Mg418UJt3BV2hcuEgapv1XQ17Bg==`

func TestCheckpointGolden(t *testing.T) {
	r := newRig(t)
	f := r.frame(0)
	cp := f.checkpoint()
	if got := cp.String(); got != goldenCheckpoint {
		t.Errorf("got  %s\nwant %s", got, goldenCheckpoint)
	}
	parsed, err := ParseCheckpoint(goldenCheckpoint + "\n")
	if err != nil || parsed != cp || parsed.Verify(testPublic...) != nil {
		t.Errorf("%+v, %v", parsed, err)
	}
}

// Whatever is changed of a shipped line, it is refused.
func TestCheckpointEveryByteCounts(t *testing.T) {
	for i := range goldenCheckpoint {
		for _, change := range []byte{1, 0x20, 0x80} {
			b := []byte(goldenCheckpoint)
			b[i] ^= change
			if cp, err := ParseCheckpoint(string(b)); err == nil && cp.Verify(testPublic...) == nil {
				t.Fatalf("accepted with byte %d changed by %#x: %s", i, change, b)
			}
		}
	}
	for _, line := range []string{
		"", " ", goldenCheckpoint + " ", " " + goldenCheckpoint, goldenCheckpoint + " x", goldenCheckpoint + "\n\n",
		strings.Replace(goldenCheckpoint, " 1 ", " 01 ", 1), strings.Replace(goldenCheckpoint, " 1 ", " 0 ", 1),
		strings.Replace(goldenCheckpoint, " 1 ", " 18446744073709551616 ", 1),
		strings.ReplaceAll(goldenCheckpoint, " ", "  "), strings.Repeat(goldenCheckpoint+" ", 100),
	} {
		if _, err := ParseCheckpoint(line); err == nil {
			t.Errorf("accepted %q", line)
		}
	}
}

func TestCheckpointOfAnotherKey(t *testing.T) {
	cp, err := ParseCheckpoint(goldenCheckpoint)
	if err != nil {
		t.Fatal(err)
	}
	other := ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)
	if err := cp.Verify(other); err == nil {
		t.Error("verified under another key")
	}
	if err := cp.Verify(); err == nil {
		t.Error("verified under no key")
	}
	if err := cp.Verify(other[:31]); err == nil {
		t.Error("verified under half a key")
	}
	if err := cp.Verify(other, testPublic[0]); err != nil {
		t.Error(err)
	}
}

func FuzzParseCheckpoint(f *testing.F) {
	f.Add(goldenCheckpoint)
	f.Add(strings.ToUpper(goldenCheckpoint))
	f.Fuzz(func(t *testing.T, line string) {
		cp, err := ParseCheckpoint(line)
		if err != nil {
			return
		}
		if got := cp.String(); got != strings.TrimRight(line, "\r\n") {
			t.Fatalf("%q is written again as %q", line, got)
		}
	})
}

func TestPublicKeyFile(t *testing.T) {
	text, err := MarshalPublicKey(testPublic[0])
	if err != nil {
		t.Fatal(err)
	}
	// As openssl pkey -pubout writes it.
	want := "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA/RckOFqgx1tk+3jNYC+h2ZH96/drE8WO1wLqyDXp9hg=\n-----END PUBLIC KEY-----\n"
	if string(text) != want {
		t.Errorf("got %s", text)
	}
	other := ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)
	second, err := MarshalPublicKey(other)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := ParsePublicKeys(append(append([]byte("\n"), text...), second...))
	if err != nil || len(keys) != 2 || !keys[0].Equal(testPublic[0]) || !keys[1].Equal(other) {
		t.Errorf("%v, %v", keys, err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&curve.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"empty":         nil,
		"blank":         []byte(" \n"),
		"no PEM":        []byte("hello"),
		"more after it": append(bytes.Clone(text), "hello"...),
		"P-256":         pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		"another type":  bytes.ReplaceAll(text, []byte("PUBLIC"), []byte("PRIVATE")),
		"cut DER":       pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der[:20]}),
	} {
		if keys, err := ParsePublicKeys(bad); err == nil {
			t.Errorf("%s: parsed as %v", name, keys)
		}
	}
	if _, err := MarshalPublicKey(other[:5]); err == nil {
		t.Error("wrote a key of 5 bytes")
	}
}
