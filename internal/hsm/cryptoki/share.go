//go:build cgo

package cryptoki

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"

	"github.com/miekg/pkcs11"

	"github.com/strongroom/strongroom/internal/hsm"
)

const pairBits = 3072

// transport is the receiver's RSA pair: objects of the session that made them, and
// the same for as long as the login lasts, as making one takes a second.
type transport struct {
	mu      sync.Mutex
	made    hsm.TransportKey // Number 0: there is none
	private pkcs11.ObjectHandle
}

func oaep() []*pkcs11.Mechanism {
	return []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS_OAEP,
		pkcs11.NewOAEPParams(pkcs11.CKM_SHA_1, pkcs11.CKG_MGF1_SHA1, pkcs11.CKZ_DATA_SPECIFIED, nil))}
}

// TransportKey implements [hsm.Sharer].
func (t *token) TransportKey(context.Context) (hsm.TransportKey, error) {
	t.pair.mu.Lock()
	defer t.pair.mu.Unlock()
	if made := t.pair.made; made.Public != nil {
		made.Public = slices.Clone(made.Public) // whoever sends it wipes it
		return made, nil
	}
	if err := t.needs(pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN, pkcs11.CKM_RSA_PKCS_OAEP); err != nil {
		return hsm.TransportKey{}, err
	}
	err := t.with(func(sh pkcs11.SessionHandle) error {
		public, private, err := t.p.GenerateKeyPair(sh, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN, nil)},
			[]*pkcs11.Attribute{
				pkcs11.NewAttribute(pkcs11.CKA_TOKEN, false),
				pkcs11.NewAttribute(pkcs11.CKA_WRAP, true),
				pkcs11.NewAttribute(pkcs11.CKA_MODULUS_BITS, pairBits),
				pkcs11.NewAttribute(pkcs11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}),
			},
			[]*pkcs11.Attribute{
				pkcs11.NewAttribute(pkcs11.CKA_TOKEN, false),
				pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true),
				pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true),
				pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false),
				pkcs11.NewAttribute(pkcs11.CKA_UNWRAP, true),
			})
		if err != nil {
			return failed("C_GenerateKeyPair", err)
		}
		der, err := t.public(sh, public)
		if err != nil {
			return err
		}
		t.pair.made = hsm.TransportKey{Number: t.pair.made.Number + 1, Public: der}
		t.pair.private = private
		return nil
	})
	return hsm.TransportKey{Number: t.pair.made.Number, Public: slices.Clone(t.pair.made.Public)}, err
}

// public is the DER form of a public key.
func (t *token) public(sh pkcs11.SessionHandle, key pkcs11.ObjectHandle) ([]byte, error) {
	read, err := t.p.GetAttributeValue(sh, key, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_MODULUS, nil), pkcs11.NewAttribute(pkcs11.CKA_PUBLIC_EXPONENT, nil),
	})
	if err != nil {
		return nil, failed("C_GetAttributeValue", err)
	}
	e := new(big.Int).SetBytes(read[1].Value)
	if !e.IsInt64() || e.Int64() > 1<<31-1 {
		return nil, fmt.Errorf("%w: its RSA keys have an exponent of %d bits", hsm.ErrUnsupported, e.BitLen())
	}
	return x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: new(big.Int).SetBytes(read[0].Value), E: int(e.Int64())})
}

// WrapFor implements [hsm.Sharer].
func (t *token) WrapFor(_ context.Context, id, public []byte) (wrapped []byte, err error) {
	if err := checkID(id, ""); err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("%w: the receiver's key is none", hsm.ErrUnsupported)
	}
	to, ok := parsed.(*rsa.PublicKey)
	if !ok || to.N.BitLen() < pairBits {
		return nil, fmt.Errorf("%w: the receiver's key is not an RSA key of %d bits", hsm.ErrUnsupported, pairBits)
	}
	err = t.withKey(id, func(sh pkcs11.SessionHandle, key pkcs11.ObjectHandle) error {
		with, err := t.p.CreateObject(sh, []*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PUBLIC_KEY),
			pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_RSA),
			pkcs11.NewAttribute(pkcs11.CKA_TOKEN, false),
			pkcs11.NewAttribute(pkcs11.CKA_WRAP, true),
			pkcs11.NewAttribute(pkcs11.CKA_MODULUS, to.N.Bytes()),
			pkcs11.NewAttribute(pkcs11.CKA_PUBLIC_EXPONENT, big.NewInt(int64(to.E)).Bytes()),
		})
		if err != nil {
			return failed("C_CreateObject", err)
		}
		wrapped, err = t.p.WrapKey(sh, oaep(), with, key)
		return errors.Join(failed("C_WrapKey", err), failed("C_DestroyObject", t.p.DestroyObject(sh, with)))
	})
	return wrapped, err
}

// Receive implements [hsm.Sharer].
func (t *token) Receive(_ context.Context, number uint64, id []byte, label string, wrapped []byte) error {
	t.pair.mu.Lock()
	private, ok := t.pair.private, t.pair.made.Public != nil && t.pair.made.Number == number
	t.pair.mu.Unlock()
	if !ok {
		return hsm.ErrNoKey
	}
	return t.make(id, label, func(sh pkcs11.SessionHandle) (pkcs11.ObjectHandle, error) {
		key, err := t.p.UnwrapKey(sh, oaep(), private, wrapped, received(id, label, true, false))
		if is(err, pkcs11.CKR_UNWRAPPING_KEY_HANDLE_INVALID, pkcs11.CKR_KEY_HANDLE_INVALID, pkcs11.CKR_OBJECT_HANDLE_INVALID) {
			t.forgetPair(number) // it went with its session
			return 0, hsm.ErrNoKey
		}
		return key, failed("C_UnwrapKey", err)
	}, false)
}

func (t *token) forgetPair(number uint64) {
	t.pair.mu.Lock()
	defer t.pair.mu.Unlock()
	if t.pair.made.Number == number {
		t.pair.made.Public = nil
	}
}

// Lock implements [hsm.Sharer].
func (t *token) Lock(_ context.Context, id []byte) error {
	if err := checkID(id, ""); err != nil {
		return err
	}
	return t.withKey(id, func(sh pkcs11.SessionHandle, key pkcs11.ObjectHandle) error {
		if err := t.p.SetAttributeValue(sh, key, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false)}); err != nil {
			return failed("C_SetAttributeValue", err)
		}
		is, err := t.attributes(sh, key)
		if err == nil && is.Extractable {
			err = fmt.Errorf("%w: a key stays extractable", hsm.ErrUnsupported)
		}
		return err
	})
}
