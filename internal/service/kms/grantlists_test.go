package kms

import (
	"slices"
	"strings"
	"testing"
)

// pages reads a list to its end, limit entries at a time, and returns the ids.
func (g *grantHarness) pages(who caller, name string, in m, limit int) (ids []string, pages int) {
	g.t.Helper()
	for {
		in["Limit"] = limit
		out := g.ok(who, name, in)
		entries := entriesOf(out)
		if len(entries) > limit {
			g.t.Fatalf("%d entries, limit %d", len(entries), limit)
		}
		for _, e := range entries {
			ids = append(ids, e["GrantId"].(string))
		}
		pages++
		next, more := out["NextMarker"]
		if more != out["Truncated"].(bool) {
			g.t.Fatalf("Truncated %v, NextMarker %v", out["Truncated"], next)
		}
		if !more {
			delete(in, "Marker")
			return ids, pages
		}
		in["Marker"] = next
	}
}

func TestListGrants(t *testing.T) {
	g := newGrantHarness(t)
	id, arn := g.keyID()
	other, _ := g.keyID()
	if list := g.listed(id); len(list) != 0 {
		t.Fatalf("grants of a new key: %v", list)
	}
	if other < id {
		// Its grants are to stand behind the key's in the store.
		id, other = other, id
		arn = strings.Replace(arn, other, id, 1)
	}
	g.grant(other, userARN, nil, "Encrypt")
	full, _ := g.grant(id, userARN, m{"RetiringPrincipal": bobARN, "Name": "n:1",
		"Constraints": m{"EncryptionContextSubset": m{"a": "1"}, "SourceArn": sourceARN}}, "Decrypt", "Encrypt", "Decrypt")
	e := g.listed(arn)[0]
	want := m{"KeyId": arn, "GrantId": full, "Name": "n:1", "CreationDate": float64(1767323045), "GranteePrincipal": userARN, "RetiringPrincipal": bobARN,
		"IssuingAccount": rootName, "Operations": []any{"Decrypt", "Encrypt"}, "Constraints": m{"EncryptionContextSubset": m{"a": "1"}, "SourceArn": sourceARN}}
	if jsonText(e) != jsonText(want) {
		t.Errorf("entry %s\nwant  %s", jsonText(e), jsonText(want))
	}
	g.ok(root, "RevokeGrant", m{"KeyId": id, "GrantId": full})
	plain, _ := g.grant(id, userARN, m{"Constraints": m{}}, "Encrypt")
	e = g.listed(id)[0]
	want = m{"KeyId": arn, "GrantId": plain, "Name": "", "CreationDate": float64(1767323045), "GranteePrincipal": userARN,
		"IssuingAccount": rootName, "Operations": []any{"Encrypt"}}
	if jsonText(e) != jsonText(want) {
		t.Errorf("entry %s\nwant  %s", jsonText(e), jsonText(want))
	}

	all := []string{plain}
	var bobs []string
	for range 6 {
		grant, _ := g.grant(id, bobARN, nil, "Encrypt")
		all, bobs = append(all, grant), append(bobs, grant)
	}
	slices.Sort(all)
	slices.Sort(bobs)
	for _, limit := range []int{1, 2, 3, 7, 100} {
		if got, n := g.pages(root, "ListGrants", m{"KeyId": id}, limit); !slices.Equal(got, all) || n != (len(all)+limit-1)/limit {
			t.Errorf("by %d: %v in %d pages, want %v", limit, got, n, all)
		}
		if got, _ := g.pages(root, "ListGrants", m{"KeyId": id, "GranteePrincipal": bobARN}, limit); !slices.Equal(got, bobs) {
			t.Errorf("bob's by %d: %v, want %v", limit, got, bobs)
		}
	}
	for filter, want := range map[string][]string{all[3]: {all[3]}, strings.Repeat("0", 64): nil} {
		if got, _ := g.pages(root, "ListGrants", m{"KeyId": id, "GrantId": filter}, 10); !slices.Equal(got, want) {
			t.Errorf("by id %s: %v", filter, got)
		}
	}
	if got, _ := g.pages(root, "ListGrants", m{"KeyId": id, "GrantId": plain, "GranteePrincipal": bobARN}, 10); got != nil {
		t.Errorf("by the id of one and the grantee of others: %v", got)
	}
	if got, _ := g.pages(root, "ListGrants", m{"KeyId": id, "GranteePrincipal": roleARN}, 10); got != nil {
		t.Errorf("of a grantee without grants: %v", got)
	}
	g.fails(root, "ListGrants", m{"KeyId": id, "GranteePrincipal": "arn:aws:iam::" + account + ":user/gone"}, "InvalidArnException", "Input does not refer to a valid principal")
	g.fails(root, "ListGrants", m{"KeyId": id, "GrantId": "x"}, "InvalidGrantIdException", "A grant ID has 64 hexadecimal digits.")
	g.fails(root, "ListGrants", m{"KeyId": "alias/a"}, "InvalidArnException", "Key Aliases are not supported for this operation.")
	g.fails(root, "ListGrants", m{"KeyId": id, "Marker": "AAAA"}, "InvalidMarkerException", "")
	// A marker of one key's list leads nowhere in another's.
	marker := g.ok(root, "ListGrants", m{"KeyId": id, "Limit": 1})["NextMarker"]
	g.fails(root, "ListGrants", m{"KeyId": other, "Marker": marker}, "InvalidMarkerException", "")
	g.fails(root, "ListRetirableGrants", m{"RetiringPrincipal": bobARN, "Marker": marker}, "InvalidMarkerException", "")
	g.denied(user, "ListGrants", m{"KeyId": id})
	g.denied(foreignRoot, "ListGrants", m{"KeyId": arn})
}

