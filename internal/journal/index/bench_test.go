package index

import (
	"context"
	"testing"

	"github.com/strongroom/strongroom/internal/journal"
)

// BenchmarkFollow is what the index costs for each record, off the request path.
func BenchmarkFollow(b *testing.B) {
	r := newRig(b, defaultSegmentRecords)
	n := 0
	for range max(1, b.N/64) {
		var frame []journal.Record
		for range 64 {
			frame = append(frame, r.event("Encrypt", "alice", "k1"))
			n++
		}
		r.commit(frame...)
	}
	b.ReportAllocs()
	b.ResetTimer()
	if err := r.index.CatchUp(context.Background()); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/record")
}
