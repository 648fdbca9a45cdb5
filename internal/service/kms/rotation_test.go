package kms

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/store"
)

func TestRotationPeriodRules(t *testing.T) {
	h := newHarness(t)
	id, arn := h.keyID()
	start := h.clock.Now()
	off := m{"KeyRotationEnabled": false, "KeyId": arn}
	on := func(days int, next time.Time) m {
		return m{"KeyRotationEnabled": true, "KeyId": arn, "RotationPeriodInDays": days, "NextRotationDate": seconds(next)}
	}
	equal(t, "a new key", h.status(id), off)
	for _, step := range []struct {
		name string
		call string
		days any
		want m
	}{
		{"omitted on first enable", "EnableKeyRotation", nil, on(365, start.Add(365*day))},
		{"omitted while enabled", "EnableKeyRotation", nil, on(365, start.Add(365*day))},
		{"the same period", "EnableKeyRotation", 365, on(365, start.Add(365*day))},
		{"a new period counts from now", "EnableKeyRotation", 90, on(90, start.Add(3*day+90*day))},
		{"omitted keeps the period", "EnableKeyRotation", nil, on(90, start.Add(3*day+90*day))},
		{"the longest", "EnableKeyRotation", 2560, on(2560, start.Add(5*day+2560*day))},
		{"off", "DisableKeyRotation", nil, off},
		{"off again", "DisableKeyRotation", nil, off},
		{"omitted after disable", "EnableKeyRotation", nil, on(365, start.Add(8*day+365*day))},
	} {
		in := m{"KeyId": id}
		if step.days != nil {
			in["RotationPeriodInDays"] = step.days
		}
		if body := h.ok(root, step.call, in); body != nil {
			t.Errorf("%s: the answer has a body: %v", step.name, body)
		}
		equal(t, step.name, h.status(id), step.want)
		h.clock.Advance(day)
	}
}

func TestRotationPeriodOutOfRange(t *testing.T) {
	h := newHarness(t)
	id, arn := h.keyID()
	h.fails(root, "EnableKeyRotation", m{"KeyId": id, "RotationPeriodInDays": 89}, "ValidationException",
		"1 validation error detected: Value '89' at 'rotationPeriodInDays' failed to satisfy constraint: Member must have value greater than or equal to 90")
	h.fails(root, "EnableKeyRotation", m{"KeyId": id, "RotationPeriodInDays": 2561}, "ValidationException",
		"1 validation error detected: Value '2561' at 'rotationPeriodInDays' failed to satisfy constraint: Member must have value less than or equal to 2560")
	equal(t, "status", h.status(id), m{"KeyRotationEnabled": false, "KeyId": arn})
}

func TestRotationRefusesOtherKeys(t *testing.T) {
	h := newHarness(t)
	id, arn := h.hmacKey()
	h.fails(root, "EnableKeyRotation", m{"KeyId": id}, "UnsupportedOperationException", "")
	h.fails(root, "RotateKeyOnDemand", m{"KeyId": id}, "UnsupportedOperationException", "")
	h.ok(root, "DisableKeyRotation", m{"KeyId": id})
	equal(t, "status of an HMAC key", h.status(id), m{"KeyRotationEnabled": false, "KeyId": arn})
	equal(t, "its rotations", h.ok(root, "ListKeyRotations", m{"KeyId": id}), m{"Rotations": []m{}, "Truncated": false})
	h.fails(root, "ListKeyRotations", m{"KeyId": id, "IncludeKeyMaterial": "ALL_KEY_MATERIAL"}, "ValidationException",
		"Input parameter includeKeyMaterial can only be used with symmetric keys.")
	// State comes before the type of the key.
	h.pending(id, api.KeyStateDisabled)
	h.fails(root, "EnableKeyRotation", m{"KeyId": id}, "DisabledException", arn+" is disabled.")

	external, arn := h.keyID()
	h.edit(external, func(r *keyRecord) { r.Origin = api.OriginTypeExternal })
	for _, operation := range []string{"EnableKeyRotation", "DisableKeyRotation"} {
		h.fails(root, operation, m{"KeyId": external}, "UnsupportedOperationException", arn+" origin is EXTERNAL which is not valid for this operation.")
	}
	equal(t, "status of an EXTERNAL key", h.status(external), m{"KeyRotationEnabled": false, "KeyId": arn})
}

