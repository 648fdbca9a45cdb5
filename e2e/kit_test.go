package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"github.com/strongroom/strongroom/e2e/binary"
)

const (
	defaultAccount = "000000000000"
	defaultRegion  = "us-east-1"
	secondRegion   = "eu-west-1" // of the shared server
)

// untilDone bounds the wait for what the server does by itself, such as deleting
// a key that is due.
const untilDone = time.Minute

// start runs a production server in a folder of its own until the test ends.
func start(t testing.TB, args ...string) *binary.Server {
	t.Helper()
	return startIn(t, filepath.Join(t.TempDir(), "data"), args...)
}

// startIn runs a server on a data folder until the test ends.
func startIn(t testing.TB, data string, args ...string) *binary.Server {
	t.Helper()
	s, err := binary.Start(binary.Config{Path: executable, Data: data, Args: args})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			t.Logf("the server said:\n%s", s.Output())
		}
	})
	return s
}

// freeAddress returns a loopback address that nobody listens on, and that, as Linux is set
// up, nobody is given who asks for any port or connects to somewhere: it is free, too,
// while a server that has it is started again.
func freeAddress(t testing.TB) string {
	t.Helper()
	const low = 10_000
	high := 32_768 // of Linux; it is higher elsewhere
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		if _, err := fmt.Sscan(string(text), &high); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	for range 100 {
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", low+rand.IntN(max(high-low, 1000)))); err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal(err)
	return ""
}

// devEnvironment is what a client of a dev server sets.
func devEnvironment(s *binary.Server) []string {
	return []string{
		"AWS_ENDPOINT_URL=" + s.URL,
		"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test",
		"AWS_REGION=" + defaultRegion, "AWS_DEFAULT_REGION=" + defaultRegion, // for some, the one; for others, the other
	}
}

// clientEnvironment is what a client of a production server sets: the two
// variables that the server prints itself. The rest keeps the tester's own
// configuration out.
func clientEnvironment(s *binary.Server) []string {
	return []string{
		"AWS_ENDPOINT_URL=" + s.URL,
		"AWS_SHARED_CREDENTIALS_FILE=" + binary.CredentialsFile(s.Data),
		"AWS_CONFIG_FILE=" + os.DevNull,
	}
}

// sdkConfig is the SDK's own default configuration with the credentials file of
// the data folder. Retries are off: the first answer is what is tested.
func sdkConfig(t testing.TB, s *binary.Server, region string) aws.Config {
	t.Helper()
	cfg, err := config.LoadDefaultConfig(t.Context(),
		config.WithSharedCredentialsFiles([]string{binary.CredentialsFile(s.Data)}),
		config.WithSharedConfigFiles([]string{}),
		config.WithBaseEndpoint(s.URL),
		config.WithRegion(region),
		config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// kmsClient returns an SDK client of a production server.
func kmsClient(t testing.TB, s *binary.Server, region string) *kms.Client {
	t.Helper()
	return kms.NewFromConfig(sdkConfig(t, s, region))
}

// devClient returns an SDK client of a dev server for one of its accounts; the
// access key id "test" is the default account.
func devClient(s *binary.Server, accessKeyID, region string) *kms.Client {
	return kms.New(kms.Options{
		Region:       region,
		BaseEndpoint: aws.String(s.URL),
		Retryer:      aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: accessKeyID, SecretAccessKey: "test"}, nil
		}),
	})
}

// createKey makes a key and returns its metadata.
func createKey(t testing.TB, c *kms.Client, in *kms.CreateKeyInput) *types.KeyMetadata {
	t.Helper()
	if in == nil {
		in = &kms.CreateKeyInput{}
	}
	out, err := c.CreateKey(t.Context(), in)
	if err != nil {
		t.Fatalf("CreateKey: %v", err)
	}
	return out.KeyMetadata
}

