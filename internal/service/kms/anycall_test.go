package kms

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/apigen/model"
)

// beyondTheModel are errors that AWS answers in any operation, although the model
// lists them for none (kms.md §1).
var beyondTheModel = []string{"ValidationException", "AccessDeniedException", "NotAuthorizedException"}

// undeclared are errors that an operation answers although its model does not have
// them, since its input has what they are about.
var undeclared = map[string]string{
	"DescribeKey":     "InvalidGrantTokenException",
	"ListKeyPolicies": "InvalidMarkerException",
}

// TestAnyCall makes calls of every operation with whatever the model lets through,
// on keys of every spec in every state: none panics or fails in a way that is not
// AWS's, and nothing is logged.
func TestAnyCall(t *testing.T) {
	facts, err := model.Load("../../../models", "kms")
	if err != nil {
		t.Fatal(err)
	}
	h := newHarness(t)
	w := newWorld(h)
	operations := slices.Sorted(slices.Values(built(t)))
	states := slices.Sorted(maps.Keys(stateMessages))
	states = append(states, api.KeyStateEnabled, api.KeyStateEnabled, api.KeyStateEnabled)
	rapid.Check(t, func(t *rapid.T) {
		operation := rapid.SampledFrom(operations).Draw(t, "operation")
		shape := facts.Operations[operation].Input
		in := m{}
		if shape != "" {
			in = w.draw(t, facts, shape, "").(m)
		}
		if id, ok := in["KeyId"].(string); ok && slices.Contains(w.ids, id) {
			h.pending(id, rapid.SampledFrom(states).Draw(t, "state"))
			defer h.pending(id, api.KeyStateEnabled)
		}
		who := rapid.SampledFrom([]caller{root, root, root, user, foreignRoot}).Draw(t, "caller")
		a := h.send(who, operation, in)
		known := a.status == 200 || slices.Contains(facts.Operations[operation].Errors, a.code) || slices.Contains(beyondTheModel, a.code) || undeclared[operation] == a.code
		if in["Recipient"] != nil {
			known = true // which errors attestation documents give is not established
		}
		failed := a.status >= 500 && a.code != "DependencyTimeoutException" // of a machine that is busy
		if failed || !known || h.log.Len() > 0 {
			t.Fatalf("%s as %s of %v: %d %s %q\nlog: %s", operation, who, in, a.status, a.code, a.message, h.log)
		}
	})
}

// world is what a drawn call may name.
type world struct {
	ids    []string // of keys that may get any state
	names  []string
	values map[string][]any // by shape
}

