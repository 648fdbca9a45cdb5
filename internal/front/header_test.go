package front

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"
)

// FuzzParseHeaders checks that what is accepted is unambiguous: it is what the
// lines say literally, and net/http reads the same framing from it.
func FuzzParseHeaders(f *testing.F) {
	for _, seed := range []string{
		"Host: a\r\n\r\n",
		"host:a\r\nContent-Length: 3\r\nX-A: b, c\r\n\r\n",
		"Host: a\r\nTransfer-Encoding: chunked\r\n\r\n",
		"Host: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
		"Host: a\r\nX-A: b\r\n c\r\n\r\n",
		"Host : a\r\n\r\n", "Host: a\n\n", "Host: \xff\r\n\r\n", "Host: a\r\nX: \x00\r\n\r\n", "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		headers, said, refused := parseHeaders(nil, raw, limits{headers: 10, body: 100})
		if refused != nil {
			if refused.status < 400 || refused.status > 499 || refused.reason == "" {
				t.Fatalf("refused with %+v", refused)
			}
			return
		}
		if len(headers) > 10 {
			t.Fatalf("%d headers", len(headers))
		}
		lines := strings.Split(strings.TrimSuffix(string(raw), "\r\n"), "\r\n")
		if len(lines) > 0 && lines[len(lines)-1] == "" {
			lines = lines[:len(lines)-1]
		}
		if len(lines) != len(headers) {
			t.Fatalf("%d headers from %d lines", len(headers), len(lines))
		}
		for i, h := range headers {
			name, value, _ := strings.Cut(lines[i], ":")
			if h.Name != name || h.Value != strings.Trim(value, " \t") || strings.ContainsAny(h.Value, "\r\n\x00") {
				t.Fatalf("%q became %+v", lines[i], h)
			}
		}
		if !bytes.HasSuffix(raw, []byte("\r\n\r\n")) {
			return // the empty line at the end is the server's to find
		}
		req, err := http.ReadRequest(bufio.NewReader(strings.NewReader("POST / HTTP/1.1\r\n" + string(raw))))
		if err != nil {
			return // stricter about a Host or a trailer, say
		}
		if said.chunked != (len(req.TransferEncoding) > 0) || !said.chunked && int64(said.length) != req.ContentLength {
			t.Fatalf("net/http reads %d bytes, %v; we read %+v", req.ContentLength, req.TransferEncoding, said)
		}
		if said.keep() == req.Close {
			t.Fatalf("net/http would close: %v; we read %+v", req.Close, said)
		}
	})
}
