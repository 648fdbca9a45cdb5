//go:build strongroom_volatile

package pebble

import (
	"path/filepath"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// machine is, in this build, the machine's file system with a write-ahead log
// that SIGKILL can hurt. See [volatileFS].
var machine vfs.FS = volatileFS{vfs.Default}

// volatileFS keeps what is written to a write-ahead log and not yet synced in
// the process's own memory. The kernel's page cache outlives a killed process and
// hides a missing sync; this cache does not. It stands for a power cut in tests
// that kill the server: every acknowledged commit must have gone through a sync,
// or it is lost. Other files are written through: a commit is in the log alone
// until the log is synced.
type volatileFS struct{ vfs.FS }

func (v volatileFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return volatile(name)(v.FS.Create(name, category))
}

func (v volatileFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return volatile(newname)(v.FS.ReuseForWrite(oldname, newname, category))
}

// Unwrap implements vfs.FS.
func (v volatileFS) Unwrap() vfs.FS { return v.FS }

// volatile returns what wraps a log's file, and nothing else.
func volatile(name string) func(vfs.File, error) (vfs.File, error) {
	return func(f vfs.File, err error) (vfs.File, error) {
		if err != nil || filepath.Ext(name) != ".log" {
			return f, err
		}
		return &volatileFile{File: f}, nil
	}
}

// volatileFile is a log that is written front to back.
type volatileFile struct {
	vfs.File

	mu     sync.Mutex
	cached []byte // written, not yet synced
}

func (f *volatileFile) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cached = append(f.cached, p...)
	return len(p), nil
}

func (f *volatileFile) Sync() error { return f.write(f.File.Sync) }

func (f *volatileFile) SyncData() error { return f.write(f.File.SyncData) }

// SyncTo promises nothing, as vfs.File allows.
func (f *volatileFile) SyncTo(int64) (fullSync bool, err error) { return false, nil }

// write hands the cache to the file below and syncs it.
func (f *volatileFile) write(sync func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.File.Write(f.cached)
	f.cached = f.cached[n:]
	if err != nil {
		return err
	}
	return sync()
}
