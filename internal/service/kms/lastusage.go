package kms

import (
	"context"
	"time"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
)

// Uses knows how keys were used: the audit trail does.
type Uses interface {
	// LastUse returns the newest successful cryptographic operation on the key
	// with that ARN, of those that GetKeyLastUsage counts; ok is false when there
	// was none. Every operation that was answered before the call is counted.
	LastUse(ctx context.Context, keyARN string) (use Use, ok bool, err error)
}

// Use is one use of a key.
type Use struct {
	Operation          string
	Time               time.Time // in whole seconds, as the audit record has it
	EventID, RequestID string
}

// GetKeyLastUsage tells when and by what a key was last used. Each call's audit
// record counts, so uses are tracked from a key's creation on.
func (s *Service) GetKeyLastUsage(ctx context.Context, call *authz.Call, in *api.GetKeyLastUsageInput) (*api.GetKeyLastUsageOutput, error) {
	k, err := s.find(ctx, call, in.KeyId, keysOnly)
	if err != nil {
		return nil, err
	}
	if err := s.mayOwn(ctx, call, need{key: k}); err != nil {
		return nil, err
	}
	created := k.Created
	out := &api.GetKeyLastUsageOutput{
		KeyId: k.ARN, KeyLastUsage: &api.KeyLastUsageData{}, TrackingStartDate: &created, KeyCreationDate: &created,
	}
	use, used, err := s.Uses.LastUse(ctx, k.ARN)
	if err != nil || !used {
		return out, err
	}
	out.KeyLastUsage = &api.KeyLastUsageData{
		Operation: api.KeyLastUsageTrackingOperation(use.Operation), Timestamp: &use.Time,
		CloudTrailEventId: use.EventID, KmsRequestId: use.RequestID,
	}
	return out, nil
}
