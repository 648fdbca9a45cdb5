package iam

import (
	"context"
	"fmt"
	"time"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/password"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
)

func (r *loginProfileRecord) shown(user string) *api.LoginProfile {
	return &api.LoginProfile{UserName: user, CreateDate: r.Created, PasswordResetRequired: r.Reset}
}

// profileUser returns the name of the user that an operation on login profiles means;
// the root's password is not kept here.
func profileUser(call *authz.Call, name string) (string, error) {
	name, err := ownName(call, name)
	if err == nil && name == "" {
		err = api.NoSuchEntityException("The root has no login profile here. Name a user.")
	}
	return name, err
}

// CreateLoginProfile gives a user a password.
func (s *Service) CreateLoginProfile(ctx context.Context, call *authz.Call, in *api.CreateLoginProfileInput) (*api.CreateLoginProfileOutput, error) {
	name, err := profileUser(call, in.UserName)
	if err != nil {
		return nil, err
	}
	account := call.Principal.Account
	var sealed []byte
	return changeIdentity(ctx, s, call, identityChange[*api.CreateLoginProfileOutput]{
		kind: userKind, name: name,
		check: func(i *identity) (err error) {
			if in.Password == "" {
				return awserr.Validation("1 validation error detected: Value null at 'password' failed to satisfy constraint: Member must not be null")
			}
			sealed, err = s.newPassword(ctx, call, i.ID, in.Password)
			return err
		},
		edit: func(tx *store.Tx, i *identity) (*api.CreateLoginProfileOutput, error) {
			_, err := profileOf(tx, account, i)
			if err == nil {
				return nil, api.EntityAlreadyExistsException("Login Profile for user " + i.Name + " already exists.")
			}
			if awserr.Code(err) != noSuchEntity {
				return nil, err
			}
			record := loginProfileRecord{Created: now(call), Reset: in.PasswordResetRequired}
			record.set(sealed, now(call))
			return &api.CreateLoginProfileOutput{LoginProfile: record.shown(i.Name)}, loginProfileRecords.Put(tx, scopeOf(account), i.ID, record)
		},
	})
}