// encrypt makes a ciphertext.
func encrypt(t testing.TB, c *kms.Client, key string, plaintext []byte, encryptionContext map[string]string) []byte {
	t.Helper()
	out, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &key, Plaintext: plaintext, EncryptionContext: encryptionContext})
	if err != nil {
		t.Fatalf("Encrypt: %v", err)
	}
	return out.CiphertextBlob
}

// wantError fails the test unless err is AWS's error with that code and message.
// Use "*" for a message that is not established.
func wantError(t testing.TB, err error, code, message string) {
	t.Helper()
	if err == nil {
		t.Fatalf("succeeded; want %s", code)
	}
	var refusal smithy.APIError
	if !errors.As(err, &refusal) {
		t.Fatalf("got %v; want %s", err, code)
	}
	if refusal.ErrorCode() != code {
		t.Fatalf("code %s (%q), want %s", refusal.ErrorCode(), refusal.ErrorMessage(), code)
	}
	if message != "*" && refusal.ErrorMessage() != message {
		t.Fatalf("%s says\n\t%q, want\n\t%q", code, refusal.ErrorMessage(), message)
	}
}

// dev calls one of a dev server's own endpoints: reset, clock or faults.
func dev(t testing.TB, s *binary.Server, what string, body any) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/_strongroom/dev/"+what, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Strongroom-Dev", "1")
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	if resp.StatusCode/100 != 2 {
		t.Fatalf("dev/%s: %s %s", what, resp.Status, answer)
	}
}

// advance moves a dev server's clock.
func advance(t testing.TB, s *binary.Server, by string) {
	t.Helper()
	dev(t, s, "clock", map[string]string{"advance": by})
}

// program returns the path of a program that the test needs. When it is missing
// the test is skipped; in CI it fails.
func program(t testing.TB, name, howToInstall string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, fmt.Sprintf("needs %s on the PATH; install it with: %s", name, howToInstall))
	}
	return path
}

// builtProgram is program for those that Debian has not: they are looked for in
// bin/tools as well, where "make tools" puts them.
func builtProgram(t testing.TB, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	path, err := filepath.Abs(filepath.Join("..", "bin", "tools", name))
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		missing(t, fmt.Sprintf("needs %s on the PATH or in bin/tools; make tools builds it there", name))
	}
	return path
}

// missing skips the test, or fails it in CI, where nothing may be skipped.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// command runs a program with an environment on top of [binary.Environment] and
// returns its standard output and its standard error. The error is about an exit
// code other than 0.
func command(t testing.TB, env []string, name string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = binary.Environment(env...)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err = cmd.Run()
	return out.String(), errOut.String(), err
}

// record is one audit record, as "audit export" prints it.
type record struct {
	EventName, EventSource, AWSRegion string
	RequestID, EventID, EventTime     string
	SharedEventID, RecipientAccountID string
	ErrorCode, ErrorMessage           string
	ReadOnly                          bool
	UserIdentity                      struct{ Type, ARN, AccountID, AccessKeyID string }
	RequestParameters                 json.RawMessage
	ResponseElements                  json.RawMessage
	Resources                         []struct{ AccountID, Type, ARN string }
}

// export returns a server's audit trail: the records and the text as printed.
func export(t testing.TB, s *binary.Server) ([]record, string) {
	t.Helper()
	result, err := s.Audit("export")
	if err != nil {
		t.Fatal(err)
	}
	if result.Code != 0 {
		t.Fatalf("audit export ended with %d: %s", result.Code, result.Stderr)
	}
	var records []record
	for line := range strings.Lines(string(result.Stdout)) {
		var r record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("audit export: %v in %s", err, line)
		}
		records = append(records, r)
	}
	return records, string(result.Stdout)
}

// verify fails the test unless "audit verify" finds the trail whole.
func verify(t testing.TB, s *binary.Server) {
	t.Helper()
	result, err := s.Audit("verify")
	if err != nil {
		t.Fatal(err)
	}
	if result.Code != 0 {
		t.Fatalf("audit verify ended with %d: %s%s", result.Code, result.Stdout, result.Stderr)
	}
}
