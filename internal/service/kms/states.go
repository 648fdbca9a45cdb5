package kms

import (
	"github.com/strongroom/strongroom/internal/awserr"

	api "github.com/strongroom/strongroom/api/kms"
)

// State is a key's state. The names are AWS's KeyState values.
type State = api.KeyState

// reaction is how an operation answers to a key in some state.
type reaction uint8

const (
	works reaction = iota
	disabled
	invalid
	unsupported
)

// group is a set of operations that react alike: a row of the table of states.
type group uint8

const (
	cryptographic     group = iota
	viewing                 // DescribeKey, policies, ListResourceTags, DeleteAlias
	aliasing                // CreateAlias, and UpdateAlias of its new target
	editing                 // tags and description
	switching               // EnableKey, DisableKey
	schedulingDel           // ScheduleKeyDeletion
	cancellingDel           // CancelKeyDeletion
	scheduling              // EnableKeyRotation, DisableKeyRotation
	rotating                // RotateKeyOnDemand
	viewingRotation         // GetKeyRotationStatus, ListKeyRotations
	replicating             // ReplicateKey
	movingPrimary           // UpdatePrimaryRegion
	gettingParameters       // GetParametersForImport
	importing               // ImportKeyMaterial
	deletingMaterial        // DeleteImportedKeyMaterial
	showingPublic           // GetPublicKey
	granting                // CreateGrant
	groups                  // how many there are
)

