package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/saml/samltest"
)

// TestUsersAssumeRolesBySAML: who signed in with a company's identity provider assumes a
// role with its response, and uses a key.
func TestUsersAssumeRolesBySAML(t *testing.T) {
	s := start(t)
	admin := newCLI(t, clientEnvironment(s))
	idp := samltest.NewRSA(t, "https://idp.example.com/metadata", time.Now())
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return "file://" + path
	}
	provider := admin.query("SAMLProviderArn", "iam", "create-saml-provider", "--name", "corp", "--saml-metadata-document", write("metadata.xml", idp.Metadata()),
		"--tags", "Key=team,Value=blue")
	if list := admin.query("SAMLProviderList[].Arn", "iam", "list-saml-providers"); list != provider {
		t.Errorf("the providers are %s", list)
	}
	if shown := admin.query("SAMLMetadataDocument", "iam", "get-saml-provider", "--saml-provider-arn", provider); strings.TrimSpace(shown) != strings.TrimSpace(idp.Metadata()) {
		t.Errorf("the metadata are %s", shown)
	}
	role := admin.query("Role.Arn", "iam", "create-role", "--role-name", "signer", "--assume-role-policy-document",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"`+provider+`"},"Action":["sts:AssumeRoleWithSAML","sts:TagSession","sts:SetSourceIdentity"],
		"Condition":{"StringEquals":{"SAML:aud":"https://signin.aws.amazon.com/saml"}}}]}`)
	admin.run("iam", "put-role-policy", "--role-name", "signer", "--policy-name", "p", "--policy-document",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:Encrypt","Resource":"*","Condition":{"StringEquals":{"saml:sub":"alice","aws:PrincipalTag/Team":"blue"}}}]}`)
	key := createKey(t, kmsClient(t, s, defaultRegion), nil)

	const aws = "https://aws.amazon.com/SAML/Attributes/"
	var responses []string
	response := func(p *samltest.Provider, role string) string {
		t.Helper()
		r := p.Good(samltest.Claims{Attributes: []samltest.Attribute{
			{Name: aws + "Role", Values: []string{role + "," + provider}}, {Name: aws + "RoleSessionName", Values: []string{"alice@example.com"}},
			{Name: aws + "PrincipalTag:Team", Values: []string{"blue"}}, {Name: aws + "TransitiveTagKeys", Values: []string{"Team"}},
			{Name: aws + "SourceIdentity", Values: []string{"alice"}},
		}})
		responses = append(responses, r)
		return write("response", r)
	}
	// The command line signs nothing here; it has no credentials.
	nobody := newCLI(t, []string{"AWS_ENDPOINT_URL=" + s.URL, "AWS_DEFAULT_REGION=" + defaultRegion, "AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull})
	assume := []string{"sts", "assume-role-with-saml", "--role-arn", role, "--principal-arn", provider, "--saml-assertion"}
	var made struct {
		Credentials                                           struct{ AccessKeyID, SecretAccessKey, SessionToken string }
		Subject, SubjectType, Issuer, Audience, NameQualifier string
	}
	text := nobody.run(append(assume, response(idp, role))...)
	if err := json.Unmarshal([]byte(text), &made); err != nil {
		t.Fatal(err)
	}
	if made.Subject != "alice" || made.SubjectType != "persistent" || made.Issuer != idp.EntityID || made.Audience != "https://signin.aws.amazon.com/saml" {
		t.Errorf("made as %s", text)
	}
	alice := newCLI(t, []string{"AWS_ENDPOINT_URL=" + s.URL, "AWS_DEFAULT_REGION=" + defaultRegion, "AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull,
		"AWS_ACCESS_KEY_ID=" + made.Credentials.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + made.Credentials.SecretAccessKey, "AWS_SESSION_TOKEN=" + made.Credentials.SessionToken})
	if arn := alice.query("Arn", "sts", "get-caller-identity"); arn != "arn:aws:sts::"+defaultAccount+":assumed-role/signer/alice@example.com" {
		t.Errorf("alice is %s", arn)
	}
	if blob := alice.query("CiphertextBlob", "kms", "encrypt", "--key-id", *key.Arn, "--plaintext", "aGVsbG8="); blob == "" {
		t.Error("nothing was encrypted")
	}
	alice.fails("AccessDeniedException", "kms:DescribeKey", "kms", "describe-key", "--key-id", *key.Arn)

	nobody.fails("AccessDenied", "Not authorized to perform sts:AssumeRoleWithSAML", append(assume, response(idp, role+"-other"))...)
	// Whom another vouches for is nobody: that leaves no record.
	nobody.fails("InvalidIdentityToken", "Response signature invalid", append(assume, response(samltest.New(t, idp.EntityID, time.Now()), role))...)

	records, trail := export(t, s)
	var codes []string
	for _, r := range records {
		if r.EventName != "AssumeRoleWithSAML" {
			continue
		}
		codes = append(codes, r.ErrorCode)
		if r.UserIdentity.Type != "SAMLUser" || len(r.Resources) != 2 || r.Resources[0].ARN != role || r.Resources[1].ARN != provider {
			t.Errorf("recorded as %+v", r)
		}
	}
	if len(codes) != 2 || codes[0] != "" || codes[1] != "AccessDenied" {
		t.Errorf("recorded with %q", codes)
	}
	for _, want := range []string{
		`"userIdentity":{"type":"SAMLUser","principalId":"` + made.NameQualifier + `:alice","userName":"alice","identityProvider":"` + made.NameQualifier + `"}`,
		`"sAMLAssertionID":"_assertion","roleSessionName":"alice@example.com","sourceIdentity":"alice","principalTags":{"Team":"blue"},"transitiveTagKeys":["Team"]`,
		`"subjectType":"persistent"`, `"type":"AWS::IAM::SAMLProvider"`,
	} {
		if !strings.Contains(trail, want) {
			t.Errorf("not recorded: %s", want)
		}
	}
	if strings.Contains(trail, "webIdFederationData") {
		t.Error("the session is recorded as a web identity's")
	}
	for _, r := range responses {
		if strings.Contains(trail, r) || strings.Contains(trail, r[:200]) {
			t.Error("a response is recorded")
		}
	}
}
