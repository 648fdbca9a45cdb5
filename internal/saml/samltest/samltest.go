// Package samltest is a SAML 2.0 identity provider for tests: metadata, and responses
// signed as a test wants them.
//
// What it writes is in exclusive canonical form as it stands, so that signing needs no
// canonicalisation, and nothing of what is tested makes what it is tested with.
package samltest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"encoding/xml"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
)

// Provider is an identity provider.
type Provider struct {
	EntityID string
	// Now is when it issues what it issues, unless it is told.
	Now time.Time
	// Key signs; Certificate is its own.
	Key         crypto.Signer
	Certificate *x509.Certificate

	tb testing.TB
}

// New makes a provider with an ECDSA key, whose certificate is good for a day.
func New(tb testing.TB, entityID string, now time.Time) *Provider {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return With(tb, entityID, key, now)
}

// NewRSA makes a provider with an RSA key of 2,048 bits.
func NewRSA(tb testing.TB, entityID string, now time.Time) *Provider {
	tb.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2_048)
	if err != nil {
		tb.Fatal(err)
	}
	return With(tb, entityID, key, now)
}

// With makes a provider with a key, RSA or ECDSA.
func With(tb testing.TB, entityID string, key crypto.Signer, now time.Time) *Provider {
	tb.Helper()
	p := &Provider{EntityID: entityID, Now: now, Key: key, tb: tb}
	p.Certify(now.Add(-time.Hour), now.Add(24*time.Hour))
	return p
}

// Certify gives the provider's key a new certificate.
func (p *Provider) Certify(from, to time.Time) {
	p.tb.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "idp"}, NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, template, template, p.Key.Public(), p.Key)
	if err == nil {
		p.Certificate, err = x509.ParseCertificate(der)
	}
	if err != nil {
		p.tb.Fatal(err)
	}
}

// Metadata returns the provider's metadata, in at least the 1,000 characters that IAM
// wants; others are certificates beside its own.
func (p *Provider) Metadata(others ...*x509.Certificate) string {
	var keys strings.Builder
	for _, c := range append([]*x509.Certificate{p.Certificate}, others...) {
		keys.WriteString(`<md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data><ds:X509Certificate>` +
			base64.StdEncoding.EncodeToString(c.Raw) + `</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>`)
	}
	return `<?xml version="1.0" encoding="UTF-8"?>
<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="` + escape(p.EntityID) + `">
  <md:IDPSSODescriptor WantAuthnRequestsSigned="false" protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
    ` + keys.String() + `
    <md:NameIDFormat>urn:oasis:names:tc:SAML:2.0:nameid-format:persistent</md:NameIDFormat>
    <md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.example.com/sso"/>
    <md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://idp.example.com/sso"/>
  </md:IDPSSODescriptor>
</md:EntityDescriptor>
`
}

