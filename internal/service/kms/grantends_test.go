package kms

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/store"
)

func TestRevokeGrant(t *testing.T) {
	g := newGrantHarness(t)
	k := g.key(m{"Policy": keyPolicy(allow(userARN, "kms:RevokeGrant", nil), allow(foreignRootName, "kms:RevokeGrant", nil))})
	id, arn := k["KeyId"].(string), k["Arn"].(string)
	other, _ := g.keyID()
	grant, token := g.grant(id, bobARN, m{"RetiringPrincipal": bobARN}, "Encrypt", "RetireGrant")
	const unknown = "0000000000000000000000000000000000000000000000000000000000000000"
	g.fails(root, "RevokeGrant", m{"KeyId": id, "GrantId": unknown}, "NotFoundException", "Grant ID "+unknown+" not found.")
	g.fails(root, "RevokeGrant", m{"KeyId": other, "GrantId": grant}, "NotFoundException", "Grant ID "+grant+" not found.")
	for _, bad := range []string{"x", grant[1:], strings.ToUpper(grant[:63]) + "A", grant + "0"} {
		g.fails(root, "RevokeGrant", m{"KeyId": id, "GrantId": bad}, "InvalidGrantIdException", "A grant ID has 64 hexadecimal digits.")
	}
	g.fails(root, "RevokeGrant", m{"KeyId": "alias/a", "GrantId": grant}, "InvalidArnException", "Key Aliases are not supported for this operation.")
	// Statement 84 of kms.md §21 is false: a token is no id.
	if a := g.send(root, "RevokeGrant", m{"KeyId": id, "GrantId": token}); a.code != "ValidationException" {
		t.Errorf("RevokeGrant with a token: %d %s", a.status, a.code)
	}
	// Who may retire may not revoke; who may revoke need not be named.
	g.denied(otherUser, "RevokeGrant", m{"KeyId": id, "GrantId": grant})
	g.ok(user, "RevokeGrant", m{"KeyId": id, "GrantId": grant})
	g.fails(user, "RevokeGrant", m{"KeyId": id, "GrantId": grant}, "NotFoundException", "Grant ID "+grant+" not found.")
	grant, _ = g.grant(id, bobARN, nil, "Encrypt")
	g.ok(foreignRoot, "RevokeGrant", m{"KeyId": arn, "GrantId": grant})
}

