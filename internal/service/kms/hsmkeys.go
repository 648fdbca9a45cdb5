package kms

import (
	"context"
	"errors"
	"time"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/hsm"
	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
)

// generateInHSMs makes the material of a new key in every HSM of its key store's
// cluster.
func (s *Service) generateInHSMs(ctx context.Context, call *authz.Call, record *keyRecord, ks *keyStore) error {
	g, err := s.session(ctx, &ks.keyStoreRecord, false)
	if errors.Is(err, store.ErrNotFound) {
		return api.CloudHsmClusterInvalidConfigurationException(fewHSMs)
	}
	if err != nil {
		return err
	}
	if g.missing > 0 || zones(g.cluster.HSMs, g.has) < 2 {
		return api.CloudHsmClusterInvalidConfigurationException(someHSMsAway)
	}
	material, err := s.HSMKeys.Generate(ctx, g.keys, record.ID, keyring.Spec(record.Spec))
	if away(err) {
		s.Log.Warn("a key could not be made in every HSM of a cluster", "cluster", ks.Cluster, "error", err)
		return api.CloudHsmClusterInvalidConfigurationException(someHSMsAway)
	}
	if err != nil {
		return fromKeyring(err)
	}
	record.Cluster = ks.Cluster
	record.Materials = []generation{{Material: material}}
	// As AWS tells whoever looks for the key in the cluster: it is the CKA_ID.
	call.Audit.SetAdditional("backingKey", `{"backingKeyId":"`+material.ID+`"}`)
	return nil
}

// takeBack destroys material that was made for a key that did not come to be.
func (s *Service) takeBack(ctx context.Context, record *keyRecord, ks *keyStore) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), destroyPatience)
	defer cancel()
	g, err := s.session(ctx, &ks.keyStoreRecord, false)
	if err == nil && g.keys == nil {
		err = hsm.ErrUnavailable
	}
	if err == nil {
		err = s.HSMKeys.Destroy(ctx, g.keys, keyring.KeyRef{KeyID: record.ID, Current: record.Materials[0].Material})
	}
	if err != nil {
		s.Log.Warn("the key material of a key that was not made is left in a cluster", "cluster", ks.Cluster, "backingKeyId", record.Materials[0].ID, "error", err)
	}
}

// inHSMs returns the HSMs of a key that is in a cluster's key store, if that is
// connected.
func (s *Service) inHSMs(ctx context.Context, call *authz.Call, k *key) (hsm.Keys, error) {
	noteStore(call, &k.keyRecord)
	ks, err := s.keyStores.Get(ctx, scope(k.Account, k.Region), k.Store)
	if err != nil {
		return nil, err
	}
	if ks.State != api.ConnectionStateTypeConnected {
		return nil, api.KMSInvalidStateException(notLoggedIn)
	}
	if err := s.storeRate(call, ks); err != nil {
		return nil, err
	}
	g, err := s.session(ctx, &ks.keyStoreRecord, false)
	if errors.Is(err, store.ErrNotFound) || err == nil && g.keys == nil {
		return nil, api.KMSInvalidStateException(clusterAway)
	}
	if err != nil {
		return nil, s.fromHSM(ks.Cluster, err)
	}
	return g.keys, nil
}

func (s *Service) encryptInHSMs(ctx context.Context, call *authz.Call, k *key, plaintext secret.Bytes, encryptionContext map[string]string) ([]byte, error) {
	in, err := s.inHSMs(ctx, call, k)
	if err != nil {
		return nil, err
	}
	blob, err := s.HSMKeys.Encrypt(ctx, in, k.ref(), plaintext, encryptionContext)
	return blob, s.fromHSM(k.Cluster, err)
}

func (s *Service) decryptInHSMs(ctx context.Context, call *authz.Call, k *key, blob []byte, encryptionContext map[string]string) (secret.Bytes, error) {
	in, err := s.inHSMs(ctx, call, k)
	if err != nil {
		return nil, err
	}
	plaintext, err := s.HSMKeys.Decrypt(ctx, in, k.ref(), blob, encryptionContext)
	return plaintext, s.fromHSM(k.Cluster, err)
}

