package policy

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestConditions(t *testing.T) {
	type v = []string
	none := v(nil)
	tests := []struct {
		op   string
		want string // JSON: what the policy lists
		have v      // what the request has under a:b; nil is no such key
		hold bool
	}{
		// Strings.
		{"StringEquals", `"x"`, v{"x"}, true},
		{"StringEquals", `"x"`, v{"X"}, false},
		{"StringEquals", `["y","x"]`, v{"x"}, true},
		{"StringEquals", `"x"`, none, false},
		{"StringEquals", `"x"`, v{}, false},
		{"StringEquals", `"*"`, v{"x"}, false},
		{"StringEquals", `"*"`, v{"*"}, true},
		{"StringEquals", `""`, v{""}, true},
		{"StringEquals", `"true"`, v{"true"}, true},
		{"StringEquals", `true`, v{"true"}, true},
		{"StringEquals", `10`, v{"10"}, true},
		{"StringEquals", `"x"`, v{"y", "x"}, true},
		{"StringEquals", `["1","2","3","4","5","6","7","8","9"]`, v{"9"}, true},
		{"StringEquals", `["1","2","3","4","5","6","7","8","9"]`, v{"10"}, false},
		{"StringNotEquals", `"x"`, v{"y"}, true},
		{"StringNotEquals", `"x"`, v{"x"}, false},
		{"StringNotEquals", `["x","y"]`, v{"y"}, false},
		{"StringNotEquals", `["x","y"]`, v{"z"}, true},
		{"StringNotEquals", `"x"`, v{"y", "x"}, false},
		{"StringNotEquals", `"x"`, none, true},
		{"StringEqualsIgnoreCase", `"x"`, v{"X"}, true},
		{"StringEqualsIgnoreCase", `"É"`, v{"é"}, true},
		{"StringNotEqualsIgnoreCase", `"x"`, v{"X"}, false},
		{"StringNotEqualsIgnoreCase", `"x"`, none, true},
		{"StringLike", `"a*c?"`, v{"abbcd"}, true},
		{"StringLike", `"a*c?"`, v{"Abbcd"}, false},
		{"StringLike", `"a*c?"`, v{"abbc"}, false},
		{"StringLike", `"?"`, v{"é"}, true},
		{"StringLike", `"*"`, v{""}, true},
		{"StringLike", `"*"`, none, false},
		{"StringLike", `["x","y*"]`, v{"yz"}, true},
		{"StringNotLike", `"a*"`, v{"ab"}, false},
		{"StringNotLike", `"a*"`, v{"ba"}, true},
		{"StringNotLike", `"a*"`, none, true},
		// Numbers.
		{"NumericEquals", `"10"`, v{"10.0"}, true},
		{"NumericEquals", `10`, v{"010"}, true},
		{"NumericEquals", `"9007199254740993"`, v{"9007199254740992"}, false},
		{"NumericEquals", `"-0"`, v{"0"}, true},
		{"NumericEquals", `"10"`, v{"ten"}, false},
		{"NumericNotEquals", `"10"`, v{"11"}, true},
		{"NumericNotEquals", `"10"`, none, true},
		{"NumericNotEquals", `"10"`, v{"ten"}, false}, // in an Allow: what cannot be judged does not grant
		{"NumericLessThan", `"10"`, v{"9.99"}, true},
		{"NumericLessThan", `"10"`, v{"10"}, false},
		{"NumericLessThan", `"-1"`, v{"-1.5"}, true},
		{"NumericLessThan", `["1","10"]`, v{"5"}, true},
		{"NumericLessThan", `"10"`, none, false},
		{"NumericLessThanEquals", `"10"`, v{"10"}, true},
		{"NumericLessThanEquals", `"10"`, v{"10.01"}, false},
		{"NumericGreaterThan", `"10"`, v{"100"}, true},
		{"NumericGreaterThan", `"10"`, v{"9"}, false},
		{"NumericGreaterThanEquals", `"10"`, v{"10"}, true},
		{"NumericGreaterThanEquals", `"10.2"`, v{"10.15"}, false},
		// Dates.
		{"DateEquals", `"2026-01-02T03:04:05Z"`, v{"2026-01-02T04:04:05+01:00"}, true},
		{"DateEquals", `"2026-01-02T03:04:05Z"`, v{"1767323045"}, true},
		{"DateEquals", `"2026-01-02"`, v{"2026-01-02T00:00:00.000Z"}, true},
		{"DateEquals", `"2026"`, v{"2026-01-01T00:00Z"}, true},
		{"DateEquals", `"2026-01"`, v{"2026-01-01"}, true},
		{"DateNotEquals", `"2026-01"`, v{"2026-01-01"}, false},
		{"DateNotEquals", `"2026-01"`, none, true},
		{"DateLessThan", `"2026-01-02T03:04:05Z"`, v{"2026-01-02T03:04:04.999Z"}, true},
		{"DateLessThan", `"2026-01-02T03:04:05Z"`, v{"2026-01-02T03:04:05Z"}, false},
		{"DateLessThan", `"2026-01-02T03:04:05Z"`, v{"yesterday"}, false},
		{"DateLessThan", `"2026-01-02T03:04:05Z"`, none, false},
		{"DateLessThanEquals", `1767323045`, v{"2026-01-02T03:04:05Z"}, true},
		{"DateGreaterThan", `"2026-01-02T03:04:05Z"`, v{"2026-01-02T03:04:06Z"}, true},
		{"DateGreaterThanEquals", `"2026-01-02T03:04:05Z"`, v{"2026-01-02T03:04:04Z"}, false},
		// Booleans.
		{"Bool", `"true"`, v{"true"}, true},
		{"Bool", `"True"`, v{"TRUE"}, true},
		{"Bool", `false`, v{"false"}, true},
		{"Bool", `"false"`, v{"true"}, false},
		{"Bool", `["true","false"]`, v{"true"}, true},
		{"Bool", `"true"`, none, false},
		{"Bool", `"false"`, none, false},
		{"Bool", `"false"`, v{"no"}, false},
		// Binary.
		{"BinaryEquals", `"QmluYXJ5VmFsdWVJbkJhc2U2NA=="`, v{"QmluYXJ5VmFsdWVJbkJhc2U2NA=="}, true},
		{"BinaryEquals", `"QmluYXJ5VmFsdWVJbkJhc2U2NA=="`, v{"QmluYXJ5"}, false},
		{"BinaryEquals", `"QQ=="`, v{"not base64"}, false},
		{"BinaryEquals", `"QQ=="`, none, false},
		// Addresses.
		{"IpAddress", `"203.0.113.0/24"`, v{"203.0.113.255"}, true},
		{"IpAddress", `"203.0.113.0/24"`, v{"203.0.114.0"}, false},
		{"IpAddress", `"203.0.113.77/24"`, v{"203.0.113.1"}, true},
		{"IpAddress", `"203.0.113.7"`, v{"203.0.113.7"}, true},
		{"IpAddress", `"203.0.113.7"`, v{"203.0.113.8"}, false},
		{"IpAddress", `["10.0.0.0/8","2001:DB8:1234:5678::/64"]`, v{"2001:db8:1234:5678::1"}, true},
		{"IpAddress", `"0.0.0.0/0"`, v{"2001:db8::1"}, false},
		{"IpAddress", `"203.0.113.0/24"`, v{"::ffff:203.0.113.9"}, true},
		{"IpAddress", `"::ffff:203.0.113.0/120"`, v{"203.0.113.9"}, true},
		{"IpAddress", `"203.0.113.0/24"`, v{"AWS Internal"}, false},
		{"IpAddress", `"203.0.113.0/24"`, none, false},
		{"NotIpAddress", `"203.0.113.0/24"`, v{"192.0.2.1"}, true},
		{"NotIpAddress", `["192.0.2.0/24","203.0.113.0/24"]`, v{"203.0.113.1"}, false},
		{"NotIpAddress", `"203.0.113.0/24"`, none, true},
		{"NotIpAddress", `"203.0.113.0/24"`, v{"AWS Internal"}, false},
		// ARNs.
		{"ArnEquals", `"arn:aws:sns:*:111122223333:*"`, v{"arn:aws:sns:us-east-1:111122223333:topic"}, true},
		{"ArnLike", `"arn:aws:sns:*:111122223333:*"`, v{"arn:aws:sns:us-east-1:111122223333:topic:sub"}, true},
		{"ArnLike", `"arn:aws:s:*:111122223333:finance/*"`, v{"arn:aws:s:us-east-2:999999999999:store/abc:111122223333:finance/document.txt"}, false},
		{"StringLike", `"arn:aws:s:*:111122223333:finance/*"`, v{"arn:aws:s:us-east-2:999999999999:store/abc:111122223333:finance/document.txt"}, true},
		{"ArnLike", `"arn:aws:iam::111122223333:user/A"`, v{"arn:aws:iam::111122223333:user/a"}, false},
		{"ArnLike", `"*"`, v{"arn:aws:iam::111122223333:user/a"}, false},
		{"ArnLike", `"arn:aws:iam::1:user/a"`, v{"no arn"}, false},
		{"ArnEquals", `"arn:aws:iam::1:user/a"`, none, false},
		{"ArnNotEquals", `"arn:aws:iam::*:user/a"`, v{"arn:aws:iam::1:user/a"}, false},
		{"ArnNotLike", `"arn:aws:iam::*:user/a"`, v{"arn:aws:iam::1:user/b"}, true},
		{"ArnNotLike", `"arn:aws:iam::*:user/a"`, none, true},
		// Null.
		{"Null", `"true"`, none, true},
		{"Null", `"true"`, v{}, true},
		{"Null", `true`, v{"x"}, false},
		{"Null", `"false"`, v{"x"}, true},
		{"Null", `false`, none, false},
		{"Null", `["true","false"]`, none, true},
		// IfExists.
		{"StringEqualsIfExists", `"x"`, none, true},
		{"StringEqualsIfExists", `"x"`, v{"x"}, true},
		{"StringEqualsIfExists", `"x"`, v{"y"}, false},
		{"StringNotEqualsIfExists", `"x"`, none, true},
		{"StringNotEqualsIfExists", `"x"`, v{"x"}, false},
		{"BoolIfExists", `"true"`, none, true},
		{"BoolIfExists", `"true"`, v{"false"}, false},
		{"NumericLessThanIfExists", `"5"`, v{"6"}, false},
		{"DateLessThanIfExists", `"2026"`, none, true},
		{"IpAddressIfExists", `"10.0.0.0/8"`, none, true},
		{"ArnLikeIfExists", `"arn:aws:iam::*:*"`, none, true},
		// Set operators.
		{"ForAllValues:StringEquals", `["x","y"]`, v{"x", "y"}, true},
		{"ForAllValues:StringEquals", `["x","y"]`, v{"x"}, true},
		{"ForAllValues:StringEquals", `["x","y"]`, v{"x", "z"}, false},
		{"ForAllValues:StringEquals", `"x"`, v{}, true},
		{"ForAllValues:StringEquals", `"x"`, none, true},
		{"ForAllValues:StringNotEquals", `["x","y"]`, v{"z", "w"}, true},
		{"ForAllValues:StringNotEquals", `["x","y"]`, v{"z", "x"}, false},
		{"ForAllValues:StringLikeIfExists", `"x*"`, v{"y"}, false},
		{"ForAnyValue:StringEquals", `["x","y"]`, v{"z", "y"}, true},
		{"ForAnyValue:StringEquals", `["x","y"]`, v{"z"}, false},
		{"ForAnyValue:StringEquals", `"x"`, none, false},
		{"ForAnyValue:StringEquals", `"x"`, v{}, false},
		{"ForAnyValue:StringNotEquals", `"x"`, v{"x", "y"}, true},
		{"ForAnyValue:StringNotEquals", `"x"`, v{"x"}, false},
		{"ForAnyValue:StringNotEquals", `"x"`, none, false},
		{"ForAnyValue:StringEqualsIfExists", `"x"`, none, true},
		{"ForAnyValue:NumericGreaterThan", `"5"`, v{"1", "6"}, true},
		{"ForAnyValue:ArnLike", `"arn:aws:iam::*:role/*"`, v{"arn:aws:iam::1:user/u", "arn:aws:iam::1:role/r"}, true},
		// Variables.
		{"StringEquals", `"${aws:username}"`, v{"ali*ce"}, true},
		{"StringEquals", `"${AWS:UserName}"`, v{"ali*ce"}, true},
		{"StringLike", `"u-${aws:username}-*"`, v{"u-ali*ce-x"}, true},
		{"StringLike", `"u-${aws:username}-*"`, v{"u-alixce-x"}, false}, // a value never acts as a wildcard
		{"StringLike", `"${a:missing, 'd*f'}?"`, v{"d*fx"}, true},
		{"StringLike", `"${a:missing, 'd*f'}?"`, v{"dxfx"}, false},
		{"StringLike", `"${a:missing,'d'}"`, v{"d"}, true},
		{"StringLike", `"${aws:username, 'd'}"`, v{"d"}, false},
		{"StringLike", `"${*}${?}${$}*"`, v{"*?$x"}, true},
		{"StringLike", `"${*}${?}${$}*"`, v{"abcx"}, false},
		{"StringEquals", `"${*}"`, v{"*"}, true},
		{"StringEquals", `"a$b$"`, v{"a$b$"}, true},
		{"StringEquals", `"${$}{aws:username}"`, v{"${aws:username}"}, true},
		{"StringEqualsIgnoreCase", `"${aws:username}"`, v{"ALI*CE"}, true},
		{"StringEquals", `"${a:missing}"`, v{""}, false},
		{"StringEquals", `["${a:missing}","x"]`, v{"x"}, true},
		{"StringNotEquals", `"${a:missing}"`, v{"x"}, false}, // an Allow does not hang on what is unknown
		{"StringEquals", `"${a:many}"`, v{"1"}, false},
		{"Bool", `"${a:true}"`, v{"true"}, true},
		{"Bool", `"${a:true}"`, v{"false"}, false},
		{"Bool", `"${aws:username}"`, v{"true"}, false},
		{"ArnLike", `"arn:aws:iam::*:user/${aws:username}"`, v{"arn:aws:iam::1:user/ali*ce"}, true},
		{"ArnLike", `"arn:aws:iam::*:user/${aws:username}"`, v{"arn:aws:iam::1:user/alixce"}, false},
		{"ArnLike", `"arn:aws:iam::${a:colon}:user/x"`, v{"arn:aws:iam::1:user/x:user/x"}, false}, // nor moves a colon
		{"ArnNotLike", `"arn:aws:iam::1:user/${a:missing}"`, v{"arn:aws:iam::1:user/x"}, false},
	}
	for _, tt := range tests {
		ctx := MapContext{"aws:username": {"ali*ce"}, "a:true": {"true"}, "a:many": {"1", "2"}, "a:colon": {"1:user/x"}}
		if tt.have != nil {
			ctx["a:b"] = tt.have
		}
		if got := holds(t, "2012-10-17", "Allow", tt.op, tt.want, ctx); got != tt.hold {
			t.Errorf("%s %s with %q: %v", tt.op, tt.want, tt.have, got)
		}
	}
}

