package kms

import (
	"context"
	"errors"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/store"
)

// RevokeGrant ends a grant, for whoever the key's policy lets do so. When it has
// answered, no call is allowed by the grant any more.
func (s *Service) RevokeGrant(ctx context.Context, call *authz.Call, in *api.RevokeGrantInput) (*api.RevokeGrantOutput, error) {
	return again(call, func() (*api.RevokeGrantOutput, error) {
		k, err := s.find(ctx, call, in.KeyId, keysOnly)
		if err != nil {
			return nil, err
		}
		if err := s.may(ctx, call, need{key: k, conditions: forResource(call)}); err != nil {
			return nil, err
		}
		if !isGrantID(in.GrantId) {
			return nil, errGrantID
		}
		return authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (*api.RevokeGrantOutput, error) {
			call.Audit.SetResponse("keyId", k.ARN)
			return &api.RevokeGrantOutput{}, endGrant(tx, k.key, in.GrantId, in.DryRun)
		})
	})
}

// RetireGrant ends a grant, for those whom the grant itself names and for the
// account that it was made from. The key's policy has no say.
func (s *Service) RetireGrant(ctx context.Context, call *authz.Call, in *api.RetireGrantInput) (*api.RetireGrantOutput, error) {
	return again(call, func() (*api.RetireGrantOutput, error) {
		k, g, err := s.grantToRetire(ctx, call, in)
		if err != nil {
			return nil, err
		}
		if err := s.mayRetire(ctx, call, k, g); err != nil {
			return nil, err
		}
		return authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (*api.RetireGrantOutput, error) {
			call.Audit.SetAdditional("grantId", g.ID)
			return &api.RetireGrantOutput{}, endGrant(tx, k.key, g.ID, in.DryRun)
		})
	})
}

// grantToRetire finds the grant by its token, or by its id and its key's.
func (s *Service) grantToRetire(ctx context.Context, call *authz.Call, in *api.RetireGrantInput) (k found, g *grantRecord, err error) {
	id := in.GrantId
	switch byToken := in.GrantToken != ""; {
	case byToken == (in.KeyId != "" || in.GrantId != ""), !byToken && (in.KeyId == "" || in.GrantId == ""):
		return k, nil, awserr.Validation("You must specify either GrantToken, or both KeyId and GrantId.")
	case byToken:
		t, ok := parseGrantToken(s.GrantTokenKey, call.Region, in.GrantToken)
		if !ok {
			return k, nil, api.InvalidGrantTokenException("")
		}
		id = t.grant
		k, err = s.keyByID(ctx, call, t.key)
	case !isGrantID(id):
		return k, nil, errGrantID
	default:
		k, err = s.find(ctx, call, in.KeyId, keysOnly)
	}
	if err != nil {
		return k, nil, err
	}
	err = s.Store.View(ctx, func(r store.Reader) error {
		items, err := oneGrant(r, k.key, id)
		if len(items) > 0 {
			g = &items[0].Value
		}
		return err
	})
	if err == nil && g == nil {
		err = errNoGrant(id)
		if k.Account != call.Principal.Account {
			err = call.DeniedUnseen(call.Action, "this resource")
		}
	}
	return k, g, err
}

// keyByID finds a key of the region by its id alone.
func (s *Service) keyByID(ctx context.Context, call *authz.Call, id string) (k found, err error) {
	account, err := s.owners.Get(ctx, regionScope(call.Region), id)
	if err == nil {
		k.key, err = s.keys.Get(ctx, scope(account, call.Region), id)
	}
	if errors.Is(err, store.ErrNotFound) {
		return k, call.DeniedUnseen(call.Action, "this resource")
	}
	if err == nil {
		call.Audit.Resource(k.Account, keyResource, k.ARN)
	}
	return k, err
}

