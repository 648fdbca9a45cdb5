// Package trail is the audit trail as AWS CloudTrail shows it.
package trail

import (
	api "github.com/strongroom/strongroom/api/cloudtrail"
	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/store"
)

// Config is what the service needs.
type Config struct {
	// Store must be set.
	Store *store.Store
	// Clock must be set.
	Clock clock.Clock
	// Regions are the regions of the deployment, at least one.
	Regions []string
}

// Service implements the operations of AWS CloudTrail that exist so far. It is
// safe for concurrent use.
type Service struct {
	api.Unimplemented
	Config
}

var _ api.Handler = (*Service)(nil)

// New returns the service over what cfg hands in.
func New(cfg Config) *Service { return &Service{Config: cfg} }
