// Package trail is the audit trail as AWS CloudTrail shows it: trails, their
// selectors and tags, the public keys that delivered digests verify with, and the
// lookup of events.
//
// A trail says which records of the journal go where; package delivery takes
// them there. Limits, names and errors are those of the CloudTrail API Reference
// (2013-11-01). A trail belongs to its home Region; a multi-Region trail is shown
// in the others as its shadow, and changed at home alone.
//
// The threat that it answers is a caller who sends the trail somewhere else: a
// bucket is one that the operator has made known, with the server's credentials
// for it, and no caller names an endpoint.
package trail

import (
	"context"
	"io"

	api "github.com/strongroom/strongroom/api/cloudtrail"
	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/delivery"
	"github.com/strongroom/strongroom/internal/journal/index"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
)

// Config is what the service needs.
type Config struct {
	// Store must be set.
	Store *store.Store
	// Records finds audit records; it must be set.
	Records *index.Index
	// Tokens seals what continues a lookup; it must be set.
	Tokens index.Box
	// Clock must be set.
	Clock clock.Clock
	// Rand must be set: the ids of trails and the salts of tokens come from it.
	Rand io.Reader
	// Regions are the regions of the deployment, at least one.
	Regions []string
	// MarkerKey authenticates pagination tokens, 32 bytes.
	MarkerKey secret.Bytes
	// Deliveries must be set.
	Deliveries Deliveries
	// Keys must be set.
	Keys Keys
}

// Keys knows the KMS keys that trails may be encrypted under.
type Keys interface {
	// Try uses a key for a trail, as its delivery will, and returns the key's ARN. Its
	// error is KMS's own.
	Try(ctx context.Context, t *delivery.Trail, key string) (arn string, err error)
}

// Deliveries is what takes records to the buckets.
type Deliveries interface {
	// HasBucket tells whether a bucket of that name can be delivered to.
	HasBucket(ctx context.Context, name string) (bool, error)
	// Status tells how the delivery of a trail goes.
	Status(ctx context.Context, t *delivery.Trail) (delivery.Status, error)
	// PublicKeys returns the keys of a region that verify digests.
	PublicKeys(ctx context.Context, region string) ([]delivery.PublicKey, error)
}

// Service implements the operations of AWS CloudTrail around trails. It is safe
// for concurrent use.
type Service struct {
	api.Unimplemented
	Config
}

var _ api.Handler = (*Service)(nil)

// New returns the service over what cfg hands in.
func New(cfg Config) *Service { return &Service{Config: cfg} }
