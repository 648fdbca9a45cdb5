// Package cloudhsm is AWS CloudHSM v2 (API version 2017-04-28): clusters of HSMs,
// which KMS makes key stores of.
//
// An HSM of a cluster is a PKCS #11 token that the operator of this deployment has
// and has made known as a slot ([Service.AddSlot]), in an Availability Zone. CreateHsm
// takes a free one, DeleteHsm gives it back; no caller of the API names a library or a
// token. The crypto user kmsuser is the token's user, and its password that user's
// PIN, which this package never sees.
//
// # What differs from AWS
//
// A token brings its own keys and users: nothing here initialises one, and there are
// no backups. So an initialised cluster is ACTIVE at once, and what is said of backups
// is that there are none. Nobody speaks TLS with an HSM; the cluster's certificate is
// made and checked as AWS does, because KMS wants its trust anchor shown again by
// whoever makes a key store: it is the proof of who owns the cluster. The private key
// of the certificate request is forgotten at once.
package cloudhsm

import (
	"context"
	"io"
	"sync"

	api "github.com/strongroom/strongroom/api/cloudhsm"
	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
)

// Config is what the service needs. Every field must be set.
type Config struct {
	Store *store.Store
	// Account is whose slots are that name no account.
	Account string
	// Regions are the regions of the deployment, at least one.
	Regions []string
	Clock   clock.Clock
	// Rand gives ids and the keys of certificate requests.
	Rand io.Reader
	// MarkerKey authenticates pagination tokens, 32 bytes.
	MarkerKey secret.Bytes
}

// Service implements the operations of AWS CloudHSM. It is safe for concurrent use.
type Service struct {
	api.Unimplemented
	Config

	clusters *store.Cache[clusterRecord, *Cluster]

	mu sync.Mutex
	// troubled are the HSMs that were last heard not to answer, by their ids, and why.
	troubled map[string]string
}

var _ api.Handler = (*Service)(nil)

const cachedClusters = 1000

// New returns the service over what cfg hands in. Close releases it.
func New(cfg Config) *Service {
	return &Service{Config: cfg, troubled: map[string]string{}, clusters: store.NewCache(cfg.Store, clusterRecords, cachedClusters, cachedCluster)}
}

// Close stops following the store.
func (s *Service) Close() { s.clusters.Close() }

// Reset forgets all clusters and lets their slots go, for dev servers.
func (s *Service) Reset(ctx context.Context) error {
	return s.Store.Update(ctx, func(tx *store.Tx) error {
		scopes, err := store.Scopes(tx)
		if err != nil {
			return err
		}
		for _, scope := range scopes {
			for more := true; more; {
				var items []store.Item[clusterRecord]
				if items, more, err = clusterRecords.Scan(tx, scope, "", scanned); err != nil {
					return err
				}
				for _, item := range items {
					for _, h := range item.Value.HSMs {
						if err := free(tx, h.Slot); err != nil {
							return err
						}
					}
					if err := clusterRecords.Delete(tx, scope, item.ID); err != nil {
						return err
					}
				}
			}
		}
		return nil
	})
}
