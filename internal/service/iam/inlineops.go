package iam

import (
	"context"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
)

// PutUserPolicy writes an inline policy of a user.
func (s *Service) PutUserPolicy(ctx context.Context, call *authz.Call, in *api.PutUserPolicyInput) (*api.PutUserPolicyOutput, error) {
	return putInline[api.PutUserPolicyOutput](ctx, s, call, userKind, in.UserName, in.PolicyName, in.PolicyDocument)
}

// GetUserPolicy returns an inline policy of a user.
func (s *Service) GetUserPolicy(ctx context.Context, call *authz.Call, in *api.GetUserPolicyInput) (*api.GetUserPolicyOutput, error) {
	document, err := s.inline(ctx, call, userKind, in.UserName, in.PolicyName)
	if err != nil {
		return nil, err
	}
	return &api.GetUserPolicyOutput{UserName: in.UserName, PolicyName: in.PolicyName, PolicyDocument: document}, nil
}

// ListUserPolicies lists the names of a user's inline policies.
func (s *Service) ListUserPolicies(ctx context.Context, call *authz.Call, in *api.ListUserPoliciesInput) (*api.ListUserPoliciesOutput, error) {
	names, truncated, marker, err := s.inlineNames(ctx, call, userKind, in.UserName, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListUserPoliciesOutput{PolicyNames: names, IsTruncated: truncated, Marker: marker}, nil
}

// DeleteUserPolicy deletes an inline policy of a user.
func (s *Service) DeleteUserPolicy(ctx context.Context, call *authz.Call, in *api.DeleteUserPolicyInput) (*api.DeleteUserPolicyOutput, error) {
	return deleteInline[api.DeleteUserPolicyOutput](ctx, s, call, userKind, in.UserName, in.PolicyName)
}

// PutGroupPolicy writes an inline policy of a group.
func (s *Service) PutGroupPolicy(ctx context.Context, call *authz.Call, in *api.PutGroupPolicyInput) (*api.PutGroupPolicyOutput, error) {
	return putInline[api.PutGroupPolicyOutput](ctx, s, call, groupKind, in.GroupName, in.PolicyName, in.PolicyDocument)
}

// GetGroupPolicy returns an inline policy of a group.
func (s *Service) GetGroupPolicy(ctx context.Context, call *authz.Call, in *api.GetGroupPolicyInput) (*api.GetGroupPolicyOutput, error) {
	document, err := s.inline(ctx, call, groupKind, in.GroupName, in.PolicyName)
	if err != nil {
		return nil, err
	}
	return &api.GetGroupPolicyOutput{GroupName: in.GroupName, PolicyName: in.PolicyName, PolicyDocument: document}, nil
}

// ListGroupPolicies lists the names of a group's inline policies.
func (s *Service) ListGroupPolicies(ctx context.Context, call *authz.Call, in *api.ListGroupPoliciesInput) (*api.ListGroupPoliciesOutput, error) {
	names, truncated, marker, err := s.inlineNames(ctx, call, groupKind, in.GroupName, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListGroupPoliciesOutput{PolicyNames: names, IsTruncated: truncated, Marker: marker}, nil
}

// DeleteGroupPolicy deletes an inline policy of a group.
func (s *Service) DeleteGroupPolicy(ctx context.Context, call *authz.Call, in *api.DeleteGroupPolicyInput) (*api.DeleteGroupPolicyOutput, error) {
	return deleteInline[api.DeleteGroupPolicyOutput](ctx, s, call, groupKind, in.GroupName, in.PolicyName)
}

// PutRolePolicy writes an inline policy of a role.
func (s *Service) PutRolePolicy(ctx context.Context, call *authz.Call, in *api.PutRolePolicyInput) (*api.PutRolePolicyOutput, error) {
	return putInline[api.PutRolePolicyOutput](ctx, s, call, roleKind, in.RoleName, in.PolicyName, in.PolicyDocument)
}

// GetRolePolicy returns an inline policy of a role.
func (s *Service) GetRolePolicy(ctx context.Context, call *authz.Call, in *api.GetRolePolicyInput) (*api.GetRolePolicyOutput, error) {
	document, err := s.inline(ctx, call, roleKind, in.RoleName, in.PolicyName)
	if err != nil {
		return nil, err
	}
	return &api.GetRolePolicyOutput{RoleName: in.RoleName, PolicyName: in.PolicyName, PolicyDocument: document}, nil
}

// ListRolePolicies lists the names of a role's inline policies.
func (s *Service) ListRolePolicies(ctx context.Context, call *authz.Call, in *api.ListRolePoliciesInput) (*api.ListRolePoliciesOutput, error) {
	names, truncated, marker, err := s.inlineNames(ctx, call, roleKind, in.RoleName, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListRolePoliciesOutput{PolicyNames: names, IsTruncated: truncated, Marker: marker}, nil
}

// DeleteRolePolicy deletes an inline policy of a role.
func (s *Service) DeleteRolePolicy(ctx context.Context, call *authz.Call, in *api.DeleteRolePolicyInput) (*api.DeleteRolePolicyOutput, error) {
	return deleteInline[api.DeleteRolePolicyOutput](ctx, s, call, roleKind, in.RoleName, in.PolicyName)
}
