// Package xksproxy offers keys of this deployment to another KMS, AWS's or that of
// another Strongroom, as an external key store: it is the proxy of the AWS KMS
// External Key Store Proxy API, version 1 (specification 1.0.3).
//
// An operator makes stores ([Service.Create]): each has a path of its own,
// credentials of its own, the keys that it offers and rules on who may use them.
// The keys stay ordinary KMS keys, disabled, rotated and deleted as such.
//
// # Threats
//
// Whoever reaches the listener and has no credential learns nothing, not even
// which stores there are: everything is AuthenticationFailedException until the
// signature is right. Whoever has one uses the offered keys as the store's rules
// allow, and sees of other keys and stores as much as if they did not exist. The
// rules are about what the other KMS states of its caller, under its signature:
// they bind that KMS's users and not the KMS itself, which could state anything.
// For it there is [Service.Kill]. A ciphertext opens under the key, material and
// additional data that it was made with; why one does not open is not told.
//
// Every authenticated request has a record that is durable before its answer, with
// the other KMS's request id. SigV4 has no nonce: a request can be replayed within
// five minutes by who can read it inside of TLS.
package xksproxy

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
)

// Keys are the keys that can be offered; the KMS service has them.
type Keys interface {
	// OfferedKey returns a symmetric encryption key whose material is in this
	// deployment, its ARN, and whether it can be used in the state that it is in.
	// Error: store.ErrNotFound for every other key and for none.
	OfferedKey(ctx context.Context, account, region, id string) (ref keyring.KeyRef, arn string, usable bool, err error)
}

// Sealer keeps the secrets of credentials; *seal.Box is one.
type Sealer interface {
	Seal(rand io.Reader, plaintext secret.Bytes, binding []byte) ([]byte, error)
	Open(sealed, binding []byte) (secret.Bytes, error)
}

// Config is what the service needs. Every field must be set.
type Config struct {
	Store   *store.Store
	Keys    Keys
	Cipher  keyring.DetachedCipher
	Secrets Sealer
	// Clock dates records; SignatureClock judges signatures.
	Clock, SignatureClock clock.Clock
	// Rand gives credentials and event ids.
	Rand io.Reader
	Log  *slog.Logger
	// Model is what health checks call the product: "Strongroom 1.2.3".
	Model string
}

// Service is the proxy. It is safe for concurrent use.
type Service struct {
	Config

	stores      *store.Cache[storeRecord, *storeRecord]
	credentials *store.Cache[credentialRecord, *credentialRecord]
	refused     refusals
}

const cached = 10_000

// New returns the proxy over what cfg hands in. Close releases it.
func New(cfg Config) (*Service, error) {
	if cfg.Store == nil || cfg.Keys == nil || cfg.Cipher == nil || cfg.Secrets == nil || cfg.Clock == nil || cfg.SignatureClock == nil ||
		cfg.Rand == nil || cfg.Log == nil || cfg.Model == "" {
		return nil, errors.New("xksproxy: a field of the Config is not set")
	}
	s := &Service{
		Config:      cfg,
		stores:      store.NewCache(cfg.Store, storeRecords, cached, pointer[storeRecord]),
		credentials: store.NewCache(cfg.Store, credentialRecords, cached, pointer[credentialRecord]),
	}
	s.refused = refusals{log: cfg.Log, clock: cfg.Clock}
	return s, nil
}

func pointer[T any](_ store.Scope, item store.Item[T]) (*T, error) { return &item.Value, nil }

// Close stops following the store.
func (s *Service) Close() {
	s.stores.Close()
	s.credentials.Close()
}

// refusals counts requests that were refused before it was known who asks, and says
// it in the log at most once a minute, so that nobody can fill that from outside.
type refusals struct {
	log   *slog.Logger
	clock clock.Clock

	mu    sync.Mutex
	count int
	said  time.Time
}

const refusalsEvery = time.Minute

func (r *refusals) add() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	now := r.clock.Now()
	if now.Sub(r.said) < refusalsEvery && !now.Before(r.said) {
		return
	}
	r.log.Warn("the external key store proxy refused requests before authentication", "requests", r.count)
	r.said, r.count = now, 0
}
