package sigv4

import (
	"bytes"
	"slices"
	"strings"
)

// The query parameters that carry a presigned signature. The first five must be
// there.
const (
	paramAlgorithm = iota
	paramCredential
	paramSignature
	paramSignedHeaders
	paramDate
	requiredParameters
)

const (
	paramExpires = requiredParameters + iota
	paramToken
)

var authParameters = [...]string{
	paramAlgorithm:     "X-Amz-Algorithm",
	paramCredential:    "X-Amz-Credential",
	paramSignature:     "X-Amz-Signature",
	paramSignedHeaders: "X-Amz-SignedHeaders",
	paramDate:          "X-Amz-Date",
	paramExpires:       "X-Amz-Expires",
	paramToken:         "X-Amz-Security-Token",
}

// queryOf returns the query of a request target, without the '?'.
func queryOf(target string) string {
	_, query, _ := strings.Cut(target, "?")
	return query
}

// pathOf returns the path of a request target.
func pathOf(target string) string {
	path, _, _ := strings.Cut(target, "?")
	return path
}

// hasAuthParameter reports whether a query holds any part of a presigned
// signature.
func hasAuthParameter(query string) bool {
	for query != "" {
		var param string
		param, query, _ = strings.Cut(query, "&")
		name, _, _ := strings.Cut(param, "=")
		if authParameter(name) >= 0 {
			return true
		}
	}
	return false
}

// authParameter returns which of authParameters a name as sent stands for, in
// whatever case or escapes it is written; -1 for none.
func authParameter(rawName string) int {
	name, ok := unescape(rawName)
	if !ok {
		return -1
	}
	for i, p := range authParameters {
		if len(name) == len(p) && strings.EqualFold(name, p) {
			return i
		}
	}
	return -1
}

// unescape decodes URI-encoding. It reports false for an escape that is none and
// for a plus sign, which is a space to some and a plus to others. It allocates
// only where there is something to decode.
func unescape(s string) (string, bool) {
	if strings.IndexByte(s, '%') < 0 {
		return s, strings.IndexByte(s, '+') < 0
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '+':
			return "", false
		case '%':
			b, ok := escaped(s[i:])
			if !ok {
				return "", false
			}
			out = append(out, b)
			i += 2
		default:
			out = append(out, c)
		}
	}
	return string(out), true
}

// escaped returns the byte that a string's leading %XX stands for.
func escaped(s string) (byte, bool) {
	if len(s) < 3 || s[0] != '%' {
		return 0, false
	}
	hi, ok := unhex(s[1])
	lo, ok2 := unhex(s[2])
	return hi<<4 | lo, ok && ok2
}

func unhex(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

const upperHex = "0123456789ABCDEF"

// appendEscaped appends one byte as AWS's UriEncode does: everything but RFC
// 3986's unreserved characters is escaped, in upper case.
func appendEscaped(dst []byte, c byte) []byte {
	if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~' {
		return append(dst, c)
	}
	return append(dst, '%', upperHex[c>>4], upperHex[c&15])
}

// appendRecoded appends s, decoded and encoded again, so that however it was
// escaped it has one spelling.
func appendRecoded(dst []byte, s string) ([]byte, bool) {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch c {
		case '+':
			return dst, false
		case '%':
			var ok bool
			if c, ok = escaped(s[i:]); !ok {
				return dst, false
			}
			i += 2
		}
		dst = appendEscaped(dst, c)
	}
	return dst, true
}

// parameter is one query parameter in canonical spelling, as offsets into the
// buffer that holds it.
type parameter struct{ name, value, end int }

// appendQuery appends the canonical query: every parameter but X-Amz-Signature,
// recoded and sorted by name. It reports false for a query that has more than one
// reading.
func appendQuery(dst []byte, query string) ([]byte, bool) {
	if query == "" {
		return dst, true
	}
	var room [16]parameter
	params := room[:0]
	scratch := make([]byte, 0, 2*len(query))
	for query != "" {
		var param string
		param, query, _ = strings.Cut(query, "&")
		if param == "" {
			continue
		}
		name, value, _ := strings.Cut(param, "=")
		if authParameter(name) == paramSignature {
			continue
		}
		p := parameter{name: len(scratch)}
		var ok bool
		if scratch, ok = appendRecoded(scratch, name); !ok {
			return dst, false
		}
		p.value = len(scratch)
		if scratch, ok = appendRecoded(scratch, value); !ok {
			return dst, false
		}
		p.end = len(scratch)
		params = append(params, p)
	}
	nameOf := func(p parameter) []byte { return scratch[p.name:p.value] }
	slices.SortFunc(params, func(a, b parameter) int { return bytes.Compare(nameOf(a), nameOf(b)) })
	for i, p := range params {
		if i > 0 {
			if bytes.Equal(nameOf(params[i-1]), nameOf(p)) {
				return dst, false
			}
			dst = append(dst, '&')
		}
		dst = append(dst, nameOf(p)...)
		dst = append(dst, '=')
		dst = append(dst, scratch[p.value:p.end]...)
	}
	return dst, true
}
