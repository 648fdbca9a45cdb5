package kms

import (
	"strings"
	"testing"
)

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
