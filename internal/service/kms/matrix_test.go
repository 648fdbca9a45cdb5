package kms

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	api "github.com/strongroom/strongroom/api/kms"
)

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func bytesOf(t *testing.T, v any) []byte {
	t.Helper()
	text, ok := v.(string)
	b, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil {
		t.Fatalf("%v is not base64: %v", v, err)
	}
	return b
}

// What the model lets through.
var (
	signingAlgorithms = []string{
		"RSASSA_PSS_SHA_256", "RSASSA_PSS_SHA_384", "RSASSA_PSS_SHA_512",
		"RSASSA_PKCS1_V1_5_SHA_256", "RSASSA_PKCS1_V1_5_SHA_384", "RSASSA_PKCS1_V1_5_SHA_512",
		"ECDSA_SHA_256", "ECDSA_SHA_384", "ECDSA_SHA_512", "SM2DSA", "ML_DSA_SHAKE_256", "ED25519_SHA_512", "ED25519_PH_SHA_512",
	}
	encryptionAlgorithms = []string{"SYMMETRIC_DEFAULT", "RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256", "SM2PKE"}
	macAlgorithms        = []string{"HMAC_SHA_384", "HMAC_SHA_256", "HMAC_SHA_224", "HMAC_SHA_512"}
	messageTypes         = []string{"RAW", "DIGEST", "EXTERNAL_MU"}
)

// digestSizes are what DIGEST and EXTERNAL_MU want, in bytes.
var digestSizes = map[string]int{
	"RSASSA_PSS_SHA_256": 32, "RSASSA_PSS_SHA_384": 48, "RSASSA_PSS_SHA_512": 64,
	"RSASSA_PKCS1_V1_5_SHA_256": 32, "RSASSA_PKCS1_V1_5_SHA_384": 48, "RSASSA_PKCS1_V1_5_SHA_512": 64,
	"ECDSA_SHA_256": 32, "ECDSA_SHA_384": 48, "ECDSA_SHA_512": 64, "ML_DSA_SHAKE_256": 64, "ED25519_PH_SHA_512": 64, "SM2DSA": 32,
}

// refusal is what an operation on a key of a row answers, by the rules of kms.md
// §3 and §15 written down once more; an empty code is success.
type refusal struct{ code, message string }

func (row specRow) refusal(arn, operation, usage, algorithm string) refusal {
	switch {
	case row.usage != usage:
		return refusal{"InvalidKeyUsageException", arn + " key usage is " + row.usage + " which is not valid for " + operation + "."}
	case !slices.Contains(row.algorithms, algorithm):
		return refusal{"InvalidKeyUsageException", "Algorithm " + algorithm + " is incompatible with key spec " + row.spec + "."}
	}
	return refusal{}
}

// messageRefusal goes on where refusal left off.
func (row specRow) messageRefusal(algorithm, messageType string, size int) refusal {
	bySpec := refusal{"ValidationException", "Message type " + messageType + " is incompatible with key spec " + row.spec + "."}
	byAlgorithm := refusal{"ValidationException", "Message type " + messageType + " is incompatible with algorithm " + algorithm + "."}
	lattice := strings.HasPrefix(row.spec, "ML_DSA")
	switch {
	case messageType == "EXTERNAL_MU" && !lattice, messageType == "DIGEST" && lattice:
		return bySpec
	case algorithm == "ED25519_SHA_512" && messageType == "DIGEST", algorithm == "ED25519_PH_SHA_512" && messageType == "RAW":
		return byAlgorithm
	case messageType != "RAW" && size != digestSizes[algorithm]:
		return refusal{"ValidationException", "Digest is invalid length for algorithm " + algorithm + "."}
	}
	return refusal{}
}

// rowKey is a key of a row. One that is sham says that it is of the row's spec, but
// its material is of another: for what is refused before the material matters.
type rowKey struct {
	specRow
	id, arn string
	sham    bool
}

// rowKeys makes a key of every spec and usage. Those of specs that are held back are
// sham.
func (h *harness) rowKeys() []rowKey {
	h.t.Helper()
	var keys []rowKey
	for _, row := range specRows() {
		sham := slices.Contains(heldBack, row.spec)
		in := m{"KeySpec": row.spec, "KeyUsage": row.usage}
		if sham {
			in = m{"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"}
		}
		k := h.key(in)
		id := k["KeyId"].(string)
		if sham {
			h.edit(id, func(r *keyRecord) { r.Spec, r.Usage = api.KeySpec(row.spec), api.KeyUsageType(row.usage) })
		}
		keys = append(keys, rowKey{specRow: row, id: id, arn: k["Arn"].(string), sham: sham})
	}
	return keys
}

