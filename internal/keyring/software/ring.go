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
// it. Of all other keys the parsed key is kept, in a cache of its own that is
// bounded too; what is evicted or forgotten is left to the garbage collector, as
// the libraries' keys cannot be wiped. Copies that the standard library makes (key
// schedules, hash states) are beyond reach. A build with
// GOEXPERIMENT=runtimesecret erases parsed keys and those copies, when they are no
// longer referred to.
//
// # Randomness and FIPS 140-3
//
// Symmetric material, MAC keys, seeds (Ed25519, ML-DSA, ML-KEM), secp256k1 scalars
// and salts come from the reader in [Config]. RSA, NIST-curve and SM2 keys, nonces and
// the randomness of signatures and encapsulations come from crypto/rand or
// straight from the random generator of Go's FIPS module. In FIPS mode crypto/rand,
// the default reader, is that generator too.
//
// AES, GCM, SHA-2, HMAC, RSA, ECDSA, ECDH, Ed25519 and ML-KEM-768/1024 are the
// module's. HKDF is crypto/hkdf, except that Expand, always of one block, is
// written with crypto/hmac, so that a keyed state serves many messages:
// HMAC(prk, info ‖ 1), which a test holds against crypto/hkdf. The package's tests
// pass in a certified build in FIPS mode:
//
//	GOFIPS140=certified GODEBUG=fips140=on go test ./internal/keyring/...
//
// In a build with the tag strongroom_openssl RSA's private operations are OpenSSL's
// (package libcrypto), outside the module, except in FIPS mode, in which they stay
// the module's.
//
// Outside the module: secp256k1 (decred), ML-DSA (filippo.io/mldsa, the standard
// library's implementation ahead of the release that has it; and our own
// verification of a µ that the caller computed, for which it has no function),
// ML-KEM-512 (circl) and SM2 with SM3 (gmsm). RSAES_OAEP_SHA_1 uses the module with a hash that is not
// approved.
//
// # Side channels
//
// secp256k1's base-point multiplication is not constant-time: whoever can time
// many signatures to the nanosecond, from the same processor, may learn of the
// nonces. Every other private operation is as its library makes it, which claims
// constant time.
//
// # Bounded work
//
// Making RSA keys, private operations of RSA_4096 and whatever ECC_NIST_P521 keys
// do take milliseconds to seconds of a processor and wait for one of a few places
// (Config.Places), so that they cannot starve everything else.
package software

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/secret"
)

// For deployments that say nothing; see Config.
const (
	defaultCacheSize  = 16384
	defaultParsedKeys = 2048
)

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
	// ParsedKeys bounds the number of parsed private and MAC keys that are kept,
	// and apart from them of parsed public keys; if 0, 2048. An RSA_4096 key takes
	// about 10 KB, an ML_DSA_87 key 100 KB.
	ParsedKeys int
	// Places bounds how many RSA keys are made at once and, apart from them, how
	// many private operations of RSA_4096 keys and operations of ECC_NIST_P521 keys
	// run at once; if 0, one for every two processors. What finds no place waits, so that however many of
	// these are asked for, symmetric operations are not held up.
	Places int
}

// Ring is the key module. It implements keyring.Ring and keyring.Cipher, and is
// safe for concurrent use.
type Ring struct {
	domain  *seal.Domain
	rand    io.Reader
	headers *keyring.Headers
	cache   *cache // of symmetric keys
	// wrapping has what wrapping keys come from, by the version of the domain key.
	wrapping sync.Map
	// privates and publics hold parsed keys of every other kind.
	privates, publics *cache
	making, using     lane
}

var (
	_ keyring.Ring   = (*Ring)(nil)
	_ keyring.Cipher = (*Ring)(nil)
)

// New returns a Ring. In a build with the tag strongroom_openssl it fails where
// OpenSSL cannot be loaded or fails its test, except in FIPS mode, which leaves RSA
// to Go's module.
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
	if c.ParsedKeys < 0 || c.Places < 0 {
		return nil, errors.New("software: Config.ParsedKeys and Config.Places must not be negative")
	}
	if c.ParsedKeys == 0 {
		c.ParsedKeys = defaultParsedKeys
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if _, err := Ready(); err != nil {
		return nil, err
	}
	// Ciphertexts outlive the versions of the domain key, so the header key comes
	// from the first one.
	headerKey, err := c.Domain.Derive(1, seal.LabelCiphertextHeaders)
	if err != nil {
		return nil, err
	}
	return &Ring{
		domain: c.Domain, rand: c.Rand, headers: keyring.NewHeaders(headerKey),
		cache: newCache(c.CacheSize), privates: newCache(c.ParsedKeys), publics: newCache(c.ParsedKeys),
		making: newLane(c.Places), using: newLane(c.Places),
	}, nil
}

// Generate implements [keyring.Ring].
func (r *Ring) Generate(ctx context.Context, keyID string, spec keyring.Spec) (keyring.Material, error) {
	if spec != keyring.SymmetricDefault {
		return r.generate(ctx, keyID, spec)
	}
	material := make(secret.Bytes, materialSize)
	defer material.Wipe()
	if _, err := io.ReadFull(r.rand, material); err != nil {
		return keyring.Material{}, fmt.Errorf("software: making key material: %w", err)
	}
	return r.wrap(keyID, spec, material, nil)
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
func (r *Ring) Forget(keyID string) {
	r.cache.forget(keyID)
	r.privates.forget(keyID)
	r.publics.forget(keyID)
}

// Format implements fmt.Formatter: fmt would print unexported fields raw.
func (r *Ring) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[software keyring]") }
