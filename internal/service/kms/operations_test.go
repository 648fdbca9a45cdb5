package kms

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"
	"time"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/apigen/model"
)

// samples are valid inputs of the operations that exist, made for a fresh key
// that has the alias alias/sample. A row for each is compulsory.
var samples = map[string]func(h *harness, keyID string) m{
	"CancelKeyDeletion": func(h *harness, keyID string) m {
		h.ok(root, "ScheduleKeyDeletion", m{"KeyId": keyID})
		return m{"KeyId": keyID}
	},
	"CreateAlias":     func(_ *harness, keyID string) m { return m{"AliasName": "alias/new", "TargetKeyId": keyID} },
	"CreateKey":       func(*harness, string) m { return m{} },
	"Decrypt":         func(h *harness, keyID string) m { return m{"CiphertextBlob": sampleBlob(h, keyID)} },
	"DeleteAlias":     func(*harness, string) m { return m{"AliasName": "alias/sample"} },
	"DescribeKey":     justKey,
	"DisableKey":      justKey,
	"EnableKey":       justKey,
	"Encrypt":         func(_ *harness, keyID string) m { return m{"KeyId": keyID, "Plaintext": plaintextBase64} },
	"GenerateDataKey": func(_ *harness, keyID string) m { return m{"KeyId": keyID, "KeySpec": "AES_256"} },
	"GenerateDataKeyWithoutPlaintext": func(_ *harness, keyID string) m {
		return m{"KeyId": keyID, "NumberOfBytes": 64}
	},
	"GenerateRandom":   func(*harness, string) m { return m{"NumberOfBytes": 32} },
	"GetKeyPolicy":     justKey,
	"ListAliases":      func(*harness, string) m { return m{} },
	"ListKeyPolicies":  justKey,
	"ListKeys":         func(*harness, string) m { return m{} },
	"ListResourceTags": justKey,
	"PutKeyPolicy":     func(_ *harness, keyID string) m { return m{"KeyId": keyID, "Policy": keyPolicy()} },
	"ReEncrypt": func(h *harness, keyID string) m {
		return m{"CiphertextBlob": sampleBlob(h, keyID), "DestinationKeyId": keyID}
	},
	"ScheduleKeyDeletion": justKey,
	"TagResource": func(_ *harness, keyID string) m {
		return m{"KeyId": keyID, "Tags": []m{{"TagKey": "k", "TagValue": "v"}}}
	},
	"UntagResource": func(_ *harness, keyID string) m { return m{"KeyId": keyID, "TagKeys": []string{"k"}} },
	"Decapsulate": func(h *harness, _ string) m {
		id := specKey(h, "ML_KEM_768", "ENCAPSULATE_DECAPSULATE")
		out := h.ok(root, "Encapsulate", m{"KeyId": id, "EncapsulationAlgorithm": "ML_KEM"})
		return m{"KeyId": id, "EncapsulationAlgorithm": "ML_KEM", "SharedSecretCiphertextBlob": out["SharedSecretCiphertextBlob"]}
	},
	"DeriveSharedSecret": func(h *harness, _ string) m {
		id := specKey(h, "ECC_NIST_P256", "KEY_AGREEMENT")
		return m{"KeyId": id, "KeyAgreementAlgorithm": "ECDH", "PublicKey": h.ok(root, "GetPublicKey", m{"KeyId": id})["PublicKey"]}
	},
	"Encapsulate": func(h *harness, _ string) m {
		return m{"KeyId": specKey(h, "ML_KEM_768", "ENCAPSULATE_DECAPSULATE"), "EncapsulationAlgorithm": "ML_KEM"}
	},
	"GenerateDataKeyPair": func(_ *harness, keyID string) m { return m{"KeyId": keyID, "KeyPairSpec": "ECC_NIST_P256"} },
	"GenerateDataKeyPairWithoutPlaintext": func(_ *harness, keyID string) m {
		return m{"KeyId": keyID, "KeyPairSpec": "ECC_NIST_P256"}
	},
	"GenerateMac": func(h *harness, _ string) m {
		return m{"KeyId": specKey(h, "HMAC_256", "GENERATE_VERIFY_MAC"), "MacAlgorithm": "HMAC_SHA_256", "Message": plaintextBase64}
	},
	"GetPublicKey": func(h *harness, _ string) m { return m{"KeyId": specKey(h, "ECC_NIST_P256", "SIGN_VERIFY")} },
	"Sign":         func(h *harness, _ string) m { return sampleSign(h) },
	"Verify": func(h *harness, _ string) m {
		in := sampleSign(h)
		return with(in, m{"Signature": h.ok(root, "Sign", in)["Signature"]})
	},
	"VerifyMac": func(h *harness, _ string) m {
		in := m{"KeyId": specKey(h, "HMAC_256", "GENERATE_VERIFY_MAC"), "MacAlgorithm": "HMAC_SHA_256", "Message": plaintextBase64}
		return with(in, m{"Mac": h.ok(root, "GenerateMac", in)["Mac"]})
	},
	"CreateGrant": func(_ *harness, keyID string) m { return sampleGrant(keyID) },
	"ListGrants":  justKey,
	"ListRetirableGrants": func(*harness, string) m {
		return m{"RetiringPrincipal": principals[root].ARN}
	},
	"RetireGrant": func(h *harness, keyID string) m {
		return m{"GrantToken": h.ok(root, "CreateGrant", sampleGrant(keyID))["GrantToken"]}
	},
	"RevokeGrant": func(h *harness, keyID string) m {
		return m{"KeyId": keyID, "GrantId": h.ok(root, "CreateGrant", sampleGrant(keyID))["GrantId"]}
	},
	"DeleteImportedKeyMaterial": func(h *harness, _ string) m { return m{"KeyId": sampleExternal(h)} },
	"DisableKeyRotation":        justKey,
	"EnableKeyRotation":         justKey,
	"GetKeyRotationStatus":      justKey,
	"GetKeyLastUsage":           justKey,
	"GetParametersForImport": func(h *harness, _ string) m {
		return m{"KeyId": sampleExternal(h), "WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}
	},
	"ImportKeyMaterial": func(h *harness, _ string) m { return sampleImport(h) },
	"ListKeyRotations":  justKey,
	"ReplicateKey":      func(h *harness, _ string) m { return m{"KeyId": sampleMultiRegion(h), "ReplicaRegion": second} },
	"RotateKeyOnDemand": justKey,
	"UpdatePrimaryRegion": func(h *harness, _ string) m {
		id := sampleMultiRegion(h)
		h.ok(root, "ReplicateKey", m{"KeyId": id, "ReplicaRegion": second})
		h.work()
		return m{"KeyId": id, "PrimaryRegion": second}
	},
	"UpdateAlias":              func(_ *harness, keyID string) m { return m{"AliasName": "alias/sample", "TargetKeyId": keyID} },
	"ConnectCustomKeyStore":    func(h *harness, _ string) m { return m{"CustomKeyStoreId": h.keyStore("s")} },
	"CreateCustomKeyStore":     func(*harness, string) m { return sampleKeyStore("s") },
	"DeleteCustomKeyStore":     func(h *harness, _ string) m { return m{"CustomKeyStoreId": h.keyStore("s")} },
	"DescribeCustomKeyStores":  func(*harness, string) m { return m{} },
	"DisconnectCustomKeyStore": func(h *harness, _ string) m { return m{"CustomKeyStoreId": h.connectedStore("s")} },
	"UpdateCustomKeyStore": func(h *harness, _ string) m {
		return m{"CustomKeyStoreId": h.keyStore("s"), "NewCustomKeyStoreName": "t"}
	},
	"UpdateKeyDescription": func(_ *harness, keyID string) m { return m{"KeyId": keyID, "Description": "new"} },
}

func justKey(_ *harness, keyID string) m { return m{"KeyId": keyID} }

func specKey(h *harness, spec, usage string) string {
	return h.key(m{"KeySpec": spec, "KeyUsage": usage})["KeyId"].(string)
}

func sampleGrant(keyID string) m {
	return m{"KeyId": keyID, "GranteePrincipal": "arn:aws:iam::" + other + ":root", "Operations": []string{"Encrypt"}}
}

// sampleExternal makes a key without material.
func sampleExternal(h *harness) string {
	id, _ := h.external(m{})
	return id
}

// sampleImport makes a key without material and returns what would import some.
func sampleImport(h *harness) m {
	id := sampleExternal(h)
	return h.wrapping(id).wrap(id, filled(1), m{"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"})
}

func sampleMultiRegion(h *harness) string { return h.key(m{"MultiRegion": true})["KeyId"].(string) }

func sampleSign(h *harness) m {
	return m{"KeyId": specKey(h, "ECC_NIST_P256", "SIGN_VERIFY"), "SigningAlgorithm": "ECDSA_SHA_256", "Message": plaintextBase64}
}

func sampleBlob(h *harness, keyID string) string {
	return h.ok(root, "Encrypt", m{"KeyId": keyID, "Plaintext": plaintextBase64})["CiphertextBlob"].(string)
}

// TestEveryOperationAsksAndRecords calls every operation that exists as someone
// whom no policy allows anything, and as the root: the one is refused, the other
// not, and each call leaves one record that says which it was.
func TestEveryOperationAsksAndRecords(t *testing.T) {
	for _, name := range built(t) {
		t.Run(name, func(t *testing.T) {
			sample := samples[name]
			if sample == nil {
				t.Fatal("give the operation a row in samples")
			}
			h := newHarness(t)
			keyID, _ := h.keyID()
			h.ok(root, "CreateAlias", m{"AliasName": "alias/sample", "TargetKeyId": keyID})
			in := sample(h, keyID)
			h.journal.taken(t)

			if a := h.send(user, name, in); a.code != "AccessDeniedException" {
				t.Errorf("as a user without policies: %d %s: %s", a.status, a.code, a.message)
			}
			if r := h.only(); r["eventName"] != name || r["errorCode"] != "AccessDeniedException" {
				t.Errorf("the record of the denial is %v", r)
			}
			h.ok(root, name, in)
			records := h.journal.taken(t)
			// These two are recorded in the other Region as well.
			if twice := name == "ReplicateKey" || name == "UpdatePrimaryRegion"; len(records) != 1 && (!twice || len(records) != 2) {
				t.Fatalf("%d records: %v", len(records), records)
			}
			if r := records[len(records)-1]; r["eventName"] != name || r["errorCode"] != nil || r["awsRegion"] != region {
				t.Errorf("the record of the success is %v", r)
			}
		})
	}
}

// built returns the operations that Service has a method for.
func built(t *testing.T) []string {
	t.Helper()
	table := api.Table(api.Unimplemented{})
	var names []string
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv != nil && table.Lookup(fn.Name.Name) != nil {
				names = append(names, fn.Name.Name)
			}
		}
	}
	if len(names) < len(samples) {
		t.Fatalf("only %d operations found", len(names))
	}
	return names
}

