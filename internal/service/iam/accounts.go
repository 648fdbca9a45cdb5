package iam

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
)

// Account is an account of the deployment, with its root. Accounts are made by
// whoever holds the deployment, not by calls.
type Account struct {
	ID, Name, Email string
	Created         time.Time
	// RootDisabled says that the root cannot sign in, neither with its access keys
	// nor in a session.
	RootDisabled bool
	// RootKeys are the root's access keys, by their ids.
	RootKeys []KeyState
}

// KeyState is an access key without its secret.
type KeyState struct {
	ID      string
	Active  bool
	Created time.Time
}

// Errors of the changes to accounts.
var (
	// ErrNoAccount: there is no account with that id.
	ErrNoAccount = errors.New("iam: no such account")
	// ErrAccountExists: there is an account with that id.
	ErrAccountExists = errors.New("iam: the account exists already")
	// ErrRootKeys: the root has as many access keys as one may have.
	ErrRootKeys = fmt.Errorf("iam: the root has %d access keys already", maxAccessKeys)
)

// EnsureAccount makes an account that there must be, unless it exists.
func (s *Service) EnsureAccount(ctx context.Context, id string) error {
	_, err := s.accounts.Get(ctx, store.Deployment, id)
	if !isNotFound(err) {
		return err
	}
	return s.Store.Update(ctx, func(tx *store.Tx) error {
		_, err := accountRecords.Get(tx, store.Deployment, id)
		if !isNotFound(err) {
			return err
		}
		return accountRecords.Put(tx, store.Deployment, id, accountRecord{Created: s.now()})
	})
}

// HasRootKeys tells whether an account's root has an access key, active or not.
func (s *Service) HasRootKeys(ctx context.Context, account string) (bool, error) {
	var has bool
	err := s.Store.View(ctx, func(r store.Reader) error {
		keys, err := keysOf(r, account, "")
		has = len(keys) > 0
		return err
	})
	return has, err
}

// HasKey tells whether there is an access key with that id.
func (s *Service) HasKey(ctx context.Context, id string) (bool, error) {
	_, err := s.accessKeys.Get(ctx, store.Deployment, id)
	if isNotFound(err) || errors.Is(err, store.ErrKey) {
		return false, nil
	}
	return err == nil, err
}

// CreateAccount makes an account whose root has that access key, in one commit
// with the audit record of it; without one if record is nil.
func (s *Service) CreateAccount(ctx context.Context, a Account, key AccessKey, record []byte) error {
	rootKey, err := s.rootKey(a.ID, key)
	if err != nil {
		return err
	}
	return s.Store.Update(ctx, func(tx *store.Tx) error {
		_, err := accountRecords.Get(tx, store.Deployment, a.ID)
		if err == nil {
			return ErrAccountExists
		}
		if !isNotFound(err) {
			return err
		}
		if err := accountRecords.Put(tx, store.Deployment, a.ID, accountRecord{Name: a.Name, Email: a.Email, Created: rootKey.Created}); err != nil {
			return err
		}
		if err := accessKeyRecords.Put(tx, store.Deployment, key.ID, rootKey); err != nil || record == nil {
			return err
		}
		return tx.Append(record)
	})
}

// RotateRoot gives the root of an account another access key, and takes away
// those that it has unless keep is set, in one commit with the audit record of it.
// When it has returned, the old keys open nothing any more.
func (s *Service) RotateRoot(ctx context.Context, account string, key AccessKey, keep bool, record []byte) error {
	rootKey, err := s.rootKey(account, key)
	if err != nil {
		return err
	}
	return s.Store.Update(ctx, func(tx *store.Tx) error {
		if _, err := getAccount(tx, account); err != nil {
			return err
		}
		old, err := keysOf(tx, account, "")
		if err != nil {
			return err
		}
		if keep && len(old) >= maxAccessKeys {
			return ErrRootKeys
		}
		for _, k := range old {
			if keep {
				break
			}
			if err := accessKeyRecords.Delete(tx, store.Deployment, k.ID); err != nil {
				return err
			}
		}
		if err := accessKeyRecords.Put(tx, store.Deployment, key.ID, rootKey); err != nil {
			return err
		}
		return tx.Append(record)
	})
}

// SwitchRoot lets the root of an account sign in, or no longer, in one commit with
// the audit record of it. When it has returned, no request of a disabled root
// succeeds that arrives afterwards, its sessions' neither.
func (s *Service) SwitchRoot(ctx context.Context, account string, enabled bool, record []byte) error {
	return s.Store.Update(ctx, func(tx *store.Tx) error {
		a, err := getAccount(tx, account)
		if err != nil {
			return err
		}
		a.RootDisabled = !enabled
		if err := accountRecords.Put(tx, store.Deployment, account, a); err != nil {
			return err
		}
		return tx.Append(record)
	})
}

func (s *Service) rootKey(account string, key AccessKey) (accessKeyRecord, error) {
	sealed, err := s.Secrets.Seal(s.Rand, secret.Bytes(key.Secret), secretBinding(key.ID, account))
	return accessKeyRecord{Account: account, Active: true, Created: s.now(), Secret: sealed}, err
}

