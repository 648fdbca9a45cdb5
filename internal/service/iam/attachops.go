package iam

import (
	"context"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
)

// AttachUserPolicy attaches a managed policy to a user.
func (s *Service) AttachUserPolicy(ctx context.Context, call *authz.Call, in *api.AttachUserPolicyInput) (*api.AttachUserPolicyOutput, error) {
	return attach[api.AttachUserPolicyOutput](ctx, s, call, userKind, in.UserName, in.PolicyArn)
}

// DetachUserPolicy detaches a managed policy from a user.
func (s *Service) DetachUserPolicy(ctx context.Context, call *authz.Call, in *api.DetachUserPolicyInput) (*api.DetachUserPolicyOutput, error) {
	return detach[api.DetachUserPolicyOutput](ctx, s, call, userKind, in.UserName, in.PolicyArn)
}

// ListAttachedUserPolicies lists the managed policies of a user.
func (s *Service) ListAttachedUserPolicies(ctx context.Context, call *authz.Call, in *api.ListAttachedUserPoliciesInput) (*api.ListAttachedUserPoliciesOutput, error) {
	attached, truncated, marker, err := s.attached(ctx, call, userKind, in.UserName, in.PathPrefix, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListAttachedUserPoliciesOutput{AttachedPolicies: attached, IsTruncated: truncated, Marker: marker}, nil
}

// AttachGroupPolicy attaches a managed policy to a group.
func (s *Service) AttachGroupPolicy(ctx context.Context, call *authz.Call, in *api.AttachGroupPolicyInput) (*api.AttachGroupPolicyOutput, error) {
	return attach[api.AttachGroupPolicyOutput](ctx, s, call, groupKind, in.GroupName, in.PolicyArn)
}

// DetachGroupPolicy detaches a managed policy from a group.
func (s *Service) DetachGroupPolicy(ctx context.Context, call *authz.Call, in *api.DetachGroupPolicyInput) (*api.DetachGroupPolicyOutput, error) {
	return detach[api.DetachGroupPolicyOutput](ctx, s, call, groupKind, in.GroupName, in.PolicyArn)
}

// ListAttachedGroupPolicies lists the managed policies of a group.
func (s *Service) ListAttachedGroupPolicies(ctx context.Context, call *authz.Call, in *api.ListAttachedGroupPoliciesInput) (*api.ListAttachedGroupPoliciesOutput, error) {
	attached, truncated, marker, err := s.attached(ctx, call, groupKind, in.GroupName, in.PathPrefix, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListAttachedGroupPoliciesOutput{AttachedPolicies: attached, IsTruncated: truncated, Marker: marker}, nil
}

// AttachRolePolicy attaches a managed policy to a role.
func (s *Service) AttachRolePolicy(ctx context.Context, call *authz.Call, in *api.AttachRolePolicyInput) (*api.AttachRolePolicyOutput, error) {
	return attach[api.AttachRolePolicyOutput](ctx, s, call, roleKind, in.RoleName, in.PolicyArn)
}

// DetachRolePolicy detaches a managed policy from a role.
func (s *Service) DetachRolePolicy(ctx context.Context, call *authz.Call, in *api.DetachRolePolicyInput) (*api.DetachRolePolicyOutput, error) {
	return detach[api.DetachRolePolicyOutput](ctx, s, call, roleKind, in.RoleName, in.PolicyArn)
}

// ListAttachedRolePolicies lists the managed policies of a role.
func (s *Service) ListAttachedRolePolicies(ctx context.Context, call *authz.Call, in *api.ListAttachedRolePoliciesInput) (*api.ListAttachedRolePoliciesOutput, error) {
	attached, truncated, marker, err := s.attached(ctx, call, roleKind, in.RoleName, in.PathPrefix, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListAttachedRolePoliciesOutput{AttachedPolicies: attached, IsTruncated: truncated, Marker: marker}, nil
}
