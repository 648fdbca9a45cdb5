package kms

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	api "github.com/strongroom/strongroom/api/kms"
)

const (
	dryRunMessage   = "The request would have succeeded, but the DryRun option is set."
	incorrectKey    = "The key ID in the request does not identify a CMK that can perform this operation."
	wrongAlgorithm  = "Algorithm RSAES_OAEP_SHA_256 is incompatible with key spec SYMMETRIC_DEFAULT."
	unreadableTail  = " because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access"
	keyPolicyTail   = " because no resource-based policy allows the %s action"
	noIdentityTail  = " because no identity-based policy allows the %s action"
	rsaOAEP         = "RSAES_OAEP_SHA_256"
	absentKey       = "1234abcd-12ab-34cd-56ef-1234567890ab"
	plaintextBase64 = "c2VjcmV0"
)

func notAuthorized(arn, action, tail string) string {
	return "User: " + arn + " is not authorized to perform: " + action + " on " + tail
}

// with returns in with other members in it; a nil value takes one away.
func with(in m, changes ...m) m {
	out := maps.Clone(in)
	for _, change := range changes {
		for k, v := range change {
			if out[k] = v; v == nil {
				delete(out, k)
			}
		}
	}
	return out
}

func TestEncryptAndDecrypt(t *testing.T) {
	h := newHarness(t)
	id, arn := h.keyID()
	h.ok(root, "CreateAlias", m{"AliasName": "alias/a", "TargetKeyId": id})
	material := h.ok(root, "DescribeKey", m{"KeyId": id})["KeyMetadata"].(m)["CurrentKeyMaterialId"]
	for _, name := range []string{id, strings.ToUpper(id), arn, "alias/a", "arn:aws:kms:us-east-1:" + account + ":alias/a"} {
		for _, context := range []m{nil, {}, {"b": "2", "a": "1"}} {
			h.journal.taken(t)
			out := h.ok(root, "Encrypt", with(m{"KeyId": name, "Plaintext": plaintextBase64}, m{"EncryptionContext": context}))
			if out["KeyId"] != arn || out["EncryptionAlgorithm"] != "SYMMETRIC_DEFAULT" || len(out) != 3 {
				t.Errorf("%s: %v", name, out)
			}
			record := h.only()
			if record["readOnly"] != true || record["responseElements"] != nil || fmt.Sprint(resources(record)) != fmt.Sprint([]string{arn}) {
				t.Errorf("record: %v", record)
			}
			if p := record["requestParameters"].(m); p["encryptionAlgorithm"] != "SYMMETRIC_DEFAULT" || p["keyId"] != name || p["plaintext"] != nil {
				t.Errorf("requestParameters: %v", p)
			}
			back := h.ok(root, "Decrypt", with(m{"CiphertextBlob": out["CiphertextBlob"]}, m{"EncryptionContext": context}))
			if back["Plaintext"] != plaintextBase64 || back["KeyId"] != arn || back["KeyMaterialId"] != material || back["EncryptionAlgorithm"] != "SYMMETRIC_DEFAULT" {
				t.Errorf("decrypted: %v", back)
			}
			record = h.only()
			if p := record["requestParameters"].(m); p["keyId"] != arn {
				t.Errorf("Decrypt's requestParameters: %v", p)
			}
			if extra := record["additionalEventData"].(m); extra["keyMaterialId"] != material {
				t.Errorf("additionalEventData: %v", extra)
			}
		}
	}
}

