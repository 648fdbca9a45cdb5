package iam

import (
	"context"
	"fmt"
	"slices"
	"strings"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/policy"
)

// givenPolicy is a policy that an identity has, itself or by one of its groups.
type givenPolicy struct {
	by       *identity
	name     string
	arn      string // empty for an inline policy
	document *policy.Document
}

// givenPolicies are the permission policies of an identity and of its groups; a
// managed policy that it has several times is there once.
func (s *Service) givenPolicies(ctx context.Context, account string, i *compiledIdentity) ([]givenPolicy, error) {
	var all []givenPolicy
	have := []*compiledIdentity{i}
	for _, id := range i.Groups {
		group, err := s.identities.Get(ctx, scopeOf(account), id)
		if isNotFound(err) {
			continue // deleted since the user was read
		}
		if err != nil {
			return nil, err
		}
		have = append(have, group)
	}
	for _, who := range have {
		for _, p := range who.inline {
			all = append(all, givenPolicy{by: who.identity, name: p.Name, document: p.Document})
		}
		for _, arn := range who.Attached {
			if slices.ContainsFunc(all, func(g givenPolicy) bool { return g.arn == arn }) {
				continue
			}
			p, err := s.managedPolicy(ctx, account, arn)
			if err != nil {
				return nil, fmt.Errorf("iam: the policy %s of %s: %w", arn, who.ARN, err)
			}
			_, name := pathAndName(arn)
			all = append(all, givenPolicy{by: who.identity, name: name, arn: arn, document: p.identity})
		}
	}
	return all, nil
}

// ListPoliciesGrantingServiceAccess lists, for each of some services, the policies of
// a user (and its groups), group or role that allow something of it.
func (s *Service) ListPoliciesGrantingServiceAccess(ctx context.Context, call *authz.Call, in *api.ListPoliciesGrantingServiceAccessInput) (*api.ListPoliciesGrantingServiceAccessOutput, error) {
	if err := s.authorize(ctx, call, "", in.Arn, nil); err != nil {
		return nil, err
	}
	account := call.Principal.Account
	found, err := s.identityByARN(ctx, account, in.Arn)
	if isNotFound(err) {
		return nil, notThere(in.Arn)
	}
	if err != nil {
		return nil, err
	}
	given, err := s.givenPolicies(ctx, account, found)
	if err != nil {
		return nil, err
	}
	p, err := newPage(call, in.Marker, nil)
	if err != nil {
		return nil, err
	}
	namespaces := slices.Clone(in.ServiceNamespaces)
	slices.Sort(namespaces)
	namespaces, truncated, marker := cut(p, slices.Compact(namespaces), strings.Clone)
	out := &api.ListPoliciesGrantingServiceAccessOutput{
		PoliciesGrantingServiceAccess: []api.ListPoliciesGrantingServiceAccessEntry{}, IsTruncated: truncated, Marker: marker,
	}
	for _, namespace := range namespaces {
		entry := api.ListPoliciesGrantingServiceAccessEntry{ServiceNamespace: namespace, Policies: []api.PolicyGrantingServiceAccess{}}
		for _, g := range given {
			if !g.document.Reaches(namespace) {
				continue
			}
			// Who has a policy is told of inline ones alone (API Reference,
			// PolicyGrantingServiceAccess).
			shown := api.PolicyGrantingServiceAccess{PolicyName: g.name, PolicyType: api.PolicyTypeManaged, PolicyArn: g.arn}
			if g.arn == "" {
				shown.PolicyType, shown.EntityType, shown.EntityName = api.PolicyTypeInline, ownerTypes[g.by.Kind], g.by.Name
			}
			entry.Policies = append(entry.Policies, shown)
		}
		out.PoliciesGrantingServiceAccess = append(out.PoliciesGrantingServiceAccess, entry)
	}
	return out, nil
}
