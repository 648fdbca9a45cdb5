// Package oidc verifies the tokens of OpenID Connect issuers that an account has
// registered: JSON Web Tokens (RFC 7519) in compact serialisation (RFC 7515), with
// the keys that the issuer publishes (RFC 7517), found by OpenID Connect Discovery
// 1.0 §4. What AWS accepts beyond or short of that is from the IAM User Guide,
// "OIDC federation", and the STS API Reference, AssumeRoleWithWebIdentity.
//
// Whoever can reach the port can bring a token, so: a token is at most 20,000
// bytes, read strictly, and costs a fetch only if it names an issuer that is
// registered. Keys are fetched once for all who wait, again at most every ten
// seconds however many unknown keys are named, in bounded time and size, over TLS
// that the machine's roots or a registered thumbprint vouch for. Redirects are
// not followed and link-local addresses, where clouds keep their metadata, are not
// asked. What an issuer answers is shown to nobody.
//
// It does not answer the threat of an administrator who registers an issuer of
// their own, or of an issuer whose own keys are stolen: a key that an issuer
// withdraws is believed for up to an hour if the issuer cannot be reached.
package oidc

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/strongroom/strongroom/internal/clock"
)

// Config is what a Verifier needs.
type Config struct {
	// Clock must be set. It judges the times in tokens, which issuers take from
	// their own clocks: the machine's, also where the deployment's was moved.
	Clock clock.Clock
	// Roots are the certification authorities that are trusted; if nil, the
	// system's.
	Roots *x509.CertPool
	// Dial opens connections; if nil, a net.Dialer that refuses link-local,
	// multicast and unspecified addresses.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Log must be set: why an issuer could not be asked stands there alone.
	Log *slog.Logger
}

// Issuer is an issuer as it was registered.
type Issuer struct {
	// ARN names the registration.
	ARN string
	// URL is what tokens name as their issuer: "https://…".
	URL string
	// ClientIDs are the audiences whose tokens are accepted.
	ClientIDs []string
	// Thumbprints are the SHA-1 digests, in lower-case hex, of certificates that
	// vouch for the issuer's hosts where no root does.
	Thumbprints []string
}

// Reasons why a token is refused. Errors wrap one of them, and say no more than the
// token's bearer may know.
var (
	// ErrMalformed: it is no signed JSON Web Token of an algorithm that is accepted,
	// or its claims are none that can be read.
	ErrMalformed = errors.New("oidc: not a valid JSON Web Token")
	// ErrKey: the issuer has no such key, or the signature is not of it.
	ErrKey = errors.New("oidc: no key of the issuer verifies the token")
	// ErrAudience: it was issued for someone who is not registered.
	ErrAudience = errors.New("oidc: the token's audience is not registered")
	// ErrEarly: it is not valid yet.
	ErrEarly = errors.New("oidc: the token is not valid yet")
	// ErrUnreachable: the issuer could not be asked for its keys.
	ErrUnreachable = errors.New("oidc: the issuer cannot be reached")
	// ErrCertificate: neither a root nor a registered thumbprint vouches for the
	// issuer's certificate.
	ErrCertificate = errors.New("oidc: the issuer's certificate is not trusted")
)

// ExpiredError says that a token's time is over.
type ExpiredError struct{ Now, Expired time.Time }

func (e *ExpiredError) Error() string {
	return "oidc: the token expired at " + e.Expired.UTC().String()
}

// MissingError says that a token lacks a claim that every token must have.
type MissingError struct{ Claim string }

func (e *MissingError) Error() string { return "oidc: the token has no " + e.Claim }

// leeway is how far the clocks of issuers may be off (IAM User Guide, "OIDC
// federation").
const leeway = 5 * time.Minute

// Verifier verifies tokens, and remembers the keys of issuers. It is safe for
// concurrent use.
type Verifier struct {
	cfg     Config
	fetches chan struct{} // a place for each fetch that is under way

	fetchTime, otherTime time.Duration // the constants of these names; longer in tests

	mu      sync.Mutex
	issuers map[string]*entry
}

// maxFetches bounds how many issuers are asked at once, maxIssuers how many are
// remembered.
const (
	maxFetches = 8
	maxIssuers = 1000
)

// New returns a Verifier.
func New(cfg Config) *Verifier {
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{ControlContext: refuseLinkLocal}).DialContext
	}
	return &Verifier{cfg: cfg, fetches: make(chan struct{}, maxFetches), fetchTime: fetchTime, otherTime: otherTime, issuers: map[string]*entry{}}
}

// Verify verifies a token of the issuer and returns its claims. The error wraps one
// of the reasons above; that is ErrUnreachable, too, when ctx ends before the issuer
// could be asked.
func (v *Verifier) Verify(ctx context.Context, issuer *Issuer, token *Token) (*Claims, error) {
	if token.Issuer != issuer.URL {
		return nil, ErrKey
	}
	set, err := v.keys(ctx, issuer, token)
	if err != nil {
		return nil, err
	}
	key := set.find(token)
	if key == nil {
		return nil, ErrKey
	}
	payload, err := token.jws.Verify(key)
	if err != nil {
		return nil, ErrKey
	}
	return readClaims(payload, issuer, v.cfg.Clock.Now())
}
