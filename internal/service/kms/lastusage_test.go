package kms

import (
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/store"
)

func TestGetKeyLastUsage(t *testing.T) {
	h := newHarness(t)
	id, arn := h.keyID()
	out := h.ok(root, "GetKeyLastUsage", m{"KeyId": id})
	created := out["KeyCreationDate"]
	if out["KeyId"] != arn || created == nil || out["TrackingStartDate"] != created {
		t.Errorf("of a new key: %v", out)
	}
	if usage, ok := out["KeyLastUsage"].(m); !ok || len(usage) != 0 {
		t.Errorf("a key that was never used has the last usage %v", out["KeyLastUsage"])
	}

	at := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	h.journal.uses = map[string]Use{arn: {Operation: "Decrypt", Time: at, EventID: "e", RequestID: "r"}}
	out = h.ok(root, "GetKeyLastUsage", m{"KeyId": arn})
	usage := out["KeyLastUsage"].(m)
	if len(usage) != 4 || usage["Operation"] != "Decrypt" || usage["Timestamp"] != float64(at.Unix()) ||
		usage["CloudTrailEventId"] != "e" || usage["KmsRequestId"] != "r" {
		t.Errorf("the last usage is %v", usage)
	}
	h.ok(root, "ScheduleKeyDeletion", m{"KeyId": id})
	h.ok(root, "GetKeyLastUsage", m{"KeyId": id}) // in every state

	h.ok(root, "CancelKeyDeletion", m{"KeyId": id})
	h.ok(root, "PutKeyPolicy", m{"KeyId": id, "Policy": keyPolicy(allow("*", "kms:*", nil))})
	if a := h.send(foreignRoot, "GetKeyLastUsage", m{"KeyId": arn}); a.code != "AccessDeniedException" {
		t.Errorf("another account: %v", a)
	}
	h.fails(root, "GetKeyLastUsage", m{"KeyId": "alias/sample"}, "InvalidArnException", "Key Aliases are not supported for this operation.")
	missing := "11111111-2222-3333-4444-555555555555"
	h.fails(root, "GetKeyLastUsage", m{"KeyId": missing}, "NotFoundException",
		"Key 'arn:aws:kms:us-east-1:"+account+":key/"+missing+"' does not exist")
}

// TestKeptUses: of a key that is there, the latest use is kept; with the key it goes.
func TestKeptUses(t *testing.T) {
	h := newHarness(t)
	id, arn := h.keyID()
	at := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	keep := func(arn, event string, at time.Time) {
		t.Helper()
		err := h.store.Update(t.Context(), func(tx *store.Tx) error {
			return KeepUse(tx, arn, Use{Operation: "Encrypt", Time: at, EventID: event, RequestID: "r"})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	kept := func(arn string) string {
		t.Helper()
		use, ok, err := KeptUse(t.Context(), h.store, arn)
		if err != nil || ok != (use != Use{}) {
			t.Fatalf("%+v, %v, %v", use, ok, err)
		}
		return use.EventID
	}
	if got := kept(arn); got != "" {
		t.Errorf("before anything was kept: %q", got)
	}
	for _, c := range []struct {
		event string
		at    time.Time
		want  string
	}{{"first", at, "first"}, {"earlier", at.Add(-time.Hour), "first"}, {"same second", at, "same second"}, {"later", at.Add(time.Hour), "later"}} {
		keep(arn, c.event, c.at)
		if got := kept(arn); got != c.want {
			t.Errorf("after %s: %q is kept", c.event, got)
		}
	}
	for _, other := range []string{
		"arn:aws:kms:us-east-1:" + account + ":key/11111111-2222-3333-4444-555555555555", "arn:aws:kms:us-east-1:" + account + ":alias/a", "arn:aws:iam::" + account + ":root", "", ":::::",
	} {
		keep(other, "x", at)
		if got := kept(other); got != "" {
			t.Errorf("of %q there is %q", other, got)
		}
	}
	h.ok(root, "ScheduleKeyDeletion", m{"KeyId": id, "PendingWindowInDays": 7})
	h.clock.Advance(8 * 24 * time.Hour)
	h.due()
	if got := kept(arn); got != "" {
		t.Errorf("of a deleted key there is %q", got)
	}
}
