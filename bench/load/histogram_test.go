package load

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestBucketsHoldWhatTheyCount(t *testing.T) {
	last := -1
	for n := range uint64(1 << 12) {
		b := bucketOf(time.Duration(n))
		if b != last && b != last+1 {
			t.Fatalf("%d is in bucket %d, the one before it in %d", n, b, last)
		}
		last = b
	}
	for _, d := range []time.Duration{0, 1, 127, 128, 129, 255, 256, 257, time.Microsecond, time.Second, time.Hour, math.MaxInt64} {
		b := bucketOf(d)
		if b < 0 || b >= buckets {
			t.Fatalf("%d is in bucket %d of %d", d, b, buckets)
		}
		if high := highest(b); high < d || float64(high-d) > float64(d)/128 {
			t.Errorf("the bucket of %d ends at %d", d, high)
		}
	}
}

func TestQuantilesAreThoseOfASortedList(t *testing.T) {
	source := rand.New(rand.NewPCG(1, 2))
	var h, half Histogram
	var all []time.Duration
	for i := range 10_000 {
		d := time.Duration(math.Exp(source.Float64()*20)) * time.Nanosecond
		all = append(all, d)
		if i%2 == 0 {
			half.Record(d)
		} else {
			h.Record(d)
		}
	}
	h.Add(&half)
	slices.Sort(all)
	for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.999, 1} {
		want := all[max(int(q*float64(len(all))+0.5), 1)-1]
		if got := h.Quantile(q); got < want || float64(got-want) > float64(want)/100 {
			t.Errorf("quantile %v is %d, want %d", q, got, want)
		}
	}
	if h.Count() != len(all) || h.Max() != all[len(all)-1] {
		t.Errorf("%d latencies, the longest %d", h.Count(), h.Max())
	}
	if got := (&Histogram{}).Quantile(0.99); got != 0 {
		t.Errorf("p99 of nothing is %v", got)
	}
}
