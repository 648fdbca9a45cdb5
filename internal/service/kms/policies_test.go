package kms

import (
	"strings"
	"testing"
)

const defaultPolicyText = `{
  "Version" : "2012-10-17",
  "Id" : "key-default-1",
  "Statement" : [ {
    "Sid" : "Enable IAM User Permissions",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "arn:aws:iam::111122223333:root"
    },
    "Action" : "kms:*",
    "Resource" : "*"
  } ]
}`

func TestDefaultPolicy(t *testing.T) {
	h := newHarness(t)
	id, _ := h.keyID()
	for _, in := range []m{{"KeyId": id}, {"KeyId": id, "PolicyName": "default"}} {
		out := h.ok(root, "GetKeyPolicy", in)
		if out["Policy"] != defaultPolicyText || out["PolicyName"] != "default" {
			t.Errorf("%v", out)
		}
	}
	out := h.ok(root, "ListKeyPolicies", m{"KeyId": id})
	if names := out["PolicyNames"].([]any); len(names) != 1 || names[0] != "default" || out["Truncated"] != false {
		t.Errorf("%v", out)
	}
	// What AWS writes, it takes back unchanged.
	h.ok(root, "PutKeyPolicy", m{"KeyId": id, "Policy": defaultPolicyText, "PolicyName": "default"})
	if got := h.ok(root, "GetKeyPolicy", m{"KeyId": id})["Policy"]; got != defaultPolicyText {
		t.Errorf("%s", got)
	}
}

// TestPoliciesComeBackPretty: in AWS's layout, and Principal "*" as an object.
func TestPoliciesComeBackPretty(t *testing.T) {
	h := newHarness(t)
	const in = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":["kms:Encrypt","kms:PutKeyPolicy"],"Resource":"*"}]}`
	const want = `{
  "Version" : "2012-10-17",
  "Statement" : [ {
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "*"
    },
    "Action" : [ "kms:Encrypt", "kms:PutKeyPolicy" ],
    "Resource" : "*"
  } ]
}`
	id := h.key(m{"Policy": in, "BypassPolicyLockoutSafetyCheck": true})["KeyId"].(string)
	h.ok(user, "PutKeyPolicy", m{"KeyId": id, "Policy": strings.Replace(in, "kms:PutKeyPolicy", "kms:*", 1)})
	if got := h.ok(user, "GetKeyPolicy", m{"KeyId": id})["Policy"]; got != strings.Replace(want, "kms:PutKeyPolicy", "kms:*", 1) {
		t.Errorf("%s", got)
	}
}

func TestPolicyRefusals(t *testing.T) {
	h := newHarness(t)
	id, _ := h.keyID()
	const (
		malformed = "MalformedPolicyDocumentException"
		invalid   = "Policy contains a statement with one or more invalid principals."
		lockout   = "The new key policy will not allow you to update the key policy in the future."
	)
	statement := func(principal string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow",` + principal + `"Action":"kms:*","Resource":"*"}]}`
	}
	huge := keyPolicy(m{"Sid": strings.Repeat("s", 32<<10), "Effect": "Allow", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*"})
	for _, test := range []struct{ name, policy, code, message string }{
		{"no principal", statement(""), malformed, "Policy contains a statement with no principal."},
		{"user that is not there", keyPolicy(allow("arn:aws:iam::"+account+":user/nobody", "kms:Encrypt", nil)), malformed, invalid},
		{"not an ARN", keyPolicy(allow("alice", "kms:Encrypt", nil)), malformed, invalid},
		{"too large", huge, "LimitExceededException", "The size of the key policy is above the quota of 32768 bytes."},
		{"others only", statement(`"Principal":{"AWS":"arn:aws:iam::` + other + `:root"},`), malformed, lockout},
		{"encrypting only", strings.Replace(statement(`"Principal":"*",`), "kms:*", "kms:Encrypt", 1), malformed, lockout},
		{"denied", keyPolicy(m{"Effect": "Deny", "Principal": "*", "Action": "kms:PutKeyPolicy", "Resource": "*"}), malformed, lockout},
		{"with a bypass alone", strings.Replace(statement(`"Principal":"*",`), `"Resource"`, `"Condition":{"Bool":{"kms:BypassPolicyLockoutSafetyCheck":"true"}},"Resource"`, 1), malformed, lockout},
	} {
		before := h.ok(root, "GetKeyPolicy", m{"KeyId": id})["Policy"]
		for operation, in := range map[string]m{"PutKeyPolicy": {"KeyId": id}, "CreateKey": {}} {
			a := h.send(root, operation, with(in, m{"Policy": test.policy}))
			if a.code != test.code || a.message != test.message {
				t.Errorf("%s, %s: %s %q, want %s %q", operation, test.name, a.code, a.message, test.code, test.message)
			}
			bypassed := h.send(root, operation, with(in, m{"Policy": test.policy, "BypassPolicyLockoutSafetyCheck": true}))
			if want := test.message == lockout; (bypassed.status == 200) != want {
				t.Errorf("%s, %s, with bypass: %d %s", operation, test.name, bypassed.status, bypassed.message)
			}
			if operation == "PutKeyPolicy" && bypassed.status == 200 {
				id, _ = h.keyID() // the other is locked now
				before = h.ok(root, "GetKeyPolicy", m{"KeyId": id})["Policy"]
			}
		}
		if got := h.ok(root, "GetKeyPolicy", m{"KeyId": id})["Policy"]; got != before {
			t.Errorf("%s: the policy changed", test.name)
		}
	}
	for _, text := range []string{"{}", "[]", "null", `{"Version":"2012-10-17","Statement":[]}`, keyPolicy() + "x",
		strings.Replace(keyPolicy(), `"Effect":"Allow"`, `"Effect":"Allow","Effect":"Deny"`, 1),
		strings.Replace(keyPolicy(), `"Effect":"Allow"`, `"Effect":"Perhaps"`, 1),
		strings.Replace(keyPolicy(), `"Effect"`, `"Extra":1,"Effect"`, 1)} {
		if a := h.send(root, "PutKeyPolicy", m{"KeyId": id, "Policy": text}); a.code != malformed || a.bare {
			t.Errorf("%s: %s %q", text, a.code, a.message)
		}
	}
	h.fails(root, "GetKeyPolicy", m{"KeyId": id, "PolicyName": "other"}, "NotFoundException", "No such policy exists")
	h.fails(root, "PutKeyPolicy", m{"KeyId": id, "PolicyName": "other", "Policy": keyPolicy()}, "NotFoundException", "No such policy exists")
}

// TestPolicyTakesEffectAtOnce: what PutKeyPolicy takes away is gone when it is
// answered.
func TestPolicyTakesEffectAtOnce(t *testing.T) {
	h := newHarness(t)
	id, _ := h.keyID()
	in := m{"KeyId": id, "Plaintext": plaintextBase64}
	for range 3 {
		h.ok(root, "PutKeyPolicy", m{"KeyId": id, "Policy": keyPolicy(allow(userARN, "kms:Encrypt", nil))})
		h.ok(user, "Encrypt", in)
		h.ok(root, "PutKeyPolicy", m{"KeyId": id, "Policy": keyPolicy()})
		if a := h.send(user, "Encrypt", in); a.code != "AccessDeniedException" {
			t.Fatalf("%d %s", a.status, a.code)
		}
	}
}
