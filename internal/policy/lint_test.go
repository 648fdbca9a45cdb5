package policy

import (
	"slices"
	"strings"
	"testing"
)

func TestLookupKey(t *testing.T) {
	for _, tt := range []struct {
		name  string
		want  KeyType
		multi bool
	}{
		{"AWS:SOURCEIP", IPKey, false},
		{"aws:principaltag/team", StringKey, false},
		{"aws:PrincipalTag/", 0, false},
		{"kms:EncryptionContext:aws:s3:arn", StringKey, false},
		{"kms:encryptioncontextkeys", StringKey, true},
		{"kms:RecipientAttestation:PCR31", StringKey, false},
		{"kms:recipientattestation:nitrotpmpcr4", StringKey, false},
		{"kms:ValidTo", DateKey, false},
		{"kms:RotationPeriodInDays", NumericKey, false},
		{"kms:GrantConstraintSourceArn", ARNKey, false},
		{"kms:MultiRegion", BoolKey, false},
		{"kms:ResourceAliases", StringKey, true},
		{"kms:SourceIp", 0, false},
		{"s3:prefix", 0, false},
		{"", 0, false},
	} {
		key, ok := LookupKey(tt.name)
		if ok != (tt.want != 0) || key.Type != tt.want || key.Multivalued != tt.multi {
			t.Errorf("%s: %+v, %v", tt.name, key, ok)
		}
	}
	for _, table := range [][]ConditionKey{globalKeys, kmsKeys} {
		if !slices.IsSortedFunc(table, func(a, b ConditionKey) int { return strings.Compare(a.Name, b.Name) }) {
			t.Errorf("not sorted, from %s", table[0].Name)
		}
	}
}

func TestLint(t *testing.T) {
	for _, tt := range []struct {
		name string
		kind Kind
		text string
		want []string // "path: beginning of the text"
	}{
		{"the default key policy", KeyPolicy, kmsDefault, nil},
		{"a good condition", IdentityPolicy, cond(`{"StringEquals":{"kms:ViaService":"s3.us-east-1.amazonaws.com"},"ForAnyValue:StringEquals":{"aws:TagKeys":"x"},"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/r"}}`), nil},
		{"older version", IdentityPolicy, `{"Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::b/${aws:username}"}}`, []string{"Version: policy variables need"}},
		{"no effect", KeyPolicy, in(allow + `"Principal":{"AWS":"111122223333"},"Action":"kms:*"`), []string{"Statement[0]: without Action"}},
		{"everyone", KeyPolicy, in(allow + anyone + `"Action":"kms:*",` + onAll), []string{"Statement[0]: everyone"}},
		{"everyone denied", KeyPolicy, in(deny + anyone + `"Action":"kms:*",` + onAll), nil},
		{"unknown key", IdentityPolicy, cond(`{"StringEquals":{"kms:ViaServices":"x","s3:prefix":"y"}}`), []string{"Statement[0].Condition.StringEquals.kms:ViaServices: unknown"}},
		{"wrong type", IdentityPolicy, cond(`{"NumericEquals":{"aws:SourceIp":"1","aws:EpochTime":"1"}}`), []string{"Statement[0].Condition.NumericEquals.aws:SourceIp: the operator"}},
		{"no ARN", IdentityPolicy, cond(`{"ArnLike":{"aws:PrincipalArn":["*","arn:aws:iam::1:x"]}}`), []string{"Statement[0].Condition.ArnLike.aws:PrincipalArn: a value"}},
		{"several values", IdentityPolicy, cond(`{"StringEquals":{"aws:TagKeys":"x"},"Null":{"aws:TagKeys":"false"}}`), []string{"Statement[0].Condition.StringEquals.aws:TagKeys: aws:TagKeys has several"}},
		{"one value", IdentityPolicy, cond(`{"ForAnyValue:StringEquals":{"kms:KeySpec":"x"}}`), []string{"Statement[0].Condition.ForAnyValue:StringEquals.kms:KeySpec: kms:KeySpec has one"}},
		{"ForAllValues without Null", IdentityPolicy, cond(`{"ForAllValues:StringEquals":{"aws:TagKeys":"x"}}`), []string{"Statement[0].Condition.ForAllValues:StringEquals.aws:TagKeys: ForAllValues is true"}},
		{"ForAllValues with Null", IdentityPolicy, cond(`{"ForAllValues:StringEquals":{"aws:TagKeys":"x"},"Null":{"aws:TagKeys":"false"}}`), nil},
		{"a key for IAM policies only", KeyPolicy, in(deny + anyone + encrypt + onAll + `,"Condition":{"ForAnyValue:StringEquals":{"kms:ResourceAliases":"alias/x"}}`), []string{"Statement[0].Condition.ForAnyValue:StringEquals.kms:ResourceAliases: this condition key is for IAM"}},
		{"ForAllValues in a Deny", IdentityPolicy, in(deny + encrypt + onAll + `,"Condition":{"ForAllValues:StringEquals":{"aws:TagKeys":"x"}}`), nil},
	} {
		got := mustParse(t, tt.kind, tt.text).Lint(nil)
		if len(got) != len(tt.want) {
			t.Errorf("%s: %+v", tt.name, got)
			continue
		}
		for i, f := range got {
			if !strings.HasPrefix(f.Path+": "+f.Text, tt.want[i]) {
				t.Errorf("%s: %+v, want %s", tt.name, f, tt.want[i])
			}
		}
	}
}
