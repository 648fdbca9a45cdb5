package cloudhsm

import (
	"context"
	"encoding/pem"

	"github.com/strongroom/strongroom/internal/store"
)

// Cluster is a cluster as KMS uses it. It is shared, and must not be changed.
type Cluster struct {
	ID string
	// Initialized says that the cluster has an owner.
	Initialized bool
	// Anchor is the certificate that signed the cluster's, DER; nil before.
	Anchor []byte
	HSMs   []HSM
	// Version changes whenever anything else does.
	Version uint64
}

// HSM is one of a cluster's.
type HSM struct {
	ID, Zone string
	Device
}

func cachedCluster(_ store.Scope, item store.Item[clusterRecord]) (*Cluster, error) {
	r := &item.Value
	c := &Cluster{ID: r.ID, Initialized: r.Certificate != "", Version: item.Version}
	if block, _ := pem.Decode([]byte(r.Anchor)); block != nil {
		c.Anchor = block.Bytes
	}
	for _, h := range r.HSMs {
		c.HSMs = append(c.HSMs, HSM{h.ID, h.Zone, h.Device})
	}
	return c, nil
}

// Cluster returns a cluster of an account. Error: store.ErrNotFound.
func (s *Service) Cluster(ctx context.Context, account, region, id string) (*Cluster, error) {
	return s.clusters.Get(ctx, store.Scope{Account: account, Region: region}, id)
}

// Report takes down whether an HSM was last heard to answer: why not, or "" if it
// does. DescribeClusters shows it. It is forgotten by a restart.
func (s *Service) Report(hsm, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if why == "" {
		delete(s.troubled, hsm)
		return
	}
	s.troubled[hsm] = why
}

func (s *Service) trouble(hsm string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.troubled[hsm]
}
