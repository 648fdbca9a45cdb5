package front

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/wire"
)

// logged collects a log for a test.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logged) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func TestConfig(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no handler":       {},
		"a negative limit": {Handler: ok, MaxBodyBytes: -1},
		"a negative time":  {Handler: ok, IdleTimeout: -1},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestPanicEndsOneRequest(t *testing.T) {
	const canary = "correct horse battery staple"
	for name, handler := range map[string]func(req *wire.Request){
		"with a value of the request": func(req *wire.Request) { panic(string(req.Body)) },
		"with a runtime error":        func(req *wire.Request) { _ = req.Body[len(req.Body)] },
		"with nil":                    func(*wire.Request) { panic(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			var log logged
			addr, _ := start(t, Config{Log: log.logger(), Handler: func(_ context.Context, req *wire.Request, resp *wire.Response) {
				resp.Status = 200
				resp.Headers = append(resp.Headers, wire.Header{Name: "x-amzn-RequestId", Value: "7a6e1d2c"}, wire.Header{Name: "X-Other", Value: canary})
				resp.Body = req.Body
				handler(req)
			}})
			for range 2 {
				answer := send(t, addr, fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(canary), canary))
				wantStatus(t, answer, 500)
				if !strings.Contains(answer, "\r\nx-amzn-RequestId: 7a6e1d2c\r\n") || strings.Contains(answer, canary) {
					t.Errorf("got %q", answer)
				}
			}
			if s := log.String(); strings.Contains(s, canary) || !strings.Contains(s, "requestId=7a6e1d2c") || !strings.Contains(s, "lifecycle_test.go") {
				t.Errorf("logged %s", s)
			}
		})
	}
}

func TestNoStatusIsAnError(t *testing.T) {
	addr, _ := start(t, Config{Handler: func(context.Context, *wire.Request, *wire.Response) {}})
	wantStatus(t, send(t, addr, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 500)
}

// TestRefusalsAreLoggedWithoutTheirBytes sends secrets in places that cannot be
// read.
func TestRefusalsAreLoggedWithoutTheirBytes(t *testing.T) {
	const canary = "wJalrXUtnFEMI"
	var log logged
	addr, _ := start(t, Config{Handler: ok, Log: log.logger()})
	for _, raw := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: " + canary + "\x00\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\n" + canary + "\r\n\r\n",
		"GET /?" + canary + "\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
		canary + "\r\n\r\n",
	} {
		if answer := send(t, addr, raw); strings.Contains(answer, canary) {
			t.Errorf("answered %q", answer)
		}
	}
	if s := log.String(); strings.Contains(s, canary) || strings.Count(s, "request refused") != 4 {
		t.Errorf("logged %s", s)
	}
}

func TestSlowClients(t *testing.T) {
	addr, _ := start(t, Config{Handler: ok, ReadTimeout: 3 * time.Second, IdleTimeout: 3 * time.Second})
	for name, tt := range map[string]struct {
		raw    string
		status int // 0: closed without an answer
	}{
		"nothing":              {"", 0},
		"half a request line":  {"GET / HT", 408},
		"half the headers":     {"GET / HTTP/1.1\r\nHost: a\r\nX-A: ", 408},
		"half the body":        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc", 408},
		"half a chunk":         {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\na\r\nabc", 408},
		"no body after Expect": {"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n", 100},
		"idle":                 {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := send(t, addr, tt.raw)
			if tt.status == 0 {
				if answer != "" {
					t.Errorf("got %q", answer)
				}
				return
			}
			wantStatus(t, answer, tt.status)
		})
	}
}

// TestSlowTrickle sends a header line now and again, each well within the timeout.
func TestSlowTrickle(t *testing.T) {
	addr, _ := start(t, Config{Handler: unwanted(t), ReadTimeout: 2 * time.Second})
	c := dial(t, addr)
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: a\r\n")
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	ended := make(chan string, 1)
	go func() {
		answer, _ := io.ReadAll(c)
		ended <- string(answer)
	}()
	for {
		select {
		case <-tick.C:
			fmt.Fprint(c, "A: b\r\n") // fails once the server has had enough
		case answer := <-ended:
			wantStatus(t, answer, 408)
			return
		}
	}
}

// wantClosed asserts that the server closes a connection without an answer.
func wantClosed(t *testing.T, c net.Conn) {
	t.Helper()
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil || isTimeout(err) {
		t.Errorf("read %d bytes, %v; want the connection closed", n, err)
	}
}

func TestMaxConns(t *testing.T) {
	for name, cfg := range map[string]Config{"in all": {MaxConns: 2}, "of one peer": {MaxConnsPerIP: 2}} {
		t.Run(name, func(t *testing.T) {
			var log logged
			cfg.Handler, cfg.Log = ok, log.logger()
			addr, s := start(t, cfg)
			use := func(c net.Conn) {
				t.Helper()
				fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
				if resp, _ := readAnswer(t, bufio.NewReader(c), "GET"); resp.StatusCode != 200 {
					t.Errorf("got %s", resp.Status)
				}
			}
			a, b := dial(t, addr), dial(t, addr)
			use(a)
			use(b)
			for range 3 {
				wantClosed(t, dial(t, addr))
			}
			if n := strings.Count(log.String(), "level=WARN"); n != cfg.MaxConns/2 {
				t.Errorf("%d warnings:\n%s", n, &log)
			}
			a.Close()
			s.waitForConns(t, 1)
			use(dial(t, addr))
			use(b)
		})
	}
}

