package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/strongroom/strongroom/internal/oidc/oidctest"
)

// TestPodsAssumeRolesByTheirTokens: what Kubernetes gives a pod, a role's ARN and a
// file with a token, is all that the SDK and the command line need.
func TestPodsAssumeRolesByTheirTokens(t *testing.T) {
	s := start(t)
	admin := newCLI(t, clientEnvironment(s))
	issuer := oidctest.Start(t)
	host := strings.TrimPrefix(issuer.URL, "https://")
	provider := admin.query("OpenIDConnectProviderArn", "iam", "create-open-id-connect-provider", "--url", issuer.URL,
		"--client-id-list", "sts.amazonaws.com", "--thumbprint-list", issuer.Thumbprint)
	const subject = "system:serviceaccount:payments:signer"
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"` + provider + `"},"Action":"sts:AssumeRoleWithWebIdentity",
		"Condition":{"StringEquals":{"` + host + `:sub":"` + subject + `","` + host + `:aud":"sts.amazonaws.com"}}}]}`
	role := admin.query("Role.Arn", "iam", "create-role", "--role-name", "signer", "--assume-role-policy-document", trust)
	admin.run("iam", "put-role-policy", "--role-name", "signer", "--policy-name", "p", "--policy-document",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:Encrypt","Resource":"*"}]}`)
	key := createKey(t, kmsClient(t, s, defaultRegion), nil)

	file := filepath.Join(t.TempDir(), "token")
	var tokens []string
	write := func(subject string) {
		t.Helper()
		token := issuer.Token(map[string]any{
			"iss": issuer.URL, "sub": subject, "aud": []string{"sts.amazonaws.com"},
			"iat": time.Now().Unix(), "nbf": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
		})
		tokens = append(tokens, token)
		if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(subject)
	for name, value := range map[string]string{
		// The SDK for Go looks for the endpoint of its own call to STS here alone.
		"AWS_ENDPOINT_URL_STS": s.URL,
		"AWS_ROLE_ARN":         role, "AWS_WEB_IDENTITY_TOKEN_FILE": file, "AWS_ROLE_SESSION_NAME": "pod", "AWS_ENDPOINT_URL": s.URL, "AWS_REGION": defaultRegion,
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
	} {
		t.Setenv(name, value)
	}
	cfg, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	encrypt(t, kms.NewFromConfig(cfg), *key.Arn, []byte("hello"), nil)
	_, err = kms.NewFromConfig(cfg).DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: key.Arn})
	wantError(t, err, "AccessDeniedException", "*")
	who, err := sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil || aws.ToString(who.Arn) != "arn:aws:sts::"+defaultAccount+":assumed-role/signer/pod" {
		t.Errorf("the pod is %s, %v", aws.ToString(who.Arn), err)
	}
	environment := []string{"AWS_ENDPOINT_URL=" + s.URL, "AWS_ROLE_ARN=" + role, "AWS_WEB_IDENTITY_TOKEN_FILE=" + file,
		"AWS_DEFAULT_REGION=" + defaultRegion, "AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull}
	pod := func() *cli { return newCLI(t, environment) } // each without what another has cached
	if arn := pod().query("Arn", "sts", "get-caller-identity"); !strings.HasPrefix(arn, "arn:aws:sts::"+defaultAccount+":assumed-role/signer/") {
		t.Errorf("the pod's command line is %s", arn)
	}
	write("system:serviceaccount:payments:other")
	pod().fails("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity", "kms", "list-keys")
	// A token that nobody vouches for leaves no record: who made it is not known.
	if err := os.WriteFile(file, []byte(oidctest.Start(t).Token(map[string]any{"iss": issuer.URL, "sub": subject, "aud": "sts.amazonaws.com"})), 0o600); err != nil {
		t.Fatal(err)
	}
	pod().fails("InvalidIdentityToken", "Couldn't retrieve verification key", "kms", "list-keys")

	records, text := export(t, s)
	var codes []string
	for _, r := range records {
		if r.EventName != "AssumeRoleWithWebIdentity" {
			continue
		}
		codes = append(codes, r.ErrorCode)
		if r.UserIdentity.Type != "WebIdentityUser" || len(r.Resources) != 1 || r.Resources[0].ARN != role || r.Resources[0].AccountID != defaultAccount {
			t.Errorf("recorded as %+v", r)
		}
	}
	if len(codes) != 3 || codes[0] != "" || codes[1] != "" || codes[2] != "AccessDenied" {
		t.Errorf("recorded with %q", codes)
	}
	var identity struct {
		UserIdentity       struct{ Type, PrincipalID, UserName, IdentityProvider string }
		RecipientAccountID string
	}
	for line := range strings.Lines(text) {
		if err := json.Unmarshal([]byte(line), &identity); err != nil {
			t.Fatal(err)
		}
		if identity.UserIdentity.Type == "WebIdentityUser" {
			break
		}
	}
	if u := identity.UserIdentity; u.PrincipalID != provider+":sts.amazonaws.com:"+subject || u.UserName != subject || u.IdentityProvider != provider ||
		identity.RecipientAccountID != defaultAccount {
		t.Errorf("recorded as %+v", identity)
	}
	if !strings.Contains(text, `"webIdFederationData":{"federatedProvider":"`+provider+`","attributes":{}}`) {
		t.Error("the session's provider is not recorded")
	}
	for _, token := range tokens {
		for part := range strings.SplitSeq(token, ".") {
			if strings.Contains(text, part) {
				t.Error("a part of a token is recorded")
			}
		}
	}
}
