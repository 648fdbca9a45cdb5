package iam

import (
	"context"
	"errors"
	"fmt"
	"strings"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/store"
)

// usualMaxSession is a role's MaxSessionDuration, in seconds, unless it is given.
const usualMaxSession = 3600

// role is the role as answers show it.
func (i *identity) role() *api.Role {
	return &api.Role{
		Path: i.Path, RoleName: i.Name, RoleId: i.ID, Arn: i.ARN, CreateDate: i.Created,
		AssumeRolePolicyDocument: escape(i.Role.Trust), Description: i.Role.Description, MaxSessionDuration: new(i.Role.MaxSession),
		PermissionsBoundary: i.boundary(), Tags: shownTags(i.Tags),
	}
}

// CreateRole makes a role. With tags, iam:TagRole is needed as well.
func (s *Service) CreateRole(ctx context.Context, call *authz.Call, in *api.CreateRoleInput) (*api.CreateRoleOutput, error) {
	record, err := s.newIdentity(ctx, call, roleKind, in.Path, in.RoleName, in.PermissionsBoundary, in.Tags)
	if err == nil {
		err = reservedPath(record.Path)
	}
	if err != nil {
		return nil, err
	}
	record.Role = &roleRecord{MaxSession: usualMaxSession}
	if in.Description != nil {
		record.Role.Description = *in.Description
	}
	if in.MaxSessionDuration != nil {
		record.Role.MaxSession = *in.MaxSessionDuration
	}
	if err := s.setTrust(ctx, record.Role, in.AssumeRolePolicyDocument); err != nil {
		return nil, err
	}
	return create(ctx, s, call, record, func(i *identity) *api.CreateRoleOutput {
		shown := i.role()
		shown.Description, shown.MaxSessionDuration = "", nil
		return &api.CreateRoleOutput{Role: shown}
	})
}

// setTrust checks a trust policy and gives it to a role, bound to the users and
// roles that its ARNs mean now.
func (s *Service) setTrust(ctx context.Context, r *roleRecord, text string) error {
	document, err := parseDocument(text, policy.TrustPolicy)
	if err != nil {
		return err
	}
	if size(text) > maxTrust {
		return quota("ACLSizePerRole", maxTrust)
	}
	ids := map[string]string{}
	for _, named := range document.Principals() {
		if named.Form == policy.FederatedForm {
			continue // a provider is asked for when someone comes from it
		}
		id, ok, err := s.principal(ctx, named)
		if err != nil {
			return err
		}
		if !ok {
			return api.MalformedPolicyDocumentException(fmt.Sprintf("Invalid principal in policy: \"AWS\":%q", named.Name))
		}
		if id != "" && id != named.Name {
			ids[named.Name] = id
		}
	}
	r.Trust, r.TrustIDs = text, ids
	return nil
}

// GetRole returns a role with its trust policy and its last use.
func (s *Service) GetRole(ctx context.Context, call *authz.Call, in *api.GetRoleInput) (*api.GetRoleOutput, error) {
	i, err := s.lookup(ctx, call, roleKind, in.RoleName, nil)
	if err != nil {
		return nil, err
	}
	shown := i.role()
	if shown.RoleLastUsed, err = s.roleLastUsed(ctx, call, i.ID); err != nil {
		return nil, err
	}
	return &api.GetRoleOutput{Role: shown}, nil
}

