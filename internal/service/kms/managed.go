package kms

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/store"
)

// managedService is a service for which there is an AWS managed key in each account
// and region that uses it (kms.md §16). Its customers can look at the key; whatever
// else they would do with it, the key's policy denies them.
type managedService struct {
	// name is in the alias, "aws/" and name; host begins the name that the service
	// has in kms:ViaService.
	name, host string
	// title is the service's in the policy, data what the description says it keeps.
	title, data string
}

var managedServices = []managedService{
	{"acm", "acm", "ACM", "ACM private keys"},
	{"ebs", "ec2", "EBS", "EBS volumes"},
	{"rds", "rds", "RDS", "RDS database volumes"},
	{"s3", "s3", "S3", "S3 objects"},
	{"secretsmanager", "secretsmanager", "AWS Secrets Manager", "Secrets Manager data"},
	{"ssm", "ssm", "SSM", "SSM parameters"},
}

func (m *managedService) alias() string { return reservedPrefix + m.name }

// via is the service in kms:ViaService, as authz.Call.Derive names it.
func (m *managedService) via(region string) string { return m.host + "." + region + ".amazonaws.com" }

func managedBy(matches func(m managedService) bool) *managedService {
	if at := slices.IndexFunc(managedServices, matches); at >= 0 {
		return &managedServices[at]
	}
	return nil
}

// ManagedKey returns the ARN of the AWS managed key that a service has in the
// account and region of a call to it, and makes the key on its first use: two first
// uses at once make one. service is the name in the key's alias: "secretsmanager",
// and "ebs" for volumes.
//
// It asks for no permission: the service has asked for that of its own operation. To
// use the key it calls KMS for its caller, through the gateway's Invoke, which the
// key's policy admits. Never from inside a commit.
func (s *Service) ManagedKey(ctx context.Context, call *authz.Call, service string) (string, error) {
	m := managedBy(func(m managedService) bool { return m.name == service })
	if m == nil {
		return "", fmt.Errorf("kms: there is no AWS managed key for a service %q", service)
	}
	account := call.Principal.Account
	alias, err := s.aliases.Get(ctx, scope(account, call.Region), m.alias())
	if errors.Is(err, store.ErrNotFound) {
		record := m.newKey(call)
		by := call.Derive("kms", createKeyRow.Name, createKeyRow.Action, call.RequestID)
		alias, err = s.makeManaged(ctx, by, m, &record)
	}
	if err != nil {
		return "", err
	}
	return keyARN(call.Partition, call.Region, account, alias.Target), nil
}

// bindOnUse makes the AWS managed key that a call names by its alias before the key
// exists, as AWS does: for DescribeKey, and for the key's own service. It returns
// store.ErrNotFound for every other alias and call, and where the caller may not do
// with the key what it asks for.
func (s *Service) bindOnUse(ctx context.Context, call *authz.Call, ref *reference) (aliasRecord, error) {
	m := managedBy(func(m managedService) bool { return m.alias() == ref.alias })
	if m == nil || ref.account != call.Principal.Account {
		return aliasRecord{}, store.ErrNotFound
	}
	served := len(call.Via) > 0 && call.Via[len(call.Via)-1] == m.via(call.Region)
	if !served && call.Action != "kms:DescribeKey" {
		return aliasRecord{}, store.ErrNotFound
	}
	record := m.newKey(call)
	if err := s.name(&record); err != nil {
		return aliasRecord{}, err
	}
	prospect, err := newKey(record, call.Partition, 0)
	if err != nil {
		return aliasRecord{}, err
	}
	allowed, err := s.could(ctx, call, need{key: found{key: prospect, alias: ref.alias}})
	if err == nil && !allowed {
		err = store.ErrNotFound
	}
	if err != nil {
		return aliasRecord{}, err
	}
	return s.makeManaged(ctx, call, m, &record)
}

