package kms

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"pgregory.net/rapid"
)

func TestGrantConstraints(t *testing.T) {
	g := newGrantHarness(t)
	id, arn := g.keyID()
	it := m{"Dept": "IT"}
	both := m{"Dept": "IT", "n": "1"}
	for _, c := range []struct {
		constraints m
		context     m
		ok          bool
	}{
		{m{"EncryptionContextSubset": it}, it, true},
		{m{"EncryptionContextSubset": it}, both, true},
		{m{"EncryptionContextSubset": it}, nil, false},
		{m{"EncryptionContextSubset": it}, m{"Dept": "it"}, false},
		{m{"EncryptionContextSubset": it}, m{"dept": "IT"}, false},
		{m{"EncryptionContextSubset": both}, it, false},
		{m{"EncryptionContextEquals": it}, it, true},
		{m{"EncryptionContextEquals": it}, both, false},
		{m{"EncryptionContextEquals": both}, m{"n": "1", "Dept": "IT"}, true},
		{m{"EncryptionContextEquals": it}, nil, false},
		{m{"EncryptionContextEquals": m{}}, nil, true},
		{m{"EncryptionContextEquals": m{}}, it, false},
		{m{"EncryptionContextSubset": m{}}, nil, true},
		{m{"EncryptionContextSubset": it, "EncryptionContextEquals": both}, both, true},
		{m{"EncryptionContextSubset": m{"a": "b"}, "EncryptionContextEquals": it}, it, false},
		{m{"SourceArn": sourceARN}, nil, false},
		{m{"SourceArn": sourceARN, "EncryptionContextSubset": it}, it, false},
	} {
		grant, _ := g.grant(id, userARN, m{"Constraints": c.constraints},
			"Encrypt", "Decrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo", "DescribeKey")
		blob := g.ok(root, "Encrypt", m{"KeyId": id, "Plaintext": plaintext, "EncryptionContext": c.context})["CiphertextBlob"]
		for name, in := range map[string]m{
			"Encrypt":                         {"KeyId": arn, "Plaintext": plaintext, "EncryptionContext": c.context},
			"Decrypt":                         {"CiphertextBlob": blob, "EncryptionContext": c.context},
			"GenerateDataKey":                 {"KeyId": arn, "KeySpec": "AES_128", "EncryptionContext": c.context},
			"GenerateDataKeyWithoutPlaintext": {"KeyId": arn, "KeySpec": "AES_128", "EncryptionContext": c.context},
			"ReEncrypt":                       {"CiphertextBlob": blob, "SourceEncryptionContext": c.context, "DestinationKeyId": id, "DestinationEncryptionContext": c.context},
		} {
			if a := g.send(user, name, in); (a.status == 200) != c.ok {
				t.Errorf("%s with %v under %v: %d %s, want allowed %t", name, c.context, c.constraints, a.status, a.code, c.ok)
			}
		}
		// The encryption context does not constrain DescribeKey; the source does.
		_, source := c.constraints["SourceArn"]
		if a := g.send(user, "DescribeKey", m{"KeyId": arn}); (a.status == 200) == source {
			t.Errorf("DescribeKey under %v: %d %s", c.constraints, a.status, a.code)
		}
		g.ok(root, "RevokeGrant", m{"KeyId": id, "GrantId": grant})
	}
}

// TestReEncryptMeetsConstraintsOnEachSide: the source's context counts for the
// source and the destination's for the destination.
func TestReEncryptMeetsConstraintsOnEachSide(t *testing.T) {
	g := newGrantHarness(t)
	from, _ := g.keyID()
	to, _ := g.keyID()
	a, b := m{"a": "1"}, m{"b": "2"}
	g.grant(from, userARN, m{"Constraints": m{"EncryptionContextEquals": a}}, "ReEncryptFrom")
	g.grant(to, userARN, m{"Constraints": m{"EncryptionContextEquals": b}}, "ReEncryptTo")
	blob := func(context m) any {
		return g.ok(root, "Encrypt", m{"KeyId": from, "Plaintext": plaintext, "EncryptionContext": context})["CiphertextBlob"]
	}
	g.ok(user, "ReEncrypt", m{"CiphertextBlob": blob(a), "SourceEncryptionContext": a, "DestinationKeyId": to, "DestinationEncryptionContext": b})
	g.denied(user, "ReEncrypt", m{"CiphertextBlob": blob(a), "SourceEncryptionContext": a, "DestinationKeyId": to, "DestinationEncryptionContext": a})
	g.denied(user, "ReEncrypt", m{"CiphertextBlob": blob(b), "SourceEncryptionContext": b, "DestinationKeyId": to, "DestinationEncryptionContext": b})
}

