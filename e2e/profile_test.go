package e2e

import (
	"encoding/base64"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/strongroom/strongroom/e2e/binary"
)

// profiles are the files that a user of a role has: her own access key in one, and
// in the other a profile that assumes the role with it.
type profiles struct {
	credentials, config string // files
	key, role           string // ARNs
	admin               *cli
}

// newProfiles makes a key, a role that may use it with a certain encryption context
// alone, and a user who may assume the role and nothing else.
func newProfiles(t *testing.T, s *binary.Server) *profiles {
	t.Helper()
	admin := newCLI(t, append(clientEnvironment(s), "AWS_REGION="+defaultRegion))
	p := &profiles{admin: admin}
	p.key = admin.query("KeyMetadata.Arn", "kms", "create-key")
	user := admin.query("User.Arn", "iam", "create-user", "--user-name", "alice")
	fields := strings.Fields(admin.query("AccessKey.[AccessKeyId,SecretAccessKey]", "iam", "create-access-key", "--user-name", "alice"))
	p.role = admin.query("Role.Arn", "iam", "create-role", "--role-name", "worker", "--assume-role-policy-document",
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"`+user+`"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"from-outside"}}}}`)
	admin.run("iam", "put-role-policy", "--role-name", "worker", "--policy-name", "use", "--policy-document",
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["kms:Encrypt","kms:Decrypt"],"Resource":"`+p.key+`","Condition":{"StringEquals":{"kms:EncryptionContext:team":"a"}}}}`)
	p.credentials = admin.file("credentials", []byte("[alice]\naws_access_key_id = "+fields[0]+"\naws_secret_access_key = "+fields[1]+"\n"))
	p.config = admin.file("config", []byte("[profile alice]\nregion = "+defaultRegion+
		"\n[profile worker]\nrole_arn = "+p.role+"\nsource_profile = alice\nexternal_id = from-outside\nrole_session_name = day-shift\nregion = "+defaultRegion+
		"\n[profile stranger]\nrole_arn = "+p.role+"\nsource_profile = alice\nregion = "+defaultRegion+"\n"))
	return p
}

// environment is what a user of a profile sets.
func (p *profiles) environment(s *binary.Server, profile string) []string {
	return []string{"AWS_ENDPOINT_URL=" + s.URL, "AWS_SHARED_CREDENTIALS_FILE=" + p.credentials, "AWS_CONFIG_FILE=" + p.config, "AWS_PROFILE=" + profile}
}

const sessionOfWorker = "arn:aws:sts::" + defaultAccount + ":assumed-role/worker/day-shift"

// TestCLIAssumesARoleByProfile lets the AWS CLI get the role's credentials by itself.
func TestCLIAssumesARoleByProfile(t *testing.T) {
	t.Parallel()
	s := start(t)
	p := newProfiles(t, s)
	worker := newCLI(t, p.environment(s, "worker"))
	if got := worker.query("Arn", "sts", "get-caller-identity"); got != sessionOfWorker {
		t.Errorf("the role is %s", got)
	}
	plain := worker.file("plain", []byte("attack at dawn"))
	sealed := worker.decodeInto("sealed", worker.query("CiphertextBlob", "kms", "encrypt", "--key-id", p.key,
		"--plaintext", "fileb://"+plain, "--encryption-context", "team=a"))
	if got := worker.query("Plaintext", "kms", "decrypt", "--ciphertext-blob", "fileb://"+sealed, "--encryption-context", "team=a"); got != base64.StdEncoding.EncodeToString([]byte("attack at dawn")) {
		t.Errorf("decrypt gave %s", got)
	}
	worker.fails("AccessDeniedException", "User: "+sessionOfWorker+" is not authorized to perform: kms:Encrypt on resource: "+p.key+
		" because no identity-based policy allows the kms:Encrypt action",
		"kms", "encrypt", "--key-id", p.key, "--plaintext", "fileb://"+plain)
	newCLI(t, p.environment(s, "alice")).fails("AccessDeniedException", "", "kms", "encrypt", "--key-id", p.key, "--plaintext", "fileb://"+plain, "--encryption-context", "team=a")
	_, stderr, err := command(t, p.environment(s, "stranger"), worker.path, "sts", "get-caller-identity")
	if err == nil || !strings.Contains(stderr, "An error occurred (AccessDenied) when calling the AssumeRole operation: User: arn:aws:iam::"+defaultAccount+
		":user/alice is not authorized to perform: sts:AssumeRole on resource: "+p.role) {
		t.Errorf("without the external id: %v, %s", err, stderr)
	}

	// The role loses its policy: the session that the CLI has cached has lost it too.
	p.admin.run("iam", "delete-role-policy", "--role-name", "worker", "--policy-name", "use")
	worker.fails("AccessDeniedException", "", "kms", "decrypt", "--ciphertext-blob", "fileb://"+sealed, "--encryption-context", "team=a")
}

// TestSDKDefaultChain finds credentials as a program does that says nothing of them:
// in a profile with a role, and in the variables that such a program's children get.
// It sets its own environment, and so is not parallel.
func TestSDKDefaultChain(t *testing.T) {
	s := start(t)
	p := newProfiles(t, s)
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION",
		"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_ENDPOINT_URL_KMS", "AWS_ENDPOINT_URL_STS"} {
		t.Setenv(name, "") // and back again afterwards
		os.Unsetenv(name)
	}
	set := func(env []string) {
		for _, entry := range env {
			name, value, _ := strings.Cut(entry, "=")
			t.Setenv(name, value)
		}
	}
	set(p.environment(s, "worker"))
	// The SDK for Go looks for a role's credentials before it has read
	// AWS_ENDPOINT_URL; the variable of the one service it knows by then.
	set([]string{"AWS_EC2_METADATA_DISABLED=true", "AWS_ENDPOINT_URL_STS=" + s.URL})
	use := func() aws.Config {
		t.Helper()
		cfg, err := config.LoadDefaultConfig(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		who, err := sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
		if err != nil || aws.ToString(who.Arn) != sessionOfWorker {
			t.Fatalf("%v, %v", who, err)
		}
		c := kms.NewFromConfig(cfg)
		blob := encrypt(t, c, p.key, []byte("attack at dawn"), map[string]string{"team": "a"})
		out, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob, EncryptionContext: map[string]string{"team": "a"}})
		if err != nil || string(out.Plaintext) != "attack at dawn" {
			t.Fatal(err)
		}
		return cfg
	}
	cfg := use()
	session, err := cfg.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	none := p.admin.file("none", nil)
	set([]string{"AWS_PROFILE=", "AWS_SHARED_CREDENTIALS_FILE=" + none, "AWS_CONFIG_FILE=" + none, "AWS_REGION=" + defaultRegion,
		"AWS_ACCESS_KEY_ID=" + session.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + session.SecretAccessKey, "AWS_SESSION_TOKEN=" + session.SessionToken})
	os.Unsetenv("AWS_PROFILE")
	use()
}
