package trail

import (
	"context"
	"slices"
	"strings"

	api "github.com/strongroom/strongroom/api/cloudtrail"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/delivery"
	"github.com/strongroom/strongroom/internal/store"
)

const (
	// maxTags is the quota of tags on a trail, maxListed how many trails one ListTags
	// asks about.
	maxTags   = 50
	maxListed = 20
)

// AddTags adds tags to a trail or replaces their values.
func (s *Service) AddTags(ctx context.Context, call *authz.Call, in *api.AddTagsInput) (*api.AddTagsOutput, error) {
	if err := mustBeARN(in.ResourceId); err != nil {
		return nil, err
	}
	return change(ctx, s, call, in.ResourceId, requested(in.TagsList), func(_ *store.Tx, t *delivery.Trail) (_ *api.AddTagsOutput, err error) {
		t.Tags, err = mergeTags(t.Tags, in.TagsList)
		return &api.AddTagsOutput{}, err
	})
}

// RemoveTags removes tags by their keys; one that is not there is no error.
func (s *Service) RemoveTags(ctx context.Context, call *authz.Call, in *api.RemoveTagsInput) (*api.RemoveTagsOutput, error) {
	if err := mustBeARN(in.ResourceId); err != nil {
		return nil, err
	}
	return change(ctx, s, call, in.ResourceId, requested(in.TagsList), func(_ *store.Tx, t *delivery.Trail) (*api.RemoveTagsOutput, error) {
		t.Tags = slices.DeleteFunc(t.Tags, func(old delivery.Tag) bool {
			return slices.ContainsFunc(in.TagsList, func(gone api.Tag) bool { return gone.Key == old.Key })
		})
		return &api.RemoveTagsOutput{}, nil
	})
}

// ListTags shows the tags of up to 20 trails.
func (s *Service) ListTags(ctx context.Context, call *authz.Call, in *api.ListTagsInput) (*api.ListTagsOutput, error) {
	switch {
	case len(in.ResourceIdList) == 0:
		return nil, api.InvalidTrailNameException("ResourceIdList must name at least one trail.")
	case len(in.ResourceIdList) > maxListed:
		return nil, api.InvalidTrailNameException("ResourceIdList must not name more than 20 trails.")
	}
	if _, err := s.openToken(call, value(in.NextToken, "")); err != nil {
		return nil, err
	}
	out := &api.ListTagsOutput{ResourceTagList: []api.ResourceTag{}}
	for _, arn := range in.ResourceIdList {
		if err := mustBeARN(arn); err != nil {
			return nil, err
		}
		t, err := s.read(ctx, call, arn, nil)
		if errorsIs(err, "TrailNotFoundException") {
			err = noResource(arn)
		}
		if err != nil {
			return nil, err
		}
		tags := make([]api.Tag, len(t.Tags))
		for i, tag := range t.Tags {
			tags[i] = api.Tag{Key: tag.Key, Value: tag.Value}
		}
		out.ResourceTagList = append(out.ResourceTagList, api.ResourceTag{ResourceId: arn, TagsList: tags})
	}
	return out, nil
}

// mustBeARN refuses names: the operations of tags take ARNs alone.
func mustBeARN(s string) error {
	if !strings.HasPrefix(s, "arn:") {
		return api.CloudTrailARNInvalidException("The resource ID " + clip(s) + " is not the ARN of a trail.")
	}
	if parts := strings.SplitN(s, ":", 6); len(parts) == 6 && parts[2] == "cloudtrail" && !strings.HasPrefix(parts[5], "trail/") {
		return api.ResourceTypeNotSupportedException("Only trails have tags here, not " + clip(s) + ".")
	}
	return nil
}

func noResource(arn string) error {
	return api.ResourceNotFoundException("The resource " + clip(arn) + " does not exist.")
}

// mergeTags returns old with the values of added, new keys at the end.
func mergeTags(old []delivery.Tag, added []api.Tag) ([]delivery.Tag, error) {
	merged := slices.Clone(old)
	seen := map[string]bool{}
	for _, t := range added {
		switch {
		case seen[t.Key]:
			return nil, api.InvalidTagParameterException("The tag key " + t.Key + " is given twice.")
		case len(t.Key) >= 4 && strings.EqualFold(t.Key[:4], "aws:"):
			return nil, api.InvalidTagParameterException("Tag keys that begin with aws: are reserved.")
		}
		seen[t.Key] = true
		i := slices.IndexFunc(merged, func(m delivery.Tag) bool { return m.Key == t.Key })
		if i < 0 {
			merged = append(merged, delivery.Tag{Key: t.Key})
			i = len(merged) - 1
		}
		merged[i].Value = t.Value
	}
	if len(merged) > maxTags {
		return nil, api.TagsLimitExceededException("A trail has at most 50 tags.")
	}
	return merged, nil
}
