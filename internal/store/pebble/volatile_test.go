//go:build strongroom_volatile

package pebble

import (
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/strongroom/strongroom/internal/store"
)

func TestVolatileLogHoldsOnlyWhatIsSynced(t *testing.T) {
	below := vfs.NewMem()
	fs := volatileFS{below}
	size := func(name string) int64 {
		t.Helper()
		info, err := below.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	for _, sync := range []func(vfs.File) error{vfs.File.Sync, vfs.File.SyncData} {
		log, err := fs.Create("000001.log", vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"ab", "cd"} {
			if _, err := log.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := log.SyncTo(4); err != nil {
			t.Fatal(err)
		}
		if got := size("000001.log"); got != 0 {
			t.Errorf("%d bytes are on disk before the sync", got)
		}
		if err := sync(log); err != nil {
			t.Fatal(err)
		}
		if got := size("000001.log"); got != 4 {
			t.Errorf("%d bytes are on disk after the sync", got)
		}
		if _, err := log.Write([]byte("lost")); err != nil {
			t.Fatal(err)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		if got := size("000001.log"); got != 4 {
			t.Errorf("%d bytes are on disk after closing without a sync", got)
		}
	}
	table, err := fs.Create("000002.sst", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := table.Write([]byte("ab")); err != nil {
		t.Fatal(err)
	}
	if got := size("000002.sst"); got != 2 {
		t.Errorf("another file is cached too: %d bytes", got)
	}
}

// TestVolatileLogLosesWhatTheCommitDidNotSync is what the crash harness sees
// when the process is killed: all that reached the file system below, and nothing
// that did not.
func TestVolatileLogLosesWhatTheCommitDidNotSync(t *testing.T) {
	below := vfs.NewCrashableMem()
	b, err := Open(Config{Dir: "data", FS: volatileFS{below}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := b.Commit(t.Context(), store.Batch{Epoch: 7, Writes: []store.Write{{Key: []byte("a"), Value: []byte("b")}}}); err != nil {
		t.Fatal(err)
	}
	after, err := Open(Config{Dir: "data", FS: below.CrashClone(vfs.CrashCloneCfg{
		UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(0, 0)), // the page cache stays
	})})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := after.Close(); err != nil {
			t.Error(err)
		}
	}()
	epoch, err := after.epoch(after.db)
	if err != nil {
		t.Fatal(err)
	}
	if there := epoch == 7; there != (durable == pebble.Sync) {
		t.Errorf("an acknowledged commit is there: %v; commits are synced: %v", there, durable == pebble.Sync)
	}
}
