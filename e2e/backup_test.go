package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/strongroom/strongroom/e2e/binary"
)

// strongroom runs the command line.
func strongroom(t testing.TB, args ...string) *binary.Result {
	t.Helper()
	result, err := binary.Run(executable, args...)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// mustRun fails the test when a command does not end with 0.
func mustRun(t testing.TB, args ...string) string {
	t.Helper()
	result := strongroom(t, args...)
	if result.Code != 0 {
		t.Fatalf("strongroom %s ended with %d: %s", strings.Join(args, " "), result.Code, result.Stderr)
	}
	return string(result.Stdout)
}

// proof is something that a key has made and must still open.
type proof struct {
	key, region string
	// Of the following, one is set.
	ciphertext, rsa, mac, signature []byte
}

var proofText = []byte("to be kept for ever")

// makers make a key of one kind, and something with it.
var makers = []func(t testing.TB, c *kms.Client) (proof, error){
	func(t testing.TB, c *kms.Client) (proof, error) { return makeSymmetric(t, c, &kms.CreateKeyInput{}) },
	func(t testing.TB, c *kms.Client) (proof, error) {
		return makeSymmetric(t, c, &kms.CreateKeyInput{MultiRegion: aws.Bool(true)})
	},
	func(t testing.TB, c *kms.Client) (p proof, err error) {
		if p.key, err = newProofKey(t, c, &kms.CreateKeyInput{KeySpec: types.KeySpecRsa2048, KeyUsage: types.KeyUsageTypeEncryptDecrypt}); err != nil {
			return p, err
		}
		out, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &p.key, Plaintext: proofText, EncryptionAlgorithm: types.EncryptionAlgorithmSpecRsaesOaepSha256})
		if err == nil {
			p.rsa = out.CiphertextBlob
		}
		return p, err
	},
	func(t testing.TB, c *kms.Client) (p proof, err error) {
		if p.key, err = newProofKey(t, c, &kms.CreateKeyInput{KeySpec: types.KeySpecHmac256, KeyUsage: types.KeyUsageTypeGenerateVerifyMac}); err != nil {
			return p, err
		}
		out, err := c.GenerateMac(t.Context(), &kms.GenerateMacInput{KeyId: &p.key, Message: proofText, MacAlgorithm: types.MacAlgorithmSpecHmacSha256})
		if err == nil {
			p.mac = out.Mac
		}
		return p, err
	},
	func(t testing.TB, c *kms.Client) (p proof, err error) {
		if p.key, err = newProofKey(t, c, &kms.CreateKeyInput{KeySpec: types.KeySpecEccNistP256, KeyUsage: types.KeyUsageTypeSignVerify}); err != nil {
			return p, err
		}
		out, err := c.Sign(t.Context(), &kms.SignInput{KeyId: &p.key, Message: proofText, SigningAlgorithm: types.SigningAlgorithmSpecEcdsaSha256})
		if err == nil {
			p.signature = out.Signature
		}
		return p, err
	},
}

func newProofKey(t testing.TB, c *kms.Client, in *kms.CreateKeyInput) (string, error) {
	out, err := c.CreateKey(t.Context(), in)
	if err != nil {
		return "", err
	}
	return *out.KeyMetadata.KeyId, nil
}

func makeSymmetric(t testing.TB, c *kms.Client, in *kms.CreateKeyInput) (p proof, err error) {
	if p.key, err = newProofKey(t, c, in); err != nil {
		return p, err
	}
	out, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &p.key, Plaintext: proofText})
	if err == nil {
		p.ciphertext = out.CiphertextBlob
	}
	return p, err
}

// makeProofs makes keys of several kinds, n more symmetric ones among them.
func makeProofs(t testing.TB, s *binary.Server, n int) []proof {
	t.Helper()
	var proofs []proof
	add := func(region string, make func(testing.TB, *kms.Client) (proof, error)) {
		t.Helper()
		p, err := make(t, kmsClient(t, s, region))
		if err != nil {
			t.Fatal(err)
		}
		p.region = region
		proofs = append(proofs, p)
	}
	for i := range n {
		add([]string{defaultRegion, secondRegion}[i%2], makers[0])
	}
	for _, make := range makers[1:] {
		add(defaultRegion, make)
	}
	return proofs
}