// TestEverySpecWithEveryOperation asks a key of every spec and usage for everything
// that the model lets through: every algorithm, message type and digest length.
func TestEverySpecWithEveryOperation(t *testing.T) {
	h := newHarness(t)
	h.everyOperation(root, h.rowKeys())
}

// TestSM2WithEveryOperation does the same in China.
func TestSM2WithEveryOperation(t *testing.T) {
	h, who := inChinaHarness(t)
	var keys []rowKey
	for _, row := range specRows() {
		if row.spec == "SM2" {
			k := h.ok(who, "CreateKey", m{"KeySpec": row.spec, "KeyUsage": row.usage})["KeyMetadata"].(m)
			keys = append(keys, rowKey{specRow: row, id: k["KeyId"].(string), arn: k["Arn"].(string)})
		}
	}
	h.everyOperation(who, keys)
}

func (h *harness) everyOperation(who caller, keys []rowKey) {
	t := h.t
	symmetric := h.ok(who, "CreateKey", m{})["KeyMetadata"].(m)["KeyId"]
	wrapped := h.ok(who, "Encrypt", m{"KeyId": symmetric, "Plaintext": plaintextBase64})["CiphertextBlob"]
	ok := refusal{}
	dry := refusal{"DryRunOperationException", dryRunMessage}
	for _, row := range keys {
		id, arn := row.id, row.arn
		// try returns the answer if there is to be one.
		try := func(operation string, in m, want refusal) m {
			t.Helper()
			if want == ok && row.sham {
				return nil
			}
			in = with(in, m{"KeyId": id})
			a := h.send(who, operation, in)
			if a.code != want.code || a.message != want.message || (a.status == 200) != (want == ok) {
				t.Errorf("%s, %s: %s of %v: %d %s %q, want %v", row.spec, row.usage, operation, in, a.status, a.code, a.message, want)
			}
			out := a.body
			if want == ok && out["KeyId"] != arn {
				t.Errorf("%s: %s answers with KeyId %v", row.spec, operation, out["KeyId"])
			}
			// A dry run finds all the same, and in the end only says so.
			dryWant := want
			if want == ok {
				dryWant = dry
			}
			if a := h.send(who, operation, with(in, m{"DryRun": true})); a.code != dryWant.code || a.message != dryWant.message || len(a.body) > 2 {
				t.Errorf("%s, %s: dry run of %s: %v, want %v", row.spec, row.usage, operation, a.body, dryWant)
			}
			if want != ok {
				return nil
			}
			return out
		}

		for _, algorithm := range signingAlgorithms {
			for _, messageType := range messageTypes {
				sizes := []int{32} // where it cannot matter
				if slices.Contains(row.algorithms, algorithm) {
					sizes = []int{1, 31, 32, 33, 48, 64, 65, 4096}
				}
				for _, size := range sizes {
					message := bytes.Repeat([]byte{7}, size)
					in := m{"Message": b64(message), "MessageType": messageType, "SigningAlgorithm": algorithm}
					want := row.refusal(arn, "Sign", "SIGN_VERIFY", algorithm)
					if want == ok {
						want = row.messageRefusal(algorithm, messageType, size)
					}
					out := try("Sign", in, want)
					signature := b64([]byte("x"))
					if out != nil {
						signature = out["Signature"].(string)
						if out["SigningAlgorithm"] != algorithm || len(out) != 3 {
							t.Errorf("%s: Sign answers %v", row.spec, out)
						}
					} else {
						want.message = strings.Replace(want.message, "not valid for Sign.", "not valid for Verify.", 1)
					}
					out = try("Verify", with(in, m{"Signature": signature}), want)
					if out != nil && (out["SignatureValid"] != true || out["SigningAlgorithm"] != algorithm || len(out) != 3) {
						t.Errorf("%s: Verify answers %v", row.spec, out)
					}
				}
			}
		}
		for _, algorithm := range macAlgorithms {
			in := m{"Message": plaintextBase64, "MacAlgorithm": algorithm}
			want := row.refusal(arn, "GenerateMac", "GENERATE_VERIFY_MAC", algorithm)
			mac := b64([]byte("x"))
			if out := try("GenerateMac", in, want); out != nil {
				mac = out["Mac"].(string)
				if size := len(bytesOf(t, mac)); out["MacAlgorithm"] != algorithm || !strings.HasSuffix(algorithm, fmt.Sprint("_", size*8)) {
					t.Errorf("%s: GenerateMac answers %v", row.spec, out)
				}
			}
			want = row.refusal(arn, "VerifyMac", "GENERATE_VERIFY_MAC", algorithm)
			if out := try("VerifyMac", with(in, m{"Mac": mac}), want); out != nil && (out["MacValid"] != true || out["MacAlgorithm"] != algorithm) {
				t.Errorf("%s: VerifyMac answers %v", row.spec, out)
			}
		}
		for _, algorithm := range encryptionAlgorithms {
			in := m{"Plaintext": plaintextBase64, "EncryptionAlgorithm": algorithm}
			want := row.refusal(arn, "Encrypt", "ENCRYPT_DECRYPT", algorithm)
			out := try("Encrypt", in, want)
			if want == ok {
				if out == nil {
					continue
				}
				back := try("Decrypt", m{"CiphertextBlob": out["CiphertextBlob"], "EncryptionAlgorithm": algorithm}, ok)
				if _, has := back["KeyMaterialId"]; back["Plaintext"] != plaintextBase64 || has != (row.spec == "SYMMETRIC_DEFAULT") {
					t.Errorf("%s: Decrypt answers %v", row.spec, back)
				}
				continue
			}
			// A symmetric blob names its key, and that is looked at first.
			want = row.refusal(arn, "Decrypt", "ENCRYPT_DECRYPT", algorithm)
			if algorithm == "SYMMETRIC_DEFAULT" {
				want = refusal{"IncorrectKeyException", incorrectKey}
			}
			try("Decrypt", m{"CiphertextBlob": wrapped, "EncryptionAlgorithm": algorithm}, want)
		}
		for _, operation := range []string{"GenerateDataKey", "GenerateDataKeyWithoutPlaintext"} {
			try(operation, m{"KeySpec": "AES_256"}, row.refusal(arn, operation, "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT"))
		}
		for _, operation := range []string{"GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext"} {
			try(operation, m{"KeyPairSpec": "ECC_NIST_P256"}, row.refusal(arn, operation, "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT"))
		}
		public := h.send(who, "GetPublicKey", m{"KeyId": id})
		if row.spec == "SYMMETRIC_DEFAULT" || row.usage == "GENERATE_VERIFY_MAC" {
			if public.code != "UnsupportedOperationException" || !public.bare {
				t.Errorf("%s: GetPublicKey: %v", row.spec, public)
			}
			public.body = m{"PublicKey": b64([]byte("x"))}
		} else if public.status != 200 || public.body["KeySpec"] != row.spec || public.body["CustomerMasterKeySpec"] != row.spec ||
			public.body["KeyUsage"] != row.usage || public.body["KeyId"] != arn || len(public.body) != 6 ||
			fmt.Sprint(public.body[listNames[row.usage]]) != fmt.Sprint(row.algorithms) {
			t.Errorf("%s, %s: GetPublicKey: %v", row.spec, row.usage, public)
		}
		want := row.refusal(arn, "DeriveSharedSecret", "KEY_AGREEMENT", "ECDH")
		out := try("DeriveSharedSecret", m{"KeyAgreementAlgorithm": "ECDH", "PublicKey": public.body["PublicKey"]}, want)
		if out != nil {
			size := map[string]int{"ECC_NIST_P256": 32, "ECC_NIST_P384": 48, "ECC_NIST_P521": 66, "SM2": 32}[row.spec]
			if got := len(bytesOf(t, out["SharedSecret"])); got != size || out["KeyAgreementAlgorithm"] != "ECDH" || out["KeyOrigin"] != "AWS_KMS" || len(out) != 4 {
				t.Errorf("%s: DeriveSharedSecret answers %v", row.spec, out)
			}
		}
		want = row.refusal(arn, "Encapsulate", "ENCAPSULATE_DECAPSULATE", "ML_KEM")
		out = try("Encapsulate", m{"EncapsulationAlgorithm": "ML_KEM"}, want)
		blob := b64([]byte("x"))
		if out != nil {
			blob = out["SharedSecretCiphertextBlob"].(string)
			size := map[string]int{"ML_KEM_512": 768, "ML_KEM_768": 1088, "ML_KEM_1024": 1568}[row.spec]
			if got := len(bytesOf(t, blob)); got != size || len(bytesOf(t, out["SharedSecret"])) != 32 || out["EncapsulationAlgorithm"] != "ML_KEM" || len(out) != 4 {
				t.Errorf("%s: Encapsulate answers %v", row.spec, out)
			}
		}
		back := try("Decapsulate", m{"EncapsulationAlgorithm": "ML_KEM", "SharedSecretCiphertextBlob": blob},
			row.refusal(arn, "Decapsulate", "ENCAPSULATE_DECAPSULATE", "ML_KEM"))
		if back != nil && (back["SharedSecret"] != out["SharedSecret"] || back["EncapsulationAlgorithm"] != "ML_KEM") {
			t.Errorf("%s: Decapsulate answers %v", row.spec, back)
		}
	}
	if h.log.Len() > 0 {
		t.Errorf("log: %s", h.log)
	}
}
