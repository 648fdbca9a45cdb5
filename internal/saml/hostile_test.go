package saml_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/saml"
	"github.com/strongroom/strongroom/internal/saml/samltest"
)

// parts of a good response whose assertion is signed, and of one that is signed itself.
type parts struct {
	assertion, signed, signature string // the assertion without and with its signature
	response, responseSignature  string // the response without, and its signature
}

func partsOf(p *samltest.Provider) parts {
	c := claims()
	var x parts
	x.assertion = p.Assertion(c)
	x.signature = p.Signature(x.assertion, samltest.Signing{ID: samltest.AssertionID})
	x.signed = behindIssuer(x.assertion, x.signature)
	x.response = p.Response(x.assertion)
	x.responseSignature = p.Signature(x.response, samltest.Signing{ID: samltest.ResponseID})
	return x
}

func behindIssuer(element, signature string) string {
	return strings.Replace(element, "</saml:Issuer>", "</saml:Issuer>"+signature, 1)
}

// evil makes another subject of an element, under another ID unless it keeps its own.
func evil(element string, keepID bool) string {
	element = strings.ReplaceAll(element, ">alice<", ">mallory<")
	if !keepID {
		element = strings.NewReplacer(`ID="_`, `ID="_evil`).Replace(element)
	}
	return element
}

// within puts an element at the end of another.
func within(outer, inner string) string {
	at := strings.LastIndex(outer, "</")
	return outer[:at] + inner + outer[at:]
}

// wrappings are the eight forms of signature wrapping that are known by number (Somorovsky
// et al., "On Breaking SAML", 2012, as the tools that try them have them).
var wrappings = map[string]func(p *samltest.Provider, x parts, keepID bool) string{
	"XSW1": func(_ *samltest.Provider, x parts, keepID bool) string {
		return behindIssuer(evil(x.response, keepID), within(x.responseSignature, x.response))
	},
	"XSW2": func(_ *samltest.Provider, x parts, keepID bool) string {
		return behindIssuer(evil(x.response, keepID), x.response+x.responseSignature)
	},
	"XSW3": func(p *samltest.Provider, x parts, keepID bool) string {
		return p.Response(evil(x.assertion, keepID) + x.signed)
	},
	"XSW4": func(p *samltest.Provider, x parts, keepID bool) string {
		return p.Response(within(evil(x.assertion, keepID), x.signed))
	},
	"XSW5": func(p *samltest.Provider, x parts, keepID bool) string {
		return p.Response(evil(x.signed, keepID) + x.assertion)
	},
	"XSW6": func(p *samltest.Provider, x parts, keepID bool) string {
		return p.Response(behindIssuer(evil(x.assertion, keepID), within(x.signature, x.assertion)))
	},
	"XSW7": func(p *samltest.Provider, x parts, keepID bool) string {
		return p.Response(`<samlp:Extensions>` + evil(x.assertion, keepID) + `</samlp:Extensions>` + x.signed)
	},
	"XSW8": func(p *samltest.Provider, x parts, keepID bool) string {
		return p.Response(behindIssuer(evil(x.assertion, keepID), within(x.signature, `<ds:Object>`+x.assertion+`</ds:Object>`)))
	},
	"the signed one in Advice": func(p *samltest.Provider, x parts, keepID bool) string {
		return p.Response(within(evil(x.assertion, keepID), `<saml:Advice>`+x.signed+`</saml:Advice>`))
	},
	"the signature moved to the response": func(p *samltest.Provider, x parts, _ bool) string {
		return behindIssuer(p.Response(x.assertion), x.signature)
	},
	"the response's in the assertion": func(p *samltest.Provider, x parts, _ bool) string {
		return p.Response(behindIssuer(x.assertion, x.responseSignature))
	},
	"a signed response in another's status": func(p *samltest.Provider, x parts, keepID bool) string {
		return strings.Replace(evil(x.response, keepID), "<samlp:Status>", "<samlp:Status>"+behindIssuer(x.response, x.responseSignature), 1)
	},
	"two signatures": func(p *samltest.Provider, x parts, keepID bool) string {
		return p.Response(behindIssuer(evil(x.assertion, keepID), x.signature+x.signature))
	},
}