// reactions is the table of kms.md §6, one column per state, for the operations
// that exist so far.
var reactions = [groups]map[State]reaction{
	cryptographic: {
		api.KeyStateEnabled: works, api.KeyStateDisabled: disabled,
		api.KeyStatePendingDeletion: invalid, api.KeyStatePendingReplicaDeletion: invalid,
		api.KeyStatePendingImport: invalid, api.KeyStateUnavailable: invalid,
		api.KeyStateCreating: invalid, api.KeyStateUpdating: works,
	},
	viewing: {
		api.KeyStateEnabled: works, api.KeyStateDisabled: works,
		api.KeyStatePendingDeletion: works, api.KeyStatePendingReplicaDeletion: works,
		api.KeyStatePendingImport: works, api.KeyStateUnavailable: works,
		api.KeyStateCreating: works, api.KeyStateUpdating: works,
	},
	aliasing: {
		api.KeyStateEnabled: works, api.KeyStateDisabled: works,
		api.KeyStatePendingDeletion: invalid, api.KeyStatePendingReplicaDeletion: invalid,
		api.KeyStatePendingImport: works, api.KeyStateUnavailable: works,
		api.KeyStateCreating: works, api.KeyStateUpdating: works,
	},
	editing: {
		api.KeyStateEnabled: works, api.KeyStateDisabled: works,
		api.KeyStatePendingDeletion: invalid, api.KeyStatePendingReplicaDeletion: invalid,
		api.KeyStatePendingImport: works, api.KeyStateUnavailable: works,
		api.KeyStateCreating: works, api.KeyStateUpdating: works,
	},
	switching: {
		api.KeyStateEnabled: works, api.KeyStateDisabled: works,
		api.KeyStatePendingDeletion: invalid, api.KeyStatePendingReplicaDeletion: invalid,
		api.KeyStatePendingImport: invalid, api.KeyStateUnavailable: works,
		api.KeyStateCreating: invalid, api.KeyStateUpdating: invalid,
	},
	schedulingDel: {
		api.KeyStateEnabled: works, api.KeyStateDisabled: works,
		api.KeyStatePendingDeletion: invalid, api.KeyStatePendingReplicaDeletion: invalid,
		api.KeyStatePendingImport: works, api.KeyStateUnavailable: works,
		api.KeyStateCreating: works, api.KeyStateUpdating: invalid,
	},
	cancellingDel: {
		api.KeyStateEnabled: invalid, api.KeyStateDisabled: invalid,
		api.KeyStatePendingDeletion: works, api.KeyStatePendingReplicaDeletion: works,
		api.KeyStatePendingImport: invalid, api.KeyStateUnavailable: invalid,
		api.KeyStateCreating: invalid, api.KeyStateUpdating: invalid,
	},
	showingPublic: {
		api.KeyStateEnabled: works, api.KeyStateDisabled: works,
		api.KeyStatePendingDeletion: invalid, api.KeyStatePendingReplicaDeletion: invalid,
		api.KeyStatePendingImport: invalid, api.KeyStateUnavailable: invalid,
		api.KeyStateCreating: invalid, api.KeyStateUpdating: works,
	},
	// A key that waits for material has origin EXTERNAL, which the operations of
	// the schedule refuse in words of their own.
	scheduling: {
		api.KeyStateEnabled: works, api.KeyStateDisabled: disabled,
		api.KeyStatePendingDeletion: invalid, api.KeyStatePendingReplicaDeletion: invalid,
		api.KeyStatePendingImport: works, api.KeyStateUnavailable: unsupported,
		api.KeyStateCreating: invalid, api.KeyStateUpdating: works,
	},
	rotating: {
		api.KeyStateEnabled: works, api.KeyStateDisabled: disabled,
		api.KeyStatePendingDeletion: invalid, api.KeyStatePendingReplicaDeletion: invalid,
		api.KeyStatePendingImport: invalid, api.KeyStateUnavailable: unsupported,
		api.KeyStateCreating: invalid, api.KeyStateUpdating: works,
	},
	viewingRotation: {
		api.KeyStateEnabled: works, api.KeyStateDisabled: works,
		api.KeyStatePendingDeletion: works, api.KeyStatePendingReplicaDeletion: works,
		api.KeyStatePendingImport: works, api.KeyStateUnavailable: unsupported,
		api.KeyStateCreating: works, api.KeyStateUpdating: works,
	},
	replicating: {
		api.KeyStateEnabled: works, api.KeyStateDisabled: disabled,
		api.KeyStatePendingDeletion: invalid, api.KeyStatePendingReplicaDeletion: invalid,
		api.KeyStatePendingImport: invalid, api.KeyStateUnavailable: invalid,
		api.KeyStateCreating: invalid, api.KeyStateUpdating: invalid,
	},
	movingPrimary: {
		api.KeyStateEnabled: works, api.KeyStateDisabled: disabled,
		api.KeyStatePendingDeletion: invalid, api.KeyStatePendingReplicaDeletion: invalid,
		api.KeyStatePendingImport: invalid, api.KeyStateUnavailable: invalid,
		api.KeyStateCreating: invalid, api.KeyStateUpdating: works,
	},
	granting: {
		api.KeyStateEnabled: works, api.KeyStateDisabled: disabled,
		api.KeyStatePendingDeletion: invalid, api.KeyStatePendingReplicaDeletion: invalid,
		api.KeyStatePendingImport: invalid, api.KeyStateUnavailable: works,
		api.KeyStateCreating: invalid, api.KeyStateUpdating: works,
	},
	gettingParameters: {
		api.KeyStateEnabled: works, api.KeyStateDisabled: works,
		api.KeyStatePendingDeletion: invalid, api.KeyStatePendingReplicaDeletion: invalid,
		api.KeyStatePendingImport: works, api.KeyStateUnavailable: unsupported,
		api.KeyStateCreating: invalid, api.KeyStateUpdating: invalid,
	},
	importing: {
		api.KeyStateEnabled: works, api.KeyStateDisabled: works,
		api.KeyStatePendingDeletion: invalid, api.KeyStatePendingReplicaDeletion: invalid,
		api.KeyStatePendingImport: works, api.KeyStateUnavailable: unsupported,
		api.KeyStateCreating: invalid, api.KeyStateUpdating: works,
	},
	deletingMaterial: {
		api.KeyStateEnabled: works, api.KeyStateDisabled: works,
		api.KeyStatePendingDeletion: works, api.KeyStatePendingReplicaDeletion: works,
		api.KeyStatePendingImport: works, api.KeyStateUnavailable: invalid,
		api.KeyStateCreating: invalid, api.KeyStateUpdating: invalid,
	},
}

// stateWords complete "<arn> is …" in the messages of KMSInvalidStateException.
var stateWords = map[State]string{
	api.KeyStatePendingDeletion:        "pending deletion",
	api.KeyStatePendingReplicaDeletion: "pending replica deletion",
	api.KeyStatePendingImport:          "pending import",
	api.KeyStateUnavailable:            "unavailable",
	api.KeyStateCreating:               "creating",
	api.KeyStateUpdating:               "updating",
}

// admits returns nil if an operation of group g works on k as it is, and the
// exception that AWS answers otherwise. A state that the table lacks admits
// nothing.
func (k *key) admits(g group) *awserr.Error {
	r, known := reactions[g][k.State]
	switch {
	case known && r == works:
		return nil
	case known && r == disabled:
		return api.DisabledException(k.ARN + " is disabled.")
	case known && r == unsupported:
		return api.UnsupportedOperationException("")
	case g == cryptographic && k.State == api.KeyStateUnavailable && k.Store != "":
		return api.KMSInvalidStateException(unconnected(&k.keyRecord))
	case g == cancellingDel && known:
		return api.KMSInvalidStateException(k.ARN + " is not pending deletion.")
	default:
		return api.KMSInvalidStateException(k.ARN + " is " + stateWords[k.State] + ".")
	}
}
