package trail

import (
	"context"
	"errors"
	"time"

	api "github.com/strongroom/strongroom/api/cloudtrail"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/delivery"
	"github.com/strongroom/strongroom/internal/store"
)

// StartLogging makes a trail record and deliver from now on.
func (s *Service) StartLogging(ctx context.Context, call *authz.Call, in *api.StartLoggingInput) (*api.StartLoggingOutput, error) {
	return change(ctx, s, call, in.Name, nil, func(tx *store.Tx, t *delivery.Trail) (*api.StartLoggingOutput, error) {
		err := t.Start(tx, call.Time)
		if errors.Is(err, delivery.ErrSpans) {
			err = api.ConflictException("The trail was stopped and started too often since it was last delivered. Wait until it is.")
		}
		return &api.StartLoggingOutput{}, err
	})
}

// StopLogging ends that. What was recorded before is still delivered.
func (s *Service) StopLogging(ctx context.Context, call *authz.Call, in *api.StopLoggingInput) (*api.StopLoggingOutput, error) {
	return change(ctx, s, call, in.Name, nil, func(_ *store.Tx, t *delivery.Trail) (*api.StopLoggingOutput, error) {
		t.Stop(call.Time)
		return &api.StopLoggingOutput{}, nil
	})
}

// GetTrailStatus tells whether a trail logs, and how its delivery goes.
func (s *Service) GetTrailStatus(ctx context.Context, call *authz.Call, in *api.GetTrailStatusInput) (*api.GetTrailStatusOutput, error) {
	t, err := s.read(ctx, call, in.Name, nil)
	if err != nil {
		return nil, err
	}
	status, err := s.Deliveries.Status(ctx, t)
	if err != nil {
		return nil, err
	}
	logging := t.Logging()
	return &api.GetTrailStatusOutput{
		IsLogging:        &logging,
		StartLoggingTime: t.Started, StopLoggingTime: t.Stopped,
		LatestDeliveryTime: status.Delivered, LatestDeliveryError: status.Error,
		LatestDigestDeliveryTime: status.Digested, LatestDigestDeliveryError: status.DigestError,
		LatestDeliveryAttemptTime:      text(status.Attempted),
		LatestDeliveryAttemptSucceeded: text(status.Delivered),
		TimeLoggingStarted:             text(t.Started), TimeLoggingStopped: text(t.Stopped),
	}, nil
}

// text is a time as the older members of the answer have it; "" for none.
func text(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}
