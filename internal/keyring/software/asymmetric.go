package software

import (
	"context"
	"crypto/hmac"
	"fmt"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/secret"
)

var (
	_ keyring.Signer           = (*Ring)(nil)
	_ keyring.Verifier         = (*Ring)(nil)
	_ keyring.MAC              = (*Ring)(nil)
	_ keyring.KeyAgreement     = (*Ring)(nil)
	_ keyring.AsymmetricCipher = (*Ring)(nil)
	_ keyring.Encapsulator     = (*Ring)(nil)
	_ keyring.PairMaker        = (*Ring)(nil)
)

// Sign implements [keyring.Signer].
func (r *Ring) Sign(ctx context.Context, key keyring.KeyRef, algorithm keyring.Algorithm, form keyring.Form, message secret.Bytes) (signature []byte, err error) {
	err = withPrivate(ctx, r, &key, func(k signer) error {
		signature, err = k.sign(algorithm, form, message)
		return err
	})
	return signature, err
}

// Verify implements [keyring.Verifier].
func (r *Ring) Verify(ctx context.Context, key keyring.KeyRef, algorithm keyring.Algorithm, form keyring.Form, message secret.Bytes, signature []byte) error {
	return withPublic(ctx, r, &key, func(k verifier) error {
		return k.verify(algorithm, form, message, signature)
	})
}

// GenerateMAC implements [keyring.MAC].
func (r *Ring) GenerateMAC(ctx context.Context, key keyring.KeyRef, algorithm keyring.Algorithm, message secret.Bytes) (mac []byte, err error) {
	err = withPrivate(ctx, r, &key, func(k macer) error {
		mac, err = k.mac(algorithm, message)
		return err
	})
	return mac, err
}

// VerifyMAC implements [keyring.MAC].
func (r *Ring) VerifyMAC(ctx context.Context, key keyring.KeyRef, algorithm keyring.Algorithm, message secret.Bytes, mac []byte) error {
	own, err := r.GenerateMAC(ctx, key, algorithm, message)
	if err != nil {
		return err
	}
	if !hmac.Equal(own, mac) {
		return keyring.ErrInvalidMAC
	}
	return nil
}

// DeriveSharedSecret implements [keyring.KeyAgreement].
func (r *Ring) DeriveSharedSecret(ctx context.Context, key keyring.KeyRef, algorithm keyring.Algorithm, peer []byte) (shared secret.Bytes, err error) {
	err = withPrivate(ctx, r, &key, func(k agreer) error {
		shared, err = k.agree(algorithm, peer)
		return err
	})
	return shared, err
}

// EncryptAsymmetric implements [keyring.AsymmetricCipher].
func (r *Ring) EncryptAsymmetric(ctx context.Context, key keyring.KeyRef, algorithm keyring.Algorithm, plaintext secret.Bytes) (blob []byte, err error) {
	err = withPublic(ctx, r, &key, func(k encrypter) error {
		blob, err = k.encrypt(algorithm, plaintext)
		return err
	})
	return blob, err
}

// DecryptAsymmetric implements [keyring.AsymmetricCipher].
func (r *Ring) DecryptAsymmetric(ctx context.Context, key keyring.KeyRef, algorithm keyring.Algorithm, blob []byte) (plaintext secret.Bytes, err error) {
	err = withPrivate(ctx, r, &key, func(k decrypter) error {
		plaintext, err = k.decrypt(algorithm, blob)
		return err
	})
	return plaintext, err
}

// Encapsulate implements [keyring.Encapsulator].
func (r *Ring) Encapsulate(ctx context.Context, key keyring.KeyRef, algorithm keyring.Algorithm) (shared secret.Bytes, blob []byte, err error) {
	err = withPublic(ctx, r, &key, func(k encapsulator) error {
		shared, blob, err = k.encapsulate(algorithm)
		return err
	})
	return shared, blob, err
}

// Decapsulate implements [keyring.Encapsulator].
func (r *Ring) Decapsulate(ctx context.Context, key keyring.KeyRef, algorithm keyring.Algorithm, blob []byte) (shared secret.Bytes, err error) {
	err = withPrivate(ctx, r, &key, func(k decapsulator) error {
		shared, err = k.decapsulate(algorithm, blob)
		return err
	})
	return shared, err
}

// GeneratePair implements [keyring.PairMaker].
func (r *Ring) GeneratePair(ctx context.Context, spec keyring.Spec) (private secret.Bytes, public []byte, err error) {
	k := kindOf(spec)
	if k == nil {
		return nil, nil, unsupported("key spec", string(spec))
	}
	err = r.fresh(ctx, k, func(_ secret.Bytes, key privateKey) error {
		out, ok := key.(exporter)
		if !ok {
			return unsupported("key pairs of spec", string(spec))
		}
		if public, err = key.spki(); err != nil {
			return err
		}
		private, err = out.pkcs8()
		return err
	})
	return private, public, err
}

