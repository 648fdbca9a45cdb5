package crash

import (
	"strings"
	"testing"
	"time"
)

func TestQuantile(t *testing.T) {
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i+1))
	}
	for _, c := range []struct {
		of   []time.Duration
		q    float64
		want time.Duration
	}{{hundred, 0.5, 50}, {hundred, 0.99, 99}, {hundred, 1, 100}, {hundred[:1], 0.99, 1}, {hundred[:10], 0.99, 10}, {hundred[:2], 0.5, 1}} {
		if got := quantile(c.of, c.q); got != c.want {
			t.Errorf("quantile(%d, %v) is %d, want %d", len(c.of), c.q, got, c.want)
		}
	}
}

func TestReportAddsUp(t *testing.T) {
	one := &Report{Folders: 1, Kills: 2, KilledStarting: 3, Keys: 4, Adopted: 5, Ciphertexts: 6, Grants: 7, Imports: 8, Rotations: 9, Calls: 10, Records: 11,
		Restarts: []Restart{{Ready: time.Second, Answer: 2 * time.Second, CPU: time.Millisecond}}, Violations: []string{"gone"}}
	sum := &Report{}
	if text := sum.String(); !strings.HasSuffix(text, "no restart") {
		t.Error(text)
	}
	sum.add(one)
	sum.add(one)
	const want = "4 kills (and 6 while starting) in 2 data folders, 8 keys (10 of unanswered calls), 12 ciphertexts, 14 grants, 16 imports, 18 domain keys, 20 calls acknowledged, 22 records, 2 violations; " +
		"2 restarts: ready after p50 1s, p99 1s, at most 1s; first answer after p50 2s, p99 2s, at most 2s; processor time until then p50 1ms, p99 1ms, at most 1ms"
	if got := sum.String(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}
