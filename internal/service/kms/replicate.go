package kms

import (
	"context"
	"slices"
	"time"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/store"
)

// createKeyRow writes the CreateKey record of a replica.
var createKeyRow = api.Table(api.Unimplemented{}).Lookup("CreateKey")

// ReplicateKey makes a replica of a multi-Region primary key in another region. It
// is authorised as kms:ReplicateKey on the primary key, and as kms:CreateKey (and
// kms:TagResource) in the replica's region.
func (s *Service) ReplicateKey(ctx context.Context, call *authz.Call, in *api.ReplicateKeyInput) (*api.ReplicateKeyOutput, error) {
	return again(call, func() (*api.ReplicateKeyOutput, error) { return s.replicateKey(ctx, call, in) })
}

func (s *Service) replicateKey(ctx context.Context, call *authz.Call, in *api.ReplicateKeyInput) (*api.ReplicateKeyOutput, error) {
	k, err := s.find(ctx, call, in.KeyId, keysOnly)
	if err != nil {
		return nil, err
	}
	if err := s.mayOwn(ctx, call, need{key: k, conditions: conditionMap{"replicaregion": {in.ReplicaRegion}}}); err != nil {
		return nil, err
	}
	if err := s.replicable(k.key, in.ReplicaRegion); err != nil {
		return nil, err
	}
	there := elsewhere(call, in.ReplicaRegion)
	replica, shownPolicy, create, err := s.newReplica(ctx, there, k.key, in)
	if err != nil {
		return nil, err
	}
	events, err := s.newEvents()
	if err != nil {
		return nil, err
	}
	return authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (*api.ReplicateKeyOutput, error) {
		now, err := unchanged(tx, k.key)
		if err != nil {
			return nil, err
		}
		primary, record := now.keyRecord, replica
		primary.MultiRegion = primary.MultiRegion.with(record.Region)
		record.MultiRegion = primary.MultiRegion
		record.Rotation = primary.Rotation
		record.shareMaterials(&primary)
		if primary.Pending != nil {
			primary.Pending.Everywhere = false
		}
		err = inSiblings(tx, &now.keyRecord, func(sibling *keyRecord) error {
			sibling.MultiRegion = primary.MultiRegion
			if sibling.Pending != nil {
				sibling.Pending.Everywhere = false
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		made, err := newKey(record, there.Partition, 0)
		if err != nil {
			return nil, err
		}
		if err := keyRecords.Put(tx, scope(primary.Account, primary.Region), primary.ID, primary); err != nil {
			return nil, err
		}
		if err := s.countNewKey(tx, record.Account, record.Region); err != nil {
			return nil, err
		}
		if err := putKey(tx, &record); err != nil {
			return nil, err
		}
		if err := later(tx, &record, call.Time, finishReplica); err != nil {
			return nil, err
		}
		out := &api.ReplicateKeyOutput{ReplicaKeyMetadata: made.metadata(), ReplicaPolicy: shownPolicy, ReplicaTags: slices.Clone(in.Tags)}
		return out, events.addCall(tx, 0, call, made, createKeyRow.Name,
			createKeyRow.AuditRequest(nil, create), createKeyRow.AuditResponse(nil, &api.CreateKeyOutput{KeyMetadata: out.ReplicaKeyMetadata}))
	})
}

// putKey writes a key that has the id of its primary.
func putKey(tx *store.Tx, record *keyRecord) error {
	if err := keyRecords.Put(tx, scope(record.Account, record.Region), record.ID, *record); err != nil {
		return err
	}
	return ownerRecords.Put(tx, regionScope(record.Region), record.ID, ownerRecord{Account: record.Account})
}

// replicable tells whether a key can get a replica in region.
func (s *Service) replicable(k *key, region string) error {
	if !k.isPrimary() {
		return api.UnsupportedOperationException(k.ARN + " is not a multi-region primary key.")
	}
	switch {
	case region == k.Region:
		return awserr.Validation(region + " cannot have a replica because it contains the primary.")
	case authz.PartitionOf(region) != authz.PartitionOf(k.Region):
		return awserr.Validation("The replica key Region must be in the same AWS partition as the primary key Region.")
	case !slices.Contains(s.Regions, region):
		return awserr.Validation("Region " + region + " is not a valid Region or multi-Region keys are not supported in Region " + region + ".")
	case slices.Contains(k.MultiRegion.Replicas, region):
		return api.AlreadyExistsException("You can create only one replica of each primary key in each AWS Region.")
	}
	if refused := k.admits(replicating); refused != nil {
		return refused
	}
	return nil
}

// newReplica asks for the permissions in the replica's region and describes the
// replica, as a record, with its policy as it is shown, and as what CreateKey would
// have been asked.
func (s *Service) newReplica(ctx context.Context, there *authz.Call, primary *key, in *api.ReplicateKeyInput) (keyRecord, string, *api.CreateKeyInput, error) {
	var none keyRecord
	yes := true
	create := &api.CreateKeyInput{
		Policy: in.Policy, Description: in.Description, KeyUsage: primary.Usage, KeySpec: primary.Spec,
		CustomerMasterKeySpec: api.CustomerMasterKeySpec(primary.Spec), Origin: primary.Origin,
		BypassPolicyLockoutSafetyCheck: in.BypassPolicyLockoutSafetyCheck, Tags: in.Tags, MultiRegion: &yes,
	}
	conditions := createConditions(create)
	conditions["multiregionkeytype"] = []string{string(api.MultiRegionKeyTypeReplica)}
	if err := s.mayInAccount(ctx, there, "kms:CreateKey", "*", conditions); err != nil {
		return none, "", nil, err
	}
	tags, err := newTags(in.Tags)
	if err != nil {
		return none, "", nil, err
	}
	if len(tags) > 0 {
		if err := s.mayInAccount(ctx, there, "kms:TagResource", "*", conditions); err != nil {
			return none, "", nil, err
		}
	}
	record := keyRecord{
		Account: primary.Account,
		Region:  there.Region,
		ID:      primary.ID,
		Created: there.Time,
		Spec:    primary.Spec,
		Usage:   primary.Usage,
		Origin:  primary.Origin,
		State:   api.KeyStateCreating,
		Tags:    tags,
	}
	if in.Description != nil {
		record.Description = *in.Description
	}
	chosen, err := s.newPolicy(ctx, there, &record, in.Policy, in.BypassPolicyLockoutSafetyCheck)
	record.Policy, record.PolicyIDs = chosen.text, chosen.ids
	return record, chosen.shown, create, err
}

// updatePrimaryRow writes the record of UpdatePrimaryRegion in the new primary's
// region.
var updatePrimaryRow = api.Table(api.Unimplemented{}).Lookup("UpdatePrimaryRegion")

// UpdatePrimaryRegion makes a replica the primary key and the primary key a
// replica. Permission is needed on both.
func (s *Service) UpdatePrimaryRegion(ctx context.Context, call *authz.Call, in *api.UpdatePrimaryRegionInput) (*api.UpdatePrimaryRegionOutput, error) {
	return again(call, func() (*api.UpdatePrimaryRegionOutput, error) { return s.updatePrimaryRegion(ctx, call, in) })
}

func (s *Service) updatePrimaryRegion(ctx context.Context, call *authz.Call, in *api.UpdatePrimaryRegionInput) (*api.UpdatePrimaryRegionOutput, error) {
	k, err := s.find(ctx, call, in.KeyId, keysOnly)
	if err != nil {
		return nil, err
	}
	conditions := conditionMap{"primaryregion": {in.PrimaryRegion}}
	if err := s.mayOwn(ctx, call, need{key: k, conditions: conditions}); err != nil {
		return nil, err
	}
	switch {
	case k.isReplica():
		return nil, api.KMSInvalidStateException(k.ARN + " is not a multi-Region primary key.")
	case !k.isPrimary():
		return nil, api.UnsupportedOperationException(k.ARN + " is not a multi-Region primary key.")
	}
	if refused := k.admits(movingPrimary); refused != nil {
		return nil, refused
	}
	call.Audit.SetResponse("keyId", k.ARN)
	if in.PrimaryRegion == k.Region {
		return &api.UpdatePrimaryRegionOutput{}, nil
	}
	if !slices.Contains(k.MultiRegion.Replicas, in.PrimaryRegion) {
		return nil, awserr.Validation(k.ID + " does not have a replica key in the specified Region.")
	}
	replica, err := s.keys.Get(ctx, scope(k.Account, in.PrimaryRegion), k.ID)
	if err != nil {
		return nil, err
	}
	if err := s.may(ctx, elsewhere(call, in.PrimaryRegion), need{key: found{key: replica}, conditions: conditions}); err != nil {
		return nil, err
	}
	if refused := replica.admits(movingPrimary); refused != nil {
		return nil, refused
	}
	events, err := s.newEvents()
	if err != nil {
		return nil, err
	}
	return authz.Commit(ctx, call, s.Store, func(tx *store.Tx) (*api.UpdatePrimaryRegionOutput, error) {
		before, err := unchanged(tx, k.key)
		if err != nil {
			return nil, err
		}
		if _, err := unchanged(tx, replica); err != nil {
			return nil, err
		}
		if err := movePrimary(tx, &before.keyRecord, in.PrimaryRegion, call.Time); err != nil {
			return nil, err
		}
		return &api.UpdatePrimaryRegionOutput{}, events.addCall(tx, 0, call, replica, updatePrimaryRow.Name,
			updatePrimaryRow.AuditRequest(nil, in), []byte(`{"keyId":"`+replica.ARN+`"}`))
	})
}

// movePrimary makes the replica in region the primary, and moves what the worker
// has to do for the key there.
func movePrimary(tx *store.Tx, old *keyRecord, region string, now time.Time) error {
	if err := deleteRotation(tx, old); err != nil {
		return err
	}
	set := old.MultiRegion.ledBy(region)
	update := func(record *keyRecord) error {
		record.MultiRegion = set
		if record.Region != region && record.Region != old.Region {
			return nil
		}
		record.State = api.KeyStateUpdating
		if err := putRotation(tx, record); err != nil {
			return err
		}
		return later(tx, record, now, finishPrimary)
	}
	if err := inSiblings(tx, old, update); err != nil {
		return err
	}
	if err := update(old); err != nil {
		return err
	}
	return keyRecords.Put(tx, scope(old.Account, old.Region), old.ID, *old)
}