func TestRotationTakesNoAlias(t *testing.T) {
	h := newHarness(t)
	for _, operation := range []string{"EnableKeyRotation", "DisableKeyRotation", "GetKeyRotationStatus", "RotateKeyOnDemand", "ListKeyRotations"} {
		h.fails(root, operation, m{"KeyId": "alias/none"}, "InvalidArnException", "Key Aliases are not supported for this operation.")
		h.fails(root, operation, m{"KeyId": "foo"}, "NotFoundException", "Invalid keyId 'foo'")
	}
}

func TestRotationStates(t *testing.T) {
	h := newHarness(t)
	h.cells("EnableKeyRotation", []cell{"", "D", "S", "S", "", "U", "S", ""}, nil, h.keyID)
	h.cells("DisableKeyRotation", []cell{"", "D", "S", "S", "", "U", "S", ""}, nil, h.keyID)
	h.cells("RotateKeyOnDemand", []cell{"", "D", "S", "S", "S", "U", "S", ""}, nil, h.keyID)
	h.cells("GetKeyRotationStatus", []cell{"", "", "", "", "", "U", "", ""}, nil, h.keyID)
	h.cells("ListKeyRotations", []cell{"", "", "", "", "", "U", "", ""}, nil, h.keyID)
}

// TestAYearOfRotation passes a year day by day, with a restart each week: four
// rotations of 90 days, on their days, one record each, and every ciphertext opens
// with the material that it was made with.
func TestAYearOfRotation(t *testing.T) {
	h := newHarness(t)
	id, arn := h.keyID()
	start := h.clock.Now()
	h.ok(root, "EnableKeyRotation", m{"KeyId": id, "RotationPeriodInDays": 90})
	blobs := map[string]string{} // by material
	h.journal.taken(t)
	var records []m
	for d := range 366 {
		if d%7 == 3 {
			h.restart()
		}
		h.work()
		h.work() // never twice
		records = append(records, h.events("RotateKey")...)
		current := h.metadata(id)["CurrentKeyMaterialId"].(string)
		if _, seen := blobs[current]; !seen {
			blobs[current] = h.encrypt(id)
		}
		h.clock.Advance(day)
	}
	want := []m{}
	for i, entry := range h.rotations(id, m{}) {
		want = append(want, m{"KeyId": arn, "KeyMaterialId": entry["KeyMaterialId"], "KeyMaterialState": "NON_CURRENT",
			"RotationDate": seconds(start.Add(time.Duration(i+1) * 90 * day)), "RotationType": "AUTOMATIC"})
	}
	if len(want) != 4 || len(blobs) != 5 || len(records) != 4 {
		t.Fatalf("%d rotations, %d materials and %d records; want 4, 5 and 4", len(want), len(blobs), len(records))
	}
	want[3]["KeyMaterialState"] = "CURRENT"
	equal(t, "rotations", h.rotations(id, m{}), want)
	equal(t, "status", h.status(id)["NextRotationDate"], seconds(start.Add(450*day)))
	for material, blob := range blobs {
		if got := h.opens(blob); got != material {
			t.Errorf("a ciphertext of material %s was opened with %s", material, got)
		}
	}
	for i, r := range records {
		equal(t, "details", r["serviceEventDetails"], m{"rotationType": "AUTOMATIC", "keyId": id})
		equal(t, "resources", resources(r), []string{arn})
		if r["eventType"] != "AwsServiceEvent" || r["userIdentity"].(m)["invokedBy"] != "AWS Internal" || r["awsRegion"] != region ||
			r["eventTime"] != start.Add(time.Duration(i+1)*90*day).Format("2006-01-02T15:04:05Z") {
			t.Errorf("record: %v", r)
		}
	}
}