// holds reports whether a statement with one condition on a:b applies.
func holds(t *testing.T, version, effect, op, want string, ctx MapContext) bool {
	t.Helper()
	name, err := json.Marshal(op)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`{"Version":%q,"Statement":[{"Effect":%q,"Action":"*","Resource":"*","Condition":{%s:{"A:b":%s}}}]}`, version, effect, name, want)
	p := &Policies{Identity: []Source{{Document: mustParse(t, IdentityPolicy, text)}}}
	d := Evaluate(&Request{Principal: alice, Action: "kms:Encrypt", Resource: keyARN, Context: ctx}, p)
	return d.Allowed || d.Reason == ExplicitDeny
}

// TestConditionsOfDeny: where a Deny cannot judge a negated operator, it denies.
func TestConditionsOfDeny(t *testing.T) {
	for _, tt := range []struct {
		op, want, have string
		hold           bool
	}{
		{"StringNotEquals", `"${a:missing}"`, "x", true},
		{"StringEquals", `"${a:missing}"`, "x", false},
		{"NumericNotEquals", `"10"`, "ten", true},
		{"NotIpAddress", `"203.0.113.0/24"`, "AWS Internal", true},
		{"IpAddress", `"203.0.113.0/24"`, "AWS Internal", false},
	} {
		if got := holds(t, "2012-10-17", "Deny", tt.op, tt.want, MapContext{"a:b": {tt.have}}); got != tt.hold {
			t.Errorf("%s %s with %q: %v", tt.op, tt.want, tt.have, got)
		}
	}
}

