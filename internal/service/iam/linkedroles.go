package iam

import (
	"context"
	"fmt"
	"io"
	"strings"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/store"
)

// linkedPath begins the paths of service-linked roles and of their policies.
const linkedPath = "/aws-service-role/"

// linkedService is a service that has a role of its own in an account (AWS KMS
// Developer Guide, "Using service-linked roles for AWS KMS").
type linkedService struct {
	// principal is the service's, which alone the role trusts.
	principal    string
	role, policy string
}

var linkedServices = []linkedService{
	{"cks.kms.amazonaws.com", "AWSServiceRoleForKeyManagementServiceCustomKeyStores", "AWSKeyManagementServiceCustomKeyStoresServiceRolePolicy"},
	{"mrk.kms.amazonaws.com", "AWSServiceRoleForKeyManagementServiceMultiRegionKeys", "AWSKeyManagementServiceMultiRegionKeysServiceRolePolicy"},
}

// linkedDeletionRecord is the last deletion of a service-linked role. Its id is the
// role's name.
type linkedDeletionRecord struct {
	Task string `json:"task"`
}

var linkedDeletionRecords = store.NewCollection[linkedDeletionRecord]("iam-linked-role-deletion", 1)

// linked reports whether an identity is a service-linked role.
func (i *identityRecord) linked() bool { return i.Role != nil && i.Role.Service != "" }

// protected refuses to change a service-linked role.
func protected(i *identity) error {
	if !i.linked() {
		return nil
	}
	return api.UnmodifiableEntityException("Cannot perform the operation on the protected role '" + i.Name + "' - this role is only modifiable by AWS")
}

func linkedTo(principal string) (linkedService, bool) {
	for _, l := range linkedServices {
		if l.principal == principal {
			return l, true
		}
	}
	return linkedService{}, false
}

// serviceName answers for the service of a service-linked role.
func serviceName(principal string) conditions { return conditions{"iam:awsservicename": {principal}} }

// linkedName answers for the service of a role that has one.
func linkedName(i *identity) conditions {
	if !i.linked() {
		return nil
	}
	return serviceName(i.Role.Service)
}

// CreateServiceLinkedRole makes the role of a service, with the policy that AWS gives
// it. Nobody can change it but the service, and only the service can assume it.
func (s *Service) CreateServiceLinkedRole(ctx context.Context, call *authz.Call, in *api.CreateServiceLinkedRoleInput) (*api.CreateServiceLinkedRoleOutput, error) {
	linked, known := linkedTo(in.AWSServiceName)
	name := linked.role
	if !known {
		name = "*"
	}
	path := linkedPath + in.AWSServiceName + "/"
	arn := s.arn(call.Principal.Account, string(roleKind), path, name)
	if err := s.authorize(ctx, call, "", arn, serviceName(in.AWSServiceName)); err != nil {
		return nil, err
	}
	if !known {
		return nil, invalidInput("Service %s has no service-linked role here.", in.AWSServiceName)
	}
	if in.CustomSuffix != "" {
		return nil, invalidInput("Custom suffix is not allowed for %s", in.AWSServiceName)
	}
	id, err := s.newID(idPrefixes[roleKind])
	if err != nil {
		return nil, err
	}
	record := identityRecord{Kind: roleKind, Name: name, Path: path, ID: id, Created: now(call), Attached: []string{s.arn("aws", "policy", linkedPath, linked.policy)}}
	record.Role = &roleRecord{MaxSession: usualMaxSession, Service: linked.principal}
	if in.Description != nil {
		record.Role.Description = *in.Description
	}
	trust := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":%q},"Action":"sts:AssumeRole"}]}`, linked.principal)
	if err := s.setTrust(ctx, record.Role, trust); err != nil {
		return nil, err
	}
	account := call.Principal.Account
	return authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (*api.CreateServiceLinkedRoleOutput, error) {
		err := nameFree(tx, scopeOf(account), roleKind, name, "")
		if awserr.Code(err) == entityExists {
			return nil, invalidInput("Service role name %s has been taken in this account, please try a different suffix.", name)
		}
		if err != nil {
			return nil, err
		}
		shown := s.identityOf(account, store.Item[identityRecord]{Value: record}).role()
		return &api.CreateServiceLinkedRoleOutput{Role: shown}, identityRecords.Put(tx, scopeOf(account), id, record)
	})
}

// DeleteServiceLinkedRole deletes the role of a service. It is done when it is
// answered: no service here needs its role.
func (s *Service) DeleteServiceLinkedRole(ctx context.Context, call *authz.Call, in *api.DeleteServiceLinkedRoleInput) (*api.DeleteServiceLinkedRoleOutput, error) {
	account := call.Principal.Account
	var random [16]byte
	if _, err := io.ReadFull(s.Rand, random[:]); err != nil {
		return nil, err
	}
	return changeIdentity(ctx, s, call, identityChange[*api.DeleteServiceLinkedRoleOutput]{
		kind: roleKind, name: in.RoleName, delete: true, linked: true,
		edit: func(tx *store.Tx, i *identity) (*api.DeleteServiceLinkedRoleOutput, error) {
			if !i.linked() {
				return nil, invalidInput("The role %s is not a service-linked role.", i.Name)
			}
			task := fmt.Sprintf("task%s%s/%x-%x-%x-%x-%x", i.Path, i.Name, random[:4], random[4:6], random[6:8], random[8:10], random[10:])
			if err := linkedDeletionRecords.Put(tx, scopeOf(account), i.Name, linkedDeletionRecord{Task: task}); err != nil {
				return nil, err
			}
			return &api.DeleteServiceLinkedRoleOutput{DeletionTaskId: task}, nil
		},
	})
}

// GetServiceLinkedRoleDeletionStatus tells how the last deletion of a role went.
func (s *Service) GetServiceLinkedRoleDeletionStatus(ctx context.Context, call *authz.Call, in *api.GetServiceLinkedRoleDeletionStatusInput) (*api.GetServiceLinkedRoleDeletionStatusOutput, error) {
	// task/aws-service-role/SERVICE/ROLE/ID
	var principal, name string
	if parts := strings.Split(in.DeletionTaskId, "/"); len(parts) == 5 {
		principal, name = parts[2], parts[3]
	}
	arn := s.arn(call.Principal.Account, string(roleKind), linkedPath+principal+"/", name)
	if err := s.authorize(ctx, call, "", arn, serviceName(principal)); err != nil {
		return nil, err
	}
	var last linkedDeletionRecord
	if linked, known := linkedTo(principal); known && linked.role == name {
		err := s.Store.View(ctx, func(r store.Reader) error {
			var err error
			if last, err = linkedDeletionRecords.Get(r, scopeOf(call.Principal.Account), name); isNotFound(err) {
				err = nil
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if last.Task != in.DeletionTaskId {
		return nil, api.NoSuchEntityException("The deletion task " + in.DeletionTaskId + " cannot be found.")
	}
	return &api.GetServiceLinkedRoleDeletionStatusOutput{Status: api.DeletionTaskStatusTypeSucceeded}, nil
}

// reservedPath refuses a path that only service-linked roles have.
func reservedPath(path string) error {
	if strings.HasPrefix(path, linkedPath) {
		return invalidInput("The path %s is reserved for service-linked roles.", linkedPath)
	}
	return nil
}
