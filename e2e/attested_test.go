package e2e

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/strongroom/strongroom/internal/attestation/attestationtest"
)

// TestAttestedCalls is what the guide to NitroTPM does, step by step, with the SDK
// and OpenSSL; only that the document comes from an authority of the test's.
func TestAttestedCalls(t *testing.T) {
	t.Parallel()
	openssl := program(t, "openssl", installOpenSSL)
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	authority := attestationtest.NewAuthority(t, time.Now().Add(-time.Hour))
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	keyFile := file("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	s := start(t, "--dev", "--attestation-roots", file("roots.pem", authority.Roots()))
	c := devClient(s, "test", defaultRegion)
	document := authority.Sign(authority.New("nitrotpm_pcrs", time.Now(), &key.PublicKey))
	recipient := &types.RecipientInfo{KeyEncryptionAlgorithm: types.KeyEncryptionMechanismRsaesOaepSha256, AttestationDocument: document}
	open := func(plaintext, sealed []byte) string {
		t.Helper()
		if plaintext != nil {
			t.Errorf("the answer has the plaintext %q", plaintext)
		}
		opened, stderr, err := command(t, nil, openssl, "cms", "-decrypt", "-binary", "-inkey", keyFile, "-inform", "DER", "-in", file("cms", sealed))
		if err != nil {
			t.Fatalf("openssl: %v: %s", err, stderr)
		}
		return opened
	}

	id := aws.ToString(createKey(t, c, nil).KeyId)
	blob := encrypt(t, c, id, []byte("attack at dawn"), nil)
	decrypted, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob, Recipient: recipient})
	if err != nil {
		t.Fatal(err)
	}
	if opened := open(decrypted.Plaintext, decrypted.CiphertextForRecipient); opened != "attack at dawn" {
		t.Errorf("the recipient opens %q", opened)
	}
	made, err := c.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: &id, KeySpec: types.DataKeySpecAes256, Recipient: recipient})
	if err != nil {
		t.Fatal(err)
	}
	plain, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: made.CiphertextBlob})
	if err != nil {
		t.Fatal(err)
	}
	if opened := open(made.Plaintext, made.CiphertextForRecipient); opened != string(plain.Plaintext) {
		t.Errorf("the recipient opens %q; the data key is %q", opened, plain.Plaintext)
	}

	document[len(document)-1] ^= 1
	_, err = c.GenerateRandom(t.Context(), &kms.GenerateRandomInput{NumberOfBytes: aws.Int32(24), Recipient: recipient})
	wantError(t, err, "ValidationException", "The attestation document in the Recipient parameter is not valid: its signature does not verify.")
}

// TestAWSManagedKey: describing a predefined alias makes its key, which nobody but
// its service can use or change.
func TestAWSManagedKey(t *testing.T) {
	t.Parallel()
	c := kmsClient(t, start(t), defaultRegion)
	out, err := c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: aws.String("alias/aws/s3")})
	if err != nil {
		t.Fatal(err)
	}
	if out.KeyMetadata.KeyManager != types.KeyManagerTypeAws {
		t.Errorf("its manager is %s", out.KeyMetadata.KeyManager)
	}
	arn := aws.ToString(out.KeyMetadata.Arn)
	denied := func(operation string, err error) {
		t.Helper()
		wantError(t, err, "AccessDeniedException", "User: arn:aws:iam::"+defaultAccount+":root is not authorized to perform: kms:"+operation+
			" on resource: "+arn+" because no resource-based policy allows the kms:"+operation+" action")
	}
	_, err = c.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: &arn})
	denied("DisableKey", err)
	_, err = c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &arn, Plaintext: []byte("x")})
	denied("Encrypt", err)
}
