package sigv4

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/strongroom/strongroom/internal/wire"
)

// Verify checks that the request is within its time at now, and that the
// signature is the one that key makes of it. req must be the request that s was
// parsed from, unchanged, and key the signing key of s.AccessKeyID for s.Scope.
// Every error is an *[Error].
func (s *Signature) Verify(req *wire.Request, key *Key, now time.Time, o Options) error {
	if err := s.checkTime(now, o); err != nil {
		return err
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	canonical, ok := s.appendCanonicalRequest((*buf)[:0], req, o)
	*buf = canonical
	if !ok {
		return errMismatch
	}
	*buf = s.appendStringToSign(canonical, canonical)
	*buf = key.AppendSignature(*buf, (*buf)[len(canonical):])
	if !sameSignature((*buf)[len(*buf)-sha256.Size:], s.signature) {
		return errMismatch
	}
	return nil
}

// buffers hold canonical requests.
var buffers = sync.Pool{New: func() any {
	b := make([]byte, 0, 2048)
	return &b
}}

// sameSignature compares a signature with one in lower-case hexadecimal digits, in
// time that depends on the length of got alone.
func sameSignature(want []byte, got string) bool {
	var digits [2 * sha256.Size]byte
	hex.Encode(digits[:], want)
	return subtle.ConstantTimeCompare(digits[:], []byte(got)) == 1
}

func (s *Signature) checkTime(now time.Time, o Options) error {
	now = now.UTC().Truncate(time.Second)
	skew := o.MaxSkew
	if skew == 0 {
		skew = DefaultSkew
	}
	if latest := now.Add(skew); s.Time.After(latest) {
		return &Error{Kind: NotYetCurrent, Message: "Signature not yet current: " + s.date + " is still later than " +
			latest.Format(basicFormat) + " (" + now.Format(basicFormat) + " + " + spelled(skew) + ")"}
	}
	good := skew
	if s.HasExpires {
		good = s.Expires
	}
	if earliest := now.Add(-good); s.Time.Before(earliest) {
		return &Error{Kind: Expired, Message: "Signature expired: " + s.date + " is now earlier than " +
			earliest.Format(basicFormat) + " (" + now.Format(basicFormat) + " - " + spelled(good) + ")"}
	}
	return nil
}

func spelled(d time.Duration) string {
	if d%time.Minute == 0 {
		return strconv.FormatInt(int64(d/time.Minute), 10) + " min."
	}
	return strconv.FormatInt(int64(d/time.Second), 10) + " sec."
}

// appendStringToSign appends what is signed: the algorithm, the time, the scope
// and the hash of the canonical request.
func (s *Signature) appendStringToSign(dst, canonical []byte) []byte {
	sum := sha256.Sum256(canonical)
	dst = append(dst, Algorithm+"\n"...)
	dst = append(dst, s.date...)
	dst = append(dst, '\n')
	dst = append(dst, s.Scope.Date...)
	dst = append(dst, '/')
	dst = append(dst, s.Scope.Region...)
	dst = append(dst, '/')
	dst = append(dst, s.Scope.Service...)
	dst = append(dst, "/"+terminator+"\n"...)
	return hex.AppendEncode(dst, sum[:])
}

// appendCanonicalRequest appends the one spelling of the request that is signed.
// It reports false for a request that has none.
func (s *Signature) appendCanonicalRequest(dst []byte, req *wire.Request, o Options) ([]byte, bool) {
	dst = append(dst, req.Method...)
	dst = append(dst, '\n')
	dst = appendPath(dst, pathOf(req.Target), o)
	dst = append(dst, '\n')
	dst, ok := appendQuery(dst, queryOf(req.Target))
	if !ok {
		return dst, false
	}
	dst = append(dst, '\n')
	rest, more := s.SignedHeaders, true
	for more {
		var name string
		name, rest, more = strings.Cut(rest, ";")
		if dst, ok = appendHeader(dst, req.Headers, name); !ok {
			return dst, false
		}
	}
	dst = append(dst, '\n')
	dst = append(dst, s.SignedHeaders...)
	dst = append(dst, '\n')
	return s.appendPayloadHash(dst, req, o)
}

// appendHeader appends the canonical line of a header that is signed. It reports
// false when the request does not have it.
func appendHeader(dst []byte, headers []wire.Header, name string) ([]byte, bool) {
	dst = append(dst, name...)
	found := false
	for i := range headers {
		if !hasName(headers[i].Name, name) {
			continue
		}
		if found {
			dst = append(dst, ',')
		} else {
			dst = append(dst, ':')
			found = true
		}
		var ok bool
		if dst, ok = appendTrimmed(dst, headers[i].Value); !ok {
			return dst, false
		}
	}
	return append(dst, '\n'), found
}

// hasName reports whether a header's name is lower, which is in lower case.
func hasName(name, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// appendTrimmed appends a header's value without spaces around it and with one
// space for each run of them. It reports false for a value with a line break in
// it: it would read as a header of its own.
func appendTrimmed(dst []byte, value string) ([]byte, bool) {
	value = strings.Trim(value, " \t")
	if !strings.Contains(value, "  ") && strings.IndexByte(value, '\n') < 0 && strings.IndexByte(value, '\r') < 0 {
		return append(dst, value...), true // as nearly all are
	}
	space := false
	for i := range len(value) {
		c := value[i]
		if c == '\n' || c == '\r' {
			return dst, false
		}
		if c == ' ' && space {
			continue
		}
		space = c == ' '
		dst = append(dst, c)
	}
	return dst, true
}

// appendPath appends the canonical path.
func appendPath(dst []byte, path string, o Options) []byte {
	if o.KeepPath {
		if path == "" {
			path = "/"
		}
		return appendSegment(dst, path, o)
	}
	start := len(dst)
	for rest, more := path, true; more; {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		switch segment {
		case "", ".":
		case "..":
			for len(dst) > start {
				last := dst[len(dst)-1]
				dst = dst[:len(dst)-1]
				if last == '/' {
					break
				}
			}
		default:
			dst = append(dst, '/')
			dst = appendSegment(dst, segment, o)
		}
	}
	if len(dst) == start || strings.HasSuffix(path, "/") {
		dst = append(dst, '/')
	}
	return dst
}

// appendSegment appends part of a path, encoded: a second time, as it was sent, or
// decoded first where it is to be encoded once. What is no escape stays a percent
// sign.
func appendSegment(dst []byte, s string, o Options) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '/' {
			dst = append(dst, c)
			continue
		}
		if o.SingleEncode {
			if b, ok := escaped(s[i:]); ok {
				c = b
				i += 2
			}
		}
		dst = appendEscaped(dst, c)
	}
	return dst
}

