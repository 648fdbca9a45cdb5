//go:build !linux

package main

import (
	"os"
	"time"
)

// fileSystem names the file system that a folder is on, where it is known how.
func fileSystem(string) string { return "unknown" }

// endedTime is the processor time of a process's children that have ended; 0 where that
// is not known.
func endedTime(int) time.Duration { return 0 }

// dataSync makes what was written to a file durable.
func dataSync(file *os.File) error { return file.Sync() }
