package kms

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	api "github.com/strongroom/strongroom/api/kms"
)

// specTable is kms.md §5, with the ML-KEM specs that are newer than it.
const specTable = `
SYMMETRIC_DEFAULT | ENCRYPT_DECRYPT | SYMMETRIC_DEFAULT
RSA_2048 RSA_3072 RSA_4096 | ENCRYPT_DECRYPT | RSAES_OAEP_SHA_1 RSAES_OAEP_SHA_256
RSA_2048 RSA_3072 RSA_4096 | SIGN_VERIFY | RSASSA_PKCS1_V1_5_SHA_256 RSASSA_PKCS1_V1_5_SHA_384 RSASSA_PKCS1_V1_5_SHA_512 RSASSA_PSS_SHA_256 RSASSA_PSS_SHA_384 RSASSA_PSS_SHA_512
ECC_NIST_P256 | SIGN_VERIFY | ECDSA_SHA_256
ECC_NIST_P384 | SIGN_VERIFY | ECDSA_SHA_384
ECC_NIST_P521 | SIGN_VERIFY | ECDSA_SHA_512
ECC_NIST_P256 ECC_NIST_P384 ECC_NIST_P521 | KEY_AGREEMENT | ECDH
ECC_SECG_P256K1 | SIGN_VERIFY | ECDSA_SHA_256
ECC_NIST_EDWARDS25519 | SIGN_VERIFY | ED25519_PH_SHA_512 ED25519_SHA_512
ML_DSA_44 ML_DSA_65 ML_DSA_87 | SIGN_VERIFY | ML_DSA_SHAKE_256
ML_KEM_512 ML_KEM_768 ML_KEM_1024 | ENCAPSULATE_DECAPSULATE | ML_KEM
HMAC_224 | GENERATE_VERIFY_MAC | HMAC_SHA_224
HMAC_256 | GENERATE_VERIFY_MAC | HMAC_SHA_256
HMAC_384 | GENERATE_VERIFY_MAC | HMAC_SHA_384
HMAC_512 | GENERATE_VERIFY_MAC | HMAC_SHA_512
SM2 | ENCRYPT_DECRYPT | SM2PKE
SM2 | SIGN_VERIFY | SM2DSA
SM2 | KEY_AGREEMENT | ECDH`

// specRow is a spec and usage of the table with its algorithms.
type specRow struct {
	spec, usage string
	algorithms  []string
}

func specRows() (rows []specRow) {
	for line := range strings.Lines(strings.TrimSpace(specTable)) {
		part := strings.Split(line, "|")
		for _, spec := range strings.Fields(part[0]) {
			rows = append(rows, specRow{spec, strings.TrimSpace(part[1]), strings.Fields(part[2])})
		}
	}
	return rows
}

// allUsages are the model's.
var allUsages = []string{"SIGN_VERIFY", "ENCRYPT_DECRYPT", "GENERATE_VERIFY_MAC", "KEY_AGREEMENT", "ENCAPSULATE_DECAPSULATE"}

// TestSpecTable holds the code's table against the specification's, both ways.
func TestSpecTable(t *testing.T) {
	rows := specRows()
	for _, row := range rows {
		spec := specOf(api.KeySpec(row.spec))
		if spec == nil {
			t.Errorf("%s is missing", row.spec)
			continue
		}
		if got := spec.algorithms(api.KeyUsageType(row.usage)); !slices.Equal(got, row.algorithms) {
			t.Errorf("%s, %s: %v, want %v", row.spec, row.usage, got, row.algorithms)
		}
	}
	usages := 0
	for _, spec := range keySpecs {
		usages += len(spec.usages)
	}
	if usages != len(rows) {
		t.Errorf("the code has %d usages, the specification %d", usages, len(rows))
	}
}

func TestLongestPlaintexts(t *testing.T) {
	for spec, want := range map[api.KeySpec][2]int{
		api.KeySpecRsa2048: {214, 190}, api.KeySpecRsa3072: {342, 318}, api.KeySpecRsa4096: {470, 446},
	} {
		row := specOf(spec)
		if got := [2]int{row.longestPlaintext("RSAES_OAEP_SHA_1"), row.longestPlaintext("RSAES_OAEP_SHA_256")}; got != want {
			t.Errorf("%s: %v, want %v", spec, got, want)
		}
	}
}

