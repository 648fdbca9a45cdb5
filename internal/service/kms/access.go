package kms

import (
	"context"
	"strconv"
	"strings"
	"sync"

	"github.com/strongroom/strongroom/internal/authz"
)

// need is one permission on a key.
type need struct {
	action string // "kms:Encrypt"; if empty, the call's own
	key    found
	// conditions are what the request says, for condition keys; may be nil.
	conditions conditions
	// crypto stands in for conditions in cryptographic operations: by value, so that
	// nothing is allocated. One of the two is set at most.
	crypto  cryptoConditions
	unnamed string // see authz.Access
}

// conditions answers the condition keys that depend on the request. Keys are in
// lower case and without "kms:".
type conditions interface {
	condition(key string) ([]string, bool)
}

// may asks for a permission that a key's policy and grants decide on.
func (s *Service) may(ctx context.Context, call *authz.Call, n need) error {
	known := contexts.Get().(*keyContext)
	defer known.release()
	*known = s.knownOf(ctx, call, &n)
	access := n.access(known)
	var err error
	if access.Grants, err = s.grantsFor(ctx, call, &n); err != nil {
		return err
	}
	return known.settled(call.Authorize(ctx, access))
}

// could tells what may would answer by the policies alone, without asking for the
// permission.
func (s *Service) could(ctx context.Context, call *authz.Call, n need) (bool, error) {
	known := s.knownOf(ctx, call, &n)
	allowed, err := call.Could(ctx, n.access(&known))
	err = known.settled(err)
	return err == nil && allowed, err
}

func (s *Service) knownOf(ctx context.Context, call *authz.Call, n *need) keyContext {
	return keyContext{service: s, ctx: ctx, call: call, key: n.key, conditions: n.conditions, crypto: n.crypto}
}

// contexts are used again: a decision keeps nothing of what it was told.
var contexts = sync.Pool{New: func() any { return new(keyContext) }}

func (x *keyContext) release() {
	*x = keyContext{}
	contexts.Put(x)
}

func (n *need) access(known *keyContext) authz.Access {
	return authz.Access{
		Action:          n.action,
		Resource:        n.key.ARN,
		ResourceAccount: n.key.Account,
		Policy:          n.key.policy,
		Context:         known,
		Unnamed:         n.unnamed,
	}
}

// mayOwn is may for the operations that only a key's own account can do: another
// account is refused as if the key did not exist, whatever its policy says.
func (s *Service) mayOwn(ctx context.Context, call *authz.Call, n need) error {
	if n.key.Account != call.Principal.Account {
		return call.DeniedUnseen(call.Action, "this resource")
	}
	return s.may(ctx, call, n)
}

// mayInAccount asks for a permission that identity policies alone decide on:
// resource is "*" or an alias ARN.
func (s *Service) mayInAccount(ctx context.Context, call *authz.Call, action, resource string, c conditions) error {
	return call.Authorize(ctx, authz.Access{
		Action:   action,
		Resource: resource,
		Context:  &keyContext{call: call, conditions: c},
	})
}

// keyContext answers the condition keys of kms: and those of aws: that depend on
// the key or the request (kms.md §4).
type keyContext struct {
	service *Service
	ctx     context.Context
	call    *authz.Call
	// key is the zero value where a permission is on no key.
	key        found
	conditions conditions
	crypto     cryptoConditions
	// failed is why a key could not be answered; see settled.
	failed error
}

// settled returns the outcome of a decision, unless the decision counts for nothing
// because a key could not be answered.
func (x *keyContext) settled(outcome error) error {
	if x.failed != nil {
		return x.failed
	}
	return outcome
}

func (x *keyContext) Values(name string) ([]string, bool) {
	if tagged, ok := strings.CutPrefix(name, "aws:resourcetag/"); ok {
		return x.resourceTag(tagged)
	}
	if rest, ok := strings.CutPrefix(name, "kms:"); ok {
		if values, ok := x.ofKey(rest); ok {
			return values, true
		}
		name = rest
	}
	if x.conditions != nil {
		return x.conditions.condition(name)
	}
	return x.crypto.condition(name)
}

func (x *keyContext) ofKey(name string) ([]string, bool) {
	switch name {
	case "calleraccount":
		if x.key.key != nil {
			return []string{x.call.Principal.Account}, true
		}
		return nil, false
	case "viaservice":
		if n := len(x.call.Via); n > 0 && x.key.key != nil {
			return []string{x.call.Via[n-1]}, true
		}
		return nil, false
	case "requestalias":
		if x.key.alias != "" {
			return []string{x.key.alias}, true
		}
		return nil, false
	}
	if x.key.key == nil {
		return nil, false
	}
	k := x.key.key
	switch name {
	case "keyspec", "customermasterkeyspec":
		return []string{string(k.Spec)}, true
	case "keyusage", "customermasterkeyusage":
		return []string{string(k.Usage)}, true
	case "keyorigin":
		return []string{string(k.Origin)}, true
	case "resourcealiases":
		names, err := x.service.aliasNames(x.ctx, k)
		if err != nil {
			x.failed = err
		}
		return names, len(names) > 0
	case "multiregion":
		return []string{strconv.FormatBool(k.MultiRegion != nil)}, true
	case "multiregionkeytype":
		if k.MultiRegion != nil {
			return []string{string(k.multiRegionType())}, true
		}
	}
	return nil, false
}

// resourceTag compares tag keys without regard to case, as condition keys are.
func (x *keyContext) resourceTag(name string) ([]string, bool) {
	if x.key.key == nil {
		return nil, false
	}
	var values []string
	for _, t := range x.key.Tags {
		if strings.ToLower(t.Key) == name {
			values = append(values, t.Value)
		}
	}
	return values, len(values) > 0
}

// conditionMap is conditions from ready values.
type conditionMap map[string][]string

func (m conditionMap) condition(key string) ([]string, bool) {
	v, ok := m[key]
	return v, ok
}
