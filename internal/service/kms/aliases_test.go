package kms

import (
	"fmt"
	"strings"
	"testing"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/store"
)

const aliasPrefixARN = "arn:aws:kms:us-east-1:" + account + ":"

func TestAliasNames(t *testing.T) {
	h := newHarness(t)
	id, _ := h.keyID()
	longest := "alias/" + strings.Repeat("n", 250)
	for _, name := range []string{"alias/a", "alias/A", "alias/x/y_z-0", "alias/aws", "alias/awsome/x", longest} {
		h.ok(root, "CreateAlias", m{"AliasName": name, "TargetKeyId": id})
	}
	for _, test := range []struct{ name, code, message string }{
		{"a", "ValidationException", `Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html`},
		{"Alias/a", "ValidationException", `Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html`},
		{"alias/aws/s3", "NotAuthorizedException", ""},
		{"alias/a:b", "ValidationException", "alias/a:b contains invalid characters for an alias"},
		{longest + "n", "ValidationException", "1 validation error detected: Value '" + longest + "n' at 'aliasName' failed to satisfy constraint: Member must have length less than or equal to 256"},
		{"alias/a b", "ValidationException", "1 validation error detected: Value 'alias/a b' at 'aliasName' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$"},
	} {
		h.fails(root, "CreateAlias", m{"AliasName": test.name, "TargetKeyId": id}, test.code, test.message)
		h.fails(root, "UpdateAlias", m{"AliasName": test.name, "TargetKeyId": id}, test.code, test.message)
		h.fails(root, "DeleteAlias", m{"AliasName": test.name}, test.code, test.message)
	}
	// The model has the exception for CreateAlias alone.
	h.fails(root, "CreateAlias", m{"AliasName": "alias/", "TargetKeyId": id}, "InvalidAliasNameException", "")
	h.fails(root, "UpdateAlias", m{"AliasName": "alias/", "TargetKeyId": id}, "NotFoundException", "Alias "+aliasPrefixARN+"alias/ is not found.")
	h.fails(root, "DeleteAlias", m{"AliasName": "alias/"}, "NotFoundException", "Alias "+aliasPrefixARN+"alias/ is not found.")
}

func TestAliasRefusals(t *testing.T) {
	h := newHarness(t)
	id, _ := h.keyID()
	h.ok(root, "CreateAlias", m{"AliasName": "alias/a", "TargetKeyId": id})
	h.fails(root, "CreateAlias", m{"AliasName": "alias/a", "TargetKeyId": id}, "AlreadyExistsException", "An alias with the name "+aliasPrefixARN+"alias/a already exists")
	for _, target := range []string{"alias/a", aliasPrefixARN + "alias/a", "alias/absent"} {
		h.fails(root, "CreateAlias", m{"AliasName": "alias/b", "TargetKeyId": target}, "ValidationException", "Aliases must refer to keys. Not aliases")
	}
	missing := "Key '" + aliasPrefixARN + "key/" + absentKey + "' does not exist"
	h.fails(root, "CreateAlias", m{"AliasName": "alias/b", "TargetKeyId": absentKey}, "NotFoundException", missing)
	h.fails(root, "UpdateAlias", m{"AliasName": "alias/a", "TargetKeyId": absentKey}, "NotFoundException", missing)
	h.fails(root, "UpdateAlias", m{"AliasName": "alias/absent", "TargetKeyId": id}, "NotFoundException", "Alias "+aliasPrefixARN+"alias/absent is not found.")
	h.fails(root, "DeleteAlias", m{"AliasName": "alias/absent"}, "NotFoundException", "Alias "+aliasPrefixARN+"alias/absent is not found.")

	// A key of another usage, as no operation makes one yet.
	mac, _ := h.keyID()
	err := h.store.Update(t.Context(), func(tx *store.Tx) error {
		record, err := keyRecords.Get(tx, scope(account, region), mac)
		if err != nil {
			return err
		}
		record.Usage = api.KeyUsageTypeGenerateVerifyMac
		return keyRecords.Put(tx, scope(account, region), mac, record)
	})
	if err != nil {
		t.Fatal(err)
	}
	h.fails(root, "UpdateAlias", m{"AliasName": "alias/a", "TargetKeyId": mac}, "ValidationException",
		"Alias "+aliasPrefixARN+"alias/a cannot be changed from a CMK with key usage ENCRYPT_DECRYPT to a CMK with key usage GENERATE_VERIFY_MAC. The key usage of the current CMK and the new CMK must be the same.")
}

