package iam

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/store"
)

const (
	// maxProfileRoles and maxInstanceProfiles are quotas (IAM quotas).
	maxProfileRoles     = 1
	maxInstanceProfiles = 1000

	instanceProfileCollection = "iam-instance-profile"
	instanceProfileType       = "instance-profile"
	byRole                    = "by-role" // instance profiles: unique ids of their roles
)

// instanceProfileRecord is an instance profile. Its id in the collection is the name
// in lower case.
type instanceProfileRecord struct {
	Name    string    `json:"name"`
	Path    string    `json:"path"`
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	// Roles are the unique ids of its roles.
	Roles []string `json:"roles,omitempty"`
	Tags  []tag    `json:"tags,omitempty"`
}

var (
	instanceProfileRecords = store.NewCollection(instanceProfileCollection, 1, store.Index[instanceProfileRecord]{
		Name:   byRole,
		Values: func(_ string, p instanceProfileRecord) []string { return p.Roles },
	})
	instanceProfiles = &entity[instanceProfileRecord]{
		records: instanceProfileRecords,
		tags:    func(r *instanceProfileRecord) *[]tag { return &r.Tags },
		missing: func(name string) *awserr.Error {
			return api.NoSuchEntityException("Instance Profile " + name + " cannot be found.")
		},
	}
)

// instanceProfile names the profile that a request means, and what its ARN is once
// it is found; names differ by more than case.
func (s *Service) instanceProfile(call *authz.Call, name string) (one, func(*instanceProfileRecord) string) {
	account := call.Principal.Account
	o := one{id: strings.ToLower(name), name: name, arn: s.arn(account, instanceProfileType, "/", name)}
	return o, func(r *instanceProfileRecord) string {
		if r.Name != name {
			return ""
		}
		return s.arn(account, instanceProfileType, r.Path, r.Name)
	}
}

// shownProfile is a profile as answers show it, with its roles.
func (s *Service) shownProfile(r store.Reader, account string, p *instanceProfileRecord) (*api.InstanceProfile, error) {
	shown := &api.InstanceProfile{
		Path: p.Path, InstanceProfileName: p.Name, InstanceProfileId: p.ID, CreateDate: p.Created,
		Arn: s.arn(account, instanceProfileType, p.Path, p.Name), Roles: []api.Role{}, Tags: shownTags(p.Tags),
	}
	for _, id := range p.Roles {
		item, err := identityRecords.GetItem(r, scopeOf(account), id)
		if err != nil {
			return nil, err
		}
		role := s.identityOf(account, item).role()
		role.Description, role.MaxSessionDuration, role.Tags, role.PermissionsBoundary = "", nil, nil, nil
		shown.Roles = append(shown.Roles, *role)
	}
	return shown, nil
}

// CreateInstanceProfile makes an instance profile without a role.
func (s *Service) CreateInstanceProfile(ctx context.Context, call *authz.Call, in *api.CreateInstanceProfileInput) (*api.CreateInstanceProfileOutput, error) {
	account, path := call.Principal.Account, pathOr(in.Path)
	tags, err := s.mayCreateEntity(ctx, call, s.arn(account, instanceProfileType, path, in.InstanceProfileName), "iam:TagInstanceProfile", in.Tags)
	if err != nil {
		return nil, err
	}
	id, err := s.newID("AIPA")
	if err != nil {
		return nil, err
	}
	record := instanceProfileRecord{Name: in.InstanceProfileName, Path: path, ID: id, Created: now(call), Tags: tags}
	key := strings.ToLower(record.Name)
	return authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (*api.CreateInstanceProfileOutput, error) {
		_, err := instanceProfileRecords.Get(tx, scopeOf(account), key)
		if err == nil {
			return nil, api.EntityAlreadyExistsException("Instance Profile " + record.Name + " already exists.")
		}
		if !isNotFound(err) {
			return nil, err
		}
		others, _, err := instanceProfileRecords.Scan(tx, scopeOf(account), "", maxInstanceProfiles)
		if err != nil {
			return nil, err
		}
		if len(others) >= maxInstanceProfiles {
			return nil, quota("InstanceProfilesPerAccount", maxInstanceProfiles)
		}
		shown, err := s.shownProfile(tx, account, &record)
		if err != nil {
			return nil, err
		}
		return &api.CreateInstanceProfileOutput{InstanceProfile: shown}, instanceProfileRecords.Put(tx, scopeOf(account), key, record)
	})
}

