package load

import (
	"math/bits"
	"time"
)

// Histogram counts latencies in buckets whose width is at most 1/128 of what
// falls into them, up to any latency, in memory of a fixed size: what it says of a
// quantile is at most that much too high. The zero value is empty.
type Histogram struct {
	counts [buckets]uint64
	total  uint64
	most   time.Duration
}

const (
	fineBits = 7 // a power of two is cut into 2^fineBits buckets
	buckets  = (64 - fineBits) << fineBits
)

// bucketOf returns where a latency is counted: those below 2^fineBits nanoseconds
// have a bucket each.
func bucketOf(d time.Duration) int {
	n := uint64(max(d, 0))
	shift := max(bits.Len64(n)-fineBits-1, 0)
	return shift<<fineBits + int(n>>shift)
}

// highest returns the longest latency that is counted in a bucket.
func highest(bucket int) time.Duration {
	shift := max(bucket>>fineBits-1, 0)
	fine := uint64(bucket - shift<<fineBits)
	return time.Duration((fine+1)<<shift - 1)
}

// Record counts a latency.
func (h *Histogram) Record(d time.Duration) {
	h.counts[bucketOf(d)]++
	h.total++
	h.most = max(h.most, d)
}

// Add counts all that another histogram has.
func (h *Histogram) Add(other *Histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
	h.most = max(h.most, other.most)
}

// Count returns how many latencies were counted.
func (h *Histogram) Count() int { return int(h.total) }

// Max returns the longest latency, exactly.
func (h *Histogram) Max() time.Duration { return h.most }

// Quantile returns the latency that a share q, from 0 to 1, of those counted do not
// exceed; 0 when there is none.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := max(uint64(q*float64(h.total)+0.5), 1)
	for i, n := range h.counts {
		if n >= rank {
			return min(highest(i), h.most)
		}
		rank -= n
	}
	return h.most
}