func TestGrantsToServices(t *testing.T) {
	g := newGrantHarness(t)
	id, arn := g.keyID()
	g.grant(id, "", m{"GranteeServicePrincipal": serviceName, "RetiringServicePrincipal": serviceName,
		"Constraints": m{"SourceArn": sourceARN}}, "Decrypt", "Encrypt")
	encrypt := m{"KeyId": arn, "Plaintext": plaintext}
	g.denied(service, "Encrypt", encrypt)
	behalf := func(arn string) func(*authz.Call) { return func(call *authz.Call) { call.SourceARN = arn } }
	g.before = behalf(sourceARN + "2")
	g.denied(service, "Encrypt", encrypt)
	g.before = behalf(sourceARN)
	g.ok(service, "Encrypt", encrypt)
	g.denied(user, "Encrypt", encrypt)
	g.before = nil
	e := g.listed(id)[0]
	if e["GranteeServicePrincipal"] != serviceName || e["RetiringServicePrincipal"] != serviceName || e["GranteePrincipal"] != nil || e["RetiringPrincipal"] != nil {
		t.Errorf("listed: %v", e)
	}
	g.denied(otherUser, "RetireGrant", m{"KeyId": arn, "GrantId": e["GrantId"]})
	g.ok(service, "RetireGrant", m{"KeyId": arn, "GrantId": e["GrantId"]})
	// Who is not a service cannot look for services.
	g.fails(root, "ListGrants", m{"KeyId": id, "GranteeServicePrincipal": serviceName}, "ValidationException", "GranteeServicePrincipal can be used by AWS services only.")
	g.fails(root, "ListRetirableGrants", m{"RetiringServicePrincipal": serviceName}, "ValidationException", "RetiringServicePrincipal can be used by AWS services only.")
}

// TestSourceARNInPolicies: a key policy can ask on whose behalf a service calls.
func TestSourceARNInPolicies(t *testing.T) {
	g := newGrantHarness(t)
	statement := m{"Effect": "Allow", "Principal": m{"Service": serviceName}, "Action": "kms:Encrypt", "Resource": "*",
		"Condition": m{"ArnLike": m{"aws:SourceArn": "arn:aws:backup:*:" + account + ":vault/*"}}}
	encrypt := m{"KeyId": g.key(m{"Policy": keyPolicy(statement)})["Arn"], "Plaintext": plaintext}
	g.denied(service, "Encrypt", encrypt)
	for arn, ok := range map[string]bool{sourceARN: true, strings.Replace(sourceARN, account, other, 1): false} {
		g.before = func(call *authz.Call) { call.SourceARN = arn }
		if a := g.send(service, "Encrypt", encrypt); (a.status == 200) != ok {
			t.Errorf("on behalf of %s: %d %s", arn, a.status, a.code)
		}
	}
}