// check uses the key on what it made.
func (p proof) check(t testing.TB, s *binary.Server) error {
	c := kmsClient(t, s, p.region)
	var err error
	var opened []byte
	switch {
	case p.mac != nil:
		_, err = c.VerifyMac(t.Context(), &kms.VerifyMacInput{KeyId: &p.key, Message: proofText, Mac: p.mac, MacAlgorithm: types.MacAlgorithmSpecHmacSha256})
		return err
	case p.signature != nil:
		_, err = c.Verify(t.Context(), &kms.VerifyInput{KeyId: &p.key, Message: proofText, Signature: p.signature, SigningAlgorithm: types.SigningAlgorithmSpecEcdsaSha256})
		return err
	case p.rsa != nil:
		out, err := c.Decrypt(t.Context(), &kms.DecryptInput{KeyId: &p.key, CiphertextBlob: p.rsa, EncryptionAlgorithm: types.EncryptionAlgorithmSpecRsaesOaepSha256})
		if err != nil {
			return err
		}
		opened = out.Plaintext
	default:
		out, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: p.ciphertext})
		if err != nil {
			return err
		}
		opened = out.Plaintext
	}
	if !bytes.Equal(opened, proofText) {
		return fmt.Errorf("key %s opened something else", p.key)
	}
	return nil
}

// startRestored serves a restored folder, with the credentials of the one that it
// was backed up from: they are never in a backup.
func startRestored(t testing.TB, from *binary.Server, data string) *binary.Server {
	t.Helper()
	text, err := os.ReadFile(binary.CredentialsFile(from.Data))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(binary.CredentialsFile(data)); err == nil {
		t.Fatal("the backup holds credentials")
	}
	if err := os.WriteFile(binary.CredentialsFile(data), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return startIn(t, data, "--regions", defaultRegion+","+secondRegion)
}

// TestRestores makes a backup of a server that is in use and restores it again and
// again, each time into an empty folder: every key must open what it made. Set
// STRONGROOM_RESTORES for more than the usual few.
func TestRestores(t *testing.T) {
	times := 2
	if text := os.Getenv("STRONGROOM_RESTORES"); text != "" {
		var err error
		if times, err = strconv.Atoi(text); err != nil {
			t.Fatalf("STRONGROOM_RESTORES: %v", err)
		}
	}
	s := start(t, "--regions", defaultRegion+","+secondRegion)
	proofs := makeProofs(t, s, 12)
	c := kmsClient(t, s, defaultRegion)
	disabled := *createKey(t, c, nil).KeyId
	kept := encrypt(t, c, disabled, proofText, nil)
	if _, err := c.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: &disabled}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file, root := filepath.Join(dir, "backup"), filepath.Join(s.Data, "root.key")
	// The server goes on while the backup is made.
	busy, stop := make(chan error, 1), make(chan struct{})
	key := *createKey(t, c, nil).KeyId
	go func() {
		for {
			select {
			case <-stop:
				busy <- nil
				return
			default:
			}
			if _, err := c.UpdateKeyDescription(t.Context(), &kms.UpdateKeyDescriptionInput{KeyId: &key, Description: aws.String("x")}); err != nil {
				busy <- err
				return
			}
		}
	}()
	mustRun(t, "backup", "create", file, "--data", s.Data)
	close(stop)
	if err := <-busy; err != nil {
		t.Fatal(err)
	}
	mustRun(t, "backup", "verify", file, "--root", root)
	records, _ := export(t, s)
	recorded := false
	for _, r := range records {
		recorded = recorded || r.EventName == "CreateBackup"
	}
	if !recorded {
		t.Error("the backup was not recorded")
	}
	for i := range times {
		data := filepath.Join(t.TempDir(), "restored")
		args := []string{"backup", "restore", file, "--data", data, "--root", root}
		asTheyWere := i%2 == 1
		if asTheyWere {
			args = append(args, "--allow-undone-revocations")
		}
		mustRun(t, args...)
		mustRun(t, "audit", "verify", "--data", data)
		restored := startRestored(t, s, data)
		for _, p := range proofs {
			if !asTheyWere {
				wantError(t, p.check(t, restored), "DisabledException", "*")
				if _, err := kmsClient(t, restored, p.region).EnableKey(t.Context(), &kms.EnableKeyInput{KeyId: &p.key}); err != nil {
					t.Fatal(err)
				}
			}
			if err := p.check(t, restored); err != nil {
				t.Errorf("restore %d: %v", i+1, err)
			}
		}
		_, err := kmsClient(t, restored, defaultRegion).Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: kept})
		wantError(t, err, "DisabledException", "*")
		records, _ := export(t, restored)
		names := ""
		for _, r := range records {
			names += r.EventName + " "
		}
		if !strings.Contains(names, "RestoreBackup ") || strings.Contains(names, "DisableRestoredKeys") == asTheyWere {
			t.Errorf("the trail has %s", names)
		}
		verify(t, restored)
		if err := restored.Stop(); err != nil {
			t.Error(err)
		}
		if result := strongroom(t, args...); result.Code == 0 || !strings.Contains(string(result.Stderr), "roll back") {
			t.Errorf("a restore over a deployment ended with %d: %s", result.Code, result.Stderr)
		}
	}
}

