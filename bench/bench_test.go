package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestQuantileAndMedian(t *testing.T) {
	var sorted []time.Duration
	for i := range 101 {
		sorted = append(sorted, time.Duration(i)*time.Microsecond)
	}
	if got := quantile(sorted, 50); got != 50 {
		t.Errorf("p50 %v", got)
	}
	if got := quantile(sorted, 99); got != 99 {
		t.Errorf("p99 %v", got)
	}
	if got := quantile(nil, 99); got != 0 {
		t.Errorf("p99 of nothing %v", got)
	}
	throughput := func(s *sample) float64 { return s.Throughput }
	if got := median([]*sample{{Throughput: 9}, {Throughput: 1}, {Throughput: 5}}, throughput); got != 5 {
		t.Errorf("median %v", got)
	}
	if got := median([]*sample{{Throughput: 1}, {Throughput: 4}}, throughput); got != 2.5 {
		t.Errorf("median %v", got)
	}
}

// echo returns a server that answers with the body that it got, or refuses it.
func echo(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if string(body) == "refuse" {
			http.Error(w, "no", http.StatusBadRequest)
			return
		}
		_, _ = w.Write(body)
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// post returns a request as bytes.
func post(body string) []byte {
	var raw bytes.Buffer
	req := httptest.NewRequest(http.MethodPost, "http://bench/", strings.NewReader(body))
	if err := req.Write(&raw); err != nil {
		panic(err)
	}
	return raw.Bytes()
}

func TestClientReadsWholeAnswers(t *testing.T) {
	c, err := dial(t.Context(), echo(t), post("hello"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.conn.Close()
	for range 3 { // on one connection: what is left over would break the next
		if err := c.call(); err != nil || string(c.body) != "hello" {
			t.Fatalf("%q %v", c.body, err)
		}
	}
	c.request = post("refuse")
	if err := c.call(); err == nil || !strings.Contains(err.Error(), "400") || !strings.Contains(err.Error(), "no") {
		t.Fatalf("a refusal is %v", err)
	}
}

func TestRoundsAndReport(t *testing.T) {
	addr := echo(t)
	requests := func(n int) ([][]byte, error) {
		all := make([][]byte, n)
		for i := range all {
			all[i] = post("x")
		}
		return all, nil
	}
	spent := time.Duration(0)
	cpu := func() (time.Duration, error) {
		spent += time.Second
		return spent, nil
	}
	targets := []target{
		{baseline, func() string { return addr }, nil, requests},
		{"other", func() string { return addr }, cpu, requests},
	}
	r := &report{}
	var out bytes.Buffer
	if err := r.measure(t.Context(), options{rounds: 2, duration: 20 * time.Millisecond, concurrency: []int{1, 3}}, targets, &out); err != nil {
		t.Fatal(err)
	}
	if len(r.Results) != 4 {
		t.Fatalf("%d results", len(r.Results))
	}
	for _, one := range r.Results {
		if len(one.Rounds) != 2 || one.Median.Requests == 0 || one.Median.Throughput <= 0 || one.Median.P99 < one.Median.P50 {
			t.Errorf("%+v", one)
		}
		if counted := one.Rounds[0].CPU * float64(one.Rounds[0].Requests); counted > 0 != (one.Target == "other") || counted > 1.1e6 {
			t.Errorf("%s: %v µs of processor time, want a second for the one that tells", one.Target, counted)
		}
		if one.Target == baseline && one.Median.Ratio != 1 {
			t.Errorf("the baseline's ratio to itself is %v", one.Median.Ratio)
		}
	}
	if err := r.table(&out); err != nil || !strings.Contains(out.String(), "of net/http") {
		t.Errorf("%v\n%s", err, out.String())
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
	if err := json.Unmarshal(text, &back); err != nil || len(back.Results) != 4 || back.Results[3].Target != "other" {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestRefusalEndsAMeasurement(t *testing.T) {
	addr := echo(t)
	_, err := measure(t.Context(), target{addr: func() string { return addr }}, [][]byte{post("x"), post("refuse")}, time.Minute)
	if err == nil || !strings.Contains(err.Error(), "400") {
		t.Fatalf("got %v", err)
	}
}
