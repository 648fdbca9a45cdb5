package gateway

import (
	"errors"

	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/metrics"
	"github.com/strongroom/strongroom/internal/operation"
)

// newMeters looks up ahead of all calls what counts those of each operation.
func newMeters(calls *metrics.Calls, services []*operation.Service) map[*operation.Row]*metrics.Operation {
	meters := map[*operation.Row]*metrics.Operation{}
	for _, s := range services {
		for i := range s.Operations {
			meters[&s.Operations[i]] = calls.Operation(s.Name, s.Operations[i].Name)
		}
	}
	return meters
}

// outcomeOf is what a call is counted as.
func outcomeOf(err error) metrics.Outcome {
	if err == nil {
		return metrics.Succeeded
	}
	return failureOf(err)
}

func failureOf(err error) metrics.Outcome {
	var refusal *awserr.Error
	if !errors.As(err, &refusal) {
		if unavailable(err) {
			return metrics.Unavailable
		}
		return metrics.Failed
	}
	switch refusal.Code {
	case "AccessDenied", "AccessDeniedException":
		return metrics.Denied
	case "Throttling", "ThrottlingException":
		return metrics.Throttled
	}
	if refusal.Fault == awserr.Server {
		return metrics.Failed
	}
	return metrics.Refused
}
