package sts

import (
	"context"
	"errors"

	api "github.com/strongroom/strongroom/api/sts"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/policy"
)

// GetFederationToken gives a user, or the root, temporary credentials for someone
// else: they may what both the caller and the session's policies allow, so
// without policies nothing but what a resource gives them by name.
func (s *Service) GetFederationToken(ctx context.Context, call *authz.Call, in *api.GetFederationTokenInput) (*api.GetFederationTokenOutput, error) {
	caller := &call.Principal
	if caller.Session != nil {
		return nil, awserr.New(authz.ErrDenied.Code, "Cannot call GetFederationToken with session credentials")
	}
	arn := "arn:" + call.Partition + ":sts::" + caller.Account + ":federated-user/" + in.Name
	tags, refused := newTagSet(in.Tags, nil)
	if refused != nil {
		return nil, refused
	}
	spec := authz.SessionSpec{
		Type: policy.FederatedUser, Account: caller.Account, Name: in.Name, Policy: in.Policy, Tags: tags.values,
	}
	c := conditions{}
	c.ofTags(in.Tags)
	actions := []string{"sts:GetFederationToken"}
	if len(in.Tags) > 0 {
		actions = append(actions, "sts:TagSession")
	}
	for _, action := range actions {
		err := call.Authorize(ctx, authz.Access{Action: action, Resource: arn, Context: c})
		if errors.Is(err, authz.ErrDenied) {
			return nil, denied(call, action, arn)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, p := range in.PolicyArns {
		spec.PolicyARNs = append(spec.PolicyARNs, p.Arn)
	}
	packed, err := s.checkPolicies(ctx, &spec)
	if err != nil {
		return nil, err
	}
	seconds := int32(usualUserSession)
	if in.DurationSeconds != nil {
		seconds = *in.DurationSeconds
	}
	if caller.Type == policy.Root {
		seconds = min(seconds, maxRootSession)
	} else {
		spec.ID = caller.ID
	}
	spec.Issued, spec.Expires = lifetime(call, seconds)
	credentials, err := s.issue(spec)
	if err != nil {
		return nil, err
	}
	return &api.GetFederationTokenOutput{
		Credentials:      credentials,
		FederatedUser:    &api.FederatedUser{FederatedUserId: caller.Account + ":" + in.Name, Arn: arn},
		PackedPolicySize: packed,
	}, nil
}
