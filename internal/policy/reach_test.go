package policy

import "testing"

func TestReaches(t *testing.T) {
	for _, test := range []struct {
		statements string
		want       bool
	}{
		{`{"Effect":"Allow","Action":"kms:Encrypt","Resource":"*"}`, true},
		{`{"Effect":"Allow","Action":"KMS:Encrypt","Resource":"*"}`, true},
		{`{"Effect":"Allow","Action":"kms:En*","Resource":"arn:aws:kms:*:*:key/x"}`, true},
		{`{"Effect":"Allow","Action":["s3:*","kms:*"],"Resource":"*"}`, true},
		{`{"Effect":"Allow","Action":"*","Resource":"*"}`, true},
		{`{"Effect":"Deny","Action":"*","Resource":"*"}`, false},
		{`{"Effect":"Allow","Action":["s3:*","kmsx:Encrypt"],"Resource":"*"}`, false},
		{`{"Effect":"Allow","NotAction":"s3:*","Resource":"*"}`, true},
		{`{"Effect":"Allow","NotAction":["iam:*","kms:Enc*"],"Resource":"*"}`, true},
		{`{"Effect":"Allow","NotAction":["iam:*","kms:*"],"Resource":"*"}`, false},
		{`{"Effect":"Allow","NotAction":"*","Resource":"*"}`, false},
		{`{"Effect":"Deny","NotAction":"s3:*","Resource":"*"},{"Effect":"Allow","Action":"s3:Get*","Resource":"*"}`, false},
	} {
		d := mustParse(t, IdentityPolicy, `{"Version":"2012-10-17","Statement":[`+test.statements+`]}`)
		if got := d.Reaches("kms"); got != test.want {
			t.Errorf("%s: %v", test.statements, got)
		}
	}
}
