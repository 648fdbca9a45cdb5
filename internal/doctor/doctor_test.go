package doctor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/admin"
)

func made(t *testing.T) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"root.key": 0o600, "journal.pub": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// worst returns the level of a check and what it says.
func worst(found []admin.Finding, check string) (level admin.Level, text string) {
	for _, f := range found {
		if f.Check == check && (level == "" || f.Level == admin.Wrong || f.Level == admin.Doubtful && level == admin.Fine) {
			level, text = f.Level, f.Text
		}
	}
	return level, text
}

func TestFiles(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(dir string) error
		want  string // "" if nothing is wrong
	}{
		"as a server makes it": {func(string) error { return nil }, ""},
		"an open folder":       {func(dir string) error { return os.Chmod(dir, 0o755) }, "mode 0755"},
		"a root to read":       {func(dir string) error { return os.Chmod(filepath.Join(dir, "root.key"), 0o640) }, "root.key (mode 0640)"},
		"no folder":            {os.RemoveAll, "no such file"},
	} {
		dir := made(t)
		if err := c.spoil(dir); err != nil {
			t.Fatal(err)
		}
		level, text := worst(files(dir), "files")
		if (level == admin.Fine) != (c.want == "") || !strings.Contains(text, c.want) {
			t.Errorf("%s: %s: %q, want %q", name, level, text, c.want)
		}
	}
}

func TestSync(t *testing.T) {
	dir := made(t)
	if f := syncing(dir); f.Level == admin.Wrong {
		t.Errorf("a good disk: %+v", f)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("%d files are left, %v", len(entries), err)
	}
	if f := syncing(filepath.Join(dir, "none")); f.Level != admin.Wrong {
		t.Errorf("no disk: %+v", f)
	}
	for took, want := range map[time.Duration]admin.Level{time.Microsecond: admin.Doubtful, time.Millisecond: admin.Fine, time.Second: admin.Doubtful} {
		if f := judgeSync(took); f.Level != want {
			t.Errorf("%s: %s", took, f.Level)
		}
	}
}

func TestClock(t *testing.T) {
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		cfg   Config
		wrong bool
	}{
		"no records":          {Config{Now: now}, false},
		"records":             {Config{Now: now, Newest: now.Add(-time.Hour)}, false},
		"a moment ahead":      {Config{Now: now, Newest: now.Add(time.Second)}, false},
		"set back by a day":   {Config{Now: now, Newest: now.Add(24 * time.Hour)}, true},
		"no clock to rely on": {Config{Now: time.Unix(0, 0)}, true},
	} {
		if level, text := worst(clock(c.cfg), "clock"); (level == admin.Wrong) != c.wrong {
			t.Errorf("%s: %s: %s", name, level, text)
		}
	}
}

// TestAFreshFolderIsNotWrong: whatever the machine is like, nothing stops the work.
func TestAFreshFolderIsNotWrong(t *testing.T) {
	found := Examine(Config{Dir: made(t), Now: time.Now()})
	if len(found) < 4 {
		t.Errorf("only %d findings", len(found))
	}
	for _, f := range found {
		if f.Check == "" || f.Text == "" || f.Level != admin.Fine && f.Advice == "" {
			t.Errorf("a finding says too little: %+v", f)
		}
		if f.Level == admin.Wrong && f.Check == "files" {
			t.Errorf("%+v", f)
		}
	}
}
