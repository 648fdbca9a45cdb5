package iam_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/saml/samltest"
)

// privateKey makes an RSA key, with its PEM.
func privateKey(t *testing.T, bits int) (*rsa.PrivateKey, string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key, string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
}

// TestEncryptedAssertions: a provider's private keys open assertions, are changed one for
// another, and are never answered.
func TestEncryptedAssertions(t *testing.T) {
	f := newFederation(t)
	key, text := privateKey(t, 2_048)
	next, nextText := privateKey(t, 2_048)
	update := func(params ...string) *answer {
		t.Helper()
		return f.iam("UpdateSAMLProvider", append([]string{"SAMLProviderArn", samlARN}, params...)...)
	}
	get := func() *answer { t.Helper(); return f.iam("GetSAMLProvider", "SAMLProviderArn", samlARN).ok() }
	encrypted := func(key *rsa.PrivateKey) string {
		t.Helper()
		assertion := f.provider.Sign(f.provider.Assertion(samltest.Claims{Attributes: attributes()}), samltest.Signing{ID: samltest.AssertionID})
		return samltest.Encode(f.provider.Response(samltest.Encrypt(t, assertion, &key.PublicKey, samltest.AES256GCM)))
	}
	const cannot = "Assertion cannot be decrypted with the private keys of the specified provider"
	f.assume(encrypted(key)).fails(400, "InvalidIdentityToken", cannot)
	update("AssertionEncryptionMode", "Required").fails(400, "InvalidInput", "Unable to set assertion encryption mode to Required because no private key is provided.")
	update("AddPrivateKey", text).ok()
	shown := get()
	id := shown.value("KeyId")
	if len(shown.values("KeyId")) != 1 || len(id) != 22 || shown.value("Timestamp") == "" || shown.value("AssertionEncryptionMode") != "Allowed" || strings.Contains(shown.body, "PRIVATE KEY") {
		t.Errorf("shown as %s", shown.body)
	}
	f.assume(encrypted(key)).ok()
	f.assume(f.response()).ok() // in the clear is allowed
	update("AssertionEncryptionMode", "Required").ok()
	if a := get(); a.value("AssertionEncryptionMode") != "Required" {
		t.Errorf("shown as %s", a.body)
	}
	f.assume(encrypted(key)).ok()
	f.assume(f.response()).fails(400, "InvalidIdentityToken", "not encrypted")
	update("RemovePrivateKey", id).fails(400, "InvalidInput", "Failed to remove private key.")

	update("AddPrivateKey", nextText).ok()
	f.assume(encrypted(key)).ok()
	f.assume(encrypted(next)).ok()
	update("AddPrivateKey", text).fails(409, "LimitExceeded", "Private key limit of 2 is reached.")
	update("AddPrivateKey", text, "RemovePrivateKey", id).fails(400, "InvalidInput", "Unable to add and remove private keys in the same request.")
	update("RemovePrivateKey", strings.Repeat("A", 22)).fails(400, "InvalidInput", "the Key ID does not match a private key.")
	update("RemovePrivateKey", id).ok()
	f.assume(encrypted(key)).fails(400, "InvalidIdentityToken", cannot)
	f.assume(encrypted(next)).ok()

	_, short := privateKey(t, 1_024)
	sealed := strings.Replace(text, "KEY-----\n", "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n", 1)
	for name, bad := range map[string]string{
		"text": "key", "a short one": short, "two": text + nextText, "an encrypted one": sealed,
		"another kind": strings.ReplaceAll(text, "RSA PRIVATE KEY", "EC PRIVATE KEY"), "a certificate": strings.ReplaceAll(text, "RSA PRIVATE KEY", "CERTIFICATE"),
	} {
		a := update("AddPrivateKey", bad)
		if a.status != 400 || a.value("Code") != "InvalidInput" || !strings.Contains(a.value("Message"), "Invalid private key.") || strings.Contains(a.body, "MII") {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	// From the start.
	metadata := f.provider.Metadata()
	f.iam("CreateSAMLProvider", "Name", "other", "SAMLMetadataDocument", metadata, "AssertionEncryptionMode", "Required").fails(400, "InvalidInput", "no private key is provided")
	f.iam("CreateSAMLProvider", "Name", "other", "SAMLMetadataDocument", metadata, "AssertionEncryptionMode", "Required", "AddPrivateKey", text).ok()
	if a := f.iam("GetSAMLProvider", "SAMLProviderArn", samlPrefix+"other").ok(); a.value("AssertionEncryptionMode") != "Required" || len(a.values("KeyId")) != 1 {
		t.Errorf("shown as %s", a.body)
	}
}
