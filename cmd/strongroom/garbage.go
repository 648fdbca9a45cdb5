package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// The heap may grow to five times what is in use before it is collected: a server that
// holds little would otherwise collect many times a second under load. One that holds
// much would take many times as much, so that what is garbage is bounded, too; but at
// least a part of what a collection looks through may be, or nothing but collecting
// would be done. Packed keys are not looked through.
const (
	mostPercent  = 400
	leastPercent = 60
	mostGarbage  = 64 << 20 // bytes
)

// gcPercent is by how much the heap may grow beyond what is in use, in percent. The
// collector looks through scanned bytes of it.
func gcPercent(inUse, scanned uint64) int {
	garbage := max(mostGarbage, scanned*leastPercent/100)
	return int(min(garbage*100/max(inUse, 1), mostPercent))
}

// boundGarbage sets that after each collection, unless the environment says how.
func boundGarbage() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(mostPercent)
		adjustGarbage(mostPercent)
	}
}

// adjustGarbage sets the percentage if it is not almost what was set last, and does so
// again after the next collection.
func adjustGarbage(last int) {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/heap:bytes"}}
	metrics.Read(sample)
	if percent := gcPercent(sample[0].Value.Uint64(), sample[1].Value.Uint64()); percent*10 < last*9 || percent*10 > last*11 {
		debug.SetGCPercent(percent)
		last = percent
	}
	// What nobody has any more is cleaned up when a collection has found it.
	runtime.AddCleanup(new([64]byte), adjustGarbage, last)
}
