package front

import (
	"net/http"
	"strconv"
	"time"

	"github.com/strongroom/strongroom/internal/wire"
)

// appendAnswer appends an answer as it is sent (RFC 9112, section 4). That of a HEAD
// request has the length of its body, and no body.
func appendAnswer(dst []byte, resp *wire.Response, date []byte, head bool, f *framing, keep bool) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(resp.Status), 10)
	dst = append(dst, ' ')
	dst = append(dst, http.StatusText(resp.Status)...)
	dst = append(dst, "\r\nDate: "...)
	dst = append(dst, date...)
	if resp.ContentType != "" {
		dst = appendHeader(dst, "Content-Type", resp.ContentType)
	}
	dst = append(dst, "\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(resp.Body)), 10)
	for i := range resp.Headers {
		dst = appendHeader(dst, resp.Headers[i].Name, resp.Headers[i].Value)
	}
	switch {
	case !keep:
		dst = append(dst, "\r\nConnection: close"...)
	case f.http10:
		dst = append(dst, "\r\nConnection: keep-alive"...)
	}
	dst = append(dst, headEnd...)
	if head {
		return dst
	}
	return append(dst, resp.Body...)
}

// appendHeader appends a line. A control character in its value becomes a space: what
// a handler lets through of a request must not make a line of its own.
func appendHeader(dst []byte, name, value string) []byte {
	dst = append(dst, lineEnd...)
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	start := len(dst)
	dst = append(dst, value...)
	for i, b := range dst[start:] {
		if controls[b] {
			dst[start+i] = ' '
		}
	}
	return dst
}

// dated is a second, and how a Date header says it.
type dated struct {
	second int64
	text   []byte
}

// date returns the text of a Date header (RFC 9110, section 5.6.7), which is made once
// a second.
func (s *Server) date(now time.Time) []byte {
	last := s.dated.Load()
	if second := now.Unix(); last == nil || last.second != second {
		last = &dated{second, now.UTC().AppendFormat(nil, http.TimeFormat)}
		s.dated.Store(last)
	}
	return last.text
}
