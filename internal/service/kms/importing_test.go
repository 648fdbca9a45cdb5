package kms

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	api "github.com/strongroom/strongroom/api/kms"
)

// external makes a key that waits for material.
func (h *harness) external(in m) (id, arn string) {
	h.t.Helper()
	in["Origin"] = "EXTERNAL"
	k := h.key(in)
	return k["KeyId"].(string), k["Arn"].(string)
}

// wrapping is a wrapping key and its token.
type wrapping struct {
	public *rsa.PublicKey
	token  string
}

func (h *harness) wrapping(id string) wrapping {
	h.t.Helper()
	out := h.ok(root, "GetParametersForImport", m{"KeyId": id, "WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"})
	der, err := base64.StdEncoding.DecodeString(out["PublicKey"].(string))
	if err != nil {
		h.t.Fatal(err)
	}
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		h.t.Fatal(err)
	}
	return wrapping{public.(*rsa.PublicKey), out["ImportToken"].(string)}
}

// wrap returns ImportKeyMaterial's input for material that never expires.
func (w wrapping) wrap(id string, material []byte, more m) m {
	blob, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, w.public, material, nil)
	if err != nil {
		panic(err)
	}
	in := m{"KeyId": id, "ImportToken": w.token, "EncryptedKeyMaterial": base64.StdEncoding.EncodeToString(blob),
		"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}
	for k, v := range more {
		if in[k] = v; v == nil {
			delete(in, k)
		}
	}
	return in
}

// expiring are the parameters of material that expires.
func expiring(at time.Time) m { return m{"ExpirationModel": nil, "ValidTo": seconds(at)} }

func filled(fill byte) []byte { return bytes.Repeat([]byte{fill}, 32) }

// imported returns a key with material of that fill, and its wrapping key.
func imported32(t *testing.T, fill byte) (h *harness, id, arn string, w wrapping) {
	t.Helper()
	h = newHarness(t)
	id, arn = h.external(m{})
	w = h.wrapping(id)
	h.ok(root, "ImportKeyMaterial", w.wrap(id, filled(fill), nil))
	return h, id, arn, w
}

func TestCreateExternalKey(t *testing.T) {
	h := newHarness(t)
	k := h.key(m{"Origin": "EXTERNAL"})
	for _, absent := range []string{"CurrentKeyMaterialId", "ExpirationModel", "ValidTo"} {
		if v, has := k[absent]; has {
			t.Errorf("%s of a key without material: %v", absent, v)
		}
	}
	equal(t, "state", []any{k["Enabled"], k["KeyState"], k["Origin"]}, []any{false, "PendingImport", "EXTERNAL"})
	id, arn := k["KeyId"].(string), k["Arn"].(string)
	h.fails(root, "Encrypt", m{"KeyId": id, "Plaintext": "eA=="}, "KMSInvalidStateException", arn+" is pending import.")
	h.fails(root, "EnableKey", m{"KeyId": id}, "KMSInvalidStateException", arn+" is pending import.")
	equal(t, "rotations", h.rotations(id, m{"IncludeKeyMaterial": "ALL_KEY_MATERIAL"}), []m(nil))
	h.fails(root, "RotateKeyOnDemand", m{"KeyId": id}, "KMSInvalidStateException", arn+" is pending import.")
	equal(t, "status", h.status(id), m{"KeyRotationEnabled": false, "KeyId": arn})
}

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

