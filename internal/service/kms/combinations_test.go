package kms

import (
	"slices"
	"strings"
	"testing"

	api "github.com/strongroom/strongroom/api/kms"
)

// usable is what a cryptographic operation answers that goes by usage and algorithm
// alone; an empty code is success.
func (k rowKey) usable(operation, usage, algorithm string) refusal {
	return k.refusal(k.arn, operation, usage, algorithm)
}

// expects makes a call and compares the refusal, or that there is none.
func (h *harness) expects(operation string, in m, want refusal) m {
	h.t.Helper()
	a := h.send(root, operation, in)
	if a.code != want.code || a.message != want.message || (a.status == 200) != (want.code == "") {
		h.t.Errorf("%s of %v: %d %s %q, want %v", operation, in, a.status, a.code, a.message, want)
	}
	return a.body
}

// TestEverySourceOfACiphertext opens symmetric and RSA ciphertexts, and what is
// neither, with every algorithm, naming every key and none, in Decrypt and as
// ReEncrypt's source.
func TestEverySourceOfACiphertext(t *testing.T) {
	h := newHarness(t)
	keys := h.rowKeys()
	symmetric := keys[slices.IndexFunc(keys, func(k rowKey) bool { return k.spec == "SYMMETRIC_DEFAULT" })]
	other := h.key(m{})
	keys = append(keys, rowKey{specRow: symmetric.specRow, id: other["KeyId"].(string), arn: other["Arn"].(string)})
	rsaKey := keys[slices.IndexFunc(keys, func(k rowKey) bool { return k.spec == "RSA_2048" && k.usage == "ENCRYPT_DECRYPT" })]
	blobs := map[string]string{"garbage": b64([]byte("garbage"))}
	for algorithm, id := range map[string]string{"SYMMETRIC_DEFAULT": symmetric.id, "RSAES_OAEP_SHA_1": rsaKey.id, "RSAES_OAEP_SHA_256": rsaKey.id} {
		blobs[algorithm] = h.ok(root, "Encrypt", m{"KeyId": id, "Plaintext": plaintextBase64, "EncryptionAlgorithm": algorithm})["CiphertextBlob"].(string)
	}
	invalid := refusal{"InvalidCiphertextException", ""}
	for _, operation := range []struct{ name, key, algorithm string }{
		{"Decrypt", "KeyId", "EncryptionAlgorithm"}, {"ReEncrypt", "SourceKeyId", "SourceEncryptionAlgorithm"},
	} {
		for kind, blob := range blobs {
			for _, algorithm := range append([]string{""}, encryptionAlgorithms...) {
				in := m{"CiphertextBlob": blob}
				if operation.name == "ReEncrypt" {
					in["DestinationKeyId"] = symmetric.id
				}
				asked := "SYMMETRIC_DEFAULT"
				if algorithm != "" {
					in[operation.algorithm], asked = algorithm, algorithm
				}
				// Without a key's name.
				want := refusal{"ValidationException", operation.key + " must not be null"}
				if asked == "SYMMETRIC_DEFAULT" {
					want = invalid
					if kind == "SYMMETRIC_DEFAULT" {
						want = refusal{}
					}
				}
				h.expects(operation.name, in, want)
				for _, k := range keys {
					if k.sham && k.usage == "ENCRYPT_DECRYPT" {
						continue // its material would be touched
					}
					var want refusal
					switch {
					case asked == "SYMMETRIC_DEFAULT" && kind != asked:
						want = invalid
					case asked == "SYMMETRIC_DEFAULT":
						if k.id != symmetric.id {
							want = refusal{"IncorrectKeyException", incorrectKey}
						}
					default:
						want = k.usable(operation.name, "ENCRYPT_DECRYPT", asked)
						if want.code == "" && (kind != asked || k.id != rsaKey.id) {
							want = invalid
						}
					}
					h.expects(operation.name, with(in, m{operation.key: k.id}), want)
				}
			}
		}
	}
}

// TestEveryDestinationOfACiphertext re-encrypts to every key with every algorithm.
func TestEveryDestinationOfACiphertext(t *testing.T) {
	h := newHarness(t)
	source, _ := h.keyID()
	blob := h.ok(root, "Encrypt", m{"KeyId": source, "Plaintext": plaintextBase64})["CiphertextBlob"]
	for _, k := range h.rowKeys() {
		for _, algorithm := range encryptionAlgorithms {
			want := k.usable("ReEncrypt", "ENCRYPT_DECRYPT", algorithm)
			if want.code == "" && k.sham {
				continue
			}
			out := h.expects("ReEncrypt", m{"CiphertextBlob": blob, "DestinationKeyId": k.id, "DestinationEncryptionAlgorithm": algorithm}, want)
			if want.code == "" && (out["KeyId"] != k.arn || out["DestinationEncryptionAlgorithm"] != algorithm) {
				t.Errorf("%s: %v", k.spec, out)
			}
		}
	}
}

