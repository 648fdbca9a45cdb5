package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/strongroom/strongroom/e2e/binary"
)

// sealedServer starts a server whose root is where the flags say.
func sealedServer(t testing.TB, data string, env []string, args ...string) *binary.Server {
	t.Helper()
	s, err := binary.Start(binary.Config{Path: executable, Data: data, Args: args, Env: env})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// notStarted starts a server that must refuse with that text.
func notStarted(t testing.TB, data, text string, env []string, args ...string) {
	t.Helper()
	s, err := binary.Start(binary.Config{Path: executable, Data: data, Args: args, Env: env})
	if err == nil {
		_ = s.Stop()
		t.Fatalf("serve %s starts; want %q", strings.Join(args, " "), text)
	}
	if !strings.Contains(err.Error(), text) {
		t.Errorf("serve %s: %v; want %q", strings.Join(args, " "), err, text)
	}
}

func mustStop(t testing.TB, s *binary.Server) {
	t.Helper()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
}

// opensAgain checks that what was encrypted before still opens.
func opensAgain(t testing.TB, s *binary.Server, ciphertext []byte) {
	t.Helper()
	out, err := kmsClient(t, s, defaultRegion).Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: ciphertext})
	if err != nil || string(out.Plaintext) != "x" {
		t.Fatalf("Decrypt: %v", err)
	}
}

func passphraseFile(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "passphrase")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const passphrase = "correct horse battery staple"

func TestPassphraseSeal(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	good := passphraseFile(t, passphrase+"\n")
	notStarted(t, data, "no terminal to ask", nil, "--seal", "passphrase")
	notStarted(t, data, "too short", nil, "--seal", "passphrase", "--seal-passphrase-file", passphraseFile(t, "short"))
	notStarted(t, data, "unknown flag", nil, "--seal", "passphrase", "--seal-passphrase", passphrase)
	if _, err := os.Stat(data); err == nil {
		t.Fatal("a refused start has made the data folder")
	}
	s := sealedServer(t, data, nil, "--seal", "passphrase", "--seal-passphrase-file", good)
	c := kmsClient(t, s, defaultRegion)
	ciphertext := encrypt(t, c, *createKey(t, c, &kms.CreateKeyInput{}).Arn, []byte("x"), nil)
	if _, err := os.Stat(filepath.Join(data, "root.key")); err == nil {
		t.Error("there is a root file beside the passphrase")
	}
	mustStop(t, s)

	notStarted(t, data, "is of the kind passphrase, not file", nil)
	notStarted(t, data, "does not open this deployment", nil, "--seal", "passphrase", "--seal-passphrase-file", passphraseFile(t, passphrase+"!"))
	open := passphraseFile(t, passphrase)
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	notStarted(t, data, "every user of this machine", nil, "--seal", "passphrase", "--seal-passphrase-file", open)
	if _, err := os.Stat(filepath.Join(data, "root.key")); err == nil {
		t.Error("a refused start has made a root")
	}
	refused(t, s, "is of the kind passphrase, not file", "account", "list")
	succeeds(t, s, "account", "list", "--seal", "passphrase", "--seal-passphrase-file", good)
	succeeds(t, s, "audit", "verify", "--seal", "passphrase", "--seal-passphrase-file", good)
	opensAgain(t, sealedServer(t, data, []string{"STRONGROOM_SEAL=passphrase", "STRONGROOM_SEAL_PASSPHRASE=" + passphrase}), ciphertext)
}

// otherKMS is a server that holds the roots of others, with the settings that name
// its key.
func otherKMS(t testing.TB) (c *kms.Client, key string, env, args []string) {
	t.Helper()
	other := startIn(t, filepath.Join(t.TempDir(), "other"))
	c = kmsClient(t, other, defaultRegion)
	key = *createKey(t, c, &kms.CreateKeyInput{}).Arn
	return c, key, []string{"AWS_SHARED_CREDENTIALS_FILE=" + binary.CredentialsFile(other.Data), "AWS_EC2_METADATA_DISABLED=true"},
		[]string{"--seal", "aws-kms", "--seal-kms-key", key, "--seal-kms-endpoint", other.URL}
}

