package iam

import (
	"context"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/store"
)

// settingsRecord is what an account has set for itself. Its only id is
// [settingsID].
type settingsRecord struct {
	Alias string `json:"alias,omitempty"`
	// Passwords is the password policy; nil for none.
	Passwords *passwordPolicy `json:"passwords,omitempty"`
}

// passwordPolicy binds the passwords of users.
type passwordPolicy struct {
	MinimumLength   int32  `json:"minimumLength"`
	Symbols         bool   `json:"symbols"`
	Numbers         bool   `json:"numbers"`
	Uppercase       bool   `json:"uppercase"`
	Lowercase       bool   `json:"lowercase"`
	OwnChange       bool   `json:"ownChange"`
	MaxAge          *int32 `json:"maxAge,omitempty"` // days
	ReusePrevention *int32 `json:"reusePrevention,omitempty"`
	HardExpiry      *bool  `json:"hardExpiry,omitempty"`
}

// accountAliasRecord tells whose an alias is; its id is the alias. Aliases are the
// deployment's, not an account's: no two accounts have the same.
type accountAliasRecord struct {
	Account string `json:"account"`
}

const (
	settingsID             = "settings"
	usualPasswordLength    = 6
	settingsCollection     = "iam-account-settings"
	accountAliasCollection = "iam-account-alias"
)

var (
	settingsRecords     = store.NewCollection[settingsRecord](settingsCollection, 1)
	accountAliasRecords = store.NewCollection[accountAliasRecord](accountAliasCollection, 1)
)

// settingsOf returns what an account has set, which may be nothing.
func settingsOf(r store.Reader, account string) (settingsRecord, error) {
	record, err := settingsRecords.Get(r, scopeOf(account), settingsID)
	if isNotFound(err) {
		return settingsRecord{}, nil
	}
	return record, err
}

// settings asks for permission and returns what the caller's account has set.
func (s *Service) settings(ctx context.Context, call *authz.Call) (record settingsRecord, err error) {
	if err := s.authorize(ctx, call, "", "*", nil); err != nil {
		return record, err
	}
	err = s.Store.View(ctx, func(r store.Reader) error {
		var err error
		record, err = settingsOf(r, call.Principal.Account)
		return err
	})
	return record, err
}

// changeSettings asks for permission and commits what edit makes of the account's
// settings.
func changeSettings[T any](ctx context.Context, s *Service, call *authz.Call, edit func(tx *store.Tx, r *settingsRecord) error) (*T, error) {
	if err := s.authorize(ctx, call, "", "*", nil); err != nil {
		return nil, err
	}
	account := call.Principal.Account
	return authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (*T, error) {
		record, err := settingsOf(tx, account)
		if err != nil {
			return nil, err
		}
		if err := edit(tx, &record); err != nil {
			return nil, err
		}
		return new(T), settingsRecords.Put(tx, scopeOf(account), settingsID, record)
	})
}

// CreateAccountAlias gives the account an alias in place of the one that it has.
func (s *Service) CreateAccountAlias(ctx context.Context, call *authz.Call, in *api.CreateAccountAliasInput) (*api.CreateAccountAliasOutput, error) {
	return changeSettings[api.CreateAccountAliasOutput](ctx, s, call, func(tx *store.Tx, r *settingsRecord) error {
		_, err := accountAliasRecords.Get(tx, store.Deployment, in.AccountAlias)
		if err == nil {
			return api.EntityAlreadyExistsException("The account alias " + in.AccountAlias + " already exists.")
		}
		if !isNotFound(err) {
			return err
		}
		if r.Alias != "" {
			if err := accountAliasRecords.Delete(tx, store.Deployment, r.Alias); err != nil {
				return err
			}
		}
		r.Alias = in.AccountAlias
		return accountAliasRecords.Put(tx, store.Deployment, r.Alias, accountAliasRecord{Account: call.Principal.Account})
	})
}