// generate makes material of a spec other than SymmetricDefault and wraps it.
func (r *Ring) generate(ctx context.Context, keyID string, spec keyring.Spec) (m keyring.Material, err error) {
	k := kindOf(spec)
	if k == nil {
		return m, unsupported("key spec", string(spec))
	}
	err = r.fresh(ctx, k, func(material secret.Bytes, key privateKey) error {
		public, err := key.spki()
		if err != nil {
			return err
		}
		m, err = r.wrap(keyID, spec, material, public)
		return err
	})
	return m, err
}

// fresh makes a key and calls use with it, in the lane that the kind needs. The
// material is wiped afterwards.
func (r *Ring) fresh(ctx context.Context, k *kind, use func(material secret.Bytes, key privateKey) error) error {
	work := func() (err error) {
		secret.Do(func() {
			var material secret.Bytes
			if material, err = k.generate(r.rand); err != nil {
				err = fmt.Errorf("software: making a key: %w", err)
				return
			}
			defer material.Wipe()
			var key privateKey
			if key, err = k.private(material); err == nil {
				err = use(material, key)
			}
		})
		return err
	}
	if k.slowMake {
		return r.making.do(ctx, work)
	}
	return r.place(ctx, k.slowPrivate, work)
}

// place runs what uses a key, in a lane if that is slow.
func (r *Ring) place(ctx context.Context, slow bool, work func() error) error {
	if slow {
		return r.using.do(ctx, work)
	}
	return work()
}

// withPrivate calls use with the current private or MAC key, which must be able to
// do what A says.
func withPrivate[A any](ctx context.Context, r *Ring, key *keyring.KeyRef, use func(A) error) error {
	k := kindOf(key.Current.Spec)
	if k == nil {
		return unsupported("key spec", string(key.Current.Spec))
	}
	return r.place(ctx, k.slowPrivate, func() (err error) {
		secret.Do(func() {
			var parsed any
			if parsed, err = r.private(key, k); err == nil {
				err = able(parsed, key, use)
			}
		})
		return err
	})
}

// withPublic is withPrivate for the current public key.
func withPublic[A any](ctx context.Context, r *Ring, key *keyring.KeyRef, use func(A) error) error {
	k := kindOf(key.Current.Spec)
	if k == nil || k.public == nil {
		return unsupported("public keys of spec", string(key.Current.Spec))
	}
	return r.place(ctx, k.slowPublic, func() error {
		parsed, err := r.public(key, k)
		if err != nil {
			return err
		}
		return able(parsed, key, use)
	})
}

func able[A any](parsed any, key *keyring.KeyRef, use func(A) error) error {
	a, ok := parsed.(A)
	if !ok {
		return unsupported("this use of key spec", string(key.Current.Spec))
	}
	return use(a)
}

// private returns the parsed private key, from the cache or by unwrapping.
func (r *Ring) private(key *keyring.KeyRef, k *kind) (any, error) {
	m := &key.Current
	return r.privates.parsed(key.KeyID, m, func() (any, error) {
		size := len(m.Wrapped) - wrapOverhead
		if size < 1 || size > maxMaterial {
			return nil, fmt.Errorf("%w: material %.64q of key %.64q has an impossible length", keyring.ErrCorrupt, m.ID, key.KeyID)
		}
		material := make(secret.Bytes, size)
		defer material.Wipe()
		if err := r.unwrap(material, key.KeyID, *m); err != nil {
			return nil, err
		}
		parsed, err := k.private(material)
		if err != nil {
			return nil, fmt.Errorf("%w: material %.64q of key %.64q is no key of spec %s", keyring.ErrCorrupt, m.ID, key.KeyID, m.Spec)
		}
		return parsed, nil
	})
}

// maxMaterial bounds the material of one key; the PKCS #8 form of RSA_4096 is the
// longest and has about 2,400 bytes.
const maxMaterial = 4096

// public returns the parsed public key, from the cache or from the material.
func (r *Ring) public(key *keyring.KeyRef, k *kind) (any, error) {
	m := &key.Current
	return r.publics.parsed(key.KeyID, m, func() (any, error) {
		parsed, err := k.public(m.Public)
		if err != nil {
			return nil, fmt.Errorf("%w: the public key of material %.64q of key %.64q: %w", keyring.ErrCorrupt, m.ID, key.KeyID, err)
		}
		return parsed, nil
	})
}

// parsed returns what the cache keeps of a material or, if there is nothing, what
// load returns. Material of two specs can have one id, as ids are made of bytes
// alone; what was parsed as one spec is never used as another.
func (c *cache) parsed(keyID string, m *keyring.Material, load func() (any, error)) (any, error) {
	cached, epoch := c.get(keyID, m.ID)
	if cached != nil && cached.spec == m.Spec {
		if key := cached.parsedKey(); key != nil {
			return key, nil
		}
	}
	key, err := load()
	if err != nil {
		return nil, err
	}
	c.put(&entry{keyID: keyID, materialID: m.ID, spec: m.Spec, parsed: key}, epoch)
	return key, nil
}
