package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/strongroom/strongroom/e2e/binary"
	"github.com/strongroom/strongroom/internal/hsm"
	"github.com/strongroom/strongroom/internal/hsm/hsmtest"
)

// rootToken is an HSM's token, as a command line names it.
type rootToken struct {
	soft    *hsmtest.SoftHSM
	folder  string
	pinFile string
	label   string
}

func newToken(t testing.TB, soft *hsmtest.SoftHSM, label string) rootToken {
	t.Helper()
	return rootToken{soft: soft, folder: soft.MustToken(t, label), pinFile: passphraseFile(t, hsmtest.PIN+"\n"), label: label}
}

// seal are the flags of a server whose root is in the token.
func (k rootToken) seal() []string {
	return []string{"--seal", "pkcs11", "--seal-pkcs11-module", k.soft.Module, "--seal-pkcs11-token", k.label, "--seal-pkcs11-pin-file", k.pinFile}
}

func (k rootToken) migrate() []string {
	return []string{"seal", "migrate", "--to", "pkcs11", "--to-pkcs11-module", k.soft.Module, "--to-pkcs11-token", k.label, "--to-pkcs11-pin-file", k.pinFile}
}

// commands are those that load the module themselves, and so need its environment.
type commands struct{ soft *hsmtest.SoftHSM }

func (c commands) succeeds(t testing.TB, args ...string) string {
	t.Helper()
	result := c.run(t, args...)
	if result.Code != 0 {
		t.Fatalf("strongroom %s: %d\n%s", strings.Join(args, " "), result.Code, result.Stderr)
	}
	return string(result.Stdout)
}

func (c commands) refused(t testing.TB, text string, args ...string) {
	t.Helper()
	result := c.run(t, args...)
	if result.Code != 1 || !strings.Contains(string(result.Stderr), text) {
		t.Errorf("strongroom %s: %d %s%s; want %q", strings.Join(args, " "), result.Code, result.Stdout, result.Stderr, text)
	}
}

