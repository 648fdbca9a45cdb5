package iam_test

import (
	"crypto/sha1"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/saml/samltest"
	"github.com/strongroom/strongroom/strongroomtest"
)

const (
	idp           = "https://idp.example.com/metadata"
	samlARN       = samlPrefix + "corp"
	awsAttributes = "https://aws.amazon.com/SAML/Attributes/"
)

// federation is a role that trusts a SAML provider.
type federation struct {
	*client
	provider *samltest.Provider
}

// trustSAML is a trust policy for the provider's users with a condition, for the actions.
func trustSAML(condition string, actions ...string) string {
	text := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"` + samlARN + `"},"Action":["sts:AssumeRoleWithSAML"`
	for _, a := range actions {
		text += `,"` + a + `"`
	}
	return text + `],"Condition":` + condition + `}]}`
}

func newFederation(t *testing.T) *federation {
	t.Helper()
	f := &federation{client: root(t, strongroomtest.Start(t)), provider: samltest.New(t, idp, time.Now())}
	f.iam("CreateSAMLProvider", "Name", "corp", "SAMLMetadataDocument", f.provider.Metadata()).ok()
	f.newRole(trustSAML(`{"StringEquals":{"SAML:aud":"https://signin.aws.amazon.com/saml"}}`), allow("kms:Encrypt"))
	return f
}

// attributes are those of a good response, with others instead or beside.
func attributes(others ...samltest.Attribute) []samltest.Attribute {
	all := []samltest.Attribute{
		{Name: awsAttributes + "Role", Values: []string{accountARN + "role/other," + samlARN, workerARN + ", " + samlARN}},
		{Name: awsAttributes + "RoleSessionName", Values: []string{"alice@example.com"}},
	}
	for _, o := range others {
		for i := range all {
			if all[i].Name == o.Name {
				all[i], o.Name = o, ""
			}
		}
		if o.Name != "" {
			all = append(all, o)
		}
	}
	return all
}

func attribute(name string, values ...string) samltest.Attribute {
	return samltest.Attribute{Name: awsAttributes + name, Values: values}
}

// response is a good response with those attributes.
func (f *federation) response(others ...samltest.Attribute) string {
	f.t.Helper()
	return f.provider.Good(samltest.Claims{Attributes: attributes(others...)})
}

func (f *federation) assume(response string, more ...string) *answer {
	f.t.Helper()
	return f.unsigned("AssumeRoleWithSAML", append([]string{"RoleArn", workerARN, "PrincipalArn", samlARN, "SAMLAssertion", response}, more...)...)
}

// expires is how long the credentials of an answer are good for.
func expires(a *answer) time.Duration {
	a.t.Helper()
	at, err := time.Parse(time.RFC3339, a.ok().value("Expiration"))
	if err != nil {
		a.t.Fatal(err)
	}
	return time.Until(at)
}

// TestAssumeRoleWithSAML: whom a trusted provider vouches for has the role's rights, and
// condition keys know who it is.
func TestAssumeRoleWithSAML(t *testing.T) {
	f := newFederation(t)
	key := f.newKey("")
	sum := sha1.Sum([]byte(idp + "000000000000/corp"))
	qualifier := base64.StdEncoding.EncodeToString(sum[:])
	made := f.assume(f.response()).ok()
	for element, want := range map[string]string{
		"Arn": "arn:aws:sts::000000000000:assumed-role/worker/alice@example.com", "Subject": "alice", "SubjectType": "persistent", "Issuer": idp,
		"Audience": "https://signin.aws.amazon.com/saml", "NameQualifier": qualifier, "SourceIdentity": "", "PackedPolicySize": "",
	} {
		if got := made.value(element); got != want {
			t.Errorf("%s is %q, want %q", element, got, want)
		}
	}
	if left := expires(made); left < 59*time.Minute || left > time.Hour {
		t.Errorf("good for %s", left)
	}
	session := f.session(made)
	if who := session.query("sts", "GetCallerIdentity").ok(); who.value("Arn") != made.value("Arn") {
		t.Errorf("the session is %s", who.body)
	}
	session.encrypt(key).ok()
	session.describe(key).fails(400, "AccessDeniedException", "no identity-based policy allows")

	// The role's own policies see the provider and the name, and no more of the response.
	for condition, allowed := range map[string]bool{
		`{"StringEquals":{"saml:sub":"alice","saml:sub_type":"persistent","saml:namequalifier":"` + qualifier + `","aws:FederatedProvider":"` + samlARN + `"}}`: true,
		`{"StringEquals":{"saml:sub":"bob"}}`:         false,
		`{"StringEquals":{"saml:iss":"` + idp + `"}}`: false,
	} {
		f.iam("PutRolePolicy", "RoleName", "worker", "PolicyName", "p", "PolicyDocument",
			strings.Replace(allow("kms:Encrypt"), `"Effect"`, `"Condition":`+condition+`,"Effect"`, 1)).ok()
		if a := session.encrypt(key); (a.status == 200) != allowed {
			t.Errorf("%s: %d", condition, a.status)
		}
	}

	// Session policies limit as elsewhere, and a response is good for several calls, as
	// tools need it that assume one role after another.
	response := f.response()
	limited := f.assume(response, "Policy", allow("kms:Decrypt")).ok()
	if limited.value("PackedPolicySize") == "" {
		t.Errorf("made as %s", limited.body)
	}
	f.session(limited).encrypt(key).fails(400, "AccessDeniedException", "")
	f.assume(response, "Policy", "{}").fails(400, "MalformedPolicyDocument", "")
	f.assume(response, "PolicyArns.member.1.arn", accountARN+"policy/none").fails(400, "MalformedPolicyDocument", "")
	// Who signs the call all the same is not asked who it is.
	f.query("sts", "AssumeRoleWithSAML", "RoleArn", workerARN, "PrincipalArn", samlARN, "SAMLAssertion", response).ok()
}

// TestSAMLDurations: a session lasts as long as the shortest of what is asked for.
func TestSAMLDurations(t *testing.T) {
	f := newFederation(t)
	for name, test := range map[string]struct {
		attribute string
		ends      time.Duration
		asked     string
		want      time.Duration
	}{
		"asked for":               {"", 0, "7200", 2 * time.Hour},
		"shortened":               {"1800", 0, "7200", 30 * time.Minute},
		"not lengthened":          {"43200", 0, "", time.Hour},
		"the provider's session":  {"3600", 20 * time.Minute, "7200", 20 * time.Minute},
		"a long provider session": {"", 24 * time.Hour, "", time.Hour},
		"less than 15 minutes":    {"", 5 * time.Minute, "", 5 * time.Minute},
	} {
		c := samltest.Claims{Attributes: attributes()}
		if test.attribute != "" {
			c.Attributes = attributes(attribute("SessionDuration", test.attribute))
		}
		if test.ends > 0 {
			c.SessionEnds = time.Now().Add(test.ends)
		}
		var more []string
		if test.asked != "" {
			more = []string{"DurationSeconds", test.asked}
		}
		if left := expires(f.assume(f.provider.Good(c), more...)); left > test.want || left < test.want-time.Minute {
			t.Errorf("%s: good for %s, want %s", name, left, test.want)
		}
	}
	f.assume(f.response(), "DurationSeconds", "7201").fails(400, "ValidationError", "MaxSessionDuration")
	f.assume(f.provider.Good(samltest.Claims{SessionEnds: time.Now().Add(-time.Minute), Attributes: attributes()})).
		fails(400, "ExpiredTokenException", "Response has expired")
}

func TestSAMLRefusals(t *testing.T) {
	f := newFederation(t)
	const denied = "Not authorized to perform sts:AssumeRoleWithSAML"
	good := samltest.Claims{Attributes: attributes()}
	with := func(edit func(c *samltest.Claims)) string {
		c := good
		edit(&c)
		return f.provider.Good(c)
	}
	sign := func(assertion string) string {
		return samltest.Encode(f.provider.Response(f.provider.Sign(assertion, samltest.Signing{ID: samltest.AssertionID})))
	}
	text := f.provider.Assertion(good)
	invalid := func(response, message string) {
		t.Helper()
		f.assume(response).fails(400, "InvalidIdentityToken", message)
	}
	invalid("!!!!", "Invalid base64 SAMLResponse")
	invalid("PGE+", "Invalid SAML response: it is not well-formed XML")
	invalid(samltest.Encode("<!DOCTYPE a>"+f.provider.Response(text)), "Invalid SAML response: it has a DTD")
	invalid(samltest.Encode(f.provider.Response(text)), "Response signature invalid")
	stranger := samltest.New(t, idp, time.Now())
	invalid(stranger.Good(good), "Response signature invalid")
	invalid(sign(strings.Replace(text, idp, "https://other.example.com", 1)), "Issuer not present in specified provider")
	invalid(with(func(c *samltest.Claims) { c.Audience = "urn:other" }), "Response does not contain the required audience")
	invalid(with(func(c *samltest.Claims) { c.Recipient = "https://app.example.com" }), "Response is not for this recipient")
	invalid(with(func(c *samltest.Claims) { c.Now = time.Now().Add(time.Hour) }), "Response is not valid yet")
	f.assume(with(func(c *samltest.Claims) { c.Now = time.Now().Add(-6 * time.Minute) })).
		fails(400, "ExpiredTokenException", "Token must be redeemed within 5 minutes of issuance")
	soon := time.Now().Add(-2 * time.Minute).UTC().Format(time.RFC3339)
	from, to := strings.Index(text, `" NotOnOrAfter="`)+len(`" NotOnOrAfter="`), strings.Index(text, `"><saml:AudienceRestriction>`)
	f.assume(sign(text[:from]+soon+text[to:])).fails(400, "ExpiredTokenException", "Response has expired")
	f.assume(samltest.Encode(strings.Replace(f.provider.Response(text), "status:Success", "status:AuthnFailed", 1))).
		fails(403, "IDPRejectedClaim", "The identity provider did not authenticate the user")
	from, to = strings.Index(text, "<saml:NameID"), strings.Index(text, "<saml:SubjectConfirmation ")
	f.assume(sign(text[:from]+text[to:])).fails(403, "AccessDenied", denied)
	f.assume(strings.Repeat("A", 100_001)).fails(400, "ValidationError", "less than or equal to 100000")

	// What AWS asks of the attributes.
	for _, c := range []struct {
		attribute samltest.Attribute
		message   string
	}{
		{attribute("RoleSessionName"), "RoleSessionName is required in AuthnResponse"},
		{attribute("RoleSessionName", "a"), "RoleSessionName in AuthnResponse must match [a-zA-Z_0-9+=,.@-]{2,64}"},
		{attribute("RoleSessionName", "John Doe"), "RoleSessionName in AuthnResponse must match"},
		{attribute("RoleSessionName", strings.Repeat("a", 65)), "RoleSessionName in AuthnResponse must match"},
		{attribute("RoleSessionName", "alice", "bob"), "RoleSessionName in AuthnResponse must have one value"},
		{attribute("SourceIdentity", "aws:alice"), `Source Identity must match [a-zA-Z_0-9+=,.@-]{2,64} and not begin with "aws:"`},
		{attribute("SessionDuration", "899"), "SessionDuration in AuthnResponse must be"},
		{attribute("SessionDuration", "43201"), "SessionDuration in AuthnResponse must be"},
		{attribute("SessionDuration", "an hour"), "SessionDuration in AuthnResponse must be"},
		{attribute("PrincipalTag:"), ""},
		{attribute("PrincipalTag:"+strings.Repeat("k", 129), "x"), "A session tag of the response has a key or a value that tags cannot have."},
		{attribute("PrincipalTag:a", "x", "y"), "PrincipalTag:a in AuthnResponse must have one value"},
		{attribute("TransitiveTagKeys", "none"), "transitive"},
	} {
		if c.message == "" { // an attribute without a value says nothing
			f.assume(f.response(c.attribute)).ok()
			continue
		}
		invalid(f.response(c.attribute), c.message)
	}
	for _, pair := range []string{"", workerARN, workerARN + "," + samlPrefix + "other", accountARN + "role/worker," + samlARN} {
		f.assume(f.response(attribute("Role", pair))).fails(403, "AccessDenied", denied)
	}
	f.assume(f.response(attribute("Role", samlARN+","+workerARN))).ok() // in the other order

	// The parameters.
	f.assume(f.response(), "RoleArn", accountARN+"user/alice-the-user").fails(400, "ValidationError", "Request ARN is invalid")
	for _, arn := range []string{samlPrefix + "none", providerPrefix + "idp.example.com", "arn:aws:iam::111122223333:saml-provider/corp", "arn:aws:iam:saml-provider/corp"} {
		f.assume(f.response(), "PrincipalArn", arn).fails(400, "InvalidIdentityToken", "Specified provider doesn't exist")
	}
	nobody := accountARN + "role/nobody"
	f.assume(f.response(attribute("Role", nobody+","+samlARN)), "RoleArn", nobody).fails(403, "AccessDenied", denied)
	// Another account's role cannot be assumed by this one's provider, whether it is
	// there or not.
	foreign := "arn:aws:iam::111122223333:role/team/worker"
	f.assume(f.response(attribute("Role", foreign+","+samlARN)), "RoleArn", foreign).fails(400, "InvalidIdentityToken", "Specified provider doesn't exist")

	// What is registered now is what counts.
	f.iam("UpdateSAMLProvider", "SAMLProviderArn", samlARN, "SAMLMetadataDocument", stranger.Metadata()).ok()
	invalid(f.response(), "Response signature invalid")
	f.assume(stranger.Good(good)).ok()
	f.iam("UpdateSAMLProvider", "SAMLProviderArn", samlARN, "SAMLMetadataDocument", stranger.Metadata(f.provider.Certificate)).ok()
	f.assume(f.response()).ok()
	f.iam("DeleteSAMLProvider", "SAMLProviderArn", samlARN).ok()
	invalid(f.response(), "Specified provider doesn't exist")
}