// sampleLists make several entries of each list that has pages, and return what asks
// for them; entries is their member in the answer. A row for each is compulsory.
var sampleLists = map[string]struct {
	entries string
	several func(h *harness, keyID string) m
}{
	"ListAliases": {"Aliases", func(h *harness, keyID string) m {
		for _, name := range []string{"alias/one", "alias/two", "alias/three"} {
			h.ok(root, "CreateAlias", m{"AliasName": name, "TargetKeyId": keyID})
		}
		return m{}
	}},
	"ListGrants": {"Grants", func(h *harness, keyID string) m {
		for range 3 {
			h.ok(root, "CreateGrant", sampleGrant(keyID))
		}
		return m{"KeyId": keyID}
	}},
	"ListRetirableGrants": {"Grants", func(h *harness, keyID string) m {
		for range 3 {
			h.ok(root, "CreateGrant", with(sampleGrant(keyID), m{"RetiringPrincipal": userARN}))
		}
		return m{"RetiringPrincipal": userARN}
	}},
	"ListKeyRotations": {"Rotations", func(h *harness, keyID string) m {
		for range 3 {
			h.ok(root, "RotateKeyOnDemand", m{"KeyId": keyID})
			h.clock.Advance(time.Second)
			h.work()
		}
		return m{"KeyId": keyID}
	}},
	"DescribeCustomKeyStores": {"CustomKeyStores", func(h *harness, _ string) m {
		for _, name := range []string{"one", "two", "three"} {
			h.keyStore(name)
		}
		return m{}
	}},
	"ListKeys": {"Keys", func(h *harness, _ string) m {
		h.keyID()
		h.keyID()
		return m{}
	}},
	"ListResourceTags": {"Tags", func(h *harness, keyID string) m {
		h.ok(root, "TagResource", m{"KeyId": keyID, "Tags": tagList(0, 3)})
		return m{"KeyId": keyID}
	}},
	"ListKeyPolicies": {"PolicyNames", justKey}, // of which there is one
}