// TestGrantsAndPolicies holds the session rules of kms.md §9 and the order of
// evaluation of access.md §4.
func TestGrantsAndPolicies(t *testing.T) {
	allow, none := identityPolicy("Allow", "kms:Encrypt"), identityPolicy("Allow", "s3:GetObject")
	deny := identityPolicy("Deny", "kms:Encrypt")
	for name, c := range map[string]struct {
		grantee                     string
		who                         caller
		identity, boundary, session string
		keyDeny                     bool
		ok                          bool
	}{
		"a user needs nothing else":                  {grantee: userARN, who: user, ok: true},
		"nor is it limited by a boundary":            {grantee: userARN, who: user, boundary: none, ok: true},
		"an identity Deny wins":                      {grantee: userARN, who: user, identity: deny},
		"a boundary's Deny wins":                     {grantee: userARN, who: user, boundary: deny},
		"a key policy's Deny wins":                   {grantee: userARN, who: user, keyDeny: true},
		"a session needs nothing else":               {grantee: sessionARN, who: session, ok: true},
		"nor is it limited by boundary or session":   {grantee: sessionARN, who: session, boundary: none, session: none, ok: true},
		"another session of the role is not it":      {grantee: sessionARN, who: otherSession},
		"a session policy's Deny wins":               {grantee: sessionARN, who: session, session: deny},
		"a role's sessions need nothing else":        {grantee: roleARN, who: session, ok: true},
		"all of them":                                {grantee: roleARN, who: otherSession, ok: true},
		"a role's are limited by its boundary":       {grantee: roleARN, who: session, boundary: none},
		"and by their session policies":              {grantee: roleARN, who: session, session: none},
		"within both they are allowed":               {grantee: roleARN, who: session, session: allow, boundary: allow, ok: true},
		"an account's users need their own policies": {grantee: rootName, who: user},
		"with them they are allowed":                 {grantee: rootName, who: user, identity: allow, ok: true},
		"a foreign account's root needs nothing":     {grantee: foreignRootName, who: foreignRoot, ok: true},
		"a foreign account's user does":              {grantee: foreignRootName, who: foreignUser},
		"and then is allowed":                        {grantee: foreignRootName, who: foreignUser, identity: allow, ok: true},
		"a foreign user needs its own policy too":    {grantee: eveARN, who: foreignUser},
		"and with it is allowed":                     {grantee: eveARN, who: foreignUser, identity: allow, ok: true},
		"a foreign role too":                         {grantee: foreignRoleARN, who: foreignRole},
		"and allowed with it":                        {grantee: foreignRoleARN, who: foreignRole, identity: allow, ok: true},
		"a grant to a user is not its root's":        {grantee: eveARN, who: foreignRoot},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGrantHarness(t)
			in := m{}
			if c.keyDeny {
				in["Policy"] = keyPolicy(m{"Effect": "Deny", "Principal": m{"AWS": userARN}, "Action": "kms:Encrypt", "Resource": "*"})
			}
			k := g.key(in)
			g.grant(k["KeyId"].(string), c.grantee, nil, "Encrypt")
			p, ok := grantCallers[c.who]
			if !ok {
				p = principals[c.who].Principal
			}
			g.identity[p.ARN], g.boundary[p.ARN], g.session[p.ARN] = c.identity, c.boundary, c.session
			a := g.send(c.who, "Encrypt", m{"KeyId": k["Arn"], "Plaintext": plaintext})
			if (a.status == 200) != c.ok {
				t.Errorf("%d %s %s, want allowed %t", a.status, a.code, a.message, c.ok)
			}
		})
	}
}

// TestGrantsAreBoundToUniqueIDs: who is made anew under a name has no part in the
// grants of the one before.
func TestGrantsAreBoundToUniqueIDs(t *testing.T) {
	g := newGrantHarness(t)
	id, arn := g.keyID()
	g.grant(id, roleARN, m{"RetiringPrincipal": bobARN}, "Encrypt", "RetireGrant")
	encrypt := m{"KeyId": arn, "Plaintext": plaintext}
	g.ok(session, "Encrypt", encrypt)
	retirable := m{"RetiringPrincipal": bobARN}
	if n := len(entriesOf(g.ok(root, "ListRetirableGrants", retirable))); n != 1 {
		t.Errorf("%d retirable grants, want 1", n)
	}
	before := grantCallers[session]
	t.Cleanup(func() { grantCallers[session] = before })
	anew := before
	anew.ID = "AROAWORKEREXAMPLE002:one"
	grantCallers[session] = anew
	g.ids[roleARN] = "AROAWORKEREXAMPLE002"
	g.ids[bobARN] = "AIDABOBMADEANEW0000"
	g.denied(session, "Encrypt", encrypt)
	e := g.listed(id)[0]
	if e["GranteePrincipal"] != "AROAWORKEREXAMPLE001" || e["RetiringPrincipal"] != principals[otherUser].ID {
		t.Errorf("listed as %v and %v", e["GranteePrincipal"], e["RetiringPrincipal"])
	}
	if n := len(entriesOf(g.ok(root, "ListRetirableGrants", retirable))); n != 0 {
		t.Errorf("%d retirable grants of another bob, want 0", n)
	}
	g.denied(session, "RetireGrant", m{"KeyId": arn, "GrantId": e["GrantId"]})
	// A grant to the new one is another grant, and works.
	g.grant(id, roleARN, nil, "Encrypt")
	g.ok(session, "Encrypt", encrypt)
}