// TestOlderVersion: without the version that has them, variables are text.
func TestOlderVersion(t *testing.T) {
	ctx := MapContext{"aws:username": {"alice"}, "a:b": {"alice"}}
	if holds(t, "2008-10-17", "Allow", "StringEquals", `"${aws:username}"`, ctx) {
		t.Error("a variable was replaced")
	}
	ctx["a:b"] = []string{"${aws:username}"}
	for _, op := range []string{"StringEquals", "StringLike"} {
		if !holds(t, "2008-10-17", "Allow", op, `"${aws:username}"`, ctx) {
			t.Error(op)
		}
	}
	if !holds(t, "2008-10-17", "Allow", "StringLike", `"${*}"`, MapContext{"a:b": {"${x}"}}) {
		t.Error("a wildcard did not act")
	}
}

// TestResourceVariables: variables in Resource and NotResource.
func TestResourceVariables(t *testing.T) {
	const prefix = "arn:aws:s3:::bucket/"
	for _, tt := range []struct {
		effect, element, pattern, resource string
		ctx                                MapContext
		applies                            bool
	}{
		{"Allow", "Resource", "${aws:username}/*", "alice/x", MapContext{"aws:username": {"alice"}}, true},
		{"Allow", "Resource", "${aws:username}/*", "bob/x", MapContext{"aws:username": {"alice"}}, false},
		{"Allow", "Resource", "${aws:username}/*", "bob/x", MapContext{"aws:username": {"*"}}, false},
		{"Allow", "Resource", "${aws:username}/*", "*/x", MapContext{"aws:username": {"*"}}, true},
		{"Allow", "Resource", "${aws:username}/*", "/x", nil, false},
		{"Allow", "Resource", "${aws:username}/*", "a/x", MapContext{"aws:username": {"a", "b"}}, false},
		{"Allow", "Resource", "${aws:username, 'none'}/*", "none/x", nil, true},
		{"Allow", "Resource", "${*}", "*", nil, true},
		{"Allow", "Resource", "${*}", "x", nil, false},
		{"Allow", "NotResource", "${aws:username}/*", "bob/x", MapContext{"aws:username": {"alice"}}, true},
		{"Allow", "NotResource", "${aws:username}/*", "alice/x", MapContext{"aws:username": {"alice"}}, false},
		{"Allow", "NotResource", "${aws:username}/*", "bob/x", nil, false},
		{"Deny", "NotResource", "${aws:username}/*", "bob/x", nil, true},
		{"Deny", "Resource", "${aws:username}/*", "bob/x", nil, false},
	} {
		text := fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":%q,"Action":"*",%q:%q}}`, tt.effect, tt.element, prefix+tt.pattern)
		p := &Policies{Identity: []Source{{Document: mustParse(t, IdentityPolicy, text)}}}
		d := Evaluate(&Request{Principal: alice, Action: "s3:GetObject", Resource: prefix + tt.resource, Context: tt.ctx}, p)
		if got := d.Allowed || d.Reason == ExplicitDeny; got != tt.applies {
			t.Errorf("%s %s %s, %s, %v: %v", tt.effect, tt.element, tt.pattern, tt.resource, tt.ctx, got)
		}
	}
}