// TestEveryListIsPaged reads each list whose model has a marker in one and in many
// pages: the entries and their order are the same, and each page is recorded.
func TestEveryListIsPaged(t *testing.T) {
	facts, err := model.Load("../../../models", "kms")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range built(t) {
		if in := facts.Operations[name].Input; in == "" || facts.Shapes[in].Find("Marker") == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			sample, known := sampleLists[name]
			if !known {
				t.Fatal("give the operation a row in sampleLists")
			}
			h := newHarness(t)
			keyID, _ := h.keyID()
			in := sample.several(h, keyID)
			whole := h.ok(root, name, in)
			entries := whole[sample.entries].([]any)
			if _, more := whole["NextMarker"]; more || whole["Truncated"] != false || len(entries) < 3 && name != "ListKeyPolicies" {
				t.Fatalf("%v", whole)
			}
			var paged []any
			h.journal.taken(t)
			for next := with(in, m{"Limit": 1}); ; {
				page := h.ok(root, name, next)
				if r := h.only(); r["eventName"] != name || r["errorCode"] != nil {
					t.Errorf("a page is recorded as %v", r)
				}
				paged = append(paged, page[sample.entries].([]any)...)
				marker, more := page["NextMarker"]
				if more != (page["Truncated"] == true) || len(paged) > len(entries) {
					t.Fatalf("a page %v", page)
				}
				if !more {
					break
				}
				next = with(in, m{"Limit": 1, "Marker": marker})
			}
			equal(t, "the pages", paged, entries)
		})
	}
}

