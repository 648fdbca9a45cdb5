package iam

import (
	"context"
	"errors"
	"slices"
	"strings"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/store"
)

// maxAttached is the quota of managed policies on one identity.
const maxAttached = 10

var attachQuotas = map[kind]string{userKind: "PoliciesPerUser", groupKind: "PoliciesPerGroup", roleKind: "PoliciesPerRole"}

// attachable refuses ARNs that are no managed policy of the account or of AWS.
func (s *Service) attachable(r store.Reader, account, arn string) error {
	if p := s.awsManaged(arn); p != nil {
		if strings.HasPrefix(p.Path, linkedPath) {
			return api.PolicyNotAttachableException("Cannot attach a Service Role Policy to a Customer Role.")
		}
		return nil
	}
	_, err := s.findPolicy(r, account, arn)
	if errors.Is(err, store.ErrNotFound) {
		return notAttachable(arn)
	}
	return err
}

func attach[T any](ctx context.Context, s *Service, call *authz.Call, k kind, name, arn string) (*T, error) {
	return changeIdentity(ctx, s, call, identityChange[*T]{
		kind: k, name: name, conditions: policyARN(arn),
		edit: edited[T](func(tx *store.Tx, i *identity) error {
			if err := s.attachable(tx, call.Principal.Account, arn); err != nil {
				return err
			}
			if slices.Contains(i.Attached, arn) {
				return nil
			}
			if len(i.Attached) >= maxAttached {
				return quota(attachQuotas[k], maxAttached)
			}
			i.Attached = append(i.Attached, arn)
			return nil
		}),
	})
}

func detach[T any](ctx context.Context, s *Service, call *authz.Call, k kind, name, arn string) (*T, error) {
	return changeIdentity(ctx, s, call, identityChange[*T]{
		kind: k, name: name, conditions: policyARN(arn),
		edit: edited[T](func(_ *store.Tx, i *identity) error {
			at := slices.Index(i.Attached, arn)
			if at < 0 {
				return noSuchPolicy(arn)
			}
			i.Attached = slices.Delete(i.Attached, at, at+1)
			return nil
		}),
	})
}

// attached asks for permission and returns a page of an identity's managed
// policies, sorted by their ARNs, whose path begins with prefix.
func (s *Service) attached(ctx context.Context, call *authz.Call, k kind, name, prefix, marker string, maxItems *int32) ([]api.AttachedPolicy, bool, string, error) {
	i, err := s.lookup(ctx, call, k, name, nil)
	if err != nil {
		return nil, false, "", err
	}
	p, err := newPage(call, marker, maxItems)
	if err != nil {
		return nil, false, "", err
	}
	all := []api.AttachedPolicy{}
	for _, arn := range slices.Sorted(slices.Values(i.Attached)) {
		path, name := pathAndName(arn)
		if strings.HasPrefix(path, pathOr(prefix)) {
			all = append(all, api.AttachedPolicy{PolicyName: name, PolicyArn: arn})
		}
	}
	all, truncated, next := cut(p, all, func(a api.AttachedPolicy) string { return a.PolicyArn })
	return all, truncated, next, nil
}

// pathAndName returns the path and the name in an ARN of IAM.
func pathAndName(arn string) (path, name string) {
	slash, last := strings.IndexByte(arn, '/'), strings.LastIndexByte(arn, '/')
	if slash < 0 {
		return "", ""
	}
	return arn[slash : last+1], arn[last+1:]
}
