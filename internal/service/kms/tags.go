package kms

import (
	"context"
	"slices"
	"strings"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/store"
)

// maxTags is the quota of tags on a key.
const maxTags = 50

// TagResource adds tags to a key or replaces their values.
func (s *Service) TagResource(ctx context.Context, call *authz.Call, in *api.TagResourceInput) (*api.TagResourceOutput, error) {
	conditions := conditionMap{}
	conditions.addTags(in.Tags)
	return changeKey(ctx, s, call, change[*api.TagResourceOutput]{
		keyID:      in.KeyId,
		group:      editing,
		conditions: conditions,
		check: func(k *key) error {
			tags, err := newTags(in.Tags)
			if err == nil && len(mergeTags(k.Tags, tags)) > maxTags {
				err = errTooManyTags
			}
			return err
		},
		edit: func(_ *store.Tx, k *key, record *keyRecord) (*api.TagResourceOutput, error) {
			tags, err := newTags(in.Tags)
			if err != nil {
				return nil, err
			}
			call.Audit.SetResponse("keyId", k.ARN)
			record.Tags = mergeTags(k.Tags, tags)
			return &api.TagResourceOutput{}, nil
		},
	})
}

// UntagResource removes tags by their keys; one that is not there is no error.
func (s *Service) UntagResource(ctx context.Context, call *authz.Call, in *api.UntagResourceInput) (*api.UntagResourceOutput, error) {
	return changeKey(ctx, s, call, change[*api.UntagResourceOutput]{
		keyID:      in.KeyId,
		group:      editing,
		conditions: conditionMap{"aws:tagkeys": in.TagKeys},
		edit: func(_ *store.Tx, k *key, record *keyRecord) (*api.UntagResourceOutput, error) {
			call.Audit.SetResponse("keyId", k.ARN)
			record.Tags = nil
			for _, t := range k.Tags {
				if !slices.Contains(in.TagKeys, t.Key) {
					record.Tags = append(record.Tags, t)
				}
			}
			return &api.UntagResourceOutput{}, nil
		},
	})
}

// ListResourceTags lists a key's tags in the order in which they were added.
func (s *Service) ListResourceTags(ctx context.Context, call *authz.Call, in *api.ListResourceTagsInput) (*api.ListResourceTagsOutput, error) {
	k, err := s.find(ctx, call, in.KeyId, keysOnly)
	if err != nil {
		return nil, err
	}
	if err := s.mayOwn(ctx, call, need{key: k}); err != nil {
		return nil, err
	}
	page, err := s.page(call, in.Limit, in.Marker, 50, 50)
	if err != nil {
		return nil, err
	}
	start := 0
	if page.after != "" {
		if start = 1 + slices.IndexFunc(k.Tags, func(t tag) bool { return t.Key == page.after }); start == 0 {
			// The tag that the marker stands for was removed since, and with it the
			// place to go on at.
			return nil, api.InvalidMarkerException("")
		}
	}
	rest := k.Tags[start:]
	more := len(rest) > page.limit
	rest = rest[:min(len(rest), page.limit)]
	out := &api.ListResourceTagsOutput{Tags: make([]api.Tag, 0, len(rest))}
	last := ""
	for _, t := range rest {
		out.Tags = append(out.Tags, api.Tag{TagKey: t.Key, TagValue: t.Value})
		last = t.Key
	}
	out.Truncated, out.NextMarker = page.next(more, last)
	return out, nil
}

var errTooManyTags = api.TagException("Too many tags")

// newTags checks the tags of a request.
func newTags(in []api.Tag) ([]tag, error) {
	tags := make([]tag, 0, len(in))
	seen := make(map[string]bool, len(in))
	for _, t := range in {
		switch {
		case seen[t.TagKey]:
			return nil, api.TagException("Duplicate tag keys")
		case len(t.TagKey) >= 4 && strings.EqualFold(t.TagKey[:4], "aws:"):
			return nil, api.TagException("Tags beginning with aws: are reserved")
		}
		seen[t.TagKey] = true
		tags = append(tags, tag{t.TagKey, t.TagValue})
	}
	if len(tags) > maxTags {
		return nil, errTooManyTags
	}
	return tags, nil
}

// mergeTags returns old with the values of added, new keys at the end.
func mergeTags(old, added []tag) []tag {
	merged := append([]tag(nil), old...)
next:
	for _, t := range added {
		for i := range merged {
			if merged[i].Key == t.Key {
				merged[i].Value = t.Value
				continue next
			}
		}
		merged = append(merged, t)
	}
	return merged
}

// addTags sets aws:TagKeys and aws:RequestTag/… from the tags of a request.
func (m conditionMap) addTags(tags []api.Tag) {
	for _, t := range tags {
		m["aws:tagkeys"] = append(m["aws:tagkeys"], t.TagKey)
		m["aws:requesttag/"+strings.ToLower(t.TagKey)] = []string{t.TagValue}
	}
}
