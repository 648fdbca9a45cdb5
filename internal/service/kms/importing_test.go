package kms

import (
	"fmt"
	"strings"
	"testing"
	"time"

	api "github.com/strongroom/strongroom/api/kms"
)

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
