package iam

import (
	"strings"
	"time"

	"github.com/strongroom/strongroom/internal/store"
)

// kind tells users, groups and roles apart. It is the word in their ARNs.
type kind string

const (
	userKind  kind = "user"
	groupKind kind = "group"
	roleKind  kind = "role"
)

// identityRecord is a user, group or role with everything that a decision needs
// of it. Its id in the collection is the unique id, so that whoever is deleted
// and made anew under the same name is someone else.
type identityRecord struct {
	Kind    kind      `json:"kind"`
	Name    string    `json:"name"`
	Path    string    `json:"path"`
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	Tags    []tag     `json:"tags,omitempty"`
	// Inline are the inline policies, sorted by name.
	Inline []inlinePolicy `json:"inline,omitempty"`
	// Attached are the ARNs of managed policies, in the order of attachment.
	Attached []string `json:"attached,omitempty"`
	// Boundary is the ARN of the permissions boundary of a user or role.
	Boundary string `json:"boundary,omitempty"`
	// Groups are the unique ids of a user's groups.
	Groups []string `json:"groups,omitempty"`
	// Role is what only roles have.
	Role *roleRecord `json:"role,omitempty"`
}

// roleRecord is what a role has beside what users have as well.
type roleRecord struct {
	Description string `json:"description"`
	// MaxSession is the longest session, in seconds.
	MaxSession int32 `json:"maxSession"`
	// Trust is the trust policy as it was given.
	Trust string `json:"trust"`
	// TrustIDs has the unique ids of the users and roles that Trust names by ARN,
	// as they were when it was written.
	TrustIDs map[string]string `json:"trustIds,omitempty"`
	// Service is the principal of the service that the role is linked to; empty for
	// others.
	Service string `json:"service,omitempty"`
}

type tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

type inlinePolicy struct {
	Name     string `json:"name"`
	Document string `json:"document"`
}

// policyRecord is a customer managed policy. Its id in the collection is the name
// in lower case: names differ by more than case (IAM quotas, "IAM name
// requirements").
type policyRecord struct {
	Name        string    `json:"name"`
	Path        string    `json:"path"`
	ID          string    `json:"id"`
	Description string    `json:"description,omitempty"`
	Created     time.Time `json:"created"`
	Updated     time.Time `json:"updated"`
	Tags        []tag     `json:"tags,omitempty"`
	// Versions are the versions that there are, the oldest first; Default is the
	// number of the one in force, Last the highest that was ever given.
	Versions []policyVersion `json:"versions"`
	Default  int             `json:"default"`
	Last     int             `json:"last"`
}

type policyVersion struct {
	Number   int       `json:"number"`
	Document string    `json:"document"`
	Created  time.Time `json:"created"`
}

// accountRecord is an account. Its id in the collection is the account's.
type accountRecord struct {
	Name         string    `json:"name,omitempty"`
	Email        string    `json:"email,omitempty"`
	Created      time.Time `json:"created"`
	RootDisabled bool      `json:"rootDisabled,omitempty"`
}

// accessKeyRecord is an access key of an account's root or of a user. Its id in
// the collection is the access key id.
type accessKeyRecord struct {
	Account string `json:"account"`
	// User is the unique id of the user; empty for the root.
	User    string    `json:"user,omitempty"`
	Active  bool      `json:"active"`
	Created time.Time `json:"created"`
	// Secret is sealed and bound to access key id and account.
	Secret []byte `json:"secret"`
}

// owner is the value that the keys of one root or user are found by.
func (k accessKeyRecord) owner() string { return k.Account + "/" + k.User }

// Names of the collections.
const (
	identityCollection  = "iam-identity"
	policyCollection    = "iam-policy"
	accessKeyCollection = "iam-access-key"
	accountCollection   = "iam-account"
)

// Names of the indexes.
const (
	byName     = "by-name"     // identities: kind and name
	byPolicy   = "by-policy"   // identities: ARNs of attached policies
	byBoundary = "by-boundary" // identities: the ARN of the boundary
	byGroup    = "by-group"    // users: unique ids of their groups
	byOwner    = "by-owner"    // access keys: account and user
)

var (
	identityRecords = store.NewCollection(identityCollection, 1,
		store.Index[identityRecord]{
			Name:   byName,
			Values: func(_ string, i identityRecord) []string { return []string{nameValue(i.Kind, i.Name)} },
		},
		store.Index[identityRecord]{
			Name:   byPolicy,
			Values: func(_ string, i identityRecord) []string { return i.Attached },
		},
		store.Index[identityRecord]{
			Name: byBoundary,
			Values: func(_ string, i identityRecord) []string {
				if i.Boundary == "" {
					return nil
				}
				return []string{i.Boundary}
			},
		},
		store.Index[identityRecord]{
			Name:   byGroup,
			Values: func(_ string, i identityRecord) []string { return i.Groups },
		},
	)
	policyRecords    = store.NewCollection[policyRecord](policyCollection, 1)
	accountRecords   = store.NewCollection[accountRecord](accountCollection, 1)
	accessKeyRecords = store.NewCollection(accessKeyCollection, 1, store.Index[accessKeyRecord]{
		Name:   byOwner,
		Values: func(_ string, k accessKeyRecord) []string { return []string{k.owner()} },
	})
)

// nameValue is the index value of a name: one name, whatever its case.
func nameValue(k kind, name string) string { return string(k) + "/" + strings.ToLower(name) }

// scopeOf holds an account's identities and policies: IAM knows no regions.
func scopeOf(account string) store.Scope { return store.Scope{Account: account, Region: "-"} }
