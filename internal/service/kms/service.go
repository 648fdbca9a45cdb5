// Package kms is the key management service: what the operations mean.
//
// One file per capability. Every operation goes the same way: find the key
// (resolve.go), ask for permission (access.go), check usage and state (specs.go,
// states.go), use the key through the keyring, and commit the effect with its
// audit record. The order of those checks is AWS's (kms.md §3); the wire is
// behind api/kms, and key bytes never pass through here in the clear.
package kms

import (
	"context"
	"io"
	"log/slog"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/attestation"
	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/hsm"
	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/keyring/pkcs11"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
)

// Config is what the service needs.
type Config struct {
	// Store must be set.
	Store *store.Store
	// Keyring must be set.
	Keyring Keyring
	// Principals must be set.
	Principals Principals
	// Identities binds grants to unique ids; if nil, grants are bound to ARNs
	// alone.
	Identities Identities
	// Uses tells when keys were used last; it must be set.
	Uses Uses
	// Clock must be set.
	Clock clock.Clock
	// Rand must be set: key, grant and event ids and GenerateRandom come from it.
	Rand io.Reader
	// Regions are the regions of the deployment, at least one.
	Regions []string
	// MarkerKey authenticates pagination markers, 32 bytes.
	MarkerKey secret.Bytes
	// GrantTokenKey authenticates grant tokens, 32 bytes. Without it no grant can be
	// made and no token is accepted.
	GrantTokenKey secret.Bytes
	// Limits are the quotas of accounts; if nil, AWS's quotas per key and no others.
	Limits *Limits
	// Attestation verifies the attestation documents of Recipient parameters; if nil,
	// such requests are refused.
	Attestation *attestation.Verifier
	// Actions are the actions that exist, for remarks on new key policies; if nil,
	// nothing is said about actions.
	Actions []string
	// ExternalKeys asks the proxies of external key stores; if nil, none can be made.
	ExternalKeys ExternalKeys
	// Clusters are the CloudHSM clusters that key stores can be made of; if nil, there
	// are none.
	Clusters Clusters
	// HSMKeys makes and uses the keys in them, and OpenHSM logs in to one; both must be
	// set if Clusters is. Of what OpenHSM is handed, Module, Token and PIN are set.
	HSMKeys *pkcs11.Module
	OpenHSM hsm.Opener
	// KeyStoreSecrets keeps the secrets of key stores' credentials; must be set if
	// ExternalKeys or Clusters is.
	KeyStoreSecrets Sealer
	// LeastWindow is the shortest waiting period before a key is deleted, in days, that
	// callers may choose; if nil, AWS's.
	LeastWindow func(ctx context.Context) (int32, error)
	// CachedKeys bounds the keys kept in memory, 0 means 100,000: most are packed, at
	// some 200 bytes each (packedkey.go).
	CachedKeys int
	// Log must be set.
	Log *slog.Logger
}

// Principals tells whether a principal that a policy names exists.
type Principals interface {
	Exists(ctx context.Context, p policy.PrincipalRef) (bool, error)
}

// Keyring is a key module that can hold symmetric encryption keys. What else it can
// do (keyring.Signer and so on) is found by type assertion; operations that need an
// ability that it lacks answer UnsupportedOperationException.
type Keyring interface {
	keyring.Ring
	keyring.Cipher
}

// Service implements the operations of AWS KMS. It is safe for concurrent use.
type Service struct {
	api.Unimplemented
	Config

	keys      *store.Cache[keyRecord, *key]
	aliases   *store.Cache[aliasRecord, aliasRecord]
	owners    *store.Cache[ownerRecord, string] // the account of a key id
	grants    *grantCache
	keyStores *store.Cache[keyStoreRecord, *keyStore]
	sessions  hsmSessions
	stores    watchedStores
	throttle  throttle
	due       chan struct{} // wakes the worker when something falls due earlier
	stop      []func()
}

var _ api.Handler = (*Service)(nil)

// signingName is the service part of a credential scope.
const signingName = "kms"

const (
	defaultCachedKeys = 100_000
	// mostReadyKeys bounds the keys that are not packed, some 3 KB each, and the owners
	// of ids that are not the caller's own, mostCachedNames the aliases.
	mostReadyKeys   = 10_000
	mostCachedNames = 100_000
	cachedKeyStores = 10_000
)

// New returns the service over what cfg hands in. Close releases it.
func New(cfg Config) *Service {
	if cfg.CachedKeys == 0 {
		cfg.CachedKeys = defaultCachedKeys
	}
	s := &Service{
		Config:    cfg,
		keys:      store.NewPackedCache(cfg.Store, keyRecords, min(cfg.CachedKeys, mostReadyKeys), cfg.CachedKeys, cachedKey, keyPacking),
		aliases:   store.NewCache(cfg.Store, aliasRecords, min(cfg.CachedKeys, mostCachedNames), cachedAlias),
		owners:    store.NewCache(cfg.Store, ownerRecords, min(cfg.CachedKeys, mostReadyKeys), cachedOwner),
		grants:    newGrantCache(),
		keyStores: store.NewCache(cfg.Store, keyStoreRecords, cachedKeyStores, cachedKeyStore),
		throttle:  throttle{limits: cfg.Limits, log: cfg.Log, clock: cfg.Clock},
		due:       make(chan struct{}, 1),
		stores:    watchedStores{failing: map[string]bool{}, changed: make(chan struct{}, 1)},
	}
	s.stop = append(s.stop,
		s.keys.Close, s.aliases.Close, s.owners.Close, s.keyStores.Close,
		// A key that changed may have lost material, which is then held nowhere.
		cfg.Store.Watch(keyCollection, func(c store.Change) { s.Keyring.Forget(c.ID) }),
		cfg.Store.Watch(dueCollection, func(store.Change) { s.nudge() }),
		cfg.Store.Watch(keyStoreCollection, s.stores.note),
	)
	return s
}

// Close stops following the store and logs out of all HSMs.
func (s *Service) Close() {
	for _, stop := range s.stop {
		stop()
	}
	if err := s.sessions.close(); err != nil {
		s.Log.Warn("logging out of an HSM has failed", "error", err)
	}
}
