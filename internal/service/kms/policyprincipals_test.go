package kms

import (
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/store"
)

// TestKeyPolicyIsBoundToUniqueIDs: whoever comes under a name that a key policy
// holds is not who the policy means, by whichever operation the policy came; and the
// policy is shown with the names that those it means have now.
func TestKeyPolicyIsBoundToUniqueIDs(t *testing.T) {
	for name, arn := range map[caller]string{user: userARN, session: roleARN, otherSession: "arn:aws:sts::" + account + ":assumed-role/worker/two"} {
		g := newGrantHarness(t)
		text := keyPolicy(allow(arn, "kms:Encrypt", nil), m{"Effect": "Deny", "NotPrincipal": m{"AWS": []string{arn, roleARN, rootName}}, "Action": "kms:Sign", "Resource": "*"})
		created := g.key(m{"Policy": text, "MultiRegion": true})["KeyId"].(string)
		put, _ := g.keyID()
		g.ok(root, "PutKeyPolicy", m{"KeyId": put, "Policy": text})
		answer := g.ok(root, "ReplicateKey", m{"KeyId": created, "ReplicaRegion": second, "Policy": text})
		want := g.ok(root, "GetKeyPolicy", m{"KeyId": put})["Policy"].(string)
		if answer["ReplicaPolicy"] != want || !strings.Contains(want, `"`+arn+`"`) {
			t.Errorf("%s: shown as %v\nand %v", name, want, answer["ReplicaPolicy"])
		}
		g.work()
		each := func(do func(key string)) {
			do(created)
			do(put)
			g.region = second
			do(created)
			g.region = region
		}
		each(func(key string) {
			g.ok(name, "Encrypt", m{"KeyId": key, "Plaintext": plaintext})
			if got := g.ok(root, "GetKeyPolicy", m{"KeyId": key})["Policy"]; got != want {
				t.Errorf("%s: shown as %v, want %v", name, got, want)
			}
		})
		// Gone, and come again: the names mean others, and the ids nobody.
		for arn := range g.ids {
			g.ids[arn] = strings.Replace(g.ids[arn], "EXAMPLE", "ANOTHER", 1)
		}
		each(func(key string) {
			got := g.ok(root, "GetKeyPolicy", m{"KeyId": key})["Policy"].(string)
			if strings.Contains(got, `"`+arn+`"`) || !strings.Contains(got, "EXAMPLE0") || !strings.Contains(got, rootName) {
				t.Errorf("%s: shown as %s", name, got)
			}
			g.ok(name, "Encrypt", m{"KeyId": key, "Plaintext": plaintext}) // it is still the one that was meant
			g.ok(root, "PutKeyPolicy", m{"KeyId": key, "Policy": text})
			g.denied(name, "Encrypt", m{"KeyId": key, "Plaintext": plaintext})
		})
	}
}

// TestKeyPolicyFromBeforeUniqueIDs: a stored policy with ARNs goes on meaning
// whoever bears them, and is bound when it is put again.
func TestKeyPolicyFromBeforeUniqueIDs(t *testing.T) {
	g := newGrantHarness(t)
	key, _ := g.keyID()
	text := strings.ReplaceAll(keyPolicy(allow(userARN, "kms:Encrypt", nil)), " ", "")
	err := g.store.Update(t.Context(), func(tx *store.Tx) error {
		record, err := readKey(tx, account, region, key)
		if err != nil {
			return err
		}
		record.keyRecord.Policy = text
		return keyRecords.Put(tx, scope(account, region), key, record.keyRecord)
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := g.ok(root, "GetKeyPolicy", m{"KeyId": key})["Policy"]; got != text {
		t.Errorf("shown as %v", got)
	}
	g.ids[userARN] = "AIDAANOTHER000000000"
	g.ok(user, "Encrypt", m{"KeyId": key, "Plaintext": plaintext})
	g.ok(root, "PutKeyPolicy", m{"KeyId": key, "Policy": text})
	g.denied(user, "Encrypt", m{"KeyId": key, "Plaintext": plaintext})
}
