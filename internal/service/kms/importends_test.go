package kms

import (
	"strings"
	"sync"
	"testing"
	"time"
)

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
	// Before it is taken away, too.
	h.fails(root, "Decrypt", m{"CiphertextBlob": blob}, "KMSInvalidStateException", arn+" is pending import.")
	h.fails(root, "Encrypt", m{"KeyId": id, "Plaintext": "eA=="}, "KMSInvalidStateException", arn+" is pending import.")
	h.journal.taken(t)
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
