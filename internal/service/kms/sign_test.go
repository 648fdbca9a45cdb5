package kms

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"testing"
)

// TestOrderOfSignChecks lets one thing after the other go right, in the order of
// kms.md §3: what is wrong later never shows first.
func TestOrderOfSignChecks(t *testing.T) {
	h := newHarness(t)
	symmetric, symmetricARN := h.keyID()
	k := h.key(m{"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"})
	id, arn := k["KeyId"].(string), k["Arn"].(string)
	signature := h.ok(root, "Sign", m{"KeyId": id, "Message": b64([]byte("m")), "SigningAlgorithm": "ECDSA_SHA_256"})["Signature"]
	for _, key := range []string{symmetric, id} {
		h.ok(root, "DisableKey", m{"KeyId": key})
	}
	for _, operation := range []string{"Sign", "Verify"} {
		in := m{"KeyId": absentKey, "Message": "", "SigningAlgorithm": "RSASSA_PSS_SHA_512", "MessageType": "EXTERNAL_MU", "DryRun": true}
		if operation == "Verify" {
			in["Signature"] = signature
		}
		step := func(who caller, change m, code, message string) {
			t.Helper()
			in = with(in, change)
			h.fails(who, operation, in, code, message)
		}
		step(user, m{}, "ValidationException", "1 validation error detected: Value at 'message' failed to satisfy constraint: Member must have length greater than or equal to 1")
		step(user, m{"Message": b64(make([]byte, 4097))}, "ValidationException", "1 validation error detected: Value at 'message' failed to satisfy constraint: Member must have length less than or equal to 4096")
		step(user, m{"Message": b64([]byte("n"))}, "NotFoundException", "Key 'arn:aws:kms:us-east-1:"+account+":key/"+absentKey+"' does not exist")
		step(user, m{"KeyId": symmetric}, "AccessDeniedException",
			notAuthorized(userARN, "kms:"+operation, "resource: "+symmetricARN+fmt.Sprintf(noIdentityTail, "kms:"+operation)))
		step(root, m{}, "InvalidKeyUsageException", symmetricARN+" key usage is ENCRYPT_DECRYPT which is not valid for "+operation+".")
		step(root, m{"KeyId": id}, "DisabledException", arn+" is disabled.")
		h.ok(root, "EnableKey", m{"KeyId": id})
		step(root, m{}, "InvalidKeyUsageException", "Algorithm RSASSA_PSS_SHA_512 is incompatible with key spec ECC_NIST_P256.")
		step(root, m{"SigningAlgorithm": "ECDSA_SHA_256"}, "ValidationException", "Message type EXTERNAL_MU is incompatible with key spec ECC_NIST_P256.")
		step(root, m{"MessageType": "DIGEST"}, "ValidationException", "Digest is invalid length for algorithm ECDSA_SHA_256.")
		if operation == "Verify" {
			step(root, m{"MessageType": "RAW"}, "KMSInvalidSignatureException", "")
			step(root, m{"Message": b64([]byte("m"))}, "DryRunOperationException", dryRunMessage)
		} else {
			step(root, m{"MessageType": "RAW"}, "DryRunOperationException", dryRunMessage)
		}
		h.fails(root, operation, with(in, m{"GrantTokens": []string{"x"}}), "InvalidGrantTokenException", "")
		h.ok(root, "DisableKey", m{"KeyId": id})
	}
}

// TestAlteredSignaturesAreRefused: every bit of it, every length, and another
// message.
func TestAlteredSignaturesAreRefused(t *testing.T) {
	h := newHarness(t)
	id := h.key(m{"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"})["KeyId"]
	in := m{"KeyId": id, "Message": b64([]byte("m")), "SigningAlgorithm": "ECDSA_SHA_256"}
	signature := bytesOf(t, h.ok(root, "Sign", in)["Signature"])
	for i := range len(signature) * 8 {
		flipped := bytes.Clone(signature)
		flipped[i/8] ^= 1 << (i % 8)
		h.fails(root, "Verify", with(in, m{"Signature": b64(flipped)}), "KMSInvalidSignatureException", "")
	}
	for n := 1; n < len(signature); n++ {
		h.fails(root, "Verify", with(in, m{"Signature": b64(signature[:n])}), "KMSInvalidSignatureException", "")
	}
	h.fails(root, "Verify", with(in, m{"Signature": b64(append(bytes.Clone(signature), 0))}), "KMSInvalidSignatureException", "")
	h.fails(root, "Verify", with(in, m{"Signature": b64(signature), "Message": b64([]byte("n"))}), "KMSInvalidSignatureException", "")
	h.fails(root, "Verify", with(in, m{"Signature": b64(signature), "DryRun": true, "Message": b64([]byte("n"))}), "KMSInvalidSignatureException", "")
	another := h.key(m{"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"})["KeyId"]
	h.fails(root, "Verify", with(in, m{"KeyId": another, "Signature": b64(signature)}), "KMSInvalidSignatureException", "")
}

// TestSignaturesVerifyOutside with the public key that GetPublicKey answers, and
// the message type is RAW where none is said.
func TestSignaturesVerifyOutside(t *testing.T) {
	h := newHarness(t)
	id := h.key(m{"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"})["KeyId"]
	parsed, err := x509.ParsePKIXPublicKey(bytesOf(t, h.ok(root, "GetPublicKey", m{"KeyId": id})["PublicKey"]))
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("m"))
	for _, in := range []m{
		{"Message": b64([]byte("m"))},
		{"Message": b64([]byte("m")), "MessageType": "RAW"},
		{"Message": b64(digest[:]), "MessageType": "DIGEST"},
	} {
		in = with(in, m{"KeyId": id, "SigningAlgorithm": "ECDSA_SHA_256"})
		h.journal.taken(t)
		signature := bytesOf(t, h.ok(root, "Sign", in)["Signature"])
		if !ecdsa.VerifyASN1(parsed.(*ecdsa.PublicKey), digest[:], signature) {
			t.Errorf("%v: the signature does not verify", in)
		}
		form, said := in["MessageType"]
		if !said {
			form = "RAW"
		}
		want := m{"keyId": id, "messageType": form, "signingAlgorithm": "ECDSA_SHA_256"}
		if record := h.only(); fmt.Sprint(record["requestParameters"]) != fmt.Sprint(want) || record["responseElements"] != nil || record["readOnly"] != true {
			t.Errorf("recorded as %v, want %v", record["requestParameters"], want)
		}
	}
}
