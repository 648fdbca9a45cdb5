package saml_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/saml"
	"github.com/strongroom/strongroom/internal/saml/samltest"
)

func rsaKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2_048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// opening is a registered provider with private keys.
func opening(t *testing.T, p *samltest.Provider, keys ...*rsa.PrivateKey) *saml.Provider {
	t.Helper()
	provider := registered(t, p)
	provider.PrivateKeys = func() ([]*rsa.PrivateKey, error) { return keys, nil }
	return provider
}

func TestEncrypted(t *testing.T) {
	p := samltest.New(t, entity, now)
	key, other := rsaKey(t), rsaKey(t)
	plain := p.Assertion(claims())
	signed := p.Sign(plain, samltest.Signing{ID: samltest.AssertionID})
	stranger := samltest.New(t, entity, now).Sign(plain, samltest.Signing{ID: samltest.AssertionID})
	around := func(s string) string { return p.Sign(p.Response(s), samltest.Signing{ID: samltest.ResponseID}) }
	gcm := func(s string) string { return samltest.Encrypt(t, s, &key.PublicKey, samltest.AES256GCM) }
	cbc := func(s string) string { return samltest.Encrypt(t, s, &key.PublicKey, samltest.AES128CBC) }
	replace := func(old, with string) string {
		good := p.Response(gcm(signed))
		if !strings.Contains(good, old) {
			t.Fatalf("there is no %q", old)
		}
		return strings.Replace(good, old, with, 1)
	}
	cut := func(document string, from, to string) string {
		i := strings.Index(document, from)
		j := i + strings.Index(document[i:], to) + len(to)
		return document[:i] + document[j:]
	}
	good := p.Response(gcm(signed))
	for name, test := range map[string]struct {
		document string
		want     error
	}{
		"signed within":                         {good, nil},
		"signed around":                         {around(gcm(plain)), nil},
		"signed twice":                          {around(gcm(signed)), nil},
		"CBC, signed around":                    {around(cbc(plain)), nil},
		"CBC, signed twice":                     {around(cbc(signed)), nil},
		"CBC, signed within":                    {p.Response(cbc(signed)), saml.ErrMalformed},
		"not signed":                            {p.Response(gcm(plain)), saml.ErrSignature},
		"a stranger's signature":                {p.Response(gcm(stranger)), saml.ErrSignature},
		"a stranger's in what the provider did": {around(gcm(stranger)), saml.ErrSignature},
		"another key's":                         {p.Response(samltest.Encrypt(t, signed, &rsaKey(t).PublicKey, samltest.AES256GCM)), saml.ErrDecryption},
		"no assertion":                          {p.Response(gcm("<a></a>")), saml.ErrMalformed},
		"a comment":                             {p.Response(gcm(strings.Replace(signed, ">alice<", ">alice<!-- -->.evil<", 1))), saml.ErrMalformed},
		"an assertion within":                   {around(gcm(strings.Replace(plain, "<saml:Subject>", "<saml:Advice>"+plain+"</saml:Advice><saml:Subject>", 1))), saml.ErrMalformed},
		"one beside it":                         {p.Response(gcm(signed) + signed), saml.ErrMalformed},
		"two":                                   {p.Response(gcm(signed) + gcm(signed)), saml.ErrMalformed},
		"DES":                                   {replace(samltest.AES256GCM, "http://www.w3.org/2001/04/xmlenc#tripledes-cbc"), saml.ErrMalformed},
		"RSA without OAEP":                      {replace(samltest.RSAOAEP, "http://www.w3.org/2001/04/xmlenc#rsa-1_5"), saml.ErrMalformed},
		"another size":                          {replace("aes256-gcm", "aes128-gcm"), saml.ErrDecryption},
		"another digest":                        {replace(samltest.RSAOAEP+`">`, samltest.RSAOAEP+`"><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/>`), saml.ErrDecryption},
		"a digest of no kind":                   {replace(samltest.RSAOAEP+`">`, samltest.RSAOAEP+`"><ds:DigestMethod Algorithm="none"/>`), saml.ErrMalformed},
		"a label":                               {replace(samltest.RSAOAEP+`">`, samltest.RSAOAEP+`"><xenc:OAEPparams>AAAA</xenc:OAEPparams>`), saml.ErrMalformed},
		"a reference":                           {replace("<xenc:CipherValue>", `<xenc:CipherReference URI="http://example.com/"/><xenc:CipherValue>`), saml.ErrMalformed},
		"no key":                                {cut(good, "<ds:KeyInfo", "</ds:KeyInfo>"), saml.ErrMalformed},
		"two keys":                              {strings.Replace(good, "</ds:KeyInfo>", "<xenc:EncryptedKey/></ds:KeyInfo>", 1), saml.ErrMalformed},
		"no method":                             {cut(good, "<xenc:EncryptionMethod", "</xenc:EncryptionMethod>"), saml.ErrMalformed},
		"no data":                               {p.Response(`<saml:EncryptedAssertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"/>`), saml.ErrMalformed},
		"a short ciphertext":                    {cipherOf(good, "AAAA"), saml.ErrDecryption},
		"a changed ciphertext":                  {cipherOf(good, base64.StdEncoding.EncodeToString(make([]byte, 500))), saml.ErrDecryption},
	} {
		a, err := verifier().Verify(opening(t, p, other, key), samltest.Encode(test.document))
		if !errors.Is(err, test.want) || err == nil && a.Subject != "alice" {
			t.Errorf("%s: got %v, %v; want %v", name, a, err, test.want)
		}
	}
	if _, err := verifier().Verify(registered(t, p), samltest.Encode(good)); !errors.Is(err, saml.ErrDecryption) {
		t.Errorf("without a key: %v", err)
	}
	// A provider whose assertions must be encrypted has no others.
	must := opening(t, p, key)
	must.Encrypted = true
	if _, err := verifier().Verify(must, samltest.Encode(p.Response(signed))); !errors.Is(err, saml.ErrMalformed) {
		t.Errorf("in the clear: %v", err)
	}
	if _, err := verifier().Verify(must, samltest.Encode(good)); err != nil {
		t.Errorf("encrypted: %v", err)
	}
	failing := errors.New("no store")
	must.PrivateKeys = func() ([]*rsa.PrivateKey, error) { return nil, failing }
	if _, err := verifier().Verify(must, samltest.Encode(good)); !errors.Is(err, failing) {
		t.Errorf("keys that cannot be read: %v", err)
	}
}

