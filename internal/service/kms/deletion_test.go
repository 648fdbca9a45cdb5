package kms

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/store"
)

const day = 24 * time.Hour

// due does what is due in every region, as the worker does on waking.
func (h *harness) due() {
	h.t.Helper()
	for _, region := range h.config.Regions {
		if _, err := h.service.doDue(h.t.Context(), region); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *harness) isGone(id string) bool {
	h.t.Helper()
	a := h.send(root, "DescribeKey", m{"KeyId": id})
	if a.status != 200 && a.code != "NotFoundException" {
		h.t.Fatalf("%s %s", a.code, a.message)
	}
	return a.status != 200
}

func TestScheduleKeyDeletion(t *testing.T) {
	h := newHarness(t)
	now := float64(h.clock.Now().UnixMilli()) / 1000
	for window, want := range map[any]float64{nil: 30, 7: 7, 30: 30} {
		id, arn := h.keyID()
		out := h.ok(root, "ScheduleKeyDeletion", with(m{"KeyId": id}, m{"PendingWindowInDays": window}))
		if out["KeyId"] != arn || out["KeyState"] != "PendingDeletion" || out["PendingWindowInDays"] != want || out["DeletionDate"] != now+want*86400 {
			t.Errorf("window %v: %v", window, out)
		}
		k := h.ok(root, "DescribeKey", m{"KeyId": id})["KeyMetadata"].(m)
		if k["KeyState"] != "PendingDeletion" || k["DeletionDate"] != out["DeletionDate"] || k["Enabled"] != false {
			t.Errorf("window %v: %v", window, k)
		}
		if _, shown := k["PendingDeletionWindowInDays"]; shown {
			t.Error("PendingDeletionWindowInDays is for PendingReplicaDeletion alone")
		}
	}
	id, _ := h.keyID()
	for _, window := range []int{1, 6, 31, 365} {
		h.fails(root, "ScheduleKeyDeletion", m{"KeyId": id, "PendingWindowInDays": window}, "ValidationException", "PendingWindowInDays must be between 7 and 30")
	}
	h.fails(root, "ScheduleKeyDeletion", m{"KeyId": id, "PendingWindowInDays": 366}, "ValidationException",
		"1 validation error detected: Value '366' at 'pendingWindowInDays' failed to satisfy constraint: Member must have value less than or equal to 365")
}

// TestDeletionWhenDue: not a moment earlier, with all that hangs on the key, and
// with one record of it.
func TestDeletionWhenDue(t *testing.T) {
	h := newHarness(t)
	id, arn := h.keyID()
	stays, _ := h.keyID()
	h.ok(root, "CreateAlias", m{"AliasName": "alias/gone", "TargetKeyId": id})
	h.ok(root, "CreateAlias", m{"AliasName": "alias/stays", "TargetKeyId": stays})
	blob := h.ok(root, "Encrypt", m{"KeyId": id, "Plaintext": plaintextBase64})["CiphertextBlob"]
	h.ok(root, "ScheduleKeyDeletion", m{"KeyId": id, "PendingWindowInDays": 7})
	h.clock.Advance(7*day - time.Millisecond)
	h.due()
	if h.isGone(id) {
		t.Fatal("deleted too early")
	}
	h.clock.Advance(time.Millisecond)
	h.journal.taken(t)
	h.due()
	h.due()
	record := h.only()
	for member, want := range map[string]any{"eventName": "DeleteKey", "eventType": "AwsServiceEvent", "eventSource": "kms.amazonaws.com",
		"awsRegion": region, "recipientAccountId": account, "eventTime": "2026-01-09T03:04:05Z"} {
		if record[member] != want {
			t.Errorf("%s is %v, want %v", member, record[member], want)
		}
	}
	if got := resources(record); len(got) != 1 || got[0] != arn {
		t.Errorf("resources: %v", got)
	}
	if details := record["serviceEventDetails"].(m); details["keyId"] != arn {
		t.Errorf("serviceEventDetails: %v", details)
	}
	if !h.isGone(id) || !h.isGone("alias/gone") || h.isGone(stays) || h.isGone("alias/stays") {
		t.Error("not the one key and its alias are gone")
	}
	for _, operation := range []string{"CancelKeyDeletion", "EnableKey", "GetKeyPolicy"} {
		h.fails(root, operation, m{"KeyId": id}, "NotFoundException", "Key '"+arn+"' does not exist")
	}
	if a := h.send(root, "Decrypt", m{"CiphertextBlob": blob}); a.code != "AccessDeniedException" || !strings.Contains(a.message, "does not exist in this Region") {
		t.Errorf("%s %s", a.code, a.message)
	}
	if n := len(h.ok(root, "ListKeys", m{})["Keys"].([]any)); n != 1 {
		t.Errorf("%d keys are listed, want 1", n)
	}
	// The name is free again.
	h.ok(root, "CreateAlias", m{"AliasName": "alias/gone", "TargetKeyId": stays})
	h.empty()
}

// empty checks that no task is left.
func (h *harness) empty() {
	h.t.Helper()
	err := h.store.View(h.t.Context(), func(r store.Reader) error {
		for _, region := range h.config.Regions {
			items, _, err := dueRecords.Scan(r, regionScope(region), "", 10)
			if err != nil {
				return err
			}
			for _, item := range items {
				h.t.Errorf("left to do in %s: %s", region, item.ID)
			}
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

func TestCancelKeyDeletion(t *testing.T) {
	h := newHarness(t)
	id, arn := h.keyID()
	h.fails(root, "CancelKeyDeletion", m{"KeyId": id}, "KMSInvalidStateException", arn+" is not pending deletion.")
	h.ok(root, "ScheduleKeyDeletion", m{"KeyId": id, "PendingWindowInDays": 7})
	h.fails(root, "ScheduleKeyDeletion", m{"KeyId": id}, "KMSInvalidStateException", arn+" is pending deletion.")
	h.clock.Advance(6 * day)
	if out := h.ok(root, "CancelKeyDeletion", m{"KeyId": id}); len(out) != 1 || out["KeyId"] != arn {
		t.Errorf("%v", out)
	}
	k := h.ok(root, "DescribeKey", m{"KeyId": id})["KeyMetadata"].(m)
	if _, dated := k["DeletionDate"]; dated || k["KeyState"] != "Disabled" {
		t.Errorf("%v", k)
	}
	h.empty()
	h.clock.Advance(30 * day)
	h.due()
	if h.isGone(id) {
		t.Error("deleted after it was cancelled")
	}
	// Not after the period, while the worker has not come to it.
	late, lateARN := h.keyID()
	h.ok(root, "ScheduleKeyDeletion", m{"KeyId": late, "PendingWindowInDays": 7})
	h.clock.Advance(7*day - time.Second)
	h.ok(root, "CancelKeyDeletion", m{"KeyId": late})
	h.ok(root, "ScheduleKeyDeletion", m{"KeyId": late, "PendingWindowInDays": 7})
	h.clock.Advance(7 * day)
	h.fails(root, "CancelKeyDeletion", m{"KeyId": late}, "NotFoundException", "Key '"+lateARN+"' does not exist")
	h.due()
	if !h.isGone(late) {
		t.Error("not deleted after it could not be cancelled")
	}
	// Scheduled again, the first date counts no more.
	h.ok(root, "ScheduleKeyDeletion", m{"KeyId": id, "PendingWindowInDays": 8})
	h.ok(root, "CancelKeyDeletion", m{"KeyId": id})
	h.clock.Advance(time.Hour)
	h.ok(root, "ScheduleKeyDeletion", m{"KeyId": id, "PendingWindowInDays": 8})
	h.clock.Advance(8*day - time.Second)
	h.due()
	if h.isGone(id) {
		t.Error("deleted at the date that was cancelled")
	}
	h.clock.Advance(time.Second)
	h.due()
	if !h.isGone(id) {
		t.Error("not deleted")
	}
}

// TestTaskCancelledWhileItIsRead: a task that is gone, or that is not the key's any
// more, is no work and no failure.
func TestTaskCancelledWhileItIsRead(t *testing.T) {
	h := newHarness(t)
	id, _ := h.keyID()
	h.ok(root, "ScheduleKeyDeletion", m{"KeyId": id, "PendingWindowInDays": 7})
	stale := dueRecord{At: h.clock.Now().Add(7 * day), Account: account, Key: id, Task: deleteKey}
	h.ok(root, "CancelKeyDeletion", m{"KeyId": id})
	h.clock.Advance(8 * day)
	h.journal.taken(t)
	if err := h.service.do(t.Context(), region, stale); err != nil {
		t.Errorf("a task that was cancelled: %v", err)
	}
	// Its record back in place, as no operation leaves it.
	err := h.store.Update(t.Context(), func(tx *store.Tx) error { return dueRecords.Put(tx, regionScope(region), stale.id(), stale) })
	if err != nil {
		t.Fatal(err)
	}
	h.due()
	if records := h.journal.taken(t); len(records) != 0 || h.isGone(id) {
		t.Errorf("%v", records)
	}
	h.empty()
}

// TestWorker runs it over a year in two regions, with a restart in between.
func TestWorker(t *testing.T) {
	h := newHarness(t)
	deleted := make(chan string, 10)
	stop := h.store.Watch(keyCollection, func(c store.Change) {
		if c.Deleted {
			deleted <- c.Scope.Region + "/" + c.ID
		}
	})
	defer stop()
	run := func() (end func()) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			h.service.Run(ctx)
			close(ended)
		}()
		return func() {
			cancel()
			<-ended
			// Watchers are told of a change just before it shows, and a worker that is
			// stopped does not wait for that: whatever comes behind it does.
			if err := h.store.Checkpoint(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	expect := func(want string) {
		t.Helper()
		select {
		case got := <-deleted:
			if got != want {
				t.Fatalf("deleted %s, want %s", got, want)
			}
		case <-t.Context().Done():
		case <-time.After(time.Minute):
			t.Fatalf("%s was not deleted", want)
		}
	}
	end := run()
	id, _ := h.keyID()
	h.ok(root, "ScheduleKeyDeletion", m{"KeyId": id, "PendingWindowInDays": 30})
	h.region = second
	far, _ := h.keyID()
	h.ok(root, "ScheduleKeyDeletion", m{"KeyId": far, "PendingWindowInDays": 7})
	h.clock.Advance(7 * day)
	expect(second + "/" + far)
	end()
	h.restart()
	h.clock.Advance(365 * day)
	end = run()
	expect(region + "/" + id)
	end()
	if len(deleted) != 0 {
		t.Errorf("%s was deleted as well", <-deleted)
	}
	var events int
	for _, record := range h.journal.taken(t) {
		if record["eventName"] == "DeleteKey" {
			events++
		}
	}
	if events != 2 {
		t.Errorf("%d DeleteKey records, want 2", events)
	}
	h.empty()
}

func TestReset(t *testing.T) {
	h := newHarness(t)
	id, _ := h.keyID()
	h.ok(root, "CreateAlias", m{"AliasName": "alias/a", "TargetKeyId": id})
	h.ok(root, "ScheduleKeyDeletion", m{"KeyId": id})
	h.ok(foreignRoot, "CreateKey", m{})
	if err := h.service.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, who := range []caller{root, foreignRoot} {
		if n := len(h.ok(who, "ListKeys", m{})["Keys"].([]any)); n != 0 {
			t.Errorf("%s has %d keys", who, n)
		}
	}
	if !h.isGone(id) || !h.isGone("alias/a") {
		t.Error("something is left")
	}
	h.empty()
}
