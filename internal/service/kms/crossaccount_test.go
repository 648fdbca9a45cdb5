package kms

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/store"
)

// across are the operations that a key's policy can open to other accounts, beside
// the cryptographic ones (AWS KMS Developer Guide, "Allowing users in other accounts
// to use a KMS key"). All others are refused, whatever the policy says.
var across = []string{
	"Encrypt", "Decrypt", "ReEncrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext",
	"GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext", "Sign", "Verify", "GenerateMac", "VerifyMac",
	"DeriveSharedSecret", "Encapsulate", "Decapsulate",
	"CreateGrant", "DescribeKey", "GetKeyRotationStatus", "GetPublicKey", "ListGrants", "RetireGrant", "RevokeGrant",
}

// keyless are the operations that name no key of another account.
var keyless = []string{
	"CreateKey", "DeleteAlias", "GenerateRandom", "ListKeys", "ListRetirableGrants", "CreateCustomKeyStore", "UpdateCustomKeyStore",
	"DeleteCustomKeyStore", "DescribeCustomKeyStores", "ConnectCustomKeyStore", "DisconnectCustomKeyStore",
}

// absentAlias is as long as the alias of the key that is there.
const thereAlias, absentAlias = "alias/there", "alias/other"

// naming ways, of a key in account.
func waysToName(id, alias string) map[string]string {
	arn := "arn:aws:kms:" + region + ":" + account + ":"
	return map[string]string{"id": id, "key ARN": arn + "key/" + id, "alias ARN": arn + alias, "alias name": alias}
}

// crossing is a call of another account, once about a key that is there and once
// about one that is not.
type crossing struct {
	operation    string
	there        m
	absent       m
	keyID, other string // the key of each
}

// crossings are the calls on a fresh key that name it in that way: as the sample
// has them, and spoilt where a check that comes too early would show.
func crossings(h *harness, operation, way string) []crossing {
	id, _ := h.keyID()
	h.ok(root, "CreateAlias", m{"AliasName": "alias/sample", "TargetKeyId": id})
	in := samples[operation](h, id)
	member := "KeyId"
	switch operation {
	case "CreateAlias", "UpdateAlias":
		member = "TargetKeyId"
	case "ReEncrypt":
		member = "DestinationKeyId"
	case "RetireGrant":
		grant := h.ok(root, "CreateGrant", sampleGrant(id))["GrantId"]
		in = m{"KeyId": id, "GrantId": grant}
	}
	if named, ok := in[member].(string); ok {
		if _, name, isARN := strings.Cut(named, ":key/"); isARN {
			named = name
		}
		id = named
	}
	if operation == "CancelKeyDeletion" { // which names no aliases
		h.ok(root, "CancelKeyDeletion", m{"KeyId": id})
	}
	h.ok(root, "CreateAlias", m{"AliasName": thereAlias, "TargetKeyId": id})
	c := crossing{
		operation: operation, keyID: id, other: absentKey,
		there:  with(in, m{member: waysToName(id, thereAlias)[way]}),
		absent: with(in, m{member: waysToName(absentKey, absentAlias)[way]}),
	}
	all := []crossing{c}
	for _, spoilt := range []m{
		{"GrantTokens": []string{"no token"}}, {"DryRun": true}, {"GranteePrincipal": "arn:aws:iam::" + account + ":user/nobody"},
		{"CiphertextBlob": "AAAA"}, {"EncryptionAlgorithm": rsaOAEP}, {"Policy": "{"}, {"PolicyName": "other"}, {"Marker": "none"},
		{"GrantId": strings.Repeat("0", 64)}, {"PendingWindowInDays": 7}, {"RotationPeriodInDays": 90}, {"NumberOfBytes": 7, "KeySpec": "AES_128"},
	} {
		for name := range spoilt {
			if _, ok := in[name]; ok || name == "GrantTokens" || name == "DryRun" {
				all = append(all, crossing{operation, with(c.there, spoilt), with(c.absent, spoilt), c.keyID, c.other})
			}
		}
	}
	return all
}

// seen is all that a caller, and its account's trail, learn of a call: without what
// differs by chance and with one name for the key.
func seen(h *harness, who caller, operation string, in m, id, alias string) (string, answer) {
	h.journal.taken(h.t)
	a := h.send(who, operation, in)
	records := h.journal.taken(h.t)
	for _, r := range records {
		delete(r, "requestID")
		delete(r, "eventID")
	}
	text, err := json.Marshal([]any{a.status, a.body, records})
	if err != nil {
		panic(err)
	}
	return strings.NewReplacer(id, "KEY", alias, "ALIAS").Replace(string(text)), a
}

// consents are what the two sides may say, and what comes of it.
var consents = map[string]struct {
	who           caller
	key, identity bool
}{
	"neither":                        {foreignUser, false, false},
	"the caller's side":              {foreignUser, false, true},
	"the root of the caller's side":  {foreignRoot, false, true},
	"the key's side":                 {foreignUser, true, false},
	"both":                           {foreignUser, true, true},
	"the key's and the other's root": {foreignRoot, true, true},
}