// appendPayloadHash appends the hash of the body, or what may stand in its place.
// It reports false when the request states another hash than its body has.
func (s *Signature) appendPayloadHash(dst []byte, req *wire.Request, o Options) ([]byte, bool) {
	stated, n := req.Header("X-Amz-Content-Sha256")
	if n > 1 {
		return dst, false
	}
	if o.UnsignedPayload {
		signed := n == 1 && stated == unsignedPayload && s.signs("x-amz-content-sha256")
		if signed || n == 0 && s.Presigned {
			return append(dst, unsignedPayload...), true
		}
	}
	sum := sha256.Sum256(req.Body)
	at := len(dst)
	dst = hex.AppendEncode(dst, sum[:])
	// A body that was changed on its way fails here even where the header that
	// tells is not signed. Everything else that may stand in it (UNSIGNED-PAYLOAD
	// where that is not allowed, the STREAMING-… family with its chunk signatures
	// and trailers) is no hash and fails as well.
	return dst, n == 0 || string(dst[at:]) == stated
}

// signs reports whether a header is among those that are signed.
func (s *Signature) signs(name string) bool {
	rest, more := s.SignedHeaders, true
	for more {
		var signed string
		if signed, rest, more = strings.Cut(rest, ";"); signed == name {
			return true
		}
	}
	return false
}
