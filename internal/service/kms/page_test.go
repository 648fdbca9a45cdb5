package kms

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// list reads a list to its end and returns what it read, and how many pages there
// were.
func (h *harness) list(operation, member, name string, in m, limit int) (all []string, pages int) {
	h.t.Helper()
	in = maps.Clone(in)
	if limit > 0 {
		in["Limit"] = limit
	}
	for {
		out := h.ok(root, operation, in)
		pages++
		for _, entry := range out[member].([]any) {
			if e, ok := entry.(m); ok {
				all = append(all, e[name].(string))
			} else {
				all = append(all, entry.(string))
			}
		}
		marker, more := out["NextMarker"]
		if more != (out["Truncated"] == true) {
			h.t.Fatalf("%s: Truncated %v, NextMarker %v", operation, out["Truncated"], marker)
		}
		if !more {
			return all, pages
		}
		in["Marker"] = marker
	}
}

func TestLists(t *testing.T) {
	h := newHarness(t)
	var keys, aliases []string
	for range 7 {
		id, _ := h.keyID()
		keys = append(keys, id)
	}
	for i := range 7 {
		name := fmt.Sprint("alias/", i)
		h.ok(root, "CreateAlias", m{"AliasName": name, "TargetKeyId": keys[i%2]})
		aliases = append(aliases, name)
	}
	h.ok(root, "TagResource", m{"KeyId": keys[0], "Tags": tagList(0, 7)})
	// Nothing of another account or region may show.
	h.ok(foreignRoot, "CreateKey", m{})
	h.region = second
	h.keyID()
	h.region = region
	slices.Sort(keys)
	var tags []string
	for _, tag := range tagList(0, 7) {
		tags = append(tags, tag["TagKey"].(string))
	}
	target := h.ok(root, "DescribeKey", m{"KeyId": "alias/0"})["KeyMetadata"].(m)["KeyId"]
	tagged := target
	for _, test := range []struct {
		operation, member, name string
		in                      m
		want                    []string
	}{
		{"ListKeys", "Keys", "KeyId", m{}, keys},
		{"ListAliases", "Aliases", "AliasName", m{}, aliases},
		{"ListAliases", "Aliases", "AliasName", m{"KeyId": target}, []string{"alias/0", "alias/2", "alias/4", "alias/6"}},
		{"ListResourceTags", "Tags", "TagKey", m{"KeyId": tagged}, tags},
		{"ListKeyPolicies", "PolicyNames", "", m{"KeyId": target}, []string{"default"}},
	} {
		for _, limit := range []int{0, 1, 2, 3, 6, 7, 8, 1000} {
			got, pages := h.list(test.operation, test.member, test.name, test.in, limit)
			if !slices.Equal(got, test.want) {
				t.Errorf("%s by %d: %v, want %v", test.operation, limit, got, test.want)
			}
			if limit > 0 && pages != (len(test.want)+limit-1)/limit {
				t.Errorf("%s by %d: %d pages of %d", test.operation, limit, pages, len(test.want))
			}
		}
		h.fails(root, test.operation, with(test.in, m{"Limit": 0}), "ValidationException",
			"1 validation error detected: Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1")
		for _, garbage := range []string{"x", "!", "AAAA", strings.Repeat("A", 43), strings.Repeat("A", 60)} {
			h.fails(root, test.operation, with(test.in, m{"Marker": garbage}), "InvalidMarkerException", "")
		}
	}
	entry := h.ok(root, "ListKeys", m{"Limit": 1})["Keys"].([]any)[0].(m)
	if len(entry) != 2 || entry["KeyArn"] != "arn:aws:kms:us-east-1:"+account+":key/"+keys[0] {
		t.Errorf("an entry of ListKeys: %v", entry)
	}
}

// TestMarkersAreBound: a marker holds for the operation, account and region that
// it was made for, and as it was made.
func TestMarkersAreBound(t *testing.T) {
	h := newHarness(t)
	id, _ := h.keyID()
	h.keyID()
	h.ok(root, "TagResource", m{"KeyId": id, "Tags": tagList(0, 3)})
	marker := h.ok(root, "ListKeys", m{"Limit": 1})["NextMarker"].(string)
	h.ok(root, "ListKeys", m{"Marker": marker})
	h.fails(root, "ListAliases", m{"Marker": marker}, "InvalidMarkerException", "")
	h.fails(root, "ListResourceTags", m{"KeyId": id, "Marker": marker}, "InvalidMarkerException", "")
	h.fails(foreignRoot, "ListKeys", m{"Marker": marker}, "InvalidMarkerException", "")
	for i := range marker {
		changed := []byte(marker)
		if changed[i]++; changed[i] > 'y' {
			changed[i] = 'A'
		}
		h.fails(root, "ListKeys", m{"Marker": string(changed)}, "InvalidMarkerException", "")
	}
	h.region = second
	h.fails(root, "ListKeys", m{"Marker": marker}, "InvalidMarkerException", "")
	h.region = region
	h.restart()
	h.ok(root, "ListKeys", m{"Marker": marker})
}

// TestListAliasesMaximum: a limit above the operation's maximum counts as that.
func TestListAliasesMaximum(t *testing.T) {
	h := newHarness(t)
	for range 3 {
		id, _ := h.keyID()
		for i := range 40 {
			h.ok(root, "CreateAlias", m{"AliasName": fmt.Sprintf("alias/%s-%02d", id, i), "TargetKeyId": id})
		}
	}
	for limit, want := range map[any]int{nil: 50, 99: 99, 100: 100, 1000: 100} {
		out := h.ok(root, "ListAliases", with(m{}, m{"Limit": limit}))
		if got := len(out["Aliases"].([]any)); got != want {
			t.Errorf("Limit %v: %d, want %d", limit, got, want)
		}
	}
}
