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

	"github.com/strongroom/strongroom/internal/store/pebble"
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
	s, err := openStore(b, nil, fatal)
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

// short returns a file system whose n-th write takes half of its bytes, and whose
// later ones take none, as on a disk that runs full. It counts writes in count.
func short(disk vfs.FS, n int64, count *atomic.Int64) vfs.FS { return shortFS{disk, n, count} }

type shortFS struct {
	vfs.FS
	at    int64
	count *atomic.Int64
}

type shortFile struct {
	vfs.File
	fs shortFS
}

func (f shortFile) Write(p []byte) (int, error) {
	n := f.fs.count.Add(1)
	if n < f.fs.at {
		return f.File.Write(p)
	}
	err := &fs.PathError{Op: "write", Err: syscall.ENOSPC}
	if n > f.fs.at {
		return 0, err
	}
	some, _ := f.File.Write(p[:len(p)/2])
	return some, err
}

func (s shortFS) wrap(f vfs.File, err error) (vfs.File, error) {
	if f == nil {
		return nil, err
	}
	return shortFile{f, s}, err
}

func (s shortFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return s.wrap(s.FS.Create(name, c))
}

func (s shortFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return s.wrap(s.FS.ReuseForWrite(from, to, c))
}

// TestFaults makes every operation that changes the file system fail, in turn:
// that one alone, or it and all after it; and cuts every write short. Whatever was
// acknowledged must be there after a crash, and nothing half done.
func TestFaults(t *testing.T) {
	var total atomic.Int64
	var acked []string
	ack := func(record string) { acked = append(acked, record) }
	err := scenario(failing(vfs.NewMem(), 0, true, 0, &total), "data", false, ack, func(err error) { t.Error(err) })
	if err != nil || len(acked) != 12 {
		t.Fatalf("without faults: %d acknowledged, %v", len(acked), err)
	}
	var writes atomic.Int64
	if err := scenario(short(vfs.NewMem(), 1<<40, &writes), "data", false, func(string) {}, func(err error) { t.Error(err) }); err != nil {
		t.Fatal(err)
	}
	for _, fault := range []struct {
		what  string
		total int64
		disk  func(disk vfs.FS, n int64) vfs.FS
	}{
		{"EIO once", total.Load(), func(disk vfs.FS, n int64) vfs.FS { return failing(disk, n, true, syscall.EIO, new(atomic.Int64)) }},
		{"EIO from then on", total.Load(), func(disk vfs.FS, n int64) vfs.FS { return failing(disk, n, false, syscall.EIO, new(atomic.Int64)) }},
		{"ENOSPC from then on", total.Load(), func(disk vfs.FS, n int64) vfs.FS {
			return failing(disk, n, false, syscall.ENOSPC, new(atomic.Int64))
		}},
		{"a short write, and ENOSPC from then on", writes.Load(), func(disk vfs.FS, n int64) vfs.FS { return short(disk, n, new(atomic.Int64)) }},
	} {
		stopped, images, fatal := 0, 0, atomic.Int64{}
		for n := int64(1); n <= fault.total; n++ {
			disk := vfs.NewCrashableMem()
			acked = nil
			if err := scenario(fault.disk(disk, n), "data", false, ack, func(error) { fatal.Add(1) }); err != nil {
				stopped++
			}
			if len(acked) == 0 {
				continue // there may be no folder yet
			}
			for _, unsynced := range []int{0, 50, 100} {
				images++
				image := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: newRNG(uint64(n))})
				if err := verify(image, acked); err != nil {
					t.Errorf("%s, at operation %d of %d, with %d%% of what was not synced: %v", fault.what, n, fault.total, unsynced, err)
				}
			}
		}
		t.Logf("%s: %d of %d faults stopped the scenario, Fatal was called %d times, %d crashes behind them", fault.what, stopped, fault.total, fatal.Load(), images)
		if stopped == 0 || fatal.Load() == 0 {
			t.Error("faults went unnoticed")
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
	first, step, ended := total/3, int64(7), 0
	switch {
	case *crashEvery:
		first, step = 1, 1
	case testing.Short():
		step = 15
	}
	for n := first; n <= total; n += step {
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
	t.Logf("%d of %d faults ended the process", ended, (total-first)/step+1)
	if ended == 0 {
		t.Error("faults went unnoticed")
	}
}