func TestSignatureWrapping(t *testing.T) {
	p := samltest.New(t, entity, now)
	provider, x := registered(t, p), partsOf(p)
	for _, good := range []string{p.Response(x.signed), behindIssuer(x.response, x.responseSignature)} {
		if _, err := verifier().Verify(provider, samltest.Encode(good)); err != nil {
			t.Fatalf("unchanged: %v", err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(wrappings)) {
		for _, keepID := range []bool{false, true} {
			a, err := verifier().Verify(provider, samltest.Encode(wrappings[name](p, x, keepID)))
			if !errors.Is(err, saml.ErrMalformed) && !errors.Is(err, saml.ErrSignature) {
				t.Errorf("%s, same ID %v: %v, %v", name, keepID, a, err)
			}
		}
	}
}

func TestHostileDocuments(t *testing.T) {
	p := samltest.New(t, entity, now)
	stranger := samltest.New(t, entity, now)
	x := partsOf(p)
	good := p.Response(x.signed)
	replace := func(old, with string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("there is no %q", old)
		}
		return strings.Replace(good, old, with, 1)
	}
	// sign is a response with an assertion that is signed in another way.
	sign := func(s samltest.Signing) string {
		if s.ID == "" {
			s.ID = samltest.AssertionID
		}
		return p.Response(p.Sign(x.assertion, s))
	}
	edit := func(old, with string) string {
		return sign(samltest.Signing{Edit: func(info string) string {
			if !strings.Contains(info, old) {
				t.Fatalf("there is no %q", old)
			}
			return strings.Replace(info, old, with, 1)
		}})
	}
	hash := func(sum func([]byte) [20]byte) func([]byte) []byte {
		return func(b []byte) []byte { s := sum(b); return s[:] }
	}
	secret := p.Certificate.RawSubjectPublicKeyInfo
	info := x.signature[strings.Index(x.signature, "<ds:SignedInfo>"):strings.Index(x.signature, "<ds:SignatureValue>")]
	wide := strings.Repeat(" a:b='c'", 40)
	tests := map[string]struct {
		document string
		want     error
	}{
		"nothing":                   {"", saml.ErrMalformed},
		"no XML":                    {"hello", saml.ErrMalformed},
		"an open element":           {good[:len(good)-1], saml.ErrMalformed},
		"two roots":                 {good + good, saml.ErrMalformed},
		"text behind it":            {good + "x", saml.ErrMalformed},
		"a byte order mark":         {"\ufeff" + good, saml.ErrMalformed},
		"bad UTF-8":                 {replace(">alice<", ">al\xffice<"), saml.ErrMalformed},
		"UTF-16":                    {"\xfe\xff\x00<\x00a\x00/\x00>", saml.ErrMalformed},
		"another encoding":          {`<?xml version="1.0" encoding="ISO-8859-1"?>` + good, saml.ErrMalformed},
		"a control character":       {replace(">alice<", ">alice&#0;<"), saml.ErrMalformed},
		"a DTD":                     {`<!DOCTYPE samlp:Response>` + good, saml.ErrMalformed},
		"an entity":                 {`<!DOCTYPE r [<!ENTITY e "mallory">]>` + replace(">alice<", ">&e;<"), saml.ErrMalformed},
		"an unknown entity":         {replace(">alice<", ">&e;<"), saml.ErrMalformed},
		"an external entity":        {`<!DOCTYPE r [<!ENTITY e SYSTEM "file:///etc/passwd">]>` + replace(">alice<", ">&e;<"), saml.ErrMalformed},
		"entity expansion":          {laughs() + replace(">alice<", ">&l9;<"), saml.ErrMalformed},
		"a stylesheet":              {`<?xml-stylesheet href="http://example.com/x.xsl"?>` + good, saml.ErrMalformed},
		"a processing instruction":  {replace(">alice<", ">ali<?x?>ce<"), saml.ErrMalformed},
		"a comment in a name":       {replace(">alice<", ">alice<!---->.evil.example.com<"), saml.ErrMalformed},
		"a comment before it":       {"<!-- -->" + good, saml.ErrMalformed},
		"a comment in a digest":     {replace("<ds:DigestValue>", "<ds:DigestValue><!-- x -->"), saml.ErrMalformed},
		"deep nesting":              {strings.Repeat("<a>", 20_000) + strings.Repeat("</a>", 2_000), saml.ErrMalformed},
		"many elements":             {"<a>" + strings.Repeat("<b/>", 17_000) + "</a>", saml.ErrMalformed},
		"many attributes":           {"<a xmlns:a='urn:a'" + wide + "/>", saml.ErrMalformed},
		"many prefixes":             {"<a>" + strings.Repeat("<b/>", 10) + prefixes(100) + "</a>", saml.ErrMalformed},
		"an attribute twice":        {replace(` ID="_assertion"`, ` ID="_assertion" ID="_assertion"`), saml.ErrMalformed},
		"a name with two colons":    {replace("<saml:Conditions ", "<saml:x:Conditions "), saml.ErrMalformed},
		"a name with a bare colon":  {replace("<samlp:Status>", "<:Status>"), saml.ErrMalformed},
		"xmlns for a prefix":        {replace("<samlp:Status>", "<samlp:Status xmlns:xmlns='urn:x'>"), saml.ErrMalformed},
		"another xml":               {replace("<samlp:Status>", "<samlp:Status xmlns:xml='urn:x'>"), saml.ErrMalformed},
		"an unbound prefix":         {replace(">alice<", "><x:a/>alice<"), saml.ErrMalformed},
		"prefixes redefined within": {replace("<saml:Subject>", `<saml:Subject xmlns:saml="urn:evil">`), saml.ErrSignature},
		"a prefix for another":      {replace(`xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"`, `xmlns:samlp="urn:evil"`), saml.ErrMalformed},

		"no signature":                  {p.Response(x.assertion), saml.ErrSignature},
		"another subject":               {replace(">alice<", ">mallory<"), saml.ErrSignature},
		"an empty signature":            {replace(x.signature, "<ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"></ds:Signature>"), saml.ErrMalformed},
		"an empty signature value":      {sign(samltest.Signing{Value: func(string) string { return "" }}), saml.ErrMalformed},
		"a signature value of zeros":    {sign(samltest.Signing{Value: func(v string) string { return base64.StdEncoding.EncodeToString(make([]byte, 64)) }}), saml.ErrSignature},
		"a cut signature value":         {sign(samltest.Signing{Value: func(v string) string { return v[:40] }}), saml.ErrSignature},
		"a signature value that is not": {sign(samltest.Signing{Value: func(v string) string { return "!" + v }}), saml.ErrMalformed},
		"two signed infos":              {replace("<ds:SignatureValue>", info+"<ds:SignatureValue>"), saml.ErrMalformed},
		"an object":                     {replace("</ds:Signature>", "<ds:Object></ds:Object></ds:Signature>"), saml.ErrMalformed},
		"a stranger's key":              {sign(samltest.Signing{Key: stranger.Key, KeyInfo: samltest.KeyInfo(stranger.Certificate)}), saml.ErrSignature},
		"a stranger's key, named ours":  {sign(samltest.Signing{Key: stranger.Key, KeyInfo: samltest.KeyInfo(p.Certificate)}), saml.ErrSignature},
		"an empty digest":               {edit(digestIn(x.signature), ""), saml.ErrMalformed},
		"another digest":                {edit(digestIn(x.signature), base64.StdEncoding.EncodeToString(make([]byte, 32))), saml.ErrSignature},
		"a long signed info":            {replace("<ds:Transforms>", "<ds:Transforms>"+strings.Repeat("<ds:Transform/>", 1_000)), saml.ErrMalformed},
		"no reference":                  {edit("<ds:Reference URI=\"#_assertion\">", "<ds:Reference>"), saml.ErrMalformed},
		"a reference to all":            {sign(samltest.Signing{URI: " "}), saml.ErrMalformed},
		"a reference to the response":   {sign(samltest.Signing{ID: samltest.ResponseID}), saml.ErrMalformed},
		"a reference by XPointer":       {sign(samltest.Signing{URI: "#xpointer(id('_assertion'))"}), saml.ErrMalformed},
		"a reference to elsewhere":      {sign(samltest.Signing{URI: "http://example.com/a.xml"}), saml.ErrMalformed},
		"two references": {edit("</ds:Reference>", "</ds:Reference>"+info[strings.Index(info, "<ds:Reference"):strings.Index(info, "</ds:SignedInfo>")]),
			saml.ErrMalformed},
		"the response by that ID": {strings.Replace(good, `ID="_response"`, `ID="_assertion"`, 1), saml.ErrMalformed},
		"no ID":                   {replace(` ID="_assertion"`, ""), saml.ErrMalformed},

		"no transforms":             {sign(samltest.Signing{Transforms: []string{}}), saml.ErrMalformed},
		"the enveloped one alone":   {sign(samltest.Signing{Transforms: []string{samltest.Enveloped}}), saml.ErrMalformed},
		"the canonical one alone":   {sign(samltest.Signing{Transforms: []string{samltest.ExcC14N}}), saml.ErrMalformed},
		"transforms turned round":   {sign(samltest.Signing{Transforms: []string{samltest.ExcC14N, samltest.Enveloped}}), saml.ErrMalformed},
		"three transforms":          {sign(samltest.Signing{Transforms: []string{samltest.Enveloped, samltest.ExcC14N, samltest.ExcC14N}}), saml.ErrMalformed},
		"XPath":                     {sign(samltest.Signing{Transforms: []string{samltest.Enveloped, "http://www.w3.org/TR/1999/REC-xpath-19991116"}}), saml.ErrMalformed},
		"XSLT":                      {sign(samltest.Signing{Transforms: []string{samltest.Enveloped, "http://www.w3.org/TR/1999/REC-xslt-19991116"}}), saml.ErrMalformed},
		"base64":                    {sign(samltest.Signing{Transforms: []string{samltest.Enveloped, "http://www.w3.org/2000/09/xmldsig#base64"}}), saml.ErrMalformed},
		"inclusive form":            {sign(samltest.Signing{Transforms: []string{samltest.Enveloped, "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"}}), saml.ErrMalformed},
		"canonical form + comments": {sign(samltest.Signing{Transforms: []string{samltest.Enveloped, samltest.ExcC14N + "WithComments"}}), saml.ErrMalformed},
		"inclusive signed info":     {sign(samltest.Signing{Canonicalization: "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"}), saml.ErrMalformed},
		"signed info + comments":    {sign(samltest.Signing{Canonicalization: samltest.ExcC14N + "WithComments"}), saml.ErrMalformed},

		"a digest of SHA-1":      {sign(samltest.Signing{Digest: "http://www.w3.org/2000/09/xmldsig#sha1", Hash: hash(sha1.Sum)}), saml.ErrMalformed},
		"a digest of MD5":        {sign(samltest.Signing{Digest: "http://www.w3.org/2001/04/xmldsig-more#md5"}), saml.ErrMalformed},
		"a digest of no kind":    {sign(samltest.Signing{Digest: "none"}), saml.ErrMalformed},
		"a signature with SHA-1": {sign(samltest.Signing{Method: "http://www.w3.org/2000/09/xmldsig#rsa-sha1"}), saml.ErrMalformed},
		"a signature with MD5":   {sign(samltest.Signing{Method: "http://www.w3.org/2001/04/xmldsig-more#rsa-md5"}), saml.ErrMalformed},
		"DSA":                    {sign(samltest.Signing{Method: "http://www.w3.org/2000/09/xmldsig#dsa-sha1"}), saml.ErrMalformed},
		"RSA's name":             {sign(samltest.Signing{Method: samltest.RSASHA256}), saml.ErrSignature},
		"a method's parameters": {edit(samltest.ECDSASHA256+`">`, samltest.ECDSASHA256+`"><ds:HMACOutputLength>0</ds:HMACOutputLength>`),
			saml.ErrMalformed},
		"a MAC under the public key": {sign(samltest.Signing{Method: "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256", Value: func(string) string {
			mac := hmac.New(sha256.New, secret)
			mac.Write([]byte(info))
			return base64.StdEncoding.EncodeToString(mac.Sum(nil))
		}}), saml.ErrMalformed},

		"an encrypted assertion": {p.Response(`<saml:EncryptedAssertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"></saml:EncryptedAssertion>`), saml.ErrMalformed},
		"no assertion":           {p.Sign(p.Response(""), samltest.Signing{ID: samltest.ResponseID}), saml.ErrMalformed},
		"an assertion alone":     {x.signed, saml.ErrMalformed},
		"two signed assertions":  {p.Response(x.signed + strings.ReplaceAll(x.signed, "_assertion", "_other")), saml.ErrMalformed},
		"no success":             {replace("status:Success", "status:Responder"), saml.ErrStatus},
		"no status":              {strings.ReplaceAll(good, "samlp:Status", "samlp:State"), saml.ErrMalformed},
		"another destination":    {replace(`ID="_response"`, `Destination="https://kms.example.com/saml" ID="_response"`), saml.ErrRecipient},
		"another response's issuer": {strings.Replace(good, `assertion">`+entity, `assertion">https://other.example.com`, 1),
			saml.ErrIssuer},
	}
	provider := registered(t, p)
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		test := tests[name]
		a, err := verifier().Verify(provider, samltest.Encode(test.document))
		if !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, %v; want %v", name, a, err, test.want)
		}
		var why *saml.MalformedError
		if errors.As(err, &why) && (strings.Contains(why.Reason, "mallory") || len(why.Reason) > 200) {
			t.Errorf("%s: the reason is what was sent: %s", name, why.Reason)
		}
	}
}

// laughs declares entities that expand to a billion.
func laughs() string {
	s := `<!DOCTYPE r [<!ENTITY l0 "ha">`
	for i := range 9 {
		s += `<!ENTITY l` + string(rune('1'+i)) + ` "` + strings.Repeat(`&l`+string(rune('0'+i))+`;`, 10) + `">`
	}
	return s + "]>"
}

func prefixes(n int) string {
	var s strings.Builder
	for i := range n {
		s.WriteString("<b xmlns:p" + string(rune('a'+i/26)) + string(rune('a'+i%26)) + "='urn:x'/>")
	}
	return s.String()
}

func digestIn(signature string) string {
	_, rest, _ := strings.Cut(signature, "<ds:DigestValue>")
	digest, _, _ := strings.Cut(rest, "<")
	return digest
}

func TestEncoding(t *testing.T) {
	p := samltest.New(t, entity, now)
	provider, good := registered(t, p), p.Good(claims())
	for name, encoded := range map[string]string{
		"not base64":        "!!!!",
		"cut":               good[:len(good)-1],
		"URL's alphabet":    strings.NewReplacer("+", "-", "/", "_").Replace(good) + "-_",
		"blanks":            good[:8] + " " + good[8:],
		"more than is sent": base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("a"), saml.MaxResponse)),
	} {
		if _, err := verifier().Verify(provider, encoded); !errors.Is(err, saml.ErrEncoding) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCertificates: a key is good for as long as its certificate is, and a provider for
// as long as its metadata are.
func TestCertificates(t *testing.T) {
	p := samltest.New(t, entity, now)
	for name, test := range map[string]struct {
		from, to time.Duration
		want     error
	}{
		"good": {-time.Hour, time.Hour, nil},
		"over": {-2 * time.Hour, -time.Hour, saml.ErrSignature},
		"soon": {time.Hour, 2 * time.Hour, saml.ErrSignature},
	} {
		p.Certify(now.Add(test.from), now.Add(test.to))
		if _, err := verifier().Verify(registered(t, p), p.Good(claims())); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p.Certify(now.Add(-time.Hour), now.Add(time.Hour))
	provider := registered(t, p)
	provider.ValidUntil = now
	if _, err := verifier().Verify(provider, p.Good(claims())); !errors.Is(err, saml.ErrProviderExpired) {
		t.Errorf("metadata that are over: %v", err)
	}
	// One of several keys is enough, whichever it is.
	other := samltest.New(t, entity, now)
	m, err := saml.ParseMetadata([]byte(other.Metadata(p.Certificate)))
	if err != nil {
		t.Fatal(err)
	}
	m.ValidUntil = now.Add(time.Hour)
	for _, signer := range []*samltest.Provider{p, other} {
		if _, err := verifier().Verify(&saml.Provider{Metadata: *m}, signer.Good(claims())); err != nil {
			t.Errorf("one of two keys: %v", err)
		}
	}
}

// TestEveryByte: a response that was changed in any one place is refused, or says the
// same as before.
func TestEveryByte(t *testing.T) {
	p := samltest.New(t, entity, now)
	provider, v := registered(t, p), verifier()
	good := []byte(p.Response(p.Sign(p.Assertion(claims()), samltest.Signing{ID: samltest.AssertionID})))
	want, err := v.Verify(provider, samltest.Encode(string(good)))
	if err != nil {
		t.Fatal(err)
	}
	accepted := 0
	check := func(at int, changed []byte) {
		a, err := v.Verify(provider, samltest.Encode(string(changed)))
		if err == nil {
			accepted++
			if !reflect.DeepEqual(a, want) {
				t.Errorf("changed at %d: %+v", at, a)
			}
		}
	}
	for at := range good {
		changed := bytes.Clone(good)
		if at%2 == 0 {
			changed[at] ^= 1
		} else {
			changed = slices.Delete(changed, at, at+1)
		}
		check(at, changed)
	}
	// What stands outside of the assertion is not signed.
	if accepted == 0 || accepted > len(good)-len(p.Assertion(claims())) {
		t.Errorf("%d of %d changes were accepted", accepted, len(good))
	}
}

// FuzzVerify: whatever is brought, nothing is believed but what the provider signed. Its
// key and the time are the same in every process that takes part.
func FuzzVerify(f *testing.F) {
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{7}, 32))
	if err != nil {
		f.Fatal(err)
	}
	before := now
	f.Cleanup(func() { now = before })
	now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	p := samltest.With(f, entity, key, now)
	provider, v, x := registered(f, p), verifier(), partsOf(p)
	for _, sign := range signings {
		f.Add([]byte(sign(p, claims())))
	}
	for _, wrap := range wrappings {
		f.Add([]byte(wrap(p, x, false)))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		a, err := v.Verify(provider, base64.StdEncoding.EncodeToString(document))
		if err == nil && (a.Subject != "alice" || a.Issuer != entity) {
			t.Fatalf("%+v from %q", a, document)
		}
	})
}
