package xksapi

import (
	"net/http"

	"github.com/strongroom/strongroom/internal/wire"
)

// Name is the errorName of a refusal.
type Name string

// The errors that a proxy answers (section "Error codes").
const (
	Validation           Name = "ValidationException"
	InvalidState         Name = "InvalidStateException"
	InvalidCiphertext    Name = "InvalidCiphertextException"
	InvalidKeyUsage      Name = "InvalidKeyUsageException"
	AuthenticationFailed Name = "AuthenticationFailedException"
	AccessDenied         Name = "AccessDeniedException"
	KeyNotFound          Name = "KeyNotFoundException"
	InvalidURIPath       Name = "InvalidUriPathException"
	Throttling           Name = "ThrottlingException"
	Unsupported          Name = "UnsupportedOperationException"
	DependencyTimeout    Name = "DependencyTimeoutException"
	Internal             Name = "InternalException"
)

var statuses = map[Name]int{
	Validation: http.StatusBadRequest, InvalidState: http.StatusBadRequest,
	InvalidCiphertext: http.StatusBadRequest, InvalidKeyUsage: http.StatusBadRequest,
	AuthenticationFailed: http.StatusUnauthorized, AccessDenied: http.StatusForbidden,
	KeyNotFound: http.StatusNotFound, InvalidURIPath: http.StatusNotFound,
	Throttling: http.StatusTooManyRequests, Unsupported: http.StatusNotImplemented,
	DependencyTimeout: http.StatusServiceUnavailable, Internal: http.StatusInternalServerError,
}

// Error is a proxy's refusal.
type Error struct {
	Name Name
	// Message is under 512 printable ASCII characters, and may be empty.
	Message string
}

// Refuse returns a refusal of ours. message must be printable ASCII and hold
// nothing of what was sent.
func Refuse(name Name, message string) *Error { return &Error{name, message} }

// Error implements error. What a foreign proxy wrote is not in it.
func (e *Error) Error() string { return "xksapi: " + string(e.Name) }

// Status is the HTTP status that belongs to the name, 0 for one that the
// specification does not have.
func (e *Error) Status() int { return statuses[e.Name] }

// AppendJSON appends the refusal's body.
func (e *Error) AppendJSON(dst []byte) []byte {
	dst = wire.AppendString(wire.AppendName(append(dst, '{'), "errorName"), string(e.Name))
	if e.Message != "" {
		dst = wire.AppendString(wire.AppendName(dst, "errorMessage"), e.Message)
	}
	return append(dst, '}')
}

// ParseError reads a refusal that came with an HTTP status. One that is no JSON,
// has a name that the specification lacks, or a status that is not the name's, is
// malformed: ok is false.
func ParseError(status int, body []byte) (e *Error, ok bool) {
	var seen uint64
	e = &Error{}
	d := wire.ReadJSON(body)
	d.Object()
	for d.Next() {
		switch string(d.Key()) {
		case "errorName":
			if d.Member(&seen, 1) {
				e.Name = Name(d.Text())
			}
		case "errorMessage":
			if d.Member(&seen, 2) {
				e.Message = string(d.Text())
			}
		default:
			d.Unknown()
		}
	}
	if d.Close() != nil || e.Status() == 0 || e.Status() != status {
		return nil, false
	}
	return e, true
}
