package saml_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/saml"
	"github.com/strongroom/strongroom/internal/saml/samltest"
)

// xmlsec runs xmlsec1, which shares no code with us: libxml2's canonical form and
// OpenSSL's signatures.
func xmlsec(t *testing.T, args ...string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "xmlsec1", args...)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("xmlsec1 %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func needXMLSec(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("xmlsec1"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("xmlsec1 is missing; .ci/install-tools installs it")
		}
		t.Skip("xmlsec1 is missing: apt-get install xmlsec1")
	}
}

// template is a signature that xmlsec1 fills in.
func template(id, method, digest, prefixes string) string {
	return `
      <Signature xmlns="http://www.w3.org/2000/09/xmldsig#">
        <SignedInfo>
          <CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#">` + prefixes + `</CanonicalizationMethod>
          <SignatureMethod Algorithm="` + method + `"/>
          <Reference URI="#` + id + `">
            <Transforms>
              <Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/>
              <Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#">` + prefixes + `</Transform>
            </Transforms>
            <DigestMethod Algorithm="` + digest + `"/>
            <DigestValue/>
          </Reference>
        </SignedInfo>
        <SignatureValue/>
        <KeyInfo><KeyName/></KeyInfo>
      </Signature>`
}

// untidy spells a response in a way that canonical form has much to do with: namespaces
// from above and declared anew, unused ones, lines, quotes, references and CDATA.
func untidy(response string) string {
	response = strings.NewReplacer(
		"<saml:AttributeValue>", "<saml:AttributeValue\n\txmlns:xs='http://www.w3.org/2001/XMLSchema' xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance'\r\n xsi:type='xs:string'>",
		"two</", "<![CDATA[two <3 & more]]>&#13;\t\"'&gt;&#xe9;é</",
		`<saml:Conditions `, `<saml:Conditions xmlns:unused="urn:unused" `,
		"</saml:Conditions>", "</saml:Conditions>\r\n  ",
		"<saml:AuthnContext>", `<saml:AuthnContext xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" xml:lang="en">`,
		`Name="n"`, "b:z='1' a:z=\"2 &lt;&#9;&#10;'&quot;\" Name=\"n\" xmlns:a='urn:z' xmlns:b='urn:a' NameFormat='urn:x'",
	).Replace(response)
	return "<?xml version='1.0'?>\n" + hoist(response)
}

// TestXMLSec: what another implementation signs is what is verified here, and what that
// one refuses is not accepted.
func TestXMLSec(t *testing.T) {
	needXMLSec(t)
	rsaProvider := samltest.NewRSA(t, entity, now)
	ecKey, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecProvider := samltest.With(t, entity, ecKey, now)
	const more = "http://www.w3.org/2001/04/xmldsig-more#"
	const enc = "http://www.w3.org/2001/04/xmlenc#"
	const prefixes = `<ec:InclusiveNamespaces xmlns:ec="http://www.w3.org/2001/10/xml-exc-c14n#" PrefixList="xs saml"/>`
	for name, test := range map[string]struct {
		provider                 *samltest.Provider
		method, digest, prefixes string
		both                     bool
	}{
		"RSA with SHA-256":   {rsaProvider, more + "rsa-sha256", enc + "sha256", "", false},
		"RSA with SHA-384":   {rsaProvider, more + "rsa-sha384", more + "sha384", "", false},
		"RSA with SHA-512":   {rsaProvider, more + "rsa-sha512", enc + "sha512", "", true},
		"ECDSA":              {ecProvider, more + "ecdsa-sha256", enc + "sha256", "", true},
		"ECDSA with SHA-384": {ecProvider, more + "ecdsa-sha384", more + "sha384", "", false},
		"inclusive prefixes": {ecProvider, more + "ecdsa-sha256", enc + "sha256", prefixes, true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			key, in, out := filepath.Join(dir, "key"), filepath.Join(dir, "in"), filepath.Join(dir, "out")
			write := func(path, text string) {
				t.Helper()
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write(key, string(test.provider.KeyPEM()))
			sign := func(document, id string) string {
				t.Helper()
				write(in, document)
				xmlsec(t, "--sign", "--privkey-pem", key, "--id-attr:ID", "urn:oasis:names:tc:SAML:2.0:assertion:Assertion",
					"--id-attr:ID", "urn:oasis:names:tc:SAML:2.0:protocol:Response",
					"--node-xpath", "//*[@ID='"+id+"']/*[local-name()='Signature']", "--output", out, in)
				text, err := os.ReadFile(out)
				if err != nil {
					t.Fatal(err)
				}
				return string(text)
			}
			const end = "</saml:Issuer>"
			assertion := strings.Replace(test.provider.Assertion(claims()), end, end+template(samltest.AssertionID, test.method, test.digest, test.prefixes), 1)
			document := untidy(test.provider.Response(assertion))
			if test.both {
				document = strings.Replace(document, end, end+template(samltest.ResponseID, test.method, test.digest, test.prefixes), 1)
			}
			document = sign(document, samltest.AssertionID)
			if test.both {
				document = sign(document, samltest.ResponseID)
			}
			provider := registered(t, test.provider)
			a, err := verifier().Verify(provider, samltest.Encode(document))
			if err != nil {
				t.Fatalf("%v\n%s", err, document)
			}
			if a.Subject != "alice" || len(a.Attributes["n"]) != 2 || a.Attributes["n"][1] != "two <3 & more\r\t\"'>éé" {
				t.Errorf("%+v", a)
			}
			if _, err := verifier().Verify(provider, samltest.Encode(strings.Replace(document, ">alice<", ">mallory<", 1))); !errors.Is(err, saml.ErrSignature) {
				t.Errorf("changed: %v", err)
			}
		})
	}
}
