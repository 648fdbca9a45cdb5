package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

const (
	// freshFor is how long keys are used without asking the issuer again, staleFor
	// how long when it cannot be asked.
	freshFor = 10 * time.Minute
	staleFor = time.Hour
	// retryAfter is how soon an issuer is asked again, after it failed or when a
	// token names a key that it did not have.
	retryAfter = 10 * time.Second
	// maxKeys bounds a key set (IAM User Guide: 100 RSA and 100 EC keys).
	maxKeys = 200
)

// RSA keys that signatures are checked with, in bits: shorter ones prove little,
// longer ones cost whoever checks.
const (
	minRSA = 2048
	maxRSA = 8192
)

// keySet is the keys that an issuer published.
type keySet struct {
	keys    []jose.JSONWebKey
	fetched time.Time
}

// youngerThan reports whether the set was fetched less than d ago.
func (s *keySet) youngerThan(d time.Duration, now time.Time) bool {
	age := now.Sub(s.fetched)
	return age >= 0 && age < d
}

// find returns the one key that the token says it was signed with; nil if there is
// none or, for a token that names none, more than one that it could be.
func (s *keySet) find(t *Token) any {
	var found any
	for i := range s.keys {
		k := &s.keys[i]
		if t.keyID != "" && k.KeyID != t.keyID || k.Algorithm != "" && k.Algorithm != string(t.algorithm) || !fits(k.Key, t.algorithm) {
			continue
		}
		if found != nil {
			return nil
		}
		found = k.Key
	}
	return found
}

// fits reports whether a key is of the kind that an algorithm needs.
func fits(key any, algorithm jose.SignatureAlgorithm) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(string(algorithm), "RS") && k.N.BitLen() >= minRSA && k.N.BitLen() <= maxRSA
	case *ecdsa.PublicKey:
		return curves[algorithm] == k.Params().Name
	}
	return false
}

var curves = map[jose.SignatureAlgorithm]string{jose.ES256: "P-256", jose.ES384: "P-384", jose.ES512: "P-521"}

// parseKeys reads a JSON Web Key Set. Keys that are no signature keys of ours are
// passed over, as RFC 7517 §5 has it.
func parseKeys(text []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil || set.Keys == nil {
		return nil, errors.New("the answer is no JSON Web Key Set")
	}
	if len(set.Keys) > maxKeys {
		return nil, errors.New("the key set has too many keys")
	}
	keys := []jose.JSONWebKey{}
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if json.Unmarshal(raw, &k) != nil || k.Use != "" && k.Use != "sig" || !k.Valid() || !k.IsPublic() {
			continue
		}
		switch k.Key.(type) {
		case *rsa.PublicKey, *ecdsa.PublicKey:
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// entry is what is remembered of one issuer.
type entry struct {
	set atomic.Pointer[keySet]
	// lock is held by whoever asks the issuer; tried and err are its.
	lock  chan struct{}
	tried time.Time
	err   error
}

// entry returns what is remembered of an issuer. Whoever changes its thumbprints
// starts anew: trust that was taken away ends at once.
func (v *Verifier) entry(issuer *Issuer) *entry {
	id := issuer.URL + " " + strings.Join(issuer.Thumbprints, " ")
	v.mu.Lock()
	defer v.mu.Unlock()
	e := v.issuers[id]
	if e == nil {
		if len(v.issuers) >= maxIssuers {
			clear(v.issuers)
		}
		e = &entry{lock: make(chan struct{}, 1)}
		v.issuers[id] = e
	}
	return e
}

// keys returns the issuer's keys: those that are remembered if they are fresh and
// have the token's, else what the issuer publishes now.
func (v *Verifier) keys(ctx context.Context, issuer *Issuer, token *Token) (*keySet, error) {
	e := v.entry(issuer)
	known := func() *keySet {
		set := e.set.Load()
		if set != nil && set.youngerThan(freshFor, v.cfg.Clock.Now()) && set.find(token) != nil {
			return set
		}
		return nil
	}
	if set := known(); set != nil {
		return set, nil
	}
	forPlace, cancel := context.WithTimeout(ctx, placeTime)
	defer cancel()
	forOther, cancel := context.WithTimeout(ctx, v.otherTime)
	defer cancel()
	select {
	case e.lock <- struct{}{}:
		defer func() { <-e.lock }()
	case <-forOther.Done():
		return nil, fmt.Errorf("%w: it is being asked, and takes too long", ErrUnreachable)
	}
	if set := known(); set != nil {
		return set, nil // fetched while we waited
	}
	now := v.cfg.Clock.Now()
	var busy error
	if since := now.Sub(e.tried); e.tried.IsZero() || since < 0 || since >= retryAfter {
		busy = v.ask(forPlace, issuer, e, now)
	}
	if set := e.set.Load(); set != nil && set.youngerThan(staleFor, now) {
		return set, nil
	}
	if busy != nil {
		return nil, busy
	}
	return nil, e.err
}

// The times that a call waits are such that it learns what it waited for before its own
// time is over: for a place among those who ask, so that a fetch fits in behind it; and
// for another call that asks the same issuer.
const (
	placeTime = 1500 * time.Millisecond
	otherTime = 4 * time.Second
)

// ask fetches the issuer's keys and remembers them, or why they cannot be had. Its
// own error is that of a place which does not come free while ctx lasts.
func (v *Verifier) ask(ctx context.Context, issuer *Issuer, e *entry, now time.Time) error {
	select {
	case v.fetches <- struct{}{}:
		defer func() { <-v.fetches }()
	case <-ctx.Done():
		return fmt.Errorf("%w: too many others are being asked", ErrUnreachable)
	}
	// Whoever asks first asks for all: the answer is not thrown away with a caller
	// that goes.
	keys, err := v.fetch(context.WithoutCancel(ctx), issuer)
	e.tried, e.err = now, nil
	if err == nil {
		e.set.Store(&keySet{keys: keys, fetched: now})
		return nil
	}
	v.cfg.Log.Warn("the keys of an OpenID Connect issuer cannot be fetched", "issuer", issuer.URL, "error", err)
	if e.err = ErrUnreachable; errors.Is(err, ErrCertificate) {
		e.err = ErrCertificate
	}
	return nil
}
