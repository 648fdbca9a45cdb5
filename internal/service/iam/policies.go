package iam

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/store"
)

// managed is a managed policy as a call finds it: the account's own or AWS's.
type managed struct {
	policyRecord
	ARN     string
	aws     bool
	version uint64
	// attachments and boundaries count who has it.
	attachments, boundaries int32
}

// findPolicy returns a policy of the account, or store.ErrNotFound.
func (s *Service) findPolicy(r store.Reader, account, arn string) (*managed, error) {
	_, name := pathAndName(arn)
	if name == "" {
		return nil, store.ErrNotFound
	}
	item, err := policyRecords.GetItem(r, scopeOf(account), strings.ToLower(name))
	if errors.Is(err, store.ErrKey) { // longer than any name
		return nil, store.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	m := &managed{policyRecord: item.Value, ARN: s.arn(account, "policy", item.Value.Path, item.Value.Name), version: item.Version}
	if m.ARN != arn {
		return nil, store.ErrNotFound
	}
	return m, nil
}

// maxCounted bounds the counting of a policy's attachments.
const maxCounted = 10_000

// count finds out who has the policy.
func (m *managed) count(r store.Reader, account string) error {
	for index, n := range map[string]*int32{byPolicy: &m.attachments, byBoundary: &m.boundaries} {
		items, _, err := identityRecords.ScanIndex(r, scopeOf(account), index, m.ARN, "", maxCounted)
		if err != nil {
			return err
		}
		*n = int32(len(items))
	}
	return nil
}

// lookupPolicy finds a managed policy and asks for permission to do the call's
// operation on it.
func (s *Service) lookupPolicy(ctx context.Context, call *authz.Call, arn string, more conditions) (*managed, error) {
	found := s.awsManaged(arn)
	err := s.Store.View(ctx, func(r store.Reader) error {
		var err error
		if found == nil {
			found, err = s.findPolicy(r, call.Principal.Account, arn)
		}
		if err != nil {
			return err
		}
		return found.count(r, call.Principal.Account)
	})
	missing := errors.Is(err, store.ErrNotFound)
	if err != nil && !missing {
		return nil, err
	}
	c := more
	if !missing {
		c = resourceTags(found.Tags).with(more)
	}
	if err := s.authorize(ctx, call, "", arn, c); err != nil {
		return nil, err
	}
	if missing {
		return nil, noSuchPolicy(arn)
	}
	return found, nil
}

// changePolicy finds a policy of the account, asks for permission, and commits
// what edit makes of it; a nil record deletes it.
func changePolicy[T any](ctx context.Context, s *Service, call *authz.Call, arn string, c conditions, edit func(tx *store.Tx, m *managed) (T, *policyRecord, error)) (T, error) {
	return again(func() (T, error) {
		var none T
		before, err := s.lookupPolicy(ctx, call, arn, c)
		if err != nil {
			return none, err
		}
		if before.aws {
			return none, awserr.Newf(authz.ErrDenied.Code, "User: %s is not authorized to perform: %s on resource: policy %s", call.Principal.ARN, call.Action, arn)
		}
		account := call.Principal.Account
		return authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (T, error) {
			var none T
			m, err := s.findPolicy(tx, account, arn)
			if errors.Is(err, store.ErrNotFound) || err == nil && m.version != before.version {
				return none, errChanged
			}
			if err != nil {
				return none, err
			}
			out, record, err := edit(tx, m)
			if err != nil {
				return none, err
			}
			id := strings.ToLower(m.Name)
			if record == nil {
				return out, policyRecords.Delete(tx, scopeOf(account), id)
			}
			return out, policyRecords.Put(tx, scopeOf(account), id, *record)
		})
	})
}

// checkManaged checks the document of a managed policy.
func checkManaged(document string) error {
	if _, err := parseDocument(document, policy.IdentityPolicy); err != nil {
		return err
	}
	if size(document) > maxManaged {
		return quota("PolicySize", maxManaged)
	}
	return nil
}

// CreatePolicy makes a managed policy, whose first version is v1.
func (s *Service) CreatePolicy(ctx context.Context, call *authz.Call, in *api.CreatePolicyInput) (*api.CreatePolicyOutput, error) {
	account, path := call.Principal.Account, pathOr(in.Path)
	arn := s.arn(account, "policy", path, in.PolicyName)
	if err := s.authorize(ctx, call, "", arn, requestTags(in.Tags)); err != nil {
		return nil, err
	}
	if len(in.Tags) > 0 {
		if err := s.authorize(ctx, call, "iam:TagPolicy", arn, requestTags(in.Tags)); err != nil {
			return nil, err
		}
	}
	if err := checkManaged(in.PolicyDocument); err != nil {
		return nil, err
	}
	tags, err := merge(nil, in.Tags)
	if err != nil {
		return nil, err
	}
	id, err := s.newID("ANPA")
	if err != nil {
		return nil, err
	}
	at := now(call)
	m := managed{ARN: arn, policyRecord: policyRecord{
		Name: in.PolicyName, Path: path, ID: id, Created: at, Updated: at, Tags: tags,
		Versions: []policyVersion{{Number: 1, Document: in.PolicyDocument, Created: at}}, Default: 1, Last: 1,
	}}
	if in.Description != nil {
		m.Description = *in.Description
	}
	return authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (*api.CreatePolicyOutput, error) {
		_, err := policyRecords.Get(tx, scopeOf(account), strings.ToLower(m.Name))
		if err == nil {
			return nil, api.EntityAlreadyExistsException(fmt.Sprintf("A policy called %s already exists. Duplicate names are not allowed.", m.Name))
		}
		if !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		shown := m.policy()
		shown.Description = "" // CreatePolicy and ListPolicies do not answer it
		return &api.CreatePolicyOutput{Policy: shown}, policyRecords.Put(tx, scopeOf(account), strings.ToLower(m.Name), m.policyRecord)
	})
}

