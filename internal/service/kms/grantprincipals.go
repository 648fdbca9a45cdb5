package kms

import (
	"context"
	"strings"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/policy"
)

// Identities tells apart the principals that bore one name, one after the other.
type Identities interface {
	// UniqueID returns the unique id of the user or role that p names, such as
	// AROA…; of a role session, its role's. It is empty for accounts and
	// federated users, which have none, and for principals that do not exist.
	UniqueID(ctx context.Context, p policy.PrincipalRef) (string, error)
	// PrincipalARN returns the ARN that the user or role of account with that
	// unique id has now; for AROA…:NAME, that of the role session. It is empty when
	// there is none any more.
	PrincipalARN(ctx context.Context, account, id string) (string, error)
}

// uniqueID is empty where there is none, and for all if nobody keeps them.
func (s *Service) uniqueID(ctx context.Context, p policy.PrincipalRef) (string, error) {
	if s.Identities == nil {
		return "", nil
	}
	return s.Identities.UniqueID(ctx, p)
}

// namePrincipal returns the principal that a request names in member, or AWS's
// InvalidArnException.
func (s *Service) namePrincipal(ctx context.Context, call *authz.Call, member, name string) (grantPrincipal, error) {
	var none grantPrincipal
	if !strings.HasPrefix(name, "arn:") {
		if strings.Contains(name, ".") {
			// A service's name: only services name each other so.
			return none, api.InvalidArnException(member + " does not refer to a valid principal.")
		}
		return none, api.InvalidArnException("ARN is not valid: " + name)
	}
	if strings.Count(name, ":") < 5 {
		return none, api.InvalidArnException("ARN is not valid: " + name)
	}
	ref, exists, err := s.principal(ctx, call, name)
	if err != nil {
		return none, err
	}
	if !exists {
		return none, api.InvalidArnException("ARN does not refer to a valid principal: " + name)
	}
	id, err := s.uniqueID(ctx, ref)
	return grantPrincipal{Name: name, UniqueID: id}, err
}

// principal finds the account, user, role, session or federated user behind an
// ARN.
func (s *Service) principal(ctx context.Context, call *authz.Call, name string) (ref policy.PrincipalRef, exists bool, err error) {
	ref, ok := policy.ParsePrincipal(name)
	if !ok || !strings.HasPrefix(name, "arn:"+call.Partition+":") {
		return ref, false, nil
	}
	exists, err = s.Principals.Exists(ctx, ref)
	return ref, exists, err
}

// is reports whether p is the principal that was named: not merely one of the
// same name, made after the named one was deleted.
func (g *grantPrincipal) is(p *authz.Principal) bool {
	if g.Service != (p.Type == policy.Service) {
		return false
	}
	if g.UniqueID == "" {
		return true
	}
	id, _, _ := strings.Cut(p.ID, ":")
	return g.UniqueID == id
}

// shown is how lists show the principal: one that is gone, by its unique id.
func (s *Service) shown(ctx context.Context, g *grantPrincipal) (string, error) {
	if g.UniqueID == "" || s.Identities == nil {
		return g.Name, nil
	}
	ref, _ := policy.ParsePrincipal(g.Name)
	id, err := s.Identities.UniqueID(ctx, ref)
	if err != nil || id == g.UniqueID {
		return g.Name, err
	}
	return g.UniqueID, nil
}

// names are those under which a grant can admit p: its own, its role's and its
// account's.
func names(call *authz.Call) []string {
	p := &call.Principal
	if p.Type == policy.Service {
		return []string{p.Service}
	}
	if p.Account == "" {
		return nil
	}
	all := make([]string, 0, 3)
	if p.Type != policy.Root {
		all = append(all, p.ARN)
	}
	if p.Type == policy.AssumedRole {
		all = append(all, p.RoleARN)
	}
	return append(all, rootARN(call.Partition, p.Account))
}

func rootARN(partition, account string) string {
	return "arn:" + partition + ":iam::" + account + ":root"
}
