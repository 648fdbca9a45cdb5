package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/admin"
)

// levels returns the worst level of each check.
func levels(found []admin.Finding) map[string]admin.Level {
	all := map[string]admin.Level{}
	for _, f := range found {
		if was := all[f.Check]; was == "" || f.Level == admin.Wrong || was == admin.Fine {
			all[f.Check] = f.Level
		}
	}
	return all
}

// TestExamine asks a server over its socket, with more and more wrong about it, and then
// looks at the stopped one's folder.
func TestExamine(t *testing.T) {
	cfg := config(t, filepath.Join(t.TempDir(), "data"))
	cfg.AuditShip = []string{"file:" + filepath.Join(t.TempDir(), "none", "shipped")}
	s := mustStart(t, cfg)
	client, err := admin.Connect(cfg.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	examine := func() map[string]admin.Level {
		t.Helper()
		found, err := client.Examine(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return levels(found)
	}
	got := examine()
	for check, want := range map[string]admin.Level{"files": admin.Fine, "ready": admin.Fine, "root": admin.Fine, "recovery": admin.Doubtful} {
		if got[check] != want {
			t.Errorf("at first: %s is %q, want %s", check, got[check], want)
		}
	}
	if n := len(recordsOf(t, s, "ExamineInstallation")); n != 1 {
		t.Errorf("%d records of the question", n)
	}
	if _, err := (&operator{Server: s}).InitRecovery(t.Context(), admin.Peer{}, admin.NewRecovery{Needed: 2, Shares: 3}); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(cfg.DataDir, rootFile)
	if err := os.Rename(root, root+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(s.CredentialsFile(), 0o644); err != nil {
		t.Fatal(err)
	}
	got = examine()
	for check, want := range map[string]admin.Level{"files": admin.Wrong, "root": admin.Wrong, "recovery": admin.Fine} {
		if got[check] != want {
			t.Errorf("with things wrong: %s is %q, want %s", check, got[check], want)
		}
	}
	if err := os.Rename(root+".away", root); err != nil {
		t.Fatal(err)
	}
	mustStop(t, s)
	o, err := OpenOperator(t.Context(), cfg.folder())
	if err != nil {
		t.Fatal(err)
	}
	found, err := o.Examine(t.Context())
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	got = levels(found)
	if err != nil || got["root"] != admin.Fine || got["files"] != admin.Wrong || got["ready"] != "" {
		t.Errorf("stopped: %v, %v", got, err)
	}
}

func TestCertificateFindings(t *testing.T) {
	for left, want := range map[time.Duration]admin.Level{-time.Hour: admin.Wrong, time.Hour: admin.Doubtful, 13 * 24 * time.Hour: admin.Doubtful, 90 * 24 * time.Hour: admin.Fine} {
		if f := certificateFinding("main", left); f.Level != want || !strings.Contains(f.Text, "main") {
			t.Errorf("%s: %+v", left, f)
		}
	}
}
