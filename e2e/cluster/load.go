package cluster

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
)

// loader is one client with keys and aliases of its own, so that what it was told
// last is what must be there. It sends each call to any node.
type loader struct {
	*runner
	id      int
	choices *rand.Rand
	serial  int

	keys    []*loadedKey
	aliases []*register
	blobs   []blob
	tokens  map[string]bool // descriptions of keys: true when the creation was acknowledged
}

// register is a value that calls replace.
type register struct {
	name    string
	value   string   // what was acknowledged last
	maybe   []string // what calls of unknown outcome may have put there, at any time
	retired bool     // nothing more is done to it
}

// allows tells whether a value may be found at the end.
func (r *register) allows(found string) bool {
	return found == r.value || slices.Contains(r.maybe, found)
}

// loadedKey is a key of the load.
type loadedKey struct {
	id                           string
	description, enabled, policy register
	grants                       []*register // by their ids: "present" or "absent"
}

func (k *loadedKey) usable() bool { return !k.enabled.retired && k.enabled.value == "true" }

type blob struct{ ciphertext, plaintext string }

// openPolicy is a key policy that lets the account do everything; it differs by its Id.
func openPolicy(id, more string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Id":%q,"Statement":[{"Sid":"a","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":"kms:*","Resource":"*"}%s]}`, id, more)
}

func (w *loader) next(what string) string {
	w.serial++
	return fmt.Sprintf("%s-%d-%d", what, w.id, w.serial)
}

// run loads the nodes until ctx ends.
func (w *loader) run(ctx context.Context) {
	for ctx.Err() == nil {
		w.step(context.WithoutCancel(ctx))
		rest(ctx, w.Pause)
	}
}

func (w *loader) call(ctx context.Context, operation string, in any) answer {
	a := w.root.kms(ctx, w.anyNode(w.choices), operation, in)
	if a.outcome() == unknown {
		w.lost.Add(1)
	}
	return a
}

// step makes one call, or two.
func (w *loader) step(ctx context.Context) {
	if len(w.keys) == 0 {
		w.createKey(ctx)
		return
	}
	// The newest keys: the older ones lie still and are looked at again in the end.
	recent := w.keys[max(0, len(w.keys)-8):]
	k := recent[w.choices.IntN(len(recent))]
	switch n := w.choices.IntN(100); {
	case n < 3:
		w.createKey(ctx)
	case n < 20 && k.usable():
		w.encrypt(ctx, k)
	case n < 35 && len(w.blobs) > 0:
		w.decrypt(ctx)
	case n < 42 && k.usable():
		w.dataKey(ctx, k)
	case n < 54:
		w.changeAlias(ctx, k)
	case n < 64:
		next := w.next("description")
		w.change(ctx, &k.description, next, "UpdateKeyDescription", map[string]any{"KeyId": k.id, "Description": next})
	case n < 72:
		next := openPolicy(w.next("policy"), "")
		w.change(ctx, &k.policy, next, "PutKeyPolicy", map[string]any{"KeyId": k.id, "Policy": next})
	case n < 80:
		if k.enabled.value == "true" {
			w.change(ctx, &k.enabled, "false", "DisableKey", map[string]any{"KeyId": k.id})
		} else {
			w.change(ctx, &k.enabled, "true", "EnableKey", map[string]any{"KeyId": k.id})
		}
	case n < 86 && k.usable():
		w.grant(ctx, k)
	default:
		w.look(ctx, k)
	}
}

func (w *loader) createKey(ctx context.Context) {
	token := w.next("key")
	w.tokens[token] = false
	policy := openPolicy(token, "")
	a := w.call(ctx, "CreateKey", map[string]any{"Description": token, "Policy": policy})
	switch a.outcome() {
	case done:
		w.changes.Add(1)
		w.tokens[token] = true
		w.keys = append(w.keys, &loadedKey{
			id: a.field("KeyMetadata", "KeyId"), description: register{value: token}, enabled: register{value: "true"}, policy: register{value: policy},
		})
	case refused:
		w.violate("%v", a)
	}
}

// change makes a call that replaces a value.
func (w *loader) change(ctx context.Context, r *register, next, operation string, in any) {
	if r.retired {
		return
	}
	switch a := w.call(ctx, operation, in); a.outcome() {
	case done:
		w.changes.Add(1)
		r.value = next
	case refused:
		w.violate("%s of %q, in the place of %q: %v", operation, next, r.value, a)
		r.retired = true
	case unknown: // it may be done yet, after what would be called next
		r.maybe = append(r.maybe, next)
		r.retired = true
	}
}

