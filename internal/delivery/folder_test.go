package delivery

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/store"
)

func TestFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	f := folder(dir)
	for range 2 { // a file may be written again
		if err := f.put(t.Context(), "x/y/file.gz", []byte("body"), map[string]string{"signature": "00"}); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"file.gz": "body", "file.gz.metadata": `{"signature":"00"}`} {
		if got, err := os.ReadFile(filepath.Join(dir, "x", "y", name)); string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if entries, err := os.ReadDir(filepath.Join(dir, "x", "y")); len(entries) != 2 {
		t.Errorf("%v, %v", entries, err)
	}
	if err := f.put(t.Context(), "../out", []byte("body"), nil); err == nil {
		t.Error("a key led out of the folder")
	}
	if err := os.Symlink(t.TempDir(), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := f.put(t.Context(), "link/out", []byte("body"), nil); err == nil {
		t.Error("a link led out of the folder")
	}
}

func TestAFolderThatCannotBeWrittenIsCaughtUpWith(t *testing.T) {
	h := kit(t, t)
	dir := filepath.Join(t.TempDir(), "trail")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := h.PutDestination(t.Context(), Destination{Bucket: "a-folder", Folder: dir}, nil, nil); err != nil {
		t.Fatal(err)
	}
	h.change(func(_ *store.Tx, trail *Trail) error { trail.Bucket = "a-folder"; return nil })
	trail := h.start()
	id := h.event(home, nil)
	h.round()
	if status, _ := h.Status(t.Context(), &trail); status.Error != "FolderNotWritable" {
		t.Errorf("%+v", status)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	h.clock.Advance(time.Minute)
	h.round()
	files, err := filepath.Glob(filepath.Join(dir, "AWSLogs", account, "CloudTrail", home, "2026", "01", "02", "*.json.gz"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	body, err := os.ReadFile(files[0])
	if err != nil || !strings.Contains(string(unzip(t, body)), id) {
		t.Errorf("%v", err)
	}
}

func TestADevServersBucketsAreFolders(t *testing.T) {
	h := kit(t, t)
	for name, want := range map[string]bool{bucketX: true, "unknown-bucket": false} {
		if got, err := h.HasBucket(t.Context(), name); got != want || err != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	h.Folder = t.TempDir()
	for name, want := range map[string]bool{"unknown-bucket": true, "..": false, "a/b": false} {
		if got, err := h.HasBucket(t.Context(), name); got != want || err != nil {
			t.Errorf("with a folder, %s: %v, %v", name, got, err)
		}
	}
}
