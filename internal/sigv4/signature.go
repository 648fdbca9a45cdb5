// Package sigv4 verifies AWS Signature Version 4 over the raw bytes of a request,
// in the header form and in the presigned query form. It does not sign.
//
// It follows "AWS Signature Version 4 for API requests" in the IAM User Guide
// (elements of a request signature; create a signed request), and the signing
// test suite that AWS publishes.
//
// # What it promises
//
// When [Signature.Verify] returns nil, whoever made the request held the signing
// key, and the method, the path (see below), the query, the whole body, and every
// header that is named in SignedHeaders are as they were signed. Host is always
// among those, and X-Amz-Target is when the request has it. The signature is for
// one access key, day, region and service. Signatures are compared in constant
// time. Work is bounded by the size of the request: its length times the number of
// its headers, and n log n for its query.
//
// What a signature scheme leaves open is refused rather than interpreted: both
// forms together, one parameter or authentication header twice, names in
// SignedHeaders that are upper-case, unsorted, repeated or absent from the
// request, a scope of another day than the signing time, a query with an
// unescaped "+" (a space to some, a plus to others), with an escape that is none,
// or with one name twice (the order among them is not signed).
//
// # What it does not promise
//
// A signature may be replayed within the clock skew: SigV4 has no nonce. Headers
// that are not in SignedHeaders prove nothing, an unsigned X-Amz-Security-Token
// included; a session token has to carry its own proof. Unless
// [Options].KeepPath is set, "//", "/./" and "/../" are normalised before the
// path is signed, so a path that is not in normal form may have been rewritten
// into another with the same normal form: a service either has one path or
// refuses such paths. Whether the region, the service and the access key of the
// scope are the right ones is the caller's to check. Trailers and chunk signatures
// (STREAMING-… payloads) are not accepted.
package sigv4

import "time"

// Algorithm is the only one there is; the asymmetric SigV4A is refused.
const Algorithm = "AWS4-HMAC-SHA256"

// terminator ends every credential scope.
const terminator = "aws4_request"

// unsignedPayload is what stands for the hash of a body that is not signed.
const unsignedPayload = "UNSIGNED-PAYLOAD"

// basicFormat is the one form of a signing time.
const basicFormat = "20060102T150405Z"

const (
	// DefaultSkew is how far a caller's clock may be off for every service but S3.
	DefaultSkew = 5 * time.Minute
	// S3Skew is the same for S3.
	S3Skew = 15 * time.Minute
	// MaxExpires is the longest that a presigned request may be good for.
	MaxExpires = 7 * 24 * time.Hour
)

// Scope is what a signature is good for: one day, one region, one service.
type Scope struct {
	Date    string // YYYYMMDD in UTC
	Region  string
	Service string // the signing name
}

// Signature is what a request says of its own authentication. Nothing of it is
// proven until [Signature.Verify] has returned nil.
//
// Its strings may point into the request and are valid as long as that is.
type Signature struct {
	AccessKeyID string
	Scope       Scope
	// Time is when the request was signed, to the second, in UTC.
	Time time.Time
	// SignedHeaders are the names of the headers that the signature covers, as
	// the request lists them: "host;x-amz-date".
	SignedHeaders string
	// SessionToken is empty when there is none.
	SessionToken string
	// Presigned is set for the query form.
	Presigned bool
	// Expires is how long a presigned request is good for, at most [MaxExpires].
	// It means something only when HasExpires is set: without it the clock skew
	// is the limit, as in the header form.
	Expires    time.Duration
	HasExpires bool

	date      string // Time as it was written
	signature string
}

// Options are what services differ in. The zero value is right for every AWS
// service but S3.
type Options struct {
	// MaxSkew is how far the caller's clock may be off, either way; if 0,
	// [DefaultSkew].
	MaxSkew time.Duration
	// KeepPath signs "//", "/./" and "/../" in a path as they are, instead of
	// normalising them first.
	KeepPath bool
	// SingleEncode signs the path URI-encoded once; otherwise the path is encoded
	// again as it was sent.
	SingleEncode bool
	// UnsignedPayload accepts a body that is not signed: a signed
	// x-amz-content-sha256 of UNSIGNED-PAYLOAD, or a presigned request without
	// that header. Without it the hash of the actual body is always what counts.
	UnsignedPayload bool
}

// S3 are the options of S3.
var S3 = Options{MaxSkew: S3Skew, KeepPath: true, SingleEncode: true, UnsignedPayload: true}