// TestSAMLTrust: what the trust policy can ask for.
func TestSAMLTrust(t *testing.T) {
	f := newFederation(t)
	const denied = "Not authorized to perform sts:AssumeRoleWithSAML"
	sum := sha1.Sum([]byte(idp + "000000000000/corp"))
	qualifier := base64.StdEncoding.EncodeToString(sum[:])
	response := f.response(
		samltest.Attribute{Name: "urn:oid:1.3.6.1.4.1.5923.1.1.1.1", Values: []string{"staff", "faculty"}},
		samltest.Attribute{Name: "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress", Values: []string{"alice@example.com"}},
		samltest.Attribute{Name: "0.9.2342.19200300100.1.3", Values: []string{"other@example.com"}},
	)
	for condition, allowed := range map[string]bool{
		`{}`: true,
		`{"StringEquals":{"saml:iss":"` + idp + `","saml:sub":"alice","saml:sub_type":"persistent","saml:doc":"000000000000/corp","saml:namequalifier":"` + qualifier + `"}}`: true,
		`{"StringEquals":{"saml:aud":"urn:amazon:webservices"}}`:                                                 false,
		`{"StringEquals":{"sts:RoleSessionName":"alice@example.com","aws:FederatedProvider":"` + samlARN + `"}}`: true,
		`{"StringEquals":{"sts:RoleSessionName":"bob"}}`:                                                         false,
		`{"StringEquals":{"saml:mail":"alice@example.com"}}`:                                                     true,
		`{"StringEquals":{"saml:mail":"other@example.com"}}`:                                                     false,
		`{"ForAllValues:StringLike":{"saml:eduPersonAffiliation":["staff","faculty"]}}`:                          true,
		`{"ForAllValues:StringLike":{"saml:eduPersonAffiliation":["staff"]}}`:                                    false,
		`{"ForAnyValue:StringEquals":{"saml:edupersonaffiliation":"faculty"}}`:                                   true,
		`{"Null":{"saml:surname":"true"}}`:                                                                       true,
	} {
		f.iam("UpdateAssumeRolePolicy", "RoleName", "worker", "PolicyDocument", trustSAML(condition)).ok()
		if a := f.assume(response); allowed {
			a.ok()
		} else {
			a.fails(403, "AccessDenied", denied)
		}
	}
	// Another provider, or another way in, is not what the role trusts.
	other := strings.Replace(trustSAML(`{}`), samlARN, samlPrefix+"other", 1)
	f.iam("UpdateAssumeRolePolicy", "RoleName", "worker", "PolicyDocument", other).ok()
	f.assume(response).fails(403, "AccessDenied", denied)
	f.iam("UpdateAssumeRolePolicy", "RoleName", "worker", "PolicyDocument", strings.ReplaceAll(trustSAML(`{}`), "WithSAML", "WithWebIdentity")).ok()
	f.assume(response).fails(403, "AccessDenied", denied)
}

