package front

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/wire"
)

// patience is how long a test waits for something that does not come. No test that
// passes waits for it.
const patience = time.Minute

// start serves cfg on a free port until the test ends.
func start(t testing.TB, cfg Config) (addr string, s *Server) {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String(), s
}

func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// send writes raw bytes and returns everything that comes back until the server
// closes the connection.
func send(t testing.TB, addr, raw string) string {
	t.Helper()
	c := dial(t, addr)
	if _, err := io.WriteString(c, raw); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("after %q: %v", answer, err)
	}
	return string(answer)
}

// readAnswer reads one answer from a connection that stays open.
func readAnswer(t testing.TB, r *bufio.Reader, method string) (*http.Response, string) {
	t.Helper()
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// ok answers 200 and says what it saw.
func ok(_ context.Context, req *wire.Request, resp *wire.Response) {
	resp.Status = 200
	resp.ContentType = "application/x-amz-json-1.1"
	resp.Headers = append(resp.Headers, wire.Header{Name: "x-amzn-RequestId", Value: "7a6e1d2c"})
	resp.Body = fmt.Appendf(nil, "%s %s %d", req.Method, req.Target, len(req.Body))
}

// unwanted fails the test when a request reaches it.
func unwanted(t *testing.T) Handler {
	return func(_ context.Context, req *wire.Request, resp *wire.Response) {
		t.Errorf("the handler got %s %s", req.Method, req.Target)
		resp.Status = 200
	}
}

func wantStatus(t testing.TB, answer string, status int) {
	t.Helper()
	if !strings.HasPrefix(answer, fmt.Sprintf("HTTP/1.1 %d ", status)) {
		t.Errorf("want status %d, got %q", status, answer)
	}
}

func TestRequestArrivesAsItWasSent(t *testing.T) {
	var got wire.Request
	addr, _ := start(t, Config{Handler: func(ctx context.Context, req *wire.Request, resp *wire.Response) {
		// What belongs to the front is copied; see wire.Request.
		got = wire.Request{Method: strings.Clone(req.Method), Target: strings.Clone(req.Target),
			Body: bytes.Clone(req.Body), Remote: req.Remote, TLS: req.TLS}
		for _, h := range req.Headers {
			got.Headers = append(got.Headers, wire.Header{Name: strings.Clone(h.Name), Value: strings.Clone(h.Value)})
		}
		ok(ctx, req, resp)
	}})
	c := dial(t, addr)
	fmt.Fprint(c, "POST //a/./b%2F%20?x=1&x=%2b+#f HTTP/1.1\r\nhOsT: Example:8080\r\nX-B:  two \t spaces\t\r\n"+
		"x-a: 1\r\nX-A:2\r\nCookie: a=1\r\nCookie: b=2\r\nX-Latin: \xfc\r\nX-Empty:\r\nContent-Length: 3\r\nConnection: close\r\n\r\n{}\x00")
	answer, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	wantStatus(t, string(answer), 200)
	want := []wire.Header{{Name: "hOsT", Value: "Example:8080"}, {Name: "X-B", Value: "two \t spaces"}, {Name: "x-a", Value: "1"},
		{Name: "X-A", Value: "2"}, {Name: "Cookie", Value: "a=1"}, {Name: "Cookie", Value: "b=2"}, {Name: "X-Latin", Value: "\xfc"},
		{Name: "X-Empty"}, {Name: "Content-Length", Value: "3"}, {Name: "Connection", Value: "close"}}
	if fmt.Sprint(got.Headers) != fmt.Sprint(want) {
		t.Errorf("headers\n%q\nwant\n%q", got.Headers, want)
	}
	if got.Method != "POST" || got.Target != "//a/./b%2F%20?x=1&x=%2b+#f" || string(got.Body) != "{}\x00" || got.TLS != nil ||
		got.Remote.String() != c.LocalAddr().String() {
		t.Errorf("got %+v", got)
	}
}

func TestAnswer(t *testing.T) {
	addr, _ := start(t, Config{Handler: ok})
	head, body, _ := strings.Cut(send(t, addr, "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	if lines[0] != "HTTP/1.1 200 OK" || body != "GET /a 0" {
		t.Errorf("got %q %q", lines[0], body)
	}
	var date string
	var rest []string
	for _, line := range lines[1:] {
		if value, ok := strings.CutPrefix(line, "Date: "); ok {
			date = value
			continue
		}
		rest = append(rest, line)
	}
	if _, err := http.ParseTime(date); err != nil {
		t.Errorf("Date: %v", err)
	}
	want := []string{"Content-Type: application/x-amz-json-1.1", "Content-Length: 8", "x-amzn-RequestId: 7a6e1d2c", "Connection: close"}
	if fmt.Sprint(rest) != fmt.Sprint(want) {
		t.Errorf("headers %q, want %q", rest, want)
	}
}

// TestRefusals has every request that the front refuses by itself.
func TestRefusals(t *testing.T) {
	const host = "Host: a\r\n"
	tests := []struct {
		name, raw string
		status    int
	}{
		{"Content-Length with Transfer-Encoding", "POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{"Transfer-Encoding with Content-Length", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400},
		{"two equal Content-Lengths", "POST / HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 1\r\n\r\na", 400},
		{"two different Content-Lengths", "POST / HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 2\r\n\r\naa", 400},
		{"a list as Content-Length", "POST / HTTP/1.1\r\n" + host + "Content-Length: 1, 1\r\n\r\na", 400},
		{"a signed Content-Length", "POST / HTTP/1.1\r\n" + host + "Content-Length: +1\r\n\r\na", 400},
		{"a negative Content-Length", "POST / HTTP/1.1\r\n" + host + "Content-Length: -1\r\n\r\n", 400},
		{"an empty Content-Length", "POST / HTTP/1.1\r\n" + host + "Content-Length:\r\n\r\n", 400},
		{"a Content-Length beyond 64 bits", "POST / HTTP/1.1\r\n" + host + "Content-Length: 18446744073709551617\r\n\r\na", 400},
		{"two Transfer-Encodings", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{"gzip as Transfer-Encoding", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400},
		{"identity as Transfer-Encoding", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: identity\r\n\r\n", 400},
		{"a letter that folds to k in Transfer-Encoding", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chun\u212aed\r\n\r\n0\r\n\r\n", 400},
		{"two hosts in one Host", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400},
		{"a user in Host", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400},
		{"a path in Host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
		{"NUL in a trailer", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\nX: \x00\r\n\r\n", 400},
		{"no header as trailer", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\nGET / HTTP/1.1\r\n\r\n", 400},
		{"a Content-Length as trailer", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n", 400},
		{"chunked in HTTP/1.0", "POST / HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{"a broken chunk", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n1\r\naa\r\n0\r\n\r\n", 400},
		{"a negative chunk", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n-1\r\na\r\n0\r\n\r\n", 400},
		{"a folded header", "GET / HTTP/1.1\r\n" + host + "X-A: a\r\n b\r\n\r\n", 400},
		{"a header folded with a tab", "GET / HTTP/1.1\r\n" + host + "X-A: a\r\n\tb\r\n\r\n", 400},
		{"a fold before the first header", "GET / HTTP/1.1\r\n X-A: a\r\n" + host + "\r\n", 400},
		{"an absolute target", "GET http://b/ HTTP/1.1\r\n" + host + "\r\n", 400},
		{"an authority as target", "CONNECT a:443 HTTP/1.1\r\n" + host + "\r\n", 400},
		{"an asterisk as target", "OPTIONS * HTTP/1.1\r\n" + host + "\r\n", 400},
		{"a target without a slash", "GET a HTTP/1.1\r\n" + host + "\r\n", 400},
		{"a space in the target", "GET /a b HTTP/1.1\r\n" + host + "\r\n", 400},
		{"a control character in the target", "GET /\x01 HTTP/1.1\r\n" + host + "\r\n", 400},
		{"a bare CR in a value", "GET / HTTP/1.1\r\n" + host + "X-A: a\rX-B: b\r\n\r\n", 400},
		{"a bare LF after a header", "GET / HTTP/1.1\r\n" + host + "X-A: a\nX-B: b\r\n\r\n", 400},
		{"a bare LF at the end", "GET / HTTP/1.1\r\n" + host + "\n\r\n\r\n", 400},
		{"NUL in a value", "GET / HTTP/1.1\r\n" + host + "X-A: a\x00b\r\n\r\n", 400},
		{"NUL in a name", "GET / HTTP/1.1\r\n" + host + "X-\x00A: a\r\n\r\n", 400},
		{"DEL in a value", "GET / HTTP/1.1\r\n" + host + "X-A: a\x7f\r\n\r\n", 400},
		{"a space before the colon", "GET / HTTP/1.1\r\n" + host + "X-A : a\r\n\r\n", 400},
		{"a tab before the colon", "GET / HTTP/1.1\r\n" + host + "X-A\t: a\r\n\r\n", 400},
		{"a space in a name", "GET / HTTP/1.1\r\n" + host + "X A: a\r\n\r\n", 400},
		{"no name", "GET / HTTP/1.1\r\n" + host + ": a\r\n\r\n", 400},
		{"no colon", "GET / HTTP/1.1\r\n" + host + "X-A\r\n\r\n", 400},
		{"no Host", "GET / HTTP/1.1\r\nX-A: a\r\n\r\n", 400},
		{"no Host in HTTP/1.0", "GET / HTTP/1.0\r\nX-A: a\r\n\r\n", 400},
		{"no headers", "GET / HTTP/1.0\r\n\r\n", 400},
		{"an empty Host", "GET / HTTP/1.1\r\nHost: \r\n\r\n", 400},
		{"two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
		{"two Hosts, one empty", "GET / HTTP/1.0\r\nHost:\r\nhost: a\r\n\r\n", 400},
		{"HTTP/0.9", "GET /\r\n", 400},
		{"HTTP/1.2", "GET / HTTP/1.2\r\n" + host + "\r\n", 400},
		{"HTTP/2.0", "GET / HTTP/2.0\r\n" + host + "\r\n", 400},
		{"the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
		{"a lower-case version", "GET / http/1.1\r\n" + host + "\r\n", 400},
		{"a TLS greeting", "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\n", 400},
		{"a long body", "POST / HTTP/1.1\r\n" + host + "Content-Length: 1025\r\n\r\n" + strings.Repeat("a", 1025), 413},
		{"a body of 10 MB", "POST / HTTP/1.1\r\n" + host + "Content-Length: 10000000\r\n\r\n" + strings.Repeat("a", 10000000), 413},
		{"a long body in chunks", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n" +
			strings.Repeat("40\r\n"+strings.Repeat("a", 64)+"\r\n", 17) + "0\r\n\r\n", 413},
		{"a huge chunk", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n" + strings.Repeat("a", 1025), 413},
		{"a long body after Expect", "POST / HTTP/1.1\r\n" + host + "Expect: 100-continue\r\nContent-Length: 1025\r\n\r\n", 413},
		{"an ambiguous body after Expect", "POST / HTTP/1.1\r\n" + host + "Expect: 100-continue\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
		{"a long header", "GET / HTTP/1.1\r\n" + host + "X-A: " + strings.Repeat("a", 4096) + "\r\n\r\n", 431},
		{"a long target", "GET /" + strings.Repeat("a", 4096) + " HTTP/1.1\r\n" + host + "\r\n", 431},
		{"many headers", "GET / HTTP/1.1\r\n" + host + strings.Repeat("A:\r\n", 20) + "\r\n", 431},
	}
	addr, _ := start(t, Config{Handler: unwanted(t), MaxBodyBytes: 1024, MaxHeaderBytes: 4096, MaxHeaders: 20})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			answer := send(t, addr, tt.raw)
			wantStatus(t, answer, tt.status)
			head, body, _ := strings.Cut(answer, "\r\n\r\n")
			for _, line := range []string{"Connection: close", "Content-Type: text/plain; charset=utf-8", "Date: "} {
				if !strings.Contains(head, "\r\n"+line) {
					t.Errorf("%q is not in %q", line, head)
				}
			}
			if strings.Contains(head, "Server:") || body == "" || len(body) > 100 {
				t.Errorf("got %q", answer)
			}
		})
	}
}

// TestNothingFollowsARefusal checks that what comes after a refused request is not
// taken for another: that is what smuggling is.
func TestNothingFollowsARefusal(t *testing.T) {
	addr, _ := start(t, Config{Handler: unwanted(t)})
	answer := send(t, addr, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"+
		"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
	if strings.Count(answer, "HTTP/1.1 ") != 1 {
		t.Errorf("got %q", answer)
	}
}

// TestGoodAnswerBeforeARefusal checks that the answer to a good request is not lost
// when a bad one is sent along with it.
func TestGoodAnswerBeforeARefusal(t *testing.T) {
	addr, _ := start(t, Config{Handler: ok})
	for _, bad := range []string{"GET / HTTP/1.1\r\nX: y\r\n\r\n", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "\x00\n"} {
		answer := send(t, addr, "GET /good HTTP/1.1\r\nHost: a\r\n\r\n"+bad)
		if !strings.Contains(answer, "GET /good 0HTTP/1.1 400 ") {
			t.Errorf("got %q", answer)
		}
	}
}

func TestAMillionHeaders(t *testing.T) {
	addr, _ := start(t, Config{Handler: unwanted(t)})
	c := dial(t, addr)
	go func() {
		w := bufio.NewWriter(c)
		fmt.Fprint(w, "GET / HTTP/1.1\r\nHost: a\r\n")
		for i := range 1_000_000 {
			if _, err := fmt.Fprintf(w, "X-%d: a\r\n", i); err != nil {
				return // the server has heard enough
			}
		}
		w.Flush()
	}()
	resp, _ := readAnswer(t, bufio.NewReader(c), "GET")
	if resp.StatusCode != 431 {
		t.Errorf("got %s", resp.Status)
	}
}

func TestSmallestRequests(t *testing.T) {
	addr, _ := start(t, Config{Handler: ok, ReadTimeout: patience})
	c := dial(t, addr)
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(c); err != nil || len(answer) != 0 {
		t.Errorf("no bytes at all are answered with %q, %v", answer, err)
	}
	if answer := send(t, addr, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"); !strings.HasSuffix(answer, "POST / 0") {
		t.Errorf("a body of 0 bytes: %q", answer)
	}
	if answer := send(t, addr, "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); !strings.HasSuffix(answer, "POST / 0") {
		t.Errorf("no body: %q", answer)
	}
	if answer := send(t, addr, "GET / HTTP/1.0\r\nHost: a\r\n\r\n"); !strings.HasSuffix(answer, "GET / 0") {
		t.Errorf("HTTP/1.0: %q", answer)
	}
}

func TestBodies(t *testing.T) {
	addr, _ := start(t, Config{MaxBodyBytes: 1024, Handler: func(_ context.Context, req *wire.Request, resp *wire.Response) {
		resp.Status, resp.Body = 200, bytes.Clone(req.Body)
		for _, h := range req.Headers {
			if h.Name == "X-Trailer" {
				t.Error("a trailer was taken for a header")
			}
		}
	}})
	largest := strings.Repeat("a", 1024)
	const form = "Content-Type: multipart/form-data; boundary=b\r\n"
	for name, tt := range map[string]struct{ raw, body string }{
		"as long as may be":  {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1024\r\n\r\n" + largest, largest},
		"chunks":             {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", "abcde"},
		"a trailer":          {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Trailer: a\r\n\r\n", "abc"},
		"a body with GET":    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "abc"},
		"chunks with GET":    {"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "abc"},
		"multipart":          {"POST / HTTP/1.1\r\nHost: a\r\n" + form + "Content-Length: 7\r\n\r\n--b--\r\n", "--b--\r\n"},
		"chunks of one byte": {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1\r\na\r\n", 1024) + "0\r\n\r\n", largest},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, addr)
			r := bufio.NewReader(c)
			for range 2 { // the second request shows where the first one ended
				fmt.Fprint(c, tt.raw)
				if resp, body := readAnswer(t, r, "POST"); resp.StatusCode != 200 || body != tt.body {
					t.Errorf("got %s %q", resp.Status, body)
				}
			}
		})
	}
}

func TestExpectContinue(t *testing.T) {
	addr, _ := start(t, Config{Handler: ok})
	c := dial(t, addr)
	r := bufio.NewReader(c)
	fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
	for _, want := range []string{"HTTP/1.1 100 Continue\r\n", "\r\n"} {
		if line, err := r.ReadString('\n'); err != nil || line != want {
			t.Fatalf("got %q, %v", line, err)
		}
	}
	fmt.Fprint(c, "abc")
	if resp, body := readAnswer(t, r, "POST"); resp.StatusCode != 200 || body != "POST / 3" {
		t.Errorf("got %s %q", resp.Status, body)
	}
}

func TestHead(t *testing.T) {
	addr, _ := start(t, Config{Handler: ok})
	answer := send(t, addr, "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	wantStatus(t, answer, 200)
	if !strings.Contains(answer, "\r\nContent-Length: 8\r\n") || !strings.HasSuffix(answer, "\r\n\r\n") {
		t.Errorf("got %q", answer)
	}
}

func TestKeepAliveAndPipelining(t *testing.T) {
	addr, _ := start(t, Config{Handler: ok})
	c := dial(t, addr)
	r := bufio.NewReader(c)
	for i := range 20 {
		fmt.Fprintf(c, "GET /%d HTTP/1.1\r\nHost: a\r\n\r\nPOST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", i, i)
		for _, want := range []string{fmt.Sprintf("GET /%d 0", i), fmt.Sprintf("POST /%d 1", i)} {
			if _, body := readAnswer(t, r, "GET"); body != want {
				t.Fatalf("got %q, want %q", body, want)
			}
		}
	}
}

func TestHandlerCloses(t *testing.T) {
	addr, _ := start(t, Config{Handler: func(_ context.Context, _ *wire.Request, resp *wire.Response) {
		resp.Status, resp.Close = 403, true
	}})
	answer := send(t, addr, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	wantStatus(t, answer, 403)
	if !strings.Contains(answer, "\r\nConnection: close\r\n") {
		t.Errorf("got %q", answer)
	}
}

// TestConcurrently would show, under the race detector, requests that share memory.
func TestConcurrently(t *testing.T) {
	addr, _ := start(t, Config{Handler: ok})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			c := dial(t, addr)
			r := bufio.NewReader(c)
			for j := range 50 {
				fmt.Fprintf(c, "POST /%d/%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", i, j, j, strings.Repeat("x", j))
				if _, body := readAnswer(t, r, "POST"); body != fmt.Sprintf("POST /%d/%d %d", i, j, j) {
					t.Errorf("got %q", body)
				}
			}
		})
	}
	wg.Wait()
}
