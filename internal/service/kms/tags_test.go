package kms

import (
	"fmt"
	"strings"
	"testing"
)

func tagList(from, to int) []m {
	var tags []m
	for i := from; i < to; i++ {
		tags = append(tags, m{"TagKey": fmt.Sprintf("k%02d", i), "TagValue": "v"})
	}
	return tags
}

// tagsOf returns a key's tags as "key=value …", read page by page.
func (h *harness) tagsOf(id string, limit int) string {
	h.t.Helper()
	var all []string
	in := m{"KeyId": id, "Limit": limit}
	for {
		out := h.ok(root, "ListResourceTags", in)
		for _, entry := range out["Tags"].([]any) {
			all = append(all, fmt.Sprint(entry.(m)["TagKey"], "=", entry.(m)["TagValue"]))
		}
		if out["Truncated"] != true {
			return strings.Join(all, " ")
		}
		in["Marker"] = out["NextMarker"]
	}
}

func TestTags(t *testing.T) {
	h := newHarness(t)
	id := h.key(m{"Tags": []m{{"TagKey": "b", "TagValue": "1"}, {"TagKey": "a", "TagValue": ""}}})["KeyId"].(string)
	check := func(want string) {
		t.Helper()
		for _, limit := range []int{1, 2, 50, 1000} {
			if got := h.tagsOf(id, limit); got != want {
				t.Errorf("by %d: %q, want %q", limit, got, want)
			}
		}
	}
	check("b=1 a=")
	h.ok(root, "TagResource", m{"KeyId": id, "Tags": []m{{"TagKey": "c", "TagValue": "3"}, {"TagKey": "b", "TagValue": "2"}}})
	check("b=2 a= c=3")
	h.ok(root, "TagResource", m{"KeyId": id, "Tags": []m{{"TagKey": "A", "TagValue": "x"}}}) // keys are case-sensitive
	check("b=2 a= c=3 A=x")
	h.ok(root, "UntagResource", m{"KeyId": id, "TagKeys": []string{"b", "absent", "A"}})
	check("a= c=3")
	h.ok(root, "UntagResource", m{"KeyId": id, "TagKeys": []string{"a", "c"}})
	check("")
}

func TestTagRefusals(t *testing.T) {
	h := newHarness(t)
	id := h.key(m{"Tags": tagList(0, 50)})["KeyId"].(string)
	one := func(key string) []m { return []m{{"TagKey": key, "TagValue": "v"}} }
	for _, test := range []struct {
		tags    []m
		message string
	}{
		{append(one("x"), one("x")...), "Duplicate tag keys"},
		{one("aws:x"), "Tags beginning with aws: are reserved"},
		{one("AwS:"), "Tags beginning with aws: are reserved"},
		{tagList(0, 51), "Too many tags"},
	} {
		h.fails(root, "TagResource", m{"KeyId": id, "Tags": test.tags}, "TagException", test.message)
		h.fails(root, "CreateKey", m{"Tags": test.tags}, "TagException", test.message)
	}
	h.fails(root, "TagResource", m{"KeyId": id, "Tags": one("more")}, "TagException", "Too many tags")
	h.ok(root, "TagResource", m{"KeyId": id, "Tags": one("k07")}) // replaces
	h.ok(root, "CreateKey", m{"Tags": one("aws")})
	long := strings.Repeat("k", 129)
	h.fails(root, "TagResource", m{"KeyId": id, "Tags": one(long)}, "ValidationException",
		"1 validation error detected: Value '"+long+"' at 'tags.1.member.tagKey' failed to satisfy constraint: Member must have length less than or equal to 128")
	// What a request was refused for was not done in part.
	if got := h.tagsOf(id, 50); strings.Contains(got, "more") || strings.Count(got, "=") != 50 {
		t.Errorf("%q", got)
	}
}

// TestTagsThatGoBetweenPages: a place that is no more is said, not guessed.
func TestTagsThatGoBetweenPages(t *testing.T) {
	h := newHarness(t)
	id := h.key(m{"Tags": tagList(0, 5)})["KeyId"].(string)
	marker := h.ok(root, "ListResourceTags", m{"KeyId": id, "Limit": 2})["NextMarker"]
	h.ok(root, "UntagResource", m{"KeyId": id, "TagKeys": []string{"k00"}})
	out := h.ok(root, "ListResourceTags", m{"KeyId": id, "Limit": 2, "Marker": marker})
	if first := out["Tags"].([]any)[0].(m)["TagKey"]; first != "k02" {
		t.Errorf("goes on at %v, want k02", first)
	}
	h.ok(root, "UntagResource", m{"KeyId": id, "TagKeys": []string{"k01"}})
	h.fails(root, "ListResourceTags", m{"KeyId": id, "Limit": 2, "Marker": marker}, "InvalidMarkerException", "")
}