func (s *Service) now() time.Time { return s.Clock.Now().UTC().Truncate(time.Second) }

func getAccount(r store.Reader, id string) (accountRecord, error) {
	a, err := accountRecords.Get(r, store.Deployment, id)
	if isNotFound(err) || errors.Is(err, store.ErrKey) {
		err = ErrNoAccount
	}
	return a, err
}

// Accounts returns every account by its id.
func (s *Service) Accounts(ctx context.Context) ([]Account, error) {
	var all []Account
	err := s.Store.View(ctx, func(r store.Reader) error {
		after := ""
		for more := true; more; {
			var items []store.Item[accountRecord]
			var err error
			if items, more, err = accountRecords.Scan(r, store.Deployment, after, clearBatch); err != nil {
				return err
			}
			for _, item := range items {
				a, err := accountOf(r, item.ID, item.Value)
				if err != nil {
					return err
				}
				all, after = append(all, a), item.ID
			}
		}
		return nil
	})
	return all, err
}

// Account returns one account, or ErrNoAccount.
func (s *Service) Account(ctx context.Context, id string) (a Account, err error) {
	err = s.Store.View(ctx, func(r store.Reader) error {
		record, err := getAccount(r, id)
		if err == nil {
			a, err = accountOf(r, id, record)
		}
		return err
	})
	return a, err
}

func accountOf(r store.Reader, id string, record accountRecord) (Account, error) {
	a := Account{ID: id, Name: record.Name, Email: record.Email, Created: record.Created, RootDisabled: record.RootDisabled}
	keys, err := keysOf(r, id, "")
	for _, k := range keys {
		a.RootKeys = append(a.RootKeys, KeyState{ID: k.ID, Active: k.Value.Active, Created: k.Value.Created})
	}
	return a, err
}

// HasAccount tells whether there is an account with that id.
func (s *Service) HasAccount(ctx context.Context, id string) (bool, error) {
	if s.AnyAccount {
		return true, nil
	}
	_, err := s.accounts.Get(ctx, store.Deployment, id)
	if isNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// rootMay tells whether the root of an account may sign in. Of accounts that have
// no record only dev servers know, and theirs may.
func (s *Service) rootMay(ctx context.Context, account string) (bool, error) {
	a, err := s.accounts.Get(ctx, store.Deployment, account)
	if isNotFound(err) {
		return true, nil
	}
	return err == nil && !a.RootDisabled, err
}

// SignIn is a user who can sign in with an access key.
type SignIn struct {
	Name, ARN string
	// Administrator says that the user's policies let it manage users and their
	// policies.
	Administrator bool
}

// administration is what an administrator of identities may do, if nothing more.
var administration = []string{"iam:CreateUser", "iam:CreateAccessKey", "iam:AttachUserPolicy"}

// SignIns returns at most limit of an account's users, by name, who have an active
// access key; more says that there are others.
func (s *Service) SignIns(ctx context.Context, account string, limit int) (users []SignIn, more bool, err error) {
	all, err := s.identitiesIn(ctx, account)
	if err != nil {
		return nil, false, err
	}
	for _, u := range all {
		if u.Kind != userKind {
			continue
		}
		active, err := s.hasActiveKey(ctx, account, u.ID)
		if err != nil {
			return nil, false, err
		}
		if !active {
			continue
		}
		if len(users) == limit {
			return users, true, nil
		}
		administrator, err := s.administers(ctx, account, u)
		if err != nil {
			return nil, false, err
		}
		users = append(users, SignIn{Name: u.Name, ARN: u.ARN, Administrator: administrator})
	}
	return users, false, nil
}

// identitiesIn returns every user, group and role of an account by its ARN.
func (s *Service) identitiesIn(ctx context.Context, account string) ([]*identity, error) {
	var all []*identity
	err := s.Store.View(ctx, func(r store.Reader) error {
		after := ""
		for more := true; more; {
			var items []store.Item[identityRecord]
			var err error
			if items, more, err = identityRecords.Scan(r, scopeOf(account), after, clearBatch); err != nil {
				return err
			}
			for _, item := range items {
				all, after = append(all, s.identityOf(account, item)), item.ID
			}
		}
		return nil
	})
	slices.SortFunc(all, func(a, b *identity) int { return strings.Compare(a.ARN, b.ARN) })
	return all, err
}

func (s *Service) hasActiveKey(ctx context.Context, account, user string) (active bool, err error) {
	err = s.Store.View(ctx, func(r store.Reader) error {
		keys, err := keysOf(r, account, user)
		for _, k := range keys {
			active = active || k.Value.Active
		}
		return err
	})
	return active, err
}

// administers asks the policies of a user, without conditions on the request.
func (s *Service) administers(ctx context.Context, account string, u *identity) (bool, error) {
	p, err := s.user(ctx, account, u.ID, "")
	if err != nil {
		return false, err
	}
	var set policy.Policies
	if err := s.Policies(ctx, &p, &set); err != nil {
		return false, err
	}
	for _, action := range administration {
		r := policy.Request{Principal: p.Principal, Action: action, Resource: s.arn(account, "user", "/", "someone")}
		if d := policy.Evaluate(&r, &set); !d.Allowed {
			return false, nil
		}
	}
	return true, nil
}
