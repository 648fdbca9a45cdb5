package policy

import (
	"reflect"
	"strings"
	"testing"
)

const trialPolicy = `{"Version":"2012-10-17","Statement":[
	{"Sid":"a","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:user/alice"},"Action":"kms:Encrypt","Resource":"*","Condition":{"StringEquals":{"kms:EncryptionContext:p":"x"},"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}},
	{"Sid":"b","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:user/bob"},"Action":"kms:*","Resource":"*"},
	{"Sid":"c","Effect":"Deny","Principal":"*","Action":"kms:Enc*","Resource":"*","Condition":{"StringEquals":{"kms:ViaService":"s3"}}},
	{"Sid":"d","Effect":"Allow","Principal":"*","Action":"kms:Decrypt","Resource":"*"},
	{"Sid":"e","Effect":"Allow","Principal":"*","Action":"kms:Encrypt","Resource":"arn:aws:kms:us-east-1:111122223333:key/other"}]}`

func trialRequest(t *testing.T, context map[string][]string) (*Request, *Policies) {
	t.Helper()
	d, err := Parse([]byte(trialPolicy), KeyPolicy)
	if err != nil {
		t.Fatal(err)
	}
	return &Request{
		Principal: Principal{Type: User, Account: "111122223333", ARN: "arn:aws:iam::111122223333:user/alice"},
		Action:    "kms:Encrypt", Resource: "arn:aws:kms:us-east-1:111122223333:key/k", Context: NewMapContext(context),
	}, &Policies{Resource: &Source{Name: "k", Document: d}, Grants: []Grant{{ID: "g", Grantee: "arn:aws:iam::111122223333:user/alice"}, {ID: "h", Grantee: "x"}}}
}

func TestTrials(t *testing.T) {
	r, p := trialRequest(t, map[string][]string{"aws:SourceIp": {"192.0.2.1"}, "kms:ViaService": {"a", "b", "c", "d"}})
	type row struct {
		sid         string
		applies     bool
		conditional bool
		failed      string
	}
	var got []row
	for _, trial := range Trials(r, p) {
		got = append(got, row{trial.Sid + trial.Source[:1], trial.Applies, trial.Conditional, strings.Join(trial.Failed, "; ")})
	}
	want := []row{
		{"ak", false, true, `Statement[0].Condition.StringEquals.kms:EncryptionContext:p, which the request does not have; Statement[0].Condition.IpAddress.aws:SourceIp, of which the request has "192.0.2.1"`},
		{"bk", false, false, "the principal"},
		{"ck", false, true, `Statement[2].Condition.StringEquals.kms:ViaService, of which the request has "a", "b", "c" and 1 more`},
		{"ek", false, false, "the resource"},
		{"g", true, false, ""},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestPossible(t *testing.T) {
	all := func(string) bool { return true }
	none := func(string) bool { return false }
	for _, test := range []struct {
		name    string
		context map[string][]string
		unknown func(string) bool
		want    bool
	}{
		{"nothing known", nil, all, true},
		{"nothing unknown", nil, none, false},
		{"the wrong address", map[string][]string{"aws:SourceIp": {"192.0.2.1"}}, all, false},
		{"the right address", map[string][]string{"aws:SourceIp": {"10.1.2.3"}}, all, true},
		{"denied by what is known", map[string][]string{"kms:ViaService": {"s3"}}, all, false},
	} {
		r, p := trialRequest(t, test.context)
		p.Grants = nil
		if got := Possible(r, p, test.unknown); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
		if Certain(r, p, all) {
			t.Errorf("%s: certain, though the context is not known", test.name)
		}
	}
	r, p := trialRequest(t, map[string][]string{"aws:SourceIp": {"10.1.2.3"}, "kms:EncryptionContext:p": {"x"}, "kms:ViaService": {"ec2"}})
	if !Certain(r, p, all) {
		t.Error("everything is known, and nothing certain")
	}
}
