package policy

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// in puts the members of a statement into a document of one statement.
func in(members string) string {
	return `{"Version":"2012-10-17","Statement":[{` + members + `}]}`
}

const (
	allow   = `"Effect":"Allow",`
	deny    = `"Effect":"Deny",`
	anyone  = `"Principal":"*",`
	encrypt = `"Action":"kms:Encrypt",`
	onAll   = `"Resource":"*"`
)

// cond is a valid identity statement with that Condition.
func cond(c string) string { return in(allow + encrypt + onAll + `,"Condition":` + c) }

func TestRefused(t *testing.T) {
	const s0 = "Statement[0]"
	tests := []struct {
		name    string
		kind    Kind
		text    string
		path    string
		problem Problem
	}{
		// JSON.
		{"empty", IdentityPolicy, ``, "", Malformed},
		{"white space", IdentityPolicy, " \n", "", Malformed},
		{"not an object", IdentityPolicy, `[]`, "", Malformed},
		{"null", IdentityPolicy, `null`, "", Malformed},
		{"trailing data", IdentityPolicy, in(allow+encrypt+onAll) + "x", "", Malformed},
		{"second document", IdentityPolicy, in(allow+encrypt+onAll) + in(allow+encrypt+onAll), "", Malformed},
		{"cut short", IdentityPolicy, `{"Version":"2012-10-17","Statement":[{"Eff`, "", Malformed},
		{"comma at the end", IdentityPolicy, in(allow + encrypt + onAll + `,`), "", Malformed},
		{"byte order mark", IdentityPolicy, "\ufeff" + in(allow+encrypt+onAll), "", Malformed},
		{"comment", IdentityPolicy, `/**/` + in(allow+encrypt+onAll), "", Malformed},
		{"single quotes", IdentityPolicy, strings.ReplaceAll(in(allow+encrypt+onAll), `"`, `'`), "", Malformed},
		{"NUL byte", IdentityPolicy, in(allow+encrypt+onAll) + "\x00", "", Malformed},
		{"invalid UTF-8", IdentityPolicy, in(`"Sid":"` + "\xff" + `",` + allow + encrypt + onAll), "", Malformed},
		{"lone surrogate", KeyPolicy, in(`"Sid":"\ud800",` + anyone + allow + encrypt + onAll), "", Malformed},
		{"surrogates in the wrong order", KeyPolicy, in(`"Sid":"\udc00\ud800",` + anyone + allow + encrypt + onAll), "", Malformed},
		{"unknown escape", KeyPolicy, in(`"Sid":"\x41",` + anyone + allow + encrypt + onAll), "", Malformed},
		{"line feed in a string", KeyPolicy, in("\"Sid\":\"a\nb\"," + anyone + allow + encrypt + onAll), "", Malformed},
		{"escape at the end", KeyPolicy, `{"Statement":"\`, "", Malformed},
		{"string that ends after an escape", KeyPolicy, `{"Statement":"\n`, "", Malformed},
		{"line feed after an escape", KeyPolicy, "{\"Statement\":\"\\t\n\"}", "", Malformed},
		{"bad digit in an escape", KeyPolicy, `{"Statement":"\u00g0"}`, "", Malformed},
		{"no digit before the point", IdentityPolicy, cond(`{"NumericEquals":{"a:b":-.5}}`), "", Malformed},
		{"no digit after the point", IdentityPolicy, cond(`{"NumericEquals":{"a:b":1.}}`), "", Malformed},
		{"no exponent", IdentityPolicy, cond(`{"NumericEquals":{"a:b":1e+}}`), "", Malformed},
		{"exponent", IdentityPolicy, cond(`{"NumericEquals":{"a:b":1e3}}`), s0 + ".Condition.NumericEquals.a:b", Malformed},
		{"misspelt literal", IdentityPolicy, cond(`{"Bool":{"a:b":tru}}`), "", Malformed},
		{"no colon", IdentityPolicy, `{"Statement" []}`, "", Malformed},
		{"name that is no string", IdentityPolicy, `{1:[]}`, "", Malformed},
		{"array without comma", IdentityPolicy, `{"Statement":[1 2]}`, "", Malformed},
		{"leading zero", IdentityPolicy, cond(`{"NumericEquals":{"a:b":01}}`), "", Malformed},
		{"deep", IdentityPolicy, cond(strings.Repeat("[", 100) + strings.Repeat("]", 100)), "Statement[0].Condition[0][0][0][0][0][0][0]", Malformed},
		// Duplicates, at every depth.
		{"duplicate Version", IdentityPolicy, `{"Version":"2012-10-17","Version":"2012-10-17","Statement":[]}`, "", Malformed},
		{"duplicate Effect", IdentityPolicy, in(allow + deny + encrypt + onAll), s0, Malformed},
		{"duplicate Effect by escape", IdentityPolicy, in(allow + `"\u0045ffect":"Deny",` + encrypt + onAll), s0, Malformed},
		{"duplicate operator", IdentityPolicy, cond(`{"StringEquals":{"a:b":"c"},"StringEquals":{"a:d":"c"}}`), s0 + ".Condition", Malformed},
		{"duplicate key", IdentityPolicy, cond(`{"StringEquals":{"a:b":"c","a:b":"d"}}`), s0 + ".Condition.StringEquals", Malformed},
		{"duplicate principal member", ResourcePolicy, in(allow + `"Principal":{"AWS":"*","AWS":"111122223333"},` + encrypt + onAll), s0 + ".Principal", Malformed},
		// Members.
		{"no Statement", IdentityPolicy, `{"Version":"2012-10-17"}`, "", Malformed},
		{"empty Statement", IdentityPolicy, `{"Version":"2012-10-17","Statement":[]}`, "Statement", Malformed},
		{"Statement of the wrong type", IdentityPolicy, `{"Version":"2012-10-17","Statement":"x"}`, "Statement", Malformed},
		{"statement of the wrong type", IdentityPolicy, `{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},1]}`, "Statement[1]", Malformed},
		{"unknown member", IdentityPolicy, `{"Version":"2012-10-17","version":"1","Statement":[]}`, "version", Malformed},
		{"unknown member of a statement", IdentityPolicy, in(allow + encrypt + onAll + `,"Comment":"x"`), s0 + ".Comment", Malformed},
		{"member without a name", IdentityPolicy, in(allow + encrypt + onAll + `,"":"x"`), s0 + `.""`, Malformed},
		{"member in another case", IdentityPolicy, in(`"effect":"Allow",` + encrypt + onAll), s0 + ".effect", Malformed},
		{"unsupported Version", IdentityPolicy, `{"Version":"2012-10-18","Statement":[]}`, "Version", Malformed},
		{"Version of the wrong type", IdentityPolicy, `{"Version":2012,"Statement":[]}`, "Version", Malformed},
		{"Id of the wrong type", IdentityPolicy, `{"Id":1,"Statement":[]}`, "Id", Malformed},
		// Sid and Effect.
		{"Sid of the wrong type", IdentityPolicy, in(`"Sid":1,` + allow + encrypt + onAll), s0 + ".Sid", Malformed},
		{"Sid with a space", IdentityPolicy, in(`"Sid":"a b",` + allow + encrypt + onAll), s0 + ".Sid", Malformed},
		{"Sid with a line feed", KeyPolicy, in(`"Sid":"a\nb",` + allow + anyone + encrypt + onAll), s0 + ".Sid", Malformed},
		{"duplicate Sid", IdentityPolicy, `{"Statement":[{"Sid":"a","Effect":"Allow","Action":"*","Resource":"*"},{"Sid":"a","Effect":"Deny","Action":"*","Resource":"*"}]}`, "Statement[1].Sid", Malformed},
		{"no Effect", IdentityPolicy, in(encrypt + onAll), s0, Malformed},
		{"Effect in another case", IdentityPolicy, in(`"Effect":"allow",` + encrypt + onAll), s0 + ".Effect", Malformed},
		{"Effect null", IdentityPolicy, in(`"Effect":null,` + encrypt + onAll), s0 + ".Effect", Malformed},
		{"Effect list", IdentityPolicy, in(`"Effect":["Allow"],` + encrypt + onAll), s0 + ".Effect", Malformed},
		// Action.
		{"no Action", IdentityPolicy, in(allow + onAll), s0, Malformed},
		{"both Actions", IdentityPolicy, in(allow + encrypt + `"NotAction":"kms:Decrypt",` + onAll), s0, Malformed},
		{"empty Action", IdentityPolicy, in(allow + `"Action":[],` + onAll), s0 + ".Action", Malformed},
		{"Action of the wrong type", IdentityPolicy, in(allow + `"Action":{},` + onAll), s0 + ".Action", Malformed},
		{"Action item of the wrong type", IdentityPolicy, in(allow + `"Action":["kms:*",1],` + onAll), s0 + ".Action[1]", Malformed},
		{"Action without service", IdentityPolicy, in(allow + `"Action":"Encrypt",` + onAll), s0 + ".Action", Malformed},
		{"Action without name", IdentityPolicy, in(allow + `"Action":"kms:",` + onAll), s0 + ".Action", Malformed},
		{"wildcard in the service", IdentityPolicy, in(allow + `"Action":"k*:Encrypt",` + onAll), s0 + ".Action", Malformed},
		{"variable in Action", IdentityPolicy, in(allow + `"Action":"kms:${aws:username}",` + onAll), s0 + ".Action", Malformed},
		{"space in Action", IdentityPolicy, in(allow + `"Action":"kms: Encrypt",` + onAll), s0 + ".Action", Malformed},
		// Resource.
		{"no Resource", IdentityPolicy, in(allow + `"Action":"*"`), s0, Malformed},
		{"both Resources", IdentityPolicy, in(allow + encrypt + `"NotResource":"*",` + onAll), s0, Malformed},
		{"empty Resource", IdentityPolicy, in(allow + encrypt + `"Resource":[]`), s0 + ".Resource", Malformed},
		{"Resource null", IdentityPolicy, in(allow + encrypt + `"Resource":null`), s0 + ".Resource", Malformed},
		{"Resource no ARN", IdentityPolicy, in(allow + encrypt + `"Resource":"alias/x"`), s0 + ".Resource", InvalidARN},
		{"Resource empty text", IdentityPolicy, in(allow + encrypt + `"Resource":""`), s0 + ".Resource", InvalidARN},
		{"Resource of five parts", KeyPolicy, in(allow + anyone + encrypt + `"Resource":"arn:aws:kms:us-east-1:111122223333"`), s0 + ".Resource", InvalidARN},
		{"Resource of another partition", IdentityPolicy, in(allow + encrypt + `"Resource":"arn:gcp:kms:us-east-1:111122223333:key/x"`), s0 + ".Resource", InvalidARN},
		{"Resource arn:*", IdentityPolicy, in(allow + encrypt + `"Resource":"arn:*"`), s0 + ".Resource", InvalidARN},
		{"variable before the last part", IdentityPolicy, in(allow + encrypt + `"Resource":"arn:aws:kms:us-east-1:${aws:PrincipalAccount}:key/x"`), s0 + ".Resource", InvalidARN},
		{"Resource in a trust policy", TrustPolicy, in(allow + anyone + `"Action":"sts:AssumeRole",` + onAll), s0, Malformed},
		// Variables.
		{"variable not closed", IdentityPolicy, in(allow + encrypt + `"Resource":"arn:aws:s3:::b/${aws:username"`), s0 + ".Resource", Malformed},
		{"variable empty", IdentityPolicy, in(allow + encrypt + `"Resource":"arn:aws:s3:::b/${}"`), s0 + ".Resource", Malformed},
		{"variable without a key", IdentityPolicy, in(allow + encrypt + `"Resource":"arn:aws:s3:::b/${username}"`), s0 + ".Resource", Malformed},
		{"default without quotes", IdentityPolicy, in(allow + encrypt + `"Resource":"arn:aws:s3:::b/${aws:username, x}"`), s0 + ".Resource", Malformed},
		{"nested variable", IdentityPolicy, cond(`{"StringLike":{"a:b":"${aws:${aws:username}}"}}`), s0 + ".Condition.StringLike.a:b", Malformed},
		{"malformed variable in an ARN condition", IdentityPolicy, cond(`{"ArnLike":{"a:b":"arn:aws:iam::1:user/${"}}`), s0 + ".Condition.ArnLike.a:b", Malformed},
		// Principals.
		{"Principal in an identity policy", IdentityPolicy, in(allow + anyone + encrypt + onAll), s0 + ".Principal", Malformed},
		{"Principal in a session policy", SessionPolicy, in(allow + anyone + encrypt + onAll), s0 + ".Principal", Malformed},
		{"Principal in a boundary", BoundaryPolicy, in(allow + anyone + encrypt + onAll), s0 + ".Principal", Malformed},
		{"Principal in a service control policy", ServiceControlPolicy, in(allow + anyone + encrypt + onAll), s0 + ".Principal", Malformed},
		{"NotPrincipal in an identity policy", IdentityPolicy, in(deny + `"NotPrincipal":"*",` + encrypt + onAll), s0 + ".NotPrincipal", Malformed},
		{"NotPrincipal in a trust policy", TrustPolicy, in(deny + `"NotPrincipal":"*","Action":"sts:AssumeRole"`), s0 + ".NotPrincipal", Malformed},
		{"NotPrincipal with Allow", KeyPolicy, in(allow + `"NotPrincipal":"*",` + encrypt + onAll), s0 + ".NotPrincipal", Malformed},
		{"both Principals", KeyPolicy, in(deny + anyone + `"NotPrincipal":"*",` + encrypt + onAll), s0, Malformed},
		{"no Principal", KeyPolicy, in(allow + encrypt + onAll), s0, NoPrincipal},
		{"no Principal in a trust policy", TrustPolicy, in(allow + `"Action":"sts:AssumeRole"`), s0, NoPrincipal},
		{"empty Principal", KeyPolicy, in(allow + `"Principal":{},` + encrypt + onAll), s0 + ".Principal", NoPrincipal},
		{"empty list of principals", KeyPolicy, in(allow + `"Principal":{"AWS":[]},` + encrypt + onAll), s0 + ".Principal.AWS", NoPrincipal},
		{"Principal an ARN", KeyPolicy, in(allow + `"Principal":"arn:aws:iam::111122223333:root",` + encrypt + onAll), s0 + ".Principal", InvalidPrincipal},
		{"Principal a list", KeyPolicy, in(allow + `"Principal":["*"],` + encrypt + onAll), s0 + ".Principal", Malformed},
		{"unknown sort of principal", KeyPolicy, in(allow + `"Principal":{"aws":"*"},` + encrypt + onAll), s0 + ".Principal.aws", Malformed},
		{"principal of the wrong type", KeyPolicy, in(allow + `"Principal":{"AWS":111122223333},` + encrypt + onAll), s0 + ".Principal.AWS", Malformed},
		{"Federated in a key policy", KeyPolicy, in(allow + `"Principal":{"Federated":"accounts.google.com"},` + encrypt + onAll), s0 + ".Principal.Federated", InvalidPrincipal},
		{"CanonicalUser in a key policy", KeyPolicy, in(allow + `"Principal":{"CanonicalUser":"79a59df900b949e55d96a1e698fbaced"},` + encrypt + onAll), s0 + ".Principal.CanonicalUser", InvalidPrincipal},
		{"every service", KeyPolicy, in(allow + `"Principal":{"Service":"*"},` + encrypt + onAll), s0 + ".Principal.Service", InvalidPrincipal},
		{"every provider", TrustPolicy, in(allow + `"Principal":{"Federated":"*"},"Action":"sts:AssumeRoleWithWebIdentity"`), s0 + ".Principal.Federated", InvalidPrincipal},
		// Conditions.
		{"Condition of the wrong type", IdentityPolicy, cond(`[]`), s0 + ".Condition", Malformed},
		{"unknown operator", IdentityPolicy, cond(`{"StringMatches":{"a:b":"c"}}`), s0 + ".Condition.StringMatches", Malformed},
		{"operator in another case", IdentityPolicy, cond(`{"stringEquals":{"a:b":"c"}}`), s0 + ".Condition.stringEquals", Malformed},
		{"unknown set operator", IdentityPolicy, cond(`{"ForEachValue:StringEquals":{"a:b":"c"}}`), s0 + ".Condition.ForEachValue:StringEquals", Malformed},
		{"two set operators", IdentityPolicy, cond(`{"ForAllValues:ForAnyValue:StringEquals":{"a:b":"c"}}`), s0 + ".Condition.ForAllValues:ForAnyValue:StringEquals", Malformed},
		{"IfExists twice", IdentityPolicy, cond(`{"BoolIfExistsIfExists":{"a:b":"true"}}`), s0 + ".Condition.BoolIfExistsIfExists", Malformed},
		{"IfExists on Null", IdentityPolicy, cond(`{"NullIfExists":{"a:b":"true"}}`), s0 + ".Condition.NullIfExists", Malformed},
		{"set operator on Null", IdentityPolicy, cond(`{"ForAllValues:Null":{"a:b":"true"}}`), s0 + ".Condition.ForAllValues:Null", Malformed},
		{"no negated Bool", IdentityPolicy, cond(`{"BoolNotEquals":{"a:b":"true"}}`), s0 + ".Condition.BoolNotEquals", Malformed},
		{"operator without keys", IdentityPolicy, cond(`{"StringEquals":{}}`), s0 + ".Condition.StringEquals", Malformed},
		{"operator of the wrong type", IdentityPolicy, cond(`{"StringEquals":"a"}`), s0 + ".Condition.StringEquals", Malformed},
		{"key without service", IdentityPolicy, cond(`{"StringEquals":{"SourceIp":"a"}}`), s0 + ".Condition.StringEquals.SourceIp", Malformed},
		{"key without name", IdentityPolicy, cond(`{"StringEquals":{"aws:":"a"}}`), s0 + ".Condition.StringEquals.aws:", Malformed},
		{"no values", IdentityPolicy, cond(`{"StringEquals":{"a:b":[]}}`), s0 + ".Condition.StringEquals.a:b", Malformed},
		{"value null", IdentityPolicy, cond(`{"StringEquals":{"a:b":["x",null]}}`), s0 + ".Condition.StringEquals.a:b[1]", Malformed},
		{"value an object", IdentityPolicy, cond(`{"StringEquals":{"a:b":{}}}`), s0 + ".Condition.StringEquals.a:b", Malformed},
		{"bad number", IdentityPolicy, cond(`{"NumericEquals":{"a:b":"1e3"}}`), s0 + ".Condition.NumericEquals.a:b", Malformed},
		{"variable in a number", IdentityPolicy, cond(`{"NumericEquals":{"a:b":"${aws:epochtime}"}}`), s0 + ".Condition.NumericEquals.a:b", Malformed},
		{"bad date", IdentityPolicy, cond(`{"DateEquals":{"a:b":"2026-13-01"}}`), s0 + ".Condition.DateEquals.a:b", Malformed},
		{"date with a wildcard", IdentityPolicy, cond(`{"DateEquals":{"a:b":"2026-*"}}`), s0 + ".Condition.DateEquals.a:b", Malformed},
		{"date without a zone", IdentityPolicy, cond(`{"DateEquals":{"a:b":"2026-01-01T00:00:00"}}`), s0 + ".Condition.DateEquals.a:b", Malformed},
		{"bad boolean", IdentityPolicy, cond(`{"Bool":{"a:b":"yes"}}`), s0 + ".Condition.Bool.a:b", Malformed},
		{"bad Null", IdentityPolicy, cond(`{"Null":{"a:b":"yes"}}`), s0 + ".Condition.Null.a:b", Malformed},
		{"bad base64", IdentityPolicy, cond(`{"BinaryEquals":{"a:b":"a"}}`), s0 + ".Condition.BinaryEquals.a:b", Malformed},
		{"bad address", IdentityPolicy, cond(`{"IpAddress":{"aws:SourceIp":"192.0.2.256"}}`), s0 + ".Condition.IpAddress.aws:SourceIp", Malformed},
		{"bad prefix", IdentityPolicy, cond(`{"NotIpAddress":{"aws:SourceIp":["192.0.2.0/24","192.0.2.0/33"]}}`), s0 + ".Condition.NotIpAddress.aws:SourceIp[1]", Malformed},
		{"address with a zone", IdentityPolicy, cond(`{"IpAddress":{"aws:SourceIp":"fe80::1%eth0"}}`), s0 + ".Condition.IpAddress.aws:SourceIp", Malformed},
		{"ForAllValues on encryption context", KeyPolicy, in(allow + anyone + encrypt + onAll + `,"Condition":{"ForAllValues:StringEquals":{"kms:EncryptionContext:AppName":"x"}}`), s0 + ".Condition.ForAllValues:StringEquals.kms:EncryptionContext:AppName", OverlyPermissiveCondition},
		{"ForAllValues on a request tag", IdentityPolicy, cond(`{"ForAllValues:StringLikeIfExists":{"AWS:requesttag/x":"x"}}`), s0 + ".Condition.ForAllValues:StringLikeIfExists.AWS:requesttag/x", OverlyPermissiveCondition},
		// Size.
		{"too long", IdentityPolicy, strings.Repeat(" ", MaxBytes) + in(allow+encrypt+onAll), "", TooLarge},
		{"no kind", 0, in(allow + encrypt + onAll), "", Malformed},
		{"a grant is no document", GrantPolicy, in(allow + encrypt + onAll), "", Malformed},
	}
	for _, name := range []string{
		"arn:aws:iam::111122223333:user/*", "arn:aws:iam::*:root", "arn:aws:iam::111122223333:role/a?", "arn:aws:sts::111122223333:assumed-role/app/*",
		"arn:*:iam::111122223333:root", "arn:aws:iam::111122223333:group/g", "arn:aws:iam::11112222333:root", "arn:aws:iam::111122223333:root/x", "arn:aws:iam:us-east-1:111122223333:root",
		"arn:aws:sts::111122223333:assumed-role/app", "arn:aws:sts::111122223333:assumed-role/app/s/t", "arn:aws:iam::111122223333:user/", "arn:aws:iam::111122223333:user", "arn:aws:s3:::bucket",
		"arn:aws:iam::111122223333", "alice", "", "11112222333", "1111222233334", "AIDA", "AKIAIOSFODNN7EXAMPLE", "AGPAJ2UCCR6DPCEXAMPLE", "AIDACKCEVSQ6C2EXAMPLE:s", "AROACKCEVSQ6C2EXAMPLE:", "AROACKCEVSQ6C2EXAMPLE:s:t", "AROACKCEVSQ6C2EXAMPLE:*", "**", "arn:aws:sts::111122223333:federated-user/a/b",
		"arn:aws:iam::111122223333:user/a b", "arn:aws:iam::111122223333:role/a*/b", "arn:aws:iam::111122223333:role/a b/c", "arn:aws:iam::111122223333:role/ü",
	} {
		tests = append(tests, struct {
			name    string
			kind    Kind
			text    string
			path    string
			problem Problem
		}{"principal " + name, KeyPolicy, in(allow + `"Principal":{"AWS":["111122223333","` + name + `"]},` + encrypt + onAll), s0 + ".Principal.AWS", InvalidPrincipal})
	}
	for _, tt := range tests {
		d, err := Parse([]byte(tt.text), tt.kind)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) {
			t.Errorf("%s: accepted", tt.name)
			continue
		}
		if d != nil {
			t.Errorf("%s: a document beside the error", tt.name)
		}
		if syntax.Path != tt.path || syntax.Problem != tt.problem {
			t.Errorf("%s: path %q, problem %d, want %q, %d (%v)", tt.name, syntax.Path, syntax.Problem, tt.path, tt.problem, err)
		}
		if syntax.Reason == "" || strings.HasSuffix(syntax.Reason, ".") || len(err.Error()) > 600 {
			t.Errorf("%s: reason %q", tt.name, syntax.Reason)
		}
	}
}

func TestAccepted(t *testing.T) {
	tests := []struct {
		name string
		kind Kind
		text string
	}{
		{"no Version", IdentityPolicy, `{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`},
		{"older Version", IdentityPolicy, `{"Version":"2008-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`},
		{"empty Sids", IdentityPolicy, `{"Statement":[{"Sid":"","Effect":"Allow","Action":"*","Resource":"*"},{"Sid":"","Effect":"Allow","Action":"*","Resource":"*"}]}`},
		{"empty Condition", IdentityPolicy, cond(`{}`)},
		{"values of every type", IdentityPolicy, cond(`{"Bool":{"a:b":true},"NumericEquals":{"a:b":[1,-2.5]},"StringEquals":{"a:b":[true,3,"x"]}}`)},
		{"Null with a boolean", IdentityPolicy, cond(`{"Null":{"a:b":false}}`)},
		{"same key twice under two operators", IdentityPolicy, cond(`{"StringLike":{"a:b":"x"},"StringNotLike":{"a:b":"y"}}`)},
		{"key with a slash and spaces", IdentityPolicy, cond(`{"StringEquals":{"aws:ResourceTag/cost center":"x"}}`)},
		{"ForAllValues on the context's keys", IdentityPolicy, cond(`{"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":["x"],"aws:TagKeys":"y"}}`)},
		{"ForAnyValue on encryption context", IdentityPolicy, cond(`{"ForAnyValue:StringEquals":{"kms:EncryptionContext:x":"y"}}`)},
		{"Sid with spaces in a key policy", KeyPolicy, kmsDefault},
		{"key policy statement without Resource", KeyPolicy, in(allow + anyone + `"Action":"kms:*"`)},
		{"key policy statement without Action", KeyPolicy, in(allow + anyone + onAll)},
		{"Resource cut short by a star", IdentityPolicy, in(allow + encrypt + `"Resource":["arn:aws:s3*","arn:aws:kms:*","arn:aws-cn:s3:::b/*","arn:*:s3:::b"]`)},
		{"dollar that begins no variable", IdentityPolicy, in(allow + encrypt + `"Resource":"arn:aws:s3:::b/$x$"`)},
		{"older version: no variables", IdentityPolicy, `{"Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::b/${"}}`},
		{"default with a brace and a comma", IdentityPolicy, in(allow + encrypt + `"Resource":"arn:aws:s3:::b/${aws:username, 'a},b'}"`)},
		{"all principals", KeyPolicy, in(allow + `"Principal":{"AWS":["*","111122223333","arn:aws:iam::111122223333:root","arn:aws-us-gov:iam::111122223333:user/a/b/c@d","arn:aws:iam::111122223333:role/aws-service-role/x.amazonaws.com/R","arn:aws:sts::111122223333:assumed-role/R/s@x","arn:aws:sts::111122223333:federated-user/f","AIDACKCEVSQ6C2EXAMPLE","AROACKCEVSQ6C2EXAMPLE","AROACKCEVSQ6C2EXAMPLE:s@x"],"Service":["logs.us-east-1.amazonaws.com","s3.amazonaws.com"]},` + encrypt + onAll)},
		{"trust policy", TrustPolicy, in(allow + `"Principal":{"Federated":["accounts.google.com","arn:aws:iam::111122223333:oidc-provider/oidc.example.com/id/X","arn:aws:iam::111122223333:saml-provider/p"]},"Action":["sts:AssumeRoleWithWebIdentity","sts:TagSession"]`)},
		{"canonical user", ResourcePolicy, in(allow + `"Principal":{"CanonicalUser":"79a59df900b949e55d96a1e698fbaced"},` + encrypt + onAll)},
		{"NotPrincipal with Deny", ResourcePolicy, in(deny + `"NotPrincipal":{"AWS":"111122223333"},` + encrypt + onAll)},
		{"NotAction and NotResource", ServiceControlPolicy, in(deny + `"NotAction":["iam:*"],"NotResource":"arn:aws:s3:::b"`)},
		{"surrogate pair", KeyPolicy, in(`"Sid":"\ud83d\ude00\u00e9\"\\\/",` + allow + anyone + encrypt + onAll)},
	}
	for _, tt := range tests {
		if _, err := Parse([]byte(tt.text), tt.kind); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestLimits(t *testing.T) {
	text := in(allow + encrypt + onAll)
	spaced := strings.NewReplacer(`":"`, "\" :\n\t\r\"", ",", " , ").Replace(text)
	escaped := in(`"Sid":"a",` + allow + encrypt + onAll + `,"Condition":{"StringEquals":{"a:b":" \" \\"}}`)
	tests := []struct {
		text   string
		limits Limits
		ok     bool
	}{
		{text, Limits{Bytes: len(text)}, true},
		{text, Limits{Bytes: len(text) - 1}, false},
		{text, Limits{Characters: len(text)}, true},
		{text, Limits{Characters: len(text) - 1}, false},
		{spaced, Limits{Characters: len(text)}, true},
		{spaced, Limits{Characters: len(text) - 1}, false},
		{escaped, Limits{Characters: len(escaped)}, true},
		{escaped, Limits{Characters: len(escaped) - 1}, false},
		{text + strings.Repeat(" ", MaxBytes-len(text)), Limits{Characters: len(text)}, true},
		{text + strings.Repeat(" ", MaxBytes-len(text)+1), Limits{Bytes: 2 * MaxBytes}, false},
	}
	for i, tt := range tests {
		_, err := ParseLimited([]byte(tt.text), IdentityPolicy, tt.limits)
		var syntax *SyntaxError
		if (err == nil) != tt.ok || err != nil && (!errors.As(err, &syntax) || syntax.Problem != TooLarge) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

func TestPrincipals(t *testing.T) {
	d := mustParse(t, KeyPolicy, `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":["111122223333","arn:aws:iam::111122223333:root"],"Service":"s3.amazonaws.com"},"Action":"kms:*","Resource":"*"},
		{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"},
		{"Effect":"Deny","NotPrincipal":{"AWS":["arn:aws:iam::444455556666:role/p/r","arn:aws:iam::444455556666:user/u","111122223333"]},"Action":"kms:*","Resource":"*"},
		{"Effect":"Allow","Principal":{"AWS":["arn:aws:sts::444455556666:assumed-role/r/s","arn:aws:sts::444455556666:federated-user/f","AIDACKCEVSQ6C2EXAMPLE"]},"Action":"kms:*"}]}`)
	want := []PrincipalRef{
		{AccountForm, "111122223333", "111122223333", 0},
		{AccountForm, "arn:aws:iam::111122223333:root", "111122223333", 0},
		{ServiceForm, "s3.amazonaws.com", "", 0},
		{EveryoneForm, "*", "", 1},
		{RoleForm, "arn:aws:iam::444455556666:role/p/r", "444455556666", 2},
		{UserForm, "arn:aws:iam::444455556666:user/u", "444455556666", 2},
		{SessionForm, "arn:aws:sts::444455556666:assumed-role/r/s", "444455556666", 3},
		{FederatedUserForm, "arn:aws:sts::444455556666:federated-user/f", "444455556666", 3},
		{UniqueIDForm, "AIDACKCEVSQ6C2EXAMPLE", "", 3},
	}
	if got := d.Principals(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if d.Kind() != KeyPolicy {
		t.Error(d.Kind())
	}
}

// TestErrorsAreShort: an error quotes the document, but never much of it.
func TestErrorsAreShort(t *testing.T) {
	long := strings.Repeat("é", 60_000)
	for _, text := range []string{
		in(allow + encrypt + `"Resource":"` + long + `"`),
		in(`"` + long + `":1`),
		in(fmt.Sprintf(`"%s":1,"%s":2`, long, long)),
		cond(`{"` + long + `":{}}`),
		cond(`{"StringEquals":{"` + long + `":"x"}}`),
		cond(`{"NumericEquals":{"a:` + long + `":"` + long + `"}}`),
	} {
		_, err := Parse([]byte(text), IdentityPolicy)
		if err == nil || len(err.Error()) > 2000 {
			t.Errorf("%.80s: error of %d bytes", text, len(fmt.Sprint(err)))
		}
	}
}