// cipherOf puts another ciphertext into EncryptedData.
func cipherOf(document, value string) string {
	from := strings.LastIndex(document, "<xenc:CipherValue>") + len("<xenc:CipherValue>")
	to := strings.LastIndex(document, "</xenc:CipherValue>")
	return document[:from] + value + document[to:]
}

// TestXMLSecEncrypts: what another implementation encrypts is opened.
func TestXMLSecEncrypts(t *testing.T) {
	needXMLSec(t)
	p, key := samltest.New(t, entity, now), rsaKey(t)
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	public := write("public", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	assertion := write("assertion", p.Sign(p.Assertion(claims()), samltest.Signing{ID: samltest.AssertionID}))
	for method, session := range map[string]string{
		"http://www.w3.org/2009/xmlenc11#aes128-gcm":  "aes-128",
		"http://www.w3.org/2009/xmlenc11#aes256-gcm":  "aes-256",
		"http://www.w3.org/2001/04/xmlenc#aes256-cbc": "aes-256",
	} {
		template := write("template", `<EncryptedData xmlns="http://www.w3.org/2001/04/xmlenc#" Type="http://www.w3.org/2001/04/xmlenc#Element">
			<EncryptionMethod Algorithm="`+method+`"/>
			<KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><EncryptedKey xmlns="http://www.w3.org/2001/04/xmlenc#">
			<EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"/><CipherData><CipherValue/></CipherData></EncryptedKey></KeyInfo>
			<CipherData><CipherValue/></CipherData></EncryptedData>`)
		out := filepath.Join(dir, "out")
		xmlsec(t, "--encrypt", "--pubkey-pem", public, "--session-key", session, "--xml-data", assertion, "--output", out, template)
		text, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		_, sealed, _ := strings.Cut(string(text), "?>\n")
		document := p.Response(`<saml:EncryptedAssertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">` + sealed + `</saml:EncryptedAssertion>`)
		_, err = verifier().Verify(opening(t, p, key), samltest.Encode(document))
		if strings.HasSuffix(method, "cbc") { // whose response is not signed
			if !errors.Is(err, saml.ErrMalformed) {
				t.Errorf("%s: %v", method, err)
			}
		} else if err != nil {
			t.Errorf("%s: %v\n%s", method, err, document)
		}
	}
}
