package cloudhsm

import (
	"context"
	"io"
	"strconv"
	"strings"

	api "github.com/strongroom/strongroom/api/cloudhsm"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/store"
)

// The types of HSM that there are (API Reference, CreateCluster).
const (
	firstType  = "hsm1.medium"
	secondType = "hsm2m.medium"
)

// Days that backups are kept (User Guide, "Backup retention").
const (
	leastRetention = 7
	mostRetention  = 379
	usualRetention = "90"
)

// CreateCluster makes a cluster without HSMs.
func (s *Service) CreateCluster(ctx context.Context, call *authz.Call, in *api.CreateClusterInput) (*api.CreateClusterOutput, error) {
	if err := call.Authorize(ctx, authz.Access{Resource: "*", Context: requested(in.TagList)}); err != nil {
		return nil, err
	}
	if in.SourceBackupId != nil {
		return nil, noBackup(*in.SourceBackupId)
	}
	r := clusterRecord{
		Account: call.Principal.Account, Region: call.Region, Created: call.Time,
		Type: in.HsmType, Mode: in.Mode, Network: in.NetworkType, Retention: usualRetention, Subnets: map[string]string{},
	}
	if r.Network == "" {
		r.Network = api.NetworkTypeIpv4
	}
	if err := r.checkType(); err != nil {
		return nil, err
	}
	if err := r.setRetention(in.BackupRetentionPolicy); err != nil {
		return nil, err
	}
	for i, subnet := range in.SubnetIds {
		for _, other := range in.SubnetIds[:i] {
			if other == subnet {
				return nil, api.CloudHsmInvalidRequestException("The subnet " + subnet + " is given twice.")
			}
		}
		r.Subnets[r.Region+string(rune('a'+i))] = subnet
	}
	var err error
	if r.Tags, err = mergeTags(nil, in.TagList); err != nil {
		return nil, err
	}
	if r.ID, err = s.newID("cluster-"); err != nil {
		return nil, err
	}
	call.Audit.Resource(r.Account, clusterResource, r.arn(call.Partition))
	return authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (*api.CreateClusterOutput, error) {
		out := s.show(&r)
		out.State = api.ClusterStateCreateInProgress
		return &api.CreateClusterOutput{Cluster: out}, clusterRecords.Put(tx, r.scope(), r.ID, r)
	})
}

// checkType looks at how type and mode go together, and sets the mode of the type
// that has one alone.
func (r *clusterRecord) checkType() error {
	switch {
	case r.Type != firstType && r.Type != secondType:
		return api.CloudHsmInvalidRequestException("HsmType must be " + firstType + " or " + secondType + ".")
	case r.Type == secondType && r.Mode == "":
		return api.CloudHsmInvalidRequestException("Mode is required for HsmType " + secondType + ".")
	case r.Type == firstType && r.Mode == api.ClusterModeNonFips:
		return api.CloudHsmInvalidRequestException("Mode NON_FIPS is not valid for HsmType " + firstType + ".")
	case r.Mode == "":
		r.Mode = api.ClusterModeFips
	}
	return nil
}

func (r *clusterRecord) setRetention(p *api.BackupRetentionPolicy) error {
	if p == nil {
		return nil
	}
	days, err := strconv.Atoi(p.Value)
	if err != nil || p.Type == "" || days < leastRetention || days > mostRetention {
		return api.CloudHsmInvalidRequestException("BackupRetentionPolicy must have the Type DAYS and a Value from 7 to 379.")
	}
	r.Retention = strconv.Itoa(days)
	return nil
}

// ModifyCluster changes what a cluster is called to be, and how long backups of it
// would be kept.
func (s *Service) ModifyCluster(ctx context.Context, call *authz.Call, in *api.ModifyClusterInput) (*api.ModifyClusterOutput, error) {
	if in.HsmType == nil && in.BackupRetentionPolicy == nil {
		if _, err := s.read(ctx, call, in.ClusterId, nil); err != nil {
			return nil, err
		}
		return nil, api.CloudHsmInvalidRequestException("HsmType or BackupRetentionPolicy must be given.")
	}
	return change(ctx, s, call, in.ClusterId, nil, func(_ *store.Tx, r *clusterRecord) (*api.ModifyClusterOutput, error) {
		if in.HsmType != nil && *in.HsmType != r.Type {
			if r.Type != firstType || *in.HsmType != secondType {
				return nil, api.CloudHsmInvalidRequestException("A cluster of HsmType " + r.Type + " cannot be changed to " + *in.HsmType + ".")
			}
			r.Type = *in.HsmType
		}
		if err := r.setRetention(in.BackupRetentionPolicy); err != nil {
			return nil, err
		}
		return &api.ModifyClusterOutput{Cluster: s.show(r)}, nil
	})
}

// DeleteCluster forgets a cluster that has no HSMs.
func (s *Service) DeleteCluster(ctx context.Context, call *authz.Call, in *api.DeleteClusterInput) (*api.DeleteClusterOutput, error) {
	old, err := s.read(ctx, call, in.ClusterId, nil)
	if err != nil {
		return nil, err
	}
	call.Audit.Resource(old.Account, clusterResource, old.arn(call.Partition))
	return authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (*api.DeleteClusterOutput, error) {
		r, err := find(tx, call, in.ClusterId)
		if err != nil {
			return nil, err
		}
		if len(r.HSMs) > 0 {
			return nil, api.CloudHsmInvalidRequestException("Cluster " + r.ID + " has HSMs. Delete them first.")
		}
		out := s.show(r)
		out.State = api.ClusterStateDeleteInProgress
		return &api.DeleteClusterOutput{Cluster: out}, clusterRecords.Delete(tx, r.scope(), r.ID)
	})
}

// newID returns an id of that prefix: 11 characters of base32, of which it has all
// that AWS's ids do.
func (s *Service) newID(prefix string) (string, error) {
	const digits = "abcdefghijklmnopqrstuvwxyz234567"
	var b [11]byte
	if _, err := io.ReadFull(s.Rand, b[:]); err != nil {
		return "", err
	}
	var text strings.Builder
	text.WriteString(prefix)
	for _, c := range b {
		text.WriteByte(digits[c%32])
	}
	return text.String(), nil
}
