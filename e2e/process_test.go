package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/strongroom/strongroom/e2e/binary"
)

func TestDevEndpointsAreAbsentInProduction(t *testing.T) {
	s := start(t)
	c := kmsClient(t, s, defaultRegion)
	key := createKey(t, c, nil)
	for _, what := range []string{"reset", "clock", "faults"} {
		answer := raw(t, s, "POST /_strongroom/dev/"+what+" HTTP/1.1\r\nHost: "+s.Addr()+"\r\nX-Strongroom-Dev: 1\r\nContent-Length: 2\r\n\r\n{}")
		if answer.status/100 == 2 {
			t.Errorf("dev/%s answers %d on a production server", what, answer.status)
		}
	}
	if _, err := c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: key.KeyId}); err != nil {
		t.Error(err)
	}
}

func TestDevFaults(t *testing.T) {
	s := start(t, "--dev")
	c := devClient(s, "test", defaultRegion)
	key := createKey(t, c, nil)
	dev(t, s, "faults", map[string]any{"faults": []map[string]any{{"operation": "Encrypt", "error": "ThrottlingException", "count": 2}}})
	for range 2 {
		_, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: key.KeyId, Plaintext: []byte("x")})
		wantError(t, err, "ThrottlingException", "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.")
		if _, err := c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: key.KeyId}); err != nil {
			t.Errorf("another operation is disturbed: %v", err)
		}
	}
	encrypt(t, c, *key.KeyId, []byte("x"), nil)
}

// TestOneProcessPerFolder starts a second server on a folder that is in use.
func TestOneProcessPerFolder(t *testing.T) {
	s := start(t)
	second, err := binary.Start(binary.Config{Path: executable, Data: s.Data})
	if err == nil {
		second.Kill()
		t.Fatal("two servers share a data folder")
	}
	if _, err := kmsClient(t, s, defaultRegion).ListKeys(t.Context(), &kms.ListKeysInput{}); err != nil {
		t.Errorf("the first server suffers: %v", err)
	}
}

// TestFolderNeverChangesSides starts a dev server on a production folder, and the
// other way round.
func TestFolderNeverChangesSides(t *testing.T) {
	for _, args := range [][]string{{}, {"--dev"}} {
		s := start(t, args...)
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
		other := []string{"--dev"}
		if len(args) > 0 {
			other = nil
		}
		turned, err := binary.Start(binary.Config{Path: executable, Data: s.Data, Args: other})
		if err == nil {
			turned.Kill()
			t.Errorf("a folder made with %q opens with %q", args, other)
		}
		startIn(t, s.Data, args...)
	}
}

// TestDeepFolder puts the data folder where a path is longer than a socket's may
// be.
func TestDeepFolder(t *testing.T) {
	data := t.TempDir()
	for range 5 {
		data = filepath.Join(data, strings.Repeat("d", 60))
	}
	s := startIn(t, data)
	createKey(t, kmsClient(t, s, defaultRegion), &kms.CreateKeyInput{Description: aws.String("deep")})
	records, _ := export(t, s)
	if len(records) == 0 {
		t.Error("the trail of a running server is empty")
	}
	verify(t, s)
}

// TestUnknownSettingsAreNamed gives the server a setting that it does not have.
func TestUnknownSettingsAreNamed(t *testing.T) {
	for name, cfg := range map[string]binary.Config{
		"--listne":          {Args: []string{"--listne", "x"}},
		"STRONGROOM_LISTNE": {Env: []string{"STRONGROOM_LISTNE=x"}},
	} {
		cfg.Path, cfg.Data = executable, filepath.Join(t.TempDir(), "data")
		s, err := binary.Start(cfg)
		if err == nil {
			s.Kill()
			t.Errorf("%s is taken", name)
		} else if !strings.Contains(err.Error(), name) {
			t.Errorf("the refusal does not name %s: %v", name, err)
		}
	}
}
