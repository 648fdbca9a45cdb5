package sts

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	api "github.com/strongroom/strongroom/api/sts"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/saml"
)

// ResponseVerifier verifies the responses of SAML identity providers.
type ResponseVerifier interface {
	// Verify returns the assertion of a response in base64, which the provider has
	// signed for us. Its errors are package saml's.
	Verify(p *saml.Provider, encoded string) (*saml.Assertion, error)
}

// AssumeRoleWithSAML gives temporary credentials of a role to the bearer of a response of
// an identity provider that the role's account has registered and the role trusts. It is
// called without a signature: until the response is verified nobody knows who asks, and
// nothing is recorded.
func (s *Service) AssumeRoleWithSAML(ctx context.Context, call *authz.Call, in *api.AssumeRoleWithSAMLInput) (*api.AssumeRoleWithSAMLOutput, error) {
	named, ok := policy.ParsePrincipal(in.RoleArn)
	if !ok || named.Form != policy.RoleForm {
		return nil, awserr.Validation("Request ARN is invalid")
	}
	provider, err := s.Sessions.SAMLProvider(ctx, in.PrincipalArn)
	if err != nil {
		return nil, err
	}
	if provider == nil || provider.Account != named.Account {
		return nil, api.InvalidIdentityTokenException("Specified provider doesn't exist")
	}
	assertion, err := s.Responses.Verify(provider, string(in.SAMLAssertion))
	if err != nil {
		return nil, refusedResponse(err)
	}
	call.Audit.Resource(named.Account, "AWS::IAM::Role", in.RoleArn)
	call.Audit.Resource(named.Account, "AWS::IAM::SAMLProvider", provider.ARN)
	call.Audit.SetRequest("sAMLAssertionID", assertion.ID)
	qualifier := provider.NameQualifier()
	call.Identify(authz.Principal{
		Principal: policy.Principal{Type: policy.WebIdentity, Provider: provider.ARN, ID: qualifier + ":" + assertion.Subject},
		UserName:  assertion.Subject, NameQualifier: qualifier,
	})
	asked, err := readSAMLClaims(assertion)
	if err != nil {
		return nil, err
	}
	asked.record(call)
	if !asked.admits(in.RoleArn, provider.ARN) {
		return nil, deniedSAML
	}
	role, err := s.Sessions.Role(ctx, in.RoleArn)
	if err != nil {
		return nil, err
	}
	if role == nil {
		return nil, deniedSAML
	}
	keys := samlKeys(provider, assertion)
	wanted := assumption{
		action: "sts:AssumeRoleWithSAML", session: asked.session, seconds: in.DurationSeconds, identity: asked.identity,
		tags: asked.tags, transitive: asked.transitive, tagged: len(asked.tags) > 0, keys: keys,
		denied: func(string) error { return deniedSAML },
	}
	if err := wanted.of(ctx, call, role); err != nil {
		return nil, err
	}
	seconds, err := duration(&call.Principal, role, in.DurationSeconds)
	if err != nil {
		return nil, err
	}
	if seconds, err = asked.shorten(seconds, assertion.SessionLeft); err != nil {
		return nil, err
	}
	spec := authz.SessionSpec{
		Type: policy.AssumedRole, Account: role.Account, ID: role.ID, Name: asked.session,
		Policy: in.Policy, Tags: asked.set.values, TransitiveTags: asked.set.transitive, SourceIdentity: asked.identity,
		Provider: provider.ARN, Claims: sessionKeys(keys),
	}
	credentials, packed, err := s.grant(ctx, call, spec, in.PolicyArns, seconds)
	if err != nil {
		return nil, err
	}
	return &api.AssumeRoleWithSAMLOutput{
		Credentials: credentials, AssumedRoleUser: assumedRoleUser(call, role, asked.session), PackedPolicySize: packed,
		Subject: assertion.Subject, SubjectType: keys["saml:sub_type"][0], Issuer: assertion.Issuer, Audience: assertion.Recipient,
		NameQualifier: qualifier, SourceIdentity: asked.identity,
	}, nil
}

var deniedSAML = awserr.New(authz.ErrDenied.Code, "Not authorized to perform sts:AssumeRoleWithSAML")

// refusedResponse words why a response is refused, as AWS does where that is known (IAM
// User Guide, "Troubleshoot SAML federation with IAM").
func refusedResponse(err error) error {
	var malformed *saml.MalformedError
	switch {
	case errors.As(err, &malformed):
		return api.InvalidIdentityTokenException("Invalid SAML response: " + malformed.Reason)
	case errors.Is(err, saml.ErrEncoding):
		return api.InvalidIdentityTokenException("Invalid base64 SAMLResponse")
	case errors.Is(err, saml.ErrSignature):
		return api.InvalidIdentityTokenException("Response signature invalid")
	case errors.Is(err, saml.ErrDecryption):
		return api.InvalidIdentityTokenException("Assertion cannot be decrypted with the private keys of the specified provider")
	case errors.Is(err, saml.ErrIssuer):
		return api.InvalidIdentityTokenException("Issuer not present in specified provider")
	case errors.Is(err, saml.ErrProviderExpired):
		return api.InvalidIdentityTokenException("The metadata of the specified provider have expired")
	case errors.Is(err, saml.ErrStatus):
		return api.IDPRejectedClaimException("The identity provider did not authenticate the user")
	case errors.Is(err, saml.ErrAudience):
		return api.InvalidIdentityTokenException("Response does not contain the required audience")
	case errors.Is(err, saml.ErrRecipient):
		return api.InvalidIdentityTokenException("Response is not for this recipient")
	case errors.Is(err, saml.ErrEarly):
		return api.InvalidIdentityTokenException("Response is not valid yet")
	case errors.Is(err, saml.ErrExpired):
		return api.ExpiredTokenException("Response has expired")
	case errors.Is(err, saml.ErrOld):
		return api.ExpiredTokenException("Token must be redeemed within 5 minutes of issuance")
	case errors.Is(err, saml.ErrSubject):
		return deniedSAML
	}
	return err
}

