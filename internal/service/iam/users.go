package iam

import (
	"context"
	"time"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/store"
)

// now is a call's time as records keep it: to the second, as IAM answers.
func now(call *authz.Call) time.Time { return call.Time.UTC().Truncate(time.Second) }

// CreateUser makes a user. With tags, iam:TagUser is needed as well.
func (s *Service) CreateUser(ctx context.Context, call *authz.Call, in *api.CreateUserInput) (*api.CreateUserOutput, error) {
	record, err := s.newIdentity(ctx, call, userKind, in.Path, in.UserName, in.PermissionsBoundary, in.Tags)
	if err != nil {
		return nil, err
	}
	return create(ctx, s, call, record, func(i *identity) *api.CreateUserOutput {
		return &api.CreateUserOutput{User: i.user()}
	})
}

// newIdentity asks for permission and returns the record of a new user or role.
func (s *Service) newIdentity(ctx context.Context, call *authz.Call, k kind, path, name, boundary string, tags []api.Tag) (identityRecord, error) {
	path = pathOr(path)
	arn := s.arn(call.Principal.Account, string(k), path, name)
	if err := s.authorize(ctx, call, "", arn, requestTags(tags).with(boundaryARN(boundary))); err != nil {
		return identityRecord{}, err
	}
	if len(tags) > 0 {
		action := map[kind]string{userKind: "iam:TagUser", roleKind: "iam:TagRole"}[k]
		if err := s.authorize(ctx, call, action, arn, requestTags(tags)); err != nil {
			return identityRecord{}, err
		}
	}
	merged, err := merge(nil, tags)
	if err != nil {
		return identityRecord{}, err
	}
	id, err := s.newID(idPrefixes[k])
	return identityRecord{Kind: k, Name: name, Path: path, ID: id, Created: now(call), Tags: merged, Boundary: boundary}, err
}

// user is the user as answers show it.
func (i *identity) user() *api.User {
	return &api.User{
		Path: i.Path, UserName: i.Name, UserId: i.ID, Arn: i.ARN, CreateDate: i.Created,
		PermissionsBoundary: i.boundary(), Tags: shownTags(i.Tags),
	}
}

// boundary is the permissions boundary as answers show it.
func (i *identity) boundary() *api.AttachedPermissionsBoundary {
	if i.Boundary == "" {
		return nil
	}
	return &api.AttachedPermissionsBoundary{
		PermissionsBoundaryType: api.PermissionsBoundaryAttachmentTypePermissionsBoundaryPolicy,
		PermissionsBoundaryArn:  i.Boundary,
	}
}

// ownName returns the name that an operation without one means: the caller's.
func ownName(call *authz.Call, name string) (string, error) {
	if name != "" || call.Principal.Type == policy.Root {
		return name, nil
	}
	if call.Principal.Type != policy.User {
		return "", awserr.Validation("Must specify userName when calling with non-User credentials")
	}
	return call.Principal.UserName, nil
}

// GetUser returns a user; without a name the caller, who may be the root.
func (s *Service) GetUser(ctx context.Context, call *authz.Call, in *api.GetUserInput) (*api.GetUserOutput, error) {
	name, err := ownName(call, in.UserName)
	if err != nil {
		return nil, err
	}
	if name == "" {
		if err := s.authorize(ctx, call, "", call.Principal.ARN, nil); err != nil {
			return nil, err
		}
		return &api.GetUserOutput{User: &api.User{
			Path: "/", UserId: call.Principal.ID, Arn: call.Principal.ARN, CreateDate: time.Unix(0, 0),
		}}, nil
	}
	i, err := s.lookup(ctx, call, userKind, name, nil)
	if err != nil {
		return nil, err
	}
	shown := []api.User{*i.user()}
	if err := s.addPasswordUse(ctx, call, shown); err != nil {
		return nil, err
	}
	return &api.GetUserOutput{User: &shown[0]}, nil
}

// addPasswordUse tells of users when they last signed in with a password.
func (s *Service) addPasswordUse(ctx context.Context, call *authz.Call, users []api.User) error {
	return s.Store.View(ctx, func(r store.Reader) error {
		for i := range users {
			profile, err := loginProfileRecords.Get(r, scopeOf(call.Principal.Account), users[i].UserId)
			if err != nil && !isNotFound(err) {
				return err
			}
			users[i].PasswordLastUsed = timeOrNil(profile.Used)
		}
		return nil
	})
}

