package iam_test

import (
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/strongroom/strongroom/internal/oidc/oidctest"
	"github.com/strongroom/strongroom/strongroomtest"
)

// unsigned calls an operation without a signature.
func (c *client) unsigned(operation string, params ...string) *answer {
	c.t.Helper()
	form := url.Values{"Action": {operation}, "Version": {versions["sts"]}}
	for i := 0; i < len(params); i += 2 {
		form.Set(params[i], params[i+1])
	}
	resp, err := http.PostForm(c.server.URL+"/", form)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return &answer{t: c.t, what: operation, status: resp.StatusCode, body: string(text)}
}

// web is a role that trusts an issuer's tokens for the client "app".
type web struct {
	*client
	issuer *oidctest.Issuer
	host   string
}

// trustWeb is a trust policy for an issuer's tokens with a condition, for the
// actions.
func (w *web) trustWeb(condition string, actions ...string) string {
	text := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"` + providerPrefix + w.host + `"},"Action":["sts:AssumeRoleWithWebIdentity"`
	for _, a := range actions {
		text += `,"` + a + `"`
	}
	return text + `],"Condition":` + condition + `}]}`
}

func newWeb(t *testing.T) *web {
	t.Helper()
	w := &web{client: root(t, strongroomtest.Start(t)), issuer: oidctest.Start(t)}
	w.host = strings.TrimPrefix(w.issuer.URL, "https://")
	w.iam("CreateOpenIDConnectProvider", "Url", w.issuer.URL, "ClientIDList.member.1", "app", "ThumbprintList.member.1", w.issuer.Thumbprint).ok()
	w.newRole(w.trustWeb(`{"StringLike":{"`+w.host+`:sub":"pod:*"},"StringEquals":{"`+w.host+`:aud":"app"}}`), allow("kms:Encrypt"))
	return w
}

// token is a good token with other claims.
func (w *web) token(others map[string]any) string {
	claims := map[string]any{"iss": w.issuer.URL, "sub": "pod:one", "aud": []string{"app"}, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
	maps.Copy(claims, others)
	return w.issuer.Token(claims)
}

func (w *web) assume(token string, more ...string) *answer {
	w.t.Helper()
	return w.unsigned("AssumeRoleWithWebIdentity", append([]string{"RoleArn", workerARN, "RoleSessionName", "pod", "WebIdentityToken", token}, more...)...)
}

// TestAssumeRoleWithWebIdentity: the bearer of a trusted token has the role's rights,
// and condition keys know whose token it was.
func TestAssumeRoleWithWebIdentity(t *testing.T) {
	w := newWeb(t)
	key := w.newKey("")
	made := w.assume(w.token(nil)).ok()
	if made.value("Arn") != "arn:aws:sts::000000000000:assumed-role/worker/pod" || made.value("SubjectFromWebIdentityToken") != "pod:one" ||
		made.value("Audience") != "app" || made.value("Provider") != providerPrefix+w.host || !strings.HasPrefix(made.value("AccessKeyId"), "ASIA") {
		t.Errorf("made as %s", made.body)
	}
	session := w.session(made)
	if who := session.query("sts", "GetCallerIdentity").ok(); who.value("Arn") != made.value("Arn") {
		t.Errorf("the session is %s", who.body)
	}
	session.encrypt(key).ok()
	session.describe(key).fails(400, "AccessDeniedException", "no identity-based policy allows")

	// The role's own policies see the provider and the claims.
	for condition, allowed := range map[string]bool{
		`{"StringEquals":{"` + w.host + `:sub":"pod:one","aws:FederatedProvider":"` + providerPrefix + w.host + `"}}`: true,
		`{"StringEquals":{"` + w.host + `:sub":"pod:two"}}`:                                                           false,
	} {
		w.iam("PutRolePolicy", "RoleName", "worker", "PolicyName", "p", "PolicyDocument",
			strings.Replace(allow("kms:Encrypt"), `"Effect"`, `"Condition":`+condition+`,"Effect"`, 1)).ok()
		if a := session.encrypt(key); (a.status == 200) != allowed {
			t.Errorf("%s: %d", condition, a.status)
		}
	}

	// Session policies and durations limit as elsewhere.
	w.assume(w.token(nil), "DurationSeconds", "7201").fails(400, "ValidationError", "MaxSessionDuration")
	limited := w.session(w.assume(w.token(nil), "Policy", allow("kms:Decrypt")))
	limited.encrypt(key).fails(400, "AccessDeniedException", "")
	// Who signs the call all the same is not asked who it is.
	w.query("sts", "AssumeRoleWithWebIdentity", "RoleArn", workerARN, "RoleSessionName", "pod", "WebIdentityToken", w.token(nil)).ok()
}

func TestWebIdentityRefusals(t *testing.T) {
	w := newWeb(t)
	stranger := oidctest.Start(t)
	const denied = "Not authorized to perform sts:AssumeRoleWithWebIdentity"
	const notAJWT = "The ID Token provided is not a valid JWT."
	w.assume(w.token(map[string]any{"sub": "other"})).fails(403, "AccessDenied", denied)
	w.assume(w.token(map[string]any{"aud": "elsewhere"})).fails(400, "InvalidIdentityToken", "Incorrect token audience")
	w.assume(w.token(map[string]any{"exp": time.Now().Add(-time.Hour).Unix()})).fails(400, "ExpiredTokenException", "Token expired: current date/time ")
	w.assume(w.token(map[string]any{"nbf": time.Now().Add(time.Hour).Unix()})).fails(400, "InvalidIdentityToken", "not valid yet")
	w.assume(w.token(map[string]any{"sub": ""})).fails(400, "InvalidIdentityToken", "Missing a required claim: sub")
	w.assume("abcd").fails(400, "InvalidIdentityToken", notAJWT)
	w.assume(stranger.Token(map[string]any{"iss": stranger.URL, "sub": "pod:one", "aud": "app"})).
		fails(400, "InvalidIdentityToken", "No OpenIDConnect provider found in your account for "+stranger.URL)
	w.assume(stranger.Token(map[string]any{"iss": w.issuer.URL, "sub": "pod:one", "aud": "app", "iat": 1, "exp": time.Now().Add(time.Hour).Unix()})).
		fails(400, "InvalidIdentityToken", "Couldn't retrieve verification key")
	if n := stranger.Asked(oidctest.Discovery); n != 0 {
		t.Errorf("an issuer that nobody registered was asked %d times", n)
	}
	w.assume(w.token(nil), "ProviderId", "www.amazon.com").fails(400, "ValidationError", "ProviderId")
	w.assume(w.token(nil), "RoleArn", accountARN+"user/alice-the-user").fails(400, "ValidationError", "Request ARN is invalid")
	w.assume(w.token(nil), "RoleArn", accountARN+"role/nobody").fails(403, "AccessDenied", denied)
	// Another account trusts nobody that this one does, whether it has the role or
	// not.
	w.assume(w.token(nil), "RoleArn", "arn:aws:iam::111122223333:role/team/worker").fails(400, "InvalidIdentityToken", "No OpenIDConnect provider found")
	// What was registered is what counts now.
	arn := providerPrefix + w.host
	w.iam("UpdateOpenIDConnectProviderThumbprint", "OpenIDConnectProviderArn", arn, "ThumbprintList.member.1", someThumbprint).ok()
	w.assume(w.token(nil)).fails(400, "InvalidIdentityToken", "OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint")
	w.iam("UpdateOpenIDConnectProviderThumbprint", "OpenIDConnectProviderArn", arn, "ThumbprintList.member.1", w.issuer.Thumbprint).ok()
	w.assume(w.token(nil)).ok()
	w.iam("RemoveClientIDFromOpenIDConnectProvider", "OpenIDConnectProviderArn", arn, "ClientID", "app").ok()
	w.assume(w.token(nil)).fails(400, "InvalidIdentityToken", "Incorrect token audience")
	w.iam("DeleteOpenIDConnectProvider", "OpenIDConnectProviderArn", arn).ok()
	w.assume(w.token(nil)).fails(400, "InvalidIdentityToken", "No OpenIDConnect provider found")
	// Nothing else takes unsigned requests.
	w.unsigned("GetCallerIdentity").fails(403, "MissingAuthenticationToken", "Missing Authentication Token")
	w.unsigned("AssumeRole").fails(403, "MissingAuthenticationToken", "")
}

// TestWebIdentityTags: the token's tags and source identity need the trust policy's
// consent, and are the session's.
func TestWebIdentityTags(t *testing.T) {
	w := newWeb(t)
	key := w.newKey("")
	claims := map[string]any{
		"https://aws.amazon.com/tags":            map[string]any{"principal_tags": map[string]any{"Team": []string{"blue"}}, "transitive_tag_keys": []string{"Team"}},
		"https://aws.amazon.com/source_identity": "alice",
	}
	const denied = "Not authorized to perform sts:AssumeRoleWithWebIdentity"
	w.assume(w.token(claims)).fails(403, "AccessDenied", denied)
	allowing := func(condition string, actions ...string) {
		w.iam("UpdateAssumeRolePolicy", "RoleName", "worker", "PolicyDocument", w.trustWeb(condition, actions...)).ok()
	}
	allowing(`{}`, "sts:TagSession")
	w.assume(w.token(claims)).fails(403, "AccessDenied", denied)
	allowing(`{"StringEquals":{"aws:RequestTag/Team":"red"}}`, "sts:TagSession", "sts:SetSourceIdentity")
	w.assume(w.token(claims)).fails(403, "AccessDenied", denied)
	allowing(`{"StringEquals":{"aws:RequestTag/Team":"blue","sts:SourceIdentity":"alice"}}`, "sts:TagSession", "sts:SetSourceIdentity")
	made := w.assume(w.token(claims)).ok()
	if made.value("SourceIdentity") != "alice" {
		t.Errorf("made as %s", made.body)
	}
	w.iam("PutRolePolicy", "RoleName", "worker", "PolicyName", "p", "PolicyDocument",
		strings.Replace(allow("kms:Encrypt"), `"Effect"`, `"Condition":{"StringEquals":{"aws:PrincipalTag/team":"blue","aws:SourceIdentity":"alice"}},"Effect"`, 1)).ok()
	w.session(made).encrypt(key).ok()
	for name, bad := range map[string]any{
		"aws:x y":                map[string]any{"principal_tags": map[string]any{"bad\x01": "x"}},
		"too long":               map[string]any{"principal_tags": map[string]any{strings.Repeat("k", 129): "x"}},
		"twice but for the case": map[string]any{"principal_tags": map[string]any{"Team": "x", "team": "y"}},
		"transitive without one": map[string]any{"transitive_tag_keys": []string{"Team"}},
	} {
		if a := w.assume(w.token(map[string]any{"https://aws.amazon.com/tags": bad})); a.status != 400 || a.value("Code") != "InvalidIdentityToken" {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
}

// TestWebIdentityKeysAreRemembered: the issuer is not asked for every token.
func TestWebIdentityKeysAreRemembered(t *testing.T) {
	w := newWeb(t)
	w.issuer.Rotate(jose.RS256)
	for range 3 {
		w.assume(w.token(nil)).ok()
	}
	if n := w.issuer.Asked(oidctest.Keys); n != 1 {
		t.Errorf("the issuer was asked %d times", n)
	}
}