func TestSealOfAnotherKMS(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	c, key, env, args := otherKMS(t)
	notStarted(t, data, "the key that holds the root is not named", env, "--seal", "aws-kms")
	notStarted(t, data, "NotFoundException", env, append(args, "--seal-kms-key", "alias/none")...)
	notStarted(t, data, "cannot be used with the key", env, append(args, "--seal-kms-endpoint", "http://127.0.0.1:1")...)
	if _, err := os.Stat(data); err == nil {
		t.Fatal("a refused start has made the data folder")
	}
	s := sealedServer(t, data, env, args...)
	mine := kmsClient(t, s, defaultRegion)
	ciphertext := encrypt(t, mine, *createKey(t, mine, &kms.CreateKeyInput{}).Arn, []byte("x"), nil)
	mustStop(t, s)

	second := createKey(t, c, &kms.CreateKeyInput{})
	notStarted(t, data, "is not the root of this deployment, which is "+key, env, append(args, "--seal-kms-key", *second.Arn)...)
	if _, err := c.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: &key}); err != nil {
		t.Fatal(err)
	}
	notStarted(t, data, "DisabledException", env, args...)
	if _, err := c.EnableKey(t.Context(), &kms.EnableKeyInput{KeyId: &key}); err != nil {
		t.Fatal(err)
	}
	opensAgain(t, sealedServer(t, data, env, args...), ciphertext)
}

// TestSealIsChangedWhileServing rotates and migrates under a running server, and
// kills it.
func TestSealIsChangedWhileServing(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	s := startIn(t, data)
	c := kmsClient(t, s, defaultRegion)
	key := *createKey(t, c, &kms.CreateKeyInput{}).Arn
	first := encrypt(t, c, key, []byte("x"), nil)
	if out := succeeds(t, s, "seal", "status"); !strings.Contains(out, "domain key version 1\n") || !strings.Contains(out, "(the file "+filepath.Join(data, "root.key")+")") {
		t.Errorf("status printed\n%s", out)
	}
	if out := succeeds(t, s, "seal", "rotate"); !strings.Contains(out, "version 2 now") {
		t.Errorf("rotate printed\n%s", out)
	}
	opensAgain(t, s, first)
	later := *createKey(t, c, &kms.CreateKeyInput{}).Arn
	second := encrypt(t, c, later, []byte("x"), nil)
	refused(t, s, "no terminal to ask", "seal", "migrate", "--to", "passphrase")
	refused(t, s, "too short", "seal", "migrate", "--to", "passphrase", "--to-passphrase-file", passphraseFile(t, "short"))
	good := passphraseFile(t, passphrase)
	succeeds(t, s, "seal", "migrate", "--to", "passphrase", "--to-passphrase-file", good)
	opensAgain(t, s, first)
	s.Kill()

	if err := os.Remove(filepath.Join(data, "root.key")); err != nil {
		t.Fatal(err)
	}
	args := []string{"--seal", "passphrase", "--seal-passphrase-file", good}
	notStarted(t, data, "is of the kind passphrase, not file", nil)
	if out := succeeds(t, s, append([]string{"seal", "rotate"}, args...)...); !strings.Contains(out, "version 3 now") {
		t.Errorf("rotate on a stopped server printed\n%s", out)
	}
	_, remote, env, remoteArgs := otherKMS(t)
	s = startIn(t, data, args...)
	opensAgain(t, s, first)
	opensAgain(t, s, second)
	mustStop(t, s)
	s = sealedServer(t, data, env, args...)
	succeeds(t, s, "seal", "migrate", "--to", "aws-kms", "--to-kms-key", remote, "--to-kms-endpoint", remoteArgs[len(remoteArgs)-1])
	mustStop(t, s)
	s = sealedServer(t, data, env, remoteArgs...)
	opensAgain(t, s, first)
	opensAgain(t, s, second)
	succeeds(t, s, "seal", "migrate", "--to", "file")
	mustStop(t, s)
	s = startIn(t, data)
	opensAgain(t, s, first)
	succeeds(t, s, "audit", "verify")
	trail := succeeds(t, s, "audit", "search", "--operation", "MigrateSeal", "--error", "none")
	if n := strings.Count(trail, "MigrateSeal"); n != 3 || strings.Contains(trail, passphrase) {
		t.Errorf("%d migrations are recorded:\n%s", n, trail)
	}
	if n := strings.Count(succeeds(t, s, "audit", "search", "--operation", "RotateDomainKey"), "RotateDomainKey"); n != 2 {
		t.Errorf("%d rotations are recorded", n)
	}
}

