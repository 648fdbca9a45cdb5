package kms

import (
	"testing"

	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/policy"
)

// inChinaHarness is a harness whose calls go to a Region of China, and the root of
// the account there.
func inChinaHarness(t *testing.T) (*harness, caller) {
	h := newHarness(t)
	const chinese caller = "CHINESE"
	principals[chinese] = authz.Principal{Principal: policy.Principal{
		Type: policy.Root, Account: account, ARN: "arn:aws-cn:iam::" + account + ":root", ID: account,
	}}
	h.region = "cn-north-1"
	h.config.Regions = []string{h.region}
	h.restart()
	return h, chinese
}

// TestSM2 uses a key of each usage in China; everything that is asked of it and
// does not fit is refused as for other specs.
func TestSM2(t *testing.T) {
	h, who := inChinaHarness(t)
	made := func(usage string) m {
		t.Helper()
		return h.ok(who, "CreateKey", m{"KeySpec": "SM2", "KeyUsage": usage})["KeyMetadata"].(m)
	}
	k := made("SIGN_VERIFY")
	sign := m{"KeyId": k["KeyId"], "Message": plaintextBase64, "SigningAlgorithm": "SM2DSA"}
	signature := h.ok(who, "Sign", sign)["Signature"]
	h.ok(who, "Verify", with(sign, m{"Signature": signature}))
	h.fails(who, "Verify", with(sign, m{"Signature": signature, "Message": "YQ=="}), "KMSInvalidSignatureException", "")
	h.ok(who, "Sign", with(sign, m{"Message": b64(make([]byte, 32)), "MessageType": "DIGEST"}))
	h.fails(who, "Sign", with(sign, m{"Message": b64(make([]byte, 33)), "MessageType": "DIGEST"}), "ValidationException", "Digest is invalid length for algorithm SM2DSA.")
	h.fails(who, "Sign", with(sign, m{"MessageType": "EXTERNAL_MU"}), "ValidationException", "Message type EXTERNAL_MU is incompatible with key spec SM2.")
	h.fails(who, "Sign", with(sign, m{"SigningAlgorithm": "ECDSA_SHA_256"}), "InvalidKeyUsageException", "Algorithm ECDSA_SHA_256 is incompatible with key spec SM2.")
	if list, ok := k["SigningAlgorithms"].([]any); !ok || len(list) != 1 || list[0] != "SM2DSA" {
		t.Errorf("SigningAlgorithms: %v", k["SigningAlgorithms"])
	}

	cipher := m{"KeyId": made("ENCRYPT_DECRYPT")["KeyId"], "EncryptionAlgorithm": "SM2PKE"}
	blob := h.ok(who, "Encrypt", with(cipher, m{"Plaintext": b64(make([]byte, 1024))}))["CiphertextBlob"]
	if back := h.ok(who, "Decrypt", with(cipher, m{"CiphertextBlob": blob})); back["Plaintext"] != b64(make([]byte, 1024)) {
		t.Error("decrypts to something else")
	}
	h.fails(who, "Encrypt", with(cipher, m{"Plaintext": b64(make([]byte, 1025))}), "ValidationException",
		"Algorithm SM2PKE and key spec SM2 cannot encrypt data larger than 1024 bytes.")
	h.fails(who, "Decrypt", with(cipher, m{"CiphertextBlob": "YQ=="}), "InvalidCiphertextException", "")

	agree := m{"KeyAgreementAlgorithm": "ECDH"}
	one, two := made("KEY_AGREEMENT")["KeyId"], made("KEY_AGREEMENT")["KeyId"]
	public := func(id any) any { return h.ok(who, "GetPublicKey", m{"KeyId": id})["PublicKey"] }
	a := h.ok(who, "DeriveSharedSecret", with(agree, m{"KeyId": one, "PublicKey": public(two)}))["SharedSecret"]
	b := h.ok(who, "DeriveSharedSecret", with(agree, m{"KeyId": two, "PublicKey": public(one)}))["SharedSecret"]
	if a != b || len(bytesOf(t, a)) != 32 {
		t.Errorf("%v and %v", a, b)
	}

	symmetric := h.ok(who, "CreateKey", m{})["KeyMetadata"].(m)["KeyId"]
	if pair := h.ok(who, "GenerateDataKeyPair", m{"KeyId": symmetric, "KeyPairSpec": "SM2"}); len(bytesOf(t, pair["PublicKey"])) != 91 {
		t.Errorf("a pair: %v", pair)
	}
	h.fails(who, "GenerateDataKeyPair", m{"KeyId": symmetric, "KeyPairSpec": "ML_KEM_512"}, "UnsupportedOperationException", "KeyPairSpec ML_KEM_512 is not supported in this Region.")
	h.fails(who, "CreateKey", m{"KeySpec": "ML_KEM_512", "KeyUsage": "ENCAPSULATE_DECAPSULATE"}, "UnsupportedOperationException", "KeySpec ML_KEM_512 is not supported in this Region.")
	h.fails(who, "CreateKey", m{"KeySpec": "SM2", "KeyUsage": "GENERATE_VERIFY_MAC"}, "ValidationException", "KeyUsage GENERATE_VERIFY_MAC is not compatible with KeySpec SM2")
}