func TestAliasQuota(t *testing.T) {
	h := newHarness(t)
	full, _ := h.keyID()
	id, _ := h.keyID()
	for i := range 50 {
		h.ok(root, "CreateAlias", m{"AliasName": fmt.Sprint("alias/", i), "TargetKeyId": full})
	}
	const message = "Aliases per key quota for this account in this region is 50, current usage is 50."
	h.fails(root, "CreateAlias", m{"AliasName": "alias/more", "TargetKeyId": full}, "LimitExceededException", message)
	h.ok(root, "CreateAlias", m{"AliasName": "alias/more", "TargetKeyId": id})
	h.fails(root, "UpdateAlias", m{"AliasName": "alias/more", "TargetKeyId": full}, "LimitExceededException", message)
	h.ok(root, "UpdateAlias", m{"AliasName": "alias/7", "TargetKeyId": full}) // it counts already
	h.ok(root, "DeleteAlias", m{"AliasName": "alias/7"})
	h.ok(root, "UpdateAlias", m{"AliasName": "alias/more", "TargetKeyId": full})
}

// TestAliasLife follows an alias through the operations, and their records.
func TestAliasLife(t *testing.T) {
	h := newHarness(t)
	one, oneARN := h.keyID()
	two, twoARN := h.keyID()
	arn := aliasPrefixARN + "alias/a"
	leadsTo := func(want string) {
		t.Helper()
		if got := h.ok(root, "DescribeKey", m{"KeyId": "alias/a"})["KeyMetadata"].(m)["Arn"]; got != want {
			t.Errorf("leads to %v, want %s", got, want)
		}
		h.journal.taken(t)
	}
	recorded := func(want ...string) {
		t.Helper()
		if got := resources(h.only()); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("the record's resources are %v, want %v", got, want)
		}
	}
	h.journal.taken(t)
	h.ok(root, "CreateAlias", m{"AliasName": "alias/a", "TargetKeyId": one})
	recorded(oneARN, arn)
	leadsTo(oneARN)
	entry := h.ok(root, "ListAliases", m{"KeyId": one})["Aliases"].([]any)[0].(m)
	if entry["AliasName"] != "alias/a" || entry["AliasArn"] != arn || entry["TargetKeyId"] != one || entry["CreationDate"] != entry["LastUpdatedDate"] {
		t.Errorf("%v", entry)
	}
	if got := resources(h.only()); got != nil {
		t.Errorf("ListAliases records %v", got)
	}
	h.clock.Advance(1e9)
	h.ok(root, "UpdateAlias", m{"AliasName": "alias/a", "TargetKeyId": two})
	recorded(twoARN, arn)
	leadsTo(twoARN)
	entry = h.ok(root, "ListAliases", m{})["Aliases"].([]any)[0].(m)
	if entry["LastUpdatedDate"].(float64)-entry["CreationDate"].(float64) != 1 {
		t.Errorf("%v", entry)
	}
	h.journal.taken(t)
	h.ok(root, "DeleteAlias", m{"AliasName": "alias/a"})
	recorded(arn, twoARN)
	h.fails(root, "DescribeKey", m{"KeyId": "alias/a"}, "NotFoundException", "Alias "+arn+" is not found.")
	// Names are per region.
	h.ok(root, "CreateAlias", m{"AliasName": "alias/a", "TargetKeyId": one})
	h.region = second
	h.fails(root, "DescribeKey", m{"KeyId": "alias/a"}, "NotFoundException", "Alias arn:aws:kms:eu-west-1:"+account+":alias/a is not found.")
}

// TestAliasPermissions: an alias operation needs both halves, on the alias and on
// every key that it touches.
func TestAliasPermissions(t *testing.T) {
	h := newHarness(t)
	one, oneARN := h.keyID()
	two, twoARN := h.keyID()
	h.ok(root, "CreateAlias", m{"AliasName": "alias/a", "TargetKeyId": one})
	arn := aliasPrefixARN + "alias/a"
	for _, test := range []struct {
		operation string
		in        m
		needs     []string
	}{
		{"UpdateAlias", m{"AliasName": "alias/a", "TargetKeyId": two}, []string{arn, oneARN, twoARN}},
		{"DeleteAlias", m{"AliasName": "alias/a"}, []string{arn, twoARN}},
		{"CreateAlias", m{"AliasName": "alias/a", "TargetKeyId": one}, []string{arn, oneARN}},
	} {
		for missing := range test.needs {
			given := append(append([]string{}, test.needs[:missing]...), test.needs[missing+1:]...)
			h.identity[userARN] = onlyPolicy(m{"Effect": "Allow", "Action": "kms:" + test.operation, "Resource": given})
			h.fails(user, test.operation, test.in, "AccessDeniedException",
				notAuthorized(userARN, "kms:"+test.operation, "resource: "+test.needs[missing]+fmt.Sprintf(noIdentityTail, "kms:"+test.operation)))
		}
		h.identity[userARN] = onlyPolicy(m{"Effect": "Allow", "Action": "kms:" + test.operation, "Resource": test.needs})
		h.ok(user, test.operation, test.in)
	}
}
