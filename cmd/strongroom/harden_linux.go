package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// harden keeps the process's memory out of core files and away from debuggers of
// the same user, and what it makes away from other users. It does not keep memory
// out of swap, nor root out of anything.
func harden() error {
	unix.Umask(0o077)
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core files: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("make the process non-dumpable: %w", err)
	}
	return nil
}
