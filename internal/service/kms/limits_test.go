package kms

import (
	"strings"
	"testing"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/store"
)

func mustLimits(t *testing.T, entries ...string) *Limits {
	t.Helper()
	l, err := ParseLimits(entries)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLimitsThatAreRefused(t *testing.T) {
	for entry, says := range map[string]string{
		"":                      `"" is neither "aws" nor NAME=NUMBER`,
		"AWS":                   `neither "aws" nor`,
		"symmetric":             `neither "aws" nor`,
		"symetric=5":            `there is no limit "symetric"; there are: keys, aliases-per-key, grants-per-key, custom-key-store, symmetric, rsa,`,
		"Encrypt=5":             `there is no limit "Encrypt"`, // it has a shared rate
		"CreateVault=5":         `there is no limit "CreateVault"`,
		"keys=":                 `keys: "" is neither "off" nor a number from 0 to 1000000000`,
		"keys=-1":               `keys: "-1"`,
		"keys=1000000001":       `keys: "1000000001"`,
		"keys=1e3":              `keys: "1e3"`,
		"keys=OFF":              `keys: "OFF"`,
		"1234/keys=1":           `"1234" is not an account id: it has 12 digits`,
		"12345678901x/keys=1":   `is not an account id`,
		"/keys=1":               `"" is not an account id`,
		"111122223333/aws":      `neither "aws" nor`,
		"111122223333/=5":       `there is no limit ""`,
		"111122223333/a/keys=5": `there is no limit "a/keys"`,
	} {
		if _, err := ParseLimits([]string{entry}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %s", entry, err, says)
		}
	}
	if _, err := ParseLimits([]string{"111122223333/keys=1", "keys=1", " 111122223333/keys = 2"}); err == nil || err.Error() != "111122223333/keys is set twice" {
		t.Errorf("twice: %v", err)
	}
}

func TestWhichLimitHolds(t *testing.T) {
	none := mustLimits(t)
	own := mustLimits(t, " symmetric = 7 ", account+"/symmetric=9", account+"/DescribeKey=3", account+"/keys=2", "rsa=0")
	aws := mustLimits(t, "aws", account+"/symmetric=off", other+"/CreateKey=1", "keys=3", account+"/aliases-per-key=1", other+"/grants-per-key=off")
	for _, c := range []struct {
		what      string
		got, want int64
	}{
		{"keys without settings", none.keys(account), unlimited},
		{"aliases without settings", none.aliases(account), 50},
		{"grants without settings", none.grants(account), 50_000},
		{"a rate without settings", none.rate(account, region, "symmetric"), unlimited},
		{"of every account", own.rate(other, region, "symmetric"), 7},
		{"of one account", own.rate(account, region, "symmetric"), 9},
		{"an operation of one account", own.rate(account, region, "DescribeKey"), 3},
		{"the same of another", own.rate(other, region, "DescribeKey"), unlimited},
		{"nothing at all", own.rate(other, region, "rsa"), 0},
		{"keys of one account", own.keys(account), 2},
		{"keys of another", own.keys(other), unlimited},
		{"aws in a large Region", aws.rate(other, "us-east-1", "symmetric"), 100_000},
		{"aws in a middling one", aws.rate(other, "eu-central-1", "symmetric"), 20_000},
		{"aws in a small one", aws.rate(other, "eu-north-1", "symmetric"), 10_000},
		{"aws, off for one", aws.rate(account, region, "symmetric"), unlimited},
		{"aws, an operation", aws.rate(account, region, "CreateKey"), 5},
		{"aws, an operation of one", aws.rate(other, region, "CreateKey"), 1},
		{"aws, an operation with a rate of its own", aws.rate(other, region, "DescribeKey"), 2000},
		{"aws, pairs", aws.rate(other, region, "pair-rsa-4096"), 1},
		{"aws, keys set for all", aws.keys(other), 3},
		{"aws, aliases of one", aws.aliases(account), 1},
		{"aws, grants of one", aws.grants(other), unlimited},
		{"aws, keys", mustLimits(t, "aws").keys(account), 100_000},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d, want %d", c.what, c.got, c.want)
		}
	}
	for want, lists := range map[bool][][]string{
		true:  {{"aws"}, {"symmetric=1"}, {account + "/ListKeys=0"}},
		false: {{}, {"keys=1"}, {"symmetric=off"}, {account + "/grants-per-key=1", "aliases-per-key=0"}},
	} {
		for _, list := range lists {
			if got := mustLimits(t, list...).Throttle(); got != want {
				t.Errorf("%v: throttles: %v", list, got)
			}
		}
	}
}

// TestEveryRequestHasARate: each operation counts against shared rates by its input,
// or has a rate of its own.
func TestEveryRequestHasARate(t *testing.T) {
	for _, row := range api.Table(api.Unimplemented{}).Operations {
		_, own := ownRates[row.Name]
		input, err := row.Decode([]byte(`{}`))
		if err != nil {
			input = decodable(t, row.Name)
		}
		if first, _ := ratesOf(input); own == (first >= 0) {
			t.Errorf("%s: a rate of its own: %v; a shared one: %v", row.Name, own, first)
		}
	}
}