func newWorld(h *harness) *world {
	w := &world{}
	var blobs, public []any
	for _, k := range h.rowKeys() {
		if k.sham {
			continue
		}
		w.ids = append(w.ids, k.id)
		w.names = append(w.names, k.id, k.arn)
		if a := h.send(root, "GetPublicKey", m{"KeyId": k.id}); a.status == 200 {
			public = append(public, a.body["PublicKey"])
		}
		for _, algorithm := range k.algorithms {
			if k.usage == "ENCRYPT_DECRYPT" {
				blobs = append(blobs, h.ok(root, "Encrypt", m{"KeyId": k.id, "Plaintext": plaintextBase64, "EncryptionAlgorithm": algorithm})["CiphertextBlob"])
			}
		}
	}
	external, arn := h.external(m{})
	material := h.wrapping(external).wrap(external, filled(1), nil)
	primary := h.primary()
	grant := h.ok(root, "CreateGrant", sampleGrant(w.ids[0]))
	h.ok(root, "CreateAlias", m{"AliasName": "alias/any", "TargetKeyId": w.ids[0]})
	w.names = append(w.names, external, arn, primary, "alias/any", "alias/absent", "foo", "arn:aws:kms:us-east-1:"+account+":alias/any",
		"arn:aws:kms:eu-west-1:"+account+":key/"+external, "arn:aws:kms:us-east-1:"+other+":key/"+external, "deadbeef-dead-4ead-8ead-deadbeefdead", "arn:aws:kms", "arn:aws:s3:::b")
	junk := []any{b64([]byte("junk")), b64(make([]byte, 32)), b64(make([]byte, 48)), b64(make([]byte, 64)), b64(make([]byte, 4096))}
	w.values = map[string][]any{
		"PlaintextType": junk, "CiphertextType": slices.Concat(blobs, junk, []any{material["ImportToken"], material["EncryptedKeyMaterial"]}),
		"PublicKeyType": slices.Concat(public, junk), "GrantTokenType": {grant["GrantToken"], "x"}, "GrantIdType": {grant["GrantId"], "x"},
		"AliasNameType": {"alias/any", "alias/new", "alias/aws/x", "any", "alias/"}, "PolicyNameType": {"default", "other"},
		"PolicyType":      {keyPolicy(), keyPolicy(allow(userARN, "kms:*", nil)), `{}`, `{"Statement":[]}`, "x", keyPolicy(allow("x", "kms:*", nil))},
		"PrincipalIdType": {userARN, principals[root].ARN, principals[foreignRoot].ARN, "x", "arn:aws:iam::" + account + ":user/none", "s3.amazonaws.com"},
		"RegionType":      {region, second, "eu-west-9", "cn-north-1"}, "MarkerType": {"x", "AAAA"},
		"TagKeyType":           {"a", "b", "aws:x"},
		"BackingKeyIdType":     {"0000000000000000000000000000000000000000000000000000000000000000"},
		"ServicePrincipalType": {"s3.amazonaws.com"}, "GrantConstraintSourceArnType": {"arn:aws:rds:us-east-1:111122223333:db:x"},
		"GrantNameType": {"one"}, "DescriptionType": {"", "d"}, "KeyMaterialDescriptionType": {"d"}, "TagValueType": {"", "v"},
		"EncryptionContextKey": {"a", ""}, "EncryptionContextValue": {"1", ""},
	}
	return w
}

// draw returns a value of a shape.
func (w *world) draw(t *rapid.T, facts *model.Model, shape, name string) any {
	s := facts.Shapes[shape]
	if values := w.values[shape]; values != nil {
		return rapid.SampledFrom(values).Draw(t, name)
	}
	switch {
	case shape == "KeyIdType":
		return rapid.SampledFrom(w.names).Draw(t, name)
	case shape == "KeySpec" || shape == "DataKeyPairSpec":
		// Those that are held back would take their time.
		specs := slices.DeleteFunc(slices.Clone(s.Enum), func(spec string) bool { return slices.Contains(heldBack, spec) })
		return rapid.SampledFrom(specs).Draw(t, name)
	case s.Enum != nil:
		return rapid.SampledFrom(s.Enum).Draw(t, name)
	case s.Type == "string":
		return "text"
	case s.Type == "blob":
		return plaintextBase64
	case s.Type == "boolean":
		return rapid.Bool().Draw(t, name)
	case s.Type == "integer":
		return rapid.Int64Range(*s.Min, *s.Max).Draw(t, name)
	case s.Type == "timestamp":
		return rapid.SampledFrom([]float64{0, 1_800_000_000, 1_767_409_446}).Draw(t, name)
	case s.Type == "list":
		list := []any{}
		for range rapid.IntRange(0, 3).Draw(t, name) {
			list = append(list, w.draw(t, facts, s.Member, name))
		}
		return list
	case s.Type == "map":
		all := m{}
		for range rapid.IntRange(0, 2).Draw(t, name) {
			all[w.draw(t, facts, s.Key, name).(string)] = w.draw(t, facts, s.Value, name)
		}
		return all
	}
	in := m{}
	for _, member := range s.Members {
		if member.Required || rapid.IntRange(0, 3).Draw(t, member.Name+" given") == 0 {
			in[member.Name] = w.draw(t, facts, member.Shape, member.Name)
		}
	}
	return in
}