// TestALateWorkerRotatesOnce: what was missed while the server was off is made up
// for by one rotation, and the schedule goes on from there.
func TestALateWorkerRotatesOnce(t *testing.T) {
	h := newHarness(t)
	id, _ := h.keyID()
	start := h.clock.Now()
	h.ok(root, "EnableKeyRotation", m{"KeyId": id, "RotationPeriodInDays": 100})
	h.clock.Advance(110 * day)
	h.work()
	equal(t, "ten days late", h.status(id)["NextRotationDate"], seconds(start.Add(200*day)))
	h.clock.Advance(400 * day)
	h.work()
	equal(t, "periods late", h.status(id)["NextRotationDate"], seconds(start.Add(610*day)))
	if n := len(h.rotations(id, m{})); n != 2 {
		t.Errorf("%d rotations, want 2", n)
	}
}

func TestRotationOfADisabledKeyWaits(t *testing.T) {
	h := newHarness(t)
	id, _ := h.keyID()
	h.ok(root, "EnableKeyRotation", m{"KeyId": id})
	h.ok(root, "DisableKey", m{"KeyId": id})
	equal(t, "a disabled key keeps its schedule", h.status(id)["KeyRotationEnabled"], true)
	h.clock.Advance(400 * day)
	h.work()
	if n := len(h.rotations(id, m{})); n != 0 {
		t.Fatalf("a disabled key was rotated %d times", n)
	}
	h.restart()
	h.ok(root, "EnableKey", m{"KeyId": id})
	h.work()
	if n := len(h.rotations(id, m{})); n != 1 {
		t.Errorf("%d rotations after the key was enabled again, want 1", n)
	}
}

func TestPendingDeletionHidesTheSchedule(t *testing.T) {
	h := newHarness(t)
	id, arn := h.keyID()
	h.ok(root, "EnableKeyRotation", m{"KeyId": id, "RotationPeriodInDays": 100})
	before := h.status(id)
	h.ok(root, "ScheduleKeyDeletion", m{"KeyId": id})
	equal(t, "pending deletion", h.status(id), m{"KeyRotationEnabled": false, "KeyId": arn})
	h.ok(root, "CancelKeyDeletion", m{"KeyId": id})
	equal(t, "cancelled", h.status(id), before)
	h.pending(id, api.KeyStatePendingReplicaDeletion)
	equal(t, "pending replica deletion", h.status(id), before)
}

// TestRotationStopsBeforeDeletion: no rotation of a key that is to be deleted, and
// none of one that is gone.
func TestRotationStopsBeforeDeletion(t *testing.T) {
	h := newHarness(t)
	id, _ := h.keyID()
	h.ok(root, "EnableKeyRotation", m{"KeyId": id, "RotationPeriodInDays": 90})
	h.clock.Advance(85 * day)
	h.ok(root, "ScheduleKeyDeletion", m{"KeyId": id, "PendingWindowInDays": 7})
	h.journal.taken(t)
	h.clock.Advance(6 * day)
	h.work()
	if got := h.journal.taken(t); len(got) != 0 {
		t.Errorf("records: %v", got)
	}
	h.clock.Advance(day)
	h.work()
	if got := h.events("DeleteKey"); len(got) != 1 {
		t.Errorf("%d DeleteKey records, want 1", len(got))
	}
	h.clock.Advance(1000 * day)
	h.work()
	if got := h.journal.taken(t); len(got) != 0 {
		t.Errorf("records after the deletion: %v", got)
	}
}