// TestWhoMayRetire holds the rules of kms.md §9 on RetireGrant.
func TestWhoMayRetire(t *testing.T) {
	allowed, denied := identityPolicy("Allow", "kms:RetireGrant"), identityPolicy("Deny", "kms:RetireGrant")
	elsewhere := `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceAccount":"` + account + `"}}}]}`
	for name, c := range map[string]struct {
		grantee, retiring, operations string
		issuer                        caller
		who                           caller
		identity                      string
		keyPolicy                     m
		ok                            bool
	}{
		"the retiring principal":                     {retiring: bobARN, who: otherUser, ok: true},
		"unless its policies deny":                   {retiring: bobARN, who: otherUser, identity: denied},
		"the key policy has no say against":          {retiring: bobARN, who: otherUser, keyPolicy: m{"Effect": "Deny", "Principal": m{"AWS": bobARN}, "Action": "kms:RetireGrant", "Resource": "*"}, ok: true},
		"nor for":                                    {who: otherUser, keyPolicy: allow(bobARN, "kms:*", nil)},
		"the grantee may not by itself":              {who: user},
		"with RetireGrant it may":                    {operations: "RetireGrant", who: user, ok: true},
		"others may not":                             {operations: "RetireGrant", retiring: userARN, who: otherUser},
		"nor with the permission alone":              {who: foreignUser, identity: allowed},
		"in the key's account neither":               {issuer: foreignRoot, who: otherUser, identity: allowed},
		"the root of the issuing account":            {who: root, ok: true},
		"its users with the permission":              {who: otherUser, identity: allowed, ok: true},
		"its users without it":                       {who: otherUser},
		"a foreign retiring user":                    {retiring: eveARN, who: foreignUser, ok: true},
		"unless its policies deny it":                {retiring: eveARN, who: foreignUser, identity: denied},
		"or deny it on keys of that account":         {retiring: eveARN, who: foreignUser, identity: elsewhere},
		"a foreign retiring role":                    {retiring: foreignRoleARN, who: foreignRole, ok: true},
		"a foreign retiring account's root":          {retiring: foreignRootName, who: foreignRoot, ok: true},
		"its users need the permission":              {retiring: foreignRootName, who: foreignUser},
		"and may with it":                            {retiring: foreignRootName, who: foreignUser, identity: allowed, ok: true},
		"a foreign grantee with RetireGrant":         {grantee: eveARN, operations: "RetireGrant", who: foreignUser, ok: true},
		"a foreign account that has no part":         {who: foreignRoot},
		"a foreign issuing account":                  {issuer: foreignRoot, who: foreignRoot, ok: true},
		"then the key's account is not the issuer":   {issuer: foreignRoot, who: root},
		"a session of the retiring role":             {retiring: roleARN, who: session, ok: true},
		"a retiring session":                         {retiring: sessionARN, who: session, ok: true},
		"is not another":                             {retiring: sessionARN, who: otherSession},
		"a session of the grantee with RetireGrant":  {grantee: roleARN, operations: "RetireGrant", who: otherSession, ok: true},
		"a session of the grantee without it is not": {grantee: roleARN, who: otherSession},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGrantHarness(t)
			statements := []m{allow(foreignRootName, "kms:CreateGrant", nil)}
			if c.keyPolicy != nil {
				statements = append(statements, c.keyPolicy)
			}
			arn := g.key(m{"Policy": keyPolicy(statements...)})["Arn"].(string)
			if c.grantee == "" {
				c.grantee = userARN
			}
			if c.issuer == "" {
				c.issuer = root
			}
			more := m{}
			if c.retiring != "" {
				more["RetiringPrincipal"] = c.retiring
			}
			p, ok := grantCallers[c.who]
			if !ok {
				p = principals[c.who].Principal
			}
			g.identity[p.ARN] = c.identity
			// By its token and by its id it is the same grant.
			for _, byToken := range []bool{true, false} {
				id, token := g.grantAs(c.issuer, arn, c.grantee, more, strings.Fields("Encrypt "+c.operations)...)
				in := m{"KeyId": arn, "GrantId": id}
				if byToken {
					in = m{"GrantToken": token}
				}
				a := g.send(c.who, "RetireGrant", in)
				if c.ok && (a.status != 200 || len(a.body) != 0) || !c.ok && a.code != "AccessDeniedException" {
					t.Errorf("by token %t: %d %s %s", byToken, a.status, a.code, a.message)
				}
				if gone := len(g.listed(arn)) == 0; byToken && gone != c.ok {
					t.Errorf("the grant is gone: %t", gone)
				}
			}
		})
	}
}

func TestRetireGrantRefusals(t *testing.T) {
	g := newGrantHarness(t)
	id, arn := g.keyID()
	grant, token := g.grant(id, userARN, nil, "Encrypt")
	const (
		which   = "You must specify either GrantToken, or both KeyId and GrantId."
		unknown = "00000000000000000000000000000000000000000000000000000000000000ff"
	)
	for _, in := range []m{{}, {"KeyId": arn}, {"GrantId": grant}, {"GrantToken": token, "KeyId": arn}, {"GrantToken": token, "GrantId": grant},
		{"GrantToken": token, "KeyId": arn, "GrantId": grant}} {
		g.fails(root, "RetireGrant", in, "ValidationException", which)
	}
	g.fails(root, "RetireGrant", m{"KeyId": arn, "GrantId": unknown}, "NotFoundException", "Grant ID "+unknown+" not found.")
	g.fails(root, "RetireGrant", m{"KeyId": arn, "GrantId": "x"}, "InvalidGrantIdException", "A grant ID has 64 hexadecimal digits.")
	g.fails(root, "RetireGrant", m{"KeyId": "alias/a", "GrantId": grant}, "InvalidArnException", "Key Aliases are not supported for this operation.")
	g.fails(root, "RetireGrant", m{"GrantToken": "AQpA"}, "InvalidGrantTokenException", "")
	// Who belongs to another account does not learn which grants there are.
	unseen := "User: " + foreignRootName + " is not authorized to perform: kms:RetireGrant on this resource because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access"
	for _, in := range []m{{"KeyId": arn, "GrantId": unknown}, {"KeyId": arn, "GrantId": grant}, {"GrantToken": token}} {
		g.fails(foreignRoot, "RetireGrant", in, "AccessDeniedException", unseen)
	}
	g.ok(root, "RetireGrant", m{"KeyId": arn, "GrantId": grant})
	g.fails(foreignRoot, "RetireGrant", m{"GrantToken": token}, "AccessDeniedException", unseen)
}

