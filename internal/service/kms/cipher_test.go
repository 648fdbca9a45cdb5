package kms

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"testing"
)

const asymmetricContext = "EncryptionContext is not supported when encrypting/decrypting with asymmetric CMKs."

// rsaKey makes an RSA_2048 key for encryption.
func (h *harness) rsaKey() (id, arn string) {
	h.t.Helper()
	k := h.key(m{"KeySpec": "RSA_2048", "KeyUsage": "ENCRYPT_DECRYPT"})
	return k["KeyId"].(string), k["Arn"].(string)
}

func TestEncryptUnderRSAKeys(t *testing.T) {
	h := newHarness(t)
	id, arn := h.rsaKey()
	for algorithm, longest := range map[string]int{"RSAES_OAEP_SHA_1": 214, "RSAES_OAEP_SHA_256": 190} {
		in := m{"KeyId": id, "EncryptionAlgorithm": algorithm}
		for _, size := range []int{1, longest} {
			out := h.ok(root, "Encrypt", with(in, m{"Plaintext": b64(make([]byte, size)), "EncryptionContext": m{}}))
			if blob := bytesOf(t, out["CiphertextBlob"]); len(blob) != 256 || out["EncryptionAlgorithm"] != algorithm || out["KeyId"] != arn {
				t.Errorf("%s: %d bytes, %v", algorithm, len(blob), out)
			}
			back := h.ok(root, "Decrypt", with(in, m{"CiphertextBlob": out["CiphertextBlob"]}))
			if back["Plaintext"] != b64(make([]byte, size)) || back["EncryptionAlgorithm"] != algorithm || back["KeyId"] != arn || len(back) != 3 {
				t.Errorf("%s: decrypts to %v", algorithm, back)
			}
		}
		tooLong := "Algorithm " + algorithm + " and key spec RSA_2048 cannot encrypt data larger than " + map[int]string{214: "214", 190: "190"}[longest] + " bytes."
		for _, size := range []int{longest + 1, 4096} {
			h.fails(root, "Encrypt", with(in, m{"Plaintext": b64(make([]byte, size))}), "ValidationException", tooLong)
		}
		// The context is looked at before the length, and both before a dry run ends.
		h.fails(root, "Encrypt", with(in, m{"Plaintext": b64(make([]byte, 4096)), "EncryptionContext": m{"a": "1"}, "DryRun": true}), "ValidationException", asymmetricContext)
		h.fails(root, "Encrypt", with(in, m{"Plaintext": b64(make([]byte, 4096)), "DryRun": true}), "ValidationException", tooLong)
		h.fails(root, "Decrypt", with(in, m{"CiphertextBlob": b64(make([]byte, 256)), "EncryptionContext": m{"a": "1"}}), "ValidationException", asymmetricContext)
	}
	h.fails(root, "Encrypt", m{"KeyId": id, "Plaintext": plaintextBase64}, "InvalidKeyUsageException", "Algorithm SYMMETRIC_DEFAULT is incompatible with key spec RSA_2048.")
	h.fails(root, "Encrypt", m{"KeyId": id, "Plaintext": plaintextBase64, "EncryptionContext": m{"a": "1"}}, "InvalidKeyUsageException", "Algorithm SYMMETRIC_DEFAULT is incompatible with key spec RSA_2048.")
	h.fails(root, "Decrypt", m{"EncryptionAlgorithm": rsaOAEP, "CiphertextBlob": b64(make([]byte, 256))}, "ValidationException", "KeyId must not be null")
}

// TestRSABlobsFromOutside decrypt, unless they hold nothing; the RSA blob with the
// default algorithm does not.
func TestRSABlobsFromOutside(t *testing.T) {
	h := newHarness(t)
	id, _ := h.rsaKey()
	parsed, err := x509.ParsePKIXPublicKey(bytesOf(t, h.ok(root, "GetPublicKey", m{"KeyId": id})["PublicKey"]))
	if err != nil {
		t.Fatal(err)
	}
	encrypt := func(plaintext string) []byte {
		blob, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, parsed.(*rsa.PublicKey), []byte(plaintext), nil)
		if err != nil {
			t.Fatal(err)
		}
		return blob
	}
	blob := encrypt("secret")
	in := m{"KeyId": id, "EncryptionAlgorithm": "RSAES_OAEP_SHA_1"}
	if out := h.ok(root, "Decrypt", with(in, m{"CiphertextBlob": b64(blob)})); out["Plaintext"] != plaintextBase64 {
		t.Errorf("decrypts to %v", out)
	}
	flipped := bytes.Clone(blob)
	flipped[100] ^= 1
	for _, bad := range [][]byte{blob[:255], blob[1:], append(bytes.Clone(blob), 0), flipped, encrypt(""), {1}, make([]byte, 6144)} {
		for _, dry := range []bool{false, true} {
			h.fails(root, "Decrypt", with(in, m{"CiphertextBlob": b64(bad), "DryRun": dry}), "InvalidCiphertextException", "")
		}
	}
	h.fails(root, "Decrypt", with(in, m{"CiphertextBlob": b64(blob), "EncryptionAlgorithm": rsaOAEP}), "InvalidCiphertextException", "")
	h.fails(root, "Decrypt", m{"KeyId": id, "CiphertextBlob": b64(blob)}, "InvalidCiphertextException", "")
	another, _ := h.rsaKey()
	h.fails(root, "Decrypt", with(in, m{"KeyId": another, "CiphertextBlob": b64(blob)}), "InvalidCiphertextException", "")
}

