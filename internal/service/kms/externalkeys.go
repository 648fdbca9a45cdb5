package kms

import (
	"context"
	"errors"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/keyring/xks"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/xksapi"
)

// inKeyStore tells whether a key's origin is a custom key store.
func inKeyStore(origin api.OriginType) bool {
	return origin == api.OriginTypeExternalKeyStore || origin == api.OriginTypeAwsCloudhsm
}

// checkStoreKey looks at how the parameters of CreateKey go together that speak of
// custom key stores.
func checkStoreKey(in *api.CreateKeyInput, record *keyRecord) error {
	external := record.Origin == api.OriginTypeExternalKeyStore
	switch {
	case !inKeyStore(record.Origin) && in.CustomKeyStoreId != "":
		return awserr.Validation("CustomKeyStoreId is valid only when Origin is AWS_CLOUDHSM or EXTERNAL_KEY_STORE.")
	case !external && in.XksKeyId != "":
		return awserr.Validation("XksKeyId is valid only when Origin is EXTERNAL_KEY_STORE.")
	case !inKeyStore(record.Origin):
		return nil
	case in.CustomKeyStoreId == "":
		return awserr.Validationf("CustomKeyStoreId is required when Origin is %s.", record.Origin)
	case external && in.XksKeyId == "":
		return awserr.Validation("XksKeyId is required when Origin is EXTERNAL_KEY_STORE.")
	case record.Spec != api.KeySpecSymmetricDefault:
		return api.UnsupportedOperationException("KeySpec " + string(record.Spec) + " is not supported in a custom key store.")
	case record.MultiRegion != nil:
		return api.UnsupportedOperationException("Multi-Region keys are not supported in a custom key store.")
	}
	record.Store, record.ExternalKey = in.CustomKeyStoreId, in.XksKeyId
	return nil
}

// storeForKey finds the key store that a new key is to be in, and asks an external
// one's proxy whether the external key is one that can be used.
func (s *Service) storeForKey(ctx context.Context, call *authz.Call, record *keyRecord) (*keyStore, error) {
	ks, err := s.findKeyStore(ctx, call, record.Store)
	if err != nil {
		return nil, err
	}
	// A type has the name of its keys' origin.
	if string(record.Origin) != string(ks.kind()) {
		return nil, awserr.Validationf("Origin %s does not match the type of the custom key store, %s.", record.Origin, ks.kind())
	}
	record.Cluster = ks.Cluster
	noteStore(call, record)
	if ks.State != api.ConnectionStateTypeConnected {
		return nil, api.CustomKeyStoreInvalidStateException(unconnected(record))
	}
	if ks.Cluster != "" {
		return ks, nil
	}
	if err := s.Store.View(ctx, func(r store.Reader) error { return checkExternalKeyFree(r, record) }); err != nil {
		return nil, err
	}
	t, err := s.target(call, &ks.keyStoreRecord, record.ExternalKey)
	if err != nil {
		return nil, err
	}
	m, err := s.ExternalKeys.KeyMetadata(ctx, t)
	if err != nil {
		return nil, fromProxy(err, whileCreating)
	}
	if !m.Suits() {
		return nil, api.XksKeyInvalidConfigurationException(badExternalKey)
	}
	return ks, nil
}

// unconnected says of a key that its key store is not connected.
func unconnected(k *keyRecord) string {
	if k.Cluster != "" {
		return notLoggedIn
	}
	return notConnected
}

