package saml_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/saml"
	"github.com/strongroom/strongroom/internal/saml/samltest"
)

func certificate(t *testing.T, public, private any) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: now}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMetadata(t *testing.T) {
	p := samltest.New(t, entity, now)
	other := samltest.New(t, entity, now)
	good := p.Metadata(other.Certificate, other.Certificate)
	m, err := saml.ParseMetadata([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if m.EntityID != entity || !m.ValidUntil.IsZero() || len(m.Certificates) != 2 || !m.Certificates[0].Equal(p.Certificate) || !m.Certificates[1].Equal(other.Certificate) {
		t.Errorf("%+v", m)
	}
	if m, err = saml.ParseMetadata([]byte(strings.Replace(good, "<md:IDPSSODescriptor ", `<md:IDPSSODescriptor validUntil="2031-01-01T00:00:00Z" `, 1))); err != nil || m.ValidUntil.Year() != 2031 {
		t.Errorf("a role's end: %+v, %v", m, err)
	}
	both := strings.Replace(strings.Replace(good, "<md:IDPSSODescriptor ", `<md:IDPSSODescriptor validUntil="2031-01-01T00:00:00Z" `, 1), " entityID=", ` validUntil="2030-01-01T00:00:00Z" entityID=`, 1)
	if m, err = saml.ParseMetadata([]byte(both)); err != nil || !m.ValidUntil.Equal(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("two ends: %+v, %v", m, err)
	}
	// Comments, lines in certificates and other roles are usual in metadata.
	usual := strings.NewReplacer("<md:IDPSSODescriptor ", "<!-- the provider --><md:IDPSSODescriptor ", "<ds:X509Certificate>", "<ds:X509Certificate>\n  ",
		"</md:IDPSSODescriptor>", "</md:IDPSSODescriptor><md:SPSSODescriptor protocolSupportEnumeration=\"urn:oasis:names:tc:SAML:2.0:protocol\"></md:SPSSODescriptor>").Replace(good)
	if m, err = saml.ParseMetadata([]byte(usual)); err != nil || len(m.Certificates) != 2 {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err = saml.ParseMetadata([]byte(strings.Replace(good, ` use="signing"`, "", 1))); err != nil || len(m.Certificates) != 2 {
		t.Errorf("a key for any use: %+v, %v", m, err)
	}
	if m, err = saml.ParseMetadata([]byte(strings.Replace(good, ` use="signing"`, ` use="encryption"`, 1))); err != nil || len(m.Certificates) != 1 {
		t.Errorf("a key for encryption: %+v, %v", m, err)
	}
}

// TestChainsInMetadata: of a certificate and those of its issuers, the first one's key
// signs responses.
func TestChainsInMetadata(t *testing.T) {
	p := samltest.New(t, entity, now)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "an authority"}, NotAfter: now, IsCA: true, BasicConstraintsValid: true}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "a provider"}, NotAfter: now}
	issued := func(c *x509.Certificate, public any) string {
		der, err := x509.CreateCertificate(rand.Reader, c, root, public, key)
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(der)
	}
	authority, own := issued(root, key.Public()), issued(leaf, p.Certificate.PublicKey)
	whole := p.Metadata()
	i, j := strings.Index(whole, "<ds:X509Certificate>"), strings.Index(whole, "</ds:X509Data>")
	with := func(certificates ...string) string {
		return whole[:i] + "<ds:X509Certificate>" + strings.Join(certificates, "</ds:X509Certificate><ds:X509Certificate>") + "</ds:X509Certificate>" + whole[j:]
	}
	for _, chain := range [][]string{{own, authority}, {authority, own}, {own, authority, own}} {
		m, err := saml.ParseMetadata([]byte(with(chain...)))
		if err != nil || len(m.Certificates) != 1 || m.Certificates[0].Subject.CommonName != "a provider" {
			t.Errorf("a chain of %d: %+v, %v", len(chain), m, err)
		}
	}
	if m, err := saml.ParseMetadata([]byte(with(authority))); err != nil || len(m.Certificates) != 1 {
		t.Errorf("a certificate that is its own issuer's: %+v, %v", m, err)
	}
	if _, err := saml.ParseMetadata([]byte(with(own, base64.StdEncoding.EncodeToString(p.Certificate.Raw)))); err == nil {
		t.Error("two certificates without a common issuer are accepted as a chain")
	}
}

