package pebble_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	lsm "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/pebble"
	"github.com/strongroom/strongroom/internal/store/storetest"
)

func open(t *testing.T, cfg pebble.Config) *pebble.Backend {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = "data"
	}
	cfg.Log, cfg.Fatal = quiet, func(err error) { t.Error(err) }
	b, err := pebble.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestReopen(t *testing.T) {
	disk := vfs.NewMem()
	ctx := context.Background()
	var want []string
	for round := range 4 {
		b := open(t, pebble.Config{FS: disk})
		records, err := storetest.Records(ctx, b)
		must(t, err)
		_, signed, err := unsign(records)
		must(t, err)
		s, err := openStore(b, signed, func(err error) { t.Error(err) })
		must(t, err)
		record, err := change(ctx, s, round, true)
		must(t, err)
		want = append(want, record)
		must(t, b.SetMeta(ctx, map[string][]byte{"round": fmt.Append(nil, round)}))
		must(t, s.Close())
		must(t, b.Close())
		must(t, verify(cloned(t, disk), want))
		b = open(t, pebble.Config{FS: disk})
		meta, err := b.Meta(ctx)
		if err != nil || string(meta["round"]) != fmt.Sprint(round) {
			t.Errorf("Meta = %q, %v", meta, err)
		}
		must(t, b.Close())
	}
}

// cloned copies a folder, so that looking at it changes nothing.
func cloned(t *testing.T, disk vfs.FS) vfs.FS {
	t.Helper()
	to := vfs.NewMem()
	_, err := vfs.Clone(disk, to, "data", "data")
	must(t, err)
	return to
}

func TestASecondProcessIsRefused(t *testing.T) {
	const variable = "STRONGROOM_TEST_LOCK"
	if dir := os.Getenv(variable); dir != "" {
		_, err := pebble.Open(pebble.Config{Dir: dir, Log: quiet})
		fmt.Println("locked:", errors.Is(err, store.ErrLocked), err)
		return
	}
	dir := filepath.Join(t.TempDir(), "made", "on the way")
	b := open(t, pebble.Config{Dir: dir})
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder was made as %v, %v", info.Mode(), err)
	}
	if _, err := pebble.Open(pebble.Config{Dir: dir, Log: quiet}); !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("opening it again: %v, want ErrLocked that names the folder", err)
	}
	other := func() string {
		cmd := exec.Command(os.Args[0], "-test.run=^TestASecondProcessIsRefused$")
		cmd.Env = append(os.Environ(), variable+"="+dir)
		out, err := cmd.Output()
		must(t, err)
		return string(out)
	}
	if out := other(); !strings.HasPrefix(out, "locked: true") {
		t.Errorf("another process: %s", out)
	}
	must(t, b.Close())
	if out := other(); !strings.HasPrefix(out, "locked: false <nil>") {
		t.Errorf("another process, after this one closed it: %s", out)
	}
}

func TestFoldersThatAreRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	for _, dir := range []string{"", file, filepath.Join(file, "below")} {
		if _, err := pebble.Open(pebble.Config{Dir: dir, Log: quiet}); err == nil || errors.Is(err, store.ErrLocked) {
			t.Errorf("opening %q: %v", dir, err)
		}
	}

	disk := vfs.NewMem()
	b := open(t, pebble.Config{FS: disk})
	must(t, b.SetFormat(2))
	must(t, b.Close())
	for range 2 { // the first refusal must have given the lock back
		if _, err := pebble.Open(pebble.Config{Dir: "data", FS: disk, Log: quiet}); !errors.Is(err, store.ErrNewerFormat) {
			t.Errorf("a newer folder: %v, want ErrNewerFormat", err)
		}
	}

	disk = vfs.NewMem()
	db, err := lsm.Open("data", &lsm.Options{FS: disk, FormatMajorVersion: lsm.FormatNewest, Logger: lsm.DefaultLogger})
	must(t, err)
	must(t, db.Set([]byte("x"), nil, lsm.Sync))
	must(t, db.Close())
	if _, err := pebble.Open(pebble.Config{Dir: "data", FS: disk, Log: quiet}); err == nil || !strings.Contains(err.Error(), "not Strongroom's") {
		t.Errorf("a database of another program's: %v", err)
	}
}

