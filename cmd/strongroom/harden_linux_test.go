package main

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestHarden hardens a process of its own: what it does cannot be undone.
func TestHarden(t *testing.T) {
	if os.Getenv("HARDENED_FILE") != "" {
		hardenedProcess(t)
		return
	}
	child := exec.Command(os.Args[0], "-test.run=^TestHarden$", "-test.v")
	child.Env = append(os.Environ(), "HARDENED_FILE="+t.TempDir()+"/file")
	out, err := child.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestHarden") {
		t.Errorf("%v:\n%s", err, out)
	}
}

func hardenedProcess(t *testing.T) {
	if err := harden(); err != nil {
		t.Fatal(err)
	}
	dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err != nil || dumpable != 0 {
		t.Errorf("dumpable is %d, %v", dumpable, err)
	}
	var core unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &core); err != nil || core != (unix.Rlimit{}) {
		t.Errorf("core files may have %+v bytes, %v", core, err)
	}
	file := os.Getenv("HARDENED_FILE")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("a new file has mode %s, %v", info.Mode(), err)
	}
}

// TestLockMemory locks a process of its own, where the system lets it: memory that is
// given back and taken again must still be had.
func TestLockMemory(t *testing.T) {
	if os.Getenv("LOCKED") != "" {
		lockedProcess(t)
		return
	}
	child := exec.Command(os.Args[0], "-test.run=^TestLockMemory$", "-test.v")
	child.Env = append(os.Environ(), "LOCKED=1")
	out, err := child.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestLockMemory") {
		t.Errorf("%v:\n%s", err, out)
	}
}

func lockedProcess(t *testing.T) {
	limit := unix.Rlimit{Cur: 1 << 20, Max: unix.RLIM_INFINITY}
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &before); err != nil {
		t.Fatal(err)
	}
	limit.Max = before.Max
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		t.Fatal(err)
	}
	if err := lockMemory(); !errors.Is(err, errMayNotLock) {
		t.Errorf("under a limit: %v", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}); err != nil {
		t.Log("the rest needs root or an unlimited hard limit:", err)
		return
	}
	if err := lockMemory(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		block := make([]byte, 64<<20)
		for i := range block {
			block[i] = 1
		}
		runtime.KeepAlive(block)
		block = nil
		debug.FreeOSMemory()
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(status), "VmLck:\t       0 kB") {
		t.Errorf("nothing is locked:\n%s", status)
	}
}
