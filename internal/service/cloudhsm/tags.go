package cloudhsm

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	api "github.com/strongroom/strongroom/api/cloudhsm"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/store"
)

const (
	maxTags  = 50
	tagsPage = 50
)

// TagResource adds tags to a cluster or replaces their values.
func (s *Service) TagResource(ctx context.Context, call *authz.Call, in *api.TagResourceInput) (*api.TagResourceOutput, error) {
	if err := s.onlyClusters(ctx, call, in.ResourceId); err != nil {
		return nil, err
	}
	return change(ctx, s, call, in.ResourceId, requested(in.TagList), func(_ *store.Tx, r *clusterRecord) (_ *api.TagResourceOutput, err error) {
		r.Tags, err = mergeTags(r.Tags, in.TagList)
		return &api.TagResourceOutput{}, err
	})
}

// UntagResource removes tags by their keys; one that is not there is no error.
func (s *Service) UntagResource(ctx context.Context, call *authz.Call, in *api.UntagResourceInput) (*api.UntagResourceOutput, error) {
	if err := s.onlyClusters(ctx, call, in.ResourceId); err != nil {
		return nil, err
	}
	with := conditions{"aws:tagkeys": in.TagKeyList}
	return change(ctx, s, call, in.ResourceId, with, func(_ *store.Tx, r *clusterRecord) (*api.UntagResourceOutput, error) {
		r.Tags = slices.DeleteFunc(r.Tags, func(t tag) bool { return slices.Contains(in.TagKeyList, t.Key) })
		return &api.UntagResourceOutput{}, nil
	})
}

// ListTags shows the tags of a cluster, in the order in which they came.
func (s *Service) ListTags(ctx context.Context, call *authz.Call, in *api.ListTagsInput) (*api.ListTagsOutput, error) {
	if err := s.onlyClusters(ctx, call, in.ResourceId); err != nil {
		return nil, err
	}
	r, err := s.read(ctx, call, in.ResourceId, nil)
	if err != nil {
		return nil, err
	}
	after, err := s.openToken(call, in.NextToken)
	if err != nil {
		return nil, err
	}
	from, limit := 0, tagsPage
	if after != "" {
		id, place, _ := strings.Cut(after, "/")
		if from, err = strconv.Atoi(place); err != nil || id != r.ID {
			return nil, errToken
		}
	}
	if in.MaxResults != nil {
		limit = int(*in.MaxResults)
	}
	rest := r.Tags[min(from, len(r.Tags)):]
	out := &api.ListTagsOutput{TagList: shownTags(rest[:min(limit, len(rest))])}
	if out.TagList == nil {
		out.TagList = []api.Tag{}
	}
	if len(rest) > limit {
		out.NextToken = s.token(call, fmt.Sprintf("%s/%d", r.ID, from+limit))
	}
	return out, nil
}

// onlyClusters answers for the tags of backups, of which there are none.
func (s *Service) onlyClusters(ctx context.Context, call *authz.Call, id string) error {
	if !strings.HasPrefix(id, "backup-") {
		return nil
	}
	return s.readBackup(ctx, call, id)
}

func shownTags(tags []tag) []api.Tag {
	var out []api.Tag
	for _, t := range tags {
		out = append(out, api.Tag{Key: t.Key, Value: t.Value})
	}
	return out
}

// mergeTags returns old with the values of added, new keys at the end.
func mergeTags(old []tag, added []api.Tag) ([]tag, error) {
	merged := slices.Clone(old)
	seen := map[string]bool{}
	for _, t := range added {
		switch {
		case seen[t.Key]:
			return nil, api.CloudHsmTagException("The tag key " + t.Key + " is given twice.")
		case len(t.Key) >= 4 && strings.EqualFold(t.Key[:4], "aws:"):
			return nil, api.CloudHsmTagException("Tag keys that begin with aws: are reserved.")
		}
		seen[t.Key] = true
		i := slices.IndexFunc(merged, func(m tag) bool { return m.Key == t.Key })
		if i < 0 {
			merged = append(merged, tag{Key: t.Key})
			i = len(merged) - 1
		}
		merged[i].Value = t.Value
	}
	if len(merged) > maxTags {
		return nil, api.CloudHsmResourceLimitExceededException("A cluster has at most 50 tags.")
	}
	return merged, nil
}
