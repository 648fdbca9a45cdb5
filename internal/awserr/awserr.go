// Package awserr is the one shape in which an operation refuses a request: a
// code, a message and an HTTP status, as AWS's services answer them.
//
// Errors are values. A service declares them beside the operation that raises
// them; package wire renders them for each protocol. An error of any other type
// that reaches the gateway becomes [Internal], with an id that is in the log.
package awserr

import (
	"errors"
	"fmt"
	"net/http"
)

// Fault says whose fault an error is: a client must change its request, a
// server error may be retried as it is.
type Fault uint8

const (
	Client Fault = iota
	Server
)

// Error is an answer that refuses a request.
type Error struct {
	// Code is the exception's name without a namespace, such as
	// "NotFoundException".
	Code string
	// Message may be empty: the body then carries no message member at all,
	// which is how AWS KMS answers for several codes.
	Message string
	// Status is the HTTP status in AWS's JSON protocols; 0 means 400 for a
	// client fault and 500 for a server fault.
	Status int
	Fault  Fault
	// QueryCode is the code in the query protocol where a service's model states
	// one: "MalformedPolicyDocument" for MalformedPolicyDocumentException. If
	// empty, package wire knows the spelling of the errors that all services
	// share, and Code is written as it is otherwise.
	QueryCode string
}

// New returns a client error with status 400.
func New(code, message string) *Error {
	return &Error{Code: code, Message: message, Status: http.StatusBadRequest}
}

// Newf is [New] with a formatted message.
func Newf(code, format string, args ...any) *Error {
	return New(code, fmt.Sprintf(format, args...))
}

// NewServer returns a server error with status 500.
func NewServer(code, message string) *Error {
	return &Error{Code: code, Message: message, Status: http.StatusInternalServerError, Fault: Server}
}

func (e *Error) Error() string {
	if e.Message == "" {
		return e.Code
	}
	return e.Code + ": " + e.Message
}

// Is reports whether target is an *Error with the same code, so that
// errors.Is(err, awserr.New("NotFoundException", "")) asks for the code alone.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && (t.Message == "" || t.Message == e.Message)
}

// HTTPStatus returns the status that the error is answered with.
func (e *Error) HTTPStatus() int {
	switch {
	case e.Status != 0:
		return e.Status
	case e.Fault == Server:
		return http.StatusInternalServerError
	default:
		return http.StatusBadRequest
	}
}

// Code returns the code of the *Error in err's chain, or "" when there is none.
func Code(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// Validation returns the error of a request that a service's constraints
// refuse. Its status is 400 and its code ValidationException; the query
// protocol spells it ValidationError.
func Validation(message string) *Error { return New("ValidationException", message) }

// Validationf is [Validation] with a formatted message.
func Validationf(format string, args ...any) *Error {
	return New("ValidationException", fmt.Sprintf(format, args...))
}

// Internal is the answer to whatever has no better name. The cause goes to the
// log under the request id, never to the caller.
func Internal() *Error {
	return NewServer("InternalFailure", "The request processing has failed because of an unknown error, exception or failure.")
}
