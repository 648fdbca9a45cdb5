package kms

import (
	"context"
	"errors"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/xksapi"
)

// ConnectCustomKeyStore asks for a connection, which the worker makes. One that is
// there, or being made, is left alone.
func (s *Service) ConnectCustomKeyStore(ctx context.Context, call *authz.Call, in *api.ConnectCustomKeyStoreInput) (*api.ConnectCustomKeyStoreOutput, error) {
	prepare := func(r *keyStoreRecord) error {
		switch r.State {
		case api.ConnectionStateTypeFailed, api.ConnectionStateTypeDisconnecting:
			return errConnection(r, call.Operation)
		}
		if r.Cluster != "" {
			return s.checkCluster(ctx, r)
		}
		return nil
	}
	edit := func(tx *store.Tx, r *keyStoreRecord) error {
		if r.State != api.ConnectionStateTypeDisconnected {
			return nil
		}
		asked := call.Time
		r.State, r.Failure, r.Asked = api.ConnectionStateTypeConnecting, "", &asked
		due := dueRecord{At: asked, Account: r.Account, Key: r.ID, Task: connectStore}
		if err := dueRecords.Put(tx, regionScope(r.Region), due.id(), due); err != nil {
			return err
		}
		return putKeyStore(tx, r)
	}
	return changeKeyStore(ctx, s, call, in.CustomKeyStoreId, prepare, edit, &api.ConnectCustomKeyStoreOutput{})
}

// DisconnectCustomKeyStore makes the keys of a store unavailable. Once it is
// answered, no later call uses one. Keys and store can be managed as before.
func (s *Service) DisconnectCustomKeyStore(ctx context.Context, call *authz.Call, in *api.DisconnectCustomKeyStoreInput) (*api.DisconnectCustomKeyStoreOutput, error) {
	prepare := func(r *keyStoreRecord) error {
		switch r.State {
		case api.ConnectionStateTypeDisconnected, api.ConnectionStateTypeDisconnecting:
			return errConnection(r, call.Operation)
		}
		return nil
	}
	edit := func(tx *store.Tx, r *keyStoreRecord) error {
		r.State, r.Failure, r.Asked = api.ConnectionStateTypeDisconnected, "", nil
		return putKeyStore(tx, r)
	}
	return changeKeyStore(ctx, s, call, in.CustomKeyStoreId, prepare, edit, &api.DisconnectCustomKeyStoreOutput{})
}

// connect is the worker's task: it asks the proxy or logs in to the cluster, and says
// in the record what came of it, unless the store was disconnected or deleted meanwhile.
func (s *Service) connect(ctx context.Context, region string, due dueRecord) error {
	at := scope(due.Account, region)
	waits := func(r store.Reader) (record keyStoreRecord, yes bool, err error) {
		record, err = keyStoreRecords.Get(r, at, due.Key)
		if errors.Is(err, store.ErrNotFound) {
			return record, false, nil
		}
		return record, record.State == api.ConnectionStateTypeConnecting && record.Asked.Equal(due.At), err
	}
	var record keyStoreRecord
	var waiting bool
	// Not a View: the nudge comes before Views show what it is about.
	err := s.Store.Update(ctx, func(tx *store.Tx) error {
		var err error
		record, waiting, err = waits(tx)
		return err
	})
	if err != nil {
		return err
	}
	var failure api.ConnectionErrorCodeType
	if waiting {
		if failure, err = s.tryConnection(ctx, &record); err != nil {
			return err
		}
	}
	return s.Store.Update(ctx, func(tx *store.Tx) error {
		if err := strike(tx, region, due); err != nil {
			return err
		}
		record, yes, err := waits(tx)
		if err != nil || !yes {
			return err
		}
		record.State, record.Failure, record.Asked = api.ConnectionStateTypeConnected, "", nil
		if failure != "" {
			record.State, record.Failure = api.ConnectionStateTypeFailed, failure
		}
		return putKeyStore(tx, &record)
	})
}

// tryConnection returns why a key store cannot be connected, "" if it can. An error is
// that the question could not be asked.
func (s *Service) tryConnection(ctx context.Context, r *keyStoreRecord) (api.ConnectionErrorCodeType, error) {
	if r.Cluster != "" {
		return s.tryCluster(ctx, r)
	}
	id, err := s.newKeyID(false) // nobody's request, with an id of its own
	if err != nil {
		return "", err
	}
	failed := s.health(ctx, r, xksapi.Metadata{Operation: "ConnectCustomKeyStore", RequestID: id})
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if failed != nil {
		return connectionError(failed), nil
	}
	return "", nil
}
