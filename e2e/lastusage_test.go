package e2e

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// TestLastUsage follows keys through uses, refusals and a kill: what was answered
// counts, at once and for good.
func TestLastUsage(t *testing.T) {
	s := start(t)
	c := kmsClient(t, s, defaultRegion)
	last := func(key string) *types.KeyLastUsageData {
		t.Helper()
		out, err := c.GetKeyLastUsage(t.Context(), &kms.GetKeyLastUsageInput{KeyId: &key})
		if err != nil {
			t.Fatal(err)
		}
		return out.KeyLastUsage
	}
	one, two := *createKey(t, c, nil).Arn, *createKey(t, c, nil).Arn
	if u := last(one); u == nil || u.Operation != "" || u.Timestamp != nil {
		t.Errorf("a new key was used: %+v", u)
	}
	blob := encrypt(t, c, one, []byte("x"), nil)
	if u := last(one); u.Operation != types.KeyLastUsageTrackingOperationEncrypt {
		t.Errorf("after Encrypt: %+v", u)
	}
	out, err := c.ReEncrypt(t.Context(), &kms.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: &two})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{one, two} {
		if u := last(key); u.Operation != types.KeyLastUsageTrackingOperationReEncrypt {
			t.Errorf("after ReEncrypt: %+v", u)
		}
	}
	if _, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: out.CiphertextBlob, KeyId: &one}); err == nil {
		t.Error("another key's ciphertext was opened")
	}
	if _, err := c.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: &two}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: out.CiphertextBlob}); err == nil {
		t.Error("a disabled key opened a ciphertext")
	}
	before := last(two)
	if before.Operation != types.KeyLastUsageTrackingOperationReEncrypt {
		t.Errorf("a refusal counts as a use: %+v", before)
	}
	encrypt(t, c, one, []byte("x"), nil)
	s.Kill()
	s = startIn(t, s.Data)
	c = kmsClient(t, s, defaultRegion)
	if u := last(two); *u.CloudTrailEventId != *before.CloudTrailEventId || *u.KmsRequestId != *before.KmsRequestId || !u.Timestamp.Equal(*before.Timestamp) {
		t.Errorf("after the kill: %+v, before %+v", u, before)
	}
	use := last(one)
	if use.Operation != types.KeyLastUsageTrackingOperationEncrypt {
		t.Errorf("the use before the kill is lost: %+v", use)
	}

	// The event id leads to the record.
	records, err := exec.Command(executable, "audit", "search", "--data", s.Data, "--operation", "Encrypt", "--format", "json").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(records), []byte("\n"))
	var record struct {
		EventID   string `json:"eventID"`
		RequestID string `json:"requestID"`
	}
	if err := json.Unmarshal(lines[len(lines)-1], &record); err != nil {
		t.Fatal(err)
	}
	if record.EventID != *use.CloudTrailEventId || record.RequestID != *use.KmsRequestId {
		t.Errorf("the record is %+v, the use %s, %s", record, *use.CloudTrailEventId, *use.KmsRequestId)
	}
}
