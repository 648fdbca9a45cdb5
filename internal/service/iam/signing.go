package iam

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/gateway"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/sigv4"
	"github.com/strongroom/strongroom/internal/store"
)

// AccessKey is an access key with its secret, as it is shown once.
type AccessKey struct {
	ID     string
	Secret secret.String
}

// NewRootKey returns an access key that is not stored yet.
func (s *Service) NewRootKey() (AccessKey, error) { return s.newKey("AKIA") }

func (s *Service) newKey(prefix string) (AccessKey, error) {
	id, err := s.newID(prefix)
	if err != nil {
		return AccessKey{}, err
	}
	var key [30]byte
	if _, err := io.ReadFull(s.Rand, key[:]); err != nil {
		return AccessKey{}, err
	}
	return AccessKey{ID: id, Secret: secret.String(base64.StdEncoding.EncodeToString(key[:]))}, nil
}

// SigningKey implements [gateway.Credentials].
func (s *Service) SigningKey(ctx context.Context, id, sessionToken string, scope sigv4.Scope) (*sigv4.Key, authz.Principal, error) {
	if sessionToken != "" {
		// The id is a string over the request's own bytes, which end with it.
		return s.sessionKey(ctx, strings.Clone(id), sessionToken, scope)
	}
	record, err := s.accessKeys.Get(ctx, store.Deployment, id)
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrKey) || err == nil && !record.Active {
		return nil, authz.Principal{}, gateway.ErrUnknownKey
	}
	if err != nil {
		return nil, authz.Principal{}, err
	}
	principal := record.root
	if record.User == "" {
		err = s.rootSignsIn(ctx, record.Account)
	} else {
		principal, err = s.user(ctx, record.Account, record.User, record.id)
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
	return key, principal, err
}

// compiledKey is an access key as it is kept in memory.
type compiledKey struct {
	accessKeyRecord
	id   string
	root authz.Principal // of the key's account, for a key of the root's
}

func (s *Service) compileAccessKey(_ store.Scope, item store.Item[accessKeyRecord]) (*compiledKey, error) {
	id := strings.Clone(item.ID) // what was asked for, which may be a string of a request
	return &compiledKey{item.Value, id, Root(s.Partition, item.Value.Account, id)}, nil
}

// rootSignsIn refuses the root of an account that has been disabled.
func (s *Service) rootSignsIn(ctx context.Context, account string) error {
	may, err := s.rootMay(ctx, account)
	if err == nil && !may {
		err = gateway.ErrUnknownKey
	}
	return err
}

// user returns the user with that unique id, as it acts with an access key.
func (s *Service) user(ctx context.Context, account, userID, accessKeyID string) (authz.Principal, error) {
	i, err := s.identities.Get(ctx, scopeOf(account), userID)
	if isNotFound(err) {
		return authz.Principal{}, gateway.ErrUnknownKey
	}
	if err != nil {
		return authz.Principal{}, err
	}
	return authz.Principal{
		Principal:   policy.Principal{Type: policy.User, Account: account, ARN: i.ARN, ID: i.ID},
		AccessKeyID: accessKeyID,
		UserName:    i.Name,
		Tags:        i.tags,
	}, nil
}

// secretBinding is what a sealed secret is bound to.
func secretBinding(id, account string) []byte { return []byte("access-key/" + id + "/" + account) }
