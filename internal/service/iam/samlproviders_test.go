package iam_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/saml"
	"github.com/strongroom/strongroom/internal/saml/samltest"
	"github.com/strongroom/strongroom/strongroomtest"
)

const samlPrefix = accountARN + "saml-provider/"

// TestSAMLProviders: a provider is registered, shown, changed and forgotten.
func TestSAMLProviders(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	p := samltest.New(t, "https://idp.example.com/metadata", time.Now())
	const arn = samlPrefix + "corp.Idp"
	made := admin.iam("CreateSAMLProvider", "Name", "corp.Idp", "SAMLMetadataDocument", p.Metadata(), "Tags.member.1.Key", "team", "Tags.member.1.Value", "blue").ok()
	if made.value("SAMLProviderArn") != arn || made.value("Key") != "team" {
		t.Errorf("made as %s", made.body)
	}
	get := func() *answer { return admin.iam("GetSAMLProvider", "SAMLProviderArn", arn).ok() }
	shown := get()
	until, err := time.Parse(time.RFC3339, shown.value("ValidUntil"))
	if err != nil || until.Year() != time.Now().UTC().Year()+100 {
		t.Errorf("valid until %s", shown.value("ValidUntil"))
	}
	if shown.value("SAMLMetadataDocument") != p.Metadata() || shown.value("CreateDate") == "" || shown.value("Value") != "blue" ||
		!strings.HasPrefix(shown.value("SAMLProviderUUID"), "SAMLSP") || len(shown.value("SAMLProviderUUID")) != 22 ||
		shown.value("AssertionEncryptionMode") != "Allowed" || !strings.Contains(shown.body, "<PrivateKeyList></PrivateKeyList>") {
		t.Errorf("shown as %s", shown.body)
	}

	other := strings.Replace(p.Metadata(), " entityID=", ` validUntil="2040-05-06T07:08:09Z" entityID=`, 1)
	if a := admin.iam("UpdateSAMLProvider", "SAMLProviderArn", arn, "SAMLMetadataDocument", other).ok(); a.value("SAMLProviderArn") != arn {
		t.Errorf("changed as %s", a.body)
	}
	if a := get(); a.value("SAMLMetadataDocument") != other || a.value("ValidUntil") != "2040-05-06T07:08:09Z" ||
		a.value("SAMLProviderUUID") != shown.value("SAMLProviderUUID") || a.value("CreateDate") != shown.value("CreateDate") {
		t.Errorf("shown as %s", a.body)
	}
	admin.iam("UpdateSAMLProvider", "SAMLProviderArn", arn, "AssertionEncryptionMode", "Allowed").ok()
	if a := get(); a.value("SAMLMetadataDocument") != other {
		t.Errorf("shown as %s", a.body)
	}

	admin.iam("TagSAMLProvider", "SAMLProviderArn", arn, "Tags.member.1.Key", "cost", "Tags.member.1.Value", "7").ok()
	admin.iam("UntagSAMLProvider", "SAMLProviderArn", arn, "TagKeys.member.1", "TEAM").ok()
	if a := admin.iam("ListSAMLProviderTags", "SAMLProviderArn", arn).ok(); !reflect.DeepEqual(a.values("Key"), []string{"cost"}) {
		t.Errorf("tags %s", a.body)
	}
	admin.iam("CreateSAMLProvider", "Name", "a", "SAMLMetadataDocument", p.Metadata()).ok()
	if a := admin.iam("ListSAMLProviders").ok(); !reflect.DeepEqual(a.values("Arn"), []string{samlPrefix + "a", arn}) || a.values("ValidUntil")[1] != "2040-05-06T07:08:09Z" {
		t.Errorf("list %s", a.body)
	}
	if a := admin.iam("GetAccountSummary").ok(); !strings.Contains(a.body, "<key>Providers</key><value>2</value>") {
		t.Errorf("summary %s", a.body)
	}
	admin.iam("CreateSAMLProvider", "Name", "a", "SAMLMetadataDocument", p.Metadata()).fails(409, "EntityAlreadyExists", "Provider with name a already exists.")
	admin.iam("DeleteSAMLProvider", "SAMLProviderArn", arn).ok()
	for _, operation := range []string{"GetSAMLProvider", "DeleteSAMLProvider", "ListSAMLProviderTags"} {
		admin.iam(operation, "SAMLProviderArn", arn).fails(404, "NoSuchEntity", "Manifest not found for arn "+arn)
	}
	// Made again, it has another id: what was meant for the first is not for it.
	admin.iam("CreateSAMLProvider", "Name", "corp.Idp", "SAMLMetadataDocument", p.Metadata()).ok()
	if a := get(); a.value("SAMLProviderUUID") == shown.value("SAMLProviderUUID") || len(a.values("Key")) != 0 {
		t.Errorf("shown as %s", a.body)
	}
}