// TestGrantRecords holds the audit records against kms.md §19.
func TestGrantRecords(t *testing.T) {
	g := newGrantHarness(t)
	id, arn := g.keyID()
	g.journal.taken(t)
	in := grantOf(id, userARN, m{"RetiringPrincipal": bobARN, "Name": "n", "Constraints": m{"EncryptionContextSubset": m{"a": "1"}}}, "Encrypt", "Decrypt")
	_, spent := g.grant(id, bobARN, nil, "Encrypt")
	g.only()
	in["GrantTokens"] = []string{spent}
	out := g.ok(root, "CreateGrant", in)
	grant, token := out["GrantId"].(string), out["GrantToken"].(string)
	check := func(name string, readOnly bool, request, response, additional string) {
		t.Helper()
		r := g.only()
		if r["eventName"] != name || r["readOnly"] != readOnly || r["errorCode"] != nil ||
			jsonText(r["requestParameters"]) != request || jsonText(r["responseElements"]) != response || jsonText(r["additionalEventData"]) != additional {
			t.Errorf("record %s\nwant %s, read only %t: %s, %s, %s", jsonText(r), name, readOnly, request, response, additional)
		}
		if got := resources(r); len(got) != 1 || got[0] != arn {
			t.Errorf("%s: resources %v", name, got)
		}
		if text := jsonText(r); strings.Contains(text, token) || strings.Contains(text, spent) {
			t.Errorf("%s: the record holds a grant token: %s", name, text)
		}
	}
	check("CreateGrant", false,
		`{"constraints":{"encryptionContextSubset":{"a":"1"}},"granteePrincipal":"`+userARN+`","keyId":"`+id+`","name":"n","operations":["Encrypt","Decrypt"],"retiringPrincipal":"`+bobARN+`"}`,
		`{"grantId":"`+grant+`","keyId":"`+arn+`"}`, "null")
	g.ok(user, "Encrypt", m{"KeyId": arn, "Plaintext": plaintext, "EncryptionContext": m{"a": "1"}, "GrantTokens": []string{token}})
	check("Encrypt", true, `{"encryptionAlgorithm":"SYMMETRIC_DEFAULT","encryptionContext":{"a":"1"},"keyId":"`+arn+`"}`, "null", "null")
	g.ok(root, "ListGrants", m{"KeyId": id})
	check("ListGrants", true, `{"keyId":"`+id+`"}`, "null", "null")
	g.ok(otherUser, "RetireGrant", m{"GrantToken": token})
	check("RetireGrant", false, "null", "null", `{"grantId":"`+grant+`"}`)
	grant, _ = g.grant(id, userARN, nil, "Encrypt")
	g.only()
	g.ok(root, "RevokeGrant", m{"KeyId": id, "GrantId": grant})
	check("RevokeGrant", false, `{"grantId":"`+grant+`","keyId":"`+id+`"}`, `{"keyId":"`+arn+`"}`, "null")
	g.denied(otherUser, "RevokeGrant", m{"KeyId": id, "GrantId": grant})
	if r := g.only(); r["errorCode"] != "AccessDenied" && r["errorCode"] != "AccessDeniedException" {
		t.Errorf("the record of a denial: %v", r)
	}
}

