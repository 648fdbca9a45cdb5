package kms

import (
	"time"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/store"
)

// keyRecord is a KMS key as it is stored: all that an authorisation and an
// operation read of it, so that one version covers them.
type keyRecord struct {
	Account     string           `json:"account"`
	Region      string           `json:"region"`
	ID          string           `json:"id"`
	Created     time.Time        `json:"created"`
	Description string           `json:"description"`
	Spec        api.KeySpec      `json:"spec"`
	Usage       api.KeyUsageType `json:"usage"`
	Origin      api.OriginType   `json:"origin"`
	State       State            `json:"state"`
	// DeletionDate and PendingWindow (days) are set while deletion is pending.
	DeletionDate  *time.Time `json:"deletionDate,omitempty"`
	PendingWindow int32      `json:"pendingWindow,omitempty"`
	// Policy is the key policy in AWS KMS's layout, with the unique ids of the users,
	// roles and sessions that it names in place of their ARNs. Policies that were
	// stored before unique ids were kept hold ARNs, and go on meaning whoever bears
	// them, until they are put again.
	Policy string `json:"policy"`
	// PolicyIDs has the account of each unique id in Policy.
	PolicyIDs map[string]string `json:"policyIds,omitempty"`
	Tags      []tag             `json:"tags,omitempty"`
	// Materials are wrapped by the keyring, the newest and current one last.
	Materials []generation `json:"materials"`
	// Rotation is what is planned; what was done stands with the materials.
	Rotation rotation `json:"rotation,omitzero"`
	// MultiRegion is set for multi-Region keys.
	MultiRegion *multiRegion `json:"multiRegion,omitempty"`
	// Pending is imported material that waits to become the current one.
	Pending *pendingMaterial `json:"pending,omitempty"`
	// Grants is how many grants there are on the key. Every change of a grant is a
	// change of the key with it, so that whatever was authorised upon a version of
	// the key holds as far as its grants go too.
	Grants int `json:"grants,omitempty"`
	// Manager is AWS for the keys that services have made; empty for a customer's.
	Manager api.KeyManagerType `json:"manager,omitempty"`
	// Store is the custom key store that the key is in, ExternalKey the id of the
	// key behind the store's proxy (XksKeyId).
	Store       string `json:"store,omitempty"`
	ExternalKey string `json:"externalKey,omitempty"`
	// Cluster is the CloudHSM cluster of that key store, if it is of one.
	Cluster string `json:"cluster,omitempty"`
}

type tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// aliasRecord is an alias; its id in the collection is the name with its prefix.
type aliasRecord struct {
	Account string    `json:"account"`
	Region  string    `json:"region"`
	Name    string    `json:"name"`
	Target  string    `json:"target"`
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
}

// ownerRecord tells which account of a region has a key id, for ciphertexts: they
// name a key by its id alone.
type ownerRecord struct {
	Account string `json:"account"`
}

// dueRecord is something that the worker has to do at a time; its id starts with
// that time, so that the first record of a region is the next thing to do.
type dueRecord struct {
	At      time.Time `json:"at"`
	Account string    `json:"account"`
	Key     string    `json:"key"` // or the key store
	Task    dueTask   `json:"task"`
	// Material is the id of the material that expires or is to be destroyed.
	Material string `json:"material,omitempty"`
}

type dueTask string

const (
	deleteKey      dueTask = "delete-key"
	deleteGrants   dueTask = "delete-grants" // of a key that is gone
	rotateKey      dueTask = "rotate-key"    // automatically
	rotateOnDemand dueTask = "rotate-on-demand"
	finishReplica  dueTask = "finish-replica"
	finishPrimary  dueTask = "finish-primary" // after UpdatePrimaryRegion
	expireMaterial dueTask = "expire-material"
	connectStore   dueTask = "connect-store"
	// destroyMaterial is to be done in the cluster of a key store, of which Key is the
	// id.
	destroyMaterial dueTask = "destroy-material"
)

func (d dueRecord) id() string {
	id := store.TimeValue(d.At) + "/" + d.Account + "/" + d.Key + "/" + string(d.Task)
	if d.Material != "" {
		id += "/" + d.Material
	}
	return id
}

// byTarget finds the aliases of a key.
const byTarget = "by-target"

// Names of the collections.
const (
	keyCollection   = "kms-key"
	aliasCollection = "kms-alias"
	ownerCollection = "kms-owner"
	dueCollection   = "kms-due"
)

var (
	keyRecords   = store.NewCollection[keyRecord](keyCollection, 4)
	aliasRecords = store.NewCollection(aliasCollection, 1, store.Index[aliasRecord]{
		Name:   byTarget,
		Values: func(_ string, a aliasRecord) []string { return []string{a.Target} },
	})
	ownerRecords = store.NewCollection[ownerRecord](ownerCollection, 1)
	dueRecords   = store.NewCollection[dueRecord](dueCollection, 2)
	// useRecords hold the last use of a key, under the key's id, where the audit trail
	// does not have its record any more.
	useRecords = store.NewCollection[Use]("kms-last-use", 1)
)

func scope(account, region string) store.Scope {
	return store.Scope{Account: account, Region: region}
}

// regionScope holds what belongs to a region and no account.
func regionScope(region string) store.Scope { return store.Scope{Account: "-", Region: region} }