// TestOrderOfChecks lets one thing after the other go right, in the order of
// kms.md §3: what is wrong later never shows first.
func TestOrderOfChecks(t *testing.T) {
	h := newHarness(t)
	id, arn := h.keyID()
	h.ok(root, "DisableKey", m{"KeyId": id})
	denied := notAuthorized(principals[user].ARN, "kms:Encrypt", "resource: "+arn+fmt.Sprintf(noIdentityTail, "kms:Encrypt"))

	in := m{"KeyId": absentKey, "Plaintext": "", "EncryptionAlgorithm": rsaOAEP, "DryRun": true}
	step := func(who caller, change m, code, message string) {
		t.Helper()
		in = with(in, change)
		h.fails(who, "Encrypt", in, code, message)
	}
	step(user, m{}, "ValidationException", "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length greater than or equal to 1")
	step(user, m{"Plaintext": plaintextBase64}, "NotFoundException", "Key 'arn:aws:kms:us-east-1:"+account+":key/"+absentKey+"' does not exist")
	step(user, m{"KeyId": id}, "AccessDeniedException", denied)
	step(root, m{}, "DisabledException", arn+" is disabled.")
	h.ok(root, "EnableKey", m{"KeyId": id})
	step(root, m{}, "InvalidKeyUsageException", wrongAlgorithm)
	step(root, m{"EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}, "DryRunOperationException", dryRunMessage)
	h.ok(root, "Encrypt", with(in, m{"DryRun": false}))
}

// TestUsagePrecedesState holds the one order that no operation shows yet, as there
// are keys of one usage only.
func TestUsagePrecedesState(t *testing.T) {
	k := &key{ARN: "arn", spec: specOf(api.KeySpecSymmetricDefault), keyRecord: keyRecord{
		State: api.KeyStateDisabled, Usage: api.KeyUsageTypeGenerateVerifyMac, Spec: api.KeySpecSymmetricDefault}}
	err := k.usable(time.Time{}, "Encrypt", api.KeyUsageTypeEncryptDecrypt, "SYMMETRIC_DEFAULT")
	if want := "InvalidKeyUsageException: arn key usage is GENERATE_VERIFY_MAC which is not valid for Encrypt."; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestDecryptRefusals(t *testing.T) {
	h := newHarness(t)
	id, _ := h.keyID()
	another, anotherARN := h.keyID()
	encrypted := h.ok(root, "Encrypt", m{"KeyId": id, "Plaintext": plaintextBase64, "EncryptionContext": m{"a": "1"}})["CiphertextBlob"].(string)
	raw, err := base64.StdEncoding.DecodeString(encrypted)
	if err != nil {
		t.Fatal(err)
	}
	context := m{"EncryptionContext": m{"a": "1"}}
	in := with(m{"CiphertextBlob": encrypted}, context)
	h.ok(root, "Decrypt", in)
	for _, wrong := range []m{nil, {"A": "1"}, {"a": "2"}, {"a": "1", "b": ""}} {
		h.fails(root, "Decrypt", with(in, m{"EncryptionContext": wrong}), "InvalidCiphertextException", "")
	}
	// A bit of each byte, those of the key's id included: which key a blob names
	// is authenticated before the key is looked up.
	for i := range raw {
		changed := bytes.Clone(raw)
		changed[i] ^= 0x10
		h.fails(root, "Decrypt", with(in, m{"CiphertextBlob": base64.StdEncoding.EncodeToString(changed)}), "InvalidCiphertextException", "")
	}
	for _, blob := range [][]byte{raw[:len(raw)-1], append(bytes.Clone(raw), 0), []byte("x"), make([]byte, 6144)} {
		h.fails(root, "Decrypt", with(in, m{"CiphertextBlob": base64.StdEncoding.EncodeToString(blob)}), "InvalidCiphertextException", "")
	}

	h.fails(root, "Decrypt", with(in, m{"KeyId": another}), "IncorrectKeyException", incorrectKey)
	// Before the named key's state, its usage or whether the context is right.
	for _, state := range []State{api.KeyStateDisabled, api.KeyStatePendingImport, api.KeyStatePendingDeletion} {
		h.setState(another, state)
		h.fails(root, "Decrypt", with(in, m{"KeyId": another, "EncryptionContext": nil}), "IncorrectKeyException", incorrectKey)
	}
	// The blob is parsed before the named key is looked up, and asking comes
	// before telling that it is another key's.
	h.fails(root, "Decrypt", m{"CiphertextBlob": "eA==", "KeyId": absentKey}, "InvalidCiphertextException", "")
	h.fails(root, "Decrypt", with(in, m{"KeyId": absentKey}), "NotFoundException", "Key 'arn:aws:kms:us-east-1:"+account+":key/"+absentKey+"' does not exist")
	h.fails(user, "Decrypt", with(in, m{"KeyId": another}), "AccessDeniedException",
		notAuthorized(principals[user].ARN, "kms:Decrypt", "resource: "+anotherARN+fmt.Sprintf(noIdentityTail, "kms:Decrypt")))
	h.fails(user, "Decrypt", in, "AccessDeniedException",
		notAuthorized(principals[user].ARN, "kms:Decrypt", "the resource associated with this ciphertext"+fmt.Sprintf(noIdentityTail, "kms:Decrypt")))

	h.fails(root, "Decrypt", m{}, "ValidationException", "1 validation error detected: Value null at 'ciphertextBlob' failed to satisfy constraint: Member must not be null")
	h.fails(root, "Decrypt", with(in, m{"EncryptionAlgorithm": rsaOAEP}), "ValidationException", "KeyId must not be null")
	h.fails(root, "Decrypt", with(in, m{"EncryptionAlgorithm": rsaOAEP, "KeyId": id}), "InvalidKeyUsageException", wrongAlgorithm)
	h.fails(root, "Decrypt", with(in, m{"GrantTokens": []string{"made-up"}}), "InvalidGrantTokenException", "")
	h.fails(root, "Decrypt", with(in, m{"DryRun": true}), "DryRunOperationException", dryRunMessage)
	h.fails(root, "Decrypt", with(in, m{"DryRun": true, "EncryptionContext": nil}), "InvalidCiphertextException", "")
}

func TestReEncrypt(t *testing.T) {
	h := newHarness(t)
	from, fromARN := h.keyID()
	to, toARN := h.keyID()
	blob := h.ok(root, "Encrypt", m{"KeyId": from, "Plaintext": plaintextBase64, "EncryptionContext": m{"a": "1"}})["CiphertextBlob"]
	in := m{"CiphertextBlob": blob, "DestinationKeyId": to, "SourceEncryptionContext": m{"a": "1"}, "DestinationEncryptionContext": m{"b": "2"}}
	h.journal.taken(t)
	out := h.ok(root, "ReEncrypt", in)
	if got := resources(h.only()); fmt.Sprint(got) != fmt.Sprint([]string{fromARN, toARN}) {
		t.Errorf("the record's resources: %v", got)
	}
	if out["SourceKeyId"] != fromARN || out["KeyId"] != toARN || out["SourceKeyMaterialId"] == out["DestinationKeyMaterialId"] {
		t.Errorf("%v", out)
	}
	back := h.ok(root, "Decrypt", m{"CiphertextBlob": out["CiphertextBlob"], "EncryptionContext": m{"b": "2"}, "KeyId": to})
	if back["Plaintext"] != plaintextBase64 {
		t.Errorf("decrypted: %v", back)
	}
	h.ok(root, "ReEncrypt", with(in, m{"SourceKeyId": from, "DestinationKeyId": from}))
	if got := len(resources(h.journal.taken(t)[1])); got != 1 {
		t.Errorf("%d resources on one key, want 1", got)
	}

	h.fails(root, "ReEncrypt", with(in, m{"CiphertextBlob": nil}), "ValidationException", "1 validation error detected: Value null at 'ciphertextBlob' failed to satisfy constraint: Member must not be null")
	h.fails(root, "ReEncrypt", with(in, m{"SourceEncryptionAlgorithm": rsaOAEP}), "ValidationException", "SourceKeyId must not be null")
	h.fails(root, "ReEncrypt", with(in, m{"SourceKeyId": to}), "IncorrectKeyException", incorrectKey)
	h.fails(root, "ReEncrypt", with(in, m{"SourceEncryptionContext": nil}), "InvalidCiphertextException", "")
	h.fails(root, "ReEncrypt", with(in, m{"DestinationEncryptionAlgorithm": rsaOAEP}), "InvalidKeyUsageException", wrongAlgorithm)
	h.fails(root, "ReEncrypt", with(in, m{"DryRun": true}), "DryRunOperationException", dryRunMessage)
}

// TestReEncryptChecksBothKeysBeforeUsingOne: with a context that is wrong, which
// only cryptography finds, every earlier check of either key shows first.
func TestReEncryptChecksBothKeysBeforeUsingOne(t *testing.T) {
	h := newHarness(t)
	from, fromARN := h.keyID()
	to, toARN := h.keyID()
	blob := h.ok(root, "Encrypt", m{"KeyId": from, "Plaintext": plaintextBase64, "EncryptionContext": m{"a": "1"}})["CiphertextBlob"]
	in := m{"CiphertextBlob": blob, "DestinationKeyId": to}
	h.ok(root, "PutKeyPolicy", m{"KeyId": from, "Policy": keyPolicy(allow(userARN, "kms:ReEncryptFrom", nil))})
	h.fails(user, "ReEncrypt", in, "AccessDeniedException",
		notAuthorized(userARN, "kms:ReEncryptTo", "resource: "+toARN+fmt.Sprintf(noIdentityTail, "kms:ReEncryptTo")))
	h.ok(root, "DisableKey", m{"KeyId": to})
	h.fails(root, "ReEncrypt", in, "DisabledException", toARN+" is disabled.")
	h.ok(root, "DisableKey", m{"KeyId": from})
	h.fails(root, "ReEncrypt", in, "DisabledException", fromARN+" is disabled.")
	h.ok(root, "EnableKey", m{"KeyId": from})
	h.ok(root, "EnableKey", m{"KeyId": to})
	h.fails(root, "ReEncrypt", in, "InvalidCiphertextException", "")
}

func TestGenerateDataKey(t *testing.T) {
	h := newHarness(t)
	id, arn := h.keyID()
	for _, test := range []struct {
		in   m
		size int
	}{
		{m{"KeySpec": "AES_128"}, 16}, {m{"KeySpec": "AES_256"}, 32},
		{m{"NumberOfBytes": 1}, 1}, {m{"NumberOfBytes": 1024}, 1024},
	} {
		in := with(m{"KeyId": id, "EncryptionContext": m{"a": "1"}}, test.in)
		out := h.ok(root, "GenerateDataKey", in)
		plain, err := base64.StdEncoding.DecodeString(out["Plaintext"].(string))
		if err != nil || len(plain) != test.size || out["KeyId"] != arn {
			t.Errorf("%v: %d bytes, %v, of %v", test.in, len(plain), err, out["KeyId"])
		}
		if back := h.ok(root, "Decrypt", m{"CiphertextBlob": out["CiphertextBlob"], "EncryptionContext": m{"a": "1"}}); back["Plaintext"] != out["Plaintext"] || back["KeyMaterialId"] != out["KeyMaterialId"] {
			t.Errorf("%v: decrypted to something else", test.in)
		}
		without := h.ok(root, "GenerateDataKeyWithoutPlaintext", in)
		if _, shown := without["Plaintext"]; shown {
			t.Error("GenerateDataKeyWithoutPlaintext shows the plaintext")
		}
		back := h.ok(root, "Decrypt", m{"CiphertextBlob": without["CiphertextBlob"], "EncryptionContext": m{"a": "1"}})
		if plain, _ := base64.StdEncoding.DecodeString(back["Plaintext"].(string)); len(plain) != test.size || test.size > 8 && bytes.Equal(plain, make([]byte, test.size)) {
			t.Errorf("%v: decrypts to %d bytes, or to zeros", test.in, len(plain))
		}
	}
	for _, operation := range []string{"GenerateDataKey", "GenerateDataKeyWithoutPlaintext"} {
		for _, change := range []m{{}, {"KeySpec": "AES_256", "NumberOfBytes": 32}} {
			h.fails(root, operation, with(m{"KeyId": id}, change), "ValidationException", "Please specify either number of bytes or key spec.")
		}
		h.fails(root, operation, m{"KeyId": id, "NumberOfBytes": 1025}, "ValidationException",
			"1 validation error detected: Value '1025' at 'numberOfBytes' failed to satisfy constraint: Member must have value less than or equal to 1024")
		h.fails(root, operation, m{"KeyId": id, "KeySpec": "AES_256", "DryRun": true}, "DryRunOperationException", dryRunMessage)
		h.fails(root, operation, m{"KeyId": id, "KeySpec": "AES_256", "GrantTokens": []string{"x"}}, "InvalidGrantTokenException", "")
		// A wrong combination shows before the state, after the permission.
		h.ok(root, "DisableKey", m{"KeyId": id})
		h.fails(root, operation, m{"KeyId": id}, "ValidationException", "Please specify either number of bytes or key spec.")
		h.fails(user, operation, m{"KeyId": id}, "AccessDeniedException",
			notAuthorized(userARN, "kms:"+operation, "resource: "+arn+fmt.Sprintf(noIdentityTail, "kms:"+operation)))
		h.ok(root, "EnableKey", m{"KeyId": id})
	}
}

func TestGenerateRandom(t *testing.T) {
	h := newHarness(t)
	for _, n := range []int{1, 1024} {
		out := h.ok(root, "GenerateRandom", m{"NumberOfBytes": n})
		if raw, err := base64.StdEncoding.DecodeString(out["Plaintext"].(string)); err != nil || len(raw) != n {
			t.Errorf("%d bytes asked, %d given, %v", n, len(raw), err)
		}
	}
	h.fails(root, "GenerateRandom", m{}, "ValidationException", "NumberOfBytes is required.")
	h.fails(root, "GenerateRandom", m{"NumberOfBytes": 0}, "ValidationException",
		"1 validation error detected: Value '0' at 'numberOfBytes' failed to satisfy constraint: Member must have value greater than or equal to 1")
	h.fails(user, "GenerateRandom", m{"NumberOfBytes": 1}, "AccessDeniedException",
		notAuthorized(userARN, "kms:GenerateRandom", "resource: *"+fmt.Sprintf(noIdentityTail, "kms:GenerateRandom")))
}

func TestEncryptionContextTooLarge(t *testing.T) {
	h := newHarness(t)
	id, _ := h.keyID()
	h.fails(root, "Encrypt", m{"KeyId": id, "Plaintext": plaintextBase64, "EncryptionContext": m{"a": strings.Repeat("x", 8192)}},
		"ValidationException", "The encryption context is too large.")
}