// newKey describes the key, still without an id and material.
func (m *managedService) newKey(call *authz.Call) keyRecord {
	record := keyRecord{
		Account:     call.Principal.Account,
		Region:      call.Region,
		Created:     call.Time,
		Description: "Default key that protects my " + m.data + " when no other key is defined",
		Spec:        api.KeySpecSymmetricDefault,
		Usage:       api.KeyUsageTypeEncryptDecrypt,
		Origin:      api.OriginTypeAwsKms,
		State:       api.KeyStateEnabled,
		Manager:     api.KeyManagerTypeAws,
		Policy:      m.policy(call.Partition, call.Region, call.Principal.Account),
	}
	record.Rotation.enable(nil, call.Time)
	return record
}

// name gives a key an id unless it has one.
func (s *Service) name(record *keyRecord) (err error) {
	if record.ID == "" {
		record.ID, err = s.newKeyID(false)
	}
	return err
}

// makeManaged makes the key and its alias, or finds those that another call has made
// meanwhile. The key's making is recorded as CreateKey for whoever makes the call.
func (s *Service) makeManaged(ctx context.Context, by *authz.Call, m *managedService, record *keyRecord) (aliasRecord, error) {
	var alias aliasRecord
	if err := s.name(record); err != nil {
		return alias, err
	}
	material, err := s.Keyring.Generate(ctx, record.ID, keyring.Spec(record.Spec))
	if err != nil {
		return alias, fromKeyring(err)
	}
	record.Materials = []generation{{Material: material}}
	events, err := s.newEvents()
	if err != nil {
		return alias, err
	}
	made, err := newKey(*record, by.Partition, 0)
	if err != nil {
		return alias, err
	}
	// The record shows that no request of the caller's own came to KMS.
	internal := *by
	internal.SourceIP = netip.Addr{}
	in := scope(record.Account, record.Region)
	err = s.Store.Update(ctx, func(tx *store.Tx) error {
		var err error
		if alias, err = aliasRecords.Get(tx, in, m.alias()); !errors.Is(err, store.ErrNotFound) {
			return err // nil: somebody was first
		}
		alias = aliasRecord{
			Account: record.Account, Region: record.Region, Name: m.alias(), Target: record.ID,
			Created: record.Created, Updated: record.Created,
		}
		if err := errors.Join(addKey(tx, record), putRotation(tx, record), aliasRecords.Put(tx, in, alias.Name, alias)); err != nil {
			return err
		}
		return events.addCall(tx, 0, &internal, made, createKeyRow.Name,
			createKeyRow.AuditRequest(nil, &api.CreateKeyInput{Description: &record.Description}),
			createKeyRow.AuditResponse(nil, &api.CreateKeyOutput{KeyMetadata: made.metadata()}))
	})
	return alias, err
}

// policy is the key's policy in the form that GetKeyPolicy answers (Secrets Manager
// User Guide, "Secret encryption and decryption", for that service's).
func (m *managedService) policy(partition, region, account string) string {
	return strings.NewReplacer("PARTITION", partition, "ACCOUNT", account, "NAME", m.name, "VIA", m.via(region), "TITLE", m.title).Replace(`{
  "Version" : "2012-10-17",
  "Id" : "auto-NAME-1",
  "Statement" : [ {
    "Sid" : "Allow access through TITLE for all principals in the account that are authorized to use TITLE",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "*"
    },
    "Action" : [ "kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:CreateGrant", "kms:DescribeKey" ],
    "Resource" : "*",
    "Condition" : {
      "StringEquals" : {
        "kms:ViaService" : "VIA",
        "kms:CallerAccount" : "ACCOUNT"
      }
    }
  }, {
    "Sid" : "Allow direct access to key metadata to the account",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "arn:PARTITION:iam::ACCOUNT:root"
    },
    "Action" : [ "kms:Describe*", "kms:Get*", "kms:List*", "kms:RevokeGrant" ],
    "Resource" : "*"
  } ]
}`)
}
