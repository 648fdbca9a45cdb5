package iam_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/oidc/oidctest"
	"github.com/strongroom/strongroom/strongroomtest"
)

const providerPrefix = accountARN + "oidc-provider/"

var someThumbprint = strings.Repeat("0123456789", 4)

// TestOIDCProviders: an issuer is registered, shown, changed and forgotten.
func TestOIDCProviders(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	const arn = providerPrefix + "issuer.example.com/realm/a"
	made := admin.iam("CreateOpenIDConnectProvider", "Url", "https://issuer.example.com/realm/a", "ClientIDList.member.1", "app", "ClientIDList.member.2", "app",
		"ThumbprintList.member.1", strings.ToUpper(someThumbprint), "Tags.member.1.Key", "team", "Tags.member.1.Value", "blue").ok()
	if made.value("OpenIDConnectProviderArn") != arn || made.value("Key") != "team" {
		t.Errorf("made as %s", made.body)
	}
	get := func() *answer { return admin.iam("GetOpenIDConnectProvider", "OpenIDConnectProviderArn", arn).ok() }
	if a := get(); a.value("Url") != "issuer.example.com/realm/a" || !strings.Contains(a.body, "<ClientIDList><member>app</member></ClientIDList>") ||
		!strings.Contains(a.body, "<ThumbprintList><member>"+someThumbprint+"</member></ThumbprintList>") || a.value("CreateDate") == "" || a.value("Value") != "blue" {
		t.Errorf("shown as %s", a.body)
	}
	for range 2 { // idempotent
		admin.iam("AddClientIDToOpenIDConnectProvider", "OpenIDConnectProviderArn", arn, "ClientID", "second").ok()
	}
	if a := get(); !strings.Contains(a.body, "<ClientIDList><member>app</member><member>second</member></ClientIDList>") {
		t.Errorf("shown as %s", a.body)
	}
	for range 2 {
		admin.iam("RemoveClientIDFromOpenIDConnectProvider", "OpenIDConnectProviderArn", arn, "ClientID", "app").ok()
	}
	other := strings.Repeat("a", 40)
	admin.iam("UpdateOpenIDConnectProviderThumbprint", "OpenIDConnectProviderArn", arn, "ThumbprintList.member.1", other).ok()
	if a := get(); !strings.Contains(a.body, "<ClientIDList><member>second</member></ClientIDList>") || !strings.Contains(a.body, "<ThumbprintList><member>"+other+"</member></ThumbprintList>") {
		t.Errorf("shown as %s", a.body)
	}
	admin.iam("TagOpenIDConnectProvider", "OpenIDConnectProviderArn", arn, "Tags.member.1.Key", "cost", "Tags.member.1.Value", "7").ok()
	admin.iam("UntagOpenIDConnectProvider", "OpenIDConnectProviderArn", arn, "TagKeys.member.1", "TEAM").ok()
	if a := admin.iam("ListOpenIDConnectProviderTags", "OpenIDConnectProviderArn", arn).ok(); !reflect.DeepEqual(a.values("Key"), []string{"cost"}) {
		t.Errorf("tags %s", a.body)
	}
	admin.iam("CreateOpenIDConnectProvider", "Url", "https://b.example.com", "ThumbprintList.member.1", other).ok()
	if a := admin.iam("ListOpenIDConnectProviders").ok(); !reflect.DeepEqual(a.values("Arn"), []string{providerPrefix + "b.example.com", arn}) {
		t.Errorf("list %s", a.body)
	}
	admin.iam("CreateOpenIDConnectProvider", "Url", "https://b.example.com", "ThumbprintList.member.1", other).
		fails(409, "EntityAlreadyExists", "Provider with url https://b.example.com already exists.")
	for range 2 {
		admin.iam("DeleteOpenIDConnectProvider", "OpenIDConnectProviderArn", arn).ok()
	}
	admin.iam("GetOpenIDConnectProvider", "OpenIDConnectProviderArn", arn).fails(404, "NoSuchEntity", "OpenIDConnect Provider not found for arn "+arn)
}

func TestOIDCProviderRefusals(t *testing.T) {
	admin := root(t, strongroomtest.Start(t))
	create := func(more ...string) *answer {
		return admin.iam("CreateOpenIDConnectProvider", append([]string{"ThumbprintList.member.1", someThumbprint}, more...)...)
	}
	for _, url := range []string{"http://a.example.com", "a.example.com", "https://", "https:///path", "https://a.example.com?x=1", "https://a.example.com#x", "https://u:p@a.example.com",
		"https://A.example.com", "https://a.example.com/*", "https://a.example.com/a b", "https://a.example.com:x", "HTTPS://a.example.com", `https://a.example.com/"`} {
		create("Url", url).fails(400, "InvalidInput", "Invalid Open ID Connect Provider URL")
	}
	many := []string{"Url", "https://a.example.com"}
	for i := range 101 {
		many = append(many, fmt.Sprintf("ClientIDList.member.%d", i+1), fmt.Sprint(i))
	}
	create(many...).fails(409, "LimitExceeded", "Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: 100")
	create("Url", "https://a.example.com", "ThumbprintList.member.1", strings.Repeat("x", 40)).fails(400, "InvalidInput", "40 hexadecimal digits")
	prints := []string{"Url", "https://a.example.com"}
	for i := range 6 {
		prints = append(prints, fmt.Sprintf("ThumbprintList.member.%d", i+1), strings.Repeat(fmt.Sprint(i), 40))
	}
	create(prints...).fails(400, "InvalidInput", "at most 5")
	for _, arn := range []string{providerPrefix, providerPrefix + "a.example.com", "arn:aws:iam::111122223333:oidc-provider/a.example.com", accountARN + "user/alice-the-user"} {
		admin.iam("GetOpenIDConnectProvider", "OpenIDConnectProviderArn", arn).fails(404, "NoSuchEntity", arn)
	}
	admin.iam("GetOpenIDConnectProvider", "OpenIDConnectProviderArn", "issuer.example.com/path").fails(400, "InvalidInput", "is not valid")

	// Without a thumbprint the issuer is asked, and must be one that the roots know.
	issuer := oidctest.Start(t)
	admin.iam("CreateOpenIDConnectProvider", "Url", issuer.URL).fails(400, "OpenIdIdpCommunicationError", "not signed by a trusted authority")
	admin.iam("CreateOpenIDConnectProvider", "Url", "https://127.0.0.1:1").fails(400, "OpenIdIdpCommunicationError", "cannot be reached")

	// Permission comes first, with the tags in mind.
	alice := admin.newUser("alice", allow("iam:CreateOpenIDConnectProvider"))
	alice.iam("CreateOpenIDConnectProvider", "Url", issuer.URL, "Tags.member.1.Key", "a", "Tags.member.1.Value", "b").
		fails(403, "AccessDenied", "iam:TagOpenIDConnectProvider")
	alice.iam("GetOpenIDConnectProvider", "OpenIDConnectProviderArn", providerPrefix+"a.example.com").fails(403, "AccessDenied", "iam:GetOpenIDConnectProvider")
}