// TestEveryDataKey asks every key for every data key and pair. A pair of a spec that
// the Region lacks is refused before the key is looked at.
func TestEveryDataKey(t *testing.T) {
	h := newHarness(t)
	for _, k := range h.rowKeys() {
		for _, operation := range []string{"GenerateDataKey", "GenerateDataKeyWithoutPlaintext"} {
			want := k.usable(operation, "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT")
			for _, size := range []m{{"KeySpec": "AES_128"}, {"KeySpec": "AES_256"}, {"NumberOfBytes": 1}, {"NumberOfBytes": 1024}} {
				h.expects(operation, with(size, m{"KeyId": k.id}), want)
			}
			both := refusal{"ValidationException", "Please specify either number of bytes or key spec."}
			h.expects(operation, m{"KeyId": k.id, "KeySpec": "AES_128", "NumberOfBytes": 16}, both)
			h.expects(operation, m{"KeyId": k.id}, both)
		}
		for i := range keySpecs {
			if !keySpecs[i].pair {
				continue
			}
			for _, operation := range []string{"GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext"} {
				want := k.usable(operation, "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT")
				if want.code == "" {
					want = refusal{"DryRunOperationException", dryRunMessage}
				}
				if keySpecs[i].spec == api.KeySpecSm2 {
					want = refusal{"UnsupportedOperationException", "KeyPairSpec SM2 is not supported in this Region."}
				}
				h.expects(operation, m{"KeyId": k.id, "KeyPairSpec": keySpecs[i].spec, "DryRun": true}, want)
			}
		}
	}
}

// TestEveryPeer offers the public key of every spec to every key that agrees.
func TestEveryPeer(t *testing.T) {
	h := newHarness(t)
	keys := h.rowKeys()
	for _, mine := range keys {
		if mine.usage != "KEY_AGREEMENT" || mine.sham {
			continue
		}
		for _, peer := range keys {
			public := h.send(root, "GetPublicKey", m{"KeyId": peer.id})
			if public.status != 200 || peer.sham {
				continue
			}
			want := refusal{"ValidationException", ""}
			if peer.spec == mine.spec { // what it is used for does not show in a public key
				want = refusal{}
			}
			h.expects("DeriveSharedSecret", m{"KeyId": mine.id, "KeyAgreementAlgorithm": "ECDH", "PublicKey": public.body["PublicKey"]}, want)
		}
	}
}

// familyOf is what UpdateAlias tells apart besides the usage.
func familyOf(spec string) string {
	switch {
	case strings.HasPrefix(spec, "HMAC_"):
		return "HMAC"
	case spec == "SYMMETRIC_DEFAULT":
		return "symmetric"
	}
	return "asymmetric"
}

// TestEveryAliasMove points an alias from every kind of key to every kind.
func TestEveryAliasMove(t *testing.T) {
	h := newHarness(t)
	var keys []rowKey
	kinds := map[string]int{}
	for _, k := range h.rowKeys() {
		if kind := familyOf(k.spec) + k.usage; kinds[kind] < 2 {
			kinds[kind]++
			keys = append(keys, k)
		}
	}
	for _, from := range keys {
		for _, to := range keys {
			h.ok(root, "CreateAlias", m{"AliasName": "alias/moving", "TargetKeyId": from.id})
			var want refusal
			if familyOf(from.spec) != familyOf(to.spec) || from.usage != to.usage {
				want = refusal{"ValidationException", "Alias arn:aws:kms:us-east-1:" + account + ":alias/moving cannot be changed from a CMK with key usage " + from.usage +
					" to a CMK with key usage " + to.usage + ". The key usage of the current CMK and the new CMK must be the same."}
			}
			h.expects("UpdateAlias", m{"AliasName": "alias/moving", "TargetKeyId": to.id}, want)
			target := to.id
			if want.code != "" {
				target = from.id
			}
			if got := h.metadata("alias/moving")["KeyId"]; got != target {
				t.Errorf("from %s to %s: the alias is at %v", from.spec, to.spec, got)
			}
			h.ok(root, "DeleteAlias", m{"AliasName": "alias/moving"})
		}
	}
}

