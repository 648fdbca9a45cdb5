package e2e

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/attestation/attestationtest"
)

// TestAttestedCalls is what the guide to NitroTPM does, step by step, with the AWS
// CLI and OpenSSL; only that the document comes from an authority of the test's.
func TestAttestedCalls(t *testing.T) {
	t.Parallel()
	openssl := program(t, "openssl", installOpenSSL)
	authority := attestationtest.NewAuthority(t, time.Now().Add(-time.Hour))
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	files := &cli{t: t, dir: t.TempDir()}
	s := start(t, "--dev", "--attestation-roots", files.file("roots.pem", authority.Roots()))
	c := newCLI(t, devEnvironment(s))
	keyFile := c.file("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	document := authority.Sign(authority.New("nitrotpm_pcrs", time.Now(), &key.PublicKey))
	recipient := func(name string, document []byte) string {
		return "KeyEncryptionAlgorithm=RSAES_OAEP_SHA_256,AttestationDocument@=fileb://" + c.file(name, document)
	}
	good := recipient("document", document)

	id := c.query("KeyMetadata.KeyId", "kms", "create-key")
	sealed := c.decodeInto("sealed", c.query("CiphertextBlob", "kms", "encrypt", "--key-id", id, "--plaintext", "fileb://"+c.file("plain", []byte("attack at dawn"))))
	for name, answer := range map[string]string{
		"attack at dawn": c.run("kms", "decrypt", "--ciphertext-blob", "fileb://"+sealed, "--recipient", good, "--output", "text", "--query", "[CiphertextForRecipient, Plaintext]"),
		"":               c.run("kms", "generate-random", "--number-of-bytes", "24", "--recipient", good, "--output", "text", "--query", "[CiphertextForRecipient, Plaintext]"),
	} {
		fields := strings.Fields(answer)
		if len(fields) != 2 || fields[1] != "None" {
			t.Fatalf("the answer is %s", answer)
		}
		opened, stderr, err := command(t, nil, openssl, "cms", "-decrypt", "-binary", "-inkey", keyFile, "-inform", "DER", "-in", c.decodeInto("cms", fields[0]))
		if err != nil || name != "" && opened != name || len(opened) < 14 {
			t.Errorf("openssl: %v: %s; opened %q", err, stderr, opened)
		}
	}
	document[len(document)-1] ^= 1
	c.fails("ValidationException", "its signature does not verify", "kms", "generate-random", "--number-of-bytes", "24", "--recipient", recipient("altered", document))
}
