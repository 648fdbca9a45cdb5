package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/strongroom/strongroom/e2e/binary"
)

// strongroomCommand runs "strongroom args… --data DIR".
func strongroomCommand(t testing.TB, s *binary.Server, args ...string) *binary.Result {
	t.Helper()
	result, err := binary.Run(executable, append(args, "--data", s.Data)...)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// succeeds is strongroomCommand for what must succeed; it returns what was printed.
func succeeds(t testing.TB, s *binary.Server, args ...string) string {
	t.Helper()
	result := strongroomCommand(t, s, args...)
	if result.Code != 0 {
		t.Fatalf("strongroom %s: %d\n%s", strings.Join(args, " "), result.Code, result.Stderr)
	}
	return string(result.Stdout)
}

// refused is strongroomCommand for what must be refused with that text.
func refused(t testing.TB, s *binary.Server, text string, args ...string) {
	t.Helper()
	result := strongroomCommand(t, s, args...)
	if result.Code != 1 || !strings.Contains(string(result.Stderr), text) {
		t.Errorf("strongroom %s: %d %s%s; want %q", strings.Join(args, " "), result.Code, result.Stdout, result.Stderr, text)
	}
}

// accountClient is a client with the credentials of a file in the data folder.
func accountClient(t testing.TB, s *binary.Server, file string) *kms.Client {
	t.Helper()
	path := filepath.Join(s.Data, file)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%s: %v, %v", file, info, err)
	}
	cfg, err := config.LoadDefaultConfig(t.Context(),
		config.WithSharedCredentialsFiles([]string{path}), config.WithSharedConfigFiles([]string{}),
		config.WithBaseEndpoint(s.URL), config.WithRegion(defaultRegion),
		config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }))
	if err != nil {
		t.Fatal(err)
	}
	return kms.NewFromConfig(cfg)
}

// TestAccounts is the life of a second account, on a running and on a stopped
// server.
func TestAccounts(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	s := startIn(t, data)
	if out := succeeds(t, s, "account", "create", "--id", "444455556666", "--name", "payments"); !strings.Contains(out, "credentials-444455556666") || strings.Contains(out, "aws_secret") {
		t.Errorf("create printed %s", out)
	}
	refused(t, s, "there is an account 444455556666 already", "account", "create", "--id", "444455556666")
	refused(t, s, "it has 12 digits", "account", "create", "--id", "4")
	refused(t, s, "there is no account 777788889999", "account", "show", "777788889999")
	if out := succeeds(t, s, "account", "list"); !strings.Contains(out, "000000000000  root enabled") || !strings.Contains(out, "444455556666  root enabled  payments") {
		t.Errorf("list printed\n%s", out)
	}

	// Accounts have keys of their own, and use each other's when both sides say so.
	mine, theirs := kmsClient(t, s, defaultRegion), accountClient(t, s, "credentials-444455556666")
	key := createKey(t, mine, &kms.CreateKeyInput{})
	list, err := theirs.ListKeys(t.Context(), &kms.ListKeysInput{})
	if err != nil || len(list.Keys) != 0 {
		t.Errorf("the other account's keys: %v, %v", list, err)
	}
	_, err = theirs.Encrypt(t.Context(), &kms.EncryptInput{KeyId: key.Arn, Plaintext: []byte("x")})
	wantError(t, err, "AccessDeniedException", "User: arn:aws:iam::444455556666:root is not authorized to perform: kms:Encrypt on this resource because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access")
	share := func(account string) error {
		_, err := mine.PutKeyPolicy(t.Context(), &kms.PutKeyPolicyInput{KeyId: key.KeyId, Policy: aws.String(`{"Version":"2012-10-17","Statement":[
			{"Effect":"Allow","Principal":{"AWS":"000000000000"},"Action":"kms:*","Resource":"*"},
			{"Effect":"Allow","Principal":{"AWS":"` + account + `"},"Action":"kms:Encrypt","Resource":"*"}]}`)})
		return err
	}
	wantError(t, share("777788889999"), "MalformedPolicyDocumentException", "Policy contains a statement with one or more invalid principals.")
	if err := share("444455556666"); err != nil {
		t.Fatal(err)
	}
	encrypt(t, theirs, *key.Arn, []byte("x"), nil)

	// Rotation: the old key opens nothing any more, the file has the new one.
	before := theirs
	succeeds(t, s, "account", "root", "rotate", "444455556666", "--keep")
	both := accountClient(t, s, "credentials-444455556666")
	encrypt(t, before, *key.Arn, []byte("x"), nil)
	encrypt(t, both, *key.Arn, []byte("x"), nil)
	refused(t, s, "two access keys", "account", "root", "rotate", "444455556666", "--keep")
	succeeds(t, s, "account", "root", "rotate", "444455556666")
	last := accountClient(t, s, "credentials-444455556666")
	encrypt(t, last, *key.Arn, []byte("x"), nil)
	for _, old := range []*kms.Client{before, both} {
		_, err = old.ListKeys(t.Context(), &kms.ListKeysInput{})
		wantError(t, err, "UnrecognizedClientException", "The security token included in the request is invalid.")
	}

	// Disabling says what remains, and is refused when nothing does.
	refused(t, s, "nobody but the root can sign in to account 444455556666", "account", "root", "disable", "444455556666")
	if out := succeeds(t, s, "account", "root", "disable", "444455556666", "--lock-out"); !strings.Contains(out, "No user has an active access key.") || !strings.Contains(out, "strongroom account root enable 444455556666") {
		t.Errorf("disable printed\n%s", out)
	}
	_, err = last.ListKeys(t.Context(), &kms.ListKeysInput{})
	wantError(t, err, "UnrecognizedClientException", "The security token included in the request is invalid.")
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if out := succeeds(t, s, "account", "show", "444455556666"); !strings.Contains(out, "root disabled") {
		t.Errorf("show printed\n%s", out)
	}
	succeeds(t, s, "account", "root", "enable", "444455556666")
	s = startIn(t, data)
	encrypt(t, accountClient(t, s, "credentials-444455556666"), *key.Arn, []byte("x"), nil)
	verify(t, s)
	records, _ := export(t, s)
	changes, pairs := map[string]int{}, map[string][]string{}
	for _, r := range records {
		if r.SharedEventID != "" {
			pairs[r.SharedEventID] = append(pairs[r.SharedEventID], r.RecipientAccountID)
		}
		if r.EventSource == "strongroom.local" && !r.ReadOnly {
			changes[r.EventName]++
		}
	}
	if len(pairs) == 0 {
		t.Error("no use of another account's key is in both trails")
	}
	for id, accounts := range pairs {
		if len(accounts) != 2 || accounts[0] != "444455556666" || accounts[1] != "000000000000" {
			t.Errorf("the shared event %s is in the trails of %v", id, accounts)
		}
	}
	for name, want := range map[string]int{"CreateAccount": 2, "RotateRootCredentials": 3, "DisableRootCredentials": 2, "EnableRootCredentials": 1} {
		if changes[name] != want {
			t.Errorf("%d records of %s, want %d, refusals too", changes[name], name, want)
		}
	}
}
