package xksproxy

import (
	"time"

	"github.com/strongroom/strongroom/internal/store"
)

// storeRecord is a store that is offered; its id is its name.
type storeRecord struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	// Account and Region are where its keys are.
	Account string `json:"account"`
	Region  string `json:"region"`
	// Keys are the ids of the keys that it offers.
	Keys  []string `json:"keys"`
	Rules Rules    `json:"rules"`
	// Killed is when the store was switched off.
	Killed *time.Time `json:"killed,omitempty"`
	// Credentials are the access key ids that it knows, the oldest first.
	Credentials []string `json:"credentials"`
}

// path is where the store's API is.
func (r *storeRecord) path() string { return "/" + r.Name + apiPath }

const apiPath = "/kms/xks/v1"

// credentialRecord is a credential of a store; its id is the access key id.
type credentialRecord struct {
	Store   string    `json:"store"`
	Created time.Time `json:"created"`
	// Secret is sealed and bound to store and access key id.
	Secret []byte `json:"secret"`
}

var (
	storeRecords      = store.NewCollection[storeRecord]("xks-proxy-store", 1)
	credentialRecords = store.NewCollection[credentialRecord]("xks-proxy-credential", 1)

	// everywhere is the scope of what belongs to the deployment.
	everywhere = store.Scope{Account: "-", Region: "-"}
)

func secretBinding(storeName, accessKeyID string) []byte {
	return []byte("xks-proxy/" + storeName + "/" + accessKeyID)
}
