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

// Error implements error.
func (r *refusal) Error() string { return r.reason }

var (
	errFold          = &refusal{http.StatusBadRequest, "a header is folded over several lines"}
	errLineEnd       = &refusal{http.StatusBadRequest, "a header line does not end in CRLF"}
	errNoColon       = &refusal{http.StatusBadRequest, "a header line has no colon"}
	errName          = &refusal{http.StatusBadRequest, "a header's name is not a token"}
	errValue         = &refusal{http.StatusBadRequest, "a header's value has a control character"}
	errHeaders       = &refusal{http.StatusRequestHeaderFieldsTooLarge, "too many header lines"}
	errNoHost        = &refusal{http.StatusBadRequest, "there is no Host header"}
	errHost          = &refusal{http.StatusBadRequest, "the Host header is no host"}
	errTrailer       = &refusal{http.StatusBadRequest, "a trailer cannot say how a request is read"}
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

// framing is what the headers say of the rest of a request, and of what follows it.
type framing struct {
	length  int  // of the body; 0 if chunked
	chunked bool // the body comes in chunks
	expect  bool // the client waits for "100 Continue"
	http10  bool
	closes  bool // the client asks for the connection to be closed
	alive   bool // the client asks for it to be kept
}

// keep reports whether the connection may have further requests (RFC 9112, section 9.3).
func (f *framing) keep() bool { return !f.closes && (!f.http10 || f.alive) }

// parseHeaders appends the header lines of raw, which ends with an empty line, to
// dst. The strings point into raw. It refuses whatever could be read in more than
// one way (RFC 9112, sections 5 and 6; RFC 9110, section 5.5).
func parseHeaders(dst []wire.Header, raw []byte, l limits) ([]wire.Header, framing, *refusal) {
	f := framing{http10: l.http10}
	var hosts, lengths, encodings int
	for len(raw) > 0 {
		end := bytes.IndexByte(raw, '\n')
		if end < 1 || raw[end-1] != '\r' {
			return dst, f, errLineEnd
		}
		line := raw[:end-1]
		raw = raw[end+1:]
		if len(line) == 0 {
			if len(raw) > 0 {
				return dst, f, errLineEnd
			}
			break
		}
		h, refused := parseLine(line)
		if refused != nil {
			return dst, f, refused
		}
		if len(dst) == l.headers {
			return dst, f, errHeaders
		}
		dst = append(dst, h)
		switch {
		case !ours(h.Name):
		case wire.EqualFold(h.Name, "Host"):
			if hosts++; hosts > 1 {
				return dst, f, errHosts
			}
			if h.Value == "" {
				return dst, f, errNoHost
			}
			if !isHost(h.Value) {
				return dst, f, errHost
			}
		case wire.EqualFold(h.Name, "Content-Length"):
			if lengths++; lengths > 1 {
				return dst, f, errLengths
			}
			if f.length, refused = parseLength(h.Value, l.body); refused != nil {
				return dst, f, refused
			}
		case wire.EqualFold(h.Name, "Transfer-Encoding"):
			if encodings++; encodings > 1 || l.http10 || !wire.EqualFold(h.Value, "chunked") {
				return dst, f, errEncoding
			}
			f.chunked = true
		case wire.EqualFold(h.Name, "Connection"):
			f.connection(h.Value)
		case wire.EqualFold(h.Name, "Expect"):
			f.expect = !l.http10 && wire.EqualFold(h.Value, "100-continue")
		}
	}
	switch {
	case lengths > 0 && encodings > 0:
		return dst, f, errLengthAndCode
	case hosts == 0:
		return dst, f, errNoHost
	}
	return dst, f, nil
}

// ours reports whether a header has the length of one that parseHeaders looks into:
// most have not, and need no comparison.
func ours(name string) bool {
	switch len(name) {
	case len("Host"), len("Expect"), len("Connection"), len("Content-Length"), len("Transfer-Encoding"):
		return true
	}
	return false
}

// connection takes in the options of a Connection header.
func (f *framing) connection(value string) {
	for option := range strings.SplitSeq(value, ",") {
		switch option = strings.Trim(option, " \t"); {
		case wire.EqualFold(option, "close"):
			f.closes = true
		case wire.EqualFold(option, "keep-alive"):
			f.alive = true
		}
	}
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
		if controls[c] {
			return wire.Header{}, errValue
		}
	}
	return wire.Header{Name: view(name), Value: view(value)}, nil
}

// parseLength takes digits only: no sign, no list, no space.
func parseLength(value string, most int) (int, *refusal) {
	if value == "" || len(value) > 18 {
		return 0, errLength
	}
	n := 0
	for i := range len(value) {
		if value[i] < '0' || value[i] > '9' {
			return 0, errLength
		}
		n = n*10 + int(value[i]-'0')
	}
	if n > most {
		return 0, errBody
	}
	return n, nil
}

// isHost reports whether a value has the bytes of a host and port (RFC 9110, section
// 7.2; RFC 3986, section 3.2) alone.
func isHost(value string) bool {
	for i := range len(value) {
		c := value[i]
		if !tokens[c] && strings.IndexByte(":[](),;=", c) < 0 || strings.IndexByte("#^`|", c) >= 0 {
			return false
		}
	}
	return true
}

// tokens are the bytes that may stand in a header's name (RFC 9110, section
// 5.6.2).
var tokens = func() (table [256]bool) {
	for _, c := range []byte("-_.!#$%&'*+^`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		table[c] = true
	}
	return table
}()

// controls are the bytes that may not stand in a header's value (RFC 9110, section
// 5.5).
var controls = func() (table [256]bool) {
	for c := range ' ' {
		table[c] = c != '\t'
	}
	table[0x7f] = true
	return table
}()

// view returns b as a string without copying it. It is valid as long as b is not
// changed: until the handler returns.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