// TestListGrantsAcrossAccounts: whom the key policy admits may list, from another
// account too.
func TestListGrantsAcrossAccounts(t *testing.T) {
	g := newGrantHarness(t)
	arn := g.key(m{"Policy": keyPolicy(allow(foreignRootName, []string{"kms:ListGrants", "kms:CreateGrant"}, nil))})["Arn"].(string)
	grant, _ := g.grantAs(foreignRoot, arn, eveARN, nil, "Encrypt")
	list := entriesOf(g.ok(foreignRoot, "ListGrants", m{"KeyId": arn}))
	if len(list) != 1 || list[0]["GrantId"] != grant || list[0]["IssuingAccount"] != foreignRootName || list[0]["KeyId"] != arn {
		t.Errorf("listed: %v", list)
	}
}

func TestListRetirableGrants(t *testing.T) {
	g := newGrantHarness(t)
	id, _ := g.keyID()
	second, _ := g.keyID()
	foreign := g.ok(foreignRoot, "CreateKey", m{})["KeyMetadata"].(m)["Arn"].(string)
	var bobs []string
	for _, key := range []string{id, second, id} {
		grant, _ := g.grant(key, userARN, m{"RetiringPrincipal": bobARN}, "Encrypt")
		bobs = append(bobs, grant)
	}
	g.grant(id, bobARN, m{"RetiringPrincipal": userARN}, "Encrypt")
	g.grant(id, bobARN, nil, "Encrypt")
	grant, _ := g.grantAs(foreignRoot, foreign, eveARN, m{"RetiringPrincipal": bobARN}, "Encrypt")
	bobs = append(bobs, grant)
	slices.Sort(bobs)
	for _, limit := range []int{1, 3, 100} {
		got, n := g.pages(root, "ListRetirableGrants", m{"RetiringPrincipal": bobARN}, limit)
		slices.Sort(got)
		if !slices.Equal(got, bobs) || n != (len(bobs)+limit-1)/limit {
			t.Errorf("by %d: %v in %d pages, want %v", limit, got, n, bobs)
		}
	}
	// Each region has its own.
	g.region = "eu-west-1"
	if got, _ := g.pages(root, "ListRetirableGrants", m{"RetiringPrincipal": bobARN}, 10); got != nil {
		t.Errorf("in another region: %v", got)
	}
	g.region = region
	gone := "arn:aws:iam::" + account + ":user/gone"
	for name, message := range map[string]string{
		gone:            "Retiring principal " + gone + " could not be found",
		eveARN:          "Retiring principal " + eveARN + " could not be found",
		foreignRootName: "Retiring principal " + foreignRootName + " could not be found",
	} {
		g.fails(root, "ListRetirableGrants", m{"RetiringPrincipal": name}, "NotFoundException", message)
	}
	g.fails(root, "ListRetirableGrants", m{"RetiringPrincipal": "bob"}, "InvalidArnException", "ARN is not valid: bob")
	const which = "You must specify either RetiringPrincipal or RetiringServicePrincipal, but not both."
	g.fails(root, "ListRetirableGrants", m{}, "ValidationException", which)
	g.fails(root, "ListRetirableGrants", m{"RetiringPrincipal": bobARN, "RetiringServicePrincipal": serviceName}, "ValidationException", which)
	// The identity policy alone decides: the keys' policies have no say.
	g.denied(otherUser, "ListRetirableGrants", m{"RetiringPrincipal": bobARN})
	g.identity[bobARN] = identityPolicy("Allow", "kms:ListRetirableGrants")
	if list := entriesOf(g.ok(otherUser, "ListRetirableGrants", m{"RetiringPrincipal": bobARN})); len(list) != len(bobs) {
		t.Errorf("%d grants, want %d", len(list), len(bobs))
	}
}
