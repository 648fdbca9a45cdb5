package sigv4

import "github.com/strongroom/strongroom/internal/awserr"

// Kind says in which way a request failed to authenticate. The gateway maps it
// onto the code that each protocol has for it.
type Kind uint8

const (
	// Missing: the request carries no signature in either form.
	Missing Kind = iota + 1
	// Incomplete: the authentication parameters are absent in part, malformed,
	// or given twice.
	Incomplete
	// Mismatch: the signature is not one that the secret key makes of this
	// request, or it leaves out what it must cover.
	Mismatch
	// Expired: the signature is older than the clock skew or its own expiry
	// allows.
	Expired
	// NotYetCurrent: the signature is dated further ahead than the clock skew
	// allows.
	NotYetCurrent
)

// Error is why a request failed to authenticate. Its message is meant for the
// caller; it holds no secret and no part of a credential but what the caller's
// access key id and scope say.
type Error struct {
	Kind    Kind
	Message string
}

// ErrMissing is returned by [Parse] for a request without a signature.
var ErrMissing = &Error{Kind: Missing, Message: "Missing Authentication Token"}

var errMismatch = &Error{Kind: Mismatch, Message: "The request signature we calculated does not match the signature you provided. " +
	"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."}

func (e *Error) Error() string { return "sigv4: " + e.Message }

// AWS returns the error as the JSON protocols of AWS's services answer it, with
// status 400.
func (e *Error) AWS() *awserr.Error {
	switch e.Kind {
	case Missing:
		return awserr.New("MissingAuthenticationTokenException", e.Message)
	case Incomplete:
		return awserr.New("IncompleteSignatureException", e.Message)
	default:
		return awserr.New("InvalidSignatureException", e.Message)
	}
}
