package trail

import (
	"context"

	api "github.com/strongroom/strongroom/api/cloudtrail"
	"github.com/strongroom/strongroom/internal/authz"
)

// ListPublicKeys lists the keys of the region that signed digests in a time: from
// StartTime to EndTime, each now if it is not given.
func (s *Service) ListPublicKeys(ctx context.Context, call *authz.Call, in *api.ListPublicKeysInput) (*api.ListPublicKeysOutput, error) {
	if err := call.Authorize(ctx, authz.Access{Resource: "*"}); err != nil {
		return nil, err
	}
	start, end := value(in.StartTime, call.Time), value(in.EndTime, call.Time)
	if in.StartTime == nil && in.EndTime != nil && end.Before(start) {
		start = end
	}
	if end.Before(start) {
		return nil, api.InvalidTimeRangeException("The start time must not be after the end time.")
	}
	if _, err := s.openToken(call, value(in.NextToken, "")); err != nil {
		return nil, err
	}
	keys, err := s.Deliveries.PublicKeys(ctx, call.Region)
	if err != nil {
		return nil, err
	}
	out := &api.ListPublicKeysOutput{PublicKeyList: []api.PublicKey{}}
	for _, k := range keys {
		if k.From.After(end) || k.To.Before(start) {
			continue
		}
		out.PublicKeyList = append(out.PublicKeyList, api.PublicKey{
			Value: k.Value, Fingerprint: k.Fingerprint, ValidityStartTime: &k.From, ValidityEndTime: &k.To,
		})
	}
	return out, nil
}
