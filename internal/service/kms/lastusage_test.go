package kms

import (
	"testing"
	"time"
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