func TestRotateKeyOnDemand(t *testing.T) {
	h := newHarness(t)
	id, arn := h.keyID()
	h.ok(root, "EnableKeyRotation", m{"KeyId": id})
	idle := h.status(id)
	old := h.encrypt(id)
	first := h.metadata(id)["CurrentKeyMaterialId"].(string)

	start := h.clock.Now()
	equal(t, "answer", h.ok(root, "RotateKeyOnDemand", m{"KeyId": id}), m{"KeyId": arn})
	running := h.status(id)
	equal(t, "start date", running["OnDemandRotationStartDate"], seconds(start))
	h.clock.Advance(time.Minute)
	equal(t, "while it runs", h.ok(root, "RotateKeyOnDemand", m{"KeyId": id}), m{"KeyId": arn})
	equal(t, "start date after asking again", h.status(id), running)
	h.restart()
	h.journal.taken(t)
	h.work()
	equal(t, "status: the schedule is where it was", h.status(id), idle)
	equal(t, "details", h.events("RotateKey")[0]["serviceEventDetails"], m{"rotationType": "ON_DEMAND", "keyId": id})

	now := h.metadata(id)["CurrentKeyMaterialId"].(string)
	equal(t, "rotations", h.rotations(id, m{}), []m{{"KeyId": arn, "KeyMaterialId": now, "KeyMaterialState": "CURRENT",
		"RotationDate": seconds(h.clock.Now()), "RotationType": "ON_DEMAND"}})
	equal(t, "all material", h.rotations(id, m{"IncludeKeyMaterial": "ALL_KEY_MATERIAL"})[0],
		m{"KeyId": arn, "KeyMaterialId": first, "KeyMaterialState": "NON_CURRENT"})
	if got := h.opens(old); got != first || got == now {
		t.Errorf("the old ciphertext was opened with %s; it was made with %s", got, first)
	}
	if got := h.opens(h.encrypt(id)); got != now {
		t.Errorf("a new ciphertext was opened with %s, want the new material %s", got, now)
	}
	h.work()
	if got := h.events("RotateKey"); len(got) != 0 {
		t.Errorf("rotated twice: %v", got)
	}
}

func TestRotationOnDemandIsFinishedWhatever(t *testing.T) {
	for _, then := range []string{"DisableKey", "ScheduleKeyDeletion"} {
		t.Run(then, func(t *testing.T) {
			h := newHarness(t)
			id, _ := h.keyID()
			h.ok(root, "RotateKeyOnDemand", m{"KeyId": id})
			h.ok(root, then, m{"KeyId": id})
			h.work()
			if n := len(h.rotations(id, m{})); n != 1 {
				t.Errorf("%d rotations, want 1", n)
			}
		})
	}
}

func TestOnDemandLimit(t *testing.T) {
	h := newHarness(t)
	id, arn := h.keyID()
	for range maxOnDemand {
		h.clock.Advance(time.Second)
		h.ok(root, "RotateKeyOnDemand", m{"KeyId": id})
		h.work()
	}
	h.fails(root, "RotateKeyOnDemand", m{"KeyId": id}, "LimitExceededException",
		"The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be performed for this key: "+arn)
	// Automatic rotations go on and count for nothing.
	h.ok(root, "EnableKeyRotation", m{"KeyId": id, "RotationPeriodInDays": 90})
	h.clock.Advance(90 * day)
	h.work()
	if n := len(h.rotations(id, m{})); n != maxOnDemand+1 {
		t.Errorf("%d rotations, want %d", n, maxOnDemand+1)
	}
}

func TestOnDemandNearAnAutomaticRotation(t *testing.T) {
	h := newHarness(t)
	id, _ := h.keyID()
	h.ok(root, "EnableKeyRotation", m{"KeyId": id, "RotationPeriodInDays": 90})
	h.clock.Advance(90*day - 21*time.Minute)
	h.ok(root, "RotateKeyOnDemand", m{"KeyId": id})
	h.work()
	h.clock.Advance(time.Minute)
	if a := h.send(root, "RotateKeyOnDemand", m{"KeyId": id}); a.code != "ConflictException" || a.status != 400 {
		t.Errorf("20 minutes before: %+v", a)
	}
	h.clock.Advance(20 * time.Minute)
	if a := h.send(root, "RotateKeyOnDemand", m{"KeyId": id}); a.code != "ConflictException" {
		t.Errorf("when it is due: %+v", a)
	}
	h.work()
	h.ok(root, "RotateKeyOnDemand", m{"KeyId": id})
}

