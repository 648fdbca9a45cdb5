package kms

import (
	"context"
	"errors"
	"strings"
	"time"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/store"
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
	Operation string    `json:"operation"`
	Time      time.Time `json:"time"` // in whole seconds, as the audit record has it
	EventID   string    `json:"eventId"`
	RequestID string    `json:"requestId"`
}

// keptUse finds the record of a key's last use among those that the audit trail does
// not have any more. ok is false for what is not the ARN of a key.
func keptUse(keyARN string) (in store.Scope, id string, ok bool) {
	parts := strings.SplitN(keyARN, ":", 6)
	if len(parts) != 6 || parts[2] != "kms" {
		return in, "", false
	}
	id, ok = strings.CutPrefix(parts[5], "key/")
	return scope(parts[4], parts[3]), id, ok
}

// KeepUse keeps a use of a key whose audit record is about to be removed, unless the
// key is gone or a later use is kept.
func KeepUse(tx *store.Tx, keyARN string, use Use) error {
	in, id, ok := keptUse(keyARN)
	if !ok {
		return nil
	}
	if _, err := keyRecords.Get(tx, in, id); errors.Is(err, store.ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	switch before, err := useRecords.Get(tx, in, id); {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		return err
	case before.Time.After(use.Time):
		return nil
	}
	return useRecords.Put(tx, in, id, use)
}

// KeptUse returns what KeepUse has kept of a key; ok is false when that is nothing.
func KeptUse(ctx context.Context, s *store.Store, keyARN string) (use Use, ok bool, err error) {
	in, id, ok := keptUse(keyARN)
	if !ok {
		return Use{}, false, nil
	}
	err = s.View(ctx, func(r store.Reader) (err error) {
		use, err = useRecords.Get(r, in, id)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return Use{}, false, nil
	}
	return use, err == nil, err
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
