package sts

import (
	"context"
	"errors"
	"strconv"
	"unicode/utf8"

	api "github.com/strongroom/strongroom/api/sts"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/policy"
)

const (
	// usualRoleSession is how long a role session lasts, in seconds, unless it is
	// told; chained ones last no longer.
	usualRoleSession = 3_600
	// maxSessionPolicy is the longest session policy, in characters, and
	// maxSessionPolicies how many managed ones a session may have (IAM quotas).
	maxSessionPolicy   = 2_048
	maxSessionPolicies = 10
	// maxPacked bounds what a token carries of policies, ARNs and tags, in bytes,
	// so that it fits into a header.
	maxPacked = 4_096
)

// AssumeRole gives temporary credentials of a role.
func (s *Service) AssumeRole(ctx context.Context, call *authz.Call, in *api.AssumeRoleInput) (*api.AssumeRoleOutput, error) {
	caller := &call.Principal
	if caller.Type == policy.Root {
		return nil, awserr.New(authz.ErrDenied.Code, "Roles may not be assumed by root accounts.")
	}
	if caller.Type == policy.FederatedUser {
		return nil, denied(call, "sts:AssumeRole", in.RoleArn)
	}
	// Before the role is looked for: a wrong code tells nothing of it, and no more do
	// tags that cannot be.
	spend, err := s.oneTimeCode(ctx, call, in.SerialNumber, in.TokenCode)
	if err != nil {
		return nil, err
	}
	tags, err := sessionTags(caller, in)
	if err != nil {
		return nil, err
	}
	identity := in.SourceIdentity
	if caller.Session != nil && caller.Session.SourceIdentity != "" {
		if identity != "" && identity != caller.Session.SourceIdentity {
			return nil, denied(call, "sts:SetSourceIdentity", in.RoleArn)
		}
		identity = caller.Session.SourceIdentity
	}
	role, err := s.Sessions.Role(ctx, in.RoleArn)
	if err != nil {
		return nil, err
	}
	if role == nil {
		return nil, denied(call, "sts:AssumeRole", in.RoleArn)
	}
	wanted := assumption{
		action: "sts:AssumeRole", session: in.RoleSessionName, seconds: in.DurationSeconds, identity: identity,
		tags: in.Tags, transitive: in.TransitiveTagKeys, tagged: len(tags.values) > 0, keys: conditions{},
		denied: func(action string) error { return denied(call, action, role.ARN) },
	}
	wanted.keys.set("sts:externalid", in.ExternalId)
	if err := wanted.of(ctx, call, role); err != nil {
		return nil, err
	}
	call.Audit.Resource(role.Account, "AWS::IAM::Role", role.ARN)
	if in.ProvidedContexts != nil {
		return nil, awserr.New("UnsupportedOperationException", "Strongroom does not support ProvidedContexts yet.")
	}
	seconds, err := duration(caller, role, in.DurationSeconds)
	if err != nil {
		return nil, err
	}
	spec := authz.SessionSpec{
		Type: policy.AssumedRole, Account: role.Account, ID: role.ID, Name: in.RoleSessionName,
		Policy: in.Policy, Tags: tags.values, TransitiveTags: tags.transitive, SourceIdentity: identity,
	}
	credentials, packed, err := s.grant(ctx, call, spec, in.PolicyArns, seconds)
	if err != nil {
		return nil, err
	}
	return spending(ctx, s, call, spend, &api.AssumeRoleOutput{
		Credentials:      credentials,
		AssumedRoleUser:  assumedRoleUser(call, role, in.RoleSessionName),
		PackedPolicySize: packed,
		SourceIdentity:   identity,
	})
}

