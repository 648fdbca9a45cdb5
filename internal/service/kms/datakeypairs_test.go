package kms

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"testing"

	api "github.com/strongroom/strongroom/api/kms"
)

// pairSizes are the sizes of private and public keys of kms.md §15, in bytes; RSA
// private keys vary by some.
var pairSizes = map[string][2]int{
	"RSA_2048": {1217, 294}, "ECC_NIST_P256": {150, 91}, "ECC_NIST_P384": {194, 120}, "ECC_NIST_P521": {250, 158},
	"ECC_SECG_P256K1": {144, 88}, "ECC_NIST_EDWARDS25519": {48, 44},
	"ML_KEM_512": {86, 822}, "ML_KEM_768": {86, 1206}, "ML_KEM_1024": {86, 1590},
}

func TestGenerateDataKeyPair(t *testing.T) {
	h := newHarness(t)
	k := h.key(m{})
	id, arn, material := k["KeyId"].(string), k["Arn"].(string), k["CurrentKeyMaterialId"]
	context := m{"EncryptionContext": m{"a": "1"}}
	for spec, size := range pairSizes {
		in := with(m{"KeyId": id, "KeyPairSpec": spec}, context)
		h.journal.taken(t)
		out := h.ok(root, "GenerateDataKeyPair", in)
		want := m{"keyId": id, "keyPairSpec": spec, "encryptionContext": m{"a": "1"}}
		if record := h.only(); fmt.Sprint(record["requestParameters"]) != fmt.Sprint(want) || record["responseElements"] != nil ||
			record["additionalEventData"].(m)["keyMaterialId"] != material {
			t.Errorf("recorded as %v, want %v", record, want)
		}
		private, public := bytesOf(t, out["PrivateKeyPlaintext"]), bytesOf(t, out["PublicKey"])
		if off := len(private) - size[0]; len(public) != size[1] || off != 0 && (spec != "RSA_2048" || off < -10 || off > 2) {
			t.Errorf("%s: %d and %d bytes, want %v", spec, len(private), len(public), size)
		}
		if out["KeyId"] != arn || out["KeyPairSpec"] != spec || out["KeyMaterialId"] != material || len(out) != 6 {
			t.Errorf("%s: %v", spec, out)
		}
		back := h.ok(root, "Decrypt", with(m{"CiphertextBlob": out["PrivateKeyCiphertextBlob"]}, context))
		if back["Plaintext"] != out["PrivateKeyPlaintext"] {
			t.Errorf("%s: the ciphertext is not the private key's", spec)
		}
		h.fails(root, "Decrypt", m{"CiphertextBlob": out["PrivateKeyCiphertextBlob"]}, "InvalidCiphertextException", "")
		belongTogether(t, spec, private, public)

		without := h.ok(root, "GenerateDataKeyPairWithoutPlaintext", in)
		if _, shown := without["PrivateKeyPlaintext"]; shown || len(without) != 5 {
			t.Errorf("%s: GenerateDataKeyPairWithoutPlaintext answers %v", spec, without)
		}
		back = h.ok(root, "Decrypt", with(m{"CiphertextBlob": without["PrivateKeyCiphertextBlob"]}, context))
		belongTogether(t, spec, bytesOf(t, back["Plaintext"]), bytesOf(t, without["PublicKey"]))
		if bytes.Equal(public, bytesOf(t, without["PublicKey"])) {
			t.Errorf("%s: one pair twice", spec)
		}
	}
}

// belongTogether reads a pair with the standard library, if that knows the spec.
func belongTogether(t *testing.T, spec string, private, public []byte) {
	t.Helper()
	if strings.HasPrefix(spec, "ML_KEM") || spec == "ECC_SECG_P256K1" {
		return // read elsewhere, by openssl and NIST's vectors
	}
	parsed, err := x509.ParsePKCS8PrivateKey(private)
	if err != nil {
		t.Errorf("%s: %v", spec, err)
		return
	}
	var own any
	switch key := parsed.(type) {
	case *rsa.PrivateKey:
		own = key.Public()
	case *ecdsa.PrivateKey:
		own = key.Public()
	case ed25519.PrivateKey:
		own = key.Public()
	}
	encoded, err := x509.MarshalPKIXPublicKey(own)
	if err != nil || !bytes.Equal(encoded, public) {
		t.Errorf("%s: the public key is another's, %v", spec, err)
	}
}

func TestGenerateDataKeyPairRefusals(t *testing.T) {
	h := newHarness(t)
	id, arn := h.keyID()
	for _, operation := range []string{"GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext"} {
		in := m{"KeyId": id, "KeyPairSpec": "ECC_NIST_P256"}
		for _, spec := range []string{"ML_DSA_65", "HMAC_256", "SYMMETRIC_DEFAULT", "x"} {
			if a := h.send(root, operation, with(in, m{"KeyPairSpec": spec})); a.code != "ValidationException" || !strings.Contains(a.message, "enum value set") {
				t.Errorf("%s of %s: %v", operation, spec, a)
			}
		}
		h.fails(root, operation, with(in, m{"KeyPairSpec": "SM2"}), "UnsupportedOperationException", "KeyPairSpec SM2 is not supported in this Region.")
		h.fails(root, operation, with(in, m{"EncryptionContext": m{"a": strings.Repeat("x", 8192)}, "DryRun": true}), "ValidationException", "The encryption context is too large.")
		h.fails(root, operation, with(in, m{"GrantTokens": []string{"x"}}), "InvalidGrantTokenException", "")
		h.ok(root, "DisableKey", m{"KeyId": id})
		h.fails(root, operation, with(in, m{"DryRun": true}), "DisabledException", arn+" is disabled.")
		h.ok(root, "EnableKey", m{"KeyId": id})
	}
}

// TestPairSpecs: what the model calls a DataKeyPairSpec is what the table makes
// pairs of.
func TestPairSpecs(t *testing.T) {
	var pairs []string
	for i := range keySpecs {
		if keySpecs[i].pair {
			pairs = append(pairs, string(keySpecs[i].spec))
		}
	}
	want := []api.DataKeyPairSpec{
		api.DataKeyPairSpecRsa2048, api.DataKeyPairSpecRsa3072, api.DataKeyPairSpecRsa4096,
		api.DataKeyPairSpecEccNistP256, api.DataKeyPairSpecEccNistP384, api.DataKeyPairSpecEccNistP521,
		api.DataKeyPairSpecEccSecgP256k1, api.DataKeyPairSpecEccNistEdwards25519,
		api.DataKeyPairSpecMlKem512, api.DataKeyPairSpecMlKem768, api.DataKeyPairSpecMlKem1024, api.DataKeyPairSpecSm2,
	}
	if !slices.EqualFunc(pairs, want, func(a string, b api.DataKeyPairSpec) bool { return a == string(b) }) {
		t.Errorf("%v, want %v", pairs, want)
	}
}