func TestChildGrants(t *testing.T) {
	g := newGrantHarness(t)
	subset := func(pairs m) m { return m{"Constraints": m{"EncryptionContextSubset": pairs}} }
	equals := func(pairs m) m { return m{"Constraints": m{"EncryptionContextEquals": pairs}} }
	source := func(arn string) m { return m{"Constraints": m{"SourceArn": arn}} }
	a, ab := m{"a": "1"}, m{"a": "1", "b": "2"}
	for _, c := range []struct {
		parent, child     m
		parentOps, childs string
		ok                bool
	}{
		{nil, nil, "CreateGrant Encrypt Decrypt", "Encrypt", true},
		{nil, nil, "CreateGrant Encrypt Decrypt", "Encrypt Decrypt", true},
		{nil, nil, "CreateGrant Encrypt Decrypt", "CreateGrant Encrypt", true},
		{nil, nil, "CreateGrant Encrypt", "Encrypt Decrypt", false},
		{nil, nil, "CreateGrant Encrypt", "Encrypt DescribeKey", false},
		{nil, nil, "CreateGrant Encrypt", "Encrypt RetireGrant", false},
		{nil, nil, "Encrypt Decrypt", "Encrypt", false},
		{nil, subset(a), "CreateGrant Encrypt", "Encrypt", true},
		{subset(a), nil, "CreateGrant Encrypt", "Encrypt", false},
		{subset(a), subset(a), "CreateGrant Encrypt", "Encrypt", true},
		{subset(a), subset(ab), "CreateGrant Encrypt", "Encrypt", true},
		{subset(ab), subset(a), "CreateGrant Encrypt", "Encrypt", false},
		{subset(a), subset(m{"a": "2"}), "CreateGrant Encrypt", "Encrypt", false},
		{subset(a), equals(a), "CreateGrant Encrypt", "Encrypt", true},
		{subset(a), equals(ab), "CreateGrant Encrypt", "Encrypt", true},
		{subset(ab), equals(a), "CreateGrant Encrypt", "Encrypt", false},
		{equals(a), equals(a), "CreateGrant Encrypt", "Encrypt", true},
		{equals(a), equals(ab), "CreateGrant Encrypt", "Encrypt", false},
		{equals(a), subset(a), "CreateGrant Encrypt", "Encrypt", false},
		{equals(a), nil, "CreateGrant Encrypt", "Encrypt", false},
		{source(sourceARN), source(sourceARN), "CreateGrant Encrypt", "Encrypt", false}, // not made on its behalf
	} {
		id, arn := g.keyID()
		g.grant(id, userARN, c.parent, strings.Fields(c.parentOps)...)
		in := grantOf(arn, bobARN, c.child, strings.Fields(c.childs)...)
		what := fmt.Sprintf("%s under %v from %s under %v", c.childs, c.child, c.parentOps, c.parent)
		switch a := g.send(user, "CreateGrant", in); {
		case c.ok && a.status != 200, !c.ok && a.code != "AccessDeniedException":
			t.Errorf("%s: %d %s %s", what, a.status, a.code, a.message)
		}
		if n := len(g.listed(id)); (n == 2) != c.ok {
			t.Errorf("%s: %d grants", what, n)
		}
	}
}

// TestAChildNeedsOneParent: what two grants allow together, no child can have.
func TestAChildNeedsOneParent(t *testing.T) {
	g := newGrantHarness(t)
	id, arn := g.keyID()
	g.grant(id, userARN, nil, "CreateGrant", "Encrypt")
	g.grant(id, userARN, nil, "CreateGrant", "Decrypt")
	g.denied(user, "CreateGrant", grantOf(arn, bobARN, nil, "Encrypt", "Decrypt"))
	child, _ := g.grantAs(user, arn, bobARN, nil, "Encrypt")
	// A child stands by itself: its parent may go.
	for _, e := range g.listed(id) {
		if e["GrantId"] != child {
			g.ok(root, "RevokeGrant", m{"KeyId": id, "GrantId": e["GrantId"]})
		}
	}
	g.ok(otherUser, "Encrypt", m{"KeyId": arn, "Plaintext": plaintext})
	g.denied(user, "CreateGrant", grantOf(arn, bobARN, nil, "Encrypt"))
}

