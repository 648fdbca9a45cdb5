package e2e

import (
	"os"
	"strings"
	"testing"
)

// TestSops encrypts a file to a KMS key, with an encryption context, as the role
// that alone may use the key so.
func TestSops(t *testing.T) {
	t.Parallel()
	sops := builtProgram(t, "sops")
	s := start(t)
	p := newProfiles(t, s)
	const secret = "database:\n    user: app\n    password: hunter2\n"
	plain := p.admin.file("secret.yaml", []byte(secret))
	run := func(profile string, args ...string) (string, string, error) {
		return command(t, append(p.environment(s, profile), "HOME="+p.admin.dir, "AWS_EC2_METADATA_DISABLED=true", "AWS_ENDPOINT_URL_STS="+s.URL), sops, args...)
	}
	encrypted := func(profile, key string) string {
		t.Helper()
		stdout, stderr, err := run(profile, "encrypt", "--kms", key, "--encryption-context", "team:a", plain)
		if err != nil || strings.Contains(stdout, "hunter2") || !strings.Contains(stdout, "arn: "+p.key) {
			t.Fatalf("sops encrypt: %v, %s\n%s", err, stderr, stdout)
		}
		return p.admin.file(profile+".enc.yaml", []byte(stdout))
	}

	// A profile that has the role already.
	file := encrypted("worker", p.key)
	stdout, stderr, err := run("worker", "decrypt", file)
	if err != nil || stdout != secret {
		t.Errorf("sops decrypt: %v, %s\n%s", err, stderr, stdout)
	}
	// The user herself has no right to the key.
	if stdout, stderr, err = run("alice", "decrypt", file); err == nil || !strings.Contains(stderr, "AccessDeniedException") {
		t.Errorf("alice decrypts it: %v, %s\n%s", err, stderr, stdout)
	}
	// Another context is another ciphertext.
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	other := p.admin.file("other.enc.yaml", []byte(strings.Replace(string(text), "team: a", "team: b", 1)))
	if stdout, _, err = run("worker", "decrypt", other); err == nil {
		t.Errorf("another context decrypts it:\n%s", stdout)
	}

	// sops assumes the role by itself when the file names it. Its role asks for no
	// external id, which sops has none of.
	p.admin.run("iam", "update-assume-role-policy", "--role-name", "worker", "--policy-document",
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::`+defaultAccount+`:user/alice"},"Action":"sts:AssumeRole"}}`)
	file = encrypted("alice", p.key+"+"+p.role)
	if stdout, stderr, err = run("alice", "decrypt", file); err != nil || stdout != secret {
		t.Errorf("sops decrypt by role: %v, %s\n%s", err, stderr, stdout)
	}
}