// TestReEncryptAcrossKinds goes from every kind of key to every kind.
func TestReEncryptAcrossKinds(t *testing.T) {
	h := newHarness(t)
	symmetric, symmetricARN := h.keyID()
	rsaID, rsaARN := h.rsaKey()
	material := h.ok(root, "DescribeKey", m{"KeyId": symmetric})["KeyMetadata"].(m)["CurrentKeyMaterialId"]
	kinds := []struct{ id, arn, algorithm string }{
		{symmetric, symmetricARN, "SYMMETRIC_DEFAULT"}, {rsaID, rsaARN, "RSAES_OAEP_SHA_1"}, {rsaID, rsaARN, rsaOAEP},
	}
	for _, from := range kinds {
		blob := h.ok(root, "Encrypt", m{"KeyId": from.id, "Plaintext": plaintextBase64, "EncryptionAlgorithm": from.algorithm})["CiphertextBlob"]
		for _, to := range kinds {
			in := m{
				"CiphertextBlob": blob, "SourceKeyId": from.id, "SourceEncryptionAlgorithm": from.algorithm,
				"DestinationKeyId": to.id, "DestinationEncryptionAlgorithm": to.algorithm,
			}
			h.fails(root, "ReEncrypt", with(in, m{"DryRun": true}), "DryRunOperationException", dryRunMessage)
			out := h.ok(root, "ReEncrypt", in)
			want := m{
				"CiphertextBlob": out["CiphertextBlob"], "SourceKeyId": from.arn, "KeyId": to.arn,
				"SourceEncryptionAlgorithm": from.algorithm, "DestinationEncryptionAlgorithm": to.algorithm,
			}
			if from.id == symmetric {
				want["SourceKeyMaterialId"] = material
			}
			if to.id == symmetric {
				want["DestinationKeyMaterialId"] = material
			}
			if jsonText(out) != jsonText(want) {
				t.Errorf("from %s to %s: %v, want %v", from.algorithm, to.algorithm, out, want)
			}
			back := h.ok(root, "Decrypt", m{"KeyId": to.id, "CiphertextBlob": out["CiphertextBlob"], "EncryptionAlgorithm": to.algorithm})
			if back["Plaintext"] != plaintextBase64 {
				t.Errorf("from %s to %s: decrypts to %v", from.algorithm, to.algorithm, back)
			}
			for side, kind := range map[string]struct{ id, arn, algorithm string }{"Source": from, "Destination": to} {
				if kind.id == rsaID {
					h.fails(root, "ReEncrypt", with(in, m{side + "EncryptionContext": m{"a": "1"}}), "ValidationException", asymmetricContext)
				}
			}
			if from.id == rsaID {
				h.fails(root, "ReEncrypt", with(in, m{"SourceKeyId": nil}), "ValidationException", "SourceKeyId must not be null")
			}
		}
	}
	long := h.ok(root, "Encrypt", m{"KeyId": symmetric, "Plaintext": b64(make([]byte, 191))})["CiphertextBlob"]
	h.fails(root, "ReEncrypt", m{"CiphertextBlob": long, "DestinationKeyId": rsaID, "DestinationEncryptionAlgorithm": rsaOAEP},
		"ValidationException", "Algorithm RSAES_OAEP_SHA_256 and key spec RSA_2048 cannot encrypt data larger than 190 bytes.")
	h.fails(root, "ReEncrypt", m{"CiphertextBlob": long, "DestinationKeyId": rsaID},
		"InvalidKeyUsageException", "Algorithm SYMMETRIC_DEFAULT is incompatible with key spec RSA_2048.")
}

