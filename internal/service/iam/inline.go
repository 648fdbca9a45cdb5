package iam

import (
	"context"
	"fmt"
	"sort"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/store"
)

// putInline writes an inline policy of an identity.
func putInline[T any](ctx context.Context, s *Service, call *authz.Call, k kind, name, policyName, document string) (*T, error) {
	return changeIdentity(ctx, s, call, identityChange[*T]{
		kind: k, name: name,
		edit: edited[T](func(_ *store.Tx, i *identity) error {
			if _, err := parseDocument(document, policy.IdentityPolicy); err != nil {
				return err
			}
			total := size(document)
			kept := []inlinePolicy{{policyName, document}}
			for _, p := range i.Inline {
				if p.Name != policyName {
					kept = append(kept, p)
					total += size(p.Document)
				}
			}
			if limit := maxInline[k]; total > limit {
				return api.LimitExceededException(fmt.Sprintf("Maximum policy size of %d bytes exceeded for %s %s", limit, k, name))
			}
			sort.Slice(kept, func(a, b int) bool { return kept[a].Name < kept[b].Name })
			i.Inline = kept
			return nil
		}),
	})
}

// inline asks for permission and returns the document of an inline policy, as
// answers show it.
func (s *Service) inline(ctx context.Context, call *authz.Call, k kind, name, policyName string) (string, error) {
	i, err := s.lookup(ctx, call, k, name, nil)
	if err != nil {
		return "", err
	}
	for _, p := range i.Inline {
		if p.Name == policyName {
			return escape(p.Document), nil
		}
	}
	return "", noSuchInline(k, policyName)
}

// inlineNames asks for permission and returns a page of the names of an
// identity's inline policies.
func (s *Service) inlineNames(ctx context.Context, call *authz.Call, k kind, name, marker string, maxItems *int32) ([]string, bool, string, error) {
	i, err := s.lookup(ctx, call, k, name, nil)
	if err != nil {
		return nil, false, "", err
	}
	p, err := newPage(call, marker, maxItems)
	if err != nil {
		return nil, false, "", err
	}
	names := []string{}
	for _, p := range i.Inline {
		names = append(names, p.Name)
	}
	names, truncated, next := cut(p, names, func(name string) string { return name })
	return names, truncated, next, nil
}

// deleteInline deletes an inline policy of an identity.
func deleteInline[T any](ctx context.Context, s *Service, call *authz.Call, k kind, name, policyName string) (*T, error) {
	return changeIdentity(ctx, s, call, identityChange[*T]{
		kind: k, name: name,
		edit: edited[T](func(_ *store.Tx, i *identity) error {
			for at, p := range i.Inline {
				if p.Name == policyName {
					i.Inline = append(i.Inline[:at], i.Inline[at+1:]...)
					return nil
				}
			}
			return noSuchInline(k, policyName)
		}),
	})
}
