package policy

import (
	"reflect"
	"strings"
	"testing"
)

func TestOutline(t *testing.T) {
	tests := []struct {
		name, text string
		want       []StatementOutline
	}{
		// The positions are those that the AWS CLI's examples of simulate-custom-policy
		// and simulate-principal-policy show.
		{"one statement, on one line",
			`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"dynamodb:*","Resource":"*","Condition":{"DateGreaterThan":{"aws:CurrentTime":"2018-08-16T12:00:00Z"}}}}`,
			[]StatementOutline{{Start: Position{1, 38}, End: Position{1, 167}, Keys: []string{"aws:CurrentTime"},
				Text: `{"Effect":"Allow","Action":"dynamodb:*","Resource":"*","Condition":{"DateGreaterThan":{"aws:CurrentTime":"2018-08-16T12:00:00Z"}}}`}}},
		{"a list over lines",
			"{\n    \"Version\": \"2012-10-17\",\n    \"Statement\": [\n        {\"Effect\":\"Allow\",\n\"Action\":\"a:B\",\n\n\n\"Resource\":\"*\"\n        }\n    ]\n}",
			[]StatementOutline{{Start: Position{3, 19}, End: Position{9, 10}, Text: "{\"Effect\":\"Allow\",\n\"Action\":\"a:B\",\n\n\n\"Resource\":\"*\"\n        }"}}},
		{"two statements, keys in every place, letters of two bytes",
			`{"Version":"2012-10-17","Id":"é","Statement":[{"Effect":"Allow","Action":"a:B","Resource":["arn:aws:s3:::${aws:username}/*","arn:aws:s3:::${*}${aws:PrincipalTag/x, 'y'}"]},` +
				`{"Effect":"Deny","Action":"a:B","NotResource":"*","Condition":{"StringLike":{"AWS:UserName":["${kms:CallerAccount}"]},"Null":{"aws:PrincipalArn":"true"}}}]}`,
			[]StatementOutline{
				{Start: Position{1, 47}, End: Position{1, 172}, Keys: []string{"aws:username", "aws:PrincipalTag/x"},
					Text: `{"Effect":"Allow","Action":"a:B","Resource":["arn:aws:s3:::${aws:username}/*","arn:aws:s3:::${*}${aws:PrincipalTag/x, 'y'}"]}`},
				{Start: Position{1, 172}, End: Position{1, 327}, Keys: []string{"AWS:UserName", "kms:CallerAccount", "aws:PrincipalArn"},
					Text: `{"Effect":"Deny","Action":"a:B","NotResource":"*","Condition":{"StringLike":{"AWS:UserName":["${kms:CallerAccount}"]},"Null":{"aws:PrincipalArn":"true"}}}`},
			}},
		{"a version without variables", `{"Statement":{"Effect":"Allow","Action":"a:B","Resource":"arn:aws:s3:::${aws:username}"}}`,
			[]StatementOutline{{Start: Position{1, 15}, End: Position{1, 89}, Text: `{"Effect":"Allow","Action":"a:B","Resource":"arn:aws:s3:::${aws:username}"}`}}},
	}
	for _, test := range tests {
		d, err := Parse([]byte(test.text), IdentityPolicy)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if got := d.Outline(); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", test.name, got, test.want)
		}
	}
}

func TestMentions(t *testing.T) {
	parse := func(text string) Source {
		d, err := Parse([]byte(`{"Version":"2012-10-17","Statement":[`+text+`]}`), IdentityPolicy)
		if err != nil {
			t.Fatal(err)
		}
		return Source{Name: "p", Document: d}
	}
	one := parse(`{"Effect":"Allow","Action":"a:B","Resource":"*","Condition":{"Null":{"aws:username":"true"}}},` +
		`{"Effect":"Allow","Action":"a:C","Resource":"*","Condition":{"Null":{"aws:userid":"true"}}},` +
		`{"Effect":"Allow","Action":"a:B","Resource":"arn:aws:s3:::y","Condition":{"Null":{"aws:SourceIp":"true"}}},` +
		`{"Effect":"Deny","Action":"a:*","Resource":"arn:aws:s3:::${aws:PrincipalAccount}"},` +
		`{"Effect":"Deny","Action":"a:*","Resource":"*","Condition":{"Bool":{"AWS:username":"true"}}}`)
	r := &Request{Action: "a:B", Resource: "arn:aws:s3:::x"}
	got := Mentions(r, &Policies{Identity: []Source{one}}, (*Document).Outline)
	if want := "aws:username aws:PrincipalAccount"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
	if got := Mentions(r, &Policies{Boundary: &one}, (*Document).Outline); len(got) != 2 {
		t.Errorf("of the boundary: %v", got)
	}
}
