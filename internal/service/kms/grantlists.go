package kms

import (
	"context"
	"strings"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/store"
)

// ListGrants lists the grants on a key, or those of them with an id or a grantee.
func (s *Service) ListGrants(ctx context.Context, call *authz.Call, in *api.ListGrantsInput) (*api.ListGrantsOutput, error) {
	k, err := s.find(ctx, call, in.KeyId, keysOnly)
	if err != nil {
		return nil, err
	}
	if err := s.may(ctx, call, need{key: k, conditions: forResource(call)}); err != nil {
		return nil, err
	}
	grantee, err := s.granteeFilter(ctx, call, in)
	if err != nil {
		return nil, err
	}
	page, err := s.page(call, in.Limit, in.Marker, 50, 100)
	if err != nil {
		return nil, err
	}
	first := grantID(k.ID, "")
	if page.after == "" {
		page.after = first
	} else if !strings.HasPrefix(page.after, first) {
		return nil, api.InvalidMarkerException("") // of another key's list
	}
	var items []store.Item[grantRecord]
	var more bool
	err = s.Store.View(ctx, func(r store.Reader) error {
		var err error
		switch {
		case in.GrantId != "":
			items, err = oneGrant(r, k.key, in.GrantId)
		case grantee != "":
			items, more, err = grantRecords.ScanIndex(r, regionScope(k.Region), byGrantee, granteeValue(k.ID, grantee), page.after, page.limit)
		default:
			items, more, err = scanGrants(r, k.key, page.after, page.limit)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	out := &api.ListGrantsOutput{}
	out.Truncated, out.NextMarker = page.next(more, lastID(items))
	out.Grants, err = s.entries(ctx, call, items, func(g *grantRecord) bool {
		return g.of(&k.keyRecord) && (grantee == "" || g.Grantee.Name == grantee)
	})
	return out, err
}

// scanGrants reads up to limit grants of k, behind the one with the id after, and
// whether there are more. Those of other keys come next to them.
func scanGrants(r store.Reader, k *key, after string, limit int) (items []store.Item[grantRecord], more bool, err error) {
	items, _, err = grantRecords.Scan(r, regionScope(k.Region), after, limit+1)
	for i := range items {
		if items[i].Value.Key != k.ID {
			items = items[:i]
			break
		}
	}
	more = len(items) > limit
	return items[:min(len(items), limit)], more, err
}

// granteeFilter returns the name that the listed grants are to be for, "" for any.
func (s *Service) granteeFilter(ctx context.Context, call *authz.Call, in *api.ListGrantsInput) (string, error) {
	switch {
	case in.GrantId != "" && !isGrantID(in.GrantId):
		return "", errGrantID
	case in.GranteeServicePrincipal != "":
		if in.GranteePrincipal != "" {
			return "", awserr.Validation("You can specify either GranteePrincipal or GranteeServicePrincipal, but not both.")
		}
		if call.Principal.Type != policy.Service {
			return "", awserr.Validation("GranteeServicePrincipal can be used by AWS services only.")
		}
		return in.GranteeServicePrincipal, nil
	case in.GranteePrincipal == "":
		return "", nil
	}
	_, exists, err := s.principal(ctx, call, in.GranteePrincipal)
	if err == nil && !exists {
		err = api.InvalidArnException("Input does not refer to a valid principal")
	}
	return in.GranteePrincipal, err
}

// ListRetirableGrants lists the grants of a region, on keys of whatever account,
// that a principal of the caller's account is the retiring principal of.
func (s *Service) ListRetirableGrants(ctx context.Context, call *authz.Call, in *api.ListRetirableGrantsInput) (*api.ListRetirableGrantsOutput, error) {
	if err := s.mayInAccount(ctx, call, "", "*", nil); err != nil {
		return nil, err
	}
	retiring, err := s.retiringFilter(ctx, call, in)
	if err != nil {
		return nil, err
	}
	page, err := s.page(call, in.Limit, in.Marker, 50, 100)
	if err != nil {
		return nil, err
	}
	out := &api.ListRetirableGrantsOutput{}
	var live []store.Item[grantRecord]
	err = s.Store.View(ctx, func(r store.Reader) error {
		items, more, err := grantRecords.ScanIndex(r, regionScope(call.Region), byRetiring, digest(retiring.Name), page.after, page.limit)
		if err != nil {
			return err
		}
		out.Truncated, out.NextMarker = page.next(more, lastID(items))
		for _, item := range items {
			// Grants of a key that is gone are still being removed.
			held, err := holds(r, call.Region, &item.Value)
			if err != nil {
				return err
			}
			if held {
				live = append(live, item)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out.Grants, err = s.entries(ctx, call, live, func(g *grantRecord) bool {
		p := &g.Retiring
		return p.Name == retiring.Name && p.Service == retiring.Service && (p.UniqueID == "" || p.UniqueID == retiring.UniqueID)
	})
	return out, err
}

// retiringFilter returns whom the listed grants are to name.
func (s *Service) retiringFilter(ctx context.Context, call *authz.Call, in *api.ListRetirableGrantsInput) (p grantPrincipal, err error) {
	if (in.RetiringPrincipal == "") == (in.RetiringServicePrincipal == "") {
		return p, awserr.Validation("You must specify either RetiringPrincipal or RetiringServicePrincipal, but not both.")
	}
	if in.RetiringServicePrincipal != "" {
		if call.Principal.Type != policy.Service {
			return p, awserr.Validation("RetiringServicePrincipal can be used by AWS services only.")
		}
		return grantPrincipal{Name: in.RetiringServicePrincipal, Service: true}, nil
	}
	name := in.RetiringPrincipal
	if !strings.HasPrefix(name, "arn:") || strings.Count(name, ":") < 5 {
		return p, api.InvalidArnException("ARN is not valid: " + name)
	}
	ref, exists, err := s.principal(ctx, call, name)
	if err != nil {
		return p, err
	}
	if !exists || ref.Account != call.Principal.Account {
		return p, api.NotFoundException("Retiring principal " + name + " could not be found")
	}
	id, err := s.uniqueID(ctx, ref)
	return grantPrincipal{Name: name, UniqueID: id}, err
}

// entries are grants as lists show them, without those that do not belong.
func (s *Service) entries(ctx context.Context, call *authz.Call, items []store.Item[grantRecord], belongs func(*grantRecord) bool) ([]api.GrantListEntry, error) {
	list := []api.GrantListEntry{}
	for i := range items {
		g := &items[i].Value
		if !belongs(g) {
			continue
		}
		e := api.GrantListEntry{
			KeyId:          keyARN(call.Partition, call.Region, g.Account, g.Key),
			GrantId:        g.ID,
			Name:           &g.Name,
			CreationDate:   &g.Created,
			IssuingAccount: rootARN(call.Partition, g.Issuer),
			Operations:     g.Operations,
			Constraints:    g.Constraints.listed(),
		}
		grantee, err := s.shown(ctx, &g.Grantee)
		if err != nil {
			return nil, err
		}
		retiring, err := s.shown(ctx, &g.Retiring)
		if err != nil {
			return nil, err
		}
		if g.Grantee.Service {
			e.GranteeServicePrincipal = grantee
		} else {
			e.GranteePrincipal = grantee
		}
		if g.Retiring.Service {
			e.RetiringServicePrincipal = retiring
		} else {
			e.RetiringPrincipal = retiring
		}
		list = append(list, e)
	}
	return list, nil
}
