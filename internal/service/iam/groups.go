package iam

import (
	"context"
	"slices"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/store"
)

// maxGroups is the quota of groups of a user.
const maxGroups = 10

// group is the group as answers show it.
func (i *identity) group() *api.Group {
	return &api.Group{Path: i.Path, GroupName: i.Name, GroupId: i.ID, Arn: i.ARN, CreateDate: i.Created}
}

// CreateGroup makes a group.
func (s *Service) CreateGroup(ctx context.Context, call *authz.Call, in *api.CreateGroupInput) (*api.CreateGroupOutput, error) {
	record, err := s.newIdentity(ctx, call, groupKind, in.Path, in.GroupName, "", nil)
	if err != nil {
		return nil, err
	}
	return create(ctx, s, call, record, func(i *identity) *api.CreateGroupOutput {
		return &api.CreateGroupOutput{Group: i.group()}
	})
}

// members returns a group's users, sorted by name.
func (s *Service) members(r store.Reader, account, group string) ([]*identity, error) {
	items, _, err := identityRecords.ScanIndex(r, scopeOf(account), byGroup, group, "", maxCounted)
	if err != nil {
		return nil, err
	}
	var users []*identity
	for _, item := range items {
		users = append(users, s.identityOf(account, item))
	}
	slices.SortFunc(users, func(a, b *identity) int { return compareNames(a.Name, b.Name) })
	return users, nil
}

// GetGroup returns a group with a page of its users.
func (s *Service) GetGroup(ctx context.Context, call *authz.Call, in *api.GetGroupInput) (*api.GetGroupOutput, error) {
	i, err := s.lookup(ctx, call, groupKind, in.GroupName, nil)
	if err != nil {
		return nil, err
	}
	p, err := newPage(call, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	var users []*identity
	err = s.Store.View(ctx, func(r store.Reader) error {
		users, err = s.members(r, call.Principal.Account, i.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	users, truncated, marker := cut(p, users, func(u *identity) string { return nameValue(u.Kind, u.Name) })
	out := &api.GetGroupOutput{Group: i.group(), Users: []api.User{}, IsTruncated: truncated, Marker: marker}
	for _, u := range users {
		shown := u.user()
		shown.Tags, shown.PermissionsBoundary = nil, nil
		out.Users = append(out.Users, *shown)
	}
	return out, nil
}

// ListGroups lists the account's groups by name.
func (s *Service) ListGroups(ctx context.Context, call *authz.Call, in *api.ListGroupsInput) (*api.ListGroupsOutput, error) {
	groups, truncated, marker, err := s.listed(ctx, call, groupKind, in.PathPrefix, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &api.ListGroupsOutput{Groups: []api.Group{}, IsTruncated: truncated, Marker: marker}
	for _, i := range groups {
		out.Groups = append(out.Groups, *i.group())
	}
	return out, nil
}

// UpdateGroup renames a group or moves it to another path.
func (s *Service) UpdateGroup(ctx context.Context, call *authz.Call, in *api.UpdateGroupInput) (*api.UpdateGroupOutput, error) {
	return renameIdentity[api.UpdateGroupOutput](ctx, s, call, groupKind, in.GroupName, in.NewGroupName, in.NewPath)
}

// DeleteGroup deletes a group that has neither users nor policies.
func (s *Service) DeleteGroup(ctx context.Context, call *authz.Call, in *api.DeleteGroupInput) (*api.DeleteGroupOutput, error) {
	return changeIdentity(ctx, s, call, identityChange[*api.DeleteGroupOutput]{
		kind: groupKind, name: in.GroupName, delete: true,
		edit: edited[api.DeleteGroupOutput](func(tx *store.Tx, i *identity) error {
			users, err := s.members(tx, call.Principal.Account, i.ID)
			if err != nil {
				return err
			}
			if len(users) > 0 {
				return api.DeleteConflictException("Cannot delete entity, must remove users from group first.")
			}
			return withoutPolicies(i)
		}),
	})
}

// AddUserToGroup puts a user into a group. The permission is asked on the group.
func (s *Service) AddUserToGroup(ctx context.Context, call *authz.Call, in *api.AddUserToGroupInput) (*api.AddUserToGroupOutput, error) {
	return changeMembership[api.AddUserToGroupOutput](ctx, s, call, in.GroupName, in.UserName, func(user *identity, group string) error {
		if slices.Contains(user.Groups, group) {
			return nil
		}
		if len(user.Groups) >= maxGroups {
			return quota("GroupsPerUser", maxGroups)
		}
		user.Groups = append(user.Groups, group)
		return nil
	})
}

// RemoveUserFromGroup takes a user out of a group; one that is not in it is no
// error.
func (s *Service) RemoveUserFromGroup(ctx context.Context, call *authz.Call, in *api.RemoveUserFromGroupInput) (*api.RemoveUserFromGroupOutput, error) {
	return changeMembership[api.RemoveUserFromGroupOutput](ctx, s, call, in.GroupName, in.UserName, func(user *identity, group string) error {
		user.Groups = slices.DeleteFunc(user.Groups, func(g string) bool { return g == group })
		return nil
	})
}

func changeMembership[T any](ctx context.Context, s *Service, call *authz.Call, group, user string, edit func(user *identity, group string) error) (*T, error) {
	return changeIdentity(ctx, s, call, identityChange[*T]{
		kind: groupKind, name: group,
		edit: edited[T](func(tx *store.Tx, g *identity) error {
			u, err := s.find(tx, call.Principal.Account, userKind, user)
			if isNotFound(err) {
				return noSuchIdentity(userKind, user)
			}
			if err != nil {
				return err
			}
			if err := edit(u, g.ID); err != nil {
				return err
			}
			return identityRecords.Put(tx, scopeOf(call.Principal.Account), u.ID, u.identityRecord)
		}),
	})
}

// ListGroupsForUser lists a user's groups by name.
func (s *Service) ListGroupsForUser(ctx context.Context, call *authz.Call, in *api.ListGroupsForUserInput) (*api.ListGroupsForUserOutput, error) {
	user, err := s.lookup(ctx, call, userKind, in.UserName, nil)
	if err != nil {
		return nil, err
	}
	p, err := newPage(call, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	var groups []*identity
	err = s.Store.View(ctx, func(r store.Reader) error {
		for _, id := range user.Groups {
			item, err := identityRecords.GetItem(r, scopeOf(call.Principal.Account), id)
			if isNotFound(err) {
				continue // deleted since the user was read
			}
			if err != nil {
				return err
			}
			groups = append(groups, s.identityOf(call.Principal.Account, item))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(groups, func(a, b *identity) int { return compareNames(a.Name, b.Name) })
	groups, truncated, marker := cut(p, groups, func(g *identity) string { return nameValue(g.Kind, g.Name) })
	out := &api.ListGroupsForUserOutput{Groups: []api.Group{}, IsTruncated: truncated, Marker: marker}
	for _, g := range groups {
		out.Groups = append(out.Groups, *g.group())
	}
	return out, nil
}