func TestSAMLProvidersRefused(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	p := samltest.New(t, "https://idp.example.com/metadata", time.Now())
	good := p.Metadata()
	const arn = samlPrefix + "idp"
	admin.iam("CreateSAMLProvider", "Name", "idp", "SAMLMetadataDocument", good).ok()
	expired := samltest.New(t, "https://idp.example.com/metadata", time.Now())
	expired.Certify(time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour))
	for name, c := range map[string]struct {
		document, code, text string
	}{
		"short":                {good[:999], "ValidationError", "length greater than or equal to 1000"},
		"no XML":               {strings.Repeat("x", 1_000), "InvalidInput", "Could not parse metadata: it is not well-formed XML"},
		"a DTD":                {"<!DOCTYPE a>" + good, "InvalidInput", "Could not parse metadata"},
		"no key":               {strings.Replace(good, `use="signing"`, `use="encryption"`, 1), "InvalidInput", "X509Certificate for signing"},
		"over":                 {strings.Replace(good, " entityID=", ` validUntil="2020-01-01T00:00:00Z" entityID=`, 1), "InvalidInput", "valid until 2020-01-01T00:00:00Z"},
		"expired certificates": {expired.Metadata(), "InvalidInput", "expired"},
		"long":                 {good + strings.Repeat(" ", saml.MaxMetadata), "InvalidInput", "longer than 524288 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			a := *admin
			a.t = t
			a.iam("CreateSAMLProvider", "Name", "other", "SAMLMetadataDocument", c.document).fails(400, c.code, c.text)
			a.iam("UpdateSAMLProvider", "SAMLProviderArn", arn, "SAMLMetadataDocument", c.document).fails(400, c.code, c.text)
		})
	}
	if a := admin.iam("GetSAMLProvider", "SAMLProviderArn", arn).ok(); a.value("SAMLMetadataDocument") != good {
		t.Errorf("a refused change was made: %s", a.body)
	}
	admin.iam("CreateSAMLProvider", "Name", "a b", "SAMLMetadataDocument", good).fails(400, "ValidationError", "'name'")
	admin.iam("UpdateSAMLProvider", "SAMLProviderArn", arn).fails(400, "InvalidInput", "No updates are defined")
	for _, wrong := range []string{
		strings.Replace(arn, "000000000000", "444455556666", 1), samlPrefix + "idp/x", providerPrefix + "idp.example.com", samlPrefix + "Idp",
	} {
		admin.iam("GetSAMLProvider", "SAMLProviderArn", wrong).fails(404, "NoSuchEntity", "Manifest not found for arn "+wrong)
	}
	admin.iam("GetSAMLProvider", "SAMLProviderArn", "saml-provider/longer/than/20").fails(400, "InvalidInput", "is not valid")

	// Without the permission nobody learns what is there.
	alice := admin.newUser("alice", allow("iam:ListSAMLProviders"))
	for _, name := range []string{"idp", "none"} {
		alice.iam("GetSAMLProvider", "SAMLProviderArn", samlPrefix+name).fails(403, "AccessDenied", "iam:GetSAMLProvider on resource: "+samlPrefix+name)
		alice.iam("UpdateSAMLProvider", "SAMLProviderArn", samlPrefix+name, "SAMLMetadataDocument", strings.Repeat("x", 1_000)).
			fails(403, "AccessDenied", "iam:UpdateSAMLProvider")
	}
	alice.iam("ListSAMLProviders").ok()
	bob := admin.newUser("bob", allow("iam:CreateSAMLProvider"))
	bob.iam("CreateSAMLProvider", "Name", "bobs", "SAMLMetadataDocument", good, "Tags.member.1.Key", "a", "Tags.member.1.Value", "b").fails(403, "AccessDenied", "iam:TagSAMLProvider")

	for i := range 99 {
		admin.iam("CreateSAMLProvider", "Name", fmt.Sprintf("p%d", i), "SAMLMetadataDocument", good).ok()
	}
	admin.iam("CreateSAMLProvider", "Name", "last", "SAMLMetadataDocument", good).fails(409, "LimitExceeded", "Cannot exceed quota for SAMLProvidersPerAccount: 100")
}