// GetLoginProfile tells whether a user has a password, and since when.
func (s *Service) GetLoginProfile(ctx context.Context, call *authz.Call, in *api.GetLoginProfileInput) (*api.GetLoginProfileOutput, error) {
	name, err := profileUser(call, in.UserName)
	if err != nil {
		return nil, err
	}
	i, err := s.lookup(ctx, call, userKind, name, nil)
	if err != nil {
		return nil, err
	}
	var record loginProfileRecord
	err = s.Store.View(ctx, func(r store.Reader) error {
		var err error
		record, err = profileOf(r, call.Principal.Account, i)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &api.GetLoginProfileOutput{LoginProfile: record.shown(i.Name)}, nil
}

// changeProfile commits what edit makes of a user's login profile; false deletes it.
func changeProfile[T any](ctx context.Context, s *Service, call *authz.Call, name string, check func(*identity) error, edit func(r *loginProfileRecord) bool) (*T, error) {
	account := call.Principal.Account
	return changeIdentity(ctx, s, call, identityChange[*T]{
		kind: userKind, name: name, check: check,
		edit: edited[T](func(tx *store.Tx, i *identity) error {
			record, err := profileOf(tx, account, i)
			if err != nil {
				return err
			}
			if !edit(&record) {
				return loginProfileRecords.Delete(tx, scopeOf(account), i.ID)
			}
			return loginProfileRecords.Put(tx, scopeOf(account), i.ID, record)
		}),
	})
}

// UpdateLoginProfile gives a user another password, or says whether it must be changed.
func (s *Service) UpdateLoginProfile(ctx context.Context, call *authz.Call, in *api.UpdateLoginProfileInput) (*api.UpdateLoginProfileOutput, error) {
	var sealed []byte
	check := func(i *identity) (err error) {
		if in.Password != "" {
			sealed, err = s.newPassword(ctx, call, i.ID, in.Password)
		}
		return err
	}
	return changeProfile[api.UpdateLoginProfileOutput](ctx, s, call, in.UserName, check, func(r *loginProfileRecord) bool {
		if sealed != nil {
			r.set(sealed, now(call))
		}
		if in.PasswordResetRequired != nil {
			r.Reset = *in.PasswordResetRequired
		}
		return true
	})
}

// DeleteLoginProfile takes a user's password away.
func (s *Service) DeleteLoginProfile(ctx context.Context, call *authz.Call, in *api.DeleteLoginProfileInput) (*api.DeleteLoginProfileOutput, error) {
	name, err := profileUser(call, in.UserName)
	if err != nil {
		return nil, err
	}
	return changeProfile[api.DeleteLoginProfileOutput](ctx, s, call, name, nil, func(*loginProfileRecord) bool { return false })
}

// ChangePassword lets a user set another password for itself, knowing the one before.
// Where the account's password policy lets all users do so, they need no other
// permission.
func (s *Service) ChangePassword(ctx context.Context, call *authz.Call, in *api.ChangePasswordInput) (*api.ChangePasswordOutput, error) {
	if call.Principal.Type != policy.User {
		return nil, api.InvalidUserTypeException("Only IAM Users can change their own password")
	}
	account := call.Principal.Account
	return again(func() (*api.ChangePasswordOutput, error) {
		ctx := call.Context(ctx) // the run before may have made a hash
		var i *identity
		var profile loginProfileRecord
		var settings settingsRecord
		var missing error
		err := s.Store.View(ctx, func(r store.Reader) error {
			var err error
			if settings, err = settingsOf(r, account); err != nil {
				return err
			}
			if i, err = s.find(r, account, userKind, call.Principal.UserName); err != nil {
				return err
			}
			if profile, missing = profileOf(r, account, i); missing != nil && awserr.Code(missing) != noSuchEntity {
				return missing
			}
			return nil
		})
		if isNotFound(err) {
			return nil, noSuchIdentity(userKind, call.Principal.UserName)
		}
		if err != nil {
			return nil, err
		}
		if err := s.mayChangePassword(ctx, call, i, settings.Passwords); err != nil {
			return nil, err
		}
		if missing != nil {
			return nil, missing
		}
		right, err := s.guess(ctx, account, i.ID, profile.Hash, in.OldPassword, call.Time)
		if err != nil {
			return nil, err
		}
		if !right {
			return nil, awserr.New(authz.ErrDenied.Code, "The old password was incorrect.")
		}
		sealed, err := s.newPassword(ctx, call, i.ID, in.NewPassword)
		if err != nil {
			return nil, err
		}
		return authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (*api.ChangePasswordOutput, error) {
			record, err := loginProfileRecords.Get(tx, scopeOf(account), i.ID)
			if isNotFound(err) || err == nil && !record.Changed.Equal(profile.Changed) {
				return nil, errChanged
			}
			if err != nil {
				return nil, err
			}
			record.set(sealed, now(call))
			record.Reset = false
			return &api.ChangePasswordOutput{}, loginProfileRecords.Put(tx, scopeOf(account), i.ID, record)
		})
	})
}

// mayChangePassword asks for permission to change one's own password. A password policy
// that gives it to everyone is a policy of the user as a resource: a Deny still wins.
func (s *Service) mayChangePassword(ctx context.Context, call *authz.Call, i *identity, p *passwordPolicy) error {
	access := authz.Access{Resource: i.ARN, Context: resourceTags(i.Tags).with(boundaryARN(i.Boundary))}
	if p == nil || !p.OwnChange {
		return authorizeAccess(ctx, call, access)
	}
	document, err := policy.Parse(fmt.Appendf(nil, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":%q},"Action":"iam:ChangePassword","Resource":%q}]}`, i.ARN, i.ARN), policy.ResourcePolicy)
	if err != nil {
		return err
	}
	access.Policy = &policy.Source{Name: "account password policy", Document: document}
	return authorizeAccess(ctx, call, access)
}

// guess reports whether a password is a user's; after a few wrong ones in a row none is,
// for a while.
func (s *Service) guess(ctx context.Context, account, user string, sealed []byte, text secret.String, at time.Time) (bool, error) {
	what := "password/" + user
	if !s.guesses.take(account, what, at) {
		return false, password.Waste(ctx, text)
	}
	right, err := s.matches(ctx, account, user, sealed, text)
	if right {
		s.guesses.right(account, what)
	}
	return right, err
}