// TestDeletingAKeyDeletesItsGrants: also where one commit cannot hold them all.
func TestDeletingAKeyDeletesItsGrants(t *testing.T) {
	g := newGrantHarness(t)
	id, _ := g.keyID()
	kept, keptARN := g.keyID()
	g.grant(kept, userARN, nil, "Encrypt")
	k, err := g.service.keys.Get(t.Context(), scope(account, region), id)
	if err != nil {
		t.Fatal(err)
	}
	g.fill(k, grantBatch+1)
	_, token := g.grant(id, userARN, m{"RetiringPrincipal": bobARN, "Name": "n"}, "Encrypt")
	g.ok(root, "ScheduleKeyDeletion", m{"KeyId": id, "PendingWindowInDays": 7})
	g.clock.Advance(7 * 24 * time.Hour)
	work := func() {
		t.Helper()
		if _, err := g.service.doDue(t.Context(), region); err != nil {
			t.Fatal(err)
		}
	}
	work() // the key
	g.denied(user, "RetireGrant", m{"GrantToken": token})
	if got, n := g.pages(root, "ListRetirableGrants", m{"RetiringPrincipal": bobARN}, 100); got != nil || n < 2 {
		t.Errorf("retirable: %d grants of a key that is gone, on %d pages", len(got), n)
	}
	g.restart()
	work() // its grants
	err = g.store.View(t.Context(), func(r store.Reader) error {
		items, _, err := grantRecords.Scan(r, regionScope(region), "", 10)
		if err == nil && (len(items) != 1 || items[0].Value.Key != kept) {
			err = fmt.Errorf("%d grants are left", len(items))
		}
		if err != nil {
			return err
		}
		due, _, err := dueRecords.Scan(r, regionScope(region), "", 10)
		if err == nil && len(due) != 0 {
			err = fmt.Errorf("still due: %v", due)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	g.ok(user, "Encrypt", m{"KeyId": keptARN, "Plaintext": plaintext})
}

// TestAKeyOfAnEarlierIDHasNoGrants: a key that is made under the id of a deleted
// one inherits none of its grants, whether or not they have been removed yet.
func TestAKeyOfAnEarlierIDHasNoGrants(t *testing.T) {
	g := newGrantHarness(t)
	id, arn := g.keyID()
	grant, _ := g.grant(id, userARN, nil, "Encrypt")
	var removed dueRecord
	err := g.store.Update(t.Context(), func(tx *store.Tx) error {
		k, err := readKey(tx, account, region, id)
		if err != nil {
			return err
		}
		if err := removeKey(tx, k); err != nil {
			return err
		}
		removed = dueRecord{At: k.Created, Account: account, Key: id, Task: deleteGrants}
		record := k.keyRecord
		record.Created, record.Grants = record.Created.Add(time.Hour), 0
		if err := ownerRecords.Put(tx, regionScope(region), id, ownerRecord{Account: account}); err != nil {
			return err
		}
		return keyRecords.Put(tx, scope(account, region), id, record)
	})
	if err != nil {
		t.Fatal(err)
	}
	g.grant(id, bobARN, nil, "Encrypt")
	encrypt := m{"KeyId": arn, "Plaintext": plaintext}
	g.denied(user, "Encrypt", encrypt)
	g.ok(otherUser, "Encrypt", encrypt)
	if list := g.listed(id); len(list) != 1 || list[0]["GranteePrincipal"] != bobARN {
		t.Errorf("listed: %v", list)
	}
	g.fails(root, "RevokeGrant", m{"KeyId": id, "GrantId": grant}, "NotFoundException", "Grant ID "+grant+" not found.")
	if err := g.service.removeGrants(t.Context(), region, removed); err != nil {
		t.Fatal(err)
	}
	g.ok(otherUser, "Encrypt", encrypt)
}

func TestResetDeletesGrants(t *testing.T) {
	g := newGrantHarness(t)
	id, _ := g.keyID()
	g.grant(id, userARN, m{"RetiringPrincipal": bobARN}, "Encrypt")
	if err := g.service.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	if list := entriesOf(g.ok(root, "ListRetirableGrants", m{"RetiringPrincipal": bobARN})); len(list) != 0 {
		t.Errorf("%d grants after a reset", len(list))
	}
}
