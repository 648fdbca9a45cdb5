package iam

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/store"
)

// compiledIdentity is an identity as the cache keeps it.
type compiledIdentity struct {
	*identity
	inline []policy.Source
	// tags are the identity's, by their keys in lower case.
	tags map[string]string
	// trust is a role's trust policy.
	trust *policy.Source
}

func (s *Service) compileIdentity(in store.Scope, item store.Item[identityRecord]) (*compiledIdentity, error) {
	c := &compiledIdentity{identity: s.identityOf(in.Account, item), tags: map[string]string{}}
	for _, t := range c.Tags {
		c.tags[strings.ToLower(t.Key)] = t.Value
	}
	for _, p := range c.Inline {
		document, err := policy.Parse([]byte(p.Document), policy.IdentityPolicy)
		if err != nil {
			return nil, fmt.Errorf("iam: the policy %s of %s: %w", p.Name, c.ARN, err)
		}
		c.inline = append(c.inline, policy.Source{Name: p.Name, Document: document})
	}
	if c.Role == nil {
		return c, nil
	}
	document, err := policy.Parse([]byte(c.Role.Trust), policy.TrustPolicy)
	if err == nil {
		document, err = document.RenamePrincipals(func(p policy.PrincipalRef) string {
			if id := c.Role.TrustIDs[p.Name]; id != "" {
				return id
			}
			return p.Name
		})
	}
	if err != nil {
		return nil, fmt.Errorf("iam: the trust policy of %s: %w", c.ARN, err)
	}
	c.trust = &policy.Source{Name: "trust policy", Document: document}
	return c, nil
}

// compiledPolicy is a managed policy as the cache keeps it: its version in force,
// as each of the kinds that it may be used as.
type compiledPolicy struct {
	arn                         string
	identity, boundary, session *policy.Document
}

func compile(arn, text string) (*compiledPolicy, error) {
	c := &compiledPolicy{arn: arn}
	for k, document := range map[policy.Kind]**policy.Document{
		policy.IdentityPolicy: &c.identity, policy.BoundaryPolicy: &c.boundary, policy.SessionPolicy: &c.session,
	} {
		var err error
		if *document, err = policy.Parse([]byte(text), k); err != nil {
			return nil, fmt.Errorf("iam: the policy %s: %w", arn, err)
		}
	}
	return c, nil
}

func (s *Service) compilePolicy(in store.Scope, item store.Item[policyRecord]) (*compiledPolicy, error) {
	r := item.Value
	for _, v := range r.Versions {
		if v.Number == r.Default {
			return compile(s.arn(in.Account, "policy", r.Path, r.Name), v.Document)
		}
	}
	return nil, fmt.Errorf("iam: the policy %s has no version in force", r.Name)
}

// managedPolicy returns a managed policy, or store.ErrNotFound.
func (s *Service) managedPolicy(ctx context.Context, account, arn string) (*compiledPolicy, error) {
	if c := s.aws[arn]; c != nil {
		return c.compiled, nil
	}
	_, name := pathAndName(arn)
	if name == "" {
		return nil, store.ErrNotFound
	}
	c, err := s.policies.Get(ctx, scopeOf(account), strings.ToLower(name))
	if errors.Is(err, store.ErrKey) || err == nil && c.arn != arn {
		return nil, store.ErrNotFound
	}
	return c, err
}

// Policies implements [authz.Directory]. A root has no identity policies and
// needs none. What is no longer there allows nothing.
func (s *Service) Policies(ctx context.Context, p *authz.Principal, set *policy.Policies) error {
	if p.Session != nil {
		if err := s.sessionPolicies(ctx, p, set); err != nil {
			return err
		}
	}
	var id string
	switch p.Type {
	case policy.User, policy.AssumedRole:
		id, _, _ = strings.Cut(p.ID, ":")
	case policy.FederatedUser:
		// Those of the user that it comes from. The root's have no other bounds
		// than the session's policies.
		if id = p.Session.Issuer.ID; id == "" {
			all := s.aws[s.arn("aws", "policy", "/", "AdministratorAccess")].compiled
			set.Identity = append(set.Identity, policy.Source{Name: all.arn, Document: all.identity})
			return nil
		}
	default:
		return nil
	}
	i, err := s.identities.Get(ctx, scopeOf(p.Account), id)
	if isNotFound(err) {
		// Deleted since the call was authenticated: an empty list of service
		// control policies lets nothing through, whoever the resource admits.
		set.ServiceControl = []policy.Source{}
		return nil
	}
	if err != nil {
		return err
	}
	if err := s.addIdentity(ctx, i, p.Account, set); err != nil {
		return err
	}
	for _, group := range i.Groups {
		g, err := s.identities.Get(ctx, scopeOf(p.Account), group)
		if isNotFound(err) {
			continue // the user's own record is being read as it was before
		}
		if err != nil {
			return err
		}
		if err := s.addIdentity(ctx, g, p.Account, set); err != nil {
			return err
		}
	}
	if i.Boundary == "" {
		return nil
	}
	boundary, err := s.managedPolicy(ctx, p.Account, i.Boundary)
	if err != nil {
		return fmt.Errorf("iam: the permissions boundary of %s: %w", i.ARN, err)
	}
	set.Boundary = &policy.Source{Name: boundary.arn, Document: boundary.boundary}
	return nil
}

func (s *Service) addIdentity(ctx context.Context, i *compiledIdentity, account string, set *policy.Policies) error {
	set.Identity = append(set.Identity, i.inline...)
	for _, arn := range i.Attached {
		c, err := s.managedPolicy(ctx, account, arn)
		if err != nil {
			return fmt.Errorf("iam: the policy %s of %s: %w", arn, i.ARN, err)
		}
		set.Identity = append(set.Identity, policy.Source{Name: c.arn, Document: c.identity})
	}
	return nil
}

// sessionPolicies adds what limits a session. A managed policy that was deleted
// since allows nothing, and a federated user is given nothing but by policies.
func (s *Service) sessionPolicies(ctx context.Context, p *authz.Principal, set *policy.Policies) error {
	if p.Type == policy.FederatedUser {
		set.Session = []policy.Source{}
	}
	if p.Session.Policy != nil {
		set.Session = append(set.Session, *p.Session.Policy)
	}
	for _, arn := range p.Session.PolicyARNs {
		c, err := s.managedPolicy(ctx, p.Account, arn)
		if isNotFound(err) {
			if set.Session == nil {
				set.Session = []policy.Source{}
			}
			continue
		}
		if err != nil {
			return err
		}
		set.Session = append(set.Session, policy.Source{Name: c.arn, Document: c.session})
	}
	return nil
}

// Exists tells whether a principal that a policy names exists.
func (s *Service) Exists(ctx context.Context, p policy.PrincipalRef) (bool, error) {
	_, ok, err := s.principal(ctx, p)
	return ok, err
}

// Root returns the root of an account, as it acts with an access key.
func Root(partition, account, accessKeyID string) authz.Principal {
	return authz.Principal{
		Principal: policy.Principal{
			Type:    policy.Root,
			Account: account,
			ARN:     "arn:" + partition + ":iam::" + account + ":root",
			ID:      account,
		},
		AccessKeyID: accessKeyID,
	}
}