func TestCreateGrantStates(t *testing.T) {
	g := newGrantHarness(t)
	id, arn := g.keyID()
	for state, want := range map[State]string{
		api.KeyStateEnabled: "", api.KeyStateUpdating: "", api.KeyStateUnavailable: "",
		api.KeyStateDisabled:               "DisabledException " + arn + " is disabled.",
		api.KeyStatePendingDeletion:        "KMSInvalidStateException " + arn + " is pending deletion.",
		api.KeyStatePendingReplicaDeletion: "KMSInvalidStateException " + arn + " is pending replica deletion.",
		api.KeyStatePendingImport:          "KMSInvalidStateException " + arn + " is pending import.",
		api.KeyStateCreating:               "KMSInvalidStateException " + arn + " is creating.",
	} {
		g.setState(id, api.KeyStateEnabled)
		_, token := g.grant(id, userARN, nil, "Encrypt")
		g.setState(id, state)
		if code, message, refused := strings.Cut(want, " "); refused {
			g.fails(root, "CreateGrant", grantOf(id, userARN, nil, "Encrypt"), code, message)
		} else {
			g.ok(root, "CreateGrant", grantOf(id, userARN, nil, "Encrypt"))
		}
		// The others work in every state.
		g.ok(root, "ListGrants", m{"KeyId": id})
		g.ok(root, "RetireGrant", m{"GrantToken": token})
		g.setState(id, api.KeyStateEnabled)
		grant, _ := g.grant(id, userARN, nil, "Encrypt")
		g.setState(id, state)
		g.ok(root, "RevokeGrant", m{"KeyId": id, "GrantId": grant})
	}
}

// TestRevokedMeansRevoked: when RevokeGrant has answered, no call that begins
// afterwards is allowed by the grant, however many are under way.
func TestRevokedMeansRevoked(t *testing.T) {
	g := newGrantHarness(t)
	id, arn := g.keyID()
	for range 5 {
		grant, token := g.grant(id, userARN, nil, "Encrypt", "CreateGrant")
		stop := make(chan struct{})
		var callers sync.WaitGroup
		for range 4 {
			callers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						g.send(user, "Encrypt", m{"KeyId": arn, "Plaintext": plaintext})
					}
				}
			})
		}
		g.ok(root, "RevokeGrant", m{"KeyId": id, "GrantId": grant})
		var after sync.WaitGroup
		for range 8 {
			after.Go(func() {
				if a := g.send(user, "Encrypt", m{"KeyId": arn, "Plaintext": plaintext, "GrantTokens": []string{token}}); a.code != "AccessDeniedException" {
					t.Errorf("after the revocation: %d %s %s", a.status, a.code, a.message)
				}
				if a := g.send(user, "CreateGrant", grantOf(arn, bobARN, nil, "Encrypt")); a.code != "AccessDeniedException" {
					t.Errorf("a child after the revocation: %d %s %s", a.status, a.code, a.message)
				}
			})
		}
		after.Wait()
		close(stop)
		callers.Wait()
	}
}

// TestRevokedUnderAnOperation: a child grant whose parent goes between its
// authorisation and its commit is not made.
func TestRevokedUnderAnOperation(t *testing.T) {
	g := newGrantHarness(t)
	id, arn := g.keyID()
	parent, _ := g.grant(id, userARN, nil, "Encrypt", "CreateGrant")
	g.config.Principals = &revoking{g: g, in: m{"KeyId": id, "GrantId": parent}}
	g.restart()
	g.denied(user, "CreateGrant", grantOf(arn, bobARN, nil, "Encrypt"))
	if list := g.listed(id); len(list) != 0 {
		t.Errorf("a child of a revoked grant: %v", list)
	}
}

// revoking revokes a grant when it is first asked whether a principal exists,
// which is after the authorisation.
type revoking struct {
	known
	g    *grantHarness
	in   m
	once sync.Once
}