// TestDryRunWithoutCiphertext: IGNORE_CIPHERTEXT asks for everything but the
// ciphertext, which may be missing or wrong, and works in a dry run alone.
func TestDryRunWithoutCiphertext(t *testing.T) {
	h := newHarness(t)
	id, arn := h.keyID()
	rsaID, _ := h.rsaKey()
	mac := h.key(m{"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"})
	ignore := m{"DryRun": true, "DryRunModifiers": []string{"IGNORE_CIPHERTEXT"}}
	const missing = "1 validation error detected: Value null at 'ciphertextBlob' failed to satisfy constraint: Member must not be null"
	for operation, names := range map[string]struct{ key, algorithm, context string }{
		"Decrypt":   {"KeyId", "EncryptionAlgorithm", "EncryptionContext"},
		"ReEncrypt": {"SourceKeyId", "SourceEncryptionAlgorithm", "SourceEncryptionContext"},
	} {
		in := m{names.key: id}
		if operation == "ReEncrypt" {
			in["DestinationKeyId"] = id
		}
		for _, blob := range []any{nil, b64([]byte("x"))} {
			h.fails(root, operation, with(in, ignore, m{"CiphertextBlob": blob}), "DryRunOperationException", dryRunMessage)
		}
		h.fails(root, operation, with(in, ignore, m{names.key: nil}), "ValidationException", names.key+" must not be null")
		h.fails(root, operation, with(in, m{"DryRunModifiers": ignore["DryRunModifiers"]}), "ValidationException", missing)
		h.fails(root, operation, with(in, m{"DryRunModifiers": ignore["DryRunModifiers"], "DryRun": false}), "ValidationException", missing)
		h.fails(root, operation, with(in, m{"DryRun": true}), "ValidationException", missing)
		h.fails(root, operation, with(in, m{"DryRunModifiers": ignore["DryRunModifiers"], "CiphertextBlob": b64([]byte("x"))}), "InvalidCiphertextException", "")
		if a := h.send(root, operation, with(in, m{"DryRun": true, "DryRunModifiers": []string{"X"}})); a.code != "ValidationException" {
			t.Errorf("%s: an unknown modifier: %v", operation, a)
		}
		action := map[string]string{"Decrypt": "kms:Decrypt", "ReEncrypt": "kms:ReEncryptFrom"}[operation]
		h.fails(user, operation, with(in, ignore), "AccessDeniedException",
			notAuthorized(userARN, action, "resource: "+arn+" because no identity-based policy allows the "+action+" action"))
		h.fails(root, operation, with(in, ignore, m{names.key: mac["KeyId"]}), "InvalidKeyUsageException",
			mac["Arn"].(string)+" key usage is GENERATE_VERIFY_MAC which is not valid for "+operation+".")
		h.fails(root, operation, with(in, ignore, m{names.key: rsaID}), "InvalidKeyUsageException", "Algorithm SYMMETRIC_DEFAULT is incompatible with key spec RSA_2048.")
		h.fails(root, operation, with(in, ignore, m{names.key: rsaID, names.algorithm: rsaOAEP}), "DryRunOperationException", dryRunMessage)
		h.fails(root, operation, with(in, ignore, m{names.key: rsaID, names.algorithm: rsaOAEP, names.context: m{"a": "1"}}), "ValidationException", asymmetricContext)
		h.ok(root, "DisableKey", m{"KeyId": id})
		h.fails(root, operation, with(in, ignore), "DisabledException", arn+" is disabled.")
		h.ok(root, "EnableKey", m{"KeyId": id})
	}
}

// TestLargeRSAKeys makes the keys that take seconds, and uses each once.
func TestLargeRSAKeys(t *testing.T) {
	h := newHarness(t)
	signing := h.key(m{"KeySpec": "RSA_3072", "KeyUsage": "SIGN_VERIFY"})["KeyId"]
	sign := m{"KeyId": signing, "Message": plaintextBase64, "SigningAlgorithm": "RSASSA_PSS_SHA_384"}
	signature := h.ok(root, "Sign", sign)["Signature"]
	if size := len(bytesOf(t, signature)); size != 384 {
		t.Errorf("an RSA_3072 signature of %d bytes", size)
	}
	h.ok(root, "Verify", with(sign, m{"Signature": signature}))
	encrypting := h.key(m{"KeySpec": "RSA_4096", "KeyUsage": "ENCRYPT_DECRYPT"})["KeyId"]
	in := m{"KeyId": encrypting, "EncryptionAlgorithm": rsaOAEP}
	blob := h.ok(root, "Encrypt", with(in, m{"Plaintext": b64(make([]byte, 446))}))["CiphertextBlob"]
	if back := h.ok(root, "Decrypt", with(in, m{"CiphertextBlob": blob})); back["Plaintext"] != b64(make([]byte, 446)) {
		t.Error("RSA_4096 decrypts to something else")
	}
	h.fails(root, "Encrypt", with(in, m{"Plaintext": b64(make([]byte, 447))}), "ValidationException",
		"Algorithm RSAES_OAEP_SHA_256 and key spec RSA_4096 cannot encrypt data larger than 446 bytes.")
}
