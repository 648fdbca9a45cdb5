package front

import (
	"bytes"
	"net/http"
	"strings"
	"unsafe"

	"github.com/strongroom/strongroom/internal/wire"
)

// refusal is an answer that the front gives by itself.
type refusal struct {
	status int
	reason string
}

var (
	errFold          = &refusal{http.StatusBadRequest, "a header is folded over several lines"}
	errLineEnd       = &refusal{http.StatusBadRequest, "a header line does not end in CRLF"}
	errNoColon       = &refusal{http.StatusBadRequest, "a header line has no colon"}
	errName          = &refusal{http.StatusBadRequest, "a header's name is not a token"}
	errValue         = &refusal{http.StatusBadRequest, "a header's value has a control character"}
	errHeaders       = &refusal{http.StatusRequestHeaderFieldsTooLarge, "too many header lines"}
	errNoHost        = &refusal{http.StatusBadRequest, "there is no Host header"}
	errHosts         = &refusal{http.StatusBadRequest, "there are several Host headers"}
	errLengths       = &refusal{http.StatusBadRequest, "there are several Content-Length headers"}
	errLength        = &refusal{http.StatusBadRequest, "Content-Length is not a number"}
	errLengthAndCode = &refusal{http.StatusBadRequest, "Content-Length and Transfer-Encoding are given together"}
	errEncoding      = &refusal{http.StatusBadRequest, "Transfer-Encoding is not plain chunked"}
	errVersion       = &refusal{http.StatusBadRequest, "the HTTP version is neither 1.0 nor 1.1"}
	errTarget        = &refusal{http.StatusBadRequest, "the request target is not a path"}
	errBody          = &refusal{http.StatusRequestEntityTooLarge, "the body is too long"}
	errBusy          = &refusal{http.StatusServiceUnavailable, "too many long bodies are under way"}
	errHeaderBytes   = &refusal{http.StatusRequestHeaderFieldsTooLarge, "the headers are too long"}
	errTimeout       = &refusal{http.StatusRequestTimeout, "the request did not arrive in time"}
	errUnreadable    = &refusal{http.StatusBadRequest, "the request cannot be read"}
)

// limits are what parseHeaders holds a request to.
type limits struct {
	headers, body int
	http10        bool
}

// parseHeaders appends the header lines of raw, which ends with an empty line, to
// dst. The strings point into raw. It refuses whatever could be read in more than
// one way (RFC 9112, sections 5 and 6; RFC 9110, section 5.5).
func parseHeaders(dst []wire.Header, raw []byte, l limits) ([]wire.Header, *refusal) {
	var hosts, lengths, encodings int
	for len(raw) > 0 {
		end := bytes.IndexByte(raw, '\n')
		if end < 1 || raw[end-1] != '\r' {
			return dst, errLineEnd
		}
		line := raw[:end-1]
		raw = raw[end+1:]
		if len(line) == 0 {
			if len(raw) > 0 {
				return dst, errLineEnd
			}
			break
		}
		h, refused := parseLine(line)
		if refused != nil {
			return dst, refused
		}
		if len(dst) == l.headers {
			return dst, errHeaders
		}
		dst = append(dst, h)
		switch {
		case !framing(h.Name):
		case strings.EqualFold(h.Name, "Host"):
			if hosts++; hosts > 1 {
				return dst, errHosts
			}
			if h.Value == "" {
				return dst, errNoHost
			}
		case strings.EqualFold(h.Name, "Content-Length"):
			if lengths++; lengths > 1 {
				return dst, errLengths
			}
			if refused := checkLength(h.Value, l.body); refused != nil {
				return dst, refused
			}
		case strings.EqualFold(h.Name, "Transfer-Encoding"):
			if encodings++; encodings > 1 || l.http10 || !strings.EqualFold(h.Value, "chunked") {
				return dst, errEncoding
			}
		}
	}
	switch {
	case lengths > 0 && encodings > 0:
		return dst, errLengthAndCode
	case hosts == 0:
		return dst, errNoHost
	}
	return dst, nil
}

// framing reports whether a header has the length of one that parseHeaders looks
// into: most have not, and need no comparison.
func framing(name string) bool {
	n := len(name)
	return n == len("Host") || n == len("Content-Length") || n == len("Transfer-Encoding")
}

func parseLine(line []byte) (wire.Header, *refusal) {
	if line[0] == ' ' || line[0] == '\t' {
		return wire.Header{}, errFold
	}
	colon := bytes.IndexByte(line, ':')
	if colon < 0 {
		return wire.Header{}, errNoColon
	}
	name, value := line[:colon], bytes.Trim(line[colon+1:], " \t")
	if len(name) == 0 {
		return wire.Header{}, errName
	}
	for _, c := range name {
		if !tokens[c] {
			return wire.Header{}, errName
		}
	}
	for _, c := range value {
		if c < ' ' && c != '\t' || c == 0x7f {
			return wire.Header{}, errValue
		}
	}
	return wire.Header{Name: view(name), Value: view(value)}, nil
}

// checkLength takes digits only: no sign, no list, no space.
func checkLength(value string, most int) *refusal {
	if value == "" || len(value) > 18 {
		return errLength
	}
	n := 0
	for i := range len(value) {
		if value[i] < '0' || value[i] > '9' {
			return errLength
		}
		n = n*10 + int(value[i]-'0')
	}
	if n > most {
		return errBody
	}
	return nil
}

// tokens are the bytes that may stand in a header's name (RFC 9110, section
// 5.6.2).
var tokens = func() (table [256]bool) {
	for _, c := range []byte("-_.!#$%&'*+^`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		table[c] = true
	}
	return table
}()

// view returns b as a string without copying it. It is valid as long as b is not
// changed: until the handler returns.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