// TestGrantsOverPages: a grantee with more grants than are kept in memory finds
// the one that fits.
func TestGrantsOverPages(t *testing.T) {
	g := newGrantHarness(t)
	id, arn := g.keyID()
	k, err := g.service.keys.Get(t.Context(), scope(account, region), id)
	if err != nil {
		t.Fatal(err)
	}
	g.fill(k, maxGrantList+1)
	fit, _ := g.grant(id, userARN, nil, "Encrypt")
	encrypt := m{"KeyId": arn, "Plaintext": plaintext}
	g.ok(user, "Encrypt", encrypt)
	g.ok(user, "DescribeKey", m{"KeyId": arn})
	g.ok(root, "RevokeGrant", m{"KeyId": id, "GrantId": fit})
	g.denied(user, "Encrypt", encrypt)
	for at, list := range g.service.grants.entries {
		if len(list) > 0 {
			t.Errorf("%d grants of %s are kept", len(list), at.grantee)
		}
	}
}

// TestGrantCacheIsBounded: lists make room for each other.
func TestGrantCacheIsBounded(t *testing.T) {
	c := newGrantCache()
	list := make([]grantRecord, maxGrantList)
	for version := range uint64(3 * maxCachedGrants / maxGrantList) {
		c.put(grantPlace{region, "key", version, userARN}, list)
		c.put(grantPlace{region, "key", version, userARN}, list)
	}
	held := 0
	for _, list := range c.entries {
		held += len(list) + 1
	}
	if held != c.held || held > maxCachedGrants || held < maxCachedGrants/2 {
		t.Errorf("%d grants are held, %d are counted, %d are allowed", held, c.held, maxCachedGrants)
	}
}

var propertyOperations = []api.GrantOperation{
	api.GrantOperationEncrypt, api.GrantOperationDecrypt, api.GrantOperationReEncryptTo,
	api.GrantOperationGenerateDataKey, api.GrantOperationDescribeKey, api.GrantOperationCreateGrant,
}

func drawConstraints(t *rapid.T) grantConstraints {
	pairs := rapid.MapOfN(rapid.SampledFrom([]string{"a", "b"}), rapid.SampledFrom([]string{"1", "2"}), 0, 2)
	var c grantConstraints
	if rapid.Bool().Draw(t, "subset?") {
		c.Subset = pairs.Draw(t, "subset")
		if len(c.Subset) == 0 {
			c.Subset = nil // as newConstraints does
		}
	}
	if rapid.Bool().Draw(t, "equals?") {
		c.Equals = pairs.Draw(t, "equals")
	}
	c.SourceARN = rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "source")
	return c
}

// TestAGrantNeverAllowsMore: whatever a grant allows, one of its operations names
// and all its constraints admit; and whatever a grant allows that was made by
// another, the other allows too.
func TestAGrantNeverAllowsMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) *grantRecord {
			return &grantRecord{
				Operations:  rapid.SliceOfDistinct(rapid.SampledFrom(propertyOperations), rapid.ID).Draw(t, name),
				Constraints: drawConstraints(t),
			}
		}
		parent, child := draw("parent"), draw("child")
		u := use{
			operation: rapid.SampledFrom(propertyOperations[:5]).Draw(t, "operation"),
			context:   rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "c"}), rapid.SampledFrom([]string{"1", "2"}), 0, 3).Draw(t, "context"),
			known:     rapid.Bool().Draw(t, "known"),
			sourceARN: rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "from"),
		}
		if child.allows(&u) {
			named := false
			for _, o := range child.Operations {
				named = named || o == u.operation
			}
			c := child.Constraints
			if !named || c.SourceARN != "" && c.SourceARN != u.sourceARN {
				t.Fatalf("%v allows %v", child, u)
			}
			if u.operation != api.GrantOperationDescribeKey {
				for k, v := range c.Subset {
					if !u.known || u.context[k] != v {
						t.Fatalf("%v allows %v", child, u)
					}
				}
				if c.Equals != nil && (!u.known || fmt.Sprint(c.Equals) != fmt.Sprint(u.context)) {
					t.Fatalf("%v allows %v", child, u)
				}
			}
		}
		making := use{operation: api.GrantOperationCreateGrant, sourceARN: parent.Constraints.SourceARN, child: child}
		if parent.allows(&making) && child.allows(&u) && !parent.allows(&u) {
			t.Fatalf("%v could make %v, which allows what it does not: %v", parent, child, u)
		}
	})
}
