// Package iam keeps the identities of a deployment, users, groups, roles and
// managed policies, and serves the operations of AWS IAM on them. It knows whose
// an access key or a session token is, and which policies hold for whom.
//
// What it promises: when a change is answered, the next request of whomever it
// concerns is judged by it, on this node; a policy is stored only if package
// policy's strict parser takes it; secrets of access keys are kept sealed and
// answered once. A session is its sealed token: whoever has the domain key of the
// deployment can make one, nobody else can make or change one. Limits and errors
// are those of the IAM API Reference (2010-05-08) and the IAM User Guide, "IAM and
// AWS STS quotas".
package iam

import (
	"io"
	"sync"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/clock"
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
	// Tokens must be set: it seals the session tokens.
	Tokens *seal.Box
	// Issuers must be set: it asks OpenID Connect issuers for their certificates.
	Issuers Issuers
	// Uses must be set.
	Uses Uses
	// Partition is the AWS partition of the deployment's ARNs: "aws".
	Partition string
	// Clock must be set.
	Clock clock.Clock
	// Rand must be set.
	Rand io.Reader
	// AnyAccount says that policies may name accounts that were never made; only dev
	// servers, where every account has a root, set it.
	AnyAccount bool
	// CachedKeys bounds the access keys, the derived signing keys, the sessions,
	// the identities and the policies that are kept in memory, each; 0 means
	// 10,000.
	CachedKeys int
}

// Service implements the operations of AWS IAM that exist so far, and is the
// directory of principals. It is safe for concurrent use.
type Service struct {
	api.Unimplemented
	Config
	accounts   *store.Cache[accountRecord, accountRecord]
	accessKeys *store.Cache[accessKeyRecord, *compiledKey]
	identities *store.Cache[identityRecord, *compiledIdentity]
	policies   *store.Cache[policyRecord, *compiledPolicy]
	aws        map[string]*awsPolicy
	signing    *sigv4.KeyCache
	stop       func()
	guesses    guesses

	sessionsMu sync.Mutex
	sessions   map[string]*session // by access key id
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
		accounts: store.NewCache(cfg.Store, accountRecords, cfg.CachedKeys,
			func(_ store.Scope, item store.Item[accountRecord]) (accountRecord, error) { return item.Value, nil }),
		aws:      compileAWS(cfg.Partition),
		signing:  sigv4.NewKeyCache(cfg.CachedKeys),
		sessions: map[string]*session{},
	}
	s.accessKeys = store.NewCache(cfg.Store, accessKeyRecords, cfg.CachedKeys, s.compileAccessKey)
	s.identities = store.NewCache(cfg.Store, identityRecords, cfg.CachedKeys, s.compileIdentity)
	s.policies = store.NewCache(cfg.Store, policyRecords, cfg.CachedKeys, s.compilePolicy)
	s.stop = cfg.Store.Watch(accessKeyCollection, func(c store.Change) { s.signing.Remove(c.ID) })
	return s
}

// Close stops following the store.
func (s *Service) Close() {
	s.stop()
	s.accounts.Close()
	s.accessKeys.Close()
	s.identities.Close()
	s.policies.Close()
}