// TestBackupsThatCannotBeRestored: another root, and a file that was changed.
func TestBackupsThatCannotBeRestored(t *testing.T) {
	s := start(t)
	createKey(t, kmsClient(t, s, defaultRegion), nil)
	dir := t.TempDir()
	file, root := filepath.Join(dir, "backup"), filepath.Join(s.Data, "root.key")
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	mustRun(t, "backup", "create", file, "--data", s.Data)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	changed, foreign := filepath.Join(dir, "changed"), filepath.Join(dir, "root.key")
	for path, content := range map[string][]byte{changed: text, foreign: bytes.Repeat([]byte{7}, 32)} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, args := range map[string][]string{"changed": {changed, "--root", root}, "another root": {file, "--root", foreign}} {
		data := filepath.Join(dir, "restored")
		for _, command := range []string{"verify", "restore"} {
			result := strongroom(t, append([]string{"backup", command, "--data", data}, args...)...)
			if result.Code != 1 || !strings.Contains(string(result.Stderr), "hint:") {
				t.Errorf("%s: %s ended with %d: %s", name, command, result.Code, result.Stderr)
			}
		}
		if _, err := os.Stat(data); err == nil {
			t.Errorf("%s: a folder was made", name)
		}
	}
}

// killWhen runs a command and kills it with SIGKILL as soon as a file appears whose
// name has a part, in a folder. It reports whether the command was still running.
func killWhen(t testing.TB, folder, part string, args ...string) (killed bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), executable, args...)
	cmd.Env = binary.Environment()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("%v ended with %v", args, err)
			}
			return false
		default:
		}
		entries, _ := os.ReadDir(folder)
		for _, e := range entries {
			if strings.Contains(e.Name(), part) {
				_ = cmd.Process.Kill()
				return <-ended != nil
			}
		}
	}
}

// TestKilledBackupsAndRestores: whatever is left is no backup and no deployment, and
// the same command run again is right.
func TestKilledBackupsAndRestores(t *testing.T) {
	s := start(t, "--regions", defaultRegion+","+secondRegion)
	proofs := makeProofs(t, s, 6)
	killed := 0
	file, root := "", filepath.Join(s.Data, "root.key")
	for range 5 {
		dir := t.TempDir()
		file = filepath.Join(dir, "backup")
		if killWhen(t, dir, "unfinished", "backup", "create", file, "--data", s.Data) {
			killed++
			if _, err := os.Stat(file); err == nil {
				mustRun(t, "backup", "verify", file, "--root", root)
				continue
			}
			mustRun(t, "backup", "create", file, "--data", s.Data)
		}
	}
	mustRun(t, "backup", "verify", file, "--root", root)
	for i := range 6 {
		data := filepath.Join(t.TempDir(), "restored")
		if err := os.Mkdir(data, 0o700); err != nil {
			t.Fatal(err)
		}
		args := []string{"backup", "restore", file, "--data", data, "--root", root, "--allow-undone-revocations"}
		part := []string{"store.restoring", "journal.pub"}[i%2]
		if killWhen(t, data, part, args...) {
			killed++
			if _, err := os.Stat(filepath.Join(data, "store")); err != nil {
				result := strongroom(t, "serve", "--data", data, "--listen", "127.0.0.1:0")
				if result.Code != 1 || !strings.Contains(string(result.Stderr), "was not finished") {
					t.Fatalf("a half restored folder: %d %s", result.Code, result.Stderr)
				}
				mustRun(t, args...)
			}
		}
		restored := startRestored(t, s, data)
		for _, p := range proofs {
			if err := p.check(t, restored); err != nil {
				t.Error(err)
			}
		}
		verify(t, restored)
		if err := restored.Stop(); err != nil {
			t.Error(err)
		}
	}
	if killed == 0 {
		t.Error("no command was killed in time: the test proves nothing")
	}
	t.Logf("%d killed", killed)
}