// TestAllConditionsMustHold: operators and keys are joined by and.
func TestAllConditionsMustHold(t *testing.T) {
	d := mustParse(t, IdentityPolicy, cond(`{"StringEquals":{"a:b":"1","a:c":"2"},"Bool":{"a:d":"true"}}`))
	full := map[string][]string{"A:B": {"1"}, "a:C": {"2"}, "a:d": {"true"}}
	decide := func(ctx Context) bool {
		d := Evaluate(&Request{Principal: alice, Action: "kms:Encrypt", Resource: keyARN, Context: ctx}, &Policies{Identity: []Source{{Document: d}}})
		return d.Allowed
	}
	if !decide(NewMapContext(full)) {
		t.Error("all hold")
	}
	for k := range full {
		ctx := NewMapContext(full)
		delete(ctx, strings.ToLower(k))
		if decide(ctx) {
			t.Errorf("without %s", k)
		}
	}
	if decide(nil) {
		t.Error("without a context")
	}
}

// countingContext counts what it is asked.
type countingContext struct{ asked map[string]int }

func (c countingContext) Values(key string) ([]string, bool) {
	c.asked[key]++
	return []string{"1"}, true
}

// TestContextIsAskedLazily: only keys that decide are asked for, in lower case,
// and each of a few only once.
func TestContextIsAskedLazily(t *testing.T) {
	text := `{"Statement":[
		{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringEquals":{"a:unused":"1"}}},
		{"Effect":"Allow","Action":"kms:*","Resource":"arn:aws:kms:us-east-1:222222222222:key/x","Condition":{"StringEquals":{"a:unused":"1"}}},
		{"Effect":"Deny","Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"A:Used":"2"}}},
		{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"a:USED":"1"}}}]}`
	c := countingContext{map[string]int{}}
	d := Evaluate(&Request{Principal: alice, Action: "kms:Encrypt", Resource: keyARN, Context: c}, &Policies{Identity: []Source{{Document: mustParse(t, IdentityPolicy, text)}}})
	if !d.Allowed || len(c.asked) != 1 || c.asked["a:used"] != 1 {
		t.Errorf("%v, asked %v", describe(d), c.asked)
	}
}

// denyingContext answers no key, and gives values with that.
type denyingContext struct{}

func (denyingContext) Values(string) ([]string, bool) { return []string{"a"}, false }

// TestValuesOfAKeyThatIsNotThere: what a context returns beside "no such key" does
// not count, in conditions or for variables.
func TestValuesOfAKeyThatIsNotThere(t *testing.T) {
	for condition, want := range map[string]bool{
		`{"StringEquals":{"kms:KeySpec":"a"}}`:             false,
		`{"StringNotEquals":{"kms:KeySpec":"a"}}`:          true,
		`{"Null":{"kms:KeySpec":"true"}}`:                  true,
		`{"StringEquals":{"kms:KeySpec":"${aws:userid}"}}`: false,
	} {
		d := mustParse(t, IdentityPolicy, cond(condition))
		got := Evaluate(&Request{Principal: alice, Action: "kms:Encrypt", Resource: keyARN, Context: denyingContext{}}, &Policies{Identity: []Source{{Document: d}}})
		if got.Allowed != want {
			t.Errorf("%s: %v", condition, describe(got))
		}
	}
	if parts, ok := resolve([]part{{kind: variablePart, text: "aws:userid"}}, denyingContext{}); ok {
		t.Errorf("the variable became %v", parts)
	}
}
