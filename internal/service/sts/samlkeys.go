package sts

import (
	"strings"

	"github.com/strongroom/strongroom/internal/saml"
)

// samlKey is an attribute that answers a condition key.
type samlKey struct {
	attribute, key string
	// list says that the key has all values of the attribute, and not the first alone.
	list bool
}

const (
	eduPerson  = "urn:oid:1.3.6.1.4.1.5923.1.1.1."
	eduOrg     = "urn:oid:1.3.6.1.4.1.5923.1.2.1."
	identities = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
)

// samlAttributeKeys are the attributes that trust policies see (IAM User Guide, "Mapping
// SAML attributes to AWS trust policy context keys", and "IAM and AWS STS condition
// context keys" for the spelling of the keys). Where several answer a key, the first one
// that there is does.
var samlAttributeKeys = []samlKey{
	{eduPerson + "1", "saml:edupersonaffiliation", true},
	{eduPerson + "2", "saml:edupersonnickname", true},
	{eduPerson + "3", "saml:edupersonorgdn", false},
	{eduPerson + "4", "saml:edupersonorgunitdn", true},
	{eduPerson + "5", "saml:edupersonprimaryaffiliation", false},
	{eduPerson + "6", "saml:edupersonprincipalname", false},
	{eduPerson + "7", "saml:edupersonentitlement", true},
	{eduPerson + "8", "saml:edupersonprimaryorgunitdn", false},
	{eduPerson + "9", "saml:edupersonscopedaffiliation", true},
	{eduPerson + "10", "saml:edupersontargetedid", true},
	{eduPerson + "11", "saml:edupersonassurance", true},
	{eduOrg + "2", "saml:eduorghomepageuri", true},
	{eduOrg + "3", "saml:eduorgidentityauthnpolicyuri", true},
	{eduOrg + "4", "saml:eduorglegalname", true},
	{eduOrg + "5", "saml:eduorgsuperioruri", true},
	{eduOrg + "6", "saml:eduorgwhitepagesuri", true},
	{"urn:oid:2.5.4.3", "saml:cn", true},
	{identities + "name", "saml:name", false},
	{"http://schemas.xmlsoap.org/claims/CommonName", "saml:commonname", false},
	{identities + "givenname", "saml:givenname", false},
	{identities + "surname", "saml:surname", false},
	{identities + "emailaddress", "saml:mail", false},
	{"http://schemas.microsoft.com/ws/2008/06/identity/claims/primarygroupsid", "saml:primarygroupsid", false},
	{"2.5.4.3", "saml:commonname", false},
	{"2.5.4.4", "saml:surname", false},
	{"2.5.4.42", "saml:givenname", false},
	{"2.5.4.45", "saml:x500uniqueidentifier", false},
	{"0.9.2342.19200300100.1.1", "saml:uid", false},
	{"0.9.2342.19200300100.1.3", "saml:mail", false},
	{"0.9.2342.19200300.100.1.45", "saml:organizationstatus", false},
}

// Formats of names (SAML Core §8.3).
const (
	nameFormat  = "urn:oasis:names:tc:SAML:2.0:nameid-format:"
	unspecified = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
)

// samlKeys are the condition keys that a response answers to trust policies, in lower
// case.
func samlKeys(p *saml.Provider, a *saml.Assertion) conditions {
	format := strings.TrimPrefix(a.SubjectFormat, nameFormat)
	if format == "" {
		format = unspecified
	}
	keys := conditions{
		"saml:aud": {a.Recipient}, "saml:iss": {a.Issuer}, "saml:sub": {a.Subject}, "saml:sub_type": {format},
		"saml:doc": {p.Doc()}, "saml:namequalifier": {p.NameQualifier()},
	}
	for _, k := range samlAttributeKeys {
		values := a.Attributes[k.attribute]
		if _, answered := keys[k.key]; answered || len(values) == 0 {
			continue
		}
		if !k.list {
			values = values[:1]
		}
		keys[k.key] = values
	}
	return keys
}

// sessionKeys are those of them that the session goes on to answer.
func sessionKeys(keys conditions) conditions {
	kept := conditions{}
	for _, key := range []string{"saml:namequalifier", "saml:sub", "saml:sub_type"} {
		kept[key] = keys[key]
	}
	return kept
}
