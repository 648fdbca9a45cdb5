package iam

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/password"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
)

// loginProfileRecord is a user's password. Its id in the collection is the user's
// unique id.
type loginProfileRecord struct {
	Created time.Time `json:"created"`
	// Changed is when the password was set.
	Changed time.Time `json:"changed"`
	// Hash is the password's hash, sealed. Earlier are those of the passwords before,
	// the newest first.
	Hash    []byte   `json:"hash"`
	Earlier [][]byte `json:"earlier,omitempty"`
	// Reset says that the user must set another one before anything else.
	Reset bool `json:"reset,omitempty"`
	// Used is when the user last signed in with a password; zero for never.
	Used time.Time `json:"used,omitzero"`
}

var loginProfileRecords = store.NewCollection[loginProfileRecord]("iam-login-profile", 1)

// maxEarlier is how many passwords a policy can keep from being used again, the one
// in force among them (API Reference, UpdateAccountPasswordPolicy).
const maxEarlier = 24

func passwordBinding(account, user string) []byte { return []byte("password/" + account + "/" + user) }

func noSuchProfile(user string) error {
	return api.NoSuchEntityException("Login Profile for User " + user + " cannot be found.")
}

// profileOf returns the login profile of a user, or the refusal of one who has none.
func profileOf(r store.Reader, account string, i *identity) (loginProfileRecord, error) {
	record, err := loginProfileRecords.Get(r, scopeOf(account), i.ID)
	if isNotFound(err) {
		err = noSuchProfile(i.Name)
	}
	return record, err
}

// matches reports whether a password is the one that was sealed for a user.
func (s *Service) matches(ctx context.Context, account, user string, sealed []byte, text secret.String) (bool, error) {
	hash, err := s.Secrets.Open(sealed, passwordBinding(account, user))
	if err != nil {
		return false, err
	}
	defer hash.Wipe()
	return password.Matches(ctx, hash, text)
}

// newPassword checks a password against the account's policy and against those that
// the user had before, and returns its sealed hash. It is slow by design, and has no
// place in a commit.
func (s *Service) newPassword(ctx context.Context, call *authz.Call, user string, text secret.String) ([]byte, error) {
	account := call.Principal.Account
	var settings settingsRecord
	var owner accountRecord
	var before loginProfileRecord
	err := s.Store.View(ctx, func(r store.Reader) error {
		var err error
		if settings, err = settingsOf(r, account); err != nil {
			return err
		}
		if owner, err = accountRecords.Get(r, store.Deployment, account); err != nil && !isNotFound(err) {
			return err
		}
		if before, err = loginProfileRecords.Get(r, scopeOf(account), user); isNotFound(err) {
			err = nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if why := settings.Passwords.against(string(text), owner, settings.Alias); why != "" {
		return nil, api.PasswordPolicyViolationException(why)
	}
	var had [][]byte
	if p := settings.Passwords; p != nil && p.ReusePrevention != nil && before.Hash != nil {
		had = append([][]byte{before.Hash}, before.Earlier...)
		had = had[:min(len(had), int(*p.ReusePrevention))]
	}
	var fresh []byte
	err = call.Work(ctx, func(ctx context.Context) error {
		for _, sealed := range had {
			used, err := s.matches(ctx, account, user, sealed, text)
			if err != nil {
				return err
			}
			if used {
				return api.PasswordPolicyViolationException(fmt.Sprintf("Password should not be one of the last %d passwords", *settings.Passwords.ReusePrevention))
			}
		}
		hash, err := password.Hash(ctx, s.Rand, text)
		if err != nil {
			return err
		}
		defer hash.Wipe()
		fresh, err = s.Secrets.Seal(s.Rand, hash, passwordBinding(account, user))
		return err
	})
	return fresh, err
}

// set gives the profile another password.
func (r *loginProfileRecord) set(sealed []byte, at time.Time) {
	if r.Hash != nil {
		r.Earlier = slices.Insert(r.Earlier, 0, r.Hash)
		r.Earlier = r.Earlier[:min(len(r.Earlier), maxEarlier-1)]
	}
	r.Hash, r.Changed = sealed, at
}

// symbols are the characters that count as such (IAM User Guide, "Set an account
// password policy for IAM users").
const symbols = "!@#$%^&*()_+-=[]{}|'"

// usualClasses is how many of the four kinds of characters a password has, and
// usualLength how long it is, where the account has no policy.
const (
	usualClasses = 3
	usualLength  = 8
)

// against tells what is wrong with a password; "" for nothing. Without a policy AWS's
// default holds.
func (p *passwordPolicy) against(text string, owner accountRecord, alias string) string {
	classes := []struct {
		name string
		has  bool
		want bool
	}{
		{"uppercase letter", strings.ContainsFunc(text, func(r rune) bool { return r >= 'A' && r <= 'Z' }), p != nil && p.Uppercase},
		{"lowercase letter", strings.ContainsFunc(text, func(r rune) bool { return r >= 'a' && r <= 'z' }), p != nil && p.Lowercase},
		{"number", strings.ContainsFunc(text, func(r rune) bool { return r >= '0' && r <= '9' }), p != nil && p.Numbers},
		{"symbol", strings.ContainsAny(text, symbols), p != nil && p.Symbols},
	}
	length := usualLength
	if p != nil {
		length = int(p.MinimumLength)
	}
	if n := len([]rune(text)); n < length {
		return fmt.Sprintf("Password should have a minimum length of %d", length)
	}
	has := 0
	for _, c := range classes {
		if c.want && !c.has {
			return "Password should have at least one " + c.name
		}
		if c.has {
			has++
		}
	}
	if p != nil {
		return ""
	}
	if has < usualClasses {
		return fmt.Sprintf("Password should have characters of at least %d kinds: uppercase letters, lowercase letters, numbers, symbols", usualClasses)
	}
	for _, name := range []string{owner.Name, owner.Email, alias} {
		if name != "" && text == name {
			return "Password should not be the name or email address of the account"
		}
	}
	return ""
}

// expires returns when a password ends by the account's policy; zero for never.
func (p *passwordPolicy) expires(changed time.Time) time.Time {
	if p == nil || p.MaxAge == nil {
		return time.Time{}
	}
	return changed.AddDate(0, 0, int(*p.MaxAge))
}