// mayRetire asks whether the caller may retire the grant: as its retiring
// principal, as its grantee if the grant includes RetireGrant, or for the account
// that issued it. Where the grant names the caller's account, identity policies
// decide; a Deny of kms:RetireGrant in them always wins.
func (s *Service) mayRetire(ctx context.Context, call *authz.Call, k found, g *grantRecord) error {
	grants := []policy.Grant{{ID: g.ID, Grantee: rootARN(call.Partition, g.Issuer)}}
	if g.Retiring.is(&call.Principal) {
		grants = append(grants, policy.Grant{ID: g.ID, Grantee: g.Retiring.Name})
	}
	if g.includes(api.GrantOperationRetireGrant) && g.Grantee.is(&call.Principal) {
		grants = append(grants, policy.Grant{ID: g.ID, Grantee: g.Grantee.Name})
	}
	n := need{key: k}
	known := s.knownOf(ctx, call, &n)
	access := n.access(&known)
	// A policy without a document admits nobody: the grants alone do.
	access.Policy = &policy.Source{Name: "grant " + g.ID}
	access.Grants, access.GrantsSuffice = grants, true
	return known.settled(call.Authorize(ctx, access))
}

// endGrant deletes a grant of the key that the call was authorised upon.
func endGrant(tx *store.Tx, k *key, id string, dry *bool) error {
	now, err := unchanged(tx, k)
	if err != nil {
		return err
	}
	items, err := oneGrant(tx, now, id)
	if err != nil {
		return err
	}
	if len(items) == 0 {
		return errNoGrant(id)
	}
	if err := dryRun(dry); err != nil {
		return err
	}
	if err := grantRecords.Delete(tx, regionScope(k.Region), items[0].ID); err != nil {
		return err
	}
	return countGrants(tx, now, -1)
}

// oneGrant reads the grant of k with that id, as a list of one or none.
func oneGrant(r store.Reader, k *key, id string) ([]store.Item[grantRecord], error) {
	item, err := grantRecords.GetItem(r, regionScope(k.Region), grantID(k.ID, id))
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && !item.Value.of(&k.keyRecord):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return []store.Item[grantRecord]{item}, nil
}

// isGrantID reports whether s is 64 lower-case hex digits.
func isGrantID(s string) bool {
	for i := range len(s) {
		if c := s[i]; !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
			return false
		}
	}
	return len(s) == 64
}

var errGrantID = api.InvalidGrantIdException("A grant ID has 64 hexadecimal digits.")

func errNoGrant(id string) error {
	return api.NotFoundException("Grant ID " + id + " not found.")
}

// grantBatch is how many grants one commit removes: each is a record and up to
// three index entries, and a commit writes 10,000 of both.
const grantBatch = 1000

// orphanGrants leaves the grants of a key that is being deleted to the worker.
// They have no effect any more, not even on a key that is made under the same id:
// each knows when its key was made.
func orphanGrants(tx *store.Tx, k *key) error {
	if k.Grants == 0 {
		return nil
	}
	at := k.Created
	if k.DeletionDate != nil {
		at = *k.DeletionDate
	}
	due := dueRecord{At: at, Account: k.Account, Key: k.ID, Task: deleteGrants}
	return dueRecords.Put(tx, regionScope(k.Region), due.id(), due)
}

// removeGrants deletes the grants on a key that is gone.
func (s *Service) removeGrants(ctx context.Context, region string, due dueRecord) error {
	after := grantID(due.Key, "")
	for more := true; more; {
		next := after
		err := s.Store.Update(ctx, func(tx *store.Tx) error {
			items, rest, err := grantRecords.Scan(tx, regionScope(region), after, grantBatch)
			if err != nil {
				return err
			}
			next, more = lastID(items), rest
			for i := range items {
				g := &items[i].Value
				if g.Key != due.Key {
					more = false
					break
				}
				held, err := holds(tx, region, g)
				if err == nil && !held {
					err = grantRecords.Delete(tx, regionScope(region), items[i].ID)
				}
				if err != nil {
					return err
				}
			}
			if more {
				return nil
			}
			err = dueRecords.Delete(tx, regionScope(region), due.id())
			if errors.Is(err, store.ErrNotFound) {
				err = nil
			}
			return err
		})
		if err != nil {
			return err
		}
		after = next
	}
	return nil
}

// holds reports whether the key that the grant was made on is there.
func holds(r store.Reader, region string, g *grantRecord) (bool, error) {
	record, err := keyRecords.Get(r, scope(g.Account, region), g.Key)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil && g.of(&record), err
}
