package main

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// harden keeps the process's memory out of core files and away from debuggers of
// the same user, and what it makes away from other users. It does not keep root out of
// anything.
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

// errMayNotLock says that the system does not let this process lock all its memory.
var errMayNotLock = errors.New("the limit of locked memory (RLIMIT_MEMLOCK) is not unlimited")

// lockMemory keeps all memory of the process out of swap, what it will have included.
// Pages are locked as they are used: Go reserves far more than it does. It is tried only
// where the process may lock without a limit, because under one that suffices now the
// process would end later, when it needs memory and does not get it.
func lockMemory() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		return err
	}
	if limit.Cur != unix.RLIM_INFINITY {
		return errMayNotLock
	}
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
		return fmt.Errorf("lock the memory: %w", err)
	}
	return nil
}