// TestAServerThatIsKilledDuringABackup leaves no file that looks like a backup.
func TestAServerThatIsKilledDuringABackup(t *testing.T) {
	s := start(t)
	c := kmsClient(t, s, defaultRegion)
	for range 8 {
		createKey(t, c, nil)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "backup")
	cmd := exec.CommandContext(t.Context(), executable, "backup", "create", file, "--data", s.Data)
	cmd.Env = binary.Environment()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for {
		if entries, _ := os.ReadDir(dir); len(entries) > 0 {
			break
		}
	}
	s.Kill()
	err := cmd.Wait()
	if _, missing := os.Stat(file); err == nil || missing == nil {
		mustRun(t, "backup", "verify", file, "--data", s.Data)
	}
	again := startIn(t, s.Data)
	mustRun(t, "backup", "create", filepath.Join(dir, "again"), "--data", again.Data)
}

// TestBackupsOfOtherSeals: a backup opens with a passphrase, with another KMS, and
// with shares when the root is gone; the restored folder does, too.
func TestBackupsOfOtherSeals(t *testing.T) {
	t.Parallel()
	_, _, env, withKMS := otherKMS(t)
	good := passphraseFile(t, passphrase)
	for name, seal := range map[string][]string{
		"passphrase": {"--seal", "passphrase", "--seal-passphrase-file", good}, "aws-kms": withKMS, "recovery": nil,
	} {
		t.Run(name, func(t *testing.T) {
			run := func(ok bool, text string, args ...string) {
				t.Helper()
				result, err := binary.RunWith(executable, env, args...)
				if err != nil {
					t.Fatal(err)
				}
				if ok != (result.Code == 0) || !strings.Contains(string(result.Stdout)+string(result.Stderr), text) {
					t.Fatalf("strongroom %s ended with %d: %s%s; want %q", strings.Join(args, " "), result.Code, result.Stdout, result.Stderr, text)
				}
			}
			dir := t.TempDir()
			s := sealedServer(t, filepath.Join(dir, "data"), env, seal...)
			c := kmsClient(t, s, defaultRegion)
			ciphertext := encrypt(t, c, *createKey(t, c, &kms.CreateKeyInput{}).Arn, []byte("x"), nil)
			file, data := filepath.Join(dir, "backup"), filepath.Join(dir, "restored")
			opened := seal
			if name == "recovery" {
				shares := filepath.Join(dir, "shares")
				text := mustRun(t, "recovery", "init", "--shares", "3", "--needed", "2", "--data", s.Data)
				lines := strings.Split(text, "\n# share")
				if err := os.WriteFile(shares, []byte("# share"+strings.Join(lines[2:], "\n# share")), 0o600); err != nil {
					t.Fatal(err)
				}
				opened = []string{"--shares-file", shares}
			}
			mustStop(t, s)
			run(true, "", append([]string{"backup", "create", file, "--data", s.Data}, seal...)...)
			if name == "recovery" {
				if err := os.Remove(filepath.Join(s.Data, "root.key")); err != nil {
					t.Fatal(err)
				}
				run(false, "the root of this deployment is missing", "backup", "verify", file, "--data", s.Data)
			} else {
				run(false, "is of the kind "+name+", not file", "backup", "verify", file, "--data", s.Data)
			}
			run(true, "opens it", append([]string{"backup", "verify", file, "--data", data}, opened...)...)
			run(true, "was restored", append([]string{"backup", "restore", file, "--data", data, "--allow-undone-revocations"}, opened...)...)
			credentials, err := os.ReadFile(binary.CredentialsFile(s.Data))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(binary.CredentialsFile(data), credentials, 0o600); err != nil {
				t.Fatal(err)
			}
			opensAgain(t, sealedServer(t, data, env, seal...), ciphertext)
		})
	}
}
