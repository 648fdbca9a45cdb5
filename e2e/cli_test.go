package e2e

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/e2e/binary"
)

// How to get what the tests of this file need.
const (
	installAWS     = "apt-get install awscli, or pip install awscli"
	installOpenSSL = "apt-get install openssl"
)

// cli is the AWS command line with an environment and a folder of its own.
type cli struct {
	t    *testing.T
	path string
	env  []string
	dir  string
}

// newCLI returns the command line as a user of the server would set it up.
func newCLI(t *testing.T, env []string) *cli {
	t.Helper()
	home := t.TempDir()
	return &cli{t: t, path: program(t, "aws", installAWS), dir: home, env: append(env, "HOME="+home, "AWS_PAGER=")}
}

// run runs "aws args…" and returns what it printed, without white space around it.
func (c *cli) run(args ...string) string {
	c.t.Helper()
	stdout, stderr, err := command(c.t, c.env, c.path, args...)
	if err != nil {
		c.t.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), err, stderr)
	}
	return strings.TrimSpace(stdout)
}

// query runs "aws args…" and returns one value of its answer.
func (c *cli) query(path string, args ...string) string {
	c.t.Helper()
	return c.run(append(args, "--output", "text", "--query", path)...)
}

// fails runs "aws args…", which must fail with that code and that message.
func (c *cli) fails(code, message string, args ...string) {
	c.t.Helper()
	stdout, stderr, err := command(c.t, c.env, c.path, args...)
	if err == nil {
		c.t.Fatalf("aws %s succeeds with %s; want %s", strings.Join(args, " "), stdout, code)
	}
	if !strings.Contains(stderr, "An error occurred ("+code+") when calling the ") || !strings.Contains(stderr, message) {
		c.t.Fatalf("aws %s said\n%swant %s: %s", strings.Join(args, " "), stderr, code, message)
	}
}

// file writes a file and returns its path.
func (c *cli) file(name string, content []byte) string {
	c.t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		c.t.Fatal(err)
	}
	return path
}

// TestCLI is a working day with the AWS command line, on a server that is set up
// by nothing but the two variables that it names itself.
func TestCLI(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := newCLI(t, clientEnvironment(s))

	id := c.query("KeyMetadata.KeyId", "kms", "create-key", "--description", "first", "--tags", "TagKey=team,TagValue=a")
	arn := "arn:aws:kms:us-east-1:000000000000:key/" + id
	if got := c.query("KeyMetadata.Arn", "kms", "describe-key", "--key-id", id); got != arn {
		t.Errorf("Arn %s, want %s", got, arn)
	}
	c.run("kms", "create-alias", "--alias-name", "alias/files", "--target-key-id", id)
	if got := c.query("Aliases[0].AliasName", "kms", "list-aliases", "--key-id", id); got != "alias/files" {
		t.Errorf("alias %s", got)
	}

	plain := c.file("plain", []byte("attack at dawn"))
	sealed := c.decodeInto("sealed", c.query("CiphertextBlob", "kms", "encrypt", "--key-id", "alias/files",
		"--plaintext", "fileb://"+plain, "--encryption-context", "tenant=a,purpose=tour"))
	opened := c.query("Plaintext", "kms", "decrypt", "--ciphertext-blob", "fileb://"+sealed, "--encryption-context", "purpose=tour,tenant=a")
	if opened != base64.StdEncoding.EncodeToString([]byte("attack at dawn")) {
		t.Errorf("decrypt gave %s", opened)
	}
	c.fails("InvalidCiphertextException", "", "kms", "decrypt", "--ciphertext-blob", "fileb://"+sealed)
	c.fails("ValidationException", tooLong, "kms", "encrypt", "--key-id", "alias/files",
		"--plaintext", "fileb://"+c.file("long", make([]byte, 4097)))

	second := c.query("KeyMetadata.KeyId", "kms", "create-key")
	c.run("kms", "update-alias", "--alias-name", "alias/files", "--target-key-id", second)
	if got := c.query("KeyMetadata.KeyId", "kms", "describe-key", "--key-id", "alias/files"); got != second {
		t.Errorf("the alias points to %s, want %s", got, second)
	}
	moved := c.decodeInto("moved", c.query("CiphertextBlob", "kms", "re-encrypt", "--ciphertext-blob", "fileb://"+sealed,
		"--source-encryption-context", "tenant=a,purpose=tour", "--destination-key-id", "alias/files"))

	c.run("kms", "disable-key", "--key-id", id)
	c.fails("DisabledException", arn+" is disabled.", "kms", "decrypt", "--ciphertext-blob", "fileb://"+sealed, "--encryption-context", "purpose=tour,tenant=a")
	c.run("kms", "enable-key", "--key-id", id)
	if got := c.query("KeyState", "kms", "schedule-key-deletion", "--key-id", id, "--pending-window-in-days", "7"); got != "PendingDeletion" {
		t.Errorf("KeyState %s", got)
	}
	c.run("kms", "cancel-key-deletion", "--key-id", id)
	c.run("kms", "update-key-description", "--key-id", id, "--description", "changed")
	if got := c.query("KeyMetadata.[KeyState,Description]", "kms", "describe-key", "--key-id", id); got != "Disabled\tchanged" {
		t.Errorf("after the cancelled deletion: %q", got)
	}

	if got := c.query("Policy", "kms", "get-key-policy", "--key-id", id, "--policy-name", "default"); got != defaultPolicy {
		t.Errorf("the default policy is\n%s", got)
	}
	c.fails("MalformedPolicyDocumentException", "The new key policy will not allow you to update the key policy in the future.",
		"kms", "put-key-policy", "--key-id", id, "--policy-name", "default", "--policy", "file://"+c.file("locking.json", []byte(lockingPolicy)))
	c.run("kms", "tag-resource", "--key-id", id, "--tags", "TagKey=team,TagValue=b")
	if got := c.query("Tags[0].[TagKey,TagValue]", "kms", "list-resource-tags", "--key-id", id); got != "team\tb" {
		t.Errorf("tags %q", got)
	}
	c.run("kms", "untag-resource", "--key-id", id, "--tag-keys", "team")
	if got := strings.Fields(c.query("Keys[].KeyId", "kms", "list-keys", "--page-size", "1")); len(got) != 2 {
		t.Errorf("keys, one page each: %q", got)
	}
	random := c.query("Plaintext", "kms", "generate-random", "--number-of-bytes", "32")
	if b, err := base64.StdEncoding.DecodeString(random); err != nil || len(b) != 32 {
		t.Errorf("generate-random gave %s", random)
	}
	c.fails("InvalidSignatureException", "Credential should be scoped to a valid region.", "kms", "list-keys", "--region", "eu-west-1")
	if got := c.query("[Account,Arn]", "sts", "get-caller-identity"); got != "000000000000\tarn:aws:iam::000000000000:root" {
		t.Errorf("get-caller-identity: %q", got)
	}

	// Another process on the same folder knows the same.
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	s = startIn(t, s.Data)
	c.env = append(c.env, "AWS_ENDPOINT_URL="+s.URL)
	if got := c.query("Plaintext", "kms", "decrypt", "--ciphertext-blob", "fileb://"+moved); got != opened {
		t.Errorf("after a restart decrypt gave %s", got)
	}
	verify(t, s)
}