func (c commands) run(t testing.TB, args ...string) *binary.Result {
	t.Helper()
	result, err := binary.RunWith(executable, c.soft.Env, args...)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestProbe(t *testing.T) {
	t.Parallel()
	soft := hsmtest.MustSoftHSM(t)
	k := newToken(t, soft, "kms")
	c := commands{soft}
	probe := []string{"hsm", "probe", "--module", soft.Module}
	if out := c.succeeds(t, probe...); !strings.Contains(out, `"kms", serial number`) || !strings.Contains(out, "To look at one closely") {
		t.Errorf("printed\n%s", out)
	}
	probe = append(probe, "--token-label", "kms")
	if out := c.succeeds(t, probe...); !strings.Contains(out, "CKM_AES_GCM") || !strings.Contains(out, "without a PIN") {
		t.Errorf("printed\n%s", out)
	}
	out := c.succeeds(t, append(probe, "--pin-file", k.pinFile, "--json")...)
	var report hsm.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil || !report.Usable() || report.Token == nil || len(report.Checks) < 6 {
		t.Errorf("%v of\n%s", err, out)
	}
	for _, check := range report.Checks {
		if check.Result != hsm.CheckGood {
			t.Errorf("%+v", check)
		}
	}
	if strings.Contains(out, hsmtest.PIN) {
		t.Error("the PIN is printed")
	}
	c.refused(t, "cannot keep keys in this token", append(probe, "--pin-file", passphraseFile(t, "0000"))...)
	c.refused(t, "no such token", "hsm", "probe", "--module", soft.Module, "--token-label", "none")
	c.refused(t, "cannot be loaded", "hsm", "probe", "--module", "/etc/passwd")
	c.refused(t, "of no use without a token", "hsm", "probe", "--module", soft.Module, "--pin-file", k.pinFile)
	c.refused(t, "not by hand", "hsm", "helper")
}

// TestSealInHSM: refusals that create nothing, a start, and the same root again.
func TestSealInHSM(t *testing.T) {
	t.Parallel()
	soft := hsmtest.MustSoftHSM(t)
	k, other := newToken(t, soft, "kms"), newToken(t, soft, "other")
	data := filepath.Join(t.TempDir(), "data")
	wrong := k
	wrong.pinFile = passphraseFile(t, "0000")
	missing := k
	missing.label = "none"
	notStarted(t, data, "is not named", soft.Env, "--seal", "pkcs11")
	notStarted(t, data, "is not named", soft.Env, "--seal", "pkcs11", "--seal-pkcs11-module", soft.Module)
	notStarted(t, data, "refuses the PIN", soft.Env, wrong.seal()...)
	notStarted(t, data, "there is no such token", soft.Env, missing.seal()...)
	notStarted(t, data, "cannot be loaded", soft.Env, append(k.seal(), "--seal-pkcs11-module", "/etc/passwd")...)
	if _, err := os.Stat(data); err == nil {
		t.Fatal("a refused start has made the data folder")
	}
	s := sealedServer(t, data, soft.Env, k.seal()...)
	c := kmsClient(t, s, defaultRegion)
	ciphertext := encrypt(t, c, *createKey(t, c, &kms.CreateKeyInput{}).Arn, []byte("x"), nil)
	if _, err := os.Stat(filepath.Join(data, "root.key")); err == nil {
		t.Error("there is a root file beside the HSM")
	}
	if out := succeeds(t, s, "seal", "status"); !strings.Contains(out, "root pkcs11:") || !strings.Contains(out, `in the token labelled "kms"`) {
		t.Errorf("status printed\n%s", out)
	}
	mustStop(t, s)

	notStarted(t, data, "is of the kind pkcs11, not file", nil)
	notStarted(t, data, "refuses the PIN", soft.Env, wrong.seal()...)
	notStarted(t, data, "does not hold the root of this deployment", soft.Env, other.seal()...)
	away := filepath.Join(t.TempDir(), "away")
	if err := os.Rename(k.folder, away); err != nil {
		t.Fatal(err)
	}
	notStarted(t, data, "there is no such token", soft.Env, k.seal()...)
	if err := os.Rename(away, k.folder); err != nil {
		t.Fatal(err)
	}
	s = sealedServer(t, data, soft.Env, k.seal()...)
	opensAgain(t, s, ciphertext)
	if strings.Contains(s.Output(), hsmtest.PIN) {
		t.Error("the PIN is logged")
	}
}

// TestSealMovesIntoAnHSMAndBack: file, HSM, file, with rotations, while serving.
func TestSealMovesIntoAnHSMAndBack(t *testing.T) {
	t.Parallel()
	soft := hsmtest.MustSoftHSM(t)
	k := newToken(t, soft, "kms")
	data := filepath.Join(t.TempDir(), "data")
	s := sealedServer(t, data, soft.Env)
	c := kmsClient(t, s, defaultRegion)
	first := encrypt(t, c, *createKey(t, c, &kms.CreateKeyInput{}).Arn, []byte("x"), nil)
	wrong := k
	wrong.pinFile = passphraseFile(t, "0000")
	refused(t, s, "refuses the PIN", wrong.migrate()...)
	opensAgain(t, s, first)
	succeeds(t, s, k.migrate()...)
	succeeds(t, s, "seal", "rotate")
	second := encrypt(t, c, *createKey(t, c, &kms.CreateKeyInput{}).Arn, []byte("x"), nil)
	mustStop(t, s)
	if err := os.Remove(filepath.Join(data, "root.key")); err != nil {
		t.Fatal(err)
	}
	stopped := commands{soft}
	stopped.succeeds(t, append([]string{"seal", "rotate", "--data", data}, k.seal()...)...)
	s = sealedServer(t, data, soft.Env, k.seal()...)
	opensAgain(t, s, first)
	opensAgain(t, s, second)
	succeeds(t, s, "seal", "migrate", "--to", "file")
	mustStop(t, s)
	s = sealedServer(t, data, nil)
	opensAgain(t, s, first)
	opensAgain(t, s, second)
	succeeds(t, s, "audit", "verify")
	trail := succeeds(t, s, "audit", "search", "--operation", "MigrateSeal", "--error", "none")
	if n := strings.Count(trail, "MigrateSeal"); n != 2 || !strings.Contains(trail, soft.Module) || strings.Contains(trail, hsmtest.PIN) {
		t.Errorf("%d migrations are recorded:\n%s", n, trail)
	}
}

// TestHSMIsLost: the token with the root is destroyed, and shares open the
// deployment.
func TestHSMIsLost(t *testing.T) {
	t.Parallel()
	soft := hsmtest.MustSoftHSM(t)
	k := newToken(t, soft, "kms")
	data := filepath.Join(t.TempDir(), "data")
	s := sealedServer(t, data, soft.Env, k.seal()...)
	c := kmsClient(t, s, defaultRegion)
	ciphertext := encrypt(t, c, *createKey(t, c, &kms.CreateKeyInput{}).Arn, []byte("x"), nil)
	shares := sharesIn(t, succeeds(t, s, "recovery", "init", "--shares", "3", "--needed", "2"), 3)
	succeeds(t, s, "seal", "rotate")
	if err := os.RemoveAll(k.folder); err != nil {
		t.Fatal(err)
	}
	opensAgain(t, s, ciphertext) // a server that runs goes on
	refused(t, s, "Nothing was changed.", "seal", "rotate")
	opensAgain(t, s, ciphertext)
	mustStop(t, s)
	notStarted(t, data, "there is no such token", soft.Env, k.seal()...)

	file := passphraseFile(t, strings.Join(shares[1:], "\n")+"\n")
	next := newToken(t, soft, "next")
	stopped := commands{soft}
	stopped.refused(t, "there is no such token", append([]string{"recovery", "open", "--data", data, "--shares-file", file}, k.seal()...)...)
	stopped.succeeds(t, append([]string{"recovery", "open", "--data", data, "--shares-file", file}, next.seal()...)...)
	opensAgain(t, sealedServer(t, data, soft.Env, next.seal()...), ciphertext)
}