// TestEveryOperationAcrossAccounts: no operation succeeds on a key of another
// account, however it is named, unless both sides consent and AWS lets it cross at
// all; and where the key's side does not, neither the answer nor the caller's trail
// tells whether the key is there.
func TestEveryOperationAcrossAccounts(t *testing.T) {
	for _, operation := range slices.Sorted(maps.Keys(samples)) {
		if slices.Contains(keyless, operation) {
			continue
		}
		t.Run(operation, func(t *testing.T) {
			h := newHarness(t)
			h.ok(foreignRoot, "CreateAlias", m{"AliasName": "alias/sample", "TargetKeyId": h.ok(foreignRoot, "CreateKey", m{})["KeyMetadata"].(m)["KeyId"]})
			for way := range waysToName("", "") {
				calls := crossings(h, operation, way)
				source := sourceOf(h, calls[0].there)
				for _, key := range []bool{false, true} {
					text := keyPolicy()
					if key {
						text = keyPolicy(allow("arn:aws:iam::"+other+":root", "kms:*", nil))
					}
					for _, id := range []string{calls[0].keyID, source} {
						if id != "" {
							h.ok(root, "PutKeyPolicy", m{"KeyId": id, "Policy": text})
						}
					}
					for name, consent := range consents {
						for i, c := range calls {
							if consent.key == key {
								crossOnce(t, h, c, way, i == 0, name, consent.who, key, consent.identity)
							}
						}
					}
				}
				for _, alias := range []string{"alias/sample", thereAlias} {
					h.ok(root, "DeleteAlias", m{"AliasName": alias})
				}
			}
		})
	}
}

// crossOnce makes the two calls of c under one consent. sound says that c is not
// spoilt.
func crossOnce(t *testing.T, h *harness, c crossing, way string, sound bool, name string, who caller, key, identity bool) {
	t.Helper()
	h.identity[principals[foreignUser].ARN] = ""
	if identity {
		h.identity[principals[foreignUser].ARN] = onlyPolicy(m{"Effect": "Allow", "Action": "kms:*", "Resource": "*"})
	}
	there, a := seen(h, who, c.operation, c.there, c.keyID, thereAlias)
	absent, _ := seen(h, who, c.operation, c.absent, c.other, absentAlias)
	arn := way == "key ARN" || way == "alias ARN"
	crosses := slices.Contains(across, c.operation)
	switch {
	case a.status == 200 && (!key || !identity || !crosses || !arn):
		t.Errorf("%s, by %s, consent of %s: succeeds", c.operation, way, name)
	case (!key || !crosses || !arn) && there != absent:
		t.Fatalf("%s %v, consent of %s: what is there and what is not differ:\n%s\n%s", c.operation, c.there, name, there, absent)
	case key && identity && crosses && sound && way == "key ARN" && a.status != 200 && !goneSample(c.operation, a):
		t.Errorf("%s, by %s, consent of %s: %s %s", c.operation, way, name, a.code, a.message)
	}
	if !key && arn && a.code == "NotFoundException" {
		t.Errorf("%s, by %s, consent of %s: %s", c.operation, way, name, a.message)
	}
}

// goneSample allows for samples that can be used once.
func goneSample(operation string, a answer) bool {
	return a.code == "AccessDeniedException" && (operation == "RetireGrant") || a.code == "NotFoundException" && operation == "RevokeGrant"
}

// sourceOf is the key of a sample's ciphertext, when that is another one.
func sourceOf(h *harness, in m) string {
	if blob, ok := in["CiphertextBlob"]; ok && in["DestinationKeyId"] != nil {
		if a := h.send(root, "Decrypt", m{"CiphertextBlob": blob}); a.status == 200 {
			return a.body["KeyId"].(string)
		}
	}
	return ""
}

// TestCiphertextsOfGoneKeysAcrossAccounts: a ciphertext that names no key tells
// another account nothing of the key that made it.
func TestCiphertextsOfGoneKeysAcrossAccounts(t *testing.T) {
	h := newHarness(t)
	id, _ := h.keyID()
	destination := h.ok(foreignRoot, "CreateKey", m{})["KeyMetadata"].(m)["KeyId"]
	blob := sampleBlob(h, id)
	inputs := map[string]m{"Decrypt": {"CiphertextBlob": blob}, "ReEncrypt": {"CiphertextBlob": blob, "DestinationKeyId": destination}}
	before := map[string]string{}
	for operation, in := range inputs {
		before[operation], _ = seen(h, foreignRoot, operation, in, id, thereAlias)
	}
	err := h.store.Update(t.Context(), func(tx *store.Tx) error {
		if err := keyRecords.Delete(tx, scope(account, region), id); err != nil {
			return err
		}
		return ownerRecords.Delete(tx, regionScope(region), id)
	})
	if err != nil {
		t.Fatal(err)
	}
	for operation, in := range inputs {
		if after, _ := seen(h, foreignRoot, operation, in, id, thereAlias); after != before[operation] {
			t.Errorf("%s: before and after the key was deleted:\n%s\n%s", operation, before[operation], after)
		}
	}
}

