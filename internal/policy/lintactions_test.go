package policy

import (
	"strings"
	"testing"
)

var someActions = []string{"iam:PassRole", "kms:CreateAlias", "kms:CreateGrant", "kms:Decrypt", "kms:Encrypt", "kms:ImportKeyMaterial", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:Sign"}

func TestLintOfActionsAndResources(t *testing.T) {
	for _, test := range []struct {
		kind      Kind
		statement string
		want      []string // a part of each finding, with its place
	}{
		{IdentityPolicy, `"Effect":"Allow","Action":["kms:Encrypt","KMS:decrypt","kms:*","kms:Re*","s3:Nonsense","*"],"Resource":"*"`, nil},
		{IdentityPolicy, `"Effect":"Allow","Action":"kms:Encrpyt","Resource":"*"`, []string{`Statement[0].Action: "kms:encrpyt" is no action; kms:Encrypt is`}},
		{IdentityPolicy, `"Effect":"Allow","Action":"kms:Encryp","Resource":"*"`, []string{"kms:Encrypt is"}},
		{IdentityPolicy, `"Effect":"Allow","Action":"kms:Quite","Resource":"*"`, []string{`"kms:quite" is no action`}},
		{IdentityPolicy, `"Effect":"Allow","Action":"kms:Enx*","Resource":"*"`, []string{"matches no action"}},
		{IdentityPolicy, `"Effect":"Allow","Action":"kms:ReEncrypt","Resource":"*"`, []string{"is no permission: kms:ReEncryptFrom"}},
		{IdentityPolicy, `"Effect":"Allow","NotAction":"kms:Encrypt","Resource":"*"`, []string{"Statement[0].NotAction: an Allow with NotAction"}},
		{IdentityPolicy, `"Effect":"Deny","NotAction":"kms:Encrypt","NotResource":"*"`, nil},
		{IdentityPolicy, `"Effect":"Allow","Action":"kms:Encrypt","NotResource":"arn:aws:kms:us-east-1:111122223333:key/k"`, []string{"an Allow with NotResource"}},
		{KeyPolicy, `"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":["kms:Encrypt","iam:PassRole"],"Resource":"*"`, []string{`"iam:passrole": a key policy decides about actions of kms alone`}},
		{KeyPolicy, `"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"kms:*","Resource":"arn:aws:kms:us-east-1:111122223333:key/k"`, []string{"in a key policy the resource is"}},
		{KeyPolicy, `"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"`, []string{"Statement[0]: everyone is allowed, without a condition"}},

		{IdentityPolicy, `"Effect":"Allow","Action":"kms:Sign","Resource":"*","Condition":{"StringEquals":{"kms:EncryptionContext:a":"b"}}`,
			[]string{"Statement[0].Condition.StringEquals.kms:EncryptionContext:a: no request for these actions has this condition key"}},
		{IdentityPolicy, `"Effect":"Allow","Action":["kms:Sign","kms:Encrypt"],"Resource":"*","Condition":{"StringEquals":{"kms:EncryptionContext:a":"b"}}`, nil},
		{IdentityPolicy, `"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"kms:SigningAlgorithm":"x"}}`, nil},
		{IdentityPolicy, `"Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"DateLessThan":{"kms:ValidTo":"2026-01-01"}}`, []string{"no request for these actions"}},
		{IdentityPolicy, `"Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"StringEquals":{"kms:ViaService":"x"}}`, nil},
		{IdentityPolicy, `"Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"StringEquals":{"kms:ViaServce":"x"}}`, []string{"unknown condition key"}},

		{IdentityPolicy, `"Effect":"Allow","Action":"kms:Decrypt","Resource":"arn:aws:kms:us-east-1:111122223333:keys/k"`, []string{"is the ARN of neither a key"}},
		{IdentityPolicy, `"Effect":"Allow","Action":"kms:Decrypt","Resource":"arn:aws:kms:us-east-1:1111:key/k"`, []string{"names no account of 12 digits"}},
		{IdentityPolicy, `"Effect":"Allow","Action":"kms:Decrypt","Resource":"arn:aws:kms::111122223333:key/k"`, []string{"names no Region"}},
		{IdentityPolicy, `"Effect":"Allow","Action":"kms:Decrypt","Resource":["arn:aws:kms:*:111122223333:key/*","arn:aws:kms:us-east-1:*:*","arn:aws:kms:us-east-1:111122223333:k*","arn:aws:s3:::b"]`, nil},
		{IdentityPolicy, `"Effect":"Allow","Action":"kms:Decrypt","Resource":"arn:aws:kms:us-east-1:111122223333:alias/a"`, []string{"kms:RequestAlias"}},
		{IdentityPolicy, `"Effect":"Allow","Action":"kms:*Alias","Resource":"arn:aws:kms:us-east-1:111122223333:alias/a"`, nil},
	} {
		d, err := Parse([]byte(`{"Version":"2012-10-17","Statement":{`+test.statement+`}}`), test.kind)
		if err != nil {
			t.Fatalf("%s: %v", test.statement, err)
		}
		findings := d.Lint(someActions)
		if len(findings) != len(test.want) {
			t.Errorf("%s: %+v, want %q", test.statement, findings, test.want)
			continue
		}
		for i, f := range findings {
			if text := f.Path + ": " + f.Text; !strings.Contains(text, test.want[i]) {
				t.Errorf("%s: %q, want %q", test.statement, text, test.want[i])
			}
		}
	}
}

// TestKeyActionsAreKnownKeys: the table is about keys that there are.
func TestKeyActionsAreKnownKeys(t *testing.T) {
	for key := range keyActions {
		if _, ok := LookupKey(strings.TrimSuffix(key, ":") + map[bool]string{true: ":x"}[strings.HasSuffix(key, ":")]); !ok {
			t.Errorf("%s is no condition key", key)
		}
	}
}
