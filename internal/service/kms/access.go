package kms

import (
	"context"
	"strconv"
	"strings"

	"github.com/strongroom/strongroom/internal/authz"
)

// need is one permission on a key.
type need struct {
	action string // "kms:Encrypt"; if empty, the call's own
	key    found
	// conditions are what the request says, for condition keys; may be nil.
	conditions conditions
	unnamed    string // see authz.Access
}

// conditions answers the condition keys that depend on the request. Keys are in
// lower case and without "kms:".
type conditions interface {
	condition(key string) ([]string, bool)
}

// may asks for a permission that a key's policy and grants decide on.
func (s *Service) may(ctx context.Context, call *authz.Call, n need) error {
	access := n.access(call)
	var err error
	if access.Grants, err = s.grantsFor(ctx, call, &n); err != nil {
		return err
	}
	return call.Authorize(ctx, access)
}

// could tells what may would answer by the policies alone, without asking for the
// permission.
func (s *Service) could(ctx context.Context, call *authz.Call, n need) (bool, error) {
	return call.Could(ctx, n.access(call))
}

func (n *need) access(call *authz.Call) authz.Access {
	return authz.Access{
		Action:          n.action,
		Resource:        n.key.ARN,
		ResourceAccount: n.key.Account,
		Policy:          n.key.policy,
		Context:         &keyContext{call: call, need: *n},
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
		Context:  &keyContext{call: call, need: need{conditions: c}},
	})
}

// keyContext answers the condition keys of kms: and those of aws: that depend on
// the key or the request (kms.md §4).
type keyContext struct {
	call *authz.Call
	need need
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
	if x.need.conditions != nil {
		return x.need.conditions.condition(name)
	}
	return nil, false
}

func (x *keyContext) ofKey(name string) ([]string, bool) {
	switch name {
	case "calleraccount":
		if x.need.key.key != nil {
			return []string{x.call.Principal.Account}, true
		}
		return nil, false
	case "viaservice":
		if n := len(x.call.Via); n > 0 && x.need.key.key != nil {
			return []string{x.call.Via[n-1]}, true
		}
		return nil, false
	case "requestalias":
		if x.need.key.alias != "" {
			return []string{x.need.key.alias}, true
		}
		return nil, false
	}
	if x.need.key.key == nil {
		return nil, false
	}
	k := x.need.key.key
	switch name {
	case "keyspec", "customermasterkeyspec":
		return []string{string(k.Spec)}, true
	case "keyusage", "customermasterkeyusage":
		return []string{string(k.Usage)}, true
	case "keyorigin":
		return []string{string(k.Origin)}, true
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
	if x.need.key.key == nil {
		return nil, false
	}
	var values []string
	for _, t := range x.need.key.Tags {
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
