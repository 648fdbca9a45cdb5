package main

import (
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/e2e/binary"
)

// lines are windows whose memory and p99 go from one value to another, evenly.
func lines(n int, fromMB, toMB, fromP99, toP99 float64) (all []line) {
	for i := range n {
		at := float64(i) / float64(n-1)
		all = append(all, line{
			memory: binary.Memory{Anonymous: int64(1e6 * (fromMB + at*(toMB-fromMB)))},
			p99:    time.Duration(1e6 * (fromP99 + at*(toP99-fromP99))),
		})
	}
	return all
}

func TestGrowthFails(t *testing.T) {
	o := options{memory: 1.15, p99: 1.5, others: 0.2}
	disturbed := func(all []line, from, to int) []line {
		for i := range all[from:to] {
			all[from+i].others, all[from+i].p99 = 0.3, time.Second
		}
		return all
	}
	for name, c := range map[string]struct {
		lines []line
		want  string
	}{
		"steady":             {lines(30, 100, 100, 5, 5), ""},
		"better":             {lines(30, 100, 50, 5, 2), ""},
		"a leak":             {lines(30, 100, 200, 5, 5), "memory has grown"},
		"drift":              {lines(30, 100, 100, 5, 20), "p99 has grown"},
		"a warm-up":          {append(lines(3, 10, 90, 50, 5), lines(27, 100, 100, 5, 5)...), ""},
		"one slow window":    {append(lines(29, 100, 100, 5, 5), line{memory: binary.Memory{Anonymous: 100e6}, p99: time.Second}), ""},
		"as few as there be": {lines(10, 100, 100, 5, 5), ""},
		"others at times":    {disturbed(lines(30, 100, 100, 5, 5), 23, 29), ""},
		"others and drift":   {disturbed(lines(30, 100, 100, 5, 20), 23, 27), "p99 has grown"},
		"others all along":   {disturbed(lines(30, 100, 100, 5, 5), 3, 30), "to tell how p99 went"},
	} {
		err := judge(c.lines, o)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestMixStaysWithinQuotas(t *testing.T) {
	m := &mix{keys: []string{"a", "b"}, ciphertexts: []string{"x", "y"}, rotations: map[string]int{}}
	for range 100 {
		before := m.rotated
		m.turned = map[string]bool{}
		for range 3000 {
			m.next()
		}
		if m.rotated-before > len(m.keys) {
			t.Fatalf("%d rotations of %d keys in one window", m.rotated-before, len(m.keys))
		}
	}
	if m.rotated != len(m.keys)*mostRotations || m.made == 0 || m.policies == 0 {
		t.Errorf("%d rotations, %d keys, %d policies", m.rotated, m.made, m.policies)
	}
}