func checkExternalKeyFree(r store.Reader, record *keyRecord) error {
	_, err := externalKeyRecords.Get(r, scope(record.Account, record.Region), record.heldAs())
	if err == nil {
		return api.XksKeyAlreadyInUseException("The external key " + record.ExternalKey + " is already associated with a KMS key in this external key store.")
	}
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// claimExternalKey takes the external key of a new key, inside the key's commit,
// if the store is still connected; of a key that is in none it does nothing.
func claimExternalKey(tx *store.Tx, record *keyRecord) error {
	if record.Store == "" {
		return nil
	}
	at := scope(record.Account, record.Region)
	now, err := keyStoreRecords.Get(tx, at, record.Store)
	if errors.Is(err, store.ErrNotFound) {
		return errNoKeyStore(record.Store)
	}
	if err != nil {
		return err
	}
	if now.State != api.ConnectionStateTypeConnected {
		return api.CustomKeyStoreInvalidStateException(unconnected(record))
	}
	if err := checkExternalKeyFree(tx, record); err != nil {
		return err
	}
	return externalKeyRecords.Put(tx, at, record.heldAs(), externalKeyRecord{Key: record.ID})
}

// freeExternalKey gives the external key back when its key is deleted.
func freeExternalKey(tx *store.Tx, k *key) error {
	if k.Store == "" {
		return nil
	}
	return externalKeyRecords.Delete(tx, scope(k.Account, k.Region), k.heldAs())
}

// noteStore puts into the audit record where the key is.
func noteStore(call *authz.Call, k *keyRecord) {
	call.Audit.SetAdditional("customKeyStoreId", k.Store)
	if k.Cluster != "" {
		call.Audit.SetAdditional("clusterId", k.Cluster)
		return
	}
	call.Audit.SetAdditional("xksKeyId", k.ExternalKey)
}

// target is an external key as the proxy is asked for it.
func (s *Service) target(call *authz.Call, ks *keyStoreRecord, external string) (*xks.Target, error) {
	at, err := s.endpoint(ks)
	if err != nil {
		return nil, err
	}
	t := &xks.Target{Endpoint: at, KeyID: external, Metadata: xksapi.Metadata{
		PrincipalARN: call.Principal.ARN, Operation: call.Operation, RequestID: call.RequestID,
	}}
	if call.Principal.RoleARN != "" {
		t.Metadata.PrincipalARN = call.Principal.RoleARN
	}
	if n := len(call.Via); n > 0 {
		t.Metadata.ViaService = call.Via[n-1]
	}
	return t, nil
}

// outside returns the target of a key in a key store that is connected.
func (s *Service) outside(ctx context.Context, call *authz.Call, k *key) (*xks.Target, error) {
	noteStore(call, &k.keyRecord)
	ks, err := s.keyStores.Get(ctx, scope(k.Account, k.Region), k.Store)
	if err != nil {
		return nil, err
	}
	if ks.State != api.ConnectionStateTypeConnected {
		return nil, api.KMSInvalidStateException(notConnected)
	}
	if err := s.storeRate(call, ks); err != nil {
		return nil, err
	}
	t, err := s.target(call, &ks.keyStoreRecord, k.ExternalKey)
	if err == nil {
		t.Metadata.KeyARN = k.ARN
	}
	return t, err
}

// encryptOutside encrypts under a key that is in a custom key store.
func (s *Service) encryptOutside(ctx context.Context, call *authz.Call, k *key, plaintext secret.Bytes, encryptionContext map[string]string) ([]byte, error) {
	if k.Cluster != "" {
		return s.encryptInHSMs(ctx, call, k, plaintext, encryptionContext)
	}
	t, err := s.outside(ctx, call, k)
	if err != nil {
		return nil, err
	}
	blob, err := s.ExternalKeys.Encrypt(ctx, t, k.ref(), plaintext, encryptionContext)
	return blob, fromProxy(err, nil)
}

// decryptOutside is the inverse of encryptOutside.
func (s *Service) decryptOutside(ctx context.Context, call *authz.Call, k *key, blob []byte, encryptionContext map[string]string) (secret.Bytes, error) {
	if k.Cluster != "" {
		return s.decryptInHSMs(ctx, call, k, blob, encryptionContext)
	}
	t, err := s.outside(ctx, call, k)
	if err != nil {
		return nil, err
	}
	plaintext, err := s.ExternalKeys.Decrypt(ctx, t, k.ref(), blob, encryptionContext)
	return plaintext, fromProxy(err, nil)
}

// asItStands returns k in the state that its key store gives it: Unavailable while
// that is not connected, unless the key is about to be deleted.
func (s *Service) asItStands(ctx context.Context, k *key) (*key, error) {
	if k.Store == "" || k.State != api.KeyStateEnabled && k.State != api.KeyStateDisabled {
		return k, nil
	}
	ks, err := s.keyStores.Get(ctx, scope(k.Account, k.Region), k.Store)
	if err != nil {
		return nil, err
	}
	if ks.State == api.ConnectionStateTypeConnected {
		return k, nil
	}
	unavailable := &key{keyRecord: k.keyRecord, ARN: k.ARN, Version: k.Version, policy: k.policy, spec: k.spec, older: k.older}
	unavailable.State = api.KeyStateUnavailable
	return unavailable, nil
}
