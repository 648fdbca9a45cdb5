package approval

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/pem"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/strongroom/strongroom/internal/approval/approvaltest"
)

func testdata(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func mustParseKey(t testing.TB, line string) ssh.PublicKey {
	t.Helper()
	key, _, err := parseKey(line)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestSignaturesOfSSHKeygen: testdata was made by OpenSSH 9.2's ssh-keygen -Y sign.
func TestSignaturesOfSSHKeygen(t *testing.T) {
	text := testdata(t, "request.txt")
	one, two := mustParseKey(t, string(testdata(t, "ed25519.pub"))), mustParseKey(t, string(testdata(t, "ecdsa.pub")))
	for name, want := range map[string]ssh.PublicKey{"ed25519": one, "ecdsa": two} {
		signature := testdata(t, name+".sig")
		key, err := verify(text, signature, []ssh.PublicKey{one, two})
		if err != nil || !bytes.Equal(key.Marshal(), want.Marshal()) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := verify(append(bytes.Clone(text), '\n'), signature, []ssh.PublicKey{one, two}); err == nil {
			t.Errorf("%s signs another text", name)
		}
	}
	if _, err := verify(text, testdata(t, "ed25519.sig"), []ssh.PublicKey{two}); err == nil || !strings.Contains(err.Error(), "no operator has that key") {
		t.Errorf("by a stranger: %v", err)
	}
	if _, err := verify(text, testdata(t, "ed25519-file.sig"), []ssh.PublicKey{one}); err == nil || !strings.Contains(err.Error(), `made for "file"`) {
		t.Errorf("for another purpose: %v", err)
	}
	if _, _, err := parseKey(string(testdata(t, "rsa.pub"))); err == nil || !strings.Contains(err.Error(), "ssh-rsa") {
		t.Errorf("an RSA key: %v", err)
	}
}

// TestEveryByteOfASignature flips each: nothing but the text's own signature is one.
func TestEveryByteOfASignature(t *testing.T) {
	text := testdata(t, "request.txt")
	known := []ssh.PublicKey{mustParseKey(t, string(testdata(t, "ed25519.pub")))}
	block, _ := pem.Decode(testdata(t, "ed25519.sig"))
	for i := range block.Bytes {
		for bit := range 8 {
			flipped := bytes.Clone(block.Bytes)
			flipped[i] ^= 1 << bit
			if _, err := verify(text, pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: flipped}), known); err == nil {
				t.Errorf("bit %d of byte %d does not matter", bit, i)
			}
		}
	}
	for n := range block.Bytes {
		if _, err := verify(text, pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes[:n]}), known); err == nil {
			t.Errorf("%d bytes are enough", n)
		}
	}
	for i := range text {
		flipped := bytes.Clone(text)
		flipped[i] ^= 1
		if _, err := verify(flipped, testdata(t, "ed25519.sig"), known); err == nil {
			t.Errorf("byte %d of the text does not matter", i)
		}
	}
}

// securityKey signs as a key in hardware does (PROTOCOL.u2f), with these flags.
type securityKey struct {
	private ed25519.PrivateKey
	public  ssh.PublicKey
	flags   byte
}

func newSecurityKey(t *testing.T, flags byte) securityKey {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParsePublicKey(ssh.Marshal(struct {
		Type        string
		Key         []byte
		Application string
	}{ssh.KeyAlgoSKED25519, public, "ssh:"}))
	if err != nil {
		t.Fatal(err)
	}
	return securityKey{private, key, flags}
}

func (s securityKey) PublicKey() ssh.PublicKey { return s.public }

func (s securityKey) Sign(_ io.Reader, data []byte) (*ssh.Signature, error) {
	application, message := sha256.Sum256([]byte("ssh:")), sha256.Sum256(data)
	rest := []byte{s.flags, 0, 0, 0, 7}
	signed := append(append(application[:], rest...), message[:]...)
	return &ssh.Signature{Format: ssh.KeyAlgoSKED25519, Blob: ed25519.Sign(s.private, signed), Rest: rest}, nil
}

// TestKeysInHardware: somebody must have touched the key.
func TestKeysInHardware(t *testing.T) {
	for flags, good := range map[byte]bool{1: true, 5: true, 0: false, 4: false} {
		key := newSecurityKey(t, flags)
		o := approvaltest.With(t, key)
		_, err := verify([]byte("text"), o.Sign(Namespace, "text"), []ssh.PublicKey{mustParseKey(t, o.PublicKey)})
		if (err == nil) != good {
			t.Errorf("flags %d: %v", flags, err)
		}
	}
}

func TestKeys(t *testing.T) {
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	long, err := ssh.NewSignerFromKey(p521)
	if err != nil {
		t.Fatal(err)
	}
	good := strings.TrimSpace(approvaltest.New(t).PublicKey)
	if _, line, err := parseKey(good + " somebody@somewhere\n"); err != nil || line != good {
		t.Errorf("%q, %v", line, err)
	}
	for name, line := range map[string]string{
		"empty": "", "no key": "hello", "comment": "# " + good, "options": `command="rm" ` + good, "two": good + "\n" + good,
		"a type": approvaltest.With(t, long).PublicKey, "long": good + strings.Repeat(" x", maxKey), "cut": good[:len(good)-8],
	} {
		if _, _, err := parseKey(line); err == nil {
			t.Errorf("%s: %q is taken", name, line)
		}
	}
}

func FuzzVerify(f *testing.F) {
	text := testdata(f, "request.txt")
	for _, name := range []string{"ed25519.sig", "ecdsa.sig", "ed25519-file.sig", "rsa.sig"} {
		f.Add(testdata(f, name))
	}
	known := []ssh.PublicKey{mustParseKey(f, string(testdata(f, "ed25519.pub")))}
	real, _ := pem.Decode(testdata(f, "ed25519.sig"))
	f.Fuzz(func(t *testing.T, armoured []byte) {
		if _, err := verify(text, armoured, known); err != nil {
			return
		}
		if block, _ := pem.Decode(armoured); block == nil || !bytes.Equal(block.Bytes, real.Bytes) {
			t.Errorf("another signature verifies: %q", armoured)
		}
	})
}

func FuzzParseKey(f *testing.F) {
	f.Add(string(testdata(f, "ed25519.pub")))
	f.Add(string(testdata(f, "rsa.pub")))
	f.Fuzz(func(t *testing.T, text string) {
		key, line, err := parseKey(text)
		if err != nil {
			return
		}
		again, same, err := parseKey(line)
		if err != nil || same != line || !bytes.Equal(again.Marshal(), key.Marshal()) {
			t.Errorf("%q is kept as %q, which is read as %q, %v", text, line, same, err)
		}
	})
}
