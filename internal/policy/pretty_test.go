package policy

import (
	"testing"
)

// kmsDefault is what AWS KMS answers GetKeyPolicy with for a key made through
// the API without a policy, byte for byte.
const kmsDefault = `{
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

func mustParse(t testing.TB, kind Kind, text string) *Document {
	t.Helper()
	d, err := Parse([]byte(text), kind)
	if err != nil {
		t.Fatalf("Parse(%s): %v", text, err)
	}
	return d
}

func TestPrettyDefaultPolicy(t *testing.T) {
	for name, text := range map[string]string{
		"itself":  kmsDefault,
		"compact": `{"Version":"2012-10-17","Id":"key-default-1","Statement":[{"Sid":"Enable IAM User Permissions","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}]}`,
		"one statement, lists of one, account digits": `{"Version":"2012-10-17","Id":"key-default-1","Statement":{"Sid":"Enable IAM User Permissions",
			"Effect":"Allow","Principal":{"AWS":["111122223333"]},"Action":["kms:*"],"Resource":["*"]}}`,
		"escapes": `{"Version":"2012\u002d10-17","Id":"key-default-1","Statement":[{"Sid":"Enable\u0020IAM User Permissions","\u0045ffect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}]}`,
	} {
		if got := mustParse(t, KeyPolicy, text).Pretty(); got != kmsDefault {
			t.Errorf("%s:\n%s", name, got)
		}
	}
}

func TestPrettyForms(t *testing.T) {
	text := `{"Statement":[{"Effect":"Deny","Principal":"*","Action":["kms:Encrypt","kms:Decrypt"],"Resource":"*",
		"Condition":{"Bool":{"aws:SecureTransport":false},"NumericLessThan":{"kms:RotationPeriodInDays":[90,1.5]},"StringEquals":{"kms:EncryptionContext:a\"b\\":["\u0001\t/é"]}}},
		{"Effect":"Allow","Principal":{"AWS":["111122223333","arn:aws:iam::111122223333:user/u"],"Service":["a.amazonaws.com"]},"Action":"kms:*","Resource":"*","Condition":{}}],"Version":"2012-10-17"}`
	want := `{
  "Statement" : [ {
    "Effect" : "Deny",
    "Principal" : {
      "AWS" : "*"
    },
    "Action" : [ "kms:Encrypt", "kms:Decrypt" ],
    "Resource" : "*",
    "Condition" : {
      "Bool" : {
        "aws:SecureTransport" : "false"
      },
      "NumericLessThan" : {
        "kms:RotationPeriodInDays" : [ "90", "1.5" ]
      },
      "StringEquals" : {
        "kms:EncryptionContext:a\"b\\" : "\u0001\t/é"
      }
    }
  }, {
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : [ "arn:aws:iam::111122223333:root", "arn:aws:iam::111122223333:user/u" ],
      "Service" : "a.amazonaws.com"
    },
    "Action" : "kms:*",
    "Resource" : "*",
    "Condition" : { }
  } ],
  "Version" : "2012-10-17"
}`
	d := mustParse(t, KeyPolicy, text)
	if got := d.Pretty(); got != want {
		t.Errorf("got:\n%s", got)
	}
	if again := mustParse(t, KeyPolicy, want).Pretty(); again != want {
		t.Errorf("not idempotent:\n%s", again)
	}
}
