// Package hsmtest has HSMs for tests: tokens in memory that can be pulled and
// inserted again, and tokens of SoftHSM behind a real helper process.
package hsmtest

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"

	"github.com/strongroom/strongroom/internal/hsm"
	"github.com/strongroom/strongroom/internal/secret"
)

// Token is an HSM in memory. It is safe for concurrent use.
type Token struct {
	label, pin string

	mu     sync.Mutex
	pulled bool
	wrong  int // PINs in a row
	keys   map[string]*key
	pairs  map[uint64]*rsa.PrivateKey
	next   uint64
	asked  int
}

type key struct {
	label       string
	value       [32]byte
	extractable bool
	shared      bool
}

// NewToken returns an empty token. Three wrong PINs in a row lock it.
func NewToken(label, pin string) *Token {
	return &Token{label: label, pin: pin, keys: map[string]*key{}, pairs: map[uint64]*rsa.PrivateKey{}}
}

// Pull takes the token away: every call answers hsm.ErrUnavailable until Insert.
func (t *Token) Pull() { t.set(true) }

// Insert brings the token back, with its keys.
func (t *Token) Insert() { t.set(false) }

func (t *Token) set(pulled bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pulled = pulled
	clear(t.pairs)
}

// Len returns how many keys the token holds.
func (t *Token) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.keys)
}

// Asked returns how many calls have reached the token, Open included.
func (t *Token) Asked() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.asked
}

// Tokens are what an HSM of several slots holds.
type Tokens []*Token

// Open is an [hsm.Opener] for these tokens, found by their label alone.
func (ts Tokens) Open(ctx context.Context, c hsm.Config) (hsm.Slot, error) {
	if c.PIN == nil {
		return nil, errors.New("hsmtest: Config.PIN must be set")
	}
	pin, err := c.PIN()
	if err != nil {
		return nil, err
	}
	for _, t := range ts {
		if t.label == c.Token.Label {
			return t.open(ctx, pin)
		}
	}
	return nil, fmt.Errorf("%w: %v", hsm.ErrNoToken, c.Token)
}

func (t *Token) open(ctx context.Context, pin secret.Bytes) (hsm.Slot, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asked++
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%w: %w", hsm.ErrUnavailable, ctx.Err())
	case t.pulled:
		return nil, fmt.Errorf("%w: %w", hsm.ErrUnavailable, hsm.ErrNoToken)
	case t.wrong >= 3:
		return nil, hsm.ErrPINLocked
	case !pin.Equal([]byte(t.pin)):
		t.wrong++
		return nil, hsm.ErrPIN
	}
	t.wrong = 0
	return &slot{token: t}, nil
}

// slot is one login.
type slot struct {
	token  *Token
	closed bool // under token.mu
}

var _ hsm.Slot = (*slot)(nil)

// use calls f while the token is there.
func (s *slot) use(ctx context.Context, f func(t *Token) error) error {
	t := s.token
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asked++
	switch {
	case s.closed:
		return hsm.ErrClosed
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", hsm.ErrUnavailable, ctx.Err())
	case t.pulled:
		return fmt.Errorf("%w: %w", hsm.ErrUnavailable, hsm.ErrNoToken)
	}
	return f(t)
}

func (t *Token) find(id []byte) (*key, error) {
	if k := t.keys[string(id)]; k != nil {
		return k, nil
	}
	return nil, hsm.ErrNoKey
}

func (t *Token) add(id []byte, label string, k *key) error {
	if len(id) == 0 || len(id) > hsm.MaxID || len(label) > hsm.MaxID {
		return hsm.ErrSize
	}
	if t.keys[string(id)] != nil {
		return hsm.ErrKeyExists
	}
	k.label = label
	t.keys[string(id)] = k
	return nil
}

func (s *slot) generate(ctx context.Context, id []byte, label string, extractable bool) error {
	return s.use(ctx, func(t *Token) error {
		k := &key{extractable: extractable, shared: extractable}
		if _, err := rand.Read(k.value[:]); err != nil {
			return err
		}
		return t.add(id, label, k)
	})
}

// GenerateAES256 implements [hsm.Keys].
func (s *slot) GenerateAES256(ctx context.Context, id []byte, label string) error {
	return s.generate(ctx, id, label, false)
}

// GenerateShareable implements [hsm.Sharer].
func (s *slot) GenerateShareable(ctx context.Context, id []byte, label string) error {
	return s.generate(ctx, id, label, true)
}

// Find implements [hsm.Keys].
func (s *slot) Find(ctx context.Context, id []byte) (found hsm.Key, err error) {
	err = s.use(ctx, func(t *Token) error {
		k, err := t.find(id)
		if err != nil {
			return err
		}
		found = hsm.Key{Label: k.label, Bits: 256, Sensitive: true, Extractable: k.extractable, Token: true, NeverExtractable: !k.shared}
		return nil
	})
	return found, err
}

// Destroy implements [hsm.Keys].
func (s *slot) Destroy(ctx context.Context, id []byte) error {
	return s.use(ctx, func(t *Token) error {
		_, err := t.find(id)
		delete(t.keys, string(id))
		return err
	})
}