// ListRoles lists the account's roles by name. Tags and boundaries are not part of
// the answer.
func (s *Service) ListRoles(ctx context.Context, call *authz.Call, in *api.ListRolesInput) (*api.ListRolesOutput, error) {
	roles, truncated, marker, err := s.listed(ctx, call, roleKind, in.PathPrefix, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &api.ListRolesOutput{Roles: []api.Role{}, IsTruncated: truncated, Marker: marker}
	for _, i := range roles {
		shown := i.role()
		shown.Tags, shown.PermissionsBoundary = nil, nil
		out.Roles = append(out.Roles, *shown)
	}
	return out, nil
}

// UpdateRole changes a role's description and its longest session.
func (s *Service) UpdateRole(ctx context.Context, call *authz.Call, in *api.UpdateRoleInput) (*api.UpdateRoleOutput, error) {
	return changeIdentity(ctx, s, call, identityChange[*api.UpdateRoleOutput]{
		kind: roleKind, name: in.RoleName, linked: true,
		check: func(i *identity) error {
			if in.MaxSessionDuration != nil {
				return protected(i)
			}
			return nil
		},
		edit: edited[api.UpdateRoleOutput](func(_ *store.Tx, i *identity) error {
			if in.Description != nil {
				i.Role.Description = *in.Description
			}
			if in.MaxSessionDuration != nil {
				i.Role.MaxSession = *in.MaxSessionDuration
			}
			return nil
		}),
	})
}

// UpdateRoleDescription changes a role's description.
func (s *Service) UpdateRoleDescription(ctx context.Context, call *authz.Call, in *api.UpdateRoleDescriptionInput) (*api.UpdateRoleDescriptionOutput, error) {
	return changeIdentity(ctx, s, call, identityChange[*api.UpdateRoleDescriptionOutput]{
		kind: roleKind, name: in.RoleName, linked: true,
		edit: func(_ *store.Tx, i *identity) (*api.UpdateRoleDescriptionOutput, error) {
			i.Role.Description = in.Description
			return &api.UpdateRoleDescriptionOutput{Role: i.role()}, nil
		},
	})
}

// UpdateAssumeRolePolicy replaces a role's trust policy.
func (s *Service) UpdateAssumeRolePolicy(ctx context.Context, call *authz.Call, in *api.UpdateAssumeRolePolicyInput) (*api.UpdateAssumeRolePolicyOutput, error) {
	var trust roleRecord
	return changeIdentity(ctx, s, call, identityChange[*api.UpdateAssumeRolePolicyOutput]{
		kind: roleKind, name: in.RoleName,
		check: func(*identity) error { return s.setTrust(ctx, &trust, in.PolicyDocument) },
		edit: edited[api.UpdateAssumeRolePolicyOutput](func(_ *store.Tx, i *identity) error {
			i.Role.Trust, i.Role.TrustIDs = trust.Trust, trust.TrustIDs
			return nil
		}),
	})
}

// DeleteRole deletes a role that has no policies and is in no instance profile. Its sessions end with it.
func (s *Service) DeleteRole(ctx context.Context, call *authz.Call, in *api.DeleteRoleInput) (*api.DeleteRoleOutput, error) {
	return changeIdentity(ctx, s, call, identityChange[*api.DeleteRoleOutput]{
		kind: roleKind, name: in.RoleName, delete: true,
		edit: edited[api.DeleteRoleOutput](func(tx *store.Tx, i *identity) error {
			if err := outsideProfiles(tx, call.Principal.Account, i.ID); err != nil {
				return err
			}
			return withoutPolicies(i)
		}),
	})
}

// principal finds out whether a principal that a policy names exists, and the
// unique id of a user, role or role session.
func (s *Service) principal(ctx context.Context, p policy.PrincipalRef) (id string, ok bool, err error) {
	found, ok, err := s.behind(ctx, p)
	if found == nil {
		return "", ok, err
	}
	if p.Form == policy.SessionForm {
		return found.ID + ":" + p.Name[strings.LastIndexByte(p.Name, '/')+1:], ok, err
	}
	return found.ID, found.ARN == p.Name, nil
}

// PrincipalARN returns the ARN that the user or role of account with that unique
// id has now; for AROA…:NAME, that of the role session. It is empty when there is
// none any more.
func (s *Service) PrincipalARN(ctx context.Context, account, id string) (string, error) {
	id, session, ofSession := strings.Cut(id, ":")
	i, err := s.identities.Get(ctx, scopeOf(account), id)
	switch {
	case isNotFound(err) || errors.Is(err, store.ErrKey):
		return "", nil
	case err != nil:
		return "", err
	case ofSession:
		return s.sessionARN(account, i.Name, session), nil
	}
	return i.ARN, nil
}

// sessionARN is the ARN of a role session; it has no path.
func (s *Service) sessionARN(account, role, session string) string {
	return "arn:" + s.Partition + ":sts::" + account + ":assumed-role/" + role + "/" + session
}

// UniqueID returns the unique id of the user or role that p names; of a role
// session, its role's. It is empty for principals that have none or do not exist.
func (s *Service) UniqueID(ctx context.Context, p policy.PrincipalRef) (string, error) {
	found, _, err := s.behind(ctx, p)
	if found == nil || p.Form != policy.SessionForm && found.ARN != p.Name {
		return "", err
	}
	return found.ID, nil
}

// behind finds the user or role that p names, or whose session it does. It is nil
// for other principals, of which ok says whether they may be named.
func (s *Service) behind(ctx context.Context, p policy.PrincipalRef) (found *identity, ok bool, err error) {
	var k kind
	name := ""
	switch p.Form {
	case policy.EveryoneForm, policy.ServiceForm:
		return nil, true, nil
	case policy.AccountForm, policy.FederatedUserForm:
		ok, err := s.HasAccount(ctx, p.Account)
		return nil, ok, err
	case policy.UserForm:
		k = userKind
		_, name = pathAndName(p.Name)
	case policy.RoleForm:
		k = roleKind
		_, name = pathAndName(p.Name)
	case policy.SessionForm:
		k = roleKind
		path, _ := pathAndName(p.Name)
		if name = strings.Trim(path, "/"); name == "" {
			return nil, false, nil
		}
	default:
		return nil, false, nil
	}
	err = s.Store.View(ctx, func(r store.Reader) error {
		var err error
		found, err = s.find(r, p.Account, k, name)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, false, nil
	}
	return found, err == nil, err
}