// ListUsers lists the account's users by name. Tags and boundaries are not part
// of the answer.
func (s *Service) ListUsers(ctx context.Context, call *authz.Call, in *api.ListUsersInput) (*api.ListUsersOutput, error) {
	users, truncated, marker, err := s.listed(ctx, call, userKind, in.PathPrefix, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &api.ListUsersOutput{Users: []api.User{}, IsTruncated: truncated, Marker: marker}
	for _, i := range users {
		user := i.user()
		user.Tags, user.PermissionsBoundary = nil, nil
		out.Users = append(out.Users, *user)
	}
	return out, s.addPasswordUse(ctx, call, out.Users)
}

// listed asks for permission to list and returns a page.
func (s *Service) listed(ctx context.Context, call *authz.Call, k kind, prefix, marker string, maxItems *int32) ([]*identity, bool, string, error) {
	if err := s.authorize(ctx, call, "", s.arn(call.Principal.Account, string(k), pathOr(prefix), ""), nil); err != nil {
		return nil, false, "", err
	}
	p, err := newPage(call, marker, maxItems)
	if err != nil {
		return nil, false, "", err
	}
	return s.list(ctx, call.Principal.Account, k, prefix, p)
}

// UpdateUser renames a user or moves it to another path. It stays who it is: what
// names its unique id holds on, what names its ARN does not.
func (s *Service) UpdateUser(ctx context.Context, call *authz.Call, in *api.UpdateUserInput) (*api.UpdateUserOutput, error) {
	return renameIdentity[api.UpdateUserOutput](ctx, s, call, userKind, in.UserName, in.NewUserName, in.NewPath)
}

// renameIdentity gives an identity another name, another path, or both. The
// permission is needed on what it was and on what it becomes (IAM User Guide,
// "Rename or change the path of an IAM user").
func renameIdentity[T any](ctx context.Context, s *Service, call *authz.Call, k kind, name, newName, newPath string) (*T, error) {
	becomes := func(i *identity) (name, path string) {
		name, path = i.Name, i.Path
		if newName != "" {
			name = newName
		}
		if newPath != "" {
			path = newPath
		}
		return name, path
	}
	return changeIdentity(ctx, s, call, identityChange[*T]{
		kind: k, name: name,
		check: func(i *identity) error {
			name, path := becomes(i)
			return s.authorize(ctx, call, "", s.arn(call.Principal.Account, string(k), path, name), resourceTags(i.Tags))
		},
		edit: edited[T](func(tx *store.Tx, i *identity) error {
			i.Name, i.Path = becomes(i)
			return nameFree(tx, scopeOf(call.Principal.Account), k, i.Name, i.ID)
		}),
	})
}

// DeleteUser deletes a user that has nothing left.
func (s *Service) DeleteUser(ctx context.Context, call *authz.Call, in *api.DeleteUserInput) (*api.DeleteUserOutput, error) {
	return changeIdentity(ctx, s, call, identityChange[*api.DeleteUserOutput]{
		kind: userKind, name: in.UserName, delete: true,
		edit: edited[api.DeleteUserOutput](func(tx *store.Tx, i *identity) error {
			_, err := profileOf(tx, call.Principal.Account, i)
			if err == nil {
				return api.DeleteConflictException("Cannot delete entity, must delete login profile first.")
			}
			if awserr.Code(err) != noSuchEntity {
				return err
			}
			devices, err := devicesOf(tx, call.Principal.Account, i.ID)
			if err != nil {
				return err
			}
			if len(devices) > 0 {
				return api.DeleteConflictException("Cannot delete entity, must delete MFA device first.")
			}
			keys, err := keysOf(tx, call.Principal.Account, i.ID)
			switch {
			case err != nil:
				return err
			case len(keys) > 0:
				return api.DeleteConflictException("Cannot delete entity, must delete access keys first.")
			case len(i.Groups) > 0:
				return api.DeleteConflictException("Cannot delete entity, must remove users from group first.")
			}
			return withoutPolicies(i)
		}),
	})
}

// withoutPolicies refuses to delete an identity that has policies.
func withoutPolicies(i *identity) error {
	if len(i.Attached) > 0 {
		return api.DeleteConflictException("Cannot delete entity, must detach all policies first.")
	}
	if len(i.Inline) > 0 {
		return api.DeleteConflictException("Cannot delete entity, must delete policies first.")
	}
	return nil
}