// changeAlias creates one of the newest aliases, points it to k, or deletes it.
func (w *loader) changeAlias(ctx context.Context, k *loadedKey) {
	var r *register
	if n := len(w.aliases); n > 0 {
		r = w.aliases[max(0, n-1-w.choices.IntN(4))]
	}
	if r == nil || r.retired || w.choices.IntN(8) == 0 {
		r = &register{name: "alias/" + w.next("load")}
		w.aliases = append(w.aliases, r)
	}
	switch {
	case r.value == "":
		w.change(ctx, r, k.id, "CreateAlias", map[string]any{"AliasName": r.name, "TargetKeyId": k.id})
	case w.choices.IntN(3) == 0:
		w.change(ctx, r, "", "DeleteAlias", map[string]any{"AliasName": r.name})
	default:
		w.change(ctx, r, k.id, "UpdateAlias", map[string]any{"AliasName": r.name, "TargetKeyId": k.id})
	}
}

func (w *loader) grant(ctx context.Context, k *loadedKey) {
	if n := len(k.grants); n > 0 && k.grants[n-1].value == "present" && !k.grants[n-1].retired {
		g := k.grants[n-1]
		w.change(ctx, g, "absent", "RevokeGrant", map[string]any{"KeyId": k.id, "GrantId": g.name})
		return
	}
	a := w.call(ctx, "CreateGrant", map[string]any{"KeyId": k.id, "GranteePrincipal": w.user, "Operations": []string{"Encrypt"}, "Name": w.next("grant")})
	switch a.outcome() {
	case done:
		w.changes.Add(1)
		k.grants = append(k.grants, &register{name: a.field("GrantId"), value: "present"})
	case refused:
		w.violate("%v", a)
	}
}

func (w *loader) encrypt(ctx context.Context, k *loadedKey) {
	plaintext := base64.StdEncoding.EncodeToString([]byte(w.next("plaintext")))
	a := w.call(ctx, "Encrypt", map[string]any{"KeyId": k.id, "Plaintext": plaintext})
	switch a.outcome() {
	case done:
		w.blobs = append(w.blobs, blob{a.field("CiphertextBlob"), plaintext})
	case refused:
		w.violate("key %s, which is enabled: %v", k.id, a)
	}
}

func (w *loader) dataKey(ctx context.Context, k *loadedKey) {
	a := w.call(ctx, "GenerateDataKey", map[string]any{"KeyId": k.id, "KeySpec": "AES_256"})
	switch a.outcome() {
	case done:
		w.blobs = append(w.blobs, blob{a.field("CiphertextBlob"), a.field("Plaintext")})
	case refused:
		w.violate("key %s, which is enabled: %v", k.id, a)
	}
}

// decrypt opens one of the ciphertexts. Its key may be disabled by now.
func (w *loader) decrypt(ctx context.Context) {
	b := w.blobs[w.choices.IntN(len(w.blobs))]
	a := w.call(ctx, "Decrypt", map[string]any{"CiphertextBlob": b.ciphertext})
	switch {
	case a.outcome() == done && a.field("Plaintext") != b.plaintext:
		w.violate("Decrypt gives %q, and %q was encrypted", a.field("Plaintext"), b.plaintext)
	case a.outcome() == refused && a.code != "DisabledException":
		w.violate("%v", a)
	}
}

// look compares what a node shows with what was acknowledged, whichever node did.
func (w *loader) look(ctx context.Context, k *loadedKey) {
	node := w.anyNode(w.choices)
	if n := len(w.aliases); n > 0 && w.choices.IntN(2) == 0 {
		r := w.aliases[max(0, n-1-w.choices.IntN(4))]
		a := w.root.kms(ctx, node, "DescribeKey", map[string]any{"KeyId": r.name})
		if found, ok := aliasTarget(a); ok && !r.allows(found) {
			w.violate("%s, asked for at %s, points to %q; acknowledged is %q, possible %q", r.name, node, found, r.value, r.maybe)
		} else if a.outcome() == refused && !ok {
			w.violate("%v", a)
		}
		return
	}
	a := w.root.kms(ctx, node, "DescribeKey", map[string]any{"KeyId": k.id})
	switch a.outcome() {
	case done:
		w.compare(node, k, a)
	case refused:
		w.violate("key %s: %v", k.id, a)
	}
}

// aliasTarget reads the key that an alias points to from an answer of DescribeKey.
func aliasTarget(a answer) (id string, ok bool) {
	switch {
	case a.outcome() == done:
		return a.field("KeyMetadata", "KeyId"), true
	case a.code == "NotFoundException":
		return "", true
	}
	return "", false
}

func (w *loader) compare(node string, k *loadedKey, a answer) {
	if found := a.field("KeyMetadata", "Description"); !k.description.allows(found) {
		w.violate("key %s at %s has the description %q; acknowledged is %q, possible %q", k.id, node, found, k.description.value, k.description.maybe)
	}
	enabled := fmt.Sprint(a.field("KeyMetadata", "KeyState") == "Enabled")
	if !k.enabled.allows(enabled) {
		w.violate("key %s at %s is enabled: %s; acknowledged is %q, possible %q", k.id, node, enabled, k.enabled.value, k.enabled.maybe)
	}
}
