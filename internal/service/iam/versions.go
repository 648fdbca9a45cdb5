package iam

import (
	"context"
	"fmt"
	"slices"
	"strings"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/store"
)

// maxVersions is the quota of versions of a managed policy.
const maxVersions = 5

// find returns the place of a version, or an error that it is missing.
func (m *managed) find(id string) (int, error) {
	at := slices.IndexFunc(m.Versions, func(v policyVersion) bool { return versionID(v.Number) == id })
	if at < 0 {
		return 0, api.NoSuchEntityException(fmt.Sprintf("Policy %s version %s does not exist or is not attachable.", m.ARN, id))
	}
	return at, nil
}

// shown is a version as answers show it, without its document.
func (m *managed) shown(v policyVersion) api.PolicyVersion {
	return api.PolicyVersion{VersionId: versionID(v.Number), IsDefaultVersion: v.Number == m.Default, CreateDate: timeOrNil(v.Created)}
}

// CreatePolicyVersion adds a version to a policy and, when asked to, puts it in
// force.
func (s *Service) CreatePolicyVersion(ctx context.Context, call *authz.Call, in *api.CreatePolicyVersionInput) (*api.CreatePolicyVersionOutput, error) {
	return changePolicy(ctx, s, call, in.PolicyArn, nil, func(_ *store.Tx, m *managed) (*api.CreatePolicyVersionOutput, *policyRecord, error) {
		if err := checkManaged(in.PolicyDocument); err != nil {
			return nil, nil, err
		}
		if len(m.Versions) >= maxVersions {
			return nil, nil, api.LimitExceededException("A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version.")
		}
		m.Last++
		m.Updated = now(call)
		v := policyVersion{Number: m.Last, Document: in.PolicyDocument, Created: m.Updated}
		m.Versions = append(m.Versions, v)
		if in.SetAsDefault {
			m.Default = v.Number
		}
		shown := m.shown(v)
		return &api.CreatePolicyVersionOutput{PolicyVersion: &shown}, &m.policyRecord, nil
	})
}

// GetPolicyVersion returns a version with its document.
func (s *Service) GetPolicyVersion(ctx context.Context, call *authz.Call, in *api.GetPolicyVersionInput) (*api.GetPolicyVersionOutput, error) {
	m, err := s.lookupPolicy(ctx, call, in.PolicyArn, nil)
	if err != nil {
		return nil, err
	}
	at, err := m.find(in.VersionId)
	if err != nil {
		return nil, err
	}
	shown := m.shown(m.Versions[at])
	shown.Document = escape(m.Versions[at].Document)
	return &api.GetPolicyVersionOutput{PolicyVersion: &shown}, nil
}

