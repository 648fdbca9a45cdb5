package load

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// echo returns a server that answers with the body that it got, or refuses it.
func echo(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if string(body) == "refuse" {
			http.Error(w, "no", http.StatusBadRequest)
			return
		}
		if string(body) == "slow" {
			time.Sleep(20 * time.Millisecond)
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body))) // or net/http sends a long one in chunks
		_, _ = w.Write(body)
	}))
	t.Cleanup(s.Close)
	return s
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

func TestConnReadsWholeAnswers(t *testing.T) {
	s := echo(t)
	s.Start()
	c, err := Dial(t.Context(), s.Listener.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, body := range []string{"hello", "", strings.Repeat("long", 10_000), "again"} { // what is left over would break the next
		text, err := c.Call(post(body))
		if err != nil || !strings.HasSuffix(string(text), "\r\n\r\n"+body) {
			t.Fatalf("%q %v", text, err)
		}
	}
	if _, err := c.Call(post("refuse")); err == nil || !strings.Contains(err.Error(), "400") || !strings.Contains(err.Error(), "no") {
		t.Fatalf("a refusal is %v", err)
	}
}

func TestAnswer(t *testing.T) {
	const header = "HTTP/1.1 200 OK\r\nServer: x\r\ncontent-LENGTH: 3\r\n\r\n"
	for text, want := range map[string]int{
		"":                  0,
		header[:20]:         0,
		header:              len(header) + 3,
		header + "abc":      len(header) + 3,
		header + "abcdef":   len(header) + 3,
		"HTTP/1.1 400 No\r": 0,
		"HTTP/1.1 400 No\r\nContent-Length: 2\r\n\r\nn": 0,
	} {
		if got, err := answer([]byte(text)); got != want || err != nil {
			t.Errorf("%q: %d %v, want %d", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"HTTP/1.1 400 No\r\nContent-Length: 2\r\n\r\nno":  "400 No: no",
		"HTTP/1.1 200 OK\r\n\r\n":                         "without a length",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n":   "wrong length",
		"HTTP/1.1 200 OK\r\nContent-Length: 1e99\r\n\r\n": "wrong length",
		"Nonsense\r\n\r\n":                                "not an answer",
	} {
		if _, err := answer([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// loops are the two of them: a goroutine for each connection, which TLS has.
func loops(t *testing.T, do func(t *testing.T, cfg Config)) {
	for _, secured := range []bool{false, true} {
		name := "plain"
		if secured {
			name = "TLS"
		}
		t.Run(name, func(t *testing.T) {
			s, cfg := echo(t), Config{Connections: 3, WarmUp: 5 * time.Millisecond, Duration: 40 * time.Millisecond}
			if secured {
				s.StartTLS()
				cfg.TLS = &tls.Config{RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, ServerName: "example.com"}
			} else {
				s.Start()
			}
			cfg.Addr = s.Listener.Addr().String()
			do(t, cfg)
		})
	}
}

func TestClosedLoop(t *testing.T) {
	loops(t, func(t *testing.T, cfg Config) {
		marks := 0
		cfg.Requests, cfg.Mark = [][]byte{post("a"), post("b"), post("c"), post(strings.Repeat("d", 40_000))}, func() error { marks++; return nil }
		result, err := Run(t.Context(), cfg)
		for range 8 { // a busy machine
			if err == nil && result.Took >= cfg.Duration/2 || err != nil && !errors.Is(err, ErrNothing) {
				break
			}
			marks, cfg.Duration = 0, 2*cfg.Duration
			result, err = Run(t.Context(), cfg)
		}
		if err != nil {
			t.Fatal(err)
		}
		if marks != 2 || result.Latency.Count() == 0 || result.Took < cfg.Duration/2 {
			t.Errorf("%d marks, %d answers in %v", marks, result.Latency.Count(), result.Took)
		}
	})
}

// Requests are sent in their order, however long one of the connections is busy: the last
// is not due in time.
func TestOpenLoopKeepsTheOrder(t *testing.T) {
	loops(t, func(t *testing.T, cfg Config) {
		cfg.WarmUp, cfg.Rate = 0, 1000
		cfg.Requests = [][]byte{post("slow")}
		for range 39 {
			cfg.Requests = append(cfg.Requests, post("a"))
		}
		cfg.Requests = append(cfg.Requests, post("refuse"))
		result, err := Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if got := result.Latency.Count(); got != 40 {
			t.Errorf("%d answers to 40 requests", got)
		}
	})
}

func TestOpenLoopSendsWhatIsDue(t *testing.T) {
	loops(t, func(t *testing.T, cfg Config) {
		cfg.Requests, cfg.Rate = [][]byte{post("a")}, 1000
		result, err := Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if got := result.Latency.Count(); got != 40 {
			t.Errorf("%d answers to what was due in 40 ms at 1,000 a second", got)
		}
	})
}

func TestTotalSendsEachRequestOnce(t *testing.T) {
	loops(t, func(t *testing.T, cfg Config) {
		for _, total := range []int{1, 2, 50} {
			marks := 0
			cfg.Requests, cfg.Total, cfg.Mark = [][]byte{post("a")}, total, func() error { marks++; return nil }
			result, err := Run(t.Context(), cfg)
			if err != nil || result.Latency.Count() != total || marks != 2 || result.Took <= 0 {
				t.Errorf("%d: %+v %d marks %v", total, result, marks, err)
			}
		}
	})
}

// TestOpenLoopCountsFromWhenRequestsWereDue holds the first answer back until the
// measured part is over: all that was due meanwhile was late by as much.
func TestOpenLoopCountsFromWhenRequestsWereDue(t *testing.T) {
	const duration = 50 * time.Millisecond
	over := make(chan struct{})
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if asked.Add(1) == 1 {
			<-over
		}
	}))
	t.Cleanup(s.Close)
	marks := 0
	result, err := Run(t.Context(), Config{
		Addr: s.Listener.Addr().String(), Requests: [][]byte{post("")}, Connections: 1, Rate: 1000, Duration: duration,
		Mark: func() error {
			if marks++; marks == 2 {
				close(over)
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := result.Latency.Count(); got != 50 {
		t.Errorf("%d answers, want all 50 that were due", got)
	}
	if got := result.Latency.Quantile(0.5); got < duration/2-time.Millisecond {
		t.Errorf("half of them took %v or less, although they waited for the first, which took %v", got, duration)
	}
}

func TestRefusalEndsTheLoad(t *testing.T) {
	loops(t, func(t *testing.T, cfg Config) {
		cfg.Requests, cfg.Duration = [][]byte{post("a"), post("refuse")}, time.Minute
		if _, err := Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "400") {
			t.Errorf("got %v", err)
		}
	})
}

func TestCallerCanGiveUp(t *testing.T) {
	loops(t, func(t *testing.T, cfg Config) {
		ctx, cancel := context.WithCancel(t.Context())
		cfg.Requests, cfg.Duration, cfg.WarmUp = [][]byte{post("a")}, time.Minute, 0
		cfg.Mark = func() error { cancel(); return nil }
		if _, err := Run(ctx, cfg); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}
