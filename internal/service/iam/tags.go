package iam

import (
	"context"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/store"
)

// tagIdentity adds tags to a user or role, or gives them new values.
func tagIdentity[T any](ctx context.Context, s *Service, call *authz.Call, k kind, name string, tags []api.Tag) (*T, error) {
	return changeIdentity(ctx, s, call, identityChange[*T]{
		kind: k, name: name, conditions: requestTags(tags), linked: true,
		edit: edited[T](func(_ *store.Tx, i *identity) (err error) {
			i.Tags, err = merge(i.Tags, tags)
			return err
		}),
	})
}

// untagIdentity removes tags from a user or role; those that it does not have are no
// error.
func untagIdentity[T any](ctx context.Context, s *Service, call *authz.Call, k kind, name string, keys []string) (*T, error) {
	return changeIdentity(ctx, s, call, identityChange[*T]{
		kind: k, name: name, conditions: conditions{"aws:tagkeys": keys}, linked: true,
		edit: edited[T](func(_ *store.Tx, i *identity) error {
			i.Tags = remove(i.Tags, keys)
			return nil
		}),
	})
}

// tagsOfIdentity lists the tags of a user or role by their keys.
func (s *Service) tagsOfIdentity(ctx context.Context, call *authz.Call, k kind, name, marker string, maxItems *int32) ([]api.Tag, bool, string, error) {
	i, err := s.lookup(ctx, call, k, name, nil)
	if err != nil {
		return nil, false, "", err
	}
	p, err := newPage(call, marker, maxItems)
	if err != nil {
		return nil, false, "", err
	}
	tags, truncated, next := cut(p, i.Tags, func(t tag) string { return t.Key })
	return listedTags(tags), truncated, next, nil
}

// TagUser adds tags to a user, or gives them new values.
func (s *Service) TagUser(ctx context.Context, call *authz.Call, in *api.TagUserInput) (*api.TagUserOutput, error) {
	return tagIdentity[api.TagUserOutput](ctx, s, call, userKind, in.UserName, in.Tags)
}

// UntagUser removes tags from a user; those that it does not have are no error.
func (s *Service) UntagUser(ctx context.Context, call *authz.Call, in *api.UntagUserInput) (*api.UntagUserOutput, error) {
	return untagIdentity[api.UntagUserOutput](ctx, s, call, userKind, in.UserName, in.TagKeys)
}

// ListUserTags lists a user's tags by their keys.
func (s *Service) ListUserTags(ctx context.Context, call *authz.Call, in *api.ListUserTagsInput) (*api.ListUserTagsOutput, error) {
	tags, truncated, marker, err := s.tagsOfIdentity(ctx, call, userKind, in.UserName, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListUserTagsOutput{Tags: tags, IsTruncated: truncated, Marker: marker}, nil
}

// TagRole adds tags to a role, or gives them new values.
func (s *Service) TagRole(ctx context.Context, call *authz.Call, in *api.TagRoleInput) (*api.TagRoleOutput, error) {
	return tagIdentity[api.TagRoleOutput](ctx, s, call, roleKind, in.RoleName, in.Tags)
}

// UntagRole removes tags from a role; those that it does not have are no error.
func (s *Service) UntagRole(ctx context.Context, call *authz.Call, in *api.UntagRoleInput) (*api.UntagRoleOutput, error) {
	return untagIdentity[api.UntagRoleOutput](ctx, s, call, roleKind, in.RoleName, in.TagKeys)
}

// ListRoleTags lists a role's tags by their keys.
func (s *Service) ListRoleTags(ctx context.Context, call *authz.Call, in *api.ListRoleTagsInput) (*api.ListRoleTagsOutput, error) {
	tags, truncated, marker, err := s.tagsOfIdentity(ctx, call, roleKind, in.RoleName, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListRoleTagsOutput{Tags: tags, IsTruncated: truncated, Marker: marker}, nil
}

// listedTags are tags as lists answer them: none are an empty list.
func listedTags(tags []tag) []api.Tag { return append([]api.Tag{}, shownTags(tags)...) }
