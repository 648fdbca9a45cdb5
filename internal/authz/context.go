package authz

import (
	"strconv"
	"strings"
	"time"

	"github.com/strongroom/strongroom/internal/policy"
)

// callContext answers the global condition keys from a call and leaves the rest
// to the service.
//
// Keys come in lower case. A key that it does not know is absent, which is what
// AWS has for a key that is not in the request context.
type callContext struct {
	call            *Call
	resourceAccount string
	service         policy.Context
}

func (x *callContext) Values(key string) ([]string, bool) {
	name, global := strings.CutPrefix(key, "aws:")
	if !global {
		return x.fromService(key)
	}
	c := x.call
	switch name {
	case "principalarn":
		// Of a role session it is the role's ARN, not the session's.
		if c.Principal.RoleARN != "" {
			return one(c.Principal.RoleARN)
		}
		return one(c.Principal.ARN)
	case "principalaccount":
		return one(c.Principal.Account)
	case "principaltype":
		return one(principalTypes[c.Principal.Type])
	case "principalisawsservice":
		return one(strconv.FormatBool(c.Principal.Type == policy.Service))
	case "principalservicename":
		return one(c.Principal.Service)
	case "userid", "username":
		if c.Principal.Type == policy.WebIdentity {
			return nil, false // it has neither before it has a session
		}
		if name == "userid" {
			return one(c.Principal.ID)
		}
		return one(c.Principal.UserName)
	case "federatedprovider":
		if c.Principal.Session != nil {
			return one(c.Principal.Session.Provider)
		}
		return one(c.Principal.Provider)
	case "requestedregion":
		return one(c.Region)
	case "resourceaccount":
		return one(x.resourceAccount)
	case "sourceip":
		if len(c.Via) > 0 || !c.SourceIP.IsValid() {
			return nil, false
		}
		return one(c.SourceIP.String())
	case "sourcearn":
		return one(c.SourceARN)
	case "sourceaccount":
		if c.SourceARN == "" {
			return nil, false
		}
		return one(c.Principal.Account)
	case "securetransport":
		return one(strconv.FormatBool(c.TLS != nil))
	case "currenttime":
		return one(c.Time.UTC().Format(time.RFC3339))
	case "epochtime":
		return one(strconv.FormatInt(c.Time.Unix(), 10))
	case "useragent":
		return one(c.UserAgent)
	case "viaawsservice":
		return one(strconv.FormatBool(len(c.Via) > 0))
	case "calledvia":
		return calledVia(c.Via), len(c.Via) > 0
	case "calledviafirst":
		if len(c.Via) > 0 {
			return one(calledVia(c.Via[:1])[0])
		}
		return nil, false
	case "calledvialast":
		if len(c.Via) > 0 {
			return one(calledVia(c.Via[len(c.Via)-1:])[0])
		}
		return nil, false
	}
	if tag, ok := strings.CutPrefix(name, "principaltag/"); ok {
		if value, tagged := c.Principal.Tags[tag]; tagged {
			return []string{value}, true // "" is a tag's value too
		}
		return nil, false
	}
	mfa := c.Principal.MFA
	switch {
	case name == "multifactorauthpresent" && (c.Principal.Session != nil || !mfa.IsZero()):
		return one(strconv.FormatBool(!mfa.IsZero()))
	case name == "multifactorauthage" && !mfa.IsZero():
		return one(strconv.FormatInt(int64(c.Time.Sub(mfa)/time.Second), 10))
	}
	if s := c.Principal.Session; s != nil {
		switch name {
		case "tokenissuetime":
			return one(s.Issued.UTC().Format(time.RFC3339))
		case "sourceidentity":
			return one(s.SourceIdentity)
		}
	}
	return x.fromService(key)
}

func (x *callContext) fromService(key string) ([]string, bool) {
	if x.service != nil {
		if values, ok := x.service.Values(key); ok {
			return values, true
		}
	}
	if s := x.call.Principal.Session; s != nil {
		values, claimed := s.Claims[key]
		return values, claimed
	}
	return nil, false
}

// calledVia returns the service principals of a chain of services: aws:CalledVia
// names no region ("secretsmanager.amazonaws.com"), unlike kms:ViaService.
func calledVia(hosts []string) []string {
	principals := make([]string, len(hosts))
	for i, host := range hosts {
		service, _, _ := strings.Cut(host, ".")
		principals[i] = service + ".amazonaws.com"
	}
	return principals
}

// one is a single value; an empty one is an absent key.
func one(value string) ([]string, bool) {
	if value == "" {
		return nil, false
	}
	return []string{value}, true
}

var principalTypes = map[policy.PrincipalType]string{
	policy.Root:          "Account",
	policy.User:          "User",
	policy.AssumedRole:   "AssumedRole",
	policy.FederatedUser: "FederatedUser",
	policy.Anonymous:     "Anonymous",
}

// principalKeys are the condition keys that a principal answers whatever it asks.
var principalKeys = []string{
	"aws:principalarn", "aws:principalaccount", "aws:principaltype", "aws:principalisawsservice", "aws:userid", "aws:username",
}

// PrincipalContext returns what a principal answers to the condition keys that are
// about it alone, for simulations.
func PrincipalContext(p *Principal) policy.MapContext {
	x := &callContext{call: &Call{Principal: *p}}
	answers := policy.MapContext{}
	for _, key := range principalKeys {
		if values, ok := x.Values(key); ok {
			answers[key] = values
		}
	}
	for tag, value := range p.Tags {
		answers["aws:principaltag/"+tag] = []string{value}
	}
	return answers
}
