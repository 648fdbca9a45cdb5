package sts

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	api "github.com/strongroom/strongroom/api/sts"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/oidc"
	"github.com/strongroom/strongroom/internal/policy"
)

// Verifier verifies the tokens of OpenID Connect issuers.
type Verifier interface {
	// Verify returns what a token of the issuer says. Its errors are package oidc's.
	Verify(ctx context.Context, issuer *oidc.Issuer, token *oidc.Token) (*oidc.Claims, error)
}

// AssumeRoleWithWebIdentity gives temporary credentials of a role to the bearer of a
// token from an issuer that the role's account has registered and the role trusts.
// It is called without a signature: until the token is verified nobody knows who
// asks, and nothing is recorded.
func (s *Service) AssumeRoleWithWebIdentity(ctx context.Context, call *authz.Call, in *api.AssumeRoleWithWebIdentityInput) (*api.AssumeRoleWithWebIdentityOutput, error) {
	if in.ProviderId != "" {
		return nil, awserr.Validation("ProviderId is for OAuth 2.0 access tokens, which are not accepted. Leave it out for an OpenID Connect ID token.")
	}
	named, ok := policy.ParsePrincipal(in.RoleArn)
	if !ok || named.Form != policy.RoleForm {
		return nil, awserr.Validation("Request ARN is invalid")
	}
	token, err := oidc.Parse(string(in.WebIdentityToken))
	if err != nil {
		return nil, refusedToken(err)
	}
	issuer, err := s.Sessions.OpenIDProvider(ctx, named.Account, token.Issuer)
	if err != nil {
		return nil, err
	}
	if issuer == nil {
		return nil, api.InvalidIdentityTokenException("No OpenIDConnect provider found in your account for " + shortened(token.Issuer))
	}
	claims, err := s.Verifier.Verify(ctx, issuer, token)
	if err != nil {
		return nil, refusedToken(err)
	}
	call.Audit.Resource(named.Account, "AWS::IAM::Role", in.RoleArn)
	call.Identify(authz.Principal{
		Principal: policy.Principal{
			Type: policy.WebIdentity, Provider: issuer.ARN, ID: issuer.ARN + ":" + claims.Audience + ":" + claims.Subject,
		},
		UserName: claims.Subject,
	})
	tags, err := claimedTags(claims)
	if err != nil {
		return nil, err
	}
	role, err := s.Sessions.Role(ctx, in.RoleArn)
	if err != nil {
		return nil, err
	}
	if role == nil {
		return nil, deniedWebIdentity
	}
	keys := claimKeys(issuer, claims)
	wanted := assumption{
		action: "sts:AssumeRoleWithWebIdentity", session: in.RoleSessionName, seconds: in.DurationSeconds, identity: claims.SourceIdentity,
		tags: sortedTags(claims.Tags), transitive: claims.TransitiveTags, tagged: len(tags.values) > 0, keys: keys,
		denied: func(string) error { return deniedWebIdentity },
	}
	if err := wanted.of(ctx, call, role); err != nil {
		return nil, err
	}
	seconds, err := duration(&call.Principal, role, in.DurationSeconds)
	if err != nil {
		return nil, err
	}
	spec := authz.SessionSpec{
		Type: policy.AssumedRole, Account: role.Account, ID: role.ID, Name: in.RoleSessionName,
		Policy: in.Policy, Tags: tags.values, TransitiveTags: tags.transitive, SourceIdentity: claims.SourceIdentity,
		Provider: issuer.ARN, Claims: keys,
	}
	credentials, packed, err := s.grant(ctx, call, spec, in.PolicyArns, seconds)
	if err != nil {
		return nil, err
	}
	return &api.AssumeRoleWithWebIdentityOutput{
		Credentials: credentials, SubjectFromWebIdentityToken: claims.Subject, Audience: claims.Audience, Provider: issuer.ARN,
		AssumedRoleUser:  assumedRoleUser(call, role, in.RoleSessionName),
		PackedPolicySize: packed, SourceIdentity: claims.SourceIdentity,
	}, nil
}

var deniedWebIdentity = awserr.New(authz.ErrDenied.Code, "Not authorized to perform sts:AssumeRoleWithWebIdentity")

// maxShown is how much of what a stranger wrote an error repeats, in bytes.
const maxShown = 255

func shortened(text string) string {
	if len(text) <= maxShown {
		return text
	}
	return text[:maxShown]
}

