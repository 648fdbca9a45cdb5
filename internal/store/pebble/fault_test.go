package pebble_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/pebble"
	"github.com/strongroom/strongroom/internal/store/storetest"
)

// scenario opens a folder and makes changes one after another until one fails,
// handing what was acknowledged to ack. If flush is set, it moves to the next log
// file on the way.
func scenario(disk vfs.FS, dir string, flush bool, ack func(string), fatal func(error)) (err error) {
	ctx := context.Background()
	b, err := pebble.Open(pebble.Config{Dir: dir, FS: disk, Reserve: 1, Fatal: fatal, Log: quiet})
	if err != nil {
		return err
	}
	journal, err := storetest.NewJournal(ctx, b)
	if err != nil {
		return errors.Join(err, b.Close())
	}
	s, err := store.New(store.Config{Backend: b, Sealer: new(storetest.Sealer), Journal: journal, Fatal: fatal})
	if err != nil {
		return errors.Join(err, b.Close())
	}
	defer func() { err = errors.Join(err, s.Close(), b.Close()) }()
	for i := range 12 {
		record := fmt.Sprint("append ", i)
		switch {
		case i%3 == 2:
			err = s.Append(ctx, []byte(record))
		case i%6 == 1:
			record, err = change(ctx, s, i-1, false)
		default:
			record, err = change(ctx, s, i, true)
		}
		if err != nil {
			return err
		}
		ack(record)
		if i == 5 && flush {
			if err := b.Flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// failing returns a file system whose n-th operation that changes it fails, and
// all after it unless once is set. It counts these operations in count.
func failing(disk vfs.FS, n int64, once bool, errno syscall.Errno, count *atomic.Int64) vfs.FS {
	return errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
			return nil
		}
		if at := count.Add(1); at == n || at > n && !once {
			return &fs.PathError{Op: "write", Path: op.Path, Err: errno}
		}
		return nil
	}))
}

// TestFaults makes every operation that changes the file system fail, in turn:
// that one alone, or it and all after it. Whatever was acknowledged must be there
// after a crash.
func TestFaults(t *testing.T) {
	var total atomic.Int64
	var acked []string
	ack := func(record string) { acked = append(acked, record) }
	err := scenario(failing(vfs.NewMem(), 0, true, 0, &total), "data", false, ack, func(err error) { t.Error(err) })
	if err != nil || len(acked) != 12 {
		t.Fatalf("without faults: %d acknowledged, %v", len(acked), err)
	}
	for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
		for _, once := range []bool{true, false} {
			if once && errno == syscall.ENOSPC {
				continue // as EIO
			}
			stopped, fatal := 0, atomic.Int64{}
			for n := int64(1); n <= total.Load(); n++ {
				disk := vfs.NewCrashableMem()
				acked = nil
				err := scenario(failing(disk, n, once, errno, new(atomic.Int64)), "data", false, ack, func(error) { fatal.Add(1) })
				if err != nil {
					stopped++
				}
				what := fmt.Sprintf("%v at operation %d, once: %v", errno, n, once)
				if len(acked) == 0 {
					continue // there may be no folder yet
				}
				for _, unsynced := range []int{0, 100} {
					image := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: newRNG(uint64(n))})
					if err := verify(image, acked); err != nil {
						t.Errorf("%s, with %d%% of what was not synced: %v", what, unsynced, err)
					}
				}
			}
			t.Logf("%v, once: %v: %d of %d faults stopped the scenario, Fatal was called %d times",
				errno, once, stopped, total.Load(), fatal.Load())
			if stopped == 0 || fatal.Load() == 0 {
				t.Error("faults went unnoticed")
			}
		}
	}
}

// TestFaultsThatEndTheProcess is TestFaults for a scenario that moves to the next
// log file: there Pebble answers some faults with a panic that nothing recovers
// from. So each runs in a process of its own, on the machine's file system.
func TestFaultsThatEndTheProcess(t *testing.T) {
	const variable = "STRONGROOM_TEST_FAULT"
	if at := os.Getenv(variable); at != "" {
		var n int64
		var dir string
		if _, err := fmt.Sscanf(at, "%d %s", &n, &dir); err != nil {
			t.Fatal(err)
		}
		var count atomic.Int64
		err := scenario(failing(vfs.Default, n, false, syscall.EIO, &count), dir, true,
			func(record string) { fmt.Println("acknowledged:", record) }, func(error) { os.Exit(1) })
		fmt.Println("operations:", count.Load())
		if err != nil {
			os.Exit(1)
		}
		return
	}
	run := func(n int64) (acked []string, operations, dir string, err error) {
		dir = filepath.Join(t.TempDir(), "data")
		cmd := exec.Command(os.Args[0], "-test.run=^TestFaultsThatEndTheProcess$")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s", variable, n, dir))
		out, err := cmd.Output()
		for line := range strings.Lines(string(out)) {
			if record, ok := strings.CutPrefix(line, "acknowledged: "); ok {
				acked = append(acked, strings.TrimSpace(record))
			}
			if count, ok := strings.CutPrefix(line, "operations: "); ok {
				operations = strings.TrimSpace(count)
			}
		}
		return acked, operations, dir, err
	}
	acked, operations, _, err := run(1 << 40)
	if err != nil || len(acked) != 12 {
		t.Fatalf("without faults: %d acknowledged, %v", len(acked), err)
	}
	total, err := strconv.ParseInt(operations, 10, 64)
	if err != nil || total < 20 {
		t.Fatalf("%s operations: %v", operations, err)
	}
	step, ended := int64(7), 0
	if testing.Short() {
		step = 15
	}
	for n := total / 3; n <= total; n += step {
		acked, _, dir, err := run(n)
		if err != nil {
			ended++
		}
		if len(acked) > 0 {
			if err := verifyFolder(vfs.Default, dir, acked); err != nil {
				t.Errorf("fault at operation %d of %d: %v", n, total, err)
			}
		}
	}
	if ended == 0 {
		t.Error("faults went unnoticed")
	}
}
