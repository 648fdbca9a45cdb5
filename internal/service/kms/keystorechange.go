package kms

import (
	"context"
	"errors"
	"strings"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/store"
)

// changeKeyStore finds a key store, lets prepare look at it and change its record
// outside of a commit, and commits what edit does with that.
func changeKeyStore[T any](ctx context.Context, s *Service, call *authz.Call, id string, prepare func(*keyStoreRecord) error, edit func(tx *store.Tx, r *keyStoreRecord) error, out T) (T, error) {
	return again(call, func() (T, error) {
		var none T
		if err := s.mayKeyStores(ctx, call); err != nil {
			return none, err
		}
		ks, err := s.findKeyStore(ctx, call, id)
		if err != nil {
			return none, err
		}
		record := ks.keyStoreRecord
		if err := prepare(&record); err != nil {
			return none, err
		}
		return authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (T, error) {
			at := scope(record.Account, record.Region)
			now, err := keyStoreRecords.GetItem(tx, at, record.ID)
			if errors.Is(err, store.ErrNotFound) {
				return none, errNoKeyStore(id)
			}
			if err != nil {
				return none, err
			}
			if now.Version != ks.Version {
				return none, errChanged
			}
			fresh := record // as each run finds it
			return out, edit(tx, &fresh)
		})
	})
}

func putKeyStore(tx *store.Tx, r *keyStoreRecord) error {
	return keyStoreRecords.Put(tx, scope(r.Account, r.Region), r.ID, *r)
}

func errConnection(r *keyStoreRecord, operation string) error {
	return api.CustomKeyStoreInvalidStateException("Custom key store " + r.ID + " has the connection state " + string(r.State) + ", which is not valid for " + operation + ".")
}

// UpdateCustomKeyStore changes a key store, which must be disconnected unless it is an
// external one whose name, path or credential is all that changes. The proxy has to answer to
// what is new before it holds; from then on each request uses it, so that a
// credential is rotated without a gap.
func (s *Service) UpdateCustomKeyStore(ctx context.Context, call *authz.Call, in *api.UpdateCustomKeyStoreInput) (*api.UpdateCustomKeyStoreOutput, error) {
	moved := in.XksProxyUriEndpoint != "" || in.XksProxyVpcEndpointServiceName != "" || in.XksProxyVpcEndpointServiceOwner != "" || in.XksProxyConnectivity != ""
	tried := in.XksProxyUriPath != "" || in.XksProxyAuthenticationCredential != nil
	prepare := func(r *keyStoreRecord) error {
		if r.Cluster != "" {
			return s.updateClusterStore(ctx, call, in, r)
		}
		switch {
		case in.KeyStorePassword != "":
			return errNotFor("KeyStorePassword", api.CustomKeyStoreTypeExternalKeyStore)
		case in.CloudHsmClusterId != "":
			return errNotFor("CloudHsmClusterId", api.CustomKeyStoreTypeExternalKeyStore)
		}
		if r.State != api.ConnectionStateTypeDisconnected && (moved || r.State != api.ConnectionStateTypeConnected) {
			return errConnection(r, call.Operation)
		}
		if err := s.applyUpdate(r, in); err != nil {
			return err
		}
		err := s.Store.View(ctx, func(reader store.Reader) error { return fits(reader, r, r.ID) })
		if err != nil || !moved && !tried {
			return err
		}
		return s.tryProxy(ctx, call, r)
	}
	edit := func(tx *store.Tx, r *keyStoreRecord) error {
		if err := fits(tx, r, r.ID); err != nil {
			return err
		}
		return putKeyStore(tx, r)
	}
	return changeKeyStore(ctx, s, call, in.CustomKeyStoreId, prepare, edit, &api.UpdateCustomKeyStoreOutput{})
}

// applyUpdate makes the record what an update asks for.
func (s *Service) applyUpdate(r *keyStoreRecord, in *api.UpdateCustomKeyStoreInput) error {
	if in.NewCustomKeyStoreName != "" {
		r.Name = in.NewCustomKeyStoreName
	}
	p := &r.Proxy
	if in.XksProxyConnectivity != "" && in.XksProxyConnectivity != p.Connectivity {
		p.Connectivity = in.XksProxyConnectivity
		p.Service, p.ServiceOwner = "", "" // of the other kind; an update names its own
	}
	for _, member := range []struct{ to, from *string }{
		{&p.Endpoint, &in.XksProxyUriEndpoint}, {&p.Path, &in.XksProxyUriPath},
		{&p.Service, &in.XksProxyVpcEndpointServiceName}, {&p.ServiceOwner, &in.XksProxyVpcEndpointServiceOwner},
	} {
		if *member.from != "" {
			*member.to = *member.from
		}
	}
	if err := p.check(); err != nil {
		return err
	}
	if in.XksProxyAuthenticationCredential == nil {
		return nil
	}
	return s.setCredential(r, in.XksProxyAuthenticationCredential)
}

// DeleteCustomKeyStore forgets a key store that is disconnected and has no keys.
// What is behind its proxy stays as it is.
func (s *Service) DeleteCustomKeyStore(ctx context.Context, call *authz.Call, in *api.DeleteCustomKeyStoreInput) (*api.DeleteCustomKeyStoreOutput, error) {
	prepare := func(r *keyStoreRecord) error {
		if r.State != api.ConnectionStateTypeDisconnected {
			return errConnection(r, call.Operation)
		}
		return nil
	}
	edit := func(tx *store.Tx, r *keyStoreRecord) error {
		at := scope(r.Account, r.Region)
		// Ids are in order: the first one behind the store's own begins with it if
		// any does.
		items, _, err := externalKeyRecords.Scan(tx, at, externalKeyID(r.ID, ""), 1)
		if err != nil {
			return err
		}
		if len(items) > 0 && strings.HasPrefix(items[0].ID, externalKeyID(r.ID, "")) {
			return api.CustomKeyStoreHasCMKsException("Custom key store " + r.ID + " has KMS keys. Schedule their deletion, and delete it when they are gone.")
		}
		return keyStoreRecords.Delete(tx, at, r.ID)
	}
	return changeKeyStore(ctx, s, call, in.CustomKeyStoreId, prepare, edit, &api.DeleteCustomKeyStoreOutput{})
}
