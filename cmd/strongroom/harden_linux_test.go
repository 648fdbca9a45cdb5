package main

import (
	"os"
	"os/exec"
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
