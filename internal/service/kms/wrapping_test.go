package kms

import (
	"fmt"
	"testing"

	api "github.com/strongroom/strongroom/api/kms"
)

func TestGetParametersForImport(t *testing.T) {
	h := newHarness(t)
	id, arn := h.external(m{})
	out := h.ok(root, "GetParametersForImport", m{"KeyId": arn, "WrappingAlgorithm": "RSAES_OAEP_SHA_1", "WrappingKeySpec": "RSA_3072"})
	equal(t, "KeyId", out["KeyId"], arn)
	equal(t, "ParametersValidTo", out["ParametersValidTo"], seconds(h.clock.Now().Add(day)))
	if len(out) != 4 {
		t.Errorf("members: %v", out)
	}
	for _, c := range []struct{ algorithm, spec string }{
		{"RSA_AES_KEY_WRAP_SHA_1", "RSA_4096"}, {"RSA_AES_KEY_WRAP_SHA_256", "RSA_2048"}, {"SM2PKE", "SM2"},
		{"RSAES_PKCS1_V1_5", "RSA_2048"}, {"RSAES_OAEP_SHA_256", "SM2"},
	} {
		h.fails(root, "GetParametersForImport", m{"KeyId": id, "WrappingAlgorithm": c.algorithm, "WrappingKeySpec": c.spec}, "ValidationException",
			fmt.Sprintf("Wrapping algorithm %s and wrapping key spec %s cannot be used to import a SYMMETRIC_DEFAULT key.", c.algorithm, c.spec))
	}
	h.fails(root, "GetParametersForImport", m{"KeyId": "alias/none", "WrappingAlgorithm": "RSAES_OAEP_SHA_1", "WrappingKeySpec": "RSA_2048"},
		"InvalidArnException", "Key Aliases are not supported for this operation.")
}

// TestWrappingPairs is the table of what wraps what, for all specs.
func TestWrappingPairs(t *testing.T) {
	oaep := []api.AlgorithmSpec{api.AlgorithmSpecRsaesOaepSha1, api.AlgorithmSpecRsaesOaepSha256}
	aes := []api.AlgorithmSpec{api.AlgorithmSpecRsaAesKeyWrapSha1, api.AlgorithmSpecRsaAesKeyWrapSha256}
	for _, c := range []struct {
		spec   string
		family family
		// by RSA-OAEP under RSA_2048, under longer keys, and by AES key wrap
		short, long, aes bool
	}{
		{"SYMMETRIC_DEFAULT", symmetricKey, true, true, false},
		{"HMAC_224", hmacKey, true, true, false}, {"HMAC_512", hmacKey, true, true, false},
		{"RSA_2048", asymmetricKey, false, false, true}, {"RSA_3072", asymmetricKey, false, false, true}, {"RSA_4096", asymmetricKey, false, false, true},
		{"ECC_NIST_P256", asymmetricKey, true, true, true}, {"ECC_NIST_P384", asymmetricKey, true, true, true}, {"ECC_SECG_P256K1", asymmetricKey, true, true, true},
		{"ECC_NIST_P521", asymmetricKey, false, true, true}, {"ECC_NIST_EDWARDS25519", asymmetricKey, false, true, true},
	} {
		s := keySpec{spec: api.KeySpec(c.spec), family: c.family}
		if !s.importable() {
			t.Errorf("%s cannot be imported", c.spec)
		}
		for _, wrapping := range []api.WrappingKeySpec{api.WrappingKeySpecRsa2048, api.WrappingKeySpecRsa3072, api.WrappingKeySpecRsa4096} {
			want := c.long
			if wrapping == api.WrappingKeySpecRsa2048 {
				want = c.short
			}
			for _, a := range oaep {
				if got := s.takes(a, wrapping); got != want {
					t.Errorf("%s by %s under %s: %v", c.spec, a, wrapping, got)
				}
			}
			for _, a := range aes {
				if got := s.takes(a, wrapping); got != c.aes {
					t.Errorf("%s by %s under %s: %v", c.spec, a, wrapping, got)
				}
			}
			if s.takes(api.AlgorithmSpecRsaesPkcs1V15, wrapping) {
				t.Errorf("%s by RSAES_PKCS1_V1_5", c.spec)
			}
		}
	}
	for _, spec := range []string{"ML_DSA_44", "ML_KEM_768", "SM2"} {
		if (&keySpec{spec: api.KeySpec(spec), family: asymmetricKey}).importable() {
			t.Errorf("%s can be imported", spec)
		}
	}
}
