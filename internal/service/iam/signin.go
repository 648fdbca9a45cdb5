package iam

import (
	"context"
	"errors"
	"time"

	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/password"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
)

// ErrSignIn says that nobody is signed in: there is no such user, it has no password,
// this is not it, or it was guessed wrong too often. Which of them is not told, nor by
// the time that it takes.
var ErrSignIn = errors.New("iam: the user name or password is not right")

// ErrPasswordExpired says that a password is right but too old, under a policy that
// leaves it to an administrator to set another (HardExpiry).
var ErrPasswordExpired = errors.New("iam: the password has expired; an administrator must set another")

// PasswordSignIn is a user who has given the right password.
type PasswordSignIn struct {
	Principal authz.Principal
	// MustChange says that the user must set another password before anything else.
	MustChange bool
	// Devices are the serial numbers of the user's MFA devices. Where there are any,
	// whoever signs the user in asks for a code of one: [Service.VerifyCode].
	Devices []string
	// Note takes down that the user has signed in, inside the commit of that.
	Note func(tx *store.Tx) error
}

// SignInByPassword verifies the password of a user of an account, for those who sign
// users in. Errors are ErrSignIn and ErrPasswordExpired; others are no answer.
func (s *Service) SignInByPassword(ctx context.Context, account, userName string, text secret.String, at time.Time) (*PasswordSignIn, error) {
	var user *identity
	var profile loginProfileRecord
	var settings settingsRecord
	in := &PasswordSignIn{}
	err := s.Store.View(ctx, func(r store.Reader) error {
		var err error
		if user, err = s.find(r, account, userKind, userName); err != nil {
			return err
		}
		if settings, err = settingsOf(r, account); err != nil {
			return err
		}
		devices, err := devicesOf(r, account, user.ID)
		if err != nil {
			return err
		}
		in.Devices = nil
		for _, d := range devices {
			in.Devices = append(in.Devices, s.serial(account, &d.Value))
		}
		profile, err = loginProfileRecords.Get(r, scopeOf(account), user.ID)
		return err
	})
	if isNotFound(err) || errors.Is(err, store.ErrKey) {
		if err := password.Waste(ctx, text); err != nil {
			return nil, err
		}
		return nil, ErrSignIn
	}
	if err != nil {
		return nil, err
	}
	right, err := s.guess(ctx, account, user.ID, profile.Hash, text, at)
	if err != nil {
		return nil, err
	}
	if !right {
		return nil, ErrSignIn
	}
	in.MustChange = profile.Reset
	if ends := settings.Passwords.expires(profile.Changed); !ends.IsZero() && !at.Before(ends) {
		if hard := settings.Passwords.HardExpiry; hard != nil && *hard {
			return nil, ErrPasswordExpired
		}
		in.MustChange = true
	}
	if in.Principal, err = s.user(ctx, account, user.ID, ""); err != nil {
		return nil, err
	}
	in.Note = func(tx *store.Tx) error {
		record, err := loginProfileRecords.Get(tx, scopeOf(account), user.ID)
		if isNotFound(err) || err == nil && !record.Changed.Equal(profile.Changed) {
			return ErrSignIn // taken away or changed meanwhile
		}
		if err != nil {
			return err
		}
		record.Used = at.UTC().Truncate(time.Second)
		return loginProfileRecords.Put(tx, scopeOf(account), user.ID, record)
	}
	return in, nil
}
