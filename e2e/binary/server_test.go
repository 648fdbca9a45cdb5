package binary

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// script writes a shell script that stands for the server. $3 is the data folder.
func script(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fake")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestServerIsReadyAfterItsLineAndStopsOnSIGTERM(t *testing.T) {
	path := script(t, `
trap 'echo bye; exit 0' TERM
echo "welcome to $3"
echo "a complaint" >&2
echo "strongroom: ready on http://127.0.0.1:4711"
while :; do :; done
`)
	s, err := Start(Config{Path: path, Data: "the-folder"})
	if err != nil {
		t.Fatal(err)
	}
	if s.URL != "http://127.0.0.1:4711" || s.Addr() != "127.0.0.1:4711" {
		t.Errorf("URL %q, Addr %q", s.URL, s.Addr())
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"welcome to the-folder", "a complaint", "bye"} {
		if !strings.Contains(s.Output(), want) {
			t.Errorf("the output lacks %q:\n%s", want, s.Output())
		}
	}
}

func TestServerThatEndsEarlyIsReportedWithWhatItSaid(t *testing.T) {
	_, err := Start(Config{Path: script(t, "echo 'port taken' >&2; exit 3\n"), Data: "x"})
	if err == nil || !strings.Contains(err.Error(), "port taken") || !strings.Contains(err.Error(), "exit status 3") {
		t.Fatalf("got %v", err)
	}
}

func TestKilledServerIsGone(t *testing.T) {
	s, err := Start(Config{Path: script(t, "echo 'strongroom: ready on http://127.0.0.1:1'; exec cat /dev/zero > /dev/null\n"), Data: "x"})
	if err != nil {
		t.Fatal(err)
	}
	s.Kill()
	select {
	case <-s.Exited():
	default:
		t.Fatal("Kill returned before the process was gone")
	}
	s.Kill() // a second time is nothing
	if err := s.Stop(); err == nil {
		t.Fatal("a killed server counts as ended well")
	}
}

func TestEnvironmentKeepsSettingsOut(t *testing.T) {
	t.Setenv("STRONGROOM_KILLS", "3")
	t.Setenv("AWS_PROFILE", "someone")
	env := strings.Join(Environment("AWS_REGION=us-east-1"), "\n")
	if strings.Contains(env, "STRONGROOM_KILLS") || strings.Contains(env, "AWS_PROFILE") {
		t.Error("a setting of the tests reaches the server")
	}
	if !strings.Contains(env, "AWS_REGION=us-east-1") {
		t.Error("what was added is missing")
	}
}

func TestCredentials(t *testing.T) {
	data := t.TempDir()
	text := "# a comment\n[other]\naws_access_key_id = AKIAOTHER\n[default]\naws_access_key_id = AKIAX\naws_secret_access_key = s3cr=t/+\n"
	if err := os.WriteFile(CredentialsFile(data), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	id, key, err := Credentials(data)
	if err != nil || id != "AKIAX" || key != "s3cr=t/+" {
		t.Fatalf("%q %q %v", id, key, err)
	}
	if err := os.WriteFile(CredentialsFile(data), []byte("[other]\naws_access_key_id = AKIAOTHER\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Credentials(data); err == nil {
		t.Fatal("a file without a default profile passes")
	}
}

func TestUntilGivesUp(t *testing.T) {
	err := Until("the impossible", time.Millisecond, func() (bool, error) { return false, nil })
	if err == nil || !strings.Contains(err.Error(), "the impossible") {
		t.Fatalf("got %v", err)
	}
}
