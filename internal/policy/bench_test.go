package policy

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkKeyPolicyRoot is the commonest decision: the root user under the
// default key policy.
func BenchmarkKeyPolicyRoot(b *testing.B) {
	key := Source{Name: "key policy", Document: mustParse(b, KeyPolicy, kmsDefault)}
	p := &Policies{Resource: &key}
	r := &Request{
		Principal:       Principal{Type: Root, Account: "111122223333", ARN: "arn:aws:iam::111122223333:root", ID: "111122223333"},
		Action:          "kms:Encrypt",
		Resource:        "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
		ResourceAccount: "111122223333",
		Context:         MapContext{},
	}
	b.ReportAllocs()
	for b.Loop() {
		if d := Evaluate(r, p); !d.Allowed {
			b.Fatal("denied")
		}
	}
}

// largePolicy is a policy of about 6 KB. Its statements name actions and keys of
// their own, so that little of it bears on any one request; one Deny bears on
// every KMS action.
func largePolicy(n int) string { return policyOf(6000, n, 1) }

// policyOf is a policy of about size bytes; of its statements about KMS, denies
// bear on kms:Decrypt, and Allows do that name another key.
func policyOf(size, n, denies int) string {
	var b strings.Builder
	b.WriteString(`{"Version":"2012-10-17","Statement":[`)
	for i := range denies {
		fmt.Fprintf(&b, `{"Sid":"D%d","Effect":"Deny","Action":["kms:Decrypt","kms:Encrypt"],"Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/team":"t%d-%d"}}},`, i, n, i)
	}
	for i := 0; b.Len() < size-200; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		switch i % 4 {
		case 0:
			fmt.Fprintf(&b, `{"Sid":"S%d","Effect":"Allow","Action":["kms:Decrypt","kms:GenerateDataKey"],"Resource":["arn:aws:kms:us-east-1:111122223333:key/%08d-0000-0000-0000-%012d"]}`, i, n, i)
		case 1:
			fmt.Fprintf(&b, `{"Sid":"S%d","Effect":"Allow","Action":["s3:GetObject","s3:List*"],"Resource":["arn:aws:s3:::bucket-%d/*","arn:aws:s3:::bucket-%d"]}`, i, n, i)
		case 2:
			fmt.Fprintf(&b, `{"Sid":"S%d","Effect":"Allow","Action":["kms:Describe*","kms:List*"],"Resource":"arn:aws:kms:*:111122223333:key/%d-*","Condition":{"StringEquals":{"aws:RequestedRegion":"eu-west-1"}}}`, i, i)
		default:
			fmt.Fprintf(&b, `{"Sid":"S%d","Effect":"Deny","Action":["secretsmanager:DeleteSecret"],"Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/team":"t%d-%d"}}}`, i, n, i)
		}
	}
	b.WriteString(`]}`)
	return b.String()
}

// BenchmarkFiftyPolicies decides over 50 identity policies of 6 KB, whose last
// statement is the one that allows: with one Deny a policy that has to be judged,
// and, as the worst that people write, with ten.
func BenchmarkFiftyPolicies(b *testing.B) {
	for _, denies := range []int{1, 10} {
		key := Source{Name: "key policy", Document: mustParse(b, KeyPolicy, kmsDefault)}
		p := &Policies{Resource: &key}
		for i := range 50 {
			text := policyOf(6000, i, denies)
			if i == 49 {
				text = strings.TrimSuffix(text, "]}") + `,{"Effect":"Allow","Action":"kms:*","Resource":"arn:aws:kms:us-east-1:111122223333:key/1234*"}]}`
			}
			p.Identity = append(p.Identity, Source{Name: fmt.Sprint(i), Document: mustParse(b, IdentityPolicy, text)})
		}
		r := &Request{
			Principal:       Principal{Type: User, Account: "111122223333", ARN: "arn:aws:iam::111122223333:user/u", ID: "AIDAEXAMPLEEXAMPLE"},
			Action:          "kms:Decrypt",
			Resource:        "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
			ResourceAccount: "111122223333",
			Context:         MapContext{"aws:requestedregion": {"us-east-1"}, "aws:principaltag/team": {"blue"}},
		}
		b.Run(fmt.Sprintf("denies=%d", denies), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if d := Evaluate(r, p); !d.Allowed {
					b.Fatal("denied")
				}
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	text := []byte(largePolicy(1))
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(text, IdentityPolicy); err != nil {
			b.Fatal(err)
		}
	}
}
