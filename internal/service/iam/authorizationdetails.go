package iam

import (
	"context"
	"slices"
	"strings"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/store"
)

// detail is one entry of GetAccountAuthorizationDetails: where it stands, and what
// adds it to the answer.
type detail struct {
	key string
	add func(r store.Reader, out *api.GetAccountAuthorizationDetailsOutput) error
}

// GetAccountAuthorizationDetails lists everyone and every policy of the account with
// all that an authorisation depends on: users, groups, roles, the account's managed
// policies and those of AWS's that are in use, each by name.
func (s *Service) GetAccountAuthorizationDetails(ctx context.Context, call *authz.Call, in *api.GetAccountAuthorizationDetailsInput) (*api.GetAccountAuthorizationDetailsOutput, error) {
	if err := s.authorize(ctx, call, "", "*", nil); err != nil {
		return nil, err
	}
	p, err := newPage(call, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	wanted := func(t api.EntityType) bool { return len(in.Filter) == 0 || slices.Contains(in.Filter, t) }
	account := call.Principal.Account
	identities, err := allOf(ctx, s, identityRecords, account)
	if err != nil {
		return nil, err
	}
	policies, err := allOf(ctx, s, policyRecords, account)
	if err != nil {
		return nil, err
	}
	var details []detail
	types := map[kind]api.EntityType{userKind: api.EntityTypeUser, groupKind: api.EntityTypeGroup, roleKind: api.EntityTypeRole}
	order := map[kind]string{userKind: "1", groupKind: "2", roleKind: "3"}
	for _, item := range identities {
		i := s.identityOf(account, item)
		if wanted(types[i.Kind]) {
			details = append(details, detail{order[i.Kind] + strings.ToLower(i.Name), s.identityDetail(account, i)})
		}
	}
	if wanted(api.EntityTypeLocalManagedPolicy) {
		for _, item := range policies {
			m := &managed{policyRecord: item.Value, ARN: s.arn(account, "policy", item.Value.Path, item.Value.Name)}
			details = append(details, detail{"4" + item.ID, policyDetail(account, m)})
		}
	}
	out := &api.GetAccountAuthorizationDetailsOutput{
		UserDetailList: []api.UserDetail{}, GroupDetailList: []api.GroupDetail{}, RoleDetailList: []api.RoleDetail{}, Policies: []api.ManagedPolicyDetail{},
	}
	err = s.Store.View(ctx, func(r store.Reader) error {
		if wanted(api.EntityTypeAWSManagedPolicy) {
			for _, m := range s.allAWSManaged() {
				if err := m.count(r, account); err != nil {
					return err
				}
				if m.attachments+m.boundaries > 0 {
					details = append(details, detail{"5" + strings.ToLower(m.Name), policyDetail(account, m)})
				}
			}
		}
		slices.SortFunc(details, func(a, b detail) int { return strings.Compare(a.key, b.key) })
		var part []detail
		part, out.IsTruncated, out.Marker = cut(p, details, func(d detail) string { return d.key })
		for _, d := range part {
			if err := d.add(r, out); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i := range out.RoleDetailList {
		role := &out.RoleDetailList[i]
		if role.RoleLastUsed, err = s.roleLastUsed(ctx, call, role.RoleId); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// identityDetail adds a user, group or role.
func (s *Service) identityDetail(account string, i *identity) func(store.Reader, *api.GetAccountAuthorizationDetailsOutput) error {
	inline, attached := []api.PolicyDetail{}, []api.AttachedPolicy{}
	for _, p := range i.Inline {
		inline = append(inline, api.PolicyDetail{PolicyName: p.Name, PolicyDocument: escape(p.Document)})
	}
	for _, arn := range i.Attached {
		_, name := pathAndName(arn)
		attached = append(attached, api.AttachedPolicy{PolicyName: name, PolicyArn: arn})
	}
	return func(r store.Reader, out *api.GetAccountAuthorizationDetailsOutput) error {
		switch i.Kind {
		case groupKind:
			out.GroupDetailList = append(out.GroupDetailList, api.GroupDetail{
				Path: i.Path, GroupName: i.Name, GroupId: i.ID, Arn: i.ARN, CreateDate: &i.Created,
				GroupPolicyList: inline, AttachedManagedPolicies: attached,
			})
		case userKind:
			groups := []string{}
			for _, id := range i.Groups {
				g, err := identityRecords.Get(r, scopeOf(account), id)
				if isNotFound(err) {
					continue // deleted since the user was read
				}
				if err != nil {
					return err
				}
				groups = append(groups, g.Name)
			}
			out.UserDetailList = append(out.UserDetailList, api.UserDetail{
				Path: i.Path, UserName: i.Name, UserId: i.ID, Arn: i.ARN, CreateDate: &i.Created, UserPolicyList: inline,
				GroupList: groups, AttachedManagedPolicies: attached, PermissionsBoundary: i.boundary(), Tags: shownTags(i.Tags),
			})
		case roleKind:
			profiles := []api.InstanceProfile{}
			items, _, err := instanceProfileRecords.ScanIndex(r, scopeOf(account), byRole, i.ID, "", maxInstanceProfiles)
			if err != nil {
				return err
			}
			for _, item := range items {
				shown, err := s.shownProfile(r, account, &item.Value)
				if err != nil {
					return err
				}
				profiles = append(profiles, *shown)
			}
			out.RoleDetailList = append(out.RoleDetailList, api.RoleDetail{
				Path: i.Path, RoleName: i.Name, RoleId: i.ID, Arn: i.ARN, CreateDate: &i.Created, AssumeRolePolicyDocument: escape(i.Role.Trust),
				InstanceProfileList: profiles, RolePolicyList: inline, AttachedManagedPolicies: attached,
				PermissionsBoundary: i.boundary(), Tags: shownTags(i.Tags),
			})
		}
		return nil
	}
}

// policyDetail adds a managed policy with all its versions.
func policyDetail(account string, m *managed) func(store.Reader, *api.GetAccountAuthorizationDetailsOutput) error {
	return func(r store.Reader, out *api.GetAccountAuthorizationDetailsOutput) error {
		if err := m.count(r, account); err != nil {
			return err
		}
		shown := m.policy()
		versions := []api.PolicyVersion{}
		for _, v := range slices.Backward(m.Versions) {
			versions = append(versions, api.PolicyVersion{
				Document: escape(v.Document), VersionId: versionID(v.Number), IsDefaultVersion: v.Number == m.Default, CreateDate: timeOrNil(v.Created),
			})
		}
		out.Policies = append(out.Policies, api.ManagedPolicyDetail{
			PolicyName: shown.PolicyName, PolicyId: shown.PolicyId, Arn: shown.Arn, Path: shown.Path, DefaultVersionId: shown.DefaultVersionId,
			AttachmentCount: shown.AttachmentCount, PermissionsBoundaryUsageCount: shown.PermissionsBoundaryUsageCount, IsAttachable: true,
			Description: shown.Description, CreateDate: shown.CreateDate, UpdateDate: shown.UpdateDate, PolicyVersionList: versions,
		})
		return nil
	}
}
