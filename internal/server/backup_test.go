package server

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

// TestBackupsOfATrailWithoutItsBeginning: retention has removed old records, and has
// announced to remove others. The backup is whole, and what is restored of it too.
func TestBackupsOfATrailWithoutItsBeginning(t *testing.T) {
	r := startRetained(t, nil)
	r.uses(5, 95)
	r.uses(4, 5)
	if r.remove(100) == 0 {
		t.Fatal("nothing was removed")
	}
	var out bytes.Buffer
	if err := r.CreateBackup(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	file, dir := filepath.Join(t.TempDir(), "backup"), filepath.Join(t.TempDir(), "restored")
	if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	r.uses(1, 96)
	if r.remove(100) == 0 {
		t.Fatal("nothing was removed after the backup")
	}
	if err := r.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	restored, err := Restore(t.Context(), RestoreConfig{
		BackupFile: BackupFile{Path: file, In: Folder{Dir: dir, Seal: "file", Root: RootSettings{File: filepath.Join(r.cfg.DataDir, rootFile)}}},
		History:    r.cfg.DataDir, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if restored.Gone != 1 {
		t.Errorf("a removal is no change of a key: %+v", restored)
	}
	if report := verifyOffline(t, dir); report.Fault != nil || report.Removed == 0 || len(report.Changed) > 0 {
		t.Errorf("%+v", report)
	}
}