// TestSAMLTags: the response's tags and source identity need the trust policy's consent,
// and are the session's.
func TestSAMLTags(t *testing.T) {
	f := newFederation(t)
	key := f.newKey("")
	const denied = "Not authorized to perform sts:AssumeRoleWithSAML"
	tagged := func() string {
		return f.response(attribute("PrincipalTag:Team", "blue"), attribute("PrincipalTag:Cost", ""), attribute("TransitiveTagKeys", "Team"), attribute("SourceIdentity", "alice"))
	}
	allowing := func(condition string, actions ...string) {
		f.iam("UpdateAssumeRolePolicy", "RoleName", "worker", "PolicyDocument", trustSAML(condition, actions...)).ok()
	}
	f.assume(tagged()).fails(403, "AccessDenied", denied)
	allowing(`{}`, "sts:TagSession")
	f.assume(tagged()).fails(403, "AccessDenied", denied)
	allowing(`{"StringEquals":{"aws:RequestTag/Team":"red"}}`, "sts:TagSession", "sts:SetSourceIdentity")
	f.assume(tagged()).fails(403, "AccessDenied", denied)
	allowing(`{"StringEquals":{"aws:RequestTag/Team":"blue","sts:SourceIdentity":"alice"},"ForAnyValue:StringEquals":{"sts:TransitiveTagKeys":"Team"}}`, "sts:TagSession", "sts:SetSourceIdentity")
	made := f.assume(tagged()).ok()
	if made.value("SourceIdentity") != "alice" || made.value("PackedPolicySize") != "1" {
		t.Errorf("made as %s", made.body)
	}
	f.iam("PutRolePolicy", "RoleName", "worker", "PolicyName", "p", "PolicyDocument",
		strings.Replace(allow("kms:Encrypt"), `"Effect"`, `"Condition":{"StringEquals":{"aws:PrincipalTag/team":"blue","aws:SourceIdentity":"alice"}},"Effect"`, 1)).ok()
	f.session(made).encrypt(key).ok()
	many := []samltest.Attribute{}
	for i := range 51 {
		many = append(many, attribute("PrincipalTag:k"+strings.Repeat("x", i), "v"))
	}
	f.assume(f.response(many...)).fails(400, "InvalidIdentityToken", "more than 50 session tags")
	var large []samltest.Attribute
	for i := range 20 {
		large = append(large, attribute("PrincipalTag:k"+strings.Repeat("x", i), strings.Repeat("v", 256)))
	}
	allowing(`{}`, "sts:TagSession", "sts:SetSourceIdentity")
	f.assume(f.response(large...)).fails(400, "PackedPolicyTooLarge", "% of the room")
}