// refusedToken words why a token is refused, as AWS does where that is known.
func refusedToken(err error) error {
	var missing *oidc.MissingError
	var expired *oidc.ExpiredError
	switch {
	case errors.As(err, &missing):
		return api.InvalidIdentityTokenException("Missing a required claim: " + missing.Claim)
	case errors.As(err, &expired):
		return api.ExpiredTokenException(fmt.Sprintf("Token expired: current date/time %d must be before the expiration date/time %d",
			expired.Now.Unix(), expired.Expired.Unix()))
	case errors.Is(err, oidc.ErrMalformed):
		return api.InvalidIdentityTokenException("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
	case errors.Is(err, oidc.ErrKey):
		return api.InvalidIdentityTokenException("Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements")
	case errors.Is(err, oidc.ErrAudience):
		return api.InvalidIdentityTokenException("Incorrect token audience")
	case errors.Is(err, oidc.ErrEarly):
		return api.InvalidIdentityTokenException("The ID Token provided is not valid yet")
	case errors.Is(err, oidc.ErrUnreachable):
		return api.IDPCommunicationErrorException("The identity provider could not be reached. Retry the request.")
	case errors.Is(err, oidc.ErrCertificate):
		return api.InvalidIdentityTokenException("OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint")
	}
	return err
}

// claimKeys are the condition keys that a token answers, in lower case (IAM User
// Guide, "Available keys for AWS OIDC federation").
func claimKeys(issuer *oidc.Issuer, claims *oidc.Claims) map[string][]string {
	prefix := strings.ToLower(strings.TrimPrefix(issuer.URL, "https://")) + ":"
	keys := map[string][]string{prefix + "sub": {claims.Subject}, prefix + "aud": {claims.Audience}}
	for name, value := range map[string]string{"oaud": claims.OtherAudience, "email": claims.Email} {
		if value != "" {
			keys[prefix+name] = []string{value}
		}
	}
	if len(claims.AuthenticationMethods) > 0 {
		keys[prefix+"amr"] = claims.AuthenticationMethods
	}
	return keys
}

// Limits of session tags (STS API Reference), in entries and characters.
const (
	maxSessionTags = 50
	maxTagKey      = 128
	maxTagValue    = 256
)

// sortedTags are session tags in the order of their keys.
func sortedTags(of map[string]string) []api.Tag {
	var tags []api.Tag
	for _, name := range slices.Sorted(maps.Keys(of)) {
		tags = append(tags, api.Tag{Key: name, Value: of[name]})
	}
	return tags
}

// broughtTags checks the session tags that a token or a response brings.
func broughtTags(by string, tags map[string]string, transitive []string) (*tagSet, error) {
	if len(tags) > maxSessionTags {
		return nil, api.InvalidIdentityTokenException(fmt.Sprintf("The %s has more than %d session tags.", by, maxSessionTags))
	}
	for name, value := range tags {
		if n := utf8.RuneCountInString(name); n == 0 || n > maxTagKey || utf8.RuneCountInString(value) > maxTagValue || !tagText(name) || !tagText(value) || strings.HasPrefix(strings.ToLower(name), "aws:") {
			return nil, api.InvalidIdentityTokenException("A session tag of the " + by + " has a key or a value that tags cannot have.")
		}
	}
	set, refused := newTagSet(sortedTags(tags), transitive)
	if refused != nil {
		return nil, api.InvalidIdentityTokenException(refused.Message)
	}
	return set, nil
}

// claimedTags checks the session tags and the source identity of a token.
func claimedTags(claims *oidc.Claims) (*tagSet, error) {
	set, err := broughtTags("token", claims.Tags, claims.TransitiveTags)
	if err != nil {
		return nil, err
	}
	if id := claims.SourceIdentity; id != "" && (len(id) < 2 || len(id) > 64 || !sessionText(id)) {
		return nil, api.InvalidIdentityTokenException("The token's source identity is not one that sessions can have.")
	}
	return set, nil
}

// tagText reports whether a text has characters of tags alone.
func tagText(s string) bool {
	for _, r := range s {
		if !unicode.In(r, unicode.L, unicode.Z, unicode.N) && !strings.ContainsRune("_.:/=+-@", r) {
			return false
		}
	}
	return true
}

// sessionText reports whether a text has characters of session names alone.
func sessionText(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_+=,.@-", c) >= 0) {
			return false
		}
	}
	return true
}
