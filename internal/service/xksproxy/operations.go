package xksproxy

import (
	"context"
	"errors"
	"slices"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/xksapi"
)

// health answers GetHealthStatus. It is free of the store's rules, as the
// specification wants, and says whether this server can make anything durable,
// without which it answers nothing else.
func (s *Service) health(ctx context.Context, _ *exchange) ([]byte, error) {
	status := xksapi.Active
	if err := s.Store.Ready(ctx); err != nil {
		status = xksapi.Unavailable
	}
	h := xksapi.Health{
		FleetSize: 1, Vendor: vendor, Model: s.Model, ManagerVendor: vendor,
		Managers: []xksapi.Manager{{ID: "local", Model: s.Model, Status: status}},
	}
	return h.AppendJSON(nil), nil
}

const vendor = "Strongroom"

var (
	errRules      = xksapi.Refuse(xksapi.AccessDenied, "The rules of this external key store do not allow this request.")
	errUnknownKey = xksapi.Refuse(xksapi.KeyNotFound, "The external key is not found.")
)

// refusedBy tells why a store, as r describes it, does not let the request use its
// key; nil if it does. A key that the store does not offer is one that does not
// exist.
func (x *exchange) refusedBy(r *storeRecord) *xksapi.Error {
	if member := r.Rules.refusedBy(&x.in.Metadata); member != "" {
		x.detail = "the store's rules refuse this " + member
		return errRules
	}
	if !slices.Contains(r.Keys, x.keyID) {
		x.detail = "the store does not offer this key"
		return errUnknownKey
	}
	return nil
}

// key finds the key of a request that the store lets through.
func (s *Service) key(ctx context.Context, x *exchange) (ref keyring.KeyRef, usable bool, err error) {
	if refused := x.refusedBy(x.store); refused != nil {
		return ref, false, refused
	}
	ref, x.keyARN, usable, err = s.Keys.OfferedKey(ctx, x.store.Account, x.store.Region, x.keyID)
	if errors.Is(err, store.ErrNotFound) {
		err = errUnknownKey
	}
	return ref, usable, err
}

var errKeyState = xksapi.Refuse(xksapi.InvalidState, "The external key is not enabled.")

func (s *Service) usable(ctx context.Context, x *exchange) (keyring.KeyRef, error) {
	ref, usable, err := s.key(ctx, x)
	if err == nil && !usable {
		err = errKeyState
	}
	return ref, err
}

func (s *Service) metadata(ctx context.Context, x *exchange) ([]byte, error) {
	if err := x.in.CheckMetadata(); err != nil {
		return nil, err
	}
	_, usable, err := s.key(ctx, x)
	if err != nil {
		return nil, err
	}
	return xksapi.AES256(usable).AppendJSON(nil), nil
}

func (s *Service) encrypt(ctx context.Context, x *exchange) ([]byte, error) {
	in := x.in
	if err := in.CheckEncrypt(); err != nil {
		return nil, err
	}
	ref, err := s.usable(ctx, x)
	if err != nil {
		return nil, err
	}
	d, err := s.Cipher.EncryptDetached(ctx, ref, in.Plaintext, in.AAD)
	if err != nil {
		return nil, err
	}
	answer := xksapi.Encrypted{Ciphertext: d.Ciphertext, CiphertextMetadata: d.Metadata, IV: d.IV, Tag: d.Tag}
	body := answer.AppendJSON(nil, in.AAD, in.Integrity)
	if in.Integrity {
		// The value says that what was answered will open (appendix C, which also
		// has it computed first).
		plaintext, err := s.Cipher.DecryptDetached(ctx, ref, d, in.AAD)
		if err != nil {
			return nil, err
		}
		same := plaintext.Equal(in.Plaintext)
		plaintext.Wipe()
		if !same {
			return nil, errors.New("xksproxy: what was encrypted does not decrypt to itself")
		}
	}
	in.Plaintext.Wipe()
	return body, nil
}

func (s *Service) decrypt(ctx context.Context, x *exchange) ([]byte, error) {
	in := x.in
	if err := in.CheckDecrypt(); err != nil {
		return nil, err
	}
	ref, err := s.usable(ctx, x)
	if err != nil {
		return nil, err
	}
	plaintext, err := s.Cipher.DecryptDetached(ctx, ref, keyring.Detached{IV: in.IV, Metadata: in.CiphertextMetadata, Ciphertext: in.Ciphertext, Tag: in.Tag}, in.AAD)
	if errors.Is(err, keyring.ErrInvalidCiphertext) {
		return nil, xksapi.Refuse(xksapi.InvalidCiphertext, "The ciphertext, initialization vector, authentication tag, metadata or additional authenticated data is not valid.")
	}
	if err != nil {
		return nil, err
	}
	defer secret.Bytes.Wipe(plaintext)
	return xksapi.AppendDecrypted(nil, plaintext), nil
}