// TestEveryOperationOfGrants gives someone whom no policy allows anything a grant
// of each operation that the model lets grants have: that call succeeds, and without
// the grant it is refused.
func TestEveryOperationOfGrants(t *testing.T) {
	facts, err := model.Load("../../../models", "kms")
	if err != nil {
		t.Fatal(err)
	}
	for _, granted := range facts.Shapes["GrantOperation"].Enum {
		t.Run(granted, func(t *testing.T) {
			call, operations := granted, []string{granted}
			switch granted {
			case "ReEncryptFrom", "ReEncryptTo": // one call asks for both
				call, operations = "ReEncrypt", []string{"ReEncryptFrom", "ReEncryptTo"}
			case "CreateGrant": // never alone
				operations = []string{"CreateGrant", "Encrypt"}
			case "RetireGrant": // of that grant itself: TestWhoMayRetire
				return
			}
			h := newHarness(t)
			keyID, _ := h.keyID()
			in := samples[call](h, keyID)
			if own, ok := in["KeyId"].(string); ok {
				keyID = own
			}
			if a := h.send(user, call, in); a.code != "AccessDeniedException" {
				t.Errorf("without a grant: %v", a)
			}
			grant := h.ok(root, "CreateGrant", m{"KeyId": keyID, "GranteePrincipal": userARN, "Operations": operations})["GrantId"]
			h.ok(user, call, in)
			if a := h.send(otherUser, call, in); a.code != "AccessDeniedException" {
				t.Errorf("by someone else: %v", a)
			}
			h.ok(root, "RevokeGrant", m{"KeyId": keyID, "GrantId": grant})
			if a := h.send(user, call, in); a.code != "AccessDeniedException" {
				t.Errorf("when the grant is gone: %v", a)
			}
		})
	}
}
