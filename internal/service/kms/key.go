package kms

import (
	"fmt"
	"sync/atomic"
	"time"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/policy"
)

// key is a key record made ready for use. It is shared between calls and never
// changed.
type key struct {
	keyRecord
	ARN string
	// Version is the store's version of the record that it was made from.
	Version uint64

	policy *policy.Source
	spec   *keySpec
	older  []keyring.Material // for ref
	// expiry is when the first of its imported materials does; zero if none does.
	expiry time.Time
	// names are those of its aliases, nil until someone asked (aliasNames). Every
	// change of them is a new version of the key.
	names atomic.Pointer[[]string]
	// shape is what it was unpacked with; nil if it was not.
	shape *keyShape
}

// sourceName begins the names of key policies, which go on with the key's ARN.
const sourceName = "key policy of "

func newKey(record keyRecord, partition string, version uint64) (*key, error) {
	arn := keyARN(partition, record.Region, record.Account, record.ID)
	document, err := compilePolicy(&documents, record.Policy)
	if err != nil {
		return nil, fmt.Errorf("kms: the stored policy of %s: %w", arn, err)
	}
	record.Policy = document.Text() // the same, in memory that others with it share
	spec := specOf(record.Spec)
	if spec == nil {
		return nil, fmt.Errorf("kms: %s has the key spec %q, which this version does not know", arn, record.Spec)
	}
	k := &key{
		keyRecord: record,
		ARN:       arn,
		Version:   version,
		policy:    &policy.Source{Name: sourceName + arn, Document: document},
		spec:      spec,
	}
	for i := range len(record.Materials) - 1 {
		k.older = append(k.older, record.Materials[i].Material)
	}
	for _, g := range record.Materials {
		if due, ok := record.expires(&g); ok && (k.expiry.IsZero() || due.At.Before(k.expiry)) {
			k.expiry = due.At
		}
	}
	return k, nil
}

// expired tells whether material has expired that the worker has not taken away yet: a
// machine that was suspended answers before it.
func (k *key) expired(now time.Time) bool { return !k.expiry.IsZero() && !now.Before(k.expiry) }

// current is the material that new ciphertexts are made with; the zero value as
// long as none was imported.
func (k *key) current() keyring.Material {
	if len(k.Materials) == 0 {
		return keyring.Material{}
	}
	return k.Materials[len(k.Materials)-1].Material
}

// ref is how the keyring is told which key to use.
func (k *key) ref() keyring.KeyRef {
	return keyring.KeyRef{KeyID: k.ID, Current: k.current(), Older: k.older}
}

// metadata is the KeyMetadata that answers show.
func (k *key) metadata() *api.KeyMetadata {
	created := k.Created
	enabled := k.State == api.KeyStateEnabled
	multiRegion := k.MultiRegion != nil
	lists := k.algorithmLists()
	m := &api.KeyMetadata{
		AWSAccountId:            k.Account,
		KeyId:                   k.ID,
		Arn:                     k.ARN,
		CreationDate:            &created,
		Enabled:                 enabled,
		Description:             &k.Description,
		KeyUsage:                k.Usage,
		KeyState:                k.State,
		DeletionDate:            k.DeletionDate,
		Origin:                  k.Origin,
		KeyManager:              api.KeyManagerTypeCustomer,
		CustomerMasterKeySpec:   api.CustomerMasterKeySpec(k.Spec),
		KeySpec:                 k.Spec,
		EncryptionAlgorithms:    lists.encryption,
		SigningAlgorithms:       lists.signing,
		KeyAgreementAlgorithms:  lists.agreement,
		EncapsulationAlgorithms: lists.encapsulation,
		MultiRegion:             &multiRegion,
		MacAlgorithms:           lists.mac,
	}
	if k.Manager != "" {
		m.KeyManager = k.Manager
	}
	if k.State != api.KeyStateCreating {
		m.CurrentKeyMaterialId = materialOf(k)
	}
	if k.Store != "" {
		m.CustomKeyStoreId = k.Store
		m.CloudHsmClusterId = k.Cluster
		if k.Cluster == "" {
			m.XksKeyConfiguration = &api.XksKeyConfigurationType{Id: k.ExternalKey}
		}
	}
	if n := len(k.Materials); n > 0 && k.Materials[n-1].Import != nil && k.Materials[n-1].present() {
		m.ExpirationModel, m.ValidTo = k.Materials[n-1].Import.ExpirationModel, k.Materials[n-1].Import.ValidTo
	}
	if multiRegion {
		m.MultiRegionConfiguration = k.multiRegionConfiguration()
	}
	if k.State == api.KeyStatePendingReplicaDeletion {
		window := k.PendingWindow
		m.PendingDeletionWindowInDays = &window
	}
	return m
}
