// Package iam keeps the identities of a deployment: whose an access key is, and
// which policies hold for them. So far every account has its root and the root's
// access keys.
package iam

import (
	"context"
	"io"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/sigv4"
	"github.com/strongroom/strongroom/internal/store"
)

// Config is what the service needs.
type Config struct {
	// Store must be set.
	Store *store.Store
	// Secrets must be set: it seals the secret access keys, beneath the sealing
	// of the store's records.
	Secrets *seal.Box
	// Partition is the AWS partition of the deployment's ARNs: "aws".
	Partition string
	// Clock must be set.
	Clock clock.Clock
	// Rand must be set.
	Rand io.Reader
	// CachedKeys bounds the access keys, and the derived signing keys, that are
	// kept in memory; 0 means 10,000.
	CachedKeys int
}

// Service implements the operations of AWS IAM that exist so far, and is the
// directory of principals. It is safe for concurrent use.
type Service struct {
	api.Unimplemented
	Config
	accessKeys *store.Cache[accessKeyRecord, accessKeyRecord]
	signing    *sigv4.KeyCache
	stop       func()
}

var _ api.Handler = (*Service)(nil)

const defaultCachedKeys = 10_000

// New returns the service. Close releases it.
func New(cfg Config) *Service {
	if cfg.CachedKeys == 0 {
		cfg.CachedKeys = defaultCachedKeys
	}
	s := &Service{
		Config: cfg,
		accessKeys: store.NewCache(cfg.Store, accessKeyRecords, cfg.CachedKeys,
			func(_ store.Scope, item store.Item[accessKeyRecord]) (accessKeyRecord, error) { return item.Value, nil }),
		signing: sigv4.NewKeyCache(cfg.CachedKeys),
	}
	s.stop = cfg.Store.Watch(accessKeyCollection, func(c store.Change) { s.signing.Remove(c.ID) })
	return s
}

// Close stops following the store.
func (s *Service) Close() {
	s.stop()
	s.accessKeys.Close()
}

// Policies implements [authz.Directory]. A root has no identity policies and
// needs none.
func (s *Service) Policies(context.Context, *authz.Principal, *policy.Policies) error { return nil }

// Exists tells whether a principal that a policy names exists. Of other
// deployments' accounts nothing is known, so any account may be named; users and
// roles exist nowhere yet.
func (s *Service) Exists(_ context.Context, p policy.PrincipalRef) (bool, error) {
	switch p.Form {
	case policy.EveryoneForm, policy.AccountForm, policy.ServiceForm:
		return true, nil
	}
	return false, nil
}

// Root returns the root of an account, as it acts with an access key.
func Root(partition, account, accessKeyID string) authz.Principal {
	return authz.Principal{
		Principal: policy.Principal{
			Type:    policy.Root,
			Account: account,
			ARN:     "arn:" + partition + ":iam::" + account + ":root",
			ID:      account,
		},
		AccessKeyID: accessKeyID,
	}
}