// GetInstanceProfile returns an instance profile with its role.
func (s *Service) GetInstanceProfile(ctx context.Context, call *authz.Call, in *api.GetInstanceProfileInput) (*api.GetInstanceProfileOutput, error) {
	o, arn := s.instanceProfile(call, in.InstanceProfileName)
	item, err := lookupEntity(ctx, s, call, instanceProfiles, o, arn)
	if err != nil {
		return nil, err
	}
	out := &api.GetInstanceProfileOutput{}
	err = s.Store.View(ctx, func(r store.Reader) error {
		// Read again, so that its role is one of the same moment.
		p, err := instanceProfileRecords.Get(r, scopeOf(call.Principal.Account), o.id)
		if isNotFound(err) {
			return instanceProfiles.missing(item.Value.Name)
		}
		if err != nil {
			return err
		}
		out.InstanceProfile, err = s.shownProfile(r, call.Principal.Account, &p)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// listProfiles returns a page of the account's instance profiles by name, of those
// that keep says; tags are not part of lists.
func (s *Service) listProfiles(ctx context.Context, call *authz.Call, marker string, maxItems *int32, keep func(*instanceProfileRecord) bool) (shown []api.InstanceProfile, truncated bool, next string, err error) {
	p, err := newPage(call, marker, maxItems)
	if err != nil {
		return nil, false, "", err
	}
	account := call.Principal.Account
	err = s.Store.View(ctx, func(r store.Reader) error {
		items, _, err := instanceProfileRecords.Scan(r, scopeOf(account), "", maxInstanceProfiles)
		if err != nil {
			return err
		}
		items = slices.DeleteFunc(items, func(i store.Item[instanceProfileRecord]) bool { return !keep(&i.Value) })
		var part []store.Item[instanceProfileRecord]
		part, truncated, next = cut(p, items, func(i store.Item[instanceProfileRecord]) string { return i.ID })
		shown = []api.InstanceProfile{}
		for _, item := range part {
			one, err := s.shownProfile(r, account, &item.Value)
			if err != nil {
				return err
			}
			one.Tags = nil
			shown = append(shown, *one)
		}
		return nil
	})
	return shown, truncated, next, err
}

// ListInstanceProfiles lists the account's instance profiles by name.
func (s *Service) ListInstanceProfiles(ctx context.Context, call *authz.Call, in *api.ListInstanceProfilesInput) (*api.ListInstanceProfilesOutput, error) {
	prefix := pathOr(in.PathPrefix)
	if err := s.authorize(ctx, call, "", s.arn(call.Principal.Account, instanceProfileType, prefix, ""), nil); err != nil {
		return nil, err
	}
	shown, truncated, marker, err := s.listProfiles(ctx, call, in.Marker, in.MaxItems,
		func(p *instanceProfileRecord) bool { return strings.HasPrefix(p.Path, prefix) })
	if err != nil {
		return nil, err
	}
	return &api.ListInstanceProfilesOutput{InstanceProfiles: shown, IsTruncated: truncated, Marker: marker}, nil
}

// ListInstanceProfilesForRole lists the instance profiles that a role is in. Tools
// ask before they delete a role.
func (s *Service) ListInstanceProfilesForRole(ctx context.Context, call *authz.Call, in *api.ListInstanceProfilesForRoleInput) (*api.ListInstanceProfilesForRoleOutput, error) {
	role, err := s.lookup(ctx, call, roleKind, in.RoleName, nil)
	if err != nil {
		return nil, err
	}
	shown, truncated, marker, err := s.listProfiles(ctx, call, in.Marker, in.MaxItems,
		func(p *instanceProfileRecord) bool { return slices.Contains(p.Roles, role.ID) })
	if err != nil {
		return nil, err
	}
	return &api.ListInstanceProfilesForRoleOutput{InstanceProfiles: shown, IsTruncated: truncated, Marker: marker}, nil
}

// passedToEC2 answers for what iam:PassRole hands a role to.
var passedToEC2 = conditions{"iam:passedtoservice": {"ec2.amazonaws.com"}}

// AddRoleToInstanceProfile puts a role into an instance profile, which holds one.
// The caller must be allowed to pass the role.
func (s *Service) AddRoleToInstanceProfile(ctx context.Context, call *authz.Call, in *api.AddRoleToInstanceProfileInput) (*api.AddRoleToInstanceProfileOutput, error) {
	o, arn := s.instanceProfile(call, in.InstanceProfileName)
	account := call.Principal.Account
	var role *identity
	find := func(r store.Reader) error {
		var err error
		if role, err = s.find(r, account, roleKind, in.RoleName); isNotFound(err) {
			return noSuchIdentity(roleKind, in.RoleName)
		}
		return err
	}
	if _, err := lookupEntity(ctx, s, call, instanceProfiles, o, arn); err != nil {
		return nil, err
	}
	if err := s.Store.View(ctx, find); err != nil {
		return nil, err
	}
	if err := protected(role); err != nil {
		return nil, err
	}
	if err := s.authorize(ctx, call, "iam:PassRole", role.ARN, resourceTags(role.Tags).with(passedToEC2)); err != nil {
		return nil, err
	}
	allowed := role.ID
	return changeEntity[instanceProfileRecord, api.AddRoleToInstanceProfileOutput](ctx, s, call, instanceProfiles, o, arn,
		func(tx *store.Tx, p *instanceProfileRecord) (*instanceProfileRecord, error) {
			if err := find(tx); err != nil {
				return nil, err
			}
			if role.ID != allowed {
				return nil, noSuchIdentity(roleKind, in.RoleName) // another one bears the name now
			}
			if len(p.Roles) >= maxProfileRoles {
				return nil, quota("InstanceSessionsPerInstanceProfile", maxProfileRoles)
			}
			p.Roles = append(p.Roles, role.ID)
			return p, nil
		})
}

// RemoveRoleFromInstanceProfile takes a role out of an instance profile.
func (s *Service) RemoveRoleFromInstanceProfile(ctx context.Context, call *authz.Call, in *api.RemoveRoleFromInstanceProfileInput) (*api.RemoveRoleFromInstanceProfileOutput, error) {
	o, arn := s.instanceProfile(call, in.InstanceProfileName)
	return changeEntity[instanceProfileRecord, api.RemoveRoleFromInstanceProfileOutput](ctx, s, call, instanceProfiles, o, arn,
		func(tx *store.Tx, p *instanceProfileRecord) (*instanceProfileRecord, error) {
			role, err := s.find(tx, call.Principal.Account, roleKind, in.RoleName)
			if isNotFound(err) {
				return nil, noSuchIdentity(roleKind, in.RoleName)
			}
			if err != nil {
				return nil, err
			}
			at := slices.Index(p.Roles, role.ID)
			if at < 0 {
				return nil, api.NoSuchEntityException(fmt.Sprintf("Role %s in Instance Profile %s cannot be found.", in.RoleName, in.InstanceProfileName))
			}
			p.Roles = slices.Delete(p.Roles, at, at+1)
			return p, nil
		})
}

var errHasRoles = api.DeleteConflictException("Cannot delete entity, must remove roles from instance profile first.")

// DeleteInstanceProfile deletes an instance profile that has no role.
func (s *Service) DeleteInstanceProfile(ctx context.Context, call *authz.Call, in *api.DeleteInstanceProfileInput) (*api.DeleteInstanceProfileOutput, error) {
	o, arn := s.instanceProfile(call, in.InstanceProfileName)
	return changeEntity[instanceProfileRecord, api.DeleteInstanceProfileOutput](ctx, s, call, instanceProfiles, o, arn,
		func(_ *store.Tx, p *instanceProfileRecord) (*instanceProfileRecord, error) {
			if len(p.Roles) > 0 {
				return nil, errHasRoles
			}
			return nil, nil
		})
}

// outsideProfiles refuses to delete a role that is in an instance profile.
func outsideProfiles(tx *store.Tx, account, role string) error {
	items, _, err := instanceProfileRecords.ScanIndex(tx, scopeOf(account), byRole, role, "", 1)
	if err == nil && len(items) > 0 {
		err = errHasRoles
	}
	return err
}

// TagInstanceProfile adds tags to an instance profile, or gives them new values.
func (s *Service) TagInstanceProfile(ctx context.Context, call *authz.Call, in *api.TagInstanceProfileInput) (*api.TagInstanceProfileOutput, error) {
	o, arn := s.instanceProfile(call, in.InstanceProfileName)
	return tagEntity[instanceProfileRecord, api.TagInstanceProfileOutput](ctx, s, call, instanceProfiles, o, arn, in.Tags)
}

// UntagInstanceProfile removes tags from an instance profile.
func (s *Service) UntagInstanceProfile(ctx context.Context, call *authz.Call, in *api.UntagInstanceProfileInput) (*api.UntagInstanceProfileOutput, error) {
	o, arn := s.instanceProfile(call, in.InstanceProfileName)
	return untagEntity[instanceProfileRecord, api.UntagInstanceProfileOutput](ctx, s, call, instanceProfiles, o, arn, in.TagKeys)
}

// ListInstanceProfileTags lists an instance profile's tags by their keys.
func (s *Service) ListInstanceProfileTags(ctx context.Context, call *authz.Call, in *api.ListInstanceProfileTagsInput) (*api.ListInstanceProfileTagsOutput, error) {
	o, arn := s.instanceProfile(call, in.InstanceProfileName)
	tags, truncated, marker, err := listEntityTags(ctx, s, call, instanceProfiles, o, arn, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListInstanceProfileTagsOutput{Tags: tags, IsTruncated: truncated, Marker: marker}, nil
}
