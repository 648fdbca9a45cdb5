package iam

import (
	"sort"
	"strings"

	api "github.com/strongroom/strongroom/api/iam"
)

// maxTags is the quota of tags on an entity.
const maxTags = 50

// merge returns the tags with more added. Keys are one whatever their case (IAM
// User Guide, "Rules for tagging").
func merge(tags []tag, more []api.Tag) ([]tag, error) {
	seen := map[string]bool{}
	for _, t := range more {
		key := strings.ToLower(t.Key)
		if seen[key] {
			return nil, api.InvalidInputException("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		seen[key] = true
		if strings.HasPrefix(key, "aws:") {
			return nil, api.InvalidInputException("The following tags are prefixed with \"aws:\", which is reserved: " + t.Key)
		}
	}
	merged := without(tags, func(key string) bool { return seen[strings.ToLower(key)] })
	for _, t := range more {
		merged = append(merged, tag{t.Key, t.Value})
	}
	if len(merged) > maxTags {
		return nil, api.LimitExceededException("The number of tags has reached the maximum limit.")
	}
	sort.Slice(merged, func(i, j int) bool { return merged[i].Key < merged[j].Key })
	return merged, nil
}

// remove returns the tags without those of the keys.
func remove(tags []tag, keys []string) []tag {
	gone := map[string]bool{}
	for _, key := range keys {
		gone[strings.ToLower(key)] = true
	}
	return without(tags, func(key string) bool { return gone[strings.ToLower(key)] })
}

func without(tags []tag, gone func(key string) bool) []tag {
	var kept []tag
	for _, t := range tags {
		if !gone(t.Key) {
			kept = append(kept, t)
		}
	}
	return kept
}

func shownTags(tags []tag) []api.Tag {
	var shown []api.Tag
	for _, t := range tags {
		shown = append(shown, api.Tag{Key: t.Key, Value: t.Value})
	}
	return shown
}
