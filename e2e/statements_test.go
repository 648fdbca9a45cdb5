package e2e

import (
	"encoding/json"
	"go/parser"
	"go/token"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/strongroom/strongroom/e2e/binary"
)

// The 90 numbered statements about AWS KMS that Strongroom is held to: one test
// each, named by its number, in the statements_*_test.go of its subject. Statements
// that are false as stated are tested as what holds instead.
const statements = 90

// TestEveryStatementHasATest reads the tests of this package and misses none.
func TestEveryStatementHasATest(t *testing.T) {
	name := regexp.MustCompile(`^TestStatement(\d\d)[A-Z]`)
	files, err := filepath.Glob("statements_*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[int]int{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for declared := range parsed.Scope.Objects {
			if match := name.FindStringSubmatch(declared); match != nil {
				number, err := strconv.Atoi(match[1])
				if err != nil {
					t.Fatal(err)
				}
				tests[number]++
			}
		}
	}
	for number := 1; number <= statements; number++ {
		if tests[number] != 1 {
			t.Errorf("statement %d has %d tests, want 1", number, tests[number])
		}
	}
}

// absentKey is a well-formed id that no key has.
const absentKey = "deadbeef-dead-4ead-8ead-deadbeefdead"

// createAlias makes an alias named after the test.
func createAlias(t *testing.T, c *kms.Client, key *types.KeyMetadata) string {
	t.Helper()
	name := "alias/" + strings.ReplaceAll(t.Name(), "#", "-")
	if _, err := c.CreateAlias(t.Context(), &kms.CreateAliasInput{AliasName: &name, TargetKeyId: key.KeyId}); err != nil {
		t.Fatal(err)
	}
	return name
}

// scheduleDeletion makes a key pending deletion.
func scheduleDeletion(t *testing.T, c *kms.Client, key *types.KeyMetadata) *kms.ScheduleKeyDeletionOutput {
	t.Helper()
	out, err := c.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: key.KeyId})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// keyOf makes a key of a spec and usage.
func keyOf(t *testing.T, c *kms.Client, spec types.KeySpec, usage types.KeyUsageType) *types.KeyMetadata {
	t.Helper()
	return createKey(t, c, &kms.CreateKeyInput{KeySpec: spec, KeyUsage: usage})
}

func disable(t *testing.T, c *kms.Client, key *types.KeyMetadata) {
	t.Helper()
	if _, err := c.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: key.KeyId}); err != nil {
		t.Fatal(err)
	}
}

// describe returns a key's metadata as it is now.
func describe(t *testing.T, c *kms.Client, key *types.KeyMetadata) *types.KeyMetadata {
	t.Helper()
	out, err := c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: key.KeyId})
	if err != nil {
		t.Fatal(err)
	}
	return out.KeyMetadata
}

// wantBare fails the test unless the call is refused with that code and, on the
// wire, without a message.
func wantBare(t *testing.T, s *binary.Server, operation string, in any, code string) {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	answer := signedCall(t, s, operation, string(body))
	if got := strings.TrimSpace(string(answer.body)); got != `{"__type":"`+code+`"}` || answer.status != http.StatusBadRequest {
		t.Errorf("%s: %d %s, want a bare %s", operation, answer.status, got, code)
	}
}