// ListPolicyVersions lists a policy's versions, the newest first.
func (s *Service) ListPolicyVersions(ctx context.Context, call *authz.Call, in *api.ListPolicyVersionsInput) (*api.ListPolicyVersionsOutput, error) {
	m, err := s.lookupPolicy(ctx, call, in.PolicyArn, nil)
	if err != nil {
		return nil, err
	}
	p, err := newPage(call, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	versions := slices.Clone(m.Versions)
	slices.Reverse(versions)
	// Newest first is ascending in what is left to the highest number there was.
	versions, truncated, marker := cut(p, versions, func(v policyVersion) string { return fmt.Sprintf("%09d", 999_999_999-v.Number) })
	out := &api.ListPolicyVersionsOutput{Versions: []api.PolicyVersion{}, IsTruncated: truncated, Marker: marker}
	for _, v := range versions {
		out.Versions = append(out.Versions, m.shown(v))
	}
	return out, nil
}

// SetDefaultPolicyVersion puts a version in force.
func (s *Service) SetDefaultPolicyVersion(ctx context.Context, call *authz.Call, in *api.SetDefaultPolicyVersionInput) (*api.SetDefaultPolicyVersionOutput, error) {
	return changePolicy(ctx, s, call, in.PolicyArn, nil, func(_ *store.Tx, m *managed) (*api.SetDefaultPolicyVersionOutput, *policyRecord, error) {
		at, err := m.find(in.VersionId)
		if err != nil {
			return nil, nil, err
		}
		m.Default, m.Updated = m.Versions[at].Number, now(call)
		return &api.SetDefaultPolicyVersionOutput{}, &m.policyRecord, nil
	})
}

// DeletePolicyVersion deletes a version that is not in force.
func (s *Service) DeletePolicyVersion(ctx context.Context, call *authz.Call, in *api.DeletePolicyVersionInput) (*api.DeletePolicyVersionOutput, error) {
	return changePolicy(ctx, s, call, in.PolicyArn, nil, func(_ *store.Tx, m *managed) (*api.DeletePolicyVersionOutput, *policyRecord, error) {
		at, err := m.find(in.VersionId)
		if err != nil {
			return nil, nil, err
		}
		if m.Versions[at].Number == m.Default {
			return nil, nil, api.DeleteConflictException("Cannot delete the default version of a policy.")
		}
		m.Versions, m.Updated = slices.Delete(m.Versions, at, at+1), now(call)
		return &api.DeletePolicyVersionOutput{}, &m.policyRecord, nil
	})
}

// TagPolicy adds tags to a policy, or gives them new values.
func (s *Service) TagPolicy(ctx context.Context, call *authz.Call, in *api.TagPolicyInput) (*api.TagPolicyOutput, error) {
	return changePolicy(ctx, s, call, in.PolicyArn, requestTags(in.Tags), func(_ *store.Tx, m *managed) (_ *api.TagPolicyOutput, _ *policyRecord, err error) {
		m.Tags, err = merge(m.Tags, in.Tags)
		return &api.TagPolicyOutput{}, &m.policyRecord, err
	})
}

// UntagPolicy removes tags from a policy.
func (s *Service) UntagPolicy(ctx context.Context, call *authz.Call, in *api.UntagPolicyInput) (*api.UntagPolicyOutput, error) {
	return changePolicy(ctx, s, call, in.PolicyArn, conditions{"aws:tagkeys": in.TagKeys}, func(_ *store.Tx, m *managed) (*api.UntagPolicyOutput, *policyRecord, error) {
		m.Tags = remove(m.Tags, in.TagKeys)
		return &api.UntagPolicyOutput{}, &m.policyRecord, nil
	})
}

// ListPolicyTags lists a policy's tags by their keys.
func (s *Service) ListPolicyTags(ctx context.Context, call *authz.Call, in *api.ListPolicyTagsInput) (*api.ListPolicyTagsOutput, error) {
	m, err := s.lookupPolicy(ctx, call, in.PolicyArn, nil)
	if err != nil {
		return nil, err
	}
	p, err := newPage(call, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	tags, truncated, marker := cut(p, m.Tags, func(t tag) string { return t.Key })
	return &api.ListPolicyTagsOutput{Tags: listedTags(tags), IsTruncated: truncated, Marker: marker}, nil
}

// ListEntitiesForPolicy lists who has a policy, as an attachment or as boundary:
// groups, then roles, then users.
func (s *Service) ListEntitiesForPolicy(ctx context.Context, call *authz.Call, in *api.ListEntitiesForPolicyInput) (*api.ListEntitiesForPolicyOutput, error) {
	m, err := s.lookupPolicy(ctx, call, in.PolicyArn, nil)
	if err != nil {
		return nil, err
	}
	p, err := newPage(call, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	all := map[string]*identity{}
	err = s.Store.View(ctx, func(r store.Reader) error {
		for index, not := range map[string]api.PolicyUsageType{byPolicy: api.PolicyUsageTypePermissionsBoundary, byBoundary: api.PolicyUsageTypePermissionsPolicy} {
			if in.PolicyUsageFilter == not {
				continue
			}
			items, _, err := identityRecords.ScanIndex(r, scopeOf(call.Principal.Account), index, m.ARN, "", maxCounted)
			if err != nil {
				return err
			}
			for _, item := range items {
				i := s.identityOf(call.Principal.Account, item)
				if in.EntityFilter == "" || string(in.EntityFilter) == entityTypes[i.Kind] {
					all[nameValue(i.Kind, i.Name)] = i
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var names []string
	for name, i := range all {
		if strings.HasPrefix(i.Path, pathOr(in.PathPrefix)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	names, truncated, marker := cut(p, names, func(name string) string { return name })
	out := &api.ListEntitiesForPolicyOutput{
		PolicyGroups: []api.PolicyGroup{}, PolicyRoles: []api.PolicyRole{}, PolicyUsers: []api.PolicyUser{},
		IsTruncated: truncated, Marker: marker,
	}
	for _, name := range names {
		switch i := all[name]; i.Kind {
		case groupKind:
			out.PolicyGroups = append(out.PolicyGroups, api.PolicyGroup{GroupName: i.Name, GroupId: i.ID})
		case roleKind:
			out.PolicyRoles = append(out.PolicyRoles, api.PolicyRole{RoleName: i.Name, RoleId: i.ID})
		case userKind:
			out.PolicyUsers = append(out.PolicyUsers, api.PolicyUser{UserName: i.Name, UserId: i.ID})
		}
	}
	return out, nil
}

var entityTypes = map[kind]string{
	userKind: string(api.EntityTypeUser), groupKind: string(api.EntityTypeGroup), roleKind: string(api.EntityTypeRole),
}
