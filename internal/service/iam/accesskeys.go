package iam

import (
	"context"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/gateway"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/sigv4"
	"github.com/strongroom/strongroom/internal/store"
)

// accessKeyRecord is an access key of an account's root. Its id in the collection
// is the access key id.
type accessKeyRecord struct {
	Account string    `json:"account"`
	Active  bool      `json:"active"`
	Created time.Time `json:"created"`
	// Secret is sealed and bound to access key id and account.
	Secret []byte `json:"secret"`
}

const accessKeyCollection = "iam-access-key"

// byAccount finds an account's access keys.
const byAccount = "by-account"

var accessKeyRecords = store.NewCollection(accessKeyCollection, 1, store.Index[accessKeyRecord]{
	Name:   byAccount,
	Values: func(_ string, k accessKeyRecord) []string { return []string{k.Account} },
})

// AccessKey is an access key with its secret, as it is shown once.
type AccessKey struct {
	ID     string
	Secret secret.String
}

// NewRootKey returns an access key that is not stored yet.
func (s *Service) NewRootKey() (AccessKey, error) {
	var id [10]byte
	var key [30]byte
	if _, err := io.ReadFull(s.Rand, id[:]); err != nil {
		return AccessKey{}, err
	}
	if _, err := io.ReadFull(s.Rand, key[:]); err != nil {
		return AccessKey{}, err
	}
	return AccessKey{
		ID:     "AKIA" + base32.StdEncoding.EncodeToString(id[:]),
		Secret: secret.String(base64.StdEncoding.EncodeToString(key[:])),
	}, nil
}

// PutRootKey stores an active access key of an account's root.
func (s *Service) PutRootKey(ctx context.Context, account string, key AccessKey) error {
	sealed, err := s.Secrets.Seal(s.Rand, secret.Bytes(key.Secret), secretBinding(key.ID, account))
	if err != nil {
		return err
	}
	record := accessKeyRecord{Account: account, Active: true, Created: s.Clock.Now(), Secret: sealed}
	return s.Store.Update(ctx, func(tx *store.Tx) error {
		return accessKeyRecords.Put(tx, store.Deployment, key.ID, record)
	})
}

// HasRootKeys tells whether an account's root has an access key, active or not.
func (s *Service) HasRootKeys(ctx context.Context, account string) (bool, error) {
	var has bool
	err := s.Store.View(ctx, func(r store.Reader) error {
		keys, _, err := accessKeyRecords.ScanIndex(r, store.Deployment, byAccount, account, "", 1)
		has = len(keys) > 0
		return err
	})
	return has, err
}

// SigningKey implements [gateway.Credentials].
func (s *Service) SigningKey(ctx context.Context, id, sessionToken string, scope sigv4.Scope) (secret.Bytes, authz.Principal, error) {
	if sessionToken != "" {
		return nil, authz.Principal{}, gateway.ErrUnknownKey
	}
	record, err := s.accessKeys.Get(ctx, store.Deployment, id)
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrKey) || err == nil && !record.Active {
		return nil, authz.Principal{}, gateway.ErrUnknownKey
	}
	if err != nil {
		return nil, authz.Principal{}, err
	}
	key, err := s.signing.Key(id, scope, func() (secret.String, error) {
		// Read again: what was read before may have changed before the cache of
		// signing keys began to watch for that.
		record, err := s.accessKeys.Get(ctx, store.Deployment, id)
		if err != nil {
			return "", err
		}
		plain, err := s.Secrets.Open(record.Secret, secretBinding(id, record.Account))
		if err != nil {
			return "", fmt.Errorf("iam: the secret of access key %s: %w", id, err)
		}
		return secret.String(plain), nil
	})
	return key, Root(s.Partition, record.Account, id), err
}

// secretBinding is what a sealed secret is bound to.
func secretBinding(id, account string) []byte { return []byte("access-key/" + id + "/" + account) }
