package iam

import (
	"context"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/store"
)

// TagUser adds tags to a user, or gives them new values.
func (s *Service) TagUser(ctx context.Context, call *authz.Call, in *api.TagUserInput) (*api.TagUserOutput, error) {
	return changeIdentity(ctx, s, call, identityChange[*api.TagUserOutput]{
		kind: userKind, name: in.UserName, conditions: requestTags(in.Tags),
		edit: edited[api.TagUserOutput](func(_ *store.Tx, i *identity) (err error) {
			i.Tags, err = merge(i.Tags, in.Tags)
			return err
		}),
	})
}

// UntagUser removes tags from a user; those that it does not have are no error.
func (s *Service) UntagUser(ctx context.Context, call *authz.Call, in *api.UntagUserInput) (*api.UntagUserOutput, error) {
	return changeIdentity(ctx, s, call, identityChange[*api.UntagUserOutput]{
		kind: userKind, name: in.UserName, conditions: conditions{"aws:tagkeys": in.TagKeys},
		edit: edited[api.UntagUserOutput](func(_ *store.Tx, i *identity) error {
			i.Tags = remove(i.Tags, in.TagKeys)
			return nil
		}),
	})
}

// ListUserTags lists a user's tags by their keys.
func (s *Service) ListUserTags(ctx context.Context, call *authz.Call, in *api.ListUserTagsInput) (*api.ListUserTagsOutput, error) {
	i, err := s.lookup(ctx, call, userKind, in.UserName, nil)
	if err != nil {
		return nil, err
	}
	p, err := newPage(call, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	tags, truncated, marker := cut(p, i.Tags, func(t tag) string { return t.Key })
	return &api.ListUserTagsOutput{Tags: listedTags(tags), IsTruncated: truncated, Marker: marker}, nil
}

// TagRole adds tags to a role, or gives them new values.
func (s *Service) TagRole(ctx context.Context, call *authz.Call, in *api.TagRoleInput) (*api.TagRoleOutput, error) {
	return changeIdentity(ctx, s, call, identityChange[*api.TagRoleOutput]{
		kind: roleKind, name: in.RoleName, conditions: requestTags(in.Tags),
		edit: edited[api.TagRoleOutput](func(_ *store.Tx, i *identity) (err error) {
			i.Tags, err = merge(i.Tags, in.Tags)
			return err
		}),
	})
}

// UntagRole removes tags from a role; those that it does not have are no error.
func (s *Service) UntagRole(ctx context.Context, call *authz.Call, in *api.UntagRoleInput) (*api.UntagRoleOutput, error) {
	return changeIdentity(ctx, s, call, identityChange[*api.UntagRoleOutput]{
		kind: roleKind, name: in.RoleName, conditions: conditions{"aws:tagkeys": in.TagKeys},
		edit: edited[api.UntagRoleOutput](func(_ *store.Tx, i *identity) error {
			i.Tags = remove(i.Tags, in.TagKeys)
			return nil
		}),
	})
}

// ListRoleTags lists a role's tags by their keys.
func (s *Service) ListRoleTags(ctx context.Context, call *authz.Call, in *api.ListRoleTagsInput) (*api.ListRoleTagsOutput, error) {
	i, err := s.lookup(ctx, call, roleKind, in.RoleName, nil)
	if err != nil {
		return nil, err
	}
	p, err := newPage(call, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	tags, truncated, marker := cut(p, i.Tags, func(t tag) string { return t.Key })
	return &api.ListRoleTagsOutput{Tags: listedTags(tags), IsTruncated: truncated, Marker: marker}, nil
}

// listedTags are tags as lists answer them: none are an empty list.
func listedTags(tags []tag) []api.Tag { return append([]api.Tag{}, shownTags(tags)...) }
