package front

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/wire"
)

// TestRequestsInPieces sends requests a byte at a time, so that each place is one at
// which a read may end.
func TestRequestsInPieces(t *testing.T) {
	addr, _ := start(t, Config{Handler: ok})
	c := dial(t, addr)
	r := bufio.NewReader(c)
	for _, tt := range []struct{ raw, body string }{
		{"POST /a?b=c://d HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "POST /a?b=c://d 3"},
		{"\r\nGET /after-an-empty-line HTTP/1.1\r\nHost: a\r\n\r\n", "GET /after-an-empty-line 0"},
		{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\nX: y\r\n\r\n", "POST / 3"},
		{"GET /last HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n", "GET /last 0"},
	} {
		for i := range len(tt.raw) {
			if _, err := io.WriteString(c, tt.raw[i:i+1]); err != nil {
				t.Fatal(err)
			}
		}
		if resp, body := readAnswer(t, r, "POST"); resp.StatusCode != 200 || body != tt.body {
			t.Errorf("%q: got %s %q", tt.raw, resp.Status, body)
		}
	}
}

func TestOneEmptyLineBeforeARequest(t *testing.T) {
	addr, _ := start(t, Config{Handler: ok})
	wantStatus(t, send(t, addr, "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), 400)
}

// TestWhoCloses has what clients say of the connection, in each version.
func TestWhoCloses(t *testing.T) {
	addr, _ := start(t, Config{Handler: ok})
	for _, tt := range []struct {
		version, headers string
		keeps            bool
		says             string
	}{
		{"1.1", "", true, ""},
		{"1.1", "Connection: keep-alive\r\n", true, ""},
		{"1.1", "Connection: close\r\n", false, "close"},
		{"1.1", "connection: X-A ,\tCLOSE\r\n", false, "close"},
		{"1.1", "Connection: keep-alive\r\nConnection: close\r\n", false, "close"},
		{"1.1", "Connection: closed\r\n", true, ""},
		{"1.0", "", false, "close"},
		{"1.0", "Connection: keep-alive\r\n", true, "keep-alive"},
		{"1.0", "Connection: keep-alive, close\r\n", false, "close"},
	} {
		c := dial(t, addr)
		r := bufio.NewReader(c)
		fmt.Fprintf(c, "GET / HTTP/%s\r\nHost: a\r\n%s\r\n", tt.version, tt.headers)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		// ReadResponse takes "close" out of the headers.
		said := resp.Header.Get("Connection")
		if resp.Close {
			said = "close"
		}
		if said != tt.says {
			t.Errorf("%s %q is answered with %q", tt.version, tt.headers, said)
		}
		if !tt.keeps {
			wantClosed(t, c)
			continue
		}
		fmt.Fprint(c, "GET /again HTTP/1.1\r\nHost: a\r\n\r\n")
		if _, body := readAnswer(t, r, "GET"); body != "GET /again 0" {
			t.Errorf("%s %q: the second answer is %q", tt.version, tt.headers, body)
		}
	}
}

// TestAnswersAreOneAnswer puts line ends where a handler could let them through.
func TestAnswersAreOneAnswer(t *testing.T) {
	resp := wire.Response{Status: 200, ContentType: "a\r\nb", Headers: []wire.Header{{Name: "X-A", Value: "a\r\n\r\nHTTP/1.1 200 OK"}}}
	got := appendAnswer(nil, &resp, []byte("now"), false, &framing{}, true)
	if n := bytes.Count(got, []byte("\r\n")); n != 6 || !strings.Contains(string(got), "\r\nX-A: a    HTTP/1.1 200 OK\r\n") {
		t.Errorf("got %q", got)
	}
}

// FuzzParseHead checks that a request that is accepted has one reading: net/http's, if
// it takes it at all.
func FuzzParseHead(f *testing.F) {
	for _, seed := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST /a?b=c HTTP/1.0\r\nHost: a\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
		"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "GET / HTTP/1.1\nHost: a\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		end := bytes.Index(raw, headEnd)
		if end < 0 {
			_ = hopeless(raw)
			return
		}
		head := raw[:end+len(headEnd)]
		var got wire.Request
		said, refused := parseHead(&got, head, limits{headers: 10, body: 100})
		if refused != nil {
			return
		}
		if err := hopeless(head); err != nil {
			t.Fatalf("%q is accepted, and hopeless: %v", head, err)
		}
		want, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
		if err != nil {
			return // stricter about a Host or a target, say
		}
		if want.Method != got.Method || want.RequestURI != got.Target || (want.ProtoMinor == 0) != said.http10 || want.Close != !said.keep() {
			t.Fatalf("%q: net/http reads %s %s %s, closing %v; we read %s %s, %+v",
				head, want.Method, want.RequestURI, want.Proto, want.Close, got.Method, got.Target, said)
		}
	})
}
