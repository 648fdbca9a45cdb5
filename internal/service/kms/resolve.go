package kms

import (
	"context"
	"errors"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/store"
)

// found is a key and the way that the caller named it.
type found struct {
	*key
	alias string // the alias name that led to the key, or ""
}

// find resolves a KeyId. What a caller of the key's own account names and that is
// not there is a NotFoundException; of another account's key or alias a caller
// learns only what AccessDeniedException says of missing and closed ones alike.
func (s *Service) find(ctx context.Context, call *authz.Call, id string, forms naming) (found, error) {
	ref, refused := parseReference(call, id, forms)
	if refused != nil {
		return found{}, refused
	}
	keyID := ref.keyID
	if ref.alias != "" {
		alias, err := s.aliases.Get(ctx, scope(ref.account, ref.region), ref.alias)
		if errors.Is(err, store.ErrNotFound) {
			alias, err = s.bindOnUse(ctx, call, &ref)
		}
		if errors.Is(err, store.ErrNotFound) {
			if ref.account != call.Principal.Account {
				return found{}, call.DeniedUnseen(call.Action, "this resource")
			}
			return found{}, errNoAlias(aliasARN(call.Partition, ref.region, ref.account, ref.alias))
		}
		if err != nil {
			return found{}, err
		}
		keyID = alias.Target
	}
	k, err := s.keys.Get(ctx, scope(ref.account, ref.region), keyID)
	if errors.Is(err, store.ErrNotFound) {
		if ref.account != call.Principal.Account {
			return found{}, call.DeniedUnseen(call.Action, "this resource")
		}
		return found{}, errNoKey(keyARN(call.Partition, ref.region, ref.account, keyID))
	}
	if err != nil {
		return found{}, err
	}
	call.Audit.Resource(k.Account, keyResource, k.ARN)
	k, err = s.asItStands(ctx, k)
	return found{k, ref.alias}, err
}

func errNoKey(arn string) error { return api.NotFoundException("Key '" + arn + "' does not exist") }

// keyResource is the type of a key in audit records.
const keyResource = "AWS::KMS::Key"

func cachedAlias(_ store.Scope, item store.Item[aliasRecord]) (aliasRecord, error) {
	return item.Value, nil
}

func cachedOwner(_ store.Scope, item store.Item[ownerRecord]) (string, error) {
	return item.Value.Account, nil
}

// readKey reads a key from r, past the cache: what an effect is based on.
func readKey(r store.Reader, account, region, id string) (*key, error) {
	in := scope(account, region)
	item, err := keyRecords.GetItem(r, in, id)
	if err != nil {
		return nil, err
	}
	return cachedKey(in, item)
}

// unchanged re-reads inside a commit the key that a call was authorised on. A key
// that changed since is the caller's to ask for again, so that no effect rests on
// a policy or a state that no longer holds.
func unchanged(tx *store.Tx, k *key) (*key, error) {
	now, err := readKey(tx, k.Account, k.Region, k.ID)
	if errors.Is(err, store.ErrNotFound) {
		return nil, errNoKey(k.ARN)
	}
	if err != nil {
		return nil, err
	}
	if now.Version != k.Version {
		return nil, errChanged
	}
	return now, nil
}

// errChanged says that a key changed between a call's authorisation and its
// effect. The operation runs again from the start.
var errChanged = errors.New("kms: the key changed after the call was authorised")
