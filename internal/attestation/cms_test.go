package attestation_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/attestation"
	"github.com/strongroom/strongroom/internal/secret"
)

func (s *setting) document(t testing.TB) *attestation.Document {
	t.Helper()
	d, err := s.verifier.Verify(s.Sign(s.enclave()), now)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestSealedStructure holds the structure against RFC 5652 byte by byte, where its
// bytes are not random; the outer lengths are indefinite, as AWS KMS answers them.
func TestSealedStructure(t *testing.T) {
	s := newSetting(t)
	sealed, err := s.document(t).Seal(rand.Reader, make(secret.Bytes, 32))
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(&s.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	id := sha256.Sum256(spki)
	rest := sealed
	for _, part := range []struct {
		what string
		hex  string // as it must be
		skip int    // or how long it is
	}{
		{"ContentInfo, envelopedData", "3080" + "06092a864886f70d010703", 0},
		{"[0], EnvelopedData, version 2", "a080" + "3080" + "020102", 0},
		{"SET of one KeyTransRecipientInfo, version 2", "3182016b" + "30820167" + "020102", 0},
		{"subjectKeyIdentifier", "8020" + hex.EncodeToString(id[:]), 0},
		{"rsaesOaep", "303c" + "06092a864886f70d010107", 0},
		{"SHA-256", "302f" + "a00f" + "300d" + "0609608648016503040201" + "0500", 0},
		{"MGF1 with SHA-256", "a11c" + "301a" + "06092a864886f70d010108" + "300d" + "0609608648016503040201" + "0500", 0},
		{"encryptedKey", "04820100", 256},
		{"EncryptedContentInfo, data", "3080" + "06092a864886f70d010701", 0},
		{"aes256-CBC", "301d" + "060960864801650304012a" + "0410", 16},
		{"[0] with the content", "a080" + "0430", 48},
		{"five ends", "00000000000000000000", 0},
	} {
		want, err := hex.DecodeString(part.hex)
		if err != nil {
			t.Fatal(err)
		}
		if len(rest) < len(want)+part.skip || !bytes.HasPrefix(rest, want) {
			t.Fatalf("%s: the rest is %x", part.what, rest)
		}
		rest = rest[len(want)+part.skip:]
	}
	if len(rest) != 0 {
		t.Errorf("%x behind it", rest)
	}
}

// TestOpenSSLOpens hands what was sealed to OpenSSL, as the guides to NitroTPM do.
func TestOpenSSLOpens(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("openssl is not installed: sudo apt-get install openssl")
	}
	s := newSetting(t)
	d := s.document(t)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		t.Fatal(err)
	}
	keyFile, file := filepath.Join(t.TempDir(), "key.pem"), filepath.Join(t.TempDir(), "cms")
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, length := range []int{1, 15, 16, 17, 32, 1024, 4096} {
		plaintext := bytes.Repeat([]byte{0, 1, '\n', 0xff}, length)[:length]
		sealed, err := d.Seal(rand.Reader, bytes.Clone(plaintext))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, sealed, 0o600); err != nil {
			t.Fatal(err)
		}
		command := exec.CommandContext(t.Context(), openssl, "cms", "-decrypt", "-inform", "DER", "-binary", "-inkey", keyFile, "-in", file)
		var message strings.Builder
		command.Stderr = &message
		opened, err := command.Output()
		if err != nil || !bytes.Equal(opened, plaintext) {
			t.Errorf("%d bytes: %v: %s; opened %x", length, err, message.String(), opened)
		}
		if again, err := d.Seal(rand.Reader, bytes.Clone(plaintext)); err != nil || bytes.Equal(again, sealed) || seen[string(sealed[len(sealed)-26:])] {
			t.Errorf("%d bytes: the same ciphertext twice: %v", length, err)
		}
		seen[string(sealed[len(sealed)-26:])] = true
	}
}
