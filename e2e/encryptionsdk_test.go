package e2e

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/strongroom/strongroom/e2e/binary"
)

// TestEncryptionSDK encrypts with the AWS Encryption SDK for Go under two keys, and
// decrypts with each of them alone.
func TestEncryptionSDK(t *testing.T) {
	t.Parallel()
	path := filepath.Join(builds, "encryptionsdk")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, ".")
	build.Dir = "encryptionsdk"
	build.Env = binary.Environment("GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build in e2e/encryptionsdk: %v\n%s", err, out)
	}
	s := start(t)
	c := kmsClient(t, s, defaultRegion)
	first, second := createKey(t, c, nil), createKey(t, c, nil)
	run := func(input []byte, args ...string) ([]byte, string, error) {
		var stdout, stderr bytes.Buffer
		cmd := exec.CommandContext(t.Context(), path, args...)
		cmd.Env = binary.Environment(append(clientEnvironment(s), "AWS_REGION="+defaultRegion, "AWS_EC2_METADATA_DISABLED=true")...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &stdout, &stderr
		err := cmd.Run()
		return stdout.Bytes(), stderr.String(), err
	}
	plain := bytes.Repeat([]byte("attack at dawn. "), 1000) // several frames
	sealed, stderr, err := run(plain, "encrypt", *first.Arn+","+*second.Arn, "team=a", "purpose=tour")
	if err != nil || bytes.Contains(sealed, plain[:16]) {
		t.Fatalf("encrypt: %v, %s", err, stderr)
	}
	for _, key := range []string{*first.Arn, *second.Arn} {
		opened, stderr, err := run(sealed, "decrypt", key, "purpose=tour", "team=a")
		if err != nil || !bytes.Equal(opened, plain) {
			t.Errorf("decrypt with %s: %v, %s", key, err, stderr)
		}
	}
	if _, _, err := run(sealed, "decrypt", *first.Arn, "team=b"); err == nil {
		t.Error("another encryption context decrypts it")
	}
	third := createKey(t, c, nil)
	if _, _, err := run(sealed, "decrypt", *third.Arn); err == nil {
		t.Error("another key decrypts it")
	}
	if _, err := c.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: second.KeyId}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := run(sealed, "decrypt", *second.Arn); err == nil {
		t.Error("a disabled key decrypts it")
	}
}
