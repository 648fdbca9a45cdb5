package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/strongroom/strongroom/e2e/binary"
)

// auditReport is what audit verify says of a running or a stopped server.
type auditReport struct {
	Records, Unanchored, Removed uint64
	Checkpoint                   string
	Fault                        *struct{ Problem string }
}

func auditVerify(t testing.TB, s *binary.Server, args ...string) (r auditReport) {
	t.Helper()
	stdout, stderr, _ := command(t, nil, executable, append([]string{"audit", "verify", "--json", "--data", s.Data}, args...)...)
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("%v: %s%s", err, stdout, stderr)
	}
	if r.Fault != nil {
		t.Fatalf("the trail is not whole: %s", r.Fault.Problem)
	}
	return r
}

// TestRetention lets a hundred days pass for a server that keeps ninety: old records
// go, the trail says so, and everything that reads it goes on.
func TestRetention(t *testing.T) {
	shipped := filepath.Join(t.TempDir(), "audit.jsonl")
	s := start(t, "--dev", "--audit-retention", "90", "--audit-ship", "file:"+shipped)
	c := devClient(s, "test", defaultRegion)
	key, idle := createKey(t, c, nil).Arn, createKey(t, c, nil).Arn
	for range 20 {
		encrypt(t, c, *key, []byte("x"), nil)
	}
	lastUse := func(key *string) *types.KeyLastUsageData {
		t.Helper()
		out, err := c.GetKeyLastUsage(t.Context(), &kms.GetKeyLastUsageInput{KeyId: key})
		if err != nil {
			t.Fatal(err)
		}
		return out.KeyLastUsage
	}
	before := lastUse(key)
	kept := filepath.Join(t.TempDir(), "checkpoint")
	until := func(what string, done func() bool) {
		t.Helper()
		if err := binary.Until(what, untilDone, func() (bool, error) { return done(), nil }); err != nil {
			t.Fatal(err)
		}
	}
	// Only what is signed can go, and what was shipped.
	until("a signature over the uses", func() bool {
		text, _ := os.ReadFile(shipped)
		report := auditVerify(t, s)
		return strings.Contains(string(text), "GetKeyLastUsage") && report.Unanchored <= 1 && os.WriteFile(kept, []byte(report.Checkpoint), 0o600) == nil
	})
	auditVerify(t, s) // its record's frame is signed, too
	advance(t, s, "2400h")
	until("the removal of old records", func() bool { return auditVerify(t, s).Removed > 20 })

	search := func(operation string) string {
		t.Helper()
		stdout, stderr, err := command(t, nil, executable, "audit", "search", "--data", s.Data, "--operation", operation, "--format", "json")
		if err != nil {
			t.Fatalf("%v: %s", err, stderr)
		}
		return stdout
	}
	if found := search("Encrypt"); found != "" {
		t.Errorf("there are still\n%s", found)
	}
	said := search("RemoveAuditRecords")
	for _, want := range []string{`"firstFrame":"1"`, `"days":"90"`, `"reason":"--audit-retention"`, `"lastFrameHash":"`} {
		if !strings.Contains(said, want) {
			t.Errorf("the removal is recorded without %s:\n%s", want, said)
		}
	}
	if after := lastUse(key); *after.CloudTrailEventId != *before.CloudTrailEventId || !after.Timestamp.Equal(*before.Timestamp) || after.Operation != before.Operation {
		t.Errorf("the last use is %+v, was %+v", after, before)
	}
	if use := lastUse(idle); use.Operation != "" {
		t.Errorf("a key that was never used: %+v", use)
	}
	encrypt(t, c, *key, []byte("x"), nil)
	if after := lastUse(key); *after.CloudTrailEventId == *before.CloudTrailEventId {
		t.Error("a new use does not count")
	}

	// Offline, with the public key alone; and whatever else reads the trail.
	folder := t.TempDir()
	elsewhere := &binary.Server{Data: folder}
	public := filepath.Join(s.Data, "journal.pub")
	exported := func(name string, args ...string) {
		t.Helper()
		stdout, stderr, err := command(t, nil, executable, append([]string{"audit", "export", "--data", s.Data}, args...)...)
		if err != nil {
			t.Fatalf("%v: %s", err, stderr)
		}
		file := filepath.Join(folder, name)
		if err := os.WriteFile(file, []byte(stdout), 0o600); err != nil {
			t.Fatal(err)
		}
		if r := auditVerify(t, elsewhere, file, "--public-key", public, "--checkpoint", kept); r.Removed <= 20 || r.Records == 0 {
			t.Errorf("the export %s: %+v", name, r)
		}
		lines := strings.SplitAfterN(stdout, "\n", 2)
		if err := os.WriteFile(file, []byte(lines[1]), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := command(t, nil, executable, "audit", "verify", "--public-key", public, file); err == nil {
			t.Errorf("the export %s was taken without its first line", name)
		}
	}
	check := func() {
		t.Helper()
		if r := auditVerify(t, s, "--checkpoint", kept); r.Removed <= 20 {
			t.Errorf("%+v", r)
		}
		exported("full")
		exported("filtered", "--operation", "RemoveAuditRecords")
		if stdout, stderr, err := command(t, nil, executable, "audit", "tail", "-n", "10000", "--data", s.Data); err != nil || strings.Count(stdout, "\n") < 5 || strings.Contains(stdout, `"EnableKey"`) {
			t.Errorf("tail: %v %s%s", err, stdout, stderr)
		}
		if found := search("Encrypt"); strings.Count(found, "\n") != 1 {
			t.Errorf("found\n%s", found)
		}
	}
	check()
	s.Kill()
	check() // of a stopped server
	again := startIn(t, s.Data, "--dev")
	s, c = again, devClient(again, "test", defaultRegion)
	check()

	// By hand, and not what is younger than LookupEvents promises.
	refused(t, s, "LookupEvents answers for 90", "audit", "retain", "--days", "30")
	if said := succeeds(t, s, "audit", "retain", "--days", "365", "--reason", "policy 7.2"); !strings.Contains(said, "nothing was removed") {
		t.Errorf("%q", said)
	}
}
