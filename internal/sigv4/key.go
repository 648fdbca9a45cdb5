package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"strings"
	"sync"

	"github.com/strongroom/strongroom/internal/secret"
)

// Key is the key that signs requests within one scope. It is all of a secret that
// this package ever keeps. It is safe for concurrent use.
type Key struct {
	key secret.Bytes
	// macs are HMAC states that the key has been put into: that costs more than
	// what is then hashed.
	macs sync.Pool
}

// Format implements fmt.Formatter: it shows nothing of the key, which fmt would print
// raw, as the field is unexported.
func (*Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[signing key]") }

// SigningKey derives the key of a scope.
func SigningKey(secretKey secret.String, scope Scope) *Key {
	k := hmacSHA256([]byte("AWS4"+string(secretKey)), scope.Date)
	k = hmacSHA256(k, scope.Region)
	k = hmacSHA256(k, scope.Service)
	return &Key{key: hmacSHA256(k, terminator)}
}

// AppendSignature appends the 32 bytes of the signature of a string to sign.
func (k *Key) AppendSignature(dst, toSign []byte) []byte {
	mac, _ := k.macs.Get().(hash.Hash)
	if mac == nil {
		mac = hmac.New(sha256.New, k.key)
	}
	defer k.macs.Put(mac)
	mac.Reset()
	mac.Write(toSign)
	return mac.Sum(dst)
}

// Equal reports in constant time whether k and other are the same key.
func (k *Key) Equal(other *Key) bool { return k.key.Equal(other.key) }

func hmacSHA256(key []byte, data string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(data))
	return h.Sum(nil)
}

// maxCachedName is the longest access key id, region or service that the cache
// keeps, in bytes; AWS's own are well below it.
const maxCachedName = 128

// KeyCache remembers derived signing keys, so that a request costs one HMAC
// instead of five and a look at the secret. It is safe for concurrent use.
type KeyCache struct {
	max int

	mu      sync.RWMutex
	keys    map[string]map[Scope]*Key // by access key id
	n       int                       // keys in all
	removed uint64                    // counts Remove and Clear
}

// NewKeyCache returns a cache of at most max keys. max must be at least 1.
func NewKeyCache(max int) *KeyCache {
	return &KeyCache{max: max, keys: map[string]map[Scope]*Key{}}
}

// Key returns the signing key of an access key for a scope. When it is not in the
// cache, lookup is asked for the secret and the key is derived and kept, unless
// [KeyCache.Remove] or [KeyCache.Clear] was called in the meantime: a key that is
// deleted while it is being looked up does not come back through the cache.
// An error of lookup is returned as it is, and nothing is kept.
func (c *KeyCache) Key(accessKeyID string, scope Scope, lookup func() (secret.String, error)) (*Key, error) {
	c.mu.RLock()
	key, ok := c.keys[accessKeyID][scope]
	removed := c.removed
	c.mu.RUnlock()
	if ok {
		return key, nil
	}
	s, err := lookup()
	if err != nil {
		return nil, err
	}
	key = SigningKey(s, scope)
	if len(accessKeyID) > maxCachedName || len(scope.Region) > maxCachedName || len(scope.Service) > maxCachedName {
		return key, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.removed == removed {
		c.putLocked(accessKeyID, scope, key)
	}
	return key, nil
}

func (c *KeyCache) putLocked(accessKeyID string, scope Scope, key *Key) {
	if _, ok := c.keys[accessKeyID][scope]; ok {
		return
	}
	if c.n >= c.max {
		c.evictLocked()
	}
	scopes := c.keys[accessKeyID]
	if scopes == nil {
		scopes = map[Scope]*Key{}
		c.keys[strings.Clone(accessKeyID)] = scopes
	}
	// The strings belong to a request that ends; the cache outlives it.
	scopes[Scope{strings.Clone(scope.Date), strings.Clone(scope.Region), strings.Clone(scope.Service)}] = key
	c.n++
}

// evictLocked drops one key, whichever comes first: which one hardly matters, as
// a key costs five HMACs to make again.
func (c *KeyCache) evictLocked() {
	for id, scopes := range c.keys {
		for scope := range scopes {
			delete(scopes, scope)
			c.n--
			break
		}
		if len(scopes) == 0 {
			delete(c.keys, id)
		}
		return
	}
}

// Remove forgets every key of an access key. Once it has returned, [KeyCache.Key]
// asks for the secret again. Call it after the access key was deleted, disabled
// or replaced where lookup reads it.
func (c *KeyCache) Remove(accessKeyID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removed++
	c.n -= len(c.keys[accessKeyID])
	delete(c.keys, accessKeyID)
}

// Clear forgets every key.
func (c *KeyCache) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removed++
	c.n = 0
	clear(c.keys)
}