// TestRecoveryDrill loses the root, also after a rotation that nobody attended, and
// opens the folder with shares.
func TestRecoveryDrill(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	s := startIn(t, data)
	c := kmsClient(t, s, defaultRegion)
	first := encrypt(t, c, *createKey(t, c, &kms.CreateKeyInput{}).Arn, []byte("x"), nil)
	refused(t, s, "there is no set of 3 shares of which 1 are needed", "recovery", "init", "--shares", "3", "--needed", "1")
	replaced := sharesIn(t, succeeds(t, s, "recovery", "init", "--shares", "3", "--needed", "2"), 3)
	refused(t, s, "there is a recovery key already", "recovery", "init")
	shares := sharesIn(t, succeeds(t, s, "recovery", "init", "--shares", "4", "--needed", "2", "--replace"), 4)
	succeeds(t, s, "seal", "rotate")
	second := encrypt(t, c, *createKey(t, c, &kms.CreateKeyInput{}).Arn, []byte("x"), nil)
	if out := succeeds(t, s, "seal", "status"); !strings.Contains(out, "any 2 of 4 shares") || !strings.Contains(out, "root recovery:") {
		t.Errorf("status printed\n%s", out)
	}
	file := func(lines ...string) string { return passphraseFile(t, "# shares\n\n"+strings.Join(lines, "\n")+"\n") }
	if out := succeeds(t, s, "recovery", "verify", "--shares-file", file(shares[3], shares[0])); !strings.Contains(out, "in all 2 versions") {
		t.Errorf("verify printed %s", out)
	}
	refused(t, s, "1 shares are too few", "recovery", "verify", "--shares-file", file(shares[0]))
	refused(t, s, "is of set", "recovery", "verify", "--shares-file", file(replaced...))
	refused(t, s, "a server runs on", "recovery", "open", "--shares-file", file(shares...))
	mustStop(t, s)

	root := filepath.Join(data, "root.key")
	if err := os.Remove(root); err != nil {
		t.Fatal(err)
	}
	notStarted(t, data, "the root of this deployment is missing", nil)
	succeeds(t, s, "recovery", "verify", "--shares-file", file(shares[1:3]...))
	refused(t, s, "share 2 cannot be used", "recovery", "open", "--shares-file", file(shares[0], strings.ToLower(shares[1])[:98]))
	refused(t, s, "is of set", "recovery", "open", "--shares-file", file(replaced...))
	refused(t, s, "too few", "recovery", "open", "--shares-file", file(shares[2]))
	if _, err := os.Stat(root); err == nil {
		t.Error("a refused recovery has made a root")
	}
	succeeds(t, s, "recovery", "open", "--shares-file", file(shares[2]), "--shares-file", file(strings.ToLower(shares[1])))
	s = startIn(t, data)
	opensAgain(t, s, first)
	opensAgain(t, s, second)

	// The shares go on: another root is lost, and one of another kind comes.
	succeeds(t, s, "seal", "rotate")
	mustStop(t, s)
	refused(t, s, "there is a root in", "recovery", "open", "--shares-file", file(shares...))
	good := passphraseFile(t, passphrase)
	succeeds(t, s, "recovery", "open", "--seal", "passphrase", "--seal-passphrase-file", good, "--shares-file", file(shares...))
	notStarted(t, data, "is of the kind passphrase, not file", nil)
	s = startIn(t, data, "--seal", "passphrase", "--seal-passphrase-file", good)
	opensAgain(t, s, first)
	opensAgain(t, s, second)
	trail := succeeds(t, s, "audit", "tail", "-n", "1000")
	for _, share := range append(shares, replaced...) {
		if strings.Contains(trail, share) || strings.Contains(s.Output(), share) {
			t.Error("a share was recorded or logged")
		}
	}
	for event, n := range map[string]int{"InitRecovery": 4, "VerifyRecovery": 4, "RecoverSeal": 3} {
		if got := strings.Count(trail, `"`+event+`"`); got != n {
			t.Errorf("%d records of %s, want %d", got, event, n)
		}
	}
}

// sharesIn are the shares that recovery init has printed.
func sharesIn(t testing.TB, out string, n int) (shares []string) {
	t.Helper()
	for line := range strings.Lines(out) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			shares = append(shares, line)
		}
	}
	if len(shares) != n {
		t.Fatalf("%d shares were printed, want %d", len(shares), n)
	}
	return shares
}
