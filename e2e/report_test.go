package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// TestKeyReport makes a key for each finding and one that has none, lets a
// hundred days pass, and asks for the report of the running and of the stopped
// server.
func TestKeyReport(t *testing.T) {
	s := start(t, "--dev")
	c := devClient(s, "test", defaultRegion)
	key := func(in *kms.CreateKeyInput, rotate bool) string {
		t.Helper()
		arn := createKey(t, c, in).Arn
		if rotate {
			if _, err := c.EnableKeyRotation(t.Context(), &kms.EnableKeyRotationInput{KeyId: arn}); err != nil {
				t.Fatal(err)
			}
		}
		return *arn
	}
	use := func(arn string) { encrypt(t, c, arn, []byte("x"), nil) }
	doom := func(arn string) {
		if _, err := c.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: &arn}); err != nil {
			t.Fatal(err)
		}
	}
	sign := &kms.CreateKeyInput{KeySpec: types.KeySpecEccNistP256, KeyUsage: types.KeyUsageTypeSignVerify}
	names := map[string]string{}
	keys := map[string]string{}
	for name, arn := range map[string]string{
		"used": key(nil, true), "unused": key(nil, true), "never used": key(sign, false), "not rotated": key(nil, false),
		"doomed": key(nil, false), "doomed, used": key(nil, false), "doomed, asked for": key(nil, false),
	} {
		keys[name], names[arn] = arn, name
	}
	use(keys["unused"])
	use(keys["doomed, asked for"])
	advance(t, s, "2400h")
	keys["new"] = key(sign, false)
	names[keys["new"]] = "new"
	use(keys["used"])
	use(keys["not rotated"])
	use(keys["doomed, used"])
	doom(keys["doomed"])
	doom(keys["doomed, used"])
	doom(keys["doomed, asked for"])
	for range 2 {
		_, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: aws.String(keys["doomed, asked for"]), Plaintext: []byte("x")})
		if err == nil {
			t.Fatal("a key that is about to be deleted was used")
		}
	}

	check := func(where string, advanced bool) {
		t.Helper()
		args := []string{"audit", "report", "--data", s.Data, "--json"}
		stdout, stderr, err := command(t, nil, executable, args...)
		if err != nil {
			t.Fatalf("%s: %v\n%s", where, err, stderr)
		}
		got := map[string][]string{}
		for line := range strings.Lines(stdout) {
			var f struct {
				Key         string
				LastUse     *struct{ Operation string }
				RefusedUses int
				Findings    []string
			}
			if err := json.Unmarshal([]byte(line), &f); err != nil {
				t.Fatal(err)
			}
			name := names[f.Key]
			got[name] = f.Findings
			if (f.LastUse == nil) != (name == "never used") || f.RefusedUses != map[string]int{"doomed, asked for": 2}[name] {
				t.Errorf("%s: %s", where, line)
			}
		}
		want := map[string][]string{
			"unused": {"unused"}, "never used": {"unused"}, "not rotated": {"noRotation"},
			"doomed, used": {"stillUsed"}, "doomed, asked for": {"stillUsed"},
		}
		if !advanced {
			// The stopped server's clock is the machine's: no day has passed.
			delete(want, "unused")
			delete(want, "never used")
		}
		for name := range keys {
			if !slices.Equal(got[name], want[name]) {
				t.Errorf("%s: %s: %v, want %v", where, name, got[name], want[name])
			}
		}
	}
	check("running", true)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	check("stopped", false)
}