// decodeInto writes what a base64 text holds to a file and returns its path.
func (c *cli) decodeInto(name, text string) string {
	c.t.Helper()
	content, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		c.t.Fatalf("%s: %v in %q", name, err, text)
	}
	return c.file(name, content)
}

// TestCLIEnvelope encrypts a file that is too large for KMS with a data key and
// OpenSSL, and reads it back in a later life of the server.
func TestCLIEnvelope(t *testing.T) {
	t.Parallel()
	openssl := program(t, "openssl", installOpenSSL)
	s := start(t)
	c := newCLI(t, clientEnvironment(s))
	id := c.query("KeyMetadata.KeyId", "kms", "create-key")

	content := bytes.Repeat([]byte("more than fits into one call\n"), 1000)
	file := c.file("report", content)
	dataKey := strings.Fields(c.query("[Plaintext,CiphertextBlob]", "kms", "generate-data-key", "--key-id", id, "--key-spec", "AES_256"))
	if len(dataKey) != 2 {
		t.Fatalf("generate-data-key gave %q", dataKey)
	}
	sealedKey := c.decodeInto("report.key", dataKey[1])
	sealed := filepath.Join(c.dir, "report.sealed")
	env := append(c.env, "DATA_KEY="+dataKey[0])
	if _, stderr, err := command(t, env, openssl, "enc", "-aes-256-cbc", "-pbkdf2", "-pass", "env:DATA_KEY", "-in", file, "-out", sealed); err != nil {
		t.Fatalf("openssl: %v\n%s", err, stderr)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	s = startIn(t, s.Data)
	c.env = append(c.env, "AWS_ENDPOINT_URL="+s.URL)
	opened := c.query("Plaintext", "kms", "decrypt", "--ciphertext-blob", "fileb://"+sealedKey)
	stdout, stderr, err := command(t, append(c.env, "DATA_KEY="+opened), openssl, "enc", "-d", "-aes-256-cbc", "-pbkdf2", "-pass", "env:DATA_KEY", "-in", sealed)
	if err != nil {
		t.Fatalf("openssl: %v\n%s", err, stderr)
	}
	if stdout != string(content) {
		t.Error("the file does not come back")
	}
}

// TestCLIOnADevServer uses the credentials that everyone types.
func TestCLIOnADevServer(t *testing.T) {
	t.Parallel()
	s := start(t, "--dev")
	c := newCLI(t, devEnvironment(s))
	id := c.query("KeyMetadata.KeyId", "kms", "create-key")
	c.run("kms", "schedule-key-deletion", "--key-id", id, "--pending-window-in-days", "7")
	advance(t, s, "169h")
	err := binary.Until("the deletion of a key that is due", untilDone, func() (bool, error) {
		_, _, err := command(t, c.env, c.path, "kms", "describe-key", "--key-id", id)
		return err != nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c.fails("NotFoundException", "Key 'arn:aws:kms:us-east-1:000000000000:key/"+id+"' does not exist", "kms", "describe-key", "--key-id", id)
	if got := c.query("Account", "sts", "get-caller-identity"); got != defaultAccount {
		t.Errorf("account %s", got)
	}
}
