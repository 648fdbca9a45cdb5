package kms

import (
	"testing"
)

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
