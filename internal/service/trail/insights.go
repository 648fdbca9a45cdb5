package trail

import (
	"context"

	api "github.com/strongroom/strongroom/api/cloudtrail"
	"github.com/strongroom/strongroom/internal/authz"
)

// GetInsightSelectors answers, for every trail, that it has no Insights, as tools
// ask when they show a trail.
func (s *Service) GetInsightSelectors(ctx context.Context, call *authz.Call, in *api.GetInsightSelectorsInput) (*api.GetInsightSelectorsOutput, error) {
	if in.EventDataStore != "" || value(in.TrailName, "") == "" {
		return nil, api.InvalidParameterCombinationException("Only the Insights selectors of a trail can be asked for: TrailName must be given, and EventDataStore must not.")
	}
	t, err := s.read(ctx, call, *in.TrailName, nil)
	if err != nil {
		return nil, err
	}
	return nil, api.InsightNotEnabledException("Trail " + arnOf(call, t) + " does not have Insights enabled. Edit the trail settings to enable Insights, and then try the operation again.")
}
