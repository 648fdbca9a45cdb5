package iam

import (
	"context"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/store"
)

// PutUserPermissionsBoundary limits a user by a managed policy.
func (s *Service) PutUserPermissionsBoundary(ctx context.Context, call *authz.Call, in *api.PutUserPermissionsBoundaryInput) (*api.PutUserPermissionsBoundaryOutput, error) {
	return changeIdentity(ctx, s, call, identityChange[*api.PutUserPermissionsBoundaryOutput]{
		kind: userKind, name: in.UserName, conditions: boundaryARN(in.PermissionsBoundary),
		edit: edited[api.PutUserPermissionsBoundaryOutput](func(tx *store.Tx, i *identity) error {
			i.Boundary = in.PermissionsBoundary
			return s.attachable(tx, call.Principal.Account, in.PermissionsBoundary)
		}),
	})
}

// DeleteUserPermissionsBoundary takes a user's boundary away.
func (s *Service) DeleteUserPermissionsBoundary(ctx context.Context, call *authz.Call, in *api.DeleteUserPermissionsBoundaryInput) (*api.DeleteUserPermissionsBoundaryOutput, error) {
	return changeIdentity(ctx, s, call, identityChange[*api.DeleteUserPermissionsBoundaryOutput]{
		kind: userKind, name: in.UserName,
		edit: edited[api.DeleteUserPermissionsBoundaryOutput](func(_ *store.Tx, i *identity) error {
			if i.Boundary == "" {
				return api.NoSuchEntityException("User " + i.Name + " does not have a permissions boundary.")
			}
			i.Boundary = ""
			return nil
		}),
	})
}

// PutRolePermissionsBoundary limits a role by a managed policy.
func (s *Service) PutRolePermissionsBoundary(ctx context.Context, call *authz.Call, in *api.PutRolePermissionsBoundaryInput) (*api.PutRolePermissionsBoundaryOutput, error) {
	return changeIdentity(ctx, s, call, identityChange[*api.PutRolePermissionsBoundaryOutput]{
		kind: roleKind, name: in.RoleName, conditions: boundaryARN(in.PermissionsBoundary),
		edit: edited[api.PutRolePermissionsBoundaryOutput](func(tx *store.Tx, i *identity) error {
			i.Boundary = in.PermissionsBoundary
			return s.attachable(tx, call.Principal.Account, in.PermissionsBoundary)
		}),
	})
}

// DeleteRolePermissionsBoundary takes a role's boundary away.
func (s *Service) DeleteRolePermissionsBoundary(ctx context.Context, call *authz.Call, in *api.DeleteRolePermissionsBoundaryInput) (*api.DeleteRolePermissionsBoundaryOutput, error) {
	return changeIdentity(ctx, s, call, identityChange[*api.DeleteRolePermissionsBoundaryOutput]{
		kind: roleKind, name: in.RoleName,
		edit: edited[api.DeleteRolePermissionsBoundaryOutput](func(_ *store.Tx, i *identity) error {
			if i.Boundary == "" {
				return api.NoSuchEntityException("Role " + i.Name + " does not have a permissions boundary.")
			}
			i.Boundary = ""
			return nil
		}),
	})
}
