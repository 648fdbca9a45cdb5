package kms

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"time"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/store"
)

// CreateGrant lets a principal use a key in some ways. A request that has a Name
// and that asks for what a grant of that name gives already makes no other one.
func (s *Service) CreateGrant(ctx context.Context, call *authz.Call, in *api.CreateGrantInput) (*api.CreateGrantOutput, error) {
	made, err := s.newGrantIDs()
	if err != nil {
		return nil, err
	}
	return again(call, func() (*api.CreateGrantOutput, error) {
		k, err := s.findFor(ctx, call, in.KeyId, keysOnly, in.GrantTokens)
		if err != nil {
			return nil, err
		}
		grant := newGrant(call, k.key, made.id, in)
		if err := s.may(ctx, call, need{key: k, conditions: &grantConditions{call: call, grant: grant}}); err != nil {
			return nil, err
		}
		if err := s.checkGrant(ctx, call, k.key, grant, in); err != nil {
			return nil, err
		}
		if refused := k.admits(granting); refused != nil {
			return nil, refused
		}
		return authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (*api.CreateGrantOutput, error) {
			now, err := unchanged(tx, k.key)
			if err != nil {
				return nil, err
			}
			id, epoch, err := putGrant(tx, now, grant, s.Limits.grants(k.Account), in.DryRun)
			if err != nil {
				return nil, err
			}
			token, err := grantToken{key: k.ID, grant: id, epoch: epoch}.seal(s.GrantTokenKey, k.Region, made.nonce)
			if err != nil {
				return nil, err
			}
			call.Audit.SetResponse("keyId", k.ARN)
			return &api.CreateGrantOutput{GrantId: id, GrantToken: token}, nil
		})
	})
}

// grantIDs is what chance gives a grant and its token.
type grantIDs struct {
	id    string
	nonce [tokenNonce]byte
}

func (s *Service) newGrantIDs() (made grantIDs, err error) {
	var id [32]byte
	if _, err = io.ReadFull(s.Rand, id[:]); err == nil {
		_, err = io.ReadFull(s.Rand, made.nonce[:])
	}
	made.id = hex.EncodeToString(id[:])
	return made, err
}

// newGrant is the grant that a request asks for, before it is checked.
func newGrant(call *authz.Call, k *key, id string, in *api.CreateGrantInput) *grantRecord {
	g := &grantRecord{
		ID:      id,
		Account: k.Account, Key: k.ID, KeyCreated: k.Created,
		Name:        in.Name,
		Created:     call.Time.Truncate(time.Second),
		Issuer:      call.Principal.Account,
		Grantee:     grantPrincipal{Name: in.GranteePrincipal},
		Retiring:    grantPrincipal{Name: in.RetiringPrincipal},
		Operations:  each(in.Operations),
		Constraints: newConstraints(in.Constraints),
	}
	if in.GranteeServicePrincipal != "" {
		g.Grantee = grantPrincipal{Name: in.GranteeServicePrincipal, Service: true}
	}
	if in.RetiringServicePrincipal != "" {
		g.Retiring = grantPrincipal{Name: in.RetiringServicePrincipal, Service: true}
	}
	return g
}

// checkGrant refuses what the model lets through and AWS does not, and completes
// the principals.
func (s *Service) checkGrant(ctx context.Context, call *authz.Call, k *key, g *grantRecord, in *api.CreateGrantInput) error {
	switch {
	case (in.GranteePrincipal == "") == (in.GranteeServicePrincipal == ""):
		return awserr.Validation("You must specify either GranteePrincipal or GranteeServicePrincipal, but not both.")
	case in.RetiringPrincipal != "" && in.RetiringServicePrincipal != "":
		return awserr.Validation("You can specify either RetiringPrincipal or RetiringServicePrincipal, but not both.")
	case g.Grantee.Service && g.Constraints.SourceARN == "":
		return awserr.Validation("A grant with a GranteeServicePrincipal must have a SourceArn constraint.")
	case g.Grantee.Service && g.Retiring.Name == "":
		return awserr.Validation("A grant with a GranteeServicePrincipal must have a RetiringPrincipal or a RetiringServicePrincipal.")
	}
	if err := k.checkGrantOperations(g.Operations); err != nil {
		return err
	}
	if err := k.checkConstraints(&g.Constraints); err != nil {
		return err
	}
	var err error
	if !g.Grantee.Service {
		g.Grantee, err = s.namePrincipal(ctx, call, "GranteePrincipal", g.Grantee.Name)
	}
	if err == nil && g.Retiring.Name != "" && !g.Retiring.Service {
		g.Retiring, err = s.namePrincipal(ctx, call, "RetiringPrincipal", g.Retiring.Name)
	}
	return err
}