// TestEverySpecWithItsLife asks keys of every spec, made here, for what only some
// have: rotation, import, replicas.
func TestEverySpecWithItsLife(t *testing.T) {
	h := newHarness(t)
	for _, k := range h.rowKeys() {
		symmetric := k.spec == "SYMMETRIC_DEFAULT"
		onlySymmetric := refusal{"UnsupportedOperationException", ""}
		everyMaterial := refusal{"ValidationException", "Input parameter includeKeyMaterial can only be used with symmetric keys."}
		if symmetric {
			onlySymmetric, everyMaterial = refusal{}, refusal{}
		}
		here := refusal{"UnsupportedOperationException", k.arn + " origin is AWS_KMS which is not valid for this operation."}
		single := func(spelled string) refusal {
			return refusal{"UnsupportedOperationException", k.arn + " is not a " + spelled + " primary key."}
		}
		for _, c := range []struct {
			operation string
			in        m
			want      refusal
		}{
			{"EnableKeyRotation", m{}, onlySymmetric},
			{"EnableKeyRotation", m{"RotationPeriodInDays": 90}, onlySymmetric},
			{"GetKeyRotationStatus", m{}, refusal{}},
			{"DisableKeyRotation", m{}, refusal{}},
			{"RotateKeyOnDemand", m{}, onlySymmetric},
			{"ListKeyRotations", m{}, refusal{}},
			{"ListKeyRotations", m{"IncludeKeyMaterial": "ROTATIONS_ONLY"}, refusal{}},
			{"ListKeyRotations", m{"IncludeKeyMaterial": "ALL_KEY_MATERIAL"}, everyMaterial},
			{"GetParametersForImport", m{"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}, here},
			{"ImportKeyMaterial", m{"ImportToken": "eA==", "EncryptedKeyMaterial": "eA==", "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}, here},
			{"DeleteImportedKeyMaterial", m{}, here},
			{"ReplicateKey", m{"ReplicaRegion": second}, single("multi-region")},
			{"UpdatePrimaryRegion", m{"PrimaryRegion": second}, single("multi-Region")},
			{"UpdateKeyDescription", m{"Description": "d"}, refusal{}},
			{"TagResource", m{"Tags": []m{{"TagKey": "a", "TagValue": "b"}}}, refusal{}},
			{"PutKeyPolicy", m{"Policy": keyPolicy()}, refusal{}},
			{"DisableKey", m{}, refusal{}},
			{"EnableKey", m{}, refusal{}},
			{"ScheduleKeyDeletion", m{}, refusal{}},
			{"CancelKeyDeletion", m{}, refusal{}},
		} {
			h.expects(c.operation, with(c.in, m{"KeyId": k.id}), c.want)
		}
	}
}

// TestEveryNewKey asks for a key of every spec, usage and origin, with and without
// the other parameters that do not go with all of them. None is made of what is
// refused.
func TestEveryNewKey(t *testing.T) {
	h := newHarness(t)
	rows := map[string]bool{}
	for _, row := range specRows() {
		rows[row.spec+row.usage] = true
	}
	made := 0
	for i := range keySpecs {
		spec := string(keySpecs[i].spec)
		for _, usage := range append([]string{""}, allUsages...) {
			for _, origin := range []string{"", "AWS_KMS", "EXTERNAL"} {
				for _, multiRegion := range []bool{false, true} {
					asked := usage
					if usage == "" && spec == "SYMMETRIC_DEFAULT" {
						asked = "ENCRYPT_DECRYPT"
					}
					var want refusal
					switch {
					case asked == "":
						want = refusal{"ValidationException", "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys."}
					case spec == "SM2":
						want = refusal{"UnsupportedOperationException", "KeySpec SM2 is not supported in this Region."}
					case !rows[spec+asked]:
						want = refusal{"ValidationException", "KeyUsage " + asked + " is not compatible with KeySpec " + spec}
					case origin == "EXTERNAL" && strings.HasPrefix(spec, "ML_"):
						want = refusal{"UnsupportedOperationException", "KeySpec " + spec + " is not supported for origin EXTERNAL."}
					case origin != "EXTERNAL" && strings.HasPrefix(spec, "RSA_"):
						continue // would take its time, and TestCreateKeyOfEverySpec has it
					}
					in := m{"KeySpec": spec, "MultiRegion": multiRegion}
					if usage != "" {
						in["KeyUsage"] = usage
					}
					if origin != "" {
						in["Origin"] = origin
					}
					out := h.expects("CreateKey", in, want)
					if want.code != "" {
						continue
					}
					made++
					k := out["KeyMetadata"].(m)
					id := k["KeyId"].(string)
					if k["Origin"] == "EXTERNAL" != (k["KeyState"] == "PendingImport") || k["MultiRegion"] != multiRegion || strings.HasPrefix(id, "mrk-") != multiRegion {
						t.Errorf("%v: %v", in, k)
					}
				}
			}
		}
	}
	if keys, _ := h.list("ListKeys", "Keys", "KeyId", m{}, 1000); len(keys) != made {
		t.Errorf("%d keys, %d were made", len(keys), made)
	}
}
