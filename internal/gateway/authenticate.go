package gateway

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/sigv4"
	"github.com/strongroom/strongroom/internal/wire"
)

// Authenticator finds out who signed a request. It is called with a signature
// that has been parsed and whose scope names one of our services and regions.
// Errors are *sigv4.Error or *awserr.Error when the request is at fault. The principal
// outlives the request and has none of its strings.
type Authenticator interface {
	Authenticate(ctx context.Context, req *wire.Request, s *sigv4.Signature) (authz.Principal, error)
}

// Credentials knows access keys by their id.
type Credentials interface {
	// SigningKey returns the key that requests of that scope are signed with and
	// whose requests they are; ErrUnknownKey if there is no such access key or it
	// is not active. sessionToken is empty for long-term keys. What is handed in are
	// strings of the request, which end with it.
	SigningKey(ctx context.Context, accessKeyID, sessionToken string, scope sigv4.Scope) (*sigv4.Key, authz.Principal, error)
}

// ErrUnknownKey is returned by Credentials for access keys that are unknown,
// inactive or expired.
var ErrUnknownKey = errors.New("gateway: unknown access key")

// Strict is the Authenticator that verifies every signature.
type Strict struct {
	// Credentials must be set.
	Credentials Credentials
	// Clock must be set; it judges the age of signatures and is the machine's,
	// also where the deployment's clock has been moved.
	Clock clock.Clock
}

// Authenticate implements [Authenticator].
func (a *Strict) Authenticate(ctx context.Context, req *wire.Request, s *sigv4.Signature) (authz.Principal, error) {
	key, principal, err := a.Credentials.SigningKey(ctx, s.AccessKeyID, s.SessionToken, s.Scope)
	if errors.Is(err, ErrUnknownKey) {
		return authz.Principal{}, awserr.New("UnrecognizedClientException", "The security token included in the request is invalid.")
	}
	if err != nil {
		return authz.Principal{}, err
	}
	if err := s.Verify(req, key, a.Clock.Now(), sigv4.Options{}); err != nil {
		return authz.Principal{}, err
	}
	return principal, nil
}

// globalRegion is the region that clients of the global services scope to,
// whichever regions a deployment has.
const globalRegion = "us-east-1"

var globalServices = []string{"iam", "sts"}

func (g *Gateway) authenticate(ctx context.Context, req *wire.Request, r *routed) (authz.Principal, error) {
	if !r.signed {
		return authz.Principal{}, nil // anonymous, until the handler knows better
	}
	scope := r.scheme.Scope
	known := slices.Contains(g.Regions, scope.Region) ||
		scope.Region == globalRegion && slices.Contains(globalServices, scope.Service)
	if !known {
		return authz.Principal{}, awserr.New("InvalidSignatureException", "Credential should be scoped to a valid region.")
	}
	return g.Authenticator.Authenticate(ctx, req, &r.scheme)
}

// refuse answers a request of which it is not known, or not proved, who sent it.
// It is counted, not recorded.
func (g *Gateway) refuse(resp *wire.Response, r *routed, id string, err error) {
	var failed *sigv4.Error
	if errors.As(err, &failed) {
		err = failed.AWS()
	}
	g.refusals.count(awserr.Code(err))
	g.render(resp, r, id, err)
}

// render writes the answer to a call that fails. An error without a code of its
// own becomes InternalFailure, and what it was stands in the log under the request
// id; or 503, as long as nothing can be made durable.
func (g *Gateway) render(resp *wire.Response, r *routed, id string, err error) {
	var refusal *awserr.Error
	if !errors.As(err, &refusal) {
		if unavailable(err) {
			g.outage.count(err)
		} else {
			g.Log.Error("a call failed", "requestId", id, "operation", r.operation, "error", err)
		}
		refusal = publicError(err)
	}
	resp.Status, resp.ContentType, resp.Body = wire.RenderError(r.protocol, r.namespace, refusal, id)
	resp.Headers = append(resp.Headers, wire.Header{Name: "x-amzn-ErrorType", Value: refusal.Code})
	if resp.Status == http.StatusRequestEntityTooLarge {
		resp.Close = true
	}
}