// putGrant writes the grant, or finds the one that an earlier request of the same
// name and content made. It returns the grant's id and the epoch from which it
// holds. limit is how many grants the key may have.
func putGrant(tx *store.Tx, k *key, g *grantRecord, limit int64, dry *bool) (id string, epoch uint64, err error) {
	if g.Name != "" {
		twins, _, err := grantRecords.ScanIndex(tx, regionScope(k.Region), byTwin, g.twin(), "", 1)
		if err != nil {
			return "", 0, err
		}
		if len(twins) > 0 {
			return twins[0].Value.ID, twins[0].Version, dryRun(dry)
		}
	}
	if limit != unlimited && int64(k.Grants) >= limit {
		return "", 0, api.LimitExceededException(fmt.Sprintf("The quota of %d grants for a KMS key is used up.", limit))
	}
	if err := dryRun(dry); err != nil {
		return "", 0, err
	}
	if err := grantRecords.Put(tx, regionScope(k.Region), g.id(), *g); err != nil {
		return "", 0, err
	}
	// The transaction makes the state behind the one that it began in.
	return g.ID, tx.Epoch() + 1, countGrants(tx, k, +1)
}

// countGrants changes the key with its grants: whatever was decided upon the key
// before is decided again.
func countGrants(tx *store.Tx, k *key, change int) error {
	record := k.keyRecord
	record.Grants += change
	return keyRecords.Put(tx, scope(k.Account, k.Region), k.ID, record)
}

// grantConditions answers the condition keys of CreateGrant. The context of the
// constraints stands for that of the requests to come.
type grantConditions struct {
	call  *authz.Call
	grant *grantRecord
}

func (c *grantConditions) condition(key string) ([]string, bool) {
	g := c.grant
	switch key {
	case "grantisforawsresource":
		return forResource(c.call).condition(key)
	case "grantconstrainttype":
		var types []string
		if g.Constraints.Equals != nil {
			types = append(types, "EncryptionContextEquals")
		}
		if g.Constraints.Subset != nil {
			types = append(types, "EncryptionContextSubset")
		}
		if g.Constraints.SourceARN != "" {
			types = append(types, "SourceArn")
		}
		return types, len(types) > 0
	case "grantconstraintsourcearn":
		return present(g.Constraints.SourceARN)
	case "grantoperations":
		operations := make([]string, len(g.Operations))
		for i, o := range g.Operations {
			operations[i] = string(o)
		}
		return operations, len(operations) > 0
	case "granteeprincipal":
		return principalIf(&g.Grantee, false)
	case "granteeserviceprincipal":
		return principalIf(&g.Grantee, true)
	case "retiringprincipal":
		return principalIf(&g.Retiring, false)
	case "retiringserviceprincipal":
		return principalIf(&g.Retiring, true)
	}
	equals, ok := (&cryptoConditions{context: g.Constraints.Equals}).condition(key)
	subset, also := (&cryptoConditions{context: g.Constraints.Subset}).condition(key)
	return append(equals, subset...), ok || also
}

func principalIf(p *grantPrincipal, service bool) ([]string, bool) {
	if p.Service != service {
		return nil, false
	}
	return present(p.Name)
}

func present(value string) ([]string, bool) {
	if value == "" {
		return nil, false
	}
	return []string{value}, true
}

// forResource answers kms:GrantIsForAWSResource: whether a service makes the call
// for its caller.
func forResource(call *authz.Call) conditionMap {
	return conditionMap{"grantisforawsresource": {boolText(len(call.Via) > 0)}}
}
