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
		if got := gcPercent(inUse, inUse); got < want-1 || got > want {
			t.Errorf("with %d bytes in use the heap may grow by %d %%, want %d", inUse, got, want)
		}
	}
	// What is not looked through leaves the bound as it is.
	for inUse, want := range map[uint64]int{16 << 20: 400, 64 << 20: 100, 256 << 20: 25, 1 << 30: 6} {
		if got := gcPercent(inUse, 16<<20); got != want {
			t.Errorf("with %d bytes in use, most of them packed, the heap may grow by %d %%, want %d", inUse, got, want)
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
	packed := make([]byte, 256<<20)
	until("with 256 MiB in use that are not looked through", func(percent int) bool { return percent <= 25 && percent > 15 })
	runtime.KeepAlive(packed)
	packed = nil
	held := make([]*byte, 128<<20/8)
	until("with 128 MiB in use", func(percent int) bool { return percent > leastPercent*8/10 && percent <= leastPercent })
	runtime.KeepAlive(held)
	held = nil
	until("with little in use", func(percent int) bool { return percent > 2*leastPercent })
}
