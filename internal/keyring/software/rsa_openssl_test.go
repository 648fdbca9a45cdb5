//go:build strongroom_openssl

package software

import (
	"crypto/fips140"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/keyring/software/libcrypto"
)

// TestWhoseRSA: OpenSSL's, and Go's in FIPS mode.
func TestWhoseRSA(t *testing.T) {
	r, keys := asymmetric()
	for spec := range rsaFiles {
		key := keys[spec]
		parsed, err := r.private(&key, kindOf(spec))
		if err != nil {
			t.Fatal(err)
		}
		if _, isGo := parsed.(*rsaPrivate).rsaOperations.(goRSA); isGo != fips140.Enabled() {
			t.Errorf("%s by Go's library: %t, in FIPS mode: %t", spec, isGo, fips140.Enabled())
		}
	}
	library, err := Ready()
	if err != nil || strings.HasPrefix(library, "OpenSSL 3.") == fips140.Enabled() {
		t.Errorf("Ready says %q, %v; in FIPS mode: %t", library, err, fips140.Enabled())
	}
	if !fips140.Enabled() {
		again(t, "TestWhoseRSA", "GODEBUG=fips140=on")
	}
}

// TestWithoutOpenSSL: where the library cannot be loaded there is no ring, and a
// hint; in FIPS mode nobody needs it.
func TestWithoutOpenSSL(t *testing.T) {
	if os.Getenv("STRONGROOM_TEST_WITHOUT") == "" {
		// The loader takes the first file of that name, and this one is no library.
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "libcrypto.so.3"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		without := []string{"STRONGROOM_TEST_WITHOUT=1", "LD_LIBRARY_PATH=" + dir}
		again(t, "TestWithoutOpenSSL", append(without, "GODEBUG=fips140=off")...)
		again(t, "TestWithoutOpenSSL", append(without, "GODEBUG=fips140=on")...)
		return
	}
	r, err := New(Config{Domain: domainOf(t, 1)})
	if fips140.Enabled() {
		if err != nil {
			t.Fatal(err)
		}
		mustEncrypt(t, r, mustGenerate(t, r, uuidA), "x", nil)
		return
	}
	var hinter interface{ Hint() string }
	if !errors.Is(err, libcrypto.ErrMissing) || !errors.As(err, &hinter) || !strings.Contains(hinter.Hint(), "libcrypto.so.3") {
		t.Errorf("New: %v", err)
	}
}

// again runs one test of this executable in another environment.
func again(t *testing.T, name string, env ...string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(self, "-test.run", "^"+name+"$", "-test.v")
	command.Env = append(os.Environ(), env...)
	out, err := command.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+name) {
		t.Errorf("%s with %v: %v\n%s", name, env, err, out)
	}
}