func TestListKeyRotations(t *testing.T) {
	h := newHarness(t)
	id, arn := h.keyID()
	equal(t, "never rotated", h.ok(root, "ListKeyRotations", m{"KeyId": id}), m{"Rotations": []m{}, "Truncated": false})
	equal(t, "never rotated, all", h.rotations(id, m{"IncludeKeyMaterial": "ALL_KEY_MATERIAL"}),
		[]m{{"KeyId": arn, "KeyMaterialId": h.metadata(id)["CurrentKeyMaterialId"], "KeyMaterialState": "CURRENT"}})
	for range 5 {
		h.clock.Advance(time.Second)
		h.ok(root, "RotateKeyOnDemand", m{"KeyId": id})
		h.work()
	}
	for _, all := range []string{"ROTATIONS_ONLY", "ALL_KEY_MATERIAL"} {
		whole := h.rotations(id, m{"IncludeKeyMaterial": all})
		var paged []any
		in := m{"KeyId": id, "IncludeKeyMaterial": all, "Limit": 2}
		for pages := 1; ; pages++ {
			out := h.ok(root, "ListKeyRotations", in)
			paged = append(paged, out["Rotations"].([]any)...)
			next, has := out["NextMarker"]
			if has != out["Truncated"].(bool) {
				t.Fatalf("NextMarker and Truncated disagree: %v", out)
			}
			if !has {
				if pages != 3 {
					t.Errorf("%d pages", pages)
				}
				break
			}
			in["Marker"] = next
		}
		equal(t, all, paged, whole)
		if !slices.IsSortedFunc(whole, func(a, b m) int {
			x, _ := a["RotationDate"].(float64)
			y, _ := b["RotationDate"].(float64)
			return int(x - y)
		}) {
			t.Errorf("%s is not sorted by date", all)
		}
	}
	h.fails(root, "ListKeyRotations", m{"KeyId": id, "Marker": "garbage"}, "InvalidMarkerException", "")
}

func TestRotationPermissions(t *testing.T) {
	h := newHarness(t)
	id := h.key(m{"Policy": keyPolicy(
		allow(userARN, "kms:EnableKeyRotation", m{"NumericLessThanEquals": m{"kms:RotationPeriodInDays": "365"}}),
		allow("arn:aws:iam::"+other+":root", []string{"kms:GetKeyRotationStatus", "kms:ListKeyRotations", "kms:EnableKeyRotation"}, nil),
	)})["KeyId"].(string)
	arn := h.metadata(id)["Arn"].(string)
	h.ok(user, "EnableKeyRotation", m{"KeyId": id, "RotationPeriodInDays": 365})
	if a := h.send(user, "EnableKeyRotation", m{"KeyId": id, "RotationPeriodInDays": 366}); a.code != "AccessDeniedException" {
		t.Errorf("366 days: %+v", a)
	}
	// Without a period the condition sees 365, whatever the key has.
	h.ok(root, "EnableKeyRotation", m{"KeyId": id, "RotationPeriodInDays": 1000})
	h.ok(user, "EnableKeyRotation", m{"KeyId": id})
	// Only the status can be asked for across accounts.
	h.ok(foreignRoot, "GetKeyRotationStatus", m{"KeyId": arn})
	for _, operation := range []string{"ListKeyRotations", "EnableKeyRotation", "DisableKeyRotation", "RotateKeyOnDemand"} {
		if a := h.send(foreignRoot, operation, m{"KeyId": arn}); a.code != "AccessDeniedException" {
			t.Errorf("%s across accounts: %+v", operation, a)
		}
		if a := h.send(otherUser, operation, m{"KeyId": arn}); a.code != "AccessDeniedException" {
			t.Errorf("%s without permission: %+v", operation, a)
		}
	}
}