func TestMetadataRefused(t *testing.T) {
	p := samltest.New(t, entity, now)
	good := p.Metadata()
	short, err := rsa.GenerateKey(rand.Reader, 1_024)
	if err != nil {
		t.Fatal(err)
	}
	small, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var many []*x509.Certificate
	for range saml.MaxCertificates {
		many = append(many, samltest.New(t, entity, now).Certificate)
	}
	with := func(c *x509.Certificate) string { return p.Metadata(c) }
	replace := func(old, with string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("there is no %q", old)
		}
		return strings.ReplaceAll(good, old, with)
	}
	for name, test := range map[string]struct{ document, want string }{
		"nothing":                   {"", "not well-formed"},
		"text":                      {"metadata", "not well-formed"},
		"an open element":           {good[:len(good)-3], "not well-formed"},
		"two roots":                 {good + good[strings.Index(good, "\n"):], "not well-formed"},
		"a byte order mark":         {"\ufeff" + good, "byte order mark"},
		"bad UTF-8":                 {replace("idp.example.com", "idp\xff"), "not UTF-8"},
		"another encoding":          {replace("UTF-8", "UTF-16"), "not well-formed"},
		"a DTD":                     {"<!DOCTYPE r [<!ENTITY e \"x\">]>" + good[strings.Index(good, "\n"):], "DTD"},
		"an entity":                 {replace("idp.example.com/sso", "&e;"), "not well-formed"},
		"several providers":         {replace("md:EntityDescriptor", "md:EntitiesDescriptor"), "no EntityDescriptor"},
		"another namespace":         {replace("tc:SAML:2.0:metadata", "tc:SAML:2.0:meta"), "no EntityDescriptor"},
		"no entity id":              {replace(` entityID="`+entity+`"`, ""), "entityID"},
		"a long entity id":          {replace(entity, strings.Repeat("e", 1_025)), "entityID"},
		"no time":                   {replace(" entityID=", ` validUntil="tomorrow" entityID=`), "validUntil"},
		"a service provider":        {replace("IDPSSODescriptor", "SPSSODescriptor"), "no IDPSSODescriptor"},
		"SAML 1.1":                  {replace("tc:SAML:2.0:protocol", "tc:SAML:1.1:protocol"), "no IDPSSODescriptor"},
		"keys for encryption":       {replace(`use="signing"`, `use="encryption"`), "no IDPSSODescriptor"},
		"no certificate":            {replace("ds:X509Certificate", "ds:X509Something"), "no IDPSSODescriptor"},
		"certificates in no base64": {replace("<ds:X509Certificate>", "<ds:X509Certificate>!"), "not base64"},
		"another certificate":       {replace("<ds:X509Certificate>", "<ds:X509Certificate>AAAA"), "no X.509"},
		"a short key":               {with(certificate(t, &short.PublicKey, short)), "RSA key of 1024 bits"},
		"a small curve":             {with(certificate(t, &small.PublicKey, small)), "curve"},
		"another kind of key":       {with(certificate(t, public, private)), "neither RSA nor ECDSA"},
		"many keys":                 {p.Metadata(many...), "more than 10"},
		"much":                      {good + strings.Repeat(" ", saml.MaxMetadata), "longer than"},
		"deep nesting":              {strings.Repeat("<a>", 100_000), "no EntityDescriptor"},
		"deep nesting within":       {replace("<md:NameIDFormat>", strings.Repeat("<a>", 100_000)), "not well-formed"},
	} {
		if m, err := saml.ParseMetadata([]byte(test.document)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, %v; want %s", name, m, err, test.want)
		}
	}
}

func FuzzParseMetadata(f *testing.F) {
	p := samltest.New(f, entity, now)
	f.Add([]byte(p.Metadata()))
	f.Add([]byte(p.Metadata(samltest.New(f, entity, now).Certificate)))
	f.Add([]byte(base64.StdEncoding.EncodeToString(p.Certificate.Raw)))
	f.Fuzz(func(t *testing.T, document []byte) {
		m, err := saml.ParseMetadata(document)
		if err == nil && (m.EntityID == "" || len(m.Certificates) == 0) {
			t.Fatalf("%+v", m)
		}
	})
}
