package cloudhsm

import (
	"context"
	"strings"

	api "github.com/strongroom/strongroom/api/cloudhsm"
	"github.com/strongroom/strongroom/internal/authz"
)

// There are no backups: what is in a token, its maker's tools save. Whatever is asked
// of one is asked of one that does not exist.

func noBackup(id string) error {
	return api.CloudHsmResourceNotFoundException("Backup " + id + " does not exist.")
}

// readBackup asks for permission on a backup, and answers that there is none. id may
// be an ARN.
func (s *Service) readBackup(ctx context.Context, call *authz.Call, id string) error {
	arn := id
	if !strings.HasPrefix(id, "arn:") {
		arn = "arn:" + call.Partition + ":cloudhsm:" + call.Region + ":" + call.Principal.Account + ":backup/" + id
	}
	if err := call.Authorize(ctx, authz.Access{Resource: arn}); err != nil {
		return err
	}
	return noBackup(id)
}

// DescribeBackups shows that there are none.
func (s *Service) DescribeBackups(ctx context.Context, call *authz.Call, in *api.DescribeBackupsInput) (*api.DescribeBackupsOutput, error) {
	if err := call.Authorize(ctx, authz.Access{Resource: "*"}); err != nil {
		return nil, err
	}
	for name := range in.Filters {
		switch name {
		case "backupIds", "sourceBackupIds", "clusterIds", "states", "neverExpires":
		default:
			return nil, api.CloudHsmInvalidRequestException("There is no filter " + name + "; there are backupIds, sourceBackupIds, clusterIds, states and neverExpires.")
		}
	}
	if _, err := s.openToken(call, in.NextToken); err != nil {
		return nil, err
	}
	return &api.DescribeBackupsOutput{Backups: []api.Backup{}}, nil
}

// CopyBackupToRegion answers that there is no such backup.
func (s *Service) CopyBackupToRegion(ctx context.Context, call *authz.Call, in *api.CopyBackupToRegionInput) (*api.CopyBackupToRegionOutput, error) {
	return nil, s.readBackup(ctx, call, in.BackupId)
}

// DeleteBackup answers that there is no such backup.
func (s *Service) DeleteBackup(ctx context.Context, call *authz.Call, in *api.DeleteBackupInput) (*api.DeleteBackupOutput, error) {
	return nil, s.readBackup(ctx, call, in.BackupId)
}

// RestoreBackup answers that there is no such backup.
func (s *Service) RestoreBackup(ctx context.Context, call *authz.Call, in *api.RestoreBackupInput) (*api.RestoreBackupOutput, error) {
	return nil, s.readBackup(ctx, call, in.BackupId)
}

// ModifyBackupAttributes answers that there is no such backup.
func (s *Service) ModifyBackupAttributes(ctx context.Context, call *authz.Call, in *api.ModifyBackupAttributesInput) (*api.ModifyBackupAttributesOutput, error) {
	return nil, s.readBackup(ctx, call, in.BackupId)
}

// PutResourcePolicy answers that there is no such backup; nothing else has a policy.
func (s *Service) PutResourcePolicy(ctx context.Context, call *authz.Call, in *api.PutResourcePolicyInput) (*api.PutResourcePolicyOutput, error) {
	return nil, s.readPolicy(ctx, call, in.ResourceArn)
}

// GetResourcePolicy answers that there is no such backup; nothing else has a policy.
func (s *Service) GetResourcePolicy(ctx context.Context, call *authz.Call, in *api.GetResourcePolicyInput) (*api.GetResourcePolicyOutput, error) {
	return nil, s.readPolicy(ctx, call, in.ResourceArn)
}

// DeleteResourcePolicy answers that there is no such backup; nothing else has a
// policy.
func (s *Service) DeleteResourcePolicy(ctx context.Context, call *authz.Call, in *api.DeleteResourcePolicyInput) (*api.DeleteResourcePolicyOutput, error) {
	return nil, s.readPolicy(ctx, call, in.ResourceArn)
}

func (s *Service) readPolicy(ctx context.Context, call *authz.Call, resource *string) error {
	arn := "*"
	if resource != nil {
		arn = *resource
	}
	if strings.Contains(arn, ":backup/") {
		return s.readBackup(ctx, call, arn)
	}
	if err := call.Authorize(ctx, authz.Access{Resource: arn}); err != nil {
		return err
	}
	return api.CloudHsmInvalidRequestException("ResourceArn must be the ARN of a backup: nothing else has a resource policy.")
}
