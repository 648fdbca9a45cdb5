package cloudhsm

import (
	"time"

	api "github.com/strongroom/strongroom/api/cloudhsm"
	"github.com/strongroom/strongroom/internal/store"
)

// clusterRecord is a cluster with its HSMs; its id is the cluster's.
type clusterRecord struct {
	Account string    `json:"account"`
	Region  string    `json:"region"`
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	// Type and Mode are names that the caller gave: they say nothing of the modules.
	Type    string          `json:"type"`
	Mode    api.ClusterMode `json:"mode"`
	Network api.NetworkType `json:"network"`
	// Subnets are by Availability Zone.
	Subnets map[string]string `json:"subnets"`
	// Retention is in days.
	Retention string      `json:"retention"`
	Tags      []tag       `json:"tags,omitempty"`
	HSMs      []hsmRecord `json:"hsms,omitempty"`
	// Request is the certificate request, PEM; it comes with the first HSM.
	Request string `json:"request,omitempty"`
	// Certificate and Anchor are set when the cluster is initialised, PEM.
	Certificate string `json:"certificate,omitempty"`
	Anchor      string `json:"anchor,omitempty"`
}

// hsmRecord is an HSM of a cluster: a slot, as it was when the HSM was made.
type hsmRecord struct {
	ID   string `json:"id"`
	Zone string `json:"zone"`
	Slot string `json:"slot"`
	Device
}

// Device says which token an HSM is.
type Device struct {
	// Module is the absolute path of the PKCS #11 library.
	Module string `json:"module"`
	// Label, Serial and Number find the token; those that are set must all fit.
	Label  string  `json:"label,omitempty"`
	Serial string  `json:"serial,omitempty"`
	Number *uint64 `json:"number,omitempty"`
}

// slotRecord is a token that the operator has made known; its id is its name.
type slotRecord struct {
	Name string `json:"name"`
	Device
	Zone    string    `json:"zone"`
	Account string    `json:"account"`
	Added   time.Time `json:"added"`
	// Cluster and HSM are set while the slot is taken.
	Cluster string `json:"cluster,omitempty"`
	HSM     string `json:"hsm,omitempty"`
}

type tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

var (
	clusterRecords = store.NewCollection[clusterRecord]("cloudhsm-cluster", 1)
	slotRecords    = store.NewCollection[slotRecord]("cloudhsm-slot", 1)

	// everywhere is the scope of what belongs to the deployment.
	everywhere = store.Scope{Account: "-", Region: "-"}
)

func (r *clusterRecord) scope() store.Scope {
	return store.Scope{Account: r.Account, Region: r.Region}
}

// scanned is how many records are read at once.
const scanned = 100
