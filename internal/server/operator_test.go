package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/service/iam"
	"github.com/strongroom/strongroom/internal/sigv4/sigv4test"
	"github.com/strongroom/strongroom/internal/wire"
)

var someone = admin.Peer{UID: 7, PID: 8}

// keysIn reads the credentials of a file in the data folder, which must be its
// owner's alone.
func keysIn(t *testing.T, s *Server, name string) (id, key string) {
	t.Helper()
	path := filepath.Join(s.cfg.DataDir, name)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("%s has mode %s", name, info.Mode())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	found := credentialsForm.FindSubmatch(text)
	if found == nil {
		t.Fatalf("%s has another form (%d bytes)", name, len(text))
	}
	return string(found[1]), string(found[2])
}

// listKeys makes a signed call and returns its status.
func listKeys(t *testing.T, s *Server, id, key string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", s.URL()+"/", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", wire.ContentTypeJSON11)
	req.Header.Set("X-Amz-Target", "TrentService.ListKeys")
	sigv4test.Signer{AccessKeyID: id, SecretKey: key, Region: "us-east-1", Service: "kms"}.SignHTTP(req, []byte("{}"), machineClock.Now())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// recordsOf returns the records of one event.
func recordsOf(t *testing.T, s *Server, event string) []map[string]any {
	t.Helper()
	trail, err := newTrail(s.folder)
	if err != nil {
		t.Fatal(err)
	}
	var found []map[string]any
	err = trail.Search(t.Context(), admin.Filter{Operation: event}, func(line []byte) error {
		var record map[string]any
		err := json.Unmarshal(line, &record)
		found = append(found, record)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestAccountsOfARunningAndAStoppedServer does the same to both.
func TestAccountsOfARunningAndAStoppedServer(t *testing.T) {
	cfg := config(t, filepath.Join(t.TempDir(), "data"))
	s := mustStart(t, cfg)
	client, err := admin.Connect(cfg.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	made, err := client.CreateAccount(t.Context(), admin.Peer{}, admin.NewAccount{ID: "444455556666", Name: "two"})
	if err != nil || made.File != "credentials-444455556666" || !made.Root.Enabled {
		t.Fatalf("%+v, %v", made, err)
	}
	id, key := keysIn(t, s, made.File)
	if got := listKeys(t, s, id, key); got != 200 {
		t.Errorf("the new account's root: %d", got)
	}
	if _, err := client.CreateAccount(t.Context(), admin.Peer{}, admin.NewAccount{ID: "444455556666"}); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("the same account again: %v", err)
	}
	if again, _ := keysIn(t, s, made.File); again != id {
		t.Error("a refusal has changed the credentials")
	}
	records := recordsOf(t, s, "CreateAccount")
	if len(records) != 2 || records[0]["errorCode"] != nil || records[0]["readOnly"] != false || records[1]["errorCode"] != "Refused" {
		t.Errorf("recorded as %v", records)
	}
	mustStop(t, s)

	o, err := OpenOperator(t.Context(), cfg.folder())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenOperator(t.Context(), cfg.folder()); err == nil {
		t.Error("the folder is open twice")
	}
	rotated, err := o.RotateRoot(t.Context(), someone, admin.RootRotation{Account: cfg.Account})
	if err != nil || rotated.File != credentialsFile || len(rotated.Root.AccessKeys) != 1 {
		t.Fatalf("%+v, %v", rotated, err)
	}
	if _, err := o.SwitchRoot(t.Context(), someone, admin.RootSwitch{Account: "444455556666"}); err == nil || !strings.Contains(err.Error(), "nobody but the root") {
		t.Errorf("the last way in: %v", err)
	}
	off, err := o.SwitchRoot(t.Context(), someone, admin.RootSwitch{Account: "444455556666", LockOut: true})
	if err != nil || off.Root.Enabled {
		t.Errorf("%+v, %v", off, err)
	}
	drawn, err := o.CreateAccount(t.Context(), someone, admin.NewAccount{})
	if err != nil || !regexp.MustCompile(`^[1-9][0-9]{11}$`).MatchString(drawn.ID) {
		t.Errorf("%+v, %v", drawn, err)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}

	s = mustStart(t, cfg)
	first, firstKey := keysIn(t, s, credentialsFile)
	if got := listKeys(t, s, first, firstKey); got != 200 {
		t.Errorf("the rotated root: %d", got)
	}
	if got := listKeys(t, s, id, key); got != 400 {
		t.Errorf("the disabled root: %d", got)
	}
	if rotations := recordsOf(t, s, "RotateRootCredentials"); len(rotations) != 1 || rotations[0]["userIdentity"].(map[string]any)["principalId"] != "uid:7" {
		t.Errorf("recorded as %v", rotations)
	}
	// A restart has made nothing anew.
	if all, err := (&operator{s}).Accounts(t.Context()); err != nil || len(all) != 3 {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestRefusedAccounts(t *testing.T) {
	s := mustStart(t, config(t, filepath.Join(t.TempDir(), "data")))
	o := &operator{s}
	for _, in := range []admin.NewAccount{
		{ID: "1"}, {ID: "00000000000x"}, {ID: "٠٠٠٠٠٠"}, {ID: "../../../../x"},
		{Name: strings.Repeat("n", 51)}, {Name: "a\x1b[2J"}, {Name: "\xff"}, {Email: "nobody"}, {Email: "a@b c"}, {Email: strings.Repeat("e", 63) + "@b"},
	} {
		if _, err := o.CreateAccount(t.Context(), someone, in); err == nil {
			t.Errorf("%+v was accepted", in)
		}
	}
	for _, id := range []string{"444455556666", "", "x", "../credentials"} {
		if _, err := o.RotateRoot(t.Context(), someone, admin.RootRotation{Account: id}); err == nil || !strings.Contains(err.Error(), "there is no account") {
			t.Errorf("%q: %v", id, err)
		}
		if _, err := o.SwitchRoot(t.Context(), someone, admin.RootSwitch{Account: id}); err == nil || !strings.Contains(err.Error(), "there is no account") {
			t.Errorf("%q: %v", id, err)
		}
		if _, err := o.Account(t.Context(), id); err == nil {
			t.Errorf("%q is an account", id)
		}
	}
	left, err := filepath.Glob(filepath.Join(s.cfg.DataDir, "*"+unconfirmed))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestInterruptedRotation: whichever side of the commit the process dies on, the
// credentials file holds a key that opens, after the next start at the latest.
func TestInterruptedRotation(t *testing.T) {
	for name, stored := range map[string]bool{"before the commit": false, "after the commit": true} {
		t.Run(name, func(t *testing.T) {
			cfg := config(t, filepath.Join(t.TempDir(), "data"))
			s := mustStart(t, cfg)
			died := errors.New("the process died")
			old, _ := keysIn(t, s, credentialsFile)
			_, err := s.newCredentials(cfg.Account, func(key iam.AccessKey) error {
				if stored {
					if err := s.iam.RotateRoot(context.Background(), cfg.Account, key, false, []byte(`{"eventName":"X"}`)); err != nil {
						return err
					}
				}
				// What newCredentials would do next does not happen.
				path := s.CredentialsFile() + unconfirmed
				return errors.Join(died, os.Rename(path, path+"-kept"), os.WriteFile(path, nil, 0o600))
			})
			if !errors.Is(err, died) {
				t.Fatal(err)
			}
			mustStop(t, s)
			if err := os.Rename(s.CredentialsFile()+unconfirmed+"-kept", s.CredentialsFile()+unconfirmed); err != nil {
				t.Fatal(err)
			}
			s = mustStart(t, cfg)
			id, key := keysIn(t, s, credentialsFile)
			if got := listKeys(t, s, id, key); got != 200 || (id != old) != stored {
				t.Errorf("the file's key: %d, another one: %v", got, id != old)
			}
			if _, err := os.Stat(s.CredentialsFile() + unconfirmed); err == nil {
				t.Error("the unconfirmed file is still there")
			}
		})
	}
}
