package policy

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestHostileDocuments: documents made to exhaust or to mislead are refused, or
// accepted at a cost that their length bounds, and never panic.
func TestHostileDocuments(t *testing.T) {
	refused := map[string]string{
		"arrays":          strings.Repeat("[", MaxBytes/2) + strings.Repeat("]", MaxBytes/2),
		"open arrays":     strings.Repeat("[", MaxBytes),
		"objects":         strings.Repeat(`{"a":`, MaxBytes/6) + "1" + strings.Repeat("}", MaxBytes/6),
		"in a value":      cond(`{"StringEquals":{"a:b":` + strings.Repeat("[", 60_000) + strings.Repeat("]", 60_000) + `}}`),
		"duplicates":      `{` + strings.Repeat(`"Version":"2012-10-17",`, 10_000) + `"Statement":[]}`,
		"open string":     `{"Statement":"` + strings.Repeat("a", 200_000),
		"open escape":     `{"Statement":"` + strings.Repeat(`\`, 199_999),
		"long number":     `{"Version":` + strings.Repeat("9", 200_000) + `}`,
		"white space":     strings.Repeat(" ", MaxBytes),
		"too long":        strings.Repeat("a", MaxBytes+1),
		"megabytes":       `{"Statement":[` + strings.Repeat(`{"Effect":"Allow","Action":"*","Resource":"*"},`, 100_000) + `{}]}`,
		"many unknown":    `{"Statement":{` + manyMembers(10_000) + `}}`,
		"NULs":            strings.Repeat("\x00", 1000),
		"invalid UTF-8":   in(allow + encrypt + `"Resource":"arn:aws:s3:::` + "\xc0\xaf" + `"`),
		"half a variable": in(allow + encrypt + `"Resource":"arn:aws:s3:::` + strings.Repeat("${", 50_000) + `"`),
	}
	for name, text := range refused {
		d, err := Parse([]byte(text), IdentityPolicy)
		var syntax *SyntaxError
		if d != nil || !errors.As(err, &syntax) {
			t.Errorf("%s: accepted", name)
		}
	}

	const n = 20_000
	accepted := map[string]string{
		"many statements": `{"Statement":[` + strings.Repeat(`{"Effect":"Deny","Action":"a:b","Resource":"*"},`, 5000) + `{"Effect":"Deny","Action":"a:b","Resource":"*"}]}`,
		"many actions":    in(allow + `"Action":["a:b"` + strings.Repeat(`,"kms:*a*b*c*"`, n/2) + `],` + onAll),
		"many resources":  in(allow + encrypt + `"Resource":["arn:aws:s3:::x"` + strings.Repeat(`,"arn:a*:s*:*:*:*?"`, n/4) + `]`),
		"many values":     cond(`{"StringLike":{"a:b":["x"` + strings.Repeat(`,"*?*"`, n) + `]}}`),
		"many keys":       cond(`{"StringNotEquals":{` + manyMembers(n/2) + `}}`),
		"stars":           in(allow + encrypt + `"Resource":"arn:aws:s3:::` + strings.Repeat("*", 4*n) + `b"`),
		"stars and marks": in(allow + encrypt + `"Resource":"arn:aws:s3:::` + strings.Repeat("*?", 2*n) + `b"`),
		"stars in action": in(allow + `"Action":"kms:` + strings.Repeat("*", 4*n) + `b",` + onAll),
		"many variables":  in(allow + encrypt + `"Resource":"arn:aws:s3:::` + strings.Repeat("${a:b}", n/4) + `b"`),
	}
	long := strings.Repeat("a", 4096)
	for name, text := range accepted {
		d := mustParse(t, IdentityPolicy, text)
		r := &Request{Principal: alice, Action: "kms:" + long[:100], Resource: "arn:aws:s3:::" + long, Context: MapContext{"a:b": {long}}}
		if d := Evaluate(r, &Policies{Identity: []Source{{Document: d}}}); d.Allowed && name != "many resources" && name != "many values" {
			t.Errorf("%s: %v", name, describe(d))
		}
		if again := d.Pretty(); len(again) < len(text)/8 {
			t.Errorf("%s: Pretty is %d bytes of %d", name, len(again), len(text))
		}
		d.Lint(someActions)
	}
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"a:%d":"x"`, i)
	}
	return b.String()
}

// TestIndexIsBounded: a statement with many actions and many resources does not
// make an index of their product.
func TestIndexIsBounded(t *testing.T) {
	var actions, resources []string
	for i := range 1000 {
		actions = append(actions, fmt.Sprintf(`"kms:A%d"`, i))
		resources = append(resources, fmt.Sprintf(`"arn:aws:s3:::%d"`, i))
	}
	d := mustParse(t, IdentityPolicy, in(allow+`"Action":[`+strings.Join(actions, ",")+`],"Resource":[`+strings.Join(resources, ",")+`]`))
	entries := 0
	for _, b := range d.index.exact {
		entries += len(b.others)
		for _, list := range b.byResource {
			entries += len(list)
		}
	}
	if entries > fewResources*len(actions) {
		t.Errorf("%d entries", entries)
	}
	r := &Request{Principal: alice, Action: "kms:a999", Resource: "arn:aws:s3:::999"}
	if got := Evaluate(r, &Policies{Identity: []Source{{Document: d}}}); !got.Allowed {
		t.Error(describe(got))
	}
}

// TestThousandsOfMutants: valid documents with bytes changed, dropped or repeated
// either parse to something that prints and parses again, or are refused.
func TestThousandsOfMutants(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	seeds := []naiveSource{{KeyPolicy, kmsDefault}, {IdentityPolicy, largePolicy(1)}, {KeyPolicy, viaS3}}
	for i := range uint64(20) {
		g := newGenerator(3_000_000 + i)
		seeds = append(seeds, g.document(pick(g, IdentityPolicy, KeyPolicy, ResourcePolicy, TrustPolicy)))
	}
	accepted := 0
	const mutants = 2000
	for range mutants {
		s := seeds[r.IntN(len(seeds))]
		text := []byte(s.text)
		for range 1 + r.IntN(3) {
			i := r.IntN(len(text))
			j := min(len(text), i+r.IntN(20))
			switch r.IntN(4) {
			case 0:
				text[i] = byte(r.IntN(256))
			case 1:
				text = append(text[:i:i], text[j:]...)
			case 2:
				text = append(text[:j:j], text[i:]...)
			default:
				text[i] = `{}[]",:*?$\`[r.IntN(11)]
			}
			if len(text) == 0 {
				text = []byte("{")
			}
		}
		if checkParsed(t, text, s.kind) {
			accepted++
		}
	}
	if accepted == 0 || accepted > mutants/2 {
		t.Errorf("%d of %d mutants accepted", accepted, mutants)
	}
}

// checkParsed parses text and checks what must hold for every document that is
// accepted.
func checkParsed(t *testing.T, text []byte, kind Kind) bool {
	t.Helper()
	before := bytes.Clone(text)
	d, err := Parse(text, kind)
	if !bytes.Equal(before, text) {
		t.Fatalf("%q: Parse changed it", before)
	}
	var syntax *SyntaxError
	if err != nil {
		if d != nil || !errors.As(err, &syntax) {
			t.Fatalf("%q: %v", text, err)
		}
		return false
	}
	pretty := d.Pretty()
	again, err := Parse([]byte(pretty), kind)
	if err != nil {
		t.Fatalf("%q: its pretty form %q: %v", text, pretty, err)
	}
	if twice := again.Pretty(); twice != pretty {
		t.Fatalf("%q: pretty form changes from %q to %q", text, pretty, twice)
	}
	d.Lint(someActions)
	for _, p := range worldPrincipals {
		r := &Request{Principal: p, Action: "kms:Encrypt", Resource: keyARN, ResourceAccount: accountA, Context: MapContext{"aws:username": {"*"}, "kms:viaservice": {"s3.us-east-1.amazonaws.com", ""}}}
		policies, same := &Policies{Identity: []Source{{Document: d}}}, &Policies{Identity: []Source{{Document: again}}}
		if kind.namesPrincipals() {
			policies, same = &Policies{Resource: &Source{Document: d}}, &Policies{Resource: &Source{Document: again}}
		}
		if a, b := Evaluate(r, policies), Evaluate(r, same); a != b {
			t.Fatalf("%q: %v, its pretty form: %v", text, describe(a), describe(b))
		}
	}
	return true
}

// FuzzParse looks for documents that panic, or that mean something else once
// they are printed.
func FuzzParse(f *testing.F) {
	f.Add([]byte(kmsDefault), uint8(KeyPolicy))
	f.Add([]byte(viaS3), uint8(KeyPolicy))
	f.Add([]byte(allowAll), uint8(IdentityPolicy))
	f.Add([]byte(cond(`{"ForAnyValue:StringLikeIfExists":{"a:b":["${aws:username, 'x'}*",true,1.5]},"IpAddress":{"aws:SourceIp":"10.0.0.0/8"},"DateLessThan":{"aws:CurrentTime":"2026-01-02"}}`)), uint8(IdentityPolicy))
	f.Add([]byte(in(deny+`"NotPrincipal":{"AWS":["111122223333"],"Service":"s3.amazonaws.com"},"NotAction":"kms:*","NotResource":"arn:aws:s3:::a?"`)), uint8(ResourcePolicy))
	f.Add([]byte(`{"Statement":{"Effect":"Allow","Principal":{"Federated":"accounts.google.com"},"Action":"sts:AssumeRoleWithWebIdentity"}}`), uint8(TrustPolicy))
	f.Fuzz(func(t *testing.T, text []byte, kind uint8) { checkParsed(t, text, Kind(kind)) })
}

// FuzzPattern compares the matcher with a table-filling one.
func FuzzPattern(f *testing.F) {
	f.Add("a*b?c", "axxbyc")
	f.Add("*?aaaaaaaaaaaaaaaaab*", "aaaaaaaaaaaaaaaaaaaaaaaab")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern)*len(text) > 1<<16 {
			return
		}
		pattern, text = strings.ToValidUTF8(pattern, "\ufffd"), strings.ToValidUTF8(text, "\ufffd")
		p := compilePattern(wildcards(nil, pattern))
		tokens, _ := naiveTokens(pattern, false, true, nil)
		if got, want := p.match(text), reference(tokens, []rune(text)); got != want {
			t.Errorf("%q on %q: %v, want %v", pattern, text, got, want)
		}
	})
}