func TestRotationRecords(t *testing.T) {
	h := newHarness(t)
	id, arn := h.keyID()
	for _, c := range []struct {
		call     string
		in       m
		readOnly bool
		request  m
		response any
	}{
		{"EnableKeyRotation", m{"RotationPeriodInDays": 90}, false, m{"keyId": id, "rotationPeriodInDays": 90}, m{"keyId": arn}},
		{"DisableKeyRotation", m{}, false, m{"keyId": id}, m{"keyId": arn}},
		{"RotateKeyOnDemand", m{}, false, m{"keyId": id}, m{"keyId": arn}},
		{"GetKeyRotationStatus", m{}, true, m{"keyId": id}, nil},
		{"ListKeyRotations", m{}, true, m{"keyId": id}, nil},
	} {
		h.journal.taken(t)
		c.in["KeyId"] = id
		h.ok(root, c.call, c.in)
		r := h.only()
		equal(t, c.call+" request", r["requestParameters"], c.request)
		equal(t, c.call+" response", r["responseElements"], c.response)
		equal(t, c.call+" resources", resources(r), []string{arn})
		equal(t, c.call+" readOnly", r["readOnly"], c.readOnly)
		h.send(otherUser, c.call, c.in)
		if r := h.only(); r["errorCode"] != "AccessDeniedException" {
			t.Errorf("%s denied: %v", c.call, r)
		}
	}
}

// TestRotationWhileTheKeyIsUsed rotates under encryption and decryption: every
// ciphertext opens, at any time.
func TestRotationWhileTheKeyIsUsed(t *testing.T) {
	h := newHarness(t)
	id, _ := h.keyID()
	done := make(chan struct{})
	var users sync.WaitGroup
	for range 4 {
		users.Go(func() {
			old := ""
			for turn := 0; ; turn++ {
				select {
				case <-done:
					return
				default:
				}
				enc := h.send(root, "Encrypt", m{"KeyId": id, "Plaintext": "eA=="})
				if enc.status != 200 {
					t.Errorf("Encrypt: %+v", enc)
					return
				}
				blob := enc.body["CiphertextBlob"].(string)
				if turn == 0 {
					old = blob
				}
				for _, b := range []string{old, blob} {
					if dec := h.send(root, "Decrypt", m{"CiphertextBlob": b}); dec.status != 200 || dec.body["Plaintext"] != "eA==" {
						t.Errorf("Decrypt: %+v", dec)
						return
					}
				}
			}
		})
	}
	for range 10 {
		h.clock.Advance(time.Second)
		h.ok(root, "RotateKeyOnDemand", m{"KeyId": id})
		h.work()
	}
	close(done)
	users.Wait()
	if n := len(h.rotations(id, m{})); n != 10 {
		t.Errorf("%d rotations", n)
	}
}

// TestTheWorkerRotates lets Run do what the other tests do by hand.
func TestTheWorkerRotates(t *testing.T) {
	h := newHarness(t)
	id, _ := h.keyID()
	changed := make(chan struct{}, 16)
	stopWatching := h.store.Watch(keyCollection, func(store.Change) { changed <- struct{}{} })
	defer stopWatching()
	ctx, stop := context.WithCancel(t.Context())
	var worker sync.WaitGroup
	worker.Go(func() { h.service.Run(ctx) })
	h.ok(root, "RotateKeyOnDemand", m{"KeyId": id})
	<-changed
	<-changed // the worker, unasked
	h.ok(root, "EnableKeyRotation", m{"KeyId": id, "RotationPeriodInDays": 90})
	<-changed
	h.clock.Advance(90 * day)
	<-changed
	h.status(id) // its record is committed behind the change, which is shown then
	stop()
	worker.Wait()
	types := []string{}
	for _, r := range h.rotations(id, m{}) {
		types = append(types, r["RotationType"].(string))
	}
	if got := strings.Join(types, " "); got != "ON_DEMAND AUTOMATIC" {
		t.Errorf("rotations: %s", got)
	}
}
