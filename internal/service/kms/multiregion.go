package kms

import (
	"slices"
	"strings"
	"time"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/store"
)

// multiRegion says where the keys of a multi-Region key are (kms.md §13). Each
// region has a record of its own, with its own policy, tags, description and state;
// what they share (materials, rotation and this) is the same in all of them,
// because every change of it is one transaction over all.
type multiRegion struct {
	Primary  string   `json:"primary"`
	Replicas []string `json:"replicas,omitempty"` // sorted
}

// regions are all regions, the primary's first.
func (m *multiRegion) regions() []string { return append([]string{m.Primary}, m.Replicas...) }

// with returns m with one replica more, without with one less.
func (m *multiRegion) with(region string) *multiRegion {
	replicas := append(slices.Clone(m.Replicas), region)
	slices.Sort(replicas)
	return &multiRegion{m.Primary, replicas}
}

func (m *multiRegion) without(region string) *multiRegion {
	return &multiRegion{m.Primary, slices.DeleteFunc(slices.Clone(m.Replicas), func(r string) bool { return r == region })}
}

// ledBy returns m after the replica in region has become the primary.
func (m *multiRegion) ledBy(region string) *multiRegion {
	now := m.without(region).with(m.Primary)
	now.Primary = region
	return now
}

// isReplica tells whether the key is a replica.
func (r *keyRecord) isReplica() bool {
	return r.MultiRegion != nil && r.MultiRegion.Primary != r.Region
}

// isPrimary tells whether it is a multi-Region primary key.
func (r *keyRecord) isPrimary() bool {
	return r.MultiRegion != nil && r.MultiRegion.Primary == r.Region
}

func (r *keyRecord) inSeveralRegions() bool {
	return r.MultiRegion != nil && len(r.MultiRegion.Replicas) > 0
}

// hasReplicas tells whether it is a primary key that replicas depend on.
func (r *keyRecord) hasReplicas() bool { return r.isPrimary() && r.inSeveralRegions() }

func (r *keyRecord) multiRegionType() api.MultiRegionKeyType {
	if r.isReplica() {
		return api.MultiRegionKeyTypeReplica
	}
	return api.MultiRegionKeyTypePrimary
}

// multiRegionConfiguration is what KeyMetadata shows of it, the same on all keys
// but for the type.
func (k *key) multiRegionConfiguration() *api.MultiRegionConfiguration {
	in := func(region string) api.MultiRegionKey {
		return api.MultiRegionKey{Arn: keyARN(authz.PartitionOf(region), region, k.Account, k.ID), Region: region}
	}
	primary := in(k.MultiRegion.Primary)
	c := &api.MultiRegionConfiguration{
		MultiRegionKeyType: k.multiRegionType(),
		PrimaryKey:         &primary,
		ReplicaKeys:        []api.MultiRegionKey{},
	}
	for _, region := range k.MultiRegion.Replicas {
		c.ReplicaKeys = append(c.ReplicaKeys, in(region))
	}
	return c
}

// siblings are the keys that record's key has in other regions; none for a
// single-Region key.
func siblings(tx *store.Tx, record *keyRecord) ([]keyRecord, error) {
	if record.MultiRegion == nil {
		return nil, nil
	}
	var all []keyRecord
	for _, region := range record.MultiRegion.regions() {
		if region == record.Region {
			continue
		}
		sibling, err := keyRecords.Get(tx, scope(record.Account, region), record.ID)
		if err != nil {
			return nil, err
		}
		all = append(all, sibling)
	}
	return all, nil
}

// inSiblings changes the siblings in the commit that changes record itself.
func inSiblings(tx *store.Tx, record *keyRecord, change func(sibling *keyRecord) error) error {
	all, err := siblings(tx, record)
	if err != nil {
		return err
	}
	for i := range all {
		if err := change(&all[i]); err != nil {
			return err
		}
		if err := keyRecords.Put(tx, scope(all[i].Account, all[i].Region), all[i].ID, all[i]); err != nil {
			return err
		}
	}
	return nil
}

// shareRotation gives the replicas the primary's rotation.
func shareRotation(tx *store.Tx, record *keyRecord, events *serviceEvents) error {
	err := inSiblings(tx, record, func(sibling *keyRecord) error {
		sibling.Rotation = record.Rotation
		return nil
	})
	if err != nil {
		return err
	}
	return events.addSynchronization(tx, record)
}

// leaveSiblings takes a key that was deleted out of its multi-Region key. When the
// last replica goes from a primary key that waits for that, its own waiting period
// starts.
func leaveSiblings(tx *store.Tx, k *key, now time.Time) error {
	return inSiblings(tx, &k.keyRecord, func(sibling *keyRecord) error {
		sibling.MultiRegion = sibling.MultiRegion.without(k.Region)
		if sibling.State == api.KeyStatePendingReplicaDeletion && !sibling.hasReplicas() {
			return startWaiting(tx, sibling, now)
		}
		return nil
	})
}

// finish ends what ReplicateKey and UpdatePrimaryRegion began: a key that is still
// in the state that they left becomes usable.
func finish(state State, events *serviceEvents) job {
	return func(tx *store.Tx, k *key) error {
		if k.State != state {
			return nil
		}
		record := k.keyRecord
		record.State = api.KeyStateEnabled
		if !record.complete() {
			record.State = api.KeyStatePendingImport
		}
		if err := keyRecords.Put(tx, scope(k.Account, k.Region), k.ID, record); err != nil {
			return err
		}
		if state == api.KeyStateUpdating && record.isReplica() {
			return nil // the new primary's task records it
		}
		return events.addSynchronization(tx, &record)
	}
}

// namesElsewhere tells whether a KeyId is the ARN of a multi-Region key in another
// region: a ciphertext of it does open here, but not under that name.
func namesElsewhere(call *authz.Call, id string) bool {
	part := strings.SplitN(id, ":", 6)
	return len(part) == 6 && part[0] == "arn" && part[1] == call.Partition && part[2] == "kms" && part[3] != call.Region &&
		isAccount(part[4]) && strings.HasPrefix(part[5], "key/"+multiRegionPrefix)
}

// elsewhere returns the call as it is in another region, to ask for permissions
// there.
func elsewhere(call *authz.Call, region string) *authz.Call {
	there := *call
	there.Region, there.Partition = region, authz.PartitionOf(region)
	return &there
}

func errReplica(k *key, operation string) *awserr.Error {
	return api.UnsupportedOperationException(k.ARN + " is a multi-region replica key which is not valid for " + operation + ".")
}

// later puts a task before the worker that it does at once.
func later(tx *store.Tx, record *keyRecord, now time.Time, task dueTask) error {
	due := dueRecord{At: now.Truncate(time.Millisecond), Account: record.Account, Key: record.ID, Task: task}
	return dueRecords.Put(tx, regionScope(record.Region), due.id(), due)
}
