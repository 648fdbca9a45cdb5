package saml_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/saml"
	"github.com/strongroom/strongroom/internal/saml/samltest"
)

const entity = "https://idp.example.com/metadata"

// now is when the tests' responses are verified.
var now = time.Now().Truncate(time.Second)

type stopped struct{ clock.Clock }

func (stopped) Now() time.Time { return now }

func verifier(audiences ...string) *saml.Verifier {
	return saml.New(saml.Config{Clock: stopped{}, Partition: "aws", Audiences: audiences})
}

// registered is a provider as an account has registered it.
func registered(t testing.TB, p *samltest.Provider) *saml.Provider {
	t.Helper()
	m, err := saml.ParseMetadata([]byte(p.Metadata()))
	if err != nil {
		t.Fatal(err)
	}
	m.ValidUntil = now.Add(time.Hour)
	return &saml.Provider{ARN: "arn:aws:iam::111122223333:saml-provider/idp", ID: "SAMLSPEXAMPLE", Metadata: *m}
}

func claims() samltest.Claims {
	return samltest.Claims{Now: now, Attributes: []samltest.Attribute{{Name: "n", Values: []string{"one", "two"}}}}
}

// signings are the ways in which a response may be signed.
var signings = map[string]func(p *samltest.Provider, c samltest.Claims) string{
	"assertion": func(p *samltest.Provider, c samltest.Claims) string {
		return p.Response(p.Sign(p.Assertion(c), samltest.Signing{ID: samltest.AssertionID}))
	},
	"response": func(p *samltest.Provider, c samltest.Claims) string {
		return p.Sign(p.Response(p.Assertion(c)), samltest.Signing{ID: samltest.ResponseID})
	},
	"both": func(p *samltest.Provider, c samltest.Claims) string {
		return p.Sign(p.Response(p.Sign(p.Assertion(c), samltest.Signing{ID: samltest.AssertionID})), samltest.Signing{ID: samltest.ResponseID})
	},
}

func TestVerify(t *testing.T) {
	for kind, p := range map[string]*samltest.Provider{"ECDSA": samltest.New(t, entity, now), "RSA": samltest.NewRSA(t, entity, now)} {
		for signing, sign := range signings {
			t.Run(kind+" "+signing, func(t *testing.T) {
				c := claims()
				c.SessionEnds = now.Add(2 * time.Hour)
				a, err := verifier().Verify(registered(t, p), samltest.Encode(sign(p, c)))
				if err != nil {
					t.Fatal(err)
				}
				if a.ID != samltest.AssertionID || a.Issuer != entity || a.Subject != "alice" || a.SubjectFormat != "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent" ||
					a.Recipient != "https://signin.aws.amazon.com/saml" || a.SessionLeft != 2*time.Hour || !slices.Equal(a.Attributes["n"], []string{"one", "two"}) || len(a.Attributes) != 1 {
					t.Errorf("%+v", a)
				}
			})
		}
	}
}

