package hsmtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/strongroom/strongroom/internal/hsm"
	"github.com/strongroom/strongroom/internal/hsm/cryptoki"
	"github.com/strongroom/strongroom/internal/secret"
)

// PIN is that of every token that SoftHSM makes here. No UUID can hold it: tests look
// for it where it must not be.
const PIN = "pin-of-a-test"

// helperArgument is what a test's own program is started with to be the helper.
const helperArgument = "hsm-helper-of-tests"

// Main runs a package's tests: call it in TestMain. The test's program is also the
// helper process that its slots are behind.
func Main(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == helperArgument {
		if err := hsm.ServeProcess(cryptoki.Library()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// modules are the places where distributions put SoftHSM's library.
var modules = []string{
	"/usr/lib/softhsm/libsofthsm2.so",
	"/usr/lib64/pkcs11/libsofthsm2.so",
	"/usr/local/lib/softhsm/libsofthsm2.so",
}

// SoftHSM is a folder of SoftHSM tokens, a PKCS #11 module in software. It is what
// tests have in the place of an HSM, and protects nothing.
type SoftHSM struct {
	Module string
	// Tokens is the folder with a folder for each token. A test pulls a token by
	// moving it away.
	Tokens string
	// Env is an environment in which the module finds the folder.
	Env []string
}

// MustSoftHSM makes an empty folder. Without SoftHSM the test fails in CI, and is
// skipped elsewhere.
func MustSoftHSM(t testing.TB) *SoftHSM {
	t.Helper()
	s := &SoftHSM{}
	for _, path := range modules {
		if _, err := os.Stat(path); err == nil && s.Module == "" {
			s.Module = path
		}
	}
	_, err := exec.LookPath("softhsm2-util")
	if err != nil || s.Module == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("CI needs SoftHSM: .ci/install-tools")
		}
		t.Skip("no SoftHSM here; to run this: sudo apt-get install softhsm2")
	}
	dir := t.TempDir()
	s.Tokens = filepath.Join(dir, "tokens")
	conf := filepath.Join(dir, "softhsm2.conf")
	text := fmt.Sprintf("directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n", s.Tokens)
	if err := os.Mkdir(s.Tokens, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Env = []string{"SOFTHSM2_CONF=" + conf, "PATH=" + os.Getenv("PATH")}
	return s
}

// MustToken makes a token, whose user has PIN, and returns its folder.
func (s *SoftHSM) MustToken(t testing.TB, label string) string {
	t.Helper()
	before, err := filepath.Glob(filepath.Join(s.Tokens, "*"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "so-"+PIN)
	cmd.Env = s.Env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("softhsm2-util: %v\n%s", err, out)
	}
	after, err := filepath.Glob(filepath.Join(s.Tokens, "*"))
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, path := range before {
		known[path] = true
	}
	for _, path := range after {
		if !known[path] {
			return path
		}
	}
	t.Fatal("softhsm2-util made no folder")
	return ""
}

// Config opens the token of that label behind a helper, for a package whose tests
// [Main] runs.
func (s *SoftHSM) Config(label string) hsm.Config {
	return hsm.Config{
		Module: s.Module, Token: hsm.Token{Label: label}, PIN: hsm.FixedPIN(secret.Bytes(PIN)),
		Helper: []string{os.Args[0], helperArgument}, Env: s.Env,
	}
}

// MustOpen opens the token of that label behind a helper; the test's end closes it.
func (s *SoftHSM) MustOpen(t testing.TB, label string) hsm.Slot {
	t.Helper()
	slot, err := hsm.Open(t.Context(), s.Config(label))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := slot.Close(); err != nil {
			t.Error(err)
		}
	})
	return slot
}
