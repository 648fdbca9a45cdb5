package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/strongroom/strongroom/e2e/binary"
)

// sshKey makes a key with ssh-keygen, and returns its file.
func sshKey(t testing.TB, kind string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "id")
	if out, err := exec.Command(program(t, "ssh-keygen", "sudo apt-get install openssh-client"), "-q", "-t", kind, "-N", "", "-C", "somebody", "-f", path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

// approved has operators sign the one request that waits, as its refusal says.
func approved(t testing.TB, s *binary.Server, keys ...string) {
	t.Helper()
	var requests []struct{ ID string }
	if err := json.Unmarshal([]byte(succeeds(t, s, "approval", "list", "--json")), &requests); err != nil || len(requests) != 1 {
		t.Fatalf("%v, %v", requests, err)
	}
	text := filepath.Join(t.TempDir(), "request.txt")
	if err := os.WriteFile(text, []byte(succeeds(t, s, "approval", "show", requests[0].ID)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		_ = os.Remove(text + ".sig") // of the one before; ssh-keygen would ask
		if out, err := exec.Command("ssh-keygen", "-q", "-Y", "sign", "-n", "strongroom", "-f", key, text).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		succeeds(t, s, "approval", "add", requests[0].ID, "--signature", text+".sig")
	}
}

// TestTwoPeople has two operators sign with ssh-keygen what one may not do alone.
func TestTwoPeople(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	s := startIn(t, data)
	alice, bob := sshKey(t, "ed25519"), sshKey(t, "ecdsa")
	if out := succeeds(t, s, "two-people", "status"); !strings.Contains(out, "There is no two-person rule") {
		t.Errorf("status printed %s", out)
	}
	on := []string{"two-people", "on", "--operator", "alice=" + alice + ".pub", "--operator", "bob=" + bob + ".pub"}
	refused(t, s, "looks like ssh-ed25519", append(on, "--operator", "carol="+alice)...) // the private half
	refused(t, s, "two people must approve this first", on...)
	approved(t, s, alice, bob)
	if out := succeeds(t, s, on...); !strings.Contains(out, "Two people are needed for: deletion, restore, root") {
		t.Errorf("on printed %s", out)
	}

	c := kmsClient(t, s, defaultRegion)
	key := *createKey(t, c, nil).Arn
	ciphertext := encrypt(t, c, key, []byte("x"), nil)
	good := passphraseFile(t, passphrase)
	migrate := []string{"seal", "migrate", "--to", "passphrase", "--to-passphrase-file", good}
	refused(t, s, "ssh-keygen -Y sign -n strongroom", migrate...)
	approved(t, s, bob)
	refused(t, s, "and bob has approved", migrate...)
	approved(t, s, alice)
	refused(t, s, "two people must approve this first", "seal", "migrate", "--to", "passphrase", "--to-passphrase-file", passphraseFile(t, passphrase+"!"))
	succeeds(t, s, migrate...)
	refused(t, s, "two people must approve this first", "recovery", "init")
	refused(t, s, "two people must approve this first", "two-people", "off")

	doomed := *createKey(t, c, nil).Arn
	wait := func(days *int32) error {
		_, err := c.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: &doomed, PendingWindowInDays: days})
		return err
	}
	if err := wait(aws.Int32(7)); err == nil || !strings.Contains(err.Error(), "AccessDeniedException: This deployment asks two of its operators") {
		t.Errorf("%v", err)
	}
	if err := wait(nil); err != nil {
		t.Fatal(err)
	}
	for _, request := range strings.Split(strings.TrimSpace(succeeds(t, s, "approval", "list")), "\n") {
		succeeds(t, s, "approval", "withdraw", strings.Fields(request)[0])
	}
	shorten := []string{"key", "shorten-deletion", doomed}
	refused(t, s, "there is no key", "key", "shorten-deletion", doomed+"0")
	refused(t, s, "two people must approve this first", shorten...)
	approved(t, s, alice, bob)
	succeeds(t, s, shorten...)
	refused(t, s, "cannot be made that", append(shorten, "--days", "8")...)
	mustStop(t, s)

	args := []string{"--seal", "passphrase", "--seal-passphrase-file", good}
	refused(t, s, "two people must approve this first", append([]string{"seal", "migrate", "--to", "file"}, args...)...)
	s = startIn(t, data, args...)
	opensAgain(t, s, ciphertext)
}