// KeyPEM is the provider's private key in PEM, for other programs that sign.
func (p *Provider) KeyPEM() []byte {
	p.tb.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(p.Key)
	if err != nil {
		p.tb.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// Attribute is an attribute with its values.
type Attribute struct {
	Name   string
	Values []string
}

// Claims are what an assertion says. Zero values stand for what makes a good one.
type Claims struct {
	Now       time.Time
	Subject   string // "alice"
	Format    string // persistent
	Audience  string // "urn:amazon:webservices"
	Recipient string // "https://signin.aws.amazon.com/saml"
	// SessionEnds is SessionNotOnOrAfter; none if zero.
	SessionEnds time.Time
	Attributes  []Attribute
}

// IDs of what the provider writes.
const (
	AssertionID = "_assertion"
	ResponseID  = "_response"
)

const persistent = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"

// Assertion returns an assertion that is not signed.
func (p *Provider) Assertion(c Claims) string {
	if c.Now.IsZero() {
		c.Now = p.Now
	}
	for value, usual := range map[*string]string{
		&c.Subject: "alice", &c.Format: persistent, &c.Audience: "urn:amazon:webservices", &c.Recipient: "https://signin.aws.amazon.com/saml",
	} {
		if *value == "" {
			*value = usual
		}
	}
	soon := stamp(c.Now.Add(5 * time.Minute))
	session := ""
	if !c.SessionEnds.IsZero() {
		session = ` SessionNotOnOrAfter="` + stamp(c.SessionEnds) + `"`
	}
	var attributes strings.Builder
	for _, a := range c.Attributes {
		attributes.WriteString(`<saml:Attribute Name="` + escape(a.Name) + `">`)
		for _, value := range a.Values {
			attributes.WriteString(`<saml:AttributeValue>` + escape(value) + `</saml:AttributeValue>`)
		}
		attributes.WriteString(`</saml:Attribute>`)
	}
	if attributes.Len() > 0 {
		attributes.WriteString(`</saml:AttributeStatement>`)
	}
	statement := strings.Replace(attributes.String(), `<saml:Attribute `, `<saml:AttributeStatement><saml:Attribute `, 1)
	return `<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="` + AssertionID + `" IssueInstant="` + stamp(c.Now) + `" Version="2.0">` +
		`<saml:Issuer>` + escape(p.EntityID) + `</saml:Issuer>` +
		`<saml:Subject><saml:NameID Format="` + escape(c.Format) + `">` + escape(c.Subject) + `</saml:NameID>` +
		`<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData NotOnOrAfter="` + soon +
		`" Recipient="` + escape(c.Recipient) + `"></saml:SubjectConfirmationData></saml:SubjectConfirmation></saml:Subject>` +
		`<saml:Conditions NotBefore="` + stamp(c.Now) + `" NotOnOrAfter="` + soon + `"><saml:AudienceRestriction><saml:Audience>` + escape(c.Audience) +
		`</saml:Audience></saml:AudienceRestriction></saml:Conditions>` +
		`<saml:AuthnStatement AuthnInstant="` + stamp(c.Now) + `"` + session + `><saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>` +
		statement + `</saml:Assertion>`
}

// Response returns a response that is not signed, with an assertion in it as it is.
func (p *Provider) Response(assertion string) string {
	return `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="` + ResponseID + `" IssueInstant="` + stamp(p.Now) + `" Version="2.0">` +
		`<saml:Issuer xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">` + escape(p.EntityID) + `</saml:Issuer>` +
		`<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"></samlp:StatusCode></samlp:Status>` +
		assertion + `</samlp:Response>`
}

// Signing is how a signature is made. Zero values stand for what makes a good one.
type Signing struct {
	// ID is what it refers to: the ID of an assertion or a response.
	ID string
	// URI refers to it; "#" and ID if empty.
	URI string
	// Algorithms, by their URIs.
	Canonicalization, Method, Digest string
	Transforms                       []string
	// Hash makes the digest; SHA-256 if nil.
	Hash func([]byte) []byte
	// Key signs; the provider's if nil. KeyInfo is put into the signature as it is.
	Key     crypto.Signer
	KeyInfo string
	// Edit changes the SignedInfo before it is signed, Value the signature's value.
	Edit  func(signedInfo string) string
	Value func(base64 string) string
}

// Algorithms of signatures.
const (
	ExcC14N     = "http://www.w3.org/2001/10/xml-exc-c14n#"
	Enveloped   = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
	SHA256      = "http://www.w3.org/2001/04/xmlenc#sha256"
	RSASHA256   = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
	ECDSASHA256 = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"
)

// Sign returns an element, as Assertion and Response write it, with a signature behind
// its Issuer.
func (p *Provider) Sign(element string, s Signing) string {
	p.tb.Helper()
	signature := p.Signature(element, s)
	const issuer = "</saml:Issuer>"
	at := strings.Index(element, issuer) + len(issuer)
	return element[:at] + signature + element[at:]
}

// Signature returns a signature of an element that is in canonical form.
func (p *Provider) Signature(element string, s Signing) string {
	p.tb.Helper()
	if s.Key == nil {
		s.Key = p.Key
	}
	method := RSASHA256
	if _, ec := s.Key.(*ecdsa.PrivateKey); ec {
		method = ECDSASHA256
	}
	for value, usual := range map[*string]string{&s.URI: "#" + s.ID, &s.Canonicalization: ExcC14N, &s.Method: method, &s.Digest: SHA256} {
		if *value == "" {
			*value = usual
		}
	}
	if s.Transforms == nil {
		s.Transforms = []string{Enveloped, ExcC14N}
	}
	if s.Hash == nil {
		s.Hash = func(b []byte) []byte { sum := sha256.Sum256(b); return sum[:] }
	}
	var transforms strings.Builder
	for _, t := range s.Transforms {
		transforms.WriteString(`<ds:Transform Algorithm="` + t + `"></ds:Transform>`)
	}
	info := `<ds:SignedInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:CanonicalizationMethod Algorithm="` + s.Canonicalization + `"></ds:CanonicalizationMethod>` +
		`<ds:SignatureMethod Algorithm="` + s.Method + `"></ds:SignatureMethod><ds:Reference URI="` + s.URI + `"><ds:Transforms>` + transforms.String() + `</ds:Transforms>` +
		`<ds:DigestMethod Algorithm="` + s.Digest + `"></ds:DigestMethod><ds:DigestValue>` + base64.StdEncoding.EncodeToString(s.Hash([]byte(element))) + `</ds:DigestValue></ds:Reference></ds:SignedInfo>`
	if s.Edit != nil {
		info = s.Edit(info)
	}
	value := base64.StdEncoding.EncodeToString(p.sign([]byte(info), s.Key))
	if s.Value != nil {
		value = s.Value(value)
	}
	// In the document the prefix is declared by the Signature.
	info = strings.Replace(info, ` xmlns:ds="http://www.w3.org/2000/09/xmldsig#"`, "", 1)
	return `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#">` + info + `<ds:SignatureValue>` + value + `</ds:SignatureValue>` + s.KeyInfo + `</ds:Signature>`
}

func (p *Provider) sign(data []byte, key crypto.Signer) []byte {
	p.tb.Helper()
	sum := sha256.Sum256(data)
	if ec, ok := key.(*ecdsa.PrivateKey); ok {
		r, s, err := ecdsa.Sign(rand.Reader, ec, sum[:])
		if err != nil {
			p.tb.Fatal(err)
		}
		size := (ec.Curve.Params().BitSize + 7) / 8
		return slices.Concat(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size)))
	}
	signature, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		p.tb.Fatal(err)
	}
	return signature
}

// KeyInfo names a certificate in a signature.
func KeyInfo(c *x509.Certificate) string {
	return `<ds:KeyInfo><ds:X509Data><ds:X509Certificate>` + base64.StdEncoding.EncodeToString(c.Raw) + `</ds:X509Certificate></ds:X509Data></ds:KeyInfo>`
}

// Good returns a response whose assertion is signed, in base64.
func (p *Provider) Good(c Claims) string {
	p.tb.Helper()
	return Encode(p.Response(p.Sign(p.Assertion(c), Signing{ID: AssertionID})))
}

// Encode returns a document as it is sent.
func Encode(document string) string { return base64.StdEncoding.EncodeToString([]byte(document)) }

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// escape writes a text as canonical form has it, in attributes too: the texts of tests
// have neither white space but blanks nor anything else that differs.
func escape(s string) string {
	var b strings.Builder
	if err := xml.EscapeText(&b, []byte(s)); err != nil {
		panic(err)
	}
	return strings.NewReplacer("&#34;", `"`, "&#39;", "'").Replace(b.String())
}