// heldBack are the specs that what is tried with every spec leaves out: two take
// seconds to make, and TestLargeRSAKeys tries them; one is for China alone, and
// TestSM2 tries it.
var heldBack = []string{"RSA_3072", "RSA_4096", "SM2"}

// listNames are the members of KeyMetadata of which a key has exactly one.
var listNames = map[string]string{
	"ENCRYPT_DECRYPT": "EncryptionAlgorithms", "SIGN_VERIFY": "SigningAlgorithms", "KEY_AGREEMENT": "KeyAgreementAlgorithms",
	"ENCAPSULATE_DECAPSULATE": "EncapsulationAlgorithms", "GENERATE_VERIFY_MAC": "MacAlgorithms",
}

func TestCreateKeyOfEverySpec(t *testing.T) {
	h := newHarness(t)
	for _, row := range specRows() {
		if slices.Contains(heldBack, row.spec) {
			continue
		}
		made := h.key(m{"KeySpec": row.spec, "KeyUsage": row.usage})
		described := h.ok(root, "DescribeKey", m{"KeyId": made["KeyId"]})["KeyMetadata"].(m)
		for _, k := range []m{made, described} {
			if k["KeySpec"] != row.spec || k["CustomerMasterKeySpec"] != row.spec || k["KeyUsage"] != row.usage || k["KeyState"] != "Enabled" {
				t.Errorf("%s, %s: %v", row.spec, row.usage, k)
			}
			for usage, name := range listNames {
				list, has := k[name]
				if has != (usage == row.usage) || has && fmt.Sprint(list) != fmt.Sprint(row.algorithms) {
					t.Errorf("%s, %s: %s is %v", row.spec, row.usage, name, list)
				}
			}
			if _, has := k["CurrentKeyMaterialId"]; has != (row.spec == "SYMMETRIC_DEFAULT") {
				t.Errorf("%s: CurrentKeyMaterialId is %v", row.spec, k["CurrentKeyMaterialId"])
			}
		}
	}
}

// TestCreateKeyRefusals: every spec with every usage that it does not have, and
// without one.
func TestCreateKeyRefusals(t *testing.T) {
	h := newHarness(t)
	has := map[string]bool{}
	for _, row := range specRows() {
		has[row.spec+row.usage] = true
	}
	for i := range keySpecs {
		spec := string(keySpecs[i].spec)
		if spec == "SM2" {
			continue
		}
		if spec != "SYMMETRIC_DEFAULT" {
			h.fails(root, "CreateKey", m{"KeySpec": spec}, "ValidationException",
				"You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.")
		}
		for _, usage := range allUsages {
			if !has[spec+usage] {
				h.fails(root, "CreateKey", m{"KeySpec": spec, "KeyUsage": usage}, "ValidationException",
					"KeyUsage "+usage+" is not compatible with KeySpec "+spec)
			}
		}
	}
	h.fails(root, "CreateKey", m{"KeySpec": "RSA_2048", "CustomerMasterKeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"}, "ValidationException",
		"You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.")
	h.fails(root, "CreateKey", m{"KeySpec": "SM2", "KeyUsage": "SIGN_VERIFY"}, "UnsupportedOperationException", "KeySpec SM2 is not supported in this Region.")
	if records := h.ok(root, "ListKeys", m{})["Keys"].([]any); len(records) != 0 {
		t.Errorf("%d keys were made", len(records))
	}
}

// TestRegionsOfSpecs: China has SM2 and no ML-KEM.
func TestRegionsOfSpecs(t *testing.T) {
	for i := range keySpecs {
		spec := &keySpecs[i]
		in, outside := !strings.HasPrefix(string(spec.spec), "ML_KEM"), spec.spec != api.KeySpecSm2
		if spec.in("cn-north-1") != in || spec.in("us-east-1") != outside {
			t.Errorf("%s: in cn-north-1 %v, in us-east-1 %v", spec.spec, spec.in("cn-north-1"), spec.in("us-east-1"))
		}
	}
}