// AWS's own attributes (IAM User Guide, "Configure SAML assertions for the authentication
// response").
const (
	samlAttributes      = "https://aws.amazon.com/SAML/Attributes/"
	roleAttribute       = samlAttributes + "Role"
	sessionAttribute    = samlAttributes + "RoleSessionName"
	durationAttribute   = samlAttributes + "SessionDuration"
	identityAttribute   = samlAttributes + "SourceIdentity"
	tagAttribute        = samlAttributes + "PrincipalTag:"
	transitiveAttribute = samlAttributes + "TransitiveTagKeys"
)

// Bounds of SessionDuration, in seconds.
const (
	minSessionDuration = 900
	maxSessionDuration = 43_200
)

// samlClaims are what an assertion asks for by AWS's attributes.
type samlClaims struct {
	roles      []string
	session    string
	identity   string
	seconds    int32 // 0 for no bound
	tags       []api.Tag
	transitive []string
	set        *tagSet
}

// readSAMLClaims reads and checks AWS's attributes of an assertion.
func readSAMLClaims(a *saml.Assertion) (*samlClaims, error) {
	c := &samlClaims{roles: a.Attributes[roleAttribute], transitive: a.Attributes[transitiveAttribute]}
	var err error
	if c.session, err = single(a, sessionAttribute); err != nil {
		return nil, err
	}
	if c.session == "" {
		return nil, api.InvalidIdentityTokenException("RoleSessionName is required in AuthnResponse")
	}
	if !isSessionName(c.session) {
		return nil, api.InvalidIdentityTokenException("RoleSessionName in AuthnResponse must match [a-zA-Z_0-9+=,.@-]{2,64}")
	}
	if c.identity, err = single(a, identityAttribute); err != nil {
		return nil, err
	}
	if c.identity != "" && (!isSessionName(c.identity) || strings.HasPrefix(c.identity, "aws:")) {
		return nil, api.InvalidIdentityTokenException(`Source Identity must match [a-zA-Z_0-9+=,.@-]{2,64} and not begin with "aws:"`)
	}
	text, err := single(a, durationAttribute)
	if err != nil {
		return nil, err
	}
	if text != "" {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil || n < minSessionDuration || n > maxSessionDuration {
			return nil, api.InvalidIdentityTokenException(fmt.Sprintf("SessionDuration in AuthnResponse must be a number of seconds between %d and %d", minSessionDuration, maxSessionDuration))
		}
		c.seconds = int32(n)
	}
	tags := map[string]string{}
	for name := range a.Attributes {
		if key, ok := strings.CutPrefix(name, tagAttribute); ok {
			if tags[key], err = single(a, name); err != nil {
				return nil, err
			}
		}
	}
	c.tags = sortedTags(tags)
	c.set, err = broughtTags("response", tags, c.transitive)
	return c, err
}

// single returns the one value of an attribute; empty if there is none.
func single(a *saml.Assertion, name string) (string, error) {
	values := a.Attributes[name]
	switch len(values) {
	case 0:
		return "", nil
	case 1:
		return values[0], nil
	}
	return "", api.InvalidIdentityTokenException(strings.TrimPrefix(shortened(name), samlAttributes) + " in AuthnResponse must have one value")
}

func isSessionName(s string) bool { return len(s) >= 2 && len(s) <= 64 && sessionText(s) }

// admits reports whether the assertion maps its subject to the role, by the provider.
// The two may stand in either order.
func (c *samlClaims) admits(role, provider string) bool {
	for _, pair := range c.roles {
		// A role's name may have commas of its own.
		pair = strings.TrimSpace(pair)
		if rest, ok := strings.CutSuffix(pair, provider); ok {
			if other, ok := strings.CutSuffix(strings.TrimSpace(rest), ","); ok && strings.TrimSpace(other) == role {
				return true
			}
		}
		if rest, ok := strings.CutPrefix(pair, provider); ok {
			if other, ok := strings.CutPrefix(strings.TrimSpace(rest), ","); ok && strings.TrimSpace(other) == role {
				return true
			}
		}
	}
	return false
}

// shorten returns how long a session lasts, in seconds, if the response has no shorter
// bounds.
func (c *samlClaims) shorten(seconds int32, left time.Duration) (int32, error) {
	if c.seconds > 0 {
		seconds = min(seconds, c.seconds)
	}
	if left == 0 {
		return seconds, nil
	}
	if left < time.Second {
		return 0, refusedResponse(saml.ErrExpired)
	}
	if bound := left / time.Second; bound < time.Duration(seconds) {
		seconds = int32(bound)
	}
	return seconds, nil
}

// record adds what the assertion asks for to the call's record, as CloudTrail does (IAM
// User Guide, "Logging IAM and AWS STS API calls with AWS CloudTrail").
func (c *samlClaims) record(call *authz.Call) {
	call.Audit.SetRequest("roleSessionName", c.session)
	if c.identity != "" {
		call.Audit.SetRequest("sourceIdentity", c.identity)
	}
	if len(c.tags) > 0 {
		var members []authz.Field
		for _, t := range c.tags {
			members = append(members, authz.Field{Name: t.Key, Value: t.Value})
		}
		call.Audit.SetRequestObject("principalTags", members)
	}
	if len(c.transitive) > 0 {
		call.Audit.SetRequestList("transitiveTagKeys", c.transitive)
	}
}