// grant gives the credentials of a role's session, which further managed policies limit
// and which lasts so many seconds; packed is what its policies and tags take of the room
// that they have, in percent.
func (s *Service) grant(ctx context.Context, call *authz.Call, spec authz.SessionSpec, policies []api.PolicyDescriptorType, seconds int32) (_ *api.Credentials, packed *int32, err error) {
	for _, p := range policies {
		spec.PolicyARNs = append(spec.PolicyARNs, p.Arn)
	}
	if packed, err = s.checkPolicies(ctx, &spec); err != nil {
		return nil, nil, err
	}
	spec.Issued, spec.Expires = lifetime(call, seconds)
	credentials, err := s.issue(spec)
	return credentials, packed, err
}

func assumedRoleUser(call *authz.Call, role *authz.Role, session string) *api.AssumedRoleUser {
	return &api.AssumedRoleUser{
		AssumedRoleId: role.ID + ":" + session,
		Arn:           "arn:" + call.Partition + ":sts::" + role.Account + ":assumed-role/" + role.Name + "/" + session,
	}
}

// denied is the answer to whoever may not, and about what is not there: it tells
// nothing of either.
func denied(call *authz.Call, action, on string) error {
	return awserr.Newf(authz.ErrDenied.Code, "User: %s is not authorized to perform: %s on resource: %s", call.Principal.ARN, action, on)
}

// conditions are the condition keys that a request answers, in lower case.
type conditions map[string][]string

// Values implements [policy.Context].
func (c conditions) Values(key string) ([]string, bool) {
	values, ok := c[key]
	return values, ok
}

func (c conditions) set(key, value string) {
	if value != "" {
		c[key] = []string{value}
	}
}

// ofRole answers for the tags of the role.
func (c conditions) ofRole(role *authz.Role) {
	for key, value := range role.Tags {
		c["aws:resourcetag/"+key] = []string{value}
		c["iam:resourcetag/"+key] = []string{value}
	}
}

// duration returns how long the session lasts, in seconds.
func duration(caller *authz.Principal, role *authz.Role, asked *int32) (int32, error) {
	switch {
	case asked == nil:
		return usualRoleSession, nil
	case caller.Type == policy.AssumedRole && *asked > usualRoleSession:
		return 0, awserr.Validation("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining")
	case *asked > int32(role.MaxSession.Seconds()):
		return 0, awserr.Validation("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	return *asked, nil
}

// checkPolicies checks what limits the session, and returns how much of the room
// for policies and tags it takes, in percent; nil for a session without either.
func (s *Service) checkPolicies(ctx context.Context, spec *authz.SessionSpec) (*int32, error) {
	if spec.Policy != "" {
		if utf8.RuneCountInString(spec.Policy) > maxSessionPolicy {
			return nil, awserr.Validationf("1 validation error detected: Value '%s' at 'policy' failed to satisfy constraint: Member must have length less than or equal to %d", spec.Policy, maxSessionPolicy)
		}
		_, err := policy.Parse([]byte(spec.Policy), policy.SessionPolicy)
		var syntax *policy.SyntaxError
		if errors.As(err, &syntax) {
			return nil, api.MalformedPolicyDocumentException(syntax.Error())
		}
		if err != nil {
			return nil, err
		}
	}
	if len(spec.PolicyARNs) > maxSessionPolicies {
		return nil, awserr.Validationf("1 validation error detected: Value at 'policyArns' failed to satisfy constraint: Member must have length less than or equal to %d", maxSessionPolicies)
	}
	packed := len(spec.Policy)
	for _, arn := range spec.PolicyARNs {
		packed += len(arn)
	}
	for key, value := range spec.Tags {
		packed += len(key) + len(value)
	}
	if packed == 0 {
		return nil, nil
	}
	percent := int32((packed*100 + maxPacked - 1) / maxPacked)
	if percent > 100 {
		return nil, api.PackedPolicyTooLargeException("The policies and tags of the session take " + strconv.Itoa(int(percent)) + "% of the room for them.")
	}
	if err := s.Sessions.CheckSessionPolicies(ctx, spec.Account, spec.PolicyARNs); err != nil {
		return nil, err
	}
	return &percent, nil
}
