package kms

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/strongroom/strongroom/internal/authz"
)

// whereAliases is an identity policy that allows everything on keys whose aliases
// meet the condition.
func whereAliases(operator string, values any) string {
	return onlyPolicy(m{"Effect": "Allow", "Action": "kms:*", "Resource": "*",
		"Condition": m{operator: m{"kms:ResourceAliases": values}}})
}

// TestResourceAliases: a policy sees the aliases that the key has when the call is
// made, whatever the caller names it by.
func TestResourceAliases(t *testing.T) {
	h := newHarness(t)
	id, _ := h.keyID()
	another, _ := h.keyID()
	in := m{"KeyId": id, "Plaintext": plaintextBase64}
	alias := func(operation, name, target string) {
		t.Helper()
		body := m{"AliasName": name}
		if target != "" {
			body["TargetKeyId"] = target
		}
		h.ok(root, operation, body)
	}
	expect := func(what string, allowed bool) {
		t.Helper()
		a := h.send(user, "Encrypt", in)
		if allowed != (a.status == 200) || !allowed && a.code != "AccessDeniedException" {
			t.Errorf("%s: %d %s: %s", what, a.status, a.code, a.message)
		}
	}
	h.identity[userARN] = whereAliases("ForAnyValue:StringLike", "alias/red/*")
	expect("no alias", false)
	alias("CreateAlias", "alias/blue", id)
	expect("another alias", false)
	alias("CreateAlias", "alias/red/1", id)
	expect("the alias", true)
	alias("UpdateAlias", "alias/red/1", another)
	expect("the alias has moved away", false)
	alias("UpdateAlias", "alias/red/1", id)
	expect("the alias has come back", true)
	alias("DeleteAlias", "alias/red/1", "")
	expect("the alias is deleted", false)

	h.identity[userARN] = whereAliases("ForAllValues:StringEquals", []string{"alias/blue"})
	expect("all aliases are in the list", true)
	alias("CreateAlias", "alias/red/1", id)
	expect("one is not", false)
	h.identity[userARN] = whereAliases("Null", "true")
	expect("it has aliases", false)
	alias("DeleteAlias", "alias/red/1", "")
	alias("DeleteAlias", "alias/blue", "")
	expect("it has none", true)

	// A permission on an alias is on no key; a key policy never meets the condition.
	alias("CreateAlias", "alias/a", id)
	h.identity[userARN] = whereAliases("ForAnyValue:StringEquals", "alias/a")
	expect("the alias is back", true)
	h.fails(user, "CreateAlias", m{"AliasName": "alias/b", "TargetKeyId": id}, "AccessDeniedException",
		notAuthorized(userARN, "kms:CreateAlias", "resource: "+aliasPrefixARN+"alias/b"+fmt.Sprintf(noIdentityTail, "kms:CreateAlias")))
	h.identity[userARN] = ""
	h.ok(root, "PutKeyPolicy", m{"KeyId": id, "Policy": keyPolicy(allow(userARN, "kms:*", m{"ForAnyValue:StringEquals": m{"kms:ResourceAliases": "alias/a"}}))})
	expect("a key policy asks", false)
	// Aliases belong to a region.
	h.ok(root, "PutKeyPolicy", m{"KeyId": id, "Policy": keyPolicy()})
	h.identity[userARN] = whereAliases("ForAnyValue:StringEquals", "alias/a")
	expect("the alias in this region", true)
	h.region = second
	in["KeyId"], _ = h.keyID()
	expect("the alias in another region", false)
}

// TestAliasesAreReadWhenAPolicyAsks: other calls do not pay for them.
func TestAliasesAreReadWhenAPolicyAsks(t *testing.T) {
	h := newHarness(t)
	id, _ := h.keyID()
	h.ok(root, "CreateAlias", m{"AliasName": "alias/a", "TargetKeyId": id})
	read := func() bool {
		k, err := h.service.keys.Get(t.Context(), scope(account, region), id)
		if err != nil {
			t.Fatal(err)
		}
		return k.names.Load() != nil
	}
	h.identity[userARN] = onlyPolicy(m{"Effect": "Allow", "Action": "kms:*", "Resource": "*"})
	h.ok(user, "Encrypt", m{"KeyId": id, "Plaintext": plaintextBase64})
	if read() {
		t.Error("the aliases were read though nobody asked")
	}
	h.identity[userARN] = whereAliases("ForAnyValue:StringEquals", "alias/a")
	h.ok(user, "Encrypt", m{"KeyId": id, "Plaintext": plaintextBase64})
	if !read() {
		t.Error("the aliases were not kept")
	}
}

// TestAliasChangedUnderAnOperation: what was authorised by an alias that goes away
// before the effect is not done.
func TestAliasChangedUnderAnOperation(t *testing.T) {
	h := newHarness(t)
	id, _ := h.keyID()
	h.ok(root, "CreateAlias", m{"AliasName": "alias/a", "TargetKeyId": id})
	h.identity[userARN] = whereAliases("ForAnyValue:StringEquals", "alias/a")
	hook := &between{Principals: known{}, happen: func() { h.ok(root, "DeleteAlias", m{"AliasName": "alias/a"}) }}
	h.config.Principals = hook
	h.restart()
	a := h.send(user, "PutKeyPolicy", m{"KeyId": id, "Policy": keyPolicy(), "BypassPolicyLockoutSafetyCheck": true})
	if a.code != "AccessDeniedException" || hook.happen != nil {
		t.Errorf("%d %s: %s", a.status, a.code, a.message)
	}
}

// TestAliasesThatCannotBeRead: not knowing them allows nothing, also where a policy
// would let in whoever has none.
func TestAliasesThatCannotBeRead(t *testing.T) {
	h := newHarness(t)
	id, _ := h.keyID()
	h.identity[userARN] = onlyPolicy(m{"Effect": "Allow", "Action": "kms:*", "Resource": "*",
		"Condition": m{"ForAllValues:StringNotEquals": m{"kms:ResourceAliases": "alias/a"}}})
	k, err := h.service.keys.Get(t.Context(), scope(account, region), id)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	call := &authz.Call{Principal: principals[user], Partition: "aws", Region: region, Action: "kms:Encrypt"}
	call.Attach(unrecorded{h})
	if err := h.service.may(ctx, call, need{key: found{key: k}}); !errors.Is(err, context.Canceled) {
		t.Errorf("may: %v", err)
	}
	if allowed, err := h.service.could(ctx, call, need{key: found{key: k}}); !errors.Is(err, context.Canceled) || allowed {
		t.Errorf("could: %v, %v", allowed, err)
	}
	if err := h.service.may(t.Context(), call, need{key: found{key: k}}); err != nil {
		t.Errorf("when they can be read: %v", err)
	}
}

// unrecorded is a pipeline for calls that end without a record.
type unrecorded struct{ authz.Directory }

func (unrecorded) Record(*authz.Call, any) []byte { panic("no record is made here") }
func (unrecorded) RecordFor(*authz.Call, any, string) []byte {
	panic("no record is made here")
}