func (k *key) gcm() (cipher.AEAD, error) {
	block, err := aes.NewCipher(k.value[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// EncryptGCM implements [hsm.Keys].
func (s *slot) EncryptGCM(ctx context.Context, id, aad []byte, plaintext secret.Bytes) (sealed []byte, err error) {
	if len(aad) > hsm.MaxMessage || len(plaintext) > hsm.MaxMessage {
		return nil, hsm.ErrSize
	}
	err = s.use(ctx, func(t *Token) error {
		k, err := t.find(id)
		if err != nil {
			return err
		}
		aead, err := k.gcm()
		if err != nil {
			return err
		}
		sealed = aead.Seal(nil, nil, plaintext, aad)
		return nil
	})
	return sealed, err
}

// DecryptGCM implements [hsm.Keys].
func (s *slot) DecryptGCM(ctx context.Context, id, aad, sealed []byte) (plaintext secret.Bytes, err error) {
	if len(aad) > hsm.MaxMessage || len(sealed) > hsm.MaxMessage+hsm.Overhead {
		return nil, hsm.ErrSize
	}
	err = s.use(ctx, func(t *Token) error {
		k, err := t.find(id)
		if err != nil {
			return err
		}
		aead, err := k.gcm()
		if err != nil {
			return err
		}
		if plaintext, err = aead.Open(nil, nil, sealed, aad); err != nil {
			return hsm.ErrDecrypt
		}
		return nil
	})
	return plaintext, err
}

// Random implements [hsm.Keys].
func (s *slot) Random(ctx context.Context, n int) (random secret.Bytes, err error) {
	if n < 1 || n > hsm.MaxRandom {
		return nil, hsm.ErrSize
	}
	err = s.use(ctx, func(*Token) error {
		random = make(secret.Bytes, n)
		_, err := rand.Read(random)
		return err
	})
	return random, err
}

// Health implements [hsm.Keys].
func (s *slot) Health(ctx context.Context) error {
	return s.use(ctx, func(*Token) error { return nil })
}

// Info implements [hsm.Slot].
func (s *slot) Info(ctx context.Context) (info hsm.Info, err error) {
	err = s.use(ctx, func(t *Token) error {
		info = hsm.Info{Library: "memory", TokenLabel: t.label, TokenSerial: t.label, Sessions: 1}
		return nil
	})
	return info, err
}

// Close implements [hsm.Slot].
func (s *slot) Close() error {
	s.token.mu.Lock()
	defer s.token.mu.Unlock()
	s.closed = true
	return nil
}

// TransportKey implements [hsm.Sharer].
func (s *slot) TransportKey(ctx context.Context) (pair hsm.TransportKey, err error) {
	err = s.use(ctx, func(t *Token) error {
		if private := t.pairs[t.next]; private != nil {
			pair.Number = t.next
			pair.Public, err = x509.MarshalPKIXPublicKey(&private.PublicKey)
			return err
		}
		private, err := rsa.GenerateKey(rand.Reader, 2048) // real ones have more
		if err != nil {
			return err
		}
		t.next++
		t.pairs[t.next] = private
		pair.Number = t.next
		pair.Public, err = x509.MarshalPKIXPublicKey(&private.PublicKey)
		return err
	})
	return pair, err
}

// WrapFor implements [hsm.Sharer].
func (s *slot) WrapFor(ctx context.Context, id, public []byte) (wrapped []byte, err error) {
	err = s.use(ctx, func(t *Token) error {
		k, err := t.find(id)
		if err != nil {
			return err
		}
		if !k.extractable {
			return &hsm.Failure{Function: "C_WrapKey", Code: "CKR_KEY_UNEXTRACTABLE"}
		}
		parsed, err := x509.ParsePKIXPublicKey(public)
		if err != nil {
			return err
		}
		to, ok := parsed.(*rsa.PublicKey)
		if !ok {
			return hsm.ErrUnsupported
		}
		wrapped, err = rsa.EncryptOAEP(sha1.New(), rand.Reader, to, k.value[:], nil)
		return err
	})
	return wrapped, err
}

// Receive implements [hsm.Sharer].
func (s *slot) Receive(ctx context.Context, pair uint64, id []byte, label string, wrapped []byte) error {
	return s.use(ctx, func(t *Token) error {
		private := t.pairs[pair]
		if private == nil {
			return hsm.ErrNoKey
		}
		value, err := rsa.DecryptOAEP(sha1.New(), nil, private, wrapped, nil)
		if err != nil || len(value) != 32 {
			return &hsm.Failure{Function: "C_UnwrapKey", Code: "CKR_WRAPPED_KEY_INVALID"}
		}
		return t.add(id, label, &key{value: [32]byte(value), shared: true})
	})
}

// Lock implements [hsm.Sharer].
func (s *slot) Lock(ctx context.Context, id []byte) error {
	return s.use(ctx, func(t *Token) error {
		k, err := t.find(id)
		if err != nil {
			return err
		}
		k.extractable = false
		return nil
	})
}