// TestSpellings: what the canonical form evens out makes no difference.
func TestSpellings(t *testing.T) {
	p := samltest.New(t, entity, now)
	good := signings["both"](p, claims())
	for name, spell := range map[string]func(string) string{
		"a declaration":       func(s string) string { return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" + s + "\n" },
		"line ends":           func(s string) string { return strings.ReplaceAll(s, `" Version=`, "\"\r\n\tVersion=") },
		"empty elements":      func(s string) string { return strings.ReplaceAll(s, "></ds:DigestMethod>", "/>") },
		"quotes":              func(s string) string { return strings.ReplaceAll(s, `Version="2.0"`, `Version='2.0'`) },
		"order of attributes": func(s string) string { return strings.ReplaceAll(s, ` Version="2.0">`, `>`) },
		"references":          func(s string) string { return strings.ReplaceAll(s, ">alice<", ">&#97;lic&#x65;<") },
		"CDATA":               func(s string) string { return strings.ReplaceAll(s, ">alice<", "><![CDATA[alice]]><") },
		"unused namespaces": func(s string) string {
			return strings.Replace(s, "<samlp:Response ", `<samlp:Response xmlns:un="urn:used" `, 1)
		},
		"namespaces from above":  func(s string) string { return hoist(s) },
		"lines in the signature": func(s string) string { return strings.Replace(s, "</ds:SignatureValue>", "\n</ds:SignatureValue>", 1) },
	} {
		t.Run(name, func(t *testing.T) {
			spelt := spell(good)
			if name == "order of attributes" {
				spelt = strings.NewReplacer("<saml:Assertion ", `<saml:Assertion Version="2.0" `, "<samlp:Response ", `<samlp:Response Version="2.0" `).Replace(spelt)
			}
			if spelt == good {
				t.Fatal("nothing is spelt otherwise")
			}
			if a, err := verifier().Verify(registered(t, p), samltest.Encode(spelt)); err != nil || a.Subject != "alice" {
				t.Error(err)
			}
		})
	}
	lines := base64.StdEncoding.EncodeToString([]byte(good))
	if _, err := verifier().Verify(registered(t, p), lines[:76]+"\r\n"+lines[76:]); err != nil {
		t.Errorf("base64 in lines: %v", err)
	}
}

// TestLargeResponse: whoever may have very many roles is let in.
func TestLargeResponse(t *testing.T) {
	p := samltest.New(t, entity, now)
	c := claims()
	for i := range 500 {
		role := fmt.Sprintf("arn:aws:iam::111122223333:role/team-%03d,arn:aws:iam::111122223333:saml-provider/idp", i)
		c.Attributes[0].Values = append(c.Attributes[0].Values, role)
	}
	response := p.Good(c)
	if a, err := verifier().Verify(registered(t, p), response); err != nil || len(a.Attributes["n"]) != 502 || len(response) < 80_000 {
		t.Errorf("%d characters: %v", len(response), err)
	}
}

// hoist declares the namespaces at the root alone.
func hoist(s string) string {
	declarations := ""
	for _, d := range []string{` xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"`, ` xmlns:ds="http://www.w3.org/2000/09/xmldsig#"`} {
		s = strings.ReplaceAll(s, d, "")
		declarations += d
	}
	return strings.Replace(s, "<samlp:Response ", "<samlp:Response"+declarations+" ", 1)
}

// TestInclusiveNamespaces: prefixes that values name are kept in the canonical form when
// the signature says so.
func TestInclusiveNamespaces(t *testing.T) {
	p := samltest.New(t, entity, now)
	const declared = `xmlns:xs="http://www.w3.org/2001/XMLSchema"`
	assertion := strings.Replace(p.Assertion(claims()), "<saml:Assertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ",
		"<saml:Assertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" "+declared+" ", 1)
	text := p.Response(p.Sign(assertion, samltest.Signing{ID: samltest.AssertionID, Edit: func(info string) string {
		return strings.Replace(info, `xml-exc-c14n#"></ds:Transform>`,
			`xml-exc-c14n#"><ec:InclusiveNamespaces xmlns:ec="http://www.w3.org/2001/10/xml-exc-c14n#" PrefixList="xs"></ec:InclusiveNamespaces></ds:Transform>`, 1)
	}}))
	// It makes no difference where the prefix is declared, as long as it is in scope.
	above := strings.Replace(strings.Replace(text, " "+declared, "", 1), "<samlp:Response ", "<samlp:Response "+declared+" ", 1)
	for _, document := range []string{text, above} {
		if _, err := verifier().Verify(registered(t, p), samltest.Encode(document)); err != nil {
			t.Error(err)
		}
	}
	none := strings.Replace(text, " "+declared, "", 1)
	if _, err := verifier().Verify(registered(t, p), samltest.Encode(none)); !errors.Is(err, saml.ErrSignature) {
		t.Errorf("without the prefix: %v", err)
	}
}

// TestMeantForUs: who it is by, for whom, and when.
func TestMeantForUs(t *testing.T) {
	p := samltest.New(t, entity, now)
	stamp := func(d time.Duration) string { return now.Add(d).UTC().Format(time.RFC3339) }
	replace := func(old, with string) func(string) string {
		return func(s string) string { return strings.Replace(s, old, with, 1) }
	}
	subject := func(text string) func(string) string {
		return func(s string) string {
			from, to := strings.Index(s, "<saml:Subject>"), strings.Index(s, "</saml:Subject>")
			return s[:from] + text + s[to+len("</saml:Subject>"):]
		}
	}
	soon := now.Add(5 * time.Minute).UTC().Format("2006-01-02T15:04:05.000Z")
	issued := `IssueInstant="` + now.UTC().Format("2006-01-02T15:04:05.000Z")
	tests := map[string]struct {
		claims    samltest.Claims
		edit      func(assertion string) string
		audiences []string
		want      error
	}{
		"good":                          {},
		"another issuer":                {edit: replace("<saml:Issuer>"+entity, "<saml:Issuer>https://other.example.com"), want: saml.ErrIssuer},
		"no issuer":                     {edit: replace(entity, ""), want: saml.ErrIssuer},
		"issued in a moment":            {claims: samltest.Claims{Now: now.Add(50 * time.Second)}},
		"issued in a while":             {claims: samltest.Claims{Now: now.Add(70 * time.Second)}, want: saml.ErrEarly},
		"issued 5 minutes ago":          {edit: replace(issued, `IssueInstant="`+stamp(-5*time.Minute))},
		"issued longer ago":             {edit: replace(issued, `IssueInstant="`+stamp(-5*time.Minute-time.Second)), want: saml.ErrOld},
		"issued at no time":             {edit: replace(issued, `IssueInstant="`+"yesterday"), want: saml.ErrMalformed},
		"issued at a local time":        {edit: replace(issued+`"`, `IssueInstant="2026-01-01T00:00:00"`), want: saml.ErrMalformed},
		"conditions that are over":      {edit: replace(`NotOnOrAfter="`+soon+`"><saml:Aud`, `NotOnOrAfter="`+stamp(-time.Minute)+`"><saml:Aud`), want: saml.ErrExpired},
		"conditions just over":          {edit: replace(`NotOnOrAfter="`+soon+`"><saml:Aud`, `NotOnOrAfter="`+stamp(-50*time.Second)+`"><saml:Aud`)},
		"conditions to come":            {edit: replace(`NotBefore="`+strings.TrimPrefix(issued, `IssueInstant="`), `NotBefore="2100-01-01T00:00:00Z`), want: saml.ErrEarly},
		"a confirmation that is over":   {edit: replace(`NotOnOrAfter="`+soon+`" Rec`, `NotOnOrAfter="`+stamp(-time.Minute)+`" Rec`), want: saml.ErrExpired},
		"a confirmation to come":        {edit: replace(`Data NotOnOrAfter=`, `Data NotBefore="2100-01-01T00:00:00Z" NotOnOrAfter=`), want: saml.ErrEarly},
		"a confirmation for ever":       {edit: replace(`NotOnOrAfter="`+soon+`" Rec`, `Rec`), want: saml.ErrMalformed},
		"no recipient":                  {edit: replace(` Recipient="https://signin.aws.amazon.com/saml"`, ""), want: saml.ErrMalformed},
		"another recipient":             {claims: samltest.Claims{Recipient: "https://kms.example.com/saml"}, want: saml.ErrRecipient},
		"a Region's recipient":          {claims: samltest.Claims{Recipient: "https://eu-west-1.signin.aws.amazon.com/saml"}},
		"the provider's recipient":      {claims: samltest.Claims{Recipient: "https://signin.aws.amazon.com/saml/acs/SAMLSPEXAMPLE"}},
		"another provider's recipient":  {claims: samltest.Claims{Recipient: "https://signin.aws.amazon.com/saml/acs/SAMLSPOTHER"}, want: saml.ErrRecipient},
		"another partition's recipient": {claims: samltest.Claims{Recipient: "https://signin.amazonaws.cn/saml"}, want: saml.ErrRecipient},
		"a recipient that looks alike":  {claims: samltest.Claims{Recipient: "https://evil.example.com/signin.aws.amazon.com/saml"}, want: saml.ErrRecipient},
		"a recipient before it":         {claims: samltest.Claims{Recipient: "https://evilsignin.aws.amazon.com/saml"}, want: saml.ErrRecipient},
		"a recipient in the clear":      {claims: samltest.Claims{Recipient: "http://signin.aws.amazon.com/saml"}, want: saml.ErrRecipient},
		"the endpoint as audience":      {claims: samltest.Claims{Audience: "https://signin.aws.amazon.com/saml"}},
		"another audience":              {claims: samltest.Claims{Audience: "https://app.example.com"}, want: saml.ErrAudience},
		"a partition's audience":        {claims: samltest.Claims{Audience: "urn:amazon:webservices:govcloud"}, want: saml.ErrAudience},
		"one audience of two":           {edit: replace("<saml:Audience>", "<saml:Audience>other</saml:Audience><saml:Audience>")},
		"two restrictions":              {edit: replace("<saml:AudienceRestriction>", "<saml:AudienceRestriction><saml:Audience>other</saml:Audience></saml:AudienceRestriction><saml:AudienceRestriction>"), want: saml.ErrAudience},
		"no restriction": {edit: func(s string) string {
			from, to := strings.Index(s, "<saml:AudienceRestriction>"), strings.Index(s, "</saml:Conditions>")
			return s[:from] + s[to:]
		}, want: saml.ErrAudience},
		"no conditions": {edit: func(s string) string {
			from, to := strings.Index(s, "<saml:Conditions"), strings.Index(s, "<saml:AuthnStatement")
			return s[:from] + s[to:]
		}, want: saml.ErrAudience},
		"a condition of another kind": {edit: replace("</saml:Conditions>", "<x:Moon xmlns:x=\"urn:x\"></x:Moon></saml:Conditions>"), want: saml.ErrMalformed},
		"conditions that do not bind": {edit: replace("</saml:Conditions>", "<saml:OneTimeUse></saml:OneTimeUse></saml:Conditions>")},
		"no subject":                  {edit: subject(""), want: saml.ErrSubject},
		"no name":                     {edit: subject("<saml:Subject></saml:Subject>"), want: saml.ErrSubject},
		"an empty name":               {edit: replace(">alice<", "> <"), want: saml.ErrSubject},
		"two names":                   {edit: replace("<saml:NameID", "<saml:NameID>bob</saml:NameID><saml:NameID"), want: saml.ErrMalformed},
		"a long name":                 {claims: samltest.Claims{Subject: strings.Repeat("a", 257)}, want: saml.ErrMalformed},
		"a name with parts":           {edit: replace(">alice<", ">alice<saml:b></saml:b><"), want: saml.ErrMalformed},
		"a holder of a key":           {edit: replace("cm:bearer", "cm:holder-of-key"), want: saml.ErrMalformed},
		"two confirmations": {edit: replace("<saml:SubjectConfirmation ", "<saml:SubjectConfirmation></saml:SubjectConfirmation><saml:SubjectConfirmation "),
			want: saml.ErrMalformed},
		"a session that is over": {claims: samltest.Claims{SessionEnds: now}, want: saml.ErrExpired},
		"SAML 1.1":               {edit: replace(`Version="2.0"`, `Version="1.1"`), want: saml.ErrMalformed},
		"our own audience": {claims: samltest.Claims{Audience: "urn:ours", Recipient: "https://kms.example.com/saml"},
			audiences: []string{"urn:ours", "https://kms.example.com/saml"}},
		"AWS's where there is our own": {audiences: []string{"urn:ours", "https://signin.aws.amazon.com/saml"}, want: saml.ErrAudience},
		"AWS's recipient where there is our own": {claims: samltest.Claims{Audience: "urn:ours"},
			audiences: []string{"urn:ours", "https://kms.example.com/saml"}, want: saml.ErrRecipient},
	}
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		t.Run(name, func(t *testing.T) {
			test := tests[name]
			if test.claims.Now.IsZero() {
				test.claims.Now = now
			}
			assertion := p.Assertion(test.claims)
			if test.edit != nil {
				edited := test.edit(assertion)
				if edited == assertion {
					t.Fatal("nothing was edited")
				}
				assertion = edited
			}
			for _, document := range []string{
				p.Response(p.Sign(assertion, samltest.Signing{ID: samltest.AssertionID})),
				p.Sign(p.Response(assertion), samltest.Signing{ID: samltest.ResponseID}),
			} {
				_, err := verifier(test.audiences...).Verify(registered(t, p), samltest.Encode(document))
				if !errors.Is(err, test.want) {
					t.Errorf("got %v, want %v", err, test.want)
				}
			}
		})
	}
}