// TestRecordsOfBothAccounts: what a caller of another account was allowed is in
// both trails, under one shared event id; of the caller the key's owner sees the
// account and the principal id alone.
func TestRecordsOfBothAccounts(t *testing.T) {
	h := newHarness(t)
	h.identity[principals[foreignUser].ARN] = onlyPolicy(m{"Effect": "Allow", "Action": "kms:*", "Resource": "*"})
	k := h.key(m{"Policy": keyPolicy(allow("arn:aws:iam::"+other+":root", "kms:*", nil))})
	arn := k["Arn"].(string)
	own := h.ok(foreignRoot, "CreateKey", m{})["KeyMetadata"].(m)["Arn"].(string)
	blob := h.ok(root, "Encrypt", m{"KeyId": arn, "Plaintext": plaintextBase64})["CiphertextBlob"]
	disabled := h.key(m{"Policy": keyPolicy(allow("arn:aws:iam::"+other+":root", "kms:*", nil))})["Arn"].(string)
	h.ok(root, "DisableKey", m{"KeyId": disabled})
	closed := h.key(m{})["Arn"].(string)
	for _, test := range []struct {
		operation string
		in        m
		code      any
		accounts  []string
	}{
		{"Encrypt", m{"KeyId": arn, "Plaintext": plaintextBase64}, nil, []string{other, account}},
		{"CreateGrant", m{"KeyId": arn, "GranteePrincipal": "arn:aws:iam::" + other + ":root", "Operations": []string{"Encrypt"}}, nil, []string{other, account}},
		{"ReEncrypt", m{"CiphertextBlob": blob, "DestinationKeyId": own}, nil, []string{other, account}},
		{"Encrypt", m{"KeyId": disabled, "Plaintext": plaintextBase64}, "DisabledException", []string{other, account}},
		{"Encrypt", m{"KeyId": closed, "Plaintext": plaintextBase64}, "AccessDenied", []string{other}},
		{"ReEncrypt", m{"CiphertextBlob": blob, "DestinationKeyId": closed}, "AccessDenied", []string{other}},
		{"Encrypt", m{"KeyId": own, "Plaintext": plaintextBase64}, nil, []string{other}},
	} {
		h.journal.taken(t)
		h.send(foreignUser, test.operation, test.in)
		records := h.journal.taken(t)
		if len(records) != len(test.accounts) {
			t.Errorf("%s %v: %d records, want %d", test.operation, test.in, len(records), len(test.accounts))
			continue
		}
		for i, r := range records {
			if r["recipientAccountId"] != test.accounts[i] {
				t.Errorf("%s: record %d is for %v", test.operation, i, r["recipientAccountId"])
			}
			if code, _ := r["errorCode"].(string); test.code == nil && code != "" || test.code != nil && !strings.HasPrefix(code, test.code.(string)) {
				t.Errorf("%s %v: errorCode %v", test.operation, test.in, r["errorCode"])
			}
		}
		mine := records[0]
		if mine["userIdentity"].(m)["type"] != "IAMUser" {
			t.Errorf("the caller's record: %v", mine["userIdentity"])
		}
		if len(records) == 1 {
			if mine["sharedEventID"] != nil {
				t.Errorf("%s: alone, and shared: %v", test.operation, mine)
			}
			continue
		}
		theirs := records[1]
		if mine["sharedEventID"] == nil || mine["sharedEventID"] != theirs["sharedEventID"] || mine["eventID"] == theirs["eventID"] || mine["requestID"] != theirs["requestID"] {
			t.Errorf("%s: the ids of the pair:\n%v\n%v", test.operation, mine, theirs)
		}
		want := m{"type": "AWSAccount", "accountId": other, "principalId": principals[foreignUser].ID}
		if !maps.Equal(theirs["userIdentity"].(m), want) {
			t.Errorf("%s: the owner's record shows %v", test.operation, theirs["userIdentity"])
		}
		for _, name := range []string{"eventID", "userIdentity", "recipientAccountId"} {
			delete(mine, name)
			delete(theirs, name)
		}
		if jsonText(mine) != jsonText(theirs) {
			t.Errorf("%s: the pair differs beyond that:\n%v\n%v", test.operation, mine, theirs)
		}
	}
}

// TestCrosses: questions know what the operations do.
func TestCrosses(t *testing.T) {
	for operation := range samples {
		actions := []string{"kms:" + operation}
		if operation == "ReEncrypt" {
			actions = []string{"kms:ReEncryptFrom", "kms:ReEncryptTo"}
		}
		for _, action := range actions {
			if Crosses(action) != slices.Contains(across, operation) {
				t.Errorf("%s crosses: %v", action, Crosses(action))
			}
		}
	}
}
