package kms

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/store"
)

// grantRecord is a grant (kms.md §9). Its id in the collection is that of its key,
// a slash and its own, in the scope of the region: the grants of a key stand
// together, and those that a principal may retire are found whatever account owns
// their keys.
type grantRecord struct {
	ID string `json:"id"` // 64 hex digits
	// Account, Key and KeyCreated are the key's. A key that is made again under an
	// id that was in use before, as a replica can be, has no part in the grants of
	// the earlier one.
	Account    string    `json:"account"`
	Key        string    `json:"key"`
	KeyCreated time.Time `json:"keyCreated"`
	// Name makes a repeated request known; may be empty.
	Name    string    `json:"name,omitempty"`
	Created time.Time `json:"created"` // whole seconds
	// Issuer is the account that the grant was made from.
	Issuer   string         `json:"issuer"`
	Grantee  grantPrincipal `json:"grantee"`
	Retiring grantPrincipal `json:"retiring,omitzero"`
	// Operations are in the order of the request, each once.
	Operations  []api.GrantOperation `json:"operations"`
	Constraints grantConstraints     `json:"constraints,omitzero"`
}

// grantPrincipal is whom a grant names. The zero one is nobody.
type grantPrincipal struct {
	// Name is an ARN or, if Service is set, a service's name.
	Name    string `json:"name"`
	Service bool   `json:"service,omitempty"`
	// UniqueID is that of the user or role when the grant was made; empty if it
	// has none.
	UniqueID string `json:"uniqueId,omitempty"`
}

func grantID(key, grant string) string { return key + "/" + grant }

func (g *grantRecord) id() string { return grantID(g.Key, g.ID) }

// of reports whether the grant is one of k, and not of an earlier key of its id.
func (g *grantRecord) of(k *keyRecord) bool {
	return g.Account == k.Account && g.Key == k.ID && g.KeyCreated.Equal(k.Created)
}

func (g *grantRecord) includes(operation api.GrantOperation) bool {
	return slices.Contains(g.Operations, operation)
}

// The indexes of grants. Their values are digests, because index values are not
// sealed and names of principals say something about people; what an index finds
// is compared in full by whoever asks.
const (
	byGrantee  = "by-grantee"
	byRetiring = "by-retiring"
	byTwin     = "by-twin"
)

const grantCollection = "kms-grant"

var grantRecords = store.NewCollection(grantCollection, 1,
	store.Index[grantRecord]{Name: byGrantee, Values: func(_ string, g grantRecord) []string {
		return []string{granteeValue(g.Key, g.Grantee.Name)}
	}},
	store.Index[grantRecord]{Name: byRetiring, Values: func(_ string, g grantRecord) []string {
		if g.Retiring.Name == "" {
			return nil
		}
		return []string{digest(g.Retiring.Name)}
	}},
	store.Index[grantRecord]{Name: byTwin, Values: func(_ string, g grantRecord) []string {
		if g.Name == "" {
			return nil
		}
		return []string{g.twin()}
	}},
)

func granteeValue(key, grantee string) string { return key + "/" + digest(grantee) }

// twin is the same for two grants that one request asks for twice: all that the
// request says, and who says it, but not what the service adds.
func (g *grantRecord) twin() string {
	same := *g
	same.ID, same.Created = "", time.Time{}
	same.Operations = slices.Clone(g.Operations)
	slices.Sort(same.Operations)
	text, err := json.Marshal(same)
	if err != nil {
		panic("kms: a grant is text: " + err.Error())
	}
	return g.Key + "/" + digest(string(text))
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
