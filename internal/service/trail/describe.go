package trail

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"

	api "github.com/strongroom/strongroom/api/cloudtrail"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/delivery"
)

// GetTrail shows a trail.
func (s *Service) GetTrail(ctx context.Context, call *authz.Call, in *api.GetTrailInput) (*api.GetTrailOutput, error) {
	t, err := s.read(ctx, call, in.Name, nil)
	if err != nil {
		return nil, err
	}
	shown := show(call, t)
	return &api.GetTrailOutput{Trail: &shown}, nil
}

// DescribeTrails shows the trails that are asked for, or all that the region
// shows. Those that do not exist are left out.
func (s *Service) DescribeTrails(ctx context.Context, call *authz.Call, in *api.DescribeTrailsInput) (*api.DescribeTrailsOutput, error) {
	if err := call.Authorize(ctx, authz.Access{Resource: "*"}); err != nil {
		return nil, err
	}
	wanted := make([]place, len(in.TrailNameList))
	for i, name := range in.TrailNameList {
		p, err := s.locate(call, name)
		if err != nil && strings.HasPrefix(name, "arn:") && !isInvalid(err) {
			continue // of another account or region: not one of the caller's
		}
		if err != nil {
			return nil, err
		}
		wanted[i] = p
	}
	trails, err := s.all(ctx, call.Principal.Account, call.Region, value(in.IncludeShadowTrails, true))
	if err != nil {
		return nil, err
	}
	out := &api.DescribeTrailsOutput{TrailList: []api.Trail{}}
	for i := range trails {
		t := &trails[i]
		if len(in.TrailNameList) == 0 || slices.Contains(wanted, place{t.Region, t.Name}) {
			out.TrailList = append(out.TrailList, show(call, t))
		}
	}
	return out, nil
}

// isInvalid tells a malformed name or ARN from an unknown one.
func isInvalid(err error) bool {
	return errorsIs(err, "InvalidTrailNameException") || errorsIs(err, "CloudTrailARNInvalidException")
}

// listed is how many trails ListTrails answers at once.
const listed = 50

// ListTrails lists the trails of the account in every region.
func (s *Service) ListTrails(ctx context.Context, call *authz.Call, in *api.ListTrailsInput) (*api.ListTrailsOutput, error) {
	if err := call.Authorize(ctx, authz.Access{Resource: "*"}); err != nil {
		return nil, err
	}
	after, err := s.openToken(call, value(in.NextToken, ""))
	if err != nil {
		return nil, err
	}
	var trails []delivery.Trail
	for _, region := range s.Regions {
		here, err := s.all(ctx, call.Principal.Account, region, false)
		if err != nil {
			return nil, err
		}
		trails = append(trails, here...)
	}
	slices.SortFunc(trails, func(a, b delivery.Trail) int { return strings.Compare(arnOf(call, &a), arnOf(call, &b)) })
	out := &api.ListTrailsOutput{Trails: []api.TrailInfo{}}
	for i := range trails {
		t := &trails[i]
		if arn := arnOf(call, t); arn > after {
			if len(out.Trails) == listed {
				out.NextToken = s.sealToken(call, out.Trails[listed-1].TrailARN)
				break
			}
			out.Trails = append(out.Trails, api.TrailInfo{TrailARN: arn, Name: t.Name, HomeRegion: t.Region})
		}
	}
	return out, nil
}

// show is how GetTrail and DescribeTrails show a trail.
func show(call *authz.Call, t *delivery.Trail) api.Trail {
	no := false
	custom := len(t.Selectors)+len(t.Advanced) > 0
	return api.Trail{
		Name: t.Name, S3BucketName: t.Bucket, S3KeyPrefix: t.Prefix, HomeRegion: t.Region, TrailARN: arnOf(call, t), KmsKeyId: t.Key,
		IncludeGlobalServiceEvents: &t.Global, IsMultiRegionTrail: &t.MultiRegion, LogFileValidationEnabled: &t.Validation,
		HasCustomEventSelectors: &custom, HasInsightSelectors: &no, IsOrganizationTrail: &no,
	}
}

// tokenTag authenticates a token and binds it to the operation, account and region
// that it was made for.
func (s *Service) tokenTag(call *authz.Call, after string) []byte {
	mac := hmac.New(sha256.New, s.MarkerKey)
	for _, part := range []string{"cloudtrail", call.Operation, call.Principal.Account, call.Region, after} {
		mac.Write([]byte(part))
		mac.Write([]byte{0})
	}
	return mac.Sum(nil)
}

func (s *Service) sealToken(call *authz.Call, after string) string {
	return base64.RawURLEncoding.EncodeToString(append(s.tokenTag(call, after), after...))
}

// openToken returns where to go on; "" from the start.
func (s *Service) openToken(call *authz.Call, token string) (string, error) {
	if token == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err == nil && len(raw) > sha256.Size {
		if after := string(raw[sha256.Size:]); hmac.Equal(s.tokenTag(call, after), raw[:sha256.Size]) {
			return after, nil
		}
	}
	return "", api.InvalidTokenException("The NextToken is not one of this operation.")
}