// randomFromHSMs answers GenerateRandom of a key store.
func (s *Service) randomFromHSMs(ctx context.Context, call *authz.Call, id string, n int) (secret.Bytes, error) {
	ks, err := s.findKeyStore(ctx, call, id)
	switch {
	case err != nil:
		return nil, err
	case ks.Cluster == "":
		return nil, api.UnsupportedOperationException("GenerateRandom is not supported in an external key store.")
	case ks.State != api.ConnectionStateTypeConnected:
		return nil, errConnection(&ks.keyStoreRecord, call.Operation)
	}
	call.Audit.SetAdditional("customKeyStoreId", ks.ID)
	call.Audit.SetAdditional("clusterId", ks.Cluster)
	if err := s.storeRate(call, ks); err != nil {
		return nil, err
	}
	g, err := s.session(ctx, &ks.keyStoreRecord, false)
	var random secret.Bytes
	if err == nil && g.keys != nil {
		random, err = s.HSMKeys.Random(ctx, g.keys, n)
	} else if err == nil {
		err = hsm.ErrUnavailable
	}
	if away(err) || errors.Is(err, store.ErrNotFound) {
		s.Log.Warn("a CloudHSM cluster gives no random bytes", "cluster", ks.Cluster, "error", err)
		return nil, timedOut()
	}
	return random, err
}

// away tells whether an error is that of HSMs that do not do what they are asked.
func away(err error) bool {
	var failure *hsm.Failure
	return errors.Is(err, hsm.ErrUnavailable) || errors.Is(err, hsm.ErrClosed) || errors.As(err, &failure)
}

// fromHSM words an error of a cryptographic operation.
func (s *Service) fromHSM(cluster string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, hsm.ErrNoKey):
		s.Log.Error("a key is not in its CloudHSM cluster any more", "cluster", cluster, "error", err)
		return api.KMSInvalidStateException(lostInCluster)
	case away(err):
		s.Log.Warn("a CloudHSM cluster does not do what it is asked", "cluster", cluster, "error", err)
		return api.KMSInvalidStateException(clusterAway)
	}
	return fromKeyring(err)
}

const (
	// destroyPatience is how long destroying a key in all HSMs may take.
	destroyPatience = 30 * time.Second
	// destroyAgain is when it is tried again where an HSM could not be asked.
	destroyAgain = 5 * time.Minute
)

// destroyLater plans to destroy the material of a key that is being deleted, once its
// deletion is durable.
func destroyLater(tx *store.Tx, k *key, at time.Time) error {
	if k.Cluster == "" {
		return nil
	}
	for _, g := range k.Materials {
		due := dueRecord{At: at, Account: k.Account, Key: k.Store, Task: destroyMaterial, Material: g.ID}
		if err := dueRecords.Put(tx, regionScope(k.Region), due.id(), due); err != nil {
			return err
		}
	}
	return nil
}

// destroy is the worker's task: it destroys material in all HSMs of a cluster. While
// the key store is not connected, or one of its HSMs away, it waits. Once the key store
// is deleted nobody knows a password, and the material stays: AWS calls it orphaned.
func (s *Service) destroy(ctx context.Context, region string, due dueRecord) error {
	var r keyStoreRecord
	gone := false
	// Not a View: the nudge comes before Views show what it is about.
	err := s.Store.Update(ctx, func(tx *store.Tx) (err error) {
		r, err = keyStoreRecords.Get(tx, scope(due.Account, region), due.Key)
		gone = errors.Is(err, store.ErrNotFound)
		if gone {
			err = nil
		}
		return err
	})
	if err != nil {
		return err
	}
	done := gone
	switch {
	case gone:
		s.Log.Warn("key material stays in a CloudHSM cluster: its custom key store was deleted", "store", due.Key, "backingKeyId", due.Material)
	case r.State == api.ConnectionStateTypeConnected:
		bounded, cancel := context.WithTimeout(ctx, destroyPatience)
		defer cancel()
		g, err := s.session(bounded, &r, false)
		if err == nil && g.missing == 0 && g.keys != nil {
			err = s.HSMKeys.Destroy(bounded, g.keys, keyring.KeyRef{Current: keyring.Material{ID: due.Material}})
			done = err == nil
		}
		if !done {
			s.Log.Warn("key material could not be destroyed in every HSM of a cluster yet", "cluster", r.Cluster, "backingKeyId", due.Material, "error", err)
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	next := due
	next.At = s.Clock.Now().Add(destroyAgain)
	return s.Store.Update(ctx, func(tx *store.Tx) error {
		if err := strike(tx, region, due); err != nil || done {
			return err
		}
		return dueRecords.Put(tx, regionScope(region), next.id(), next)
	})
}
