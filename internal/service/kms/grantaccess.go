package kms

import (
	"context"
	"maps"
	"strings"
	"sync"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/store"
)

// use is something that a caller wants to do with a key by a grant.
type use struct {
	operation api.GrantOperation
	// context is the encryption context; known is false where the operation does
	// not tell, and no constraint on it is met then.
	context map[string]string
	known   bool
	// sourceARN is the resource on whose behalf the request is made.
	sourceARN string
	// child is the grant that CreateGrant is to make.
	child *grantRecord
}

// allows reports whether the grant covers the use, whoever makes it.
func (g *grantRecord) allows(u *use) bool {
	if !g.includes(u.operation) {
		return false
	}
	if c := &g.Constraints; c.SourceARN != "" && c.SourceARN != u.sourceARN {
		return false
	}
	switch u.operation {
	case api.GrantOperationDescribeKey:
		return true
	case api.GrantOperationCreateGrant:
		// The child must be within this one grant, and as strict.
		if u.child == nil || !g.Constraints.contain(&u.child.Constraints) {
			return false
		}
		for _, o := range u.child.Operations {
			if !g.includes(o) {
				return false
			}
		}
		return true
	}
	return !g.Constraints.onContext() || u.known && g.Constraints.meets(u.context)
}

// grantsFor returns the grants by which the caller could have what it needs: for
// each of its names one that covers the use, since one says as much as many. A key
// without grants costs nothing here.
func (s *Service) grantsFor(ctx context.Context, call *authz.Call, n *need) ([]policy.Grant, error) {
	k := n.key.key
	if k == nil || k.Grants == 0 {
		return nil, nil
	}
	action := n.action
	if action == "" {
		action = call.Action
	}
	name, _ := strings.CutPrefix(action, "kms:")
	u := use{operation: api.GrantOperation(name), sourceARN: call.SourceARN, context: n.crypto.context, known: n.crypto.known}
	if c, ok := n.conditions.(*grantConditions); ok {
		u.child = c.grant
	}
	var covering []policy.Grant
	for _, name := range names(call) {
		g, err := s.findGrant(ctx, k, name, func(g *grantRecord) bool {
			return g.Grantee.Name == name && g.Grantee.is(&call.Principal) && g.of(&k.keyRecord) && g.allows(&u)
		})
		if err != nil {
			return nil, err
		}
		if g != nil {
			covering = append(covering, policy.Grant{ID: g.ID, Grantee: name})
		}
	}
	return covering, nil
}

const (
	// maxGrantList bounds the grants of one grantee on one key that are kept in
	// memory; beyond, each call reads the store until it finds one that fits.
	maxGrantList = 1000
	// maxCachedGrants bounds all that are kept.
	maxCachedGrants = 100_000
)

// findGrant returns a grant of k to that grantee which fits, nil if none does.
func (s *Service) findGrant(ctx context.Context, k *key, grantee string, fits func(*grantRecord) bool) (*grantRecord, error) {
	at := grantPlace{k.Region, k.ID, k.Version, grantee}
	if list, ok := s.grants.get(at); ok {
		return firstFit(list, fits), nil
	}
	var fit *grantRecord
	err := s.Store.View(ctx, func(r store.Reader) error {
		var list []grantRecord
		for after, more := "", true; more; {
			var items []store.Item[grantRecord]
			var err error
			items, more, err = grantRecords.ScanIndex(r, regionScope(k.Region), byGrantee, granteeValue(k.ID, grantee), after, maxGrantList)
			if err != nil {
				return err
			}
			list = list[:0]
			for _, item := range items {
				list = append(list, item.Value)
			}
			// Every change of a grant is one of its key, so that a list holds for
			// that version of the key. One that was read from an earlier state than
			// the key holds for this call at most.
			if after == "" && !more && r.Epoch() >= k.Version {
				s.grants.put(at, list)
			}
			if fit = firstFit(list, fits); fit != nil {
				return nil
			}
			after = lastID(items)
		}
		return nil
	})
	return fit, err
}

func firstFit(list []grantRecord, fits func(*grantRecord) bool) *grantRecord {
	for i := range list {
		if fits(&list[i]) {
			return &list[i]
		}
	}
	return nil
}

// grantCache keeps the grants of one grantee on one version of a key. Nothing is
// ever dropped because it changed: what changes has another version.
type grantCache struct {
	mu      sync.RWMutex
	entries map[grantPlace][]grantRecord
	held    int // grants in all entries, and one for each entry
}

type grantPlace struct {
	region, key string
	version     uint64
	grantee     string
}

func newGrantCache() *grantCache { return &grantCache{entries: map[grantPlace][]grantRecord{}} }

func (c *grantCache) get(at grantPlace) ([]grantRecord, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	list, ok := c.entries[at]
	return list, ok
}

// put keeps list, which nobody changes any more. Over the limit, entries of the
// map's choosing make room.
func (c *grantCache) put(at grantPlace, list []grantRecord) {
	at.region, at.key, at.grantee = strings.Clone(at.region), strings.Clone(at.key), strings.Clone(at.grantee)
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, kept := c.entries[at]; kept {
		return
	}
	for victim := range maps.Keys(c.entries) {
		if c.held+len(list)+1 <= maxCachedGrants {
			break
		}
		c.held -= len(c.entries[victim]) + 1
		delete(c.entries, victim)
	}
	c.entries[at] = list
	c.held += len(list) + 1
}