// waitForConns returns once n connections are open.
func (s *Server) waitForConns(t *testing.T, n int) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		s.mu.Lock()
		open := len(s.conns)
		s.mu.Unlock()
		if open == n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are open; want %d", open, n)
		}
		runtime.Gosched()
	}
}

func TestPeersAreCountedApart(t *testing.T) {
	same := func(a, b string) bool {
		x := &conn{remote: addrPort(fakeConn{a})}
		y := &conn{remote: addrPort(fakeConn{b})}
		return x.peer() == y.peer()
	}
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1:1", "192.0.2.1:2", true},
		{"192.0.2.1:1", "192.0.2.2:1", false},
		{"192.0.2.1:1", "[::ffff:192.0.2.1]:2", true},
		{"[2001:db8::1]:1", "[2001:db8::ffff:2]:1", true},
		{"[2001:db8::1]:1", "[2001:db8:0:1::1]:1", false},
	} {
		if same(tt.a, tt.b) != tt.same {
			t.Errorf("%s and %s", tt.a, tt.b)
		}
	}
}

type fakeConn struct{ remote string }

func (f fakeConn) RemoteAddr() net.Addr {
	a, err := net.ResolveTCPAddr("tcp", f.remote)
	if err != nil {
		panic(err)
	}
	return a
}

func TestShutdownFinishesWhatIsUnderWay(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	addr, s := start(t, Config{Handler: func(ctx context.Context, req *wire.Request, resp *wire.Response) {
		if req.Target == "/slow" {
			close(entered)
			<-leave
			if ctx.Err() != nil {
				t.Error("the handler's context has ended")
			}
		}
		ok(ctx, req, resp)
	}})
	fresh, idle, slow := dial(t, addr), dial(t, addr), dial(t, addr)
	fmt.Fprint(idle, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	idleReader := bufio.NewReader(idle)
	readAnswer(t, idleReader, "GET")
	fmt.Fprint(slow, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
	<-entered
	s.waitForConns(t, 3)

	down := make(chan error, 1)
	go func() { down <- s.Shutdown(context.Background()) }()
	wantClosed(t, fresh)
	if _, err := idleReader.ReadByte(); err != io.EOF {
		t.Errorf("an idle connection: %v", err)
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("a connection is accepted after Shutdown")
	}
	select {
	case err := <-down:
		t.Errorf("Shutdown returned %v with a request under way", err)
	default:
	}
	close(leave)
	answer, err := io.ReadAll(slow)
	if err != nil || !strings.HasSuffix(string(answer), "GET /slow 0") || !strings.Contains(string(answer), "Connection: close") {
		t.Errorf("got %q, %v", answer, err)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
}

// TestAnEmptyLineBeginsNoRequest: what some clients send behind a body is no request that
// has begun, which Shutdown would wait for and which would end in an answer of its own.
func TestAnEmptyLineBeginsNoRequest(t *testing.T) {
	addr, s := start(t, Config{Handler: ok, ReadTimeout: 2 * time.Second})
	c := dial(t, addr)
	r := bufio.NewReader(c)
	fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\r\n")
	readAnswer(t, r, "POST")
	for range 2 { // as long as a request may take, each time
		slow := dial(t, addr)
		fmt.Fprint(slow, "GET / HT")
		answer, err := io.ReadAll(slow)
		if err != nil {
			t.Fatal(err)
		}
		wantStatus(t, string(answer), 408)
		slow.Close()
	}
	fmt.Fprint(c, "GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
	if resp, body := readAnswer(t, r, "GET"); resp.StatusCode != 200 || body != "GET /next 0" {
		t.Errorf("got %s %q", resp.Status, body)
	}
	fmt.Fprint(c, "GET /last HTTP/1.1\r\nHost: a\r\n\r\n\r\n")
	readAnswer(t, r, "GET")
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		t.Errorf("got %q, %v", rest, err)
	}
}

// TestShutdownLosesNoRequestThatBegins sends first requests in two pieces while the
// server is told to end.
func TestShutdownLosesNoRequestThatBegins(t *testing.T) {
	for range 50 {
		s, err := New(Config{Handler: ok})
		if err != nil {
			t.Fatal(err)
		}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- s.Serve(ln) }()
		c := dial(t, ln.Addr().String())
		s.waitForConns(t, 1)
		down := make(chan error, 1)
		go func() { down <- s.Shutdown(context.Background()) }()
		fmt.Fprint(c, "GET / HTTP/1.1\r\n")
		runtime.Gosched()
		fmt.Fprint(c, "Host: a\r\n\r\n") // fails when the connection has ended before
		answer, _ := io.ReadAll(c)
		if len(answer) > 0 {
			wantStatus(t, string(answer), 200)
		}
		if err := errors.Join(<-down, <-served); err != nil {
			t.Error(err)
		}
	}
}

func TestShutdownRunsOutOfPatience(t *testing.T) {
	entered := make(chan struct{})
	addr, s := start(t, Config{Handler: func(ctx context.Context, req *wire.Request, resp *wire.Response) {
		close(entered)
		<-ctx.Done()
		ok(ctx, req, resp)
	}})
	c := dial(t, addr)
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-entered
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown returned %v", err)
	}
	wantClosed(t, c)
}

func TestServeAfterShutdown(t *testing.T) {
	s, err := New(Config{Handler: ok})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(ln); err != nil {
		t.Error(err)
	}
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is still open: %v", err)
	}
}

// TestServeFails hands on what a listener fails with for good.
func TestServeFails(t *testing.T) {
	s, err := New(Config{Handler: ok})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if err := s.Serve(ln); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}