// smallFS has as much free space as it is told.
type smallFS struct {
	vfs.FS
	free *atomic.Uint64
}

func (s smallFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: s.free.Load()}, nil
}

func TestAFullDisk(t *testing.T) {
	disk := smallFS{vfs.NewMem(), new(atomic.Uint64)}
	disk.free.Store(249)
	if _, err := pebble.Open(pebble.Config{Dir: "data", FS: disk, Reserve: 1000, Log: quiet}); !errors.Is(err, store.ErrFull) {
		t.Errorf("Open with 249 bytes free: %v, want ErrFull", err)
	}
	disk.free.Store(250)
	b := open(t, pebble.Config{FS: disk, Reserve: 1000})
	defer b.Close()
	s := storetest.Open(t, b)
	ctx := context.Background()
	for _, free := range []uint64{0, 999} {
		disk.free.Store(free)
		if _, err := change(ctx, s, 1, true); !errors.Is(err, store.ErrFull) {
			t.Errorf("Update with %d bytes free: %v, want ErrFull", free, err)
		}
		if err := s.Append(ctx, []byte("x")); !errors.Is(err, store.ErrFull) {
			t.Errorf("Append with %d bytes free: %v, want ErrFull", free, err)
		}
		if err := s.Ready(ctx); !errors.Is(err, store.ErrFull) {
			t.Errorf("Ready with %d bytes free: %v, want ErrFull", free, err)
		}
	}
	disk.free.Store(1000)
	if _, err := change(ctx, s, 1, true); err != nil {
		t.Errorf("Update when there is space again: %v", err)
	}
	must(t, s.Ready(ctx))
	must(t, s.Close())
	if err := s.Ready(ctx); !errors.Is(err, store.ErrStopped) {
		t.Errorf("Ready when closed: %v, want ErrStopped", err)
	}
}

// TestDamagedFiles flips bytes of every table file: a read returns what was
// written or ErrCorrupt, and ErrCorrupt at least once.
func TestDamagedFiles(t *testing.T) {
	disk := vfs.NewMem()
	ctx := context.Background()
	b := open(t, pebble.Config{FS: disk})
	s := storetest.Open(t, b)
	for i := range 20 {
		_, err := change(ctx, s, i, true)
		must(t, err)
	}
	must(t, b.Compact())
	must(t, s.Close())
	must(t, b.Close())
	names, err := disk.List("data")
	must(t, err)
	refused := 0
	for _, name := range names {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		path := disk.PathJoin("data", name)
		f, err := disk.Open(path)
		must(t, err)
		content, err := io.ReadAll(f)
		must(t, err)
		must(t, f.Close())
		for at := 0; at < len(content); at += 1 + len(content)/20 {
			damaged := bytes.Clone(content)
			damaged[at] ^= 0x10
			image := cloned(t, disk)
			f, err := image.Create(path, vfs.WriteCategoryUnspecified)
			must(t, err)
			_, err = f.Write(damaged)
			must(t, errors.Join(err, f.Close()))
			if err := readAll(image); errors.Is(err, store.ErrCorrupt) {
				refused++
			} else if err != nil {
				t.Errorf("%s damaged at %d of %d: %v, want ErrCorrupt", name, at, len(content), err)
			}
		}
	}
	if refused == 0 {
		t.Error("no damage was found")
	}
	t.Logf("%d damages were found", refused)
}

func readAll(disk vfs.FS) error {
	b, err := pebble.Open(pebble.Config{Dir: "data", FS: disk, Log: quiet, Fatal: func(error) {}})
	if err != nil {
		return err
	}
	defer b.Close()
	s, err := store.New(store.Config{Backend: b, Sealer: new(storetest.Sealer), Fatal: func(error) {}})
	if err != nil {
		return err
	}
	defer s.Close()
	return s.View(context.Background(), func(r store.Reader) error {
		items, _, err := pairs.Scan(r, left, "", 100)
		if err != nil {
			return err
		}
		if len(items) != 20 {
			return fmt.Errorf("%d records of 20", len(items))
		}
		for _, item := range items {
			if fmt.Sprint(item.Value.N) != item.ID {
				return fmt.Errorf("record %s holds %d", item.ID, item.Value.N)
			}
		}
		_, err = storetest.Records(context.Background(), b)
		return err
	})
}
