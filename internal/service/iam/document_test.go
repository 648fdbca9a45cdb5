package iam

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	api "github.com/strongroom/strongroom/api/iam"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/policy"
)

// TestSize: a document's size is that of encoding/json's compact form, in
// characters.
func TestSize(t *testing.T) {
	for _, text := range []string{
		`{}`, ` { "a" : [ 1 , 2 ] } `, "{\n\t\"a b\": \"c  d\\\" e\\\\\" ,\r\n \"ä\": \"😀 \"}", `{"\\": "\\\\ \" x"}`,
	} {
		var compact bytes.Buffer
		if err := json.Compact(&compact, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, want := size(text), utf8.RuneCount(compact.Bytes()); got != want {
			t.Errorf("%q has size %d; want %d", text, got, want)
		}
	}
}

// TestEscape: what is answered reads back by RFC 3986, and has no character that
// an XML reader or a form could take for something else.
func TestEscape(t *testing.T) {
	if got := escape(`{"a b":"+%&"}`); got != "%7B%22a%20b%22%3A%22%2B%25%26%22%7D" {
		t.Errorf("escaped: %s", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		escaped := escape(text)
		for _, c := range escaped {
			if c >= 0x80 || c <= ' ' || c == '<' || c == '&' || c == '+' {
				t.Fatalf("%q has %q", escaped, c)
			}
		}
		if back, err := url.PathUnescape(escaped); err != nil || back != text {
			t.Fatalf("%q came back as %q, %v", text, back, err)
		}
	})
}

// TestCut: over the pages of any size every item comes once, in order, also when
// items come and go in between.
func TestCut(t *testing.T) {
	call := &authz.Call{Operation: "ListUsers", Principal: authz.Principal{Principal: policy.Principal{Account: "111122223333"}}}
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfNDistinct(rapid.StringN(1, 5, -1), 0, 20, rapid.ID[string]).Draw(t, "all")
		slices.Sort(all)
		limit := rapid.Int32Range(1, 10).Draw(t, "limit")
		var got []string
		marker := ""
		for {
			p, err := newPage(call, marker, &limit)
			if err != nil {
				t.Fatal(err)
			}
			part, truncated, next := cut(p, all, func(s string) string { return s })
			if truncated != (next != "") || truncated && len(part) != int(limit) {
				t.Fatalf("%d of %d items, truncated %v, marker %q", len(part), limit, truncated, next)
			}
			got = append(got, part...)
			if !truncated {
				break
			}
			marker = next
		}
		if fmt.Sprint(got) != fmt.Sprint(all) {
			t.Fatalf("got  %q\nwant %q", got, all)
		}
	})
	limit := int32(1)
	p, _ := newPage(call, "", &limit)
	_, _, marker := cut(p, []string{"a", "b", "c"}, func(s string) string { return s })
	p, _ = newPage(call, marker, &limit)
	if part, _, _ := cut(p, []string{"0", "c"}, func(s string) string { return s }); fmt.Sprint(part) != "[c]" {
		t.Errorf("after the marker come %v", part)
	}
	other := *call
	other.Principal.Account = "444455556666"
	if _, err := newPage(&other, marker, nil); err == nil {
		t.Error("another account's marker was taken")
	}
}

// TestMerge: tags are one by their keys, whatever the case.
func TestMerge(t *testing.T) {
	tags, err := merge([]tag{{"Team", "red"}, {"b", "1"}}, []api.Tag{{Key: "TEAM", Value: "blue"}, {Key: "a", Value: ""}})
	if err != nil || fmt.Sprint(tags) != "[{TEAM blue} {a } {b 1}]" {
		t.Errorf("merged to %v, %v", tags, err)
	}
	if got := remove(tags, []string{"A", "team", "none"}); fmt.Sprint(got) != "[{b 1}]" {
		t.Errorf("left are %v", got)
	}
	var many []api.Tag
	for i := range maxTags + 1 {
		many = append(many, api.Tag{Key: fmt.Sprint(i)})
	}
	if _, err := merge(nil, many[:maxTags]); err != nil {
		t.Error(err)
	}
	if _, err := merge([]tag{{"x", ""}}, many[:maxTags]); err == nil {
		t.Error("51 tags were taken")
	}
}

// TestAWSPolicies: each parses as whatever it may be used as, under an ARN of the
// partition.
func TestAWSPolicies(t *testing.T) {
	all := compileAWS("aws-cn")
	for _, p := range awsPolicies {
		c := all["arn:aws-cn:iam::aws:policy"+pathOr(p.path)+p.name]
		if c == nil || c.compiled.identity == nil || c.compiled.boundary == nil || c.compiled.session == nil {
			t.Errorf("%s is %+v", p.name, c)
		}
	}
}
