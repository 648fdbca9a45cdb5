package main

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestGarbageIsBounded(t *testing.T) {
	for inUse, want := range map[uint64]int{
		0: 400, 1: 400, 10 << 20: 400, 16 << 20: 400, 32 << 20: 200, 64 << 20: 100, 80 << 20: 80, 128 << 20: 60, 1 << 30: 60, 1 << 40: 60,
	} {
		if got := gcPercent(inUse); got != want {
			t.Errorf("with %d bytes in use the heap may grow by %d %%, want %d", inUse, got, want)
		}
	}
}

// TestGarbageIsBoundedAfterEachCollection holds much, lets go of it, and sees the
// percentage follow.
func TestGarbageIsBoundedAfterEachCollection(t *testing.T) {
	set := func() int {
		percent := debug.SetGCPercent(-1)
		debug.SetGCPercent(percent)
		return percent
	}
	defer debug.SetGCPercent(set())
	t.Setenv("GOGC", "")
	boundGarbage()
	if got := set(); got != mostPercent {
		t.Fatalf("the heap may grow by %d %% at first", got)
	}
	until := func(what string, done func(percent int) bool) {
		t.Helper()
		for !done(set()) {
			if t.Context().Err() != nil {
				t.Fatalf("%s: the heap may grow by %d %%", what, set())
			}
			runtime.GC()
			runtime.Gosched()
		}
	}
	held := make([]byte, 200<<20)
	until("with 200 MiB in use", func(percent int) bool { return percent == leastPercent })
	runtime.KeepAlive(held)
	held = nil
	until("with little in use", func(percent int) bool { return percent > 2*leastPercent })
}
