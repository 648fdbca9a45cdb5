package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/bench/load"
)

func TestSpreadAndMedians(t *testing.T) {
	if got := spreadOf([]float64{9, 1, 5}); got != (spread{5, 1, 9}) {
		t.Errorf("%+v", got)
	}
	if got := spreadOf([]float64{1, 4}); got != (spread{2.5, 1, 4}) {
		t.Errorf("%+v", got)
	}
	if got := spreadOf(nil); got != (spread{}) {
		t.Errorf("of nothing: %+v", got)
	}
	one := sample{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}
	two := sample{3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	if got := medians([]*sample{&one, &two, {}}); got != one {
		t.Errorf("%+v", got)
	}
}

// scripted returns a point that gives samples in turn.
func scripted(name string, empty *point, samples ...sample) *point {
	p := &point{name: name, empty: empty}
	p.measure = func(context.Context, time.Duration) (*sample, error) {
		s := samples[len(p.samples)]
		return &s, nil
	}
	return p
}

func TestRatiosAreOfOneRound(t *testing.T) {
	empty := scripted("empty", nil, sample{Throughput: 100, CPU: 2, Client: 1}, sample{Throughput: 10, CPU: 4, Client: 2})
	own := scripted("Encrypt, 64 connections", empty, sample{Throughput: 50, CPU: 5, Client: 1, P50: 30}, sample{Throughput: 8, CPU: 9, Client: 3, P50: 50})
	table := []row{{own, empty, throughput, 0.6}, {own, nil, p50, 39}}
	r := newReport(options{}, t.TempDir())
	var out bytes.Buffer
	if err := r.measure(t.Context(), options{rounds: 2}, order([][]row{table}), &out); err != nil {
		t.Fatal(err)
	}
	r.sumUp([][]row{table})
	if err := r.print(&out); err != nil {
		t.Fatal(err)
	}
	// The quotient of the medians would be 0.53 and the aim missed.
	if got := r.Rows[0]; got.Ratio != (spread{0.65, 0.5, 0.8}) || !got.Met || got.AtMost {
		t.Errorf("%+v", got)
	}
	if got := r.Rows[1]; got.Ratio.Median != 40 || got.Met || !got.AtMost {
		t.Errorf("%+v", got)
	}
	if got := r.Points[1].Median; got.Ratio != 0.65 || got.CPURatio != 0.5 {
		t.Errorf("%+v", got)
	}
	printed := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{"round 2 of 2", "0.65 0.50–0.80 aim ≥ 0.6, met", "aim ≤ 39, NOT MET"} {
		if !strings.Contains(printed, want) {
			t.Errorf("%q is missing:\n%s", want, out.String())
		}
	}
	path := filepath.Join(t.TempDir(), "bench.json")
	if err := r.write(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var back report
	if err := json.Unmarshal(text, &back); err != nil || len(back.Points) != 2 || len(back.Points[0].Rounds) != 2 || back.Rows[1].Ratio.Median != 40 {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestExecutablesTakeTurns(t *testing.T) {
	empty := scripted("empty", nil)
	a, b := scripted("A: x", empty), scripted("B: x", empty)
	tables := [][]row{{{a, empty, throughput, 0}}, {{b, empty, throughput, 0}}}
	for round, want := range []string{"empty A: x B: x", "empty B: x A: x", "empty A: x B: x"} {
		var names []string
		for _, p := range order(tables)(round) {
			names = append(names, p.name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("round %d: %s, want %s", round, got, want)
		}
	}
}

func TestDifferencesAreWithinRounds(t *testing.T) {
	empty := scripted("empty", nil, sample{Throughput: 1}, sample{Throughput: 1}, sample{Throughput: 1})
	// A is a tenth faster and 2 µs cheaper whatever the machine does, but for one round.
	a := scripted("A: x", empty, sample{Throughput: 110, CPU: 8}, sample{Throughput: 11, CPU: 98}, sample{Throughput: 90, CPU: 11})
	b := scripted("B: x", empty, sample{Throughput: 100, CPU: 10}, sample{Throughput: 10, CPU: 100}, sample{Throughput: 100, CPU: 10})
	tables := [][]row{{{a, empty, throughput, 0}}, {{b, empty, throughput, 0}}}
	r := newReport(options{binary: "/x/new", against: "/x/old"}, t.TempDir())
	var out bytes.Buffer
	if err := r.measure(t.Context(), options{rounds: 3}, order(tables), &out); err != nil {
		t.Fatal(err)
	}
	r.sumUp(tables)
	if err := r.print(&out); err != nil {
		t.Fatal(err)
	}
	want := []string{"A (new) against B (old)", "+10.0 % (-10.0 to +10.0)", "A ahead in 2 of 3 rounds", "-2.00 µs (-2.00 to +1.00); A cheaper in 2 of 3 rounds"}
	for _, part := range want {
		if !strings.Contains(out.String(), part) {
			t.Errorf("%q is missing:\n%s", part, out.String())
		}
	}
}

func TestRowsAreChosenByName(t *testing.T) {
	f, err := newFleet(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	all := rows(newStrongroom(f, "", ""))
	for only, want := range map[string]int{"": len(all), "CreateKey": 1, "Encrypt 32 B 64 connections": 1, "Encrypt 32 B, 64 connections": 1, "Sign": 2, "nonsense": 0} {
		if got := chosen(rows(newStrongroom(f, "", "")), []string{only}); len(got) != want {
			t.Errorf("%q chooses %d rows, want %d", only, len(got), want)
		}
	}
	var out bytes.Buffer
	if err := list(&out, all); err != nil || strings.Count(out.String(), "\n") != len(all) {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// TestConnectionsAreSpread: each of a deployment's nodes has its part of them, and none
// is left over; an alias has two keys that are no other's.
func TestConnectionsAreSpread(t *testing.T) {
	d := &deployment{nodes: 3}
	if a, b, c := d.share(0, 64), d.share(1, 64), d.share(2, 64); a+b+c != 64 || min(a, b, c) != 21 {
		t.Errorf("%d, %d and %d of 64", a, b, c)
	}
	taken := map[int]bool{0: true} // the key that is encrypted with
	for alias := range 64 {
		for turn := range 2 {
			key := aliasKey(alias, turn)
			if taken[key] {
				t.Errorf("key %d is taken twice", key)
			}
			taken[key] = true
		}
	}
	f, err := newFleet(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	points := map[*point]bool{}
	for _, r := range nodeRows(newStrongroom(f, "", "")) {
		points[r.subject], points[r.reference] = true, true
	}
	if want := 4 * 2 * len(operations); len(points) != want { // deployments, loads
		t.Errorf("%d points, want %d", len(points), want)
	}
}

// TestSignerSpeaksKMS checks what is sent where a server looks for it; that its
// signature is right is what every run shows.
func TestSignerSpeaksKMS(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Amz-Target") != "TrentService.CreateKey" || !strings.Contains(r.Header.Get("Authorization"), "AKIAX/") {
			http.Error(w, "not what a KMS is asked", http.StatusBadRequest)
			return
		}
		_, _ = w.Write([]byte(`{"KeyMetadata":{"KeyId":"some"}}`))
	}))
	t.Cleanup(s.Close)
	signer := &load.Signer{Addr: s.Listener.Addr().String(), AccessKeyID: "AKIAX", SecretAccessKey: "secret"}
	var created struct{ KeyMetadata struct{ KeyID string } }
	if err := signer.Call(t.Context(), "CreateKey", "{}", &created); err != nil || created.KeyMetadata.KeyID != "some" {
		t.Errorf("%+v %v", created, err)
	}
}
