// Package software is the key module whose keys are in this process's memory
// while they are used and sealed at rest. It is the only package that sees stored
// key material in the clear.
//
// # Promises
//
// Material leaves the package wrapped or not at all; no error, and no print of
// any value here, shows it. What is wrapped opens only under the key id, material
// id, spec and domain-key version that it was wrapped for. Ciphertexts are as the
// documentation of package keyring lays down.
//
// # Memory
//
// What is kept between calls is not material but the HKDF pseudorandom key that
// was extracted from it, in a cache of bounded size, and HMAC states keyed with
// it. It is wiped when an entry is evicted or forgotten, as soon as no call uses
// it. Copies that the standard library makes (key schedules, hash states) are
// beyond reach; a build with GOEXPERIMENT=runtimesecret erases those too, when
// they are no longer referred to.
//
// # Randomness and FIPS 140-3
//
// Material and salts come from the reader in [Config]; nonces come from the random
// generator of Go's FIPS module, which cipher.NewGCMWithRandomNonce takes and no
// other. In FIPS mode crypto/rand, the default reader, is that generator too. AES, GCM, SHA-256 and HMAC are the module's. HKDF is crypto/hkdf, except
// that Expand, always of one block, is written with crypto/hmac, so that a keyed
// state serves many messages: HMAC(prk, info ‖ 1), which a test holds against
// crypto/hkdf. The package's tests pass in a certified build in FIPS mode:
//
//	GOFIPS140=certified GODEBUG=fips140=on go test ./internal/keyring/...
package software

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/secret"
)

// defaultCacheSize is for deployments that say nothing; see Config.CacheSize.
const defaultCacheSize = 16384

// Config is what a Ring is made from.
type Config struct {
	// Domain must be set: the domain key under which material is wrapped.
	Domain *seal.Domain
	// Rand gives key material and salts, and must be safe for concurrent use; if
	// nil, crypto/rand.Reader.
	Rand io.Reader
	// CacheSize bounds the number of materials that are kept unwrapped, about 1 KB
	// each; if 0, 16384. A material that is not among them costs some
	// microseconds more.
	CacheSize int
}

// Ring is the key module. It implements keyring.Ring and keyring.Cipher, and is
// safe for concurrent use.
type Ring struct {
	domain  *seal.Domain
	rand    io.Reader
	cache   *cache
	headers *keyring.Headers
}

var (
	_ keyring.Ring   = (*Ring)(nil)
	_ keyring.Cipher = (*Ring)(nil)
)

// New returns a Ring.
func New(c Config) (*Ring, error) {
	if c.Domain == nil {
		return nil, errors.New("software: Config.Domain must be set")
	}
	if c.CacheSize < 0 {
		return nil, errors.New("software: Config.CacheSize must not be negative")
	}
	if c.CacheSize == 0 {
		c.CacheSize = defaultCacheSize
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	// Ciphertexts outlive the versions of the domain key, so the header key comes
	// from the first one.
	headerKey, err := c.Domain.Derive(1, seal.LabelCiphertextHeaders)
	if err != nil {
		return nil, err
	}
	return &Ring{domain: c.Domain, rand: c.Rand, cache: newCache(c.CacheSize), headers: keyring.NewHeaders(headerKey)}, nil
}

// Generate implements [keyring.Ring]. It knows keyring.SymmetricDefault.
func (r *Ring) Generate(_ context.Context, keyID string, spec keyring.Spec) (keyring.Material, error) {
	if spec != keyring.SymmetricDefault {
		return keyring.Material{}, fmt.Errorf("%w: %q", keyring.ErrUnsupported, spec)
	}
	material := make(secret.Bytes, materialSize)
	defer material.Wipe()
	if _, err := io.ReadFull(r.rand, material); err != nil {
		return keyring.Material{}, fmt.Errorf("software: making key material: %w", err)
	}
	return r.wrap(keyID, spec, material)
}

// Random implements [keyring.Ring].
func (r *Ring) Random(_ context.Context, n int) (secret.Bytes, error) {
	if n < 1 || n > keyring.MaxRandom {
		return nil, fmt.Errorf("software: asked for %d random bytes; 1 to %d can be had at a time", n, keyring.MaxRandom)
	}
	b := make(secret.Bytes, n)
	if _, err := io.ReadFull(r.rand, b); err != nil {
		return nil, fmt.Errorf("software: reading random bytes: %w", err)
	}
	return b, nil
}

// Forget implements [keyring.Ring].
func (r *Ring) Forget(keyID string) { r.cache.forget(keyID) }

// Format implements fmt.Formatter: fmt would print unexported fields raw.
func (r *Ring) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[software keyring]") }