// decodable returns a valid input of an operation that wants members.
func decodable(t *testing.T, name string) any {
	t.Helper()
	const blob = `"AAAA"`
	members := `"KeyId":"k","CiphertextBlob":` + blob + `,"Plaintext":` + blob + `,"Message":` + blob + `,"Mac":` + blob + `,"Signature":` + blob +
		`,"PublicKey":` + blob + `,"SharedSecretCiphertextBlob":` + blob + `,"MacAlgorithm":"HMAC_SHA_256","SigningAlgorithm":"ECDSA_SHA_256"` +
		`,"KeyAgreementAlgorithm":"ECDH","EncapsulationAlgorithm":"ML_KEM","KeyPairSpec":"RSA_2048","DestinationKeyId":"k"` +
		`,"AliasName":"alias/a","TargetKeyId":"k","CustomKeyStoreId":"cks-1","CustomKeyStoreName":"s","GranteePrincipal":"arn:aws:iam::111122223333:root"` +
		`,"Operations":["Encrypt"],"WrappingAlgorithm":"RSAES_OAEP_SHA_256","WrappingKeySpec":"RSA_2048","ImportToken":` + blob +
		`,"EncryptedKeyMaterial":` + blob + `,"RetiringPrincipal":"arn:aws:iam::111122223333:root","Policy":"{}","ReplicaRegion":"eu-west-1","GrantId":"g"` +
		`,"Tags":[],"TagKeys":[],"Description":"d","PrimaryRegion":"eu-west-1"`
	in, err := api.Table(api.Unimplemented{}).Lookup(name).Decode([]byte("{" + members + "}"))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return in
}

func TestKeyQuota(t *testing.T) {
	h := newHarness(t)
	h.config.Limits = mustLimits(t, account+"/keys=2")
	first, _ := h.keyID()
	h.restart() // from here on it counts against a quota
	h.keyID()
	const full = "Key quota for this account in this region is 2 but the current usage is 2."
	h.fails(root, "CreateKey", m{}, "LimitExceededException", full)
	h.ok(foreignRoot, "CreateKey", m{}) // another account
	h.ok(root, "DescribeKey", m{"KeyId": "alias/aws/s3"})
	h.ok(root, "DescribeKey", m{"KeyId": "alias/aws/ebs"})
	h.fails(root, "CreateKey", m{}, "LimitExceededException", full) // AWS managed keys do not count

	// Another region is another quota, and a replica counts in its own.
	h.region = second
	for range 2 {
		h.keyID()
	}
	h.region = region
	h.ok(root, "ScheduleKeyDeletion", m{"KeyId": first, "PendingWindowInDays": 7})
	h.fails(root, "CreateKey", m{}, "LimitExceededException", full) // until it is gone
	h.clock.Advance(8 * 24 * 3600 * 1e9)
	if _, err := h.service.doDue(t.Context(), region); err != nil {
		t.Fatal(err)
	}
	primary := h.key(m{"MultiRegion": true})["KeyId"]
	h.fails(root, "ReplicateKey", m{"KeyId": primary, "ReplicaRegion": second}, "LimitExceededException", full)
	h.fails(root, "CreateKey", m{}, "LimitExceededException", full)
}

// TestKeysAreCountedWhereNoCountWasKept is a data folder of an earlier version.
func TestKeysAreCountedWhereNoCountWasKept(t *testing.T) {
	h := newHarness(t)
	for range 3 {
		h.keyID()
	}
	err := h.store.Update(t.Context(), func(tx *store.Tx) error {
		return keyCounts.Delete(tx, scope(account, region), countID)
	})
	if err != nil {
		t.Fatal(err)
	}
	h.config.Limits = mustLimits(t, "keys=3")
	h.restart()
	h.fails(root, "CreateKey", m{}, "LimitExceededException", "Key quota for this account in this region is 3 but the current usage is 3.")
	if err := h.service.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.keyID()
}

func TestQuotasPerKeyThatAreSet(t *testing.T) {
	h := newHarness(t)
	h.config.Limits = mustLimits(t, account+"/aliases-per-key=1", account+"/grants-per-key=0")
	h.restart()
	id, _ := h.keyID()
	h.ok(root, "CreateAlias", m{"AliasName": "alias/a", "TargetKeyId": id})
	h.fails(root, "CreateAlias", m{"AliasName": "alias/b", "TargetKeyId": id}, "LimitExceededException",
		"Aliases per key quota for this account in this region is 1, current usage is 1.")
	h.fails(root, "CreateGrant", m{"KeyId": id, "GranteePrincipal": userARN, "Operations": []string{"Encrypt"}},
		"LimitExceededException", "The quota of 0 grants for a KMS key is used up.")

	h.config.Limits = mustLimits(t, "aliases-per-key=off")
	h.restart()
	for i := range 60 {
		h.ok(root, "CreateAlias", m{"AliasName": "alias/n" + string(rune('0'+i/10)) + string(rune('0'+i%10)), "TargetKeyId": id})
	}
	h.config.Limits = mustLimits(t, "aliases-per-key=61")
	h.restart()
	h.fails(root, "CreateAlias", m{"AliasName": "alias/z", "TargetKeyId": id}, "LimitExceededException",
		"Aliases per key quota for this account in this region is 61, current usage is 61.")
}
