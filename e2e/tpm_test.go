package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/strongroom/strongroom/internal/seal/tpm/tpmtest"
)

// TestTPMSeal puts the root into a TPM, changes what is measured into it, takes it
// away, and goes back to a file.
func TestTPMSeal(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.Start(t)
	data := filepath.Join(t.TempDir(), "data")
	auth := passphraseFile(t, "open sesame\n")
	args := []string{"--seal", "tpm", "--seal-tpm-device", tpm.Path, "--seal-tpm-auth-file", auth}
	notStarted(t, data, "there is no TPM at "+tpm.Path+".none", nil, "--seal", "tpm", "--seal-tpm-device", tpm.Path+".none")
	notStarted(t, data, "holds no auth value", nil, append(args, "--seal-tpm-auth-file", passphraseFile(t, "\n"))...)
	notStarted(t, data, "is not the number of a PCR", nil, append(args, "--seal-tpm-pcrs", "24")...)
	if _, err := os.Stat(data); err == nil {
		t.Fatal("a refused start has made the data folder")
	}
	s := sealedServer(t, data, nil, append(args, "--seal-tpm-pcrs", "4,7")...)
	until(t, "the warning that the TPM is all there is", func() bool {
		return strings.Contains(s.Output(), "there is no recovery key: if the TPM breaks")
	})
	c := kmsClient(t, s, defaultRegion)
	ciphertext := encrypt(t, c, *createKey(t, c, &kms.CreateKeyInput{}).Arn, []byte("x"), nil)
	if out := succeeds(t, s, "seal", "status"); !strings.Contains(out, "bound to PCRs 4, 7, with an auth value") || strings.Contains(out, "PROBLEM") {
		t.Errorf("status printed\n%s", out)
	}
	shares := sharesIn(t, succeeds(t, s, "recovery", "init", "--shares", "3", "--needed", "2"), 3)
	succeeds(t, s, "seal", "rotate")
	mustStop(t, s)
	if _, err := os.Stat(filepath.Join(data, "root.key")); err == nil {
		t.Error("there is a root file beside the TPM")
	}
	notStarted(t, data, "is of the kind tpm, not file", nil)
	notStarted(t, data, "none is given", nil, args[:4]...)
	notStarted(t, data, "is not bound to PCRs 7 but to 4, 7", nil, append(args, "--seal-tpm-pcrs", "7")...)
	notStarted(t, data, "does not open the root", nil, append(args, "--seal-tpm-auth-file", passphraseFile(t, "open sesam"))...)
	notStarted(t, data, "is not the one that holds the root", nil, append(args, "--seal-tpm-device", tpmtest.Start(t).Path)...)
	succeeds(t, s, append([]string{"audit", "verify"}, args...)...)

	tpm.Extend(4)
	notStarted(t, data, "PCRs 4 have other values", nil, args...)
	tpm.Reboot()
	s = startIn(t, data, args...)
	opensAgain(t, s, ciphertext)
	tpm.Pause()
	refused(t, s, "there is no TPM at", "seal", "migrate", "--to", "tpm", "--to-tpm-device", tpm.Path+".none")
	tpm.Resume()
	tpm.Remove()
	if out := succeeds(t, s, "seal", "status"); !strings.Contains(out, "PROBLEM: there is no TPM at") {
		t.Errorf("status printed\n%s", out)
	}
	opensAgain(t, s, ciphertext)
	s.Kill()

	// The TPM is gone for good. Shares open the folder, and a file takes its place.
	notStarted(t, data, "there is no TPM at", nil, args...)
	succeeds(t, s, "recovery", "open", "--shares-file", passphraseFile(t, strings.Join(shares[1:], "\n")))
	s = startIn(t, data)
	opensAgain(t, s, ciphertext)
	next := tpmtest.Start(t)
	succeeds(t, s, "seal", "migrate", "--to", "tpm", "--to-tpm-device", next.Path, "--to-tpm-auth-file", auth)
	mustStop(t, s)
	s = sealedServer(t, data, []string{"STRONGROOM_SEAL=tpm", "STRONGROOM_SEAL_TPM_DEVICE=" + next.Path, "STRONGROOM_SEAL_TPM_AUTH_FILE=" + auth})
	opensAgain(t, s, ciphertext)
	if trail := succeeds(t, s, "audit", "tail", "-n", "1000"); strings.Contains(trail, "sesame") || strings.Contains(s.Output(), "sesame") {
		t.Error("the auth value was recorded or logged")
	}
}