func TestImportNeedsAnExternalKey(t *testing.T) {
	h := newHarness(t)
	id, arn := h.keyID()
	for operation, in := range map[string]m{
		"GetParametersForImport":    {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"},
		"ImportKeyMaterial":         {"ImportToken": "eA==", "EncryptedKeyMaterial": "eA==", "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"},
		"DeleteImportedKeyMaterial": {},
	} {
		in["KeyId"] = id
		h.fails(root, operation, in, "UnsupportedOperationException", arn+" origin is AWS_KMS which is not valid for this operation.")
	}
}

func TestImportStates(t *testing.T) {
	h := newHarness(t)
	id, arn := h.external(m{})
	w := h.wrapping(id)
	make := func() (string, string) { // one key does, as wrapping keys are slow to make
		h.pending(id, api.KeyStatePendingImport)
		h.ok(root, "ImportKeyMaterial", w.wrap(id, filled(1), nil))
		return id, arn
	}
	h.cells("GetParametersForImport", []cell{"", "", "S", "S", "", "U", "S", "S"},
		m{"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}, make)
	h.cells("DeleteImportedKeyMaterial", []cell{"", "", "", "", "", "S", "S", "S"}, nil, make)
	for i, want := range []cell{"", "", "S", "S", "", "U", "S", ""} {
		h.pending(id, stateColumns[i])
		in := w.wrap(id, filled(1), nil)
		if want == "" {
			h.ok(root, "ImportKeyMaterial", in)
			after := string(api.KeyStateEnabled)
			if stateColumns[i] == api.KeyStateUpdating {
				after = string(api.KeyStateUpdating)
			}
			equal(t, fmt.Sprint("state after import in ", stateColumns[i]), h.metadata(id)["KeyState"], after)
			continue
		}
		code, message := want.refusal(arn, stateColumns[i])
		h.fails(root, "ImportKeyMaterial", in, code, message)
	}
}

func TestImportKeyMaterial(t *testing.T) {
	h := newHarness(t)
	id, arn := h.external(m{})
	w := h.wrapping(id)
	validTo := h.clock.Now().Add(100 * day)
	h.restart()
	out := h.ok(root, "ImportKeyMaterial", w.wrap(id, filled(1), expiring(validTo)))
	material := out["KeyMaterialId"].(string)
	equal(t, "answer", out, m{"KeyId": arn, "KeyMaterialId": material})
	if len(material) != 64 || strings.Trim(material, "0123456789abcdef") != "" {
		t.Errorf("material id %q", material)
	}
	k := h.metadata(id)
	equal(t, "metadata", []any{k["KeyState"], k["Enabled"], k["ExpirationModel"], k["ValidTo"], k["CurrentKeyMaterialId"]},
		[]any{"Enabled", true, "KEY_MATERIAL_EXPIRES", float64(validTo.Unix()), material})
	blob := h.encrypt(id)
	equal(t, "opened with", h.opens(blob), material)

	// The same material again, without deleting it: other terms, and enabled.
	h.ok(root, "DisableKey", m{"KeyId": id})
	equal(t, "again", h.ok(root, "ImportKeyMaterial", w.wrap(id, filled(1), nil)), out)
	k = h.metadata(id)
	if _, has := k["ValidTo"]; has {
		t.Errorf("ValidTo: %v", k)
	}
	equal(t, "metadata", []any{k["KeyState"], k["ExpirationModel"]}, []any{"Enabled", "KEY_MATERIAL_DOES_NOT_EXPIRE"})
	if next, err := h.service.doDue(t.Context(), region); err != nil || !next.IsZero() {
		t.Errorf("the old expiry is still planned for %v, %v", next, err)
	}
	h.clock.Advance(101 * day)
	h.work()
	h.opens(blob)

	// The same bytes in another key have another id.
	second, _ := h.external(m{})
	other := h.ok(root, "ImportKeyMaterial", h.wrapping(second).wrap(second, filled(1), nil))
	if other["KeyMaterialId"] == material {
		t.Error("two keys have a material of one id")
	}
	h.fails(root, "Decrypt", m{"CiphertextBlob": blob, "KeyId": second}, "IncorrectKeyException",
		"The key ID in the request does not identify a CMK that can perform this operation.")
}

func TestImportValidity(t *testing.T) {
	h := newHarness(t)
	id, _ := h.external(m{})
	w := h.wrapping(id)
	now := h.clock.Now()
	for _, c := range []struct {
		name    string
		in      m
		message string
	}{
		{"no model, no date", m{"ExpirationModel": nil}, "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES"},
		{"expires, no date", m{"ExpirationModel": "KEY_MATERIAL_EXPIRES"}, "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES"},
		{"does not expire, date", m{"ValidTo": seconds(now.Add(day))}, "A validTo date cannot be set if the ExpirationModel is KEY_MATERIAL_DOES_NOT_EXPIRE"},
		{"past", expiring(now.Add(-time.Second)), "ValidTo must be in the future"},
		{"now", expiring(now), "ValidTo must be in the future"},
		{"too far", expiring(now.Add(365*day + 2*time.Second)), "ValidTo must be less than 365 days in the future"},
		{"a year", expiring(now.Add(365 * day)), ""},
		{"soon", expiring(now.Add(2 * time.Second)), ""},
	} {
		in := w.wrap(id, filled(1), c.in)
		if c.message == "" {
			h.ok(root, "ImportKeyMaterial", in)
			continue
		}
		h.fails(root, "ImportKeyMaterial", in, "ValidationException", c.message)
	}
}

func TestImportTokensAndMaterial(t *testing.T) {
	h, id, arn, w := imported32(t, 1)
	other, _ := h.external(m{})
	foreign := h.wrapping(other)
	material := h.metadata(id)["CurrentKeyMaterialId"].(string)
	token := func(token string) m { return w.wrap(id, filled(1), m{"ImportToken": token}) }
	h.fails(root, "ImportKeyMaterial", token(foreign.token), "InvalidImportTokenException", "")
	h.fails(root, "ImportKeyMaterial", token("AAAA"), "InvalidImportTokenException", "")
	h.fails(root, "ImportKeyMaterial", w.wrap(id, filled(1)[:31], nil), "InvalidCiphertextException", "")
	h.fails(root, "ImportKeyMaterial", w.wrap(id, filled(1), m{"EncryptedKeyMaterial": "AAAA"}), "InvalidCiphertextException", "")
	h.fails(root, "ImportKeyMaterial", foreign.wrap(id, filled(1), m{"ImportToken": w.token}), "InvalidCiphertextException", "")
	h.fails(root, "ImportKeyMaterial", w.wrap(id, filled(2), nil), "IncorrectKeyMaterialException",
		"Imported key material does not have the expected identifier ("+material+").")
	newer := h.wrapping(id)
	h.ok(root, "ImportKeyMaterial", w.wrap(id, filled(1), nil)) // an older pair stays valid
	h.clock.Advance(day - time.Second)
	h.ok(root, "ImportKeyMaterial", newer.wrap(id, filled(1), nil))
	h.clock.Advance(time.Second)
	h.fails(root, "ImportKeyMaterial", newer.wrap(id, filled(1), nil), "ExpiredImportTokenException", "")
	_ = arn
}

func TestDeleteImportedKeyMaterial(t *testing.T) {
	h, id, arn, w := imported32(t, 1)
	material := h.metadata(id)["CurrentKeyMaterialId"].(string)
	blob := h.encrypt(id)
	for range 2 { // idempotent
		equal(t, "answer", h.ok(root, "DeleteImportedKeyMaterial", m{"KeyId": id}), m{"KeyId": arn, "KeyMaterialId": material})
		k := h.metadata(id)
		equal(t, "metadata", []any{k["KeyState"], k["CurrentKeyMaterialId"], k["ExpirationModel"], k["ValidTo"]}, []any{"PendingImport", material, nil, nil})
		h.fails(root, "Decrypt", m{"CiphertextBlob": blob}, "KMSInvalidStateException", arn+" is pending import.")
		equal(t, "list", h.rotations(id, m{"IncludeKeyMaterial": "ALL_KEY_MATERIAL"}),
			[]m{{"KeyId": arn, "KeyMaterialId": material, "KeyMaterialState": "CURRENT", "ImportState": "PENDING_IMPORT"}})
	}
	h.fails(root, "ImportKeyMaterial", w.wrap(id, filled(2), nil), "IncorrectKeyMaterialException",
		"Imported key material does not have the expected identifier ("+material+").")
	h.ok(root, "ImportKeyMaterial", w.wrap(id, filled(1), nil))
	h.opens(blob)

	unknown := strings.Repeat("0", 64)
	h.fails(root, "DeleteImportedKeyMaterial", m{"KeyId": id, "KeyMaterialId": unknown}, "ValidationException",
		"Key material (id: "+unknown+") has never been imported into KMS key "+arn+".")
	virgin, virginARN := h.external(m{})
	equal(t, "never imported", h.ok(root, "DeleteImportedKeyMaterial", m{"KeyId": virgin}), m{"KeyId": virginARN})

	// A key that is to be deleted stays so, and waits for material when that is
	// cancelled.
	h.ok(root, "ScheduleKeyDeletion", m{"KeyId": id})
	h.ok(root, "DeleteImportedKeyMaterial", m{"KeyId": id})
	equal(t, "pending deletion", h.metadata(id)["KeyState"], "PendingDeletion")
	h.ok(root, "CancelKeyDeletion", m{"KeyId": id})
	equal(t, "cancelled", h.metadata(id)["KeyState"], "PendingImport")
}

// TestExpiry lets material expire under the clock, with a restart before, and again
// after it came back.
func TestExpiry(t *testing.T) {
	h := newHarness(t)
	id, arn := h.external(m{})
	w := h.wrapping(id)
	first := h.clock.Now().Add(10 * day).Truncate(time.Second)
	h.ok(root, "ImportKeyMaterial", w.wrap(id, filled(1), expiring(first)))
	material := h.metadata(id)["CurrentKeyMaterialId"].(string)
	blob := h.encrypt(id)
	h.restart()
	h.clock.Advance(first.Sub(h.clock.Now()) - time.Millisecond)
	h.work()
	h.opens(blob)
	h.journal.taken(t)
	h.clock.Advance(time.Millisecond)
	h.work()
	h.work()
	r := h.only()
	equal(t, "record", []any{r["eventName"], r["eventType"], r["serviceEventDetails"], resources(r)},
		[]any{"DeleteExpiredKeyMaterial", "AwsServiceEvent", m{"keyId": id}, []string{arn}})
	k := h.metadata(id)
	equal(t, "metadata", []any{k["KeyState"], k["CurrentKeyMaterialId"], k["ExpirationModel"], k["ValidTo"]}, []any{"PendingImport", material, nil, nil})
	h.fails(root, "Decrypt", m{"CiphertextBlob": blob}, "KMSInvalidStateException", arn+" is pending import.")
	equal(t, "expired material still shows IMPORTED", h.rotations(id, m{"IncludeKeyMaterial": "ALL_KEY_MATERIAL"})[0]["ImportState"], "IMPORTED")

	w = h.wrapping(id)
	again := h.clock.Now().Add(50 * day)
	h.ok(root, "ImportKeyMaterial", w.wrap(id, filled(1), expiring(again)))
	h.opens(blob)
	h.ok(root, "DeleteImportedKeyMaterial", m{"KeyId": id})
	h.ok(root, "ImportKeyMaterial", w.wrap(id, filled(1), expiring(again.Add(day))))
	h.clock.Advance(50*day + time.Second)
	h.work()
	h.opens(blob) // the expiry of the import before does not count
	h.clock.Advance(day)
	h.work()
	h.fails(root, "Decrypt", m{"CiphertextBlob": blob}, "KMSInvalidStateException", arn+" is pending import.")
	// A key that expired and is deleted leaves nothing behind.
	h.ok(root, "ScheduleKeyDeletion", m{"KeyId": id, "PendingWindowInDays": 7})
	h.clock.Advance(7 * day)
	h.work()
	h.fails(root, "DescribeKey", m{"KeyId": id}, "NotFoundException", "Key '"+arn+"' does not exist")
}

func TestSeveralMaterials(t *testing.T) {
	h, id, arn, w := imported32(t, 1)
	first := h.metadata(id)["CurrentKeyMaterialId"].(string)
	oldBlob := h.encrypt(id)
	all := m{"IncludeKeyMaterial": "ALL_KEY_MATERIAL"}
	h.fails(root, "RotateKeyOnDemand", m{"KeyId": id}, "KMSInvalidStateException", "No available key material pending rotation for the key: "+arn+".")

	fresh := m{"ImportType": "NEW_KEY_MATERIAL", "KeyMaterialDescription": "the second"}
	h.fails(root, "ImportKeyMaterial", w.wrap(id, filled(1), fresh), "IncorrectKeyMaterialException",
		"Key material (id: "+first+") being imported as NEW_KEY_MATERIAL is already associated with KMS key "+arn+".")
	h.fails(root, "ImportKeyMaterial", w.wrap(id, filled(2), m{"ImportType": "NEW_KEY_MATERIAL", "KeyMaterialId": first}), "ValidationException",
		"Input parameter keyMaterialId cannot be used with NEW_KEY_MATERIAL importType.")
	second := h.ok(root, "ImportKeyMaterial", w.wrap(id, filled(2), fresh))["KeyMaterialId"].(string)
	equal(t, "current", h.metadata(id)["CurrentKeyMaterialId"], first)
	equal(t, "rotations only", h.rotations(id, m{}), []m(nil))
	listed := []m{
		{"KeyId": arn, "KeyMaterialId": first, "KeyMaterialState": "CURRENT", "ImportState": "IMPORTED", "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"},
		{"KeyId": arn, "KeyMaterialId": second, "KeyMaterialState": "PENDING_ROTATION", "ImportState": "IMPORTED", "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE",
			"KeyMaterialDescription": "the second"},
	}
	equal(t, "all", h.rotations(id, all), listed)

	third := h.send(root, "ImportKeyMaterial", w.wrap(id, filled(3), fresh))
	if third.code != "KMSInvalidStateException" || !strings.HasPrefix(third.message, "New key material (id: ") ||
		!strings.HasSuffix(third.message, ") cannot be imported into KMS key "+arn+", because another key material (id: "+second+") is pending rotation.") {
		t.Errorf("a second pending material: %+v", third)
	}
	// Pending material is deleted without a change of state, and leaves no trace.
	equal(t, "delete", h.ok(root, "DeleteImportedKeyMaterial", m{"KeyId": id, "KeyMaterialId": second}), m{"KeyId": arn, "KeyMaterialId": second})
	equal(t, "state", h.metadata(id)["KeyState"], "Enabled")
	equal(t, "all", h.rotations(id, all), listed[:1])
	h.fails(root, "DeleteImportedKeyMaterial", m{"KeyId": id, "KeyMaterialId": second}, "ValidationException",
		"Key material (id: "+second+") has never been imported into KMS key "+arn+".")

	h.ok(root, "ImportKeyMaterial", w.wrap(id, filled(2), fresh))
	h.ok(root, "RotateKeyOnDemand", m{"KeyId": id})
	equal(t, "start date", h.status(id)["OnDemandRotationStartDate"], seconds(h.clock.Now()))
	h.journal.taken(t)
	h.work()
	equal(t, "record", h.events("RotateKey")[0]["serviceEventDetails"], m{"rotationType": "ON_DEMAND", "keyId": id})
	equal(t, "current", h.metadata(id)["CurrentKeyMaterialId"], second)
	newBlob := h.encrypt(id)
	equal(t, "old ciphertext", h.opens(oldBlob), first)
	equal(t, "new ciphertext", h.opens(newBlob), second)
	list := h.rotations(id, m{})
	if len(list) != 1 || list[0]["RotationType"] != "ON_DEMAND" || list[0]["KeyMaterialState"] != "CURRENT" || list[0]["KeyMaterialDescription"] != "the second" {
		t.Errorf("rotations: %v", list)
	}

	// Losing a material that is not current takes the key out of use as well.
	h.ok(root, "DeleteImportedKeyMaterial", m{"KeyId": id, "KeyMaterialId": first})
	equal(t, "state", h.metadata(id)["KeyState"], "PendingImport")
	h.fails(root, "Decrypt", m{"CiphertextBlob": newBlob}, "KMSInvalidStateException", arn+" is pending import.")
	h.ok(root, "DeleteImportedKeyMaterial", m{"KeyId": id})
	h.ok(root, "ImportKeyMaterial", w.wrap(id, filled(2), nil))
	equal(t, "one of two", h.metadata(id)["KeyState"], "PendingImport")
	h.fails(root, "ImportKeyMaterial", w.wrap(id, filled(1), m{"KeyMaterialId": second}), "IncorrectKeyMaterialException",
		"Imported key material does not have the expected identifier ("+second+").")
	h.ok(root, "ImportKeyMaterial", w.wrap(id, filled(1), m{"KeyMaterialId": first, "ImportType": "EXISTING_KEY_MATERIAL"}))
	equal(t, "both", h.metadata(id)["KeyState"], "Enabled")
	h.opens(oldBlob)
	h.opens(newBlob)
}

// TestDeletingWhatWasToBeRotatedTo: the rotation that was asked for ends without
// one.
func TestDeletingWhatWasToBeRotatedTo(t *testing.T) {
	h, id, arn, w := imported32(t, 1)
	second := h.ok(root, "ImportKeyMaterial", w.wrap(id, filled(2), m{"ImportType": "NEW_KEY_MATERIAL"}))["KeyMaterialId"]
	h.ok(root, "RotateKeyOnDemand", m{"KeyId": id})
	h.ok(root, "DeleteImportedKeyMaterial", m{"KeyId": id, "KeyMaterialId": second})
	h.journal.taken(t)
	h.work()
	if got := h.journal.taken(t); len(got) != 0 {
		t.Errorf("records: %v", got)
	}
	equal(t, "status", h.status(id), m{"KeyRotationEnabled": false, "KeyId": arn})
	h.encrypt(id)
}

func TestExpiryOfPendingMaterial(t *testing.T) {
	h, id, _, w := imported32(t, 1)
	in := expiring(h.clock.Now().Add(day))
	in["ImportType"] = "NEW_KEY_MATERIAL"
	h.ok(root, "ImportKeyMaterial", w.wrap(id, filled(2), in))
	h.clock.Advance(2 * day)
	h.work()
	equal(t, "state", h.metadata(id)["KeyState"], "Enabled")
	if list := h.rotations(id, m{"IncludeKeyMaterial": "ALL_KEY_MATERIAL"}); len(list) != 1 {
		t.Errorf("materials: %v", list)
	}
}

// TestExpiryFollowsTheRotation: material that expires takes its date along when it
// becomes current.
func TestExpiryFollowsTheRotation(t *testing.T) {
	h, id, arn, w := imported32(t, 1)
	in := expiring(h.clock.Now().Add(day))
	in["ImportType"] = "NEW_KEY_MATERIAL"
	h.ok(root, "ImportKeyMaterial", w.wrap(id, filled(2), in))
	h.ok(root, "RotateKeyOnDemand", m{"KeyId": id})
	h.work()
	h.encrypt(id)
	h.clock.Advance(2 * day)
	h.work()
	h.fails(root, "Encrypt", m{"KeyId": id, "Plaintext": "eA=="}, "KMSInvalidStateException", arn+" is pending import.")
}

func TestImportOfOtherFamilies(t *testing.T) {
	h, id, arn, w := imported32(t, 1)
	h.edit(id, func(r *keyRecord) {
		r.Spec, r.Usage = "HMAC_224", api.KeyUsageTypeGenerateVerifyMac
	})
	for name, value := range map[string]string{"importType": "EXISTING_KEY_MATERIAL", "keyMaterialId": strings.Repeat("0", 64), "keyMaterialDescription": "x"} {
		parameter := strings.ToUpper(name[:1]) + name[1:]
		h.fails(root, "ImportKeyMaterial", w.wrap(id, filled(1), m{parameter: value}), "ValidationException",
			"Input parameter "+name+" cannot be used with HMAC_224 imported keys.")
	}
	h.fails(root, "RotateKeyOnDemand", m{"KeyId": id}, "UnsupportedOperationException", "")
	equal(t, "answer", h.ok(root, "ImportKeyMaterial", w.wrap(id, filled(1), nil)), m{"KeyId": arn})
	if a := h.send(root, "ImportKeyMaterial", w.wrap(id, filled(2), nil)); a.code != "IncorrectKeyMaterialException" {
		t.Errorf("other material: %+v", a)
	}
	equal(t, "delete", h.ok(root, "DeleteImportedKeyMaterial", m{"KeyId": id}), m{"KeyId": arn})
}

func TestImportIntoMultiRegionKeys(t *testing.T) {
	h := newHarness(t)
	id, arn := h.external(m{"MultiRegion": true})
	h.fails(root, "ReplicateKey", m{"KeyId": id, "ReplicaRegion": second}, "KMSInvalidStateException", arn+" is pending import.")
	w := h.wrapping(id)
	material := h.ok(root, "ImportKeyMaterial", w.wrap(id, filled(1), m{"KeyMaterialDescription": "from the primary"}))["KeyMaterialId"]
	there := h.replicate(id, second)
	k := there.metadata(id)
	equal(t, "a new replica waits", []any{k["KeyState"], k["CurrentKeyMaterialId"], k["ExpirationModel"]}, []any{"PendingImport", material, nil})
	ws := there.wrapping(id)
	there.fails(root, "ImportKeyMaterial", w.wrap(id, filled(1), nil), "InvalidImportTokenException", "")
	if a := there.send(root, "ImportKeyMaterial", ws.wrap(id, filled(2), nil)); a.code != "IncorrectKeyMaterialException" {
		t.Errorf("other material in the replica: %+v", a)
	}
	for _, in := range []m{{"ImportType": "NEW_KEY_MATERIAL"}, {"KeyMaterialDescription": "mine"}} {
		if a := there.send(root, "ImportKeyMaterial", ws.wrap(id, filled(1), in)); a.code != "ValidationException" {
			t.Errorf("%v in the replica: %+v", in, a)
		}
	}
	soon := h.clock.Now().Add(5 * day)
	equal(t, "import", there.ok(root, "ImportKeyMaterial", ws.wrap(id, filled(1), expiring(soon)))["KeyMaterialId"], material)
	blob := there.encrypt(id)
	h.opens(blob)
	all := m{"IncludeKeyMaterial": "ALL_KEY_MATERIAL"}
	equal(t, "description", there.rotations(id, all)[0]["KeyMaterialDescription"], "from the primary")

	// New material has to be in all regions before it is rotated to.
	state := func(r *harness) any {
		list := r.rotations(id, all)
		return list[len(list)-1]["KeyMaterialState"]
	}
	next := h.ok(root, "ImportKeyMaterial", w.wrap(id, filled(2), m{"ImportType": "NEW_KEY_MATERIAL"}))["KeyMaterialId"]
	for _, r := range []*harness{h, there} {
		equal(t, "in one region", state(r), "PENDING_MULTI_REGION_IMPORT_AND_ROTATION")
	}
	equal(t, "there", there.rotations(id, all)[1]["ImportState"], "PENDING_IMPORT")
	h.fails(root, "RotateKeyOnDemand", m{"KeyId": id}, "KMSInvalidStateException", "No available key material pending rotation for the key: "+arn+".")
	there.ok(root, "ImportKeyMaterial", ws.wrap(id, filled(2), nil))
	for _, r := range []*harness{h, there} {
		equal(t, "in both", state(r), "PENDING_ROTATION")
	}
	// Deleted in the replica, it is missing there alone; in the primary, everywhere.
	there.ok(root, "DeleteImportedKeyMaterial", m{"KeyId": id, "KeyMaterialId": next})
	equal(t, "deleted there", []any{state(h), h.rotations(id, all)[1]["ImportState"]}, []any{"PENDING_MULTI_REGION_IMPORT_AND_ROTATION", "IMPORTED"})
	there.ok(root, "ImportKeyMaterial", ws.wrap(id, filled(2), m{"ImportType": "EXISTING_KEY_MATERIAL"}))
	h.ok(root, "DeleteImportedKeyMaterial", m{"KeyId": id, "KeyMaterialId": next})
	for _, r := range []*harness{h, there} {
		equal(t, "deleted here", state(r), "CURRENT")
	}
	h.ok(root, "ImportKeyMaterial", w.wrap(id, filled(2), m{"ImportType": "NEW_KEY_MATERIAL"}))
	there.ok(root, "ImportKeyMaterial", ws.wrap(id, filled(2), nil))
	h.ok(root, "RotateKeyOnDemand", m{"KeyId": id})
	h.work()
	for _, r := range []*harness{h, there} {
		equal(t, "rotated in "+r.region, r.metadata(id)["CurrentKeyMaterialId"], next)
		equal(t, "the old one in "+r.region, r.opens(blob), material)
	}
	equal(t, "across", h.opens(there.encrypt(id)), next)

	// Expiry is each region's own.
	h.clock.Advance(6 * day)
	h.work()
	equal(t, "there", there.metadata(id)["KeyState"], "PendingImport")
	h.opens(blob)
	// A replica that is made later waits for both.
	h.config.Regions = append(h.config.Regions, third)
	h.restart()
	late := h.replicate(id, third)
	wl := late.wrapping(id)
	late.ok(root, "ImportKeyMaterial", wl.wrap(id, filled(2), nil))
	equal(t, "one of two", late.metadata(id)["KeyState"], "PendingImport")
	late.ok(root, "ImportKeyMaterial", wl.wrap(id, filled(1), nil))
	late.opens(blob)
}

func TestImportPermissions(t *testing.T) {
	h := newHarness(t)
	id, _ := h.external(m{"Policy": keyPolicy(
		allow(userARN, "kms:GetParametersForImport", m{"StringEquals": m{"kms:WrappingAlgorithm": "RSAES_OAEP_SHA_256", "kms:WrappingKeySpec": "RSA_2048"}}),
		allow(userARN, "kms:ImportKeyMaterial", m{"StringEquals": m{"kms:ExpirationModel": "KEY_MATERIAL_EXPIRES"}, "DateLessThan": m{"kms:ValidTo": "2026-02-01T00:00:00Z"}}),
	)})
	h.ok(user, "GetParametersForImport", m{"KeyId": id, "WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"})
	for _, in := range []m{{"WrappingAlgorithm": "RSAES_OAEP_SHA_1", "WrappingKeySpec": "RSA_2048"}, {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_3072"}} {
		in["KeyId"] = id
		if a := h.send(user, "GetParametersForImport", in); a.code != "AccessDeniedException" {
			t.Errorf("%v: %+v", in, a)
		}
	}
	w := h.wrapping(id)
	for _, in := range []m{nil, expiring(time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC))} {
		if a := h.send(user, "ImportKeyMaterial", w.wrap(id, filled(1), in)); a.code != "AccessDeniedException" {
			t.Errorf("%v: %+v", in, a)
		}
	}
	h.ok(user, "ImportKeyMaterial", w.wrap(id, filled(1), expiring(time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC))))
	if a := h.send(user, "DeleteImportedKeyMaterial", m{"KeyId": id}); a.code != "AccessDeniedException" {
		t.Errorf("delete: %+v", a)
	}
}

func TestImportRecords(t *testing.T) {
	h := newHarness(t)
	id, arn := h.external(m{})
	h.journal.taken(t)
	w := h.wrapping(id)
	r := h.only()
	equal(t, "parameters", r["requestParameters"], m{"keyId": id, "wrappingAlgorithm": "RSAES_OAEP_SHA_256", "wrappingKeySpec": "RSA_2048"})
	equal(t, "resources", resources(r), []string{arn})
	in := w.wrap(id, filled(1), m{"ImportType": "NEW_KEY_MATERIAL"})
	material := h.ok(root, "ImportKeyMaterial", in)["KeyMaterialId"]
	r = h.only()
	equal(t, "import", r["requestParameters"], m{"keyId": id, "expirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE", "importType": "NEW_KEY_MATERIAL"})
	equal(t, "import", r["responseElements"], m{"keyId": arn, "keyMaterialId": material})
	equal(t, "import is a change", r["readOnly"], false)
	for _, hidden := range []string{w.token, in["EncryptedKeyMaterial"].(string)} {
		if strings.Contains(fmt.Sprint(r), hidden) {
			t.Errorf("the record shows what it must not: %v", r)
		}
	}
	h.ok(root, "DeleteImportedKeyMaterial", m{"KeyId": id})
	equal(t, "delete", h.only()["responseElements"], m{"keyId": arn, "keyMaterialId": material})
	h.send(root, "ImportKeyMaterial", w.wrap(id, filled(2), nil))
	if r := h.only(); r["errorCode"] != "IncorrectKeyMaterialException" || r["responseElements"] != nil {
		t.Errorf("refused: %v", r)
	}
}

// TestImportAndDeleteAtOnce: whatever order they come in, the key is usable exactly
// when it has its material.
func TestImportAndDeleteAtOnce(t *testing.T) {
	h, id, _, w := imported32(t, 1)
	in := w.wrap(id, filled(1), nil)
	var calls sync.WaitGroup
	for i := range 8 {
		calls.Go(func() {
			var a answer
			if i%2 == 0 {
				a = h.send(root, "ImportKeyMaterial", in)
			} else {
				a = h.send(root, "DeleteImportedKeyMaterial", m{"KeyId": id})
			}
			if a.status != 200 {
				t.Errorf("%+v", a)
			}
		})
		calls.Go(func() {
			if a := h.send(root, "Encrypt", m{"KeyId": id, "Plaintext": "eA=="}); a.status != 200 && a.code != "KMSInvalidStateException" {
				t.Errorf("Encrypt: %+v", a)
			}
		})
	}
	calls.Wait()
	imported := h.rotations(id, m{"IncludeKeyMaterial": "ALL_KEY_MATERIAL"})[0]["ImportState"] == "IMPORTED"
	if enabled := h.metadata(id)["KeyState"] == "Enabled"; enabled != imported {
		t.Errorf("imported %v, enabled %v", imported, enabled)
	}
}