// policy is the policy as answers show it.
func (m *managed) policy() *api.Policy {
	return &api.Policy{
		PolicyName: m.Name, PolicyId: m.ID, Arn: m.ARN, Path: m.Path, DefaultVersionId: versionID(m.Default),
		AttachmentCount: new(m.attachments), PermissionsBoundaryUsageCount: new(m.boundaries), IsAttachable: true,
		Description: m.Description, CreateDate: timeOrNil(m.Created), UpdateDate: timeOrNil(m.Updated), Tags: shownTags(m.Tags),
	}
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func versionID(n int) string { return "v" + strconv.Itoa(n) }

// GetPolicy returns what is known of a managed policy but its document.
func (s *Service) GetPolicy(ctx context.Context, call *authz.Call, in *api.GetPolicyInput) (*api.GetPolicyOutput, error) {
	m, err := s.lookupPolicy(ctx, call, in.PolicyArn, nil)
	if err != nil {
		return nil, err
	}
	return &api.GetPolicyOutput{Policy: m.policy()}, nil
}

// ListPolicies lists managed policies by name: the account's own, then AWS's.
func (s *Service) ListPolicies(ctx context.Context, call *authz.Call, in *api.ListPoliciesInput) (*api.ListPoliciesOutput, error) {
	if err := s.authorize(ctx, call, "", "policy path "+pathOr(in.PathPrefix), nil); err != nil {
		return nil, err
	}
	p, err := newPage(call, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	var all []*managed
	err = s.Store.View(ctx, func(r store.Reader) error {
		if in.Scope != api.PolicyScopeTypeAws {
			for after, more := "", true; more; {
				var items []store.Item[policyRecord]
				var err error
				if items, more, err = policyRecords.Scan(r, scopeOf(call.Principal.Account), after, maxCounted); err != nil {
					return err
				}
				for _, item := range items {
					all = append(all, &managed{policyRecord: item.Value, ARN: s.arn(call.Principal.Account, "policy", item.Value.Path, item.Value.Name)})
					after = item.ID
				}
			}
		}
		if in.Scope != api.PolicyScopeTypeLocal {
			all = append(all, s.allAWSManaged()...)
		}
		for _, m := range all {
			if err := m.count(r, call.Principal.Account); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(m *managed) bool {
		return !strings.HasPrefix(m.Path, pathOr(in.PathPrefix)) ||
			in.OnlyAttached && m.attachments == 0 && m.boundaries == 0 ||
			in.PolicyUsageFilter == api.PolicyUsageTypePermissionsPolicy && m.attachments == 0 ||
			in.PolicyUsageFilter == api.PolicyUsageTypePermissionsBoundary && m.boundaries == 0
	})
	key := func(m *managed) string { return strconv.FormatBool(m.aws) + strings.ToLower(m.Name) }
	slices.SortFunc(all, func(a, b *managed) int { return strings.Compare(key(a), key(b)) })
	part, truncated, marker := cut(p, all, key)
	out := &api.ListPoliciesOutput{Policies: []api.Policy{}, IsTruncated: truncated, Marker: marker}
	for _, m := range part {
		shown := m.policy()
		shown.Description, shown.Tags = "", nil
		out.Policies = append(out.Policies, *shown)
	}
	return out, nil
}

// DeletePolicy deletes a managed policy that nobody has, with its one version.
func (s *Service) DeletePolicy(ctx context.Context, call *authz.Call, in *api.DeletePolicyInput) (*api.DeletePolicyOutput, error) {
	return changePolicy(ctx, s, call, in.PolicyArn, nil, func(tx *store.Tx, m *managed) (*api.DeletePolicyOutput, *policyRecord, error) {
		if err := m.count(tx, call.Principal.Account); err != nil {
			return nil, nil, err
		}
		if m.attachments > 0 || m.boundaries > 0 {
			return nil, nil, api.DeleteConflictException("Cannot delete a policy attached to entities.")
		}
		if len(m.Versions) > 1 {
			return nil, nil, api.DeleteConflictException("This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.")
		}
		return &api.DeletePolicyOutput{}, nil, nil
	})
}