// DeleteAccountAlias takes the account's alias away.
func (s *Service) DeleteAccountAlias(ctx context.Context, call *authz.Call, in *api.DeleteAccountAliasInput) (*api.DeleteAccountAliasOutput, error) {
	return changeSettings[api.DeleteAccountAliasOutput](ctx, s, call, func(tx *store.Tx, r *settingsRecord) error {
		if r.Alias != in.AccountAlias {
			return api.NoSuchEntityException("The account alias with name " + in.AccountAlias + " cannot be found.")
		}
		r.Alias = ""
		return accountAliasRecords.Delete(tx, store.Deployment, in.AccountAlias)
	})
}

// ListAccountAliases lists the account's alias, of which there is at most one.
func (s *Service) ListAccountAliases(ctx context.Context, call *authz.Call, in *api.ListAccountAliasesInput) (*api.ListAccountAliasesOutput, error) {
	record, err := s.settings(ctx, call)
	if err != nil {
		return nil, err
	}
	if _, err := newPage(call, in.Marker, in.MaxItems); err != nil {
		return nil, err
	}
	out := &api.ListAccountAliasesOutput{AccountAliases: []string{}}
	if record.Alias != "" {
		out.AccountAliases = append(out.AccountAliases, record.Alias)
	}
	return out, nil
}

// UpdateAccountPasswordPolicy replaces the account's password policy; what it does
// not name gets its default.
func (s *Service) UpdateAccountPasswordPolicy(ctx context.Context, call *authz.Call, in *api.UpdateAccountPasswordPolicyInput) (*api.UpdateAccountPasswordPolicyOutput, error) {
	return changeSettings[api.UpdateAccountPasswordPolicyOutput](ctx, s, call, func(_ *store.Tx, r *settingsRecord) error {
		r.Passwords = &passwordPolicy{
			MinimumLength: usualPasswordLength, Symbols: in.RequireSymbols, Numbers: in.RequireNumbers,
			Uppercase: in.RequireUppercaseCharacters, Lowercase: in.RequireLowercaseCharacters, OwnChange: in.AllowUsersToChangePassword,
			MaxAge: in.MaxPasswordAge, ReusePrevention: in.PasswordReusePrevention, HardExpiry: in.HardExpiry,
		}
		if in.MinimumPasswordLength != nil {
			r.Passwords.MinimumLength = *in.MinimumPasswordLength
		}
		return nil
	})
}

// GetAccountPasswordPolicy returns the account's password policy.
func (s *Service) GetAccountPasswordPolicy(ctx context.Context, call *authz.Call, _ *api.GetAccountPasswordPolicyInput) (*api.GetAccountPasswordPolicyOutput, error) {
	record, err := s.settings(ctx, call)
	if err != nil {
		return nil, err
	}
	p := record.Passwords
	if p == nil {
		return nil, api.NoSuchEntityException("The Password Policy with domain name " + call.Principal.Account + " cannot be found.")
	}
	return &api.GetAccountPasswordPolicyOutput{PasswordPolicy: &api.PasswordPolicy{
		MinimumPasswordLength: &p.MinimumLength, RequireSymbols: p.Symbols, RequireNumbers: p.Numbers,
		RequireUppercaseCharacters: p.Uppercase, RequireLowercaseCharacters: p.Lowercase, AllowUsersToChangePassword: p.OwnChange,
		ExpirePasswords: p.MaxAge != nil, MaxPasswordAge: p.MaxAge, PasswordReusePrevention: p.ReusePrevention, HardExpiry: p.HardExpiry,
	}}, nil
}

// DeleteAccountPasswordPolicy takes the account's password policy away.
func (s *Service) DeleteAccountPasswordPolicy(ctx context.Context, call *authz.Call, _ *api.DeleteAccountPasswordPolicyInput) (*api.DeleteAccountPasswordPolicyOutput, error) {
	return changeSettings[api.DeleteAccountPasswordPolicyOutput](ctx, s, call, func(_ *store.Tx, r *settingsRecord) error {
		if r.Passwords == nil {
			return api.NoSuchEntityException("The account policy with name PasswordPolicy cannot be found.")
		}
		r.Passwords = nil
		return nil
	})
}
