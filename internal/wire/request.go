// Package wire is the shape of requests and answers as bytes: the raw request
// that signatures are checked over, the protocols' bodies (awsJson, awsQuery),
// the texts of broken constraints, and how errors are rendered.
//
// Whoever can reach the port writes the bytes that are read here. Readers do work
// in proportion to a body's length, which the front has bounded, never panic, and
// refuse what two readers could understand differently: members and parameters
// that come twice, text that is not UTF-8, base64 that is not canonical. No error
// repeats a sensitive member. What a request means is not judged here.
package wire

import "net/netip"

// Header is one header line as it came: the name in the sender's spelling, the
// value without surrounding white space.
type Header struct {
	Name, Value string
}

// Request is one HTTP request in the bytes that it was sent in. Signature
// verification needs exactly that: nothing is decoded, merged or reordered.
//
// The strings and the body belong to the front and are valid until the handler
// returns; whoever keeps one copies it.
type Request struct {
	Method string
	// Target is the request target as sent: path and, after the first '?', query.
	// It starts with '/'; the front refuses every other form.
	Target string
	// Headers are in the order of sending, duplicates included. Host is among
	// them.
	Headers []Header
	Body    []byte
	// Remote is the peer's address.
	Remote netip.AddrPort
	// TLS is nil for plain HTTP.
	TLS *TLS
}

// TLS describes the connection that a request came over, for audit records.
type TLS struct {
	Version     string // as CloudTrail's tlsDetails spells it: "TLSv1.3"
	CipherSuite string // IANA's name
	ServerName  string
}

// Header returns the value of the first header with that name, compared without
// regard to case, and how many headers have the name.
func (r *Request) Header(name string) (value string, count int) {
	for i := range r.Headers {
		if EqualFold(r.Headers[i].Name, name) {
			if count == 0 {
				value = r.Headers[i].Value
			}
			count++
		}
	}
	return value, count
}

// Response is the answer that the front sends. The front adds Date and
// Content-Length.
type Response struct {
	Status      int
	ContentType string
	Headers     []Header
	Body        []byte
	// Room is spare memory of the front's, without content, that Body may be built in.
	Room []byte
	// Close asks the front to close the connection after the answer.
	Close bool
}

// EqualFold compares ASCII texts without regard to case and without allocating. Unlike
// strings.EqualFold it takes no other letter for one of ASCII's.
func EqualFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		x, y := a[i], b[i]
		if x == y {
			continue
		}
		if x|0x20 != y|0x20 || x|0x20 < 'a' || x|0x20 > 'z' {
			return false
		}
	}
	return true
}
