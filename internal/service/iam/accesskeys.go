package iam

import (
	"context"
	"errors"
	"fmt"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
)

// maxAccessKeys is the quota of access keys of a user or root.
const maxAccessKeys = 2

// keysOf returns the access keys of a user, by its unique id, or of the root.
func keysOf(r store.Reader, account, user string) ([]store.Item[accessKeyRecord], error) {
	keys, _, err := accessKeyRecords.ScanIndex(r, store.Deployment, byOwner, accessKeyRecord{Account: account, User: user}.owner(), "", maxAccessKeys+1)
	return keys, err
}

// keyOwner is whose access keys an operation is about.
type keyOwner struct {
	name, id string // empty for the root
}

// owner finds out whose access keys a call is about, and asks for permission.
func (s *Service) owner(ctx context.Context, call *authz.Call, userName string) (keyOwner, error) {
	name, err := ownName(call, userName)
	if err != nil {
		return keyOwner{}, err
	}
	if name == "" {
		return keyOwner{}, s.authorize(ctx, call, "", call.Principal.ARN, nil)
	}
	i, err := s.lookup(ctx, call, userKind, name, nil)
	if err != nil {
		return keyOwner{}, err
	}
	return keyOwner{name: i.Name, id: i.ID}, nil
}

// still refuses to go on when the user has been deleted since.
func (o keyOwner) still(r store.Reader, account string) error {
	if o.id == "" {
		return nil
	}
	_, err := identityRecords.Get(r, scopeOf(account), o.id)
	if errors.Is(err, store.ErrNotFound) {
		return errChanged
	}
	return err
}

// CreateAccessKey makes an access key of a user, or of the root who asks. The
// secret is answered once and kept sealed.
func (s *Service) CreateAccessKey(ctx context.Context, call *authz.Call, in *api.CreateAccessKeyInput) (*api.CreateAccessKeyOutput, error) {
	return again(func() (*api.CreateAccessKeyOutput, error) {
		owner, err := s.owner(ctx, call, in.UserName)
		if err != nil {
			return nil, err
		}
		key, err := s.newKey("AKIA")
		if err != nil {
			return nil, err
		}
		account := call.Principal.Account
		sealed, err := s.Secrets.Seal(s.Rand, secret.Bytes(key.Secret), secretBinding(key.ID, account))
		if err != nil {
			return nil, err
		}
		record := accessKeyRecord{Account: account, User: owner.id, Active: true, Created: now(call), Secret: sealed}
		return authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (*api.CreateAccessKeyOutput, error) {
			if err := owner.still(tx, account); err != nil {
				return nil, err
			}
			keys, err := keysOf(tx, account, owner.id)
			if err != nil {
				return nil, err
			}
			if len(keys) >= maxAccessKeys {
				return nil, quota("AccessKeysPerUser", maxAccessKeys)
			}
			if err := accessKeyRecords.Put(tx, store.Deployment, key.ID, record); err != nil {
				return nil, err
			}
			return &api.CreateAccessKeyOutput{AccessKey: &api.AccessKey{
				UserName: owner.name, AccessKeyId: key.ID, Status: api.StatusTypeActive,
				SecretAccessKey: key.Secret, CreateDate: &record.Created,
			}}, nil
		})
	})
}

// ListAccessKeys lists the access keys of a user, or of the root who asks.
func (s *Service) ListAccessKeys(ctx context.Context, call *authz.Call, in *api.ListAccessKeysInput) (*api.ListAccessKeysOutput, error) {
	owner, err := s.owner(ctx, call, in.UserName)
	if err != nil {
		return nil, err
	}
	p, err := newPage(call, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	var keys []store.Item[accessKeyRecord]
	err = s.Store.View(ctx, func(r store.Reader) error {
		var err error
		keys, err = keysOf(r, call.Principal.Account, owner.id)
		return err
	})
	if err != nil {
		return nil, err
	}
	keys, truncated, marker := cut(p, keys, func(k store.Item[accessKeyRecord]) string { return k.ID })
	out := &api.ListAccessKeysOutput{AccessKeyMetadata: []api.AccessKeyMetadata{}, IsTruncated: truncated, Marker: marker}
	for _, k := range keys {
		out.AccessKeyMetadata = append(out.AccessKeyMetadata, api.AccessKeyMetadata{
			UserName: owner.name, AccessKeyId: k.ID, Status: statusOf(k.Value.Active), CreateDate: new(k.Value.Created),
		})
	}
	return out, nil
}

func statusOf(active bool) api.StatusType {
	if active {
		return api.StatusTypeActive
	}
	return api.StatusTypeInactive
}

// UpdateAccessKey activates or deactivates an access key. When it has answered,
// an inactive one opens nothing any more.
func (s *Service) UpdateAccessKey(ctx context.Context, call *authz.Call, in *api.UpdateAccessKeyInput) (*api.UpdateAccessKeyOutput, error) {
	return again(func() (*api.UpdateAccessKeyOutput, error) {
		owner, err := s.owner(ctx, call, in.UserName)
		if err != nil {
			return nil, err
		}
		return authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (*api.UpdateAccessKeyOutput, error) {
			record, err := ownedKey(tx, call, owner, in.AccessKeyId)
			if err != nil {
				return nil, err
			}
			record.Active = in.Status == api.StatusTypeActive
			return &api.UpdateAccessKeyOutput{}, accessKeyRecords.Put(tx, store.Deployment, in.AccessKeyId, record)
		})
	})
}

// DeleteAccessKey deletes an access key. When it has answered, the key opens
// nothing any more.
func (s *Service) DeleteAccessKey(ctx context.Context, call *authz.Call, in *api.DeleteAccessKeyInput) (*api.DeleteAccessKeyOutput, error) {
	return again(func() (*api.DeleteAccessKeyOutput, error) {
		owner, err := s.owner(ctx, call, in.UserName)
		if err != nil {
			return nil, err
		}
		return authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (*api.DeleteAccessKeyOutput, error) {
			if _, err := ownedKey(tx, call, owner, in.AccessKeyId); err != nil {
				return nil, err
			}
			return &api.DeleteAccessKeyOutput{}, accessKeyRecords.Delete(tx, store.Deployment, in.AccessKeyId)
		})
	})
}

// ownedKey returns an access key of that owner. Someone else's is missing.
func ownedKey(r store.Reader, call *authz.Call, owner keyOwner, id string) (accessKeyRecord, error) {
	record, err := accessKeyRecords.Get(r, store.Deployment, id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return record, err
	}
	if err != nil || record.Account != call.Principal.Account || record.User != owner.id {
		return record, api.NoSuchEntityException(fmt.Sprintf("The Access Key with id %s cannot be found.", id))
	}
	return record, nil
}

// KeyAccount tells whose account an access key belongs to, for
// GetAccessKeyInfo; ok is false for ids that were never given.
func (s *Service) KeyAccount(ctx context.Context, id string) (account string, ok bool, err error) {
	record, err := s.accessKeys.Get(ctx, store.Deployment, id)
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrKey) {
		return "", false, nil
	}
	return record.Account, err == nil, err
}
