package e2e

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/strongroom/strongroom/e2e/binary"
)

// The cases by which people learn what KMS allows, as they would try them: users
// made with the AWS command line, each with an access key of its own.

// learner is an administrator with a key, who makes users.
type learner struct {
	*cli
	server *binary.Server
	root   *kms.Client
	key    string // ARN
}

func newLearner(t *testing.T) *learner {
	t.Helper()
	t.Parallel()
	s := start(t)
	root := kmsClient(t, s, defaultRegion)
	return &learner{cli: newCLI(t, append(clientEnvironment(s), "AWS_REGION="+defaultRegion)), server: s, root: root, key: *createKey(t, root, nil).Arn}
}

// user makes a user whose policy allows an action on everything; without one, a user
// without policies.
func (l *learner) user(name, action string) *kms.Client {
	l.t.Helper()
	l.run("iam", "create-user", "--user-name", name)
	if action != "" {
		l.say(name, "Allow", action)
	}
	fields := strings.Fields(l.query("AccessKey.[AccessKeyId,SecretAccessKey]", "iam", "create-access-key", "--user-name", name))
	cfg := sdkConfig(l.t, l.server, defaultRegion)
	cfg.Credentials = credentials.NewStaticCredentialsProvider(fields[0], fields[1], "")
	return kms.NewFromConfig(cfg)
}

// say gives a user an inline policy.
func (l *learner) say(name, effect, action string) {
	l.t.Helper()
	l.run("iam", "put-user-policy", "--user-name", name, "--policy-name", effect, "--policy-document",
		`{"Version":"2012-10-17","Statement":[{"Effect":"`+effect+`","Action":"`+action+`","Resource":"*"}]}`)
}

// putPolicy gives the key a policy with those statements, for whoever asks.
func (l *learner) putPolicy(who *kms.Client, statements ...string) error {
	_, err := who.PutKeyPolicy(l.t.Context(), &kms.PutKeyPolicyInput{KeyId: &l.key, BypassPolicyLockoutSafetyCheck: true,
		Policy: aws.String(`{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`)})
	return err
}

func (l *learner) encrypt(who *kms.Client) ([]byte, error) {
	out, err := who.Encrypt(l.t.Context(), &kms.EncryptInput{KeyId: &l.key, Plaintext: []byte("attack at dawn")})
	if err != nil {
		return nil, err
	}
	return out.CiphertextBlob, nil
}

// mustEncrypt encrypts with the key, which must be allowed.
func (l *learner) mustEncrypt(who *kms.Client) []byte {
	l.t.Helper()
	blob, err := l.encrypt(who)
	if err != nil {
		l.t.Fatal(err)
	}
	return blob
}

// denied is the message of a denial on the key.
func (l *learner) denied(who, action, because string) string {
	return "User: arn:aws:iam::" + defaultAccount + ":" + who + " is not authorized to perform: " + action + " on resource: " + l.key + " " + because
}

// TestLearnEncryptOnly: a user who may encrypt may neither decrypt nor change the
// key's policy.
func TestLearnEncryptOnly(t *testing.T) {
	l := newLearner(t)
	alice := l.user("alice", "kms:Encrypt")
	blob := l.mustEncrypt(alice)
	_, err := alice.Decrypt(t.Context(), &kms.DecryptInput{KeyId: &l.key, CiphertextBlob: blob})
	wantError(t, err, "AccessDeniedException", l.denied("user/alice", "kms:Decrypt", "because no identity-based policy allows the kms:Decrypt action"))
	err = l.putPolicy(alice, `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::`+defaultAccount+`:user/alice"},"Action":"kms:*","Resource":"*"}`)
	wantError(t, err, "AccessDeniedException", l.denied("user/alice", "kms:PutKeyPolicy", "because no identity-based policy allows the kms:PutKeyPolicy action"))
	policy, err := l.root.GetKeyPolicy(t.Context(), &kms.GetKeyPolicyInput{KeyId: &l.key})
	if err != nil || strings.Contains(aws.ToString(policy.Policy), "alice") {
		t.Errorf("the policy: %v, %v", policy, err)
	}
	if out, err := l.root.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob}); err != nil || string(out.Plaintext) != "attack at dawn" {
		t.Errorf("the root decrypts: %v", err)
	}
}

// TestLearnRootNeedsAStatement: nobody owns a key implicitly, not even the account's
// root; and without the account's statement identity policies have no effect,
// while their denials have.
func TestLearnRootNeedsAStatement(t *testing.T) {
	l := newLearner(t)
	keeper, bystander := l.user("keeper", ""), l.user("bystander", "kms:*")
	l.mustEncrypt(bystander) // the default policy leaves it to IAM
	if err := l.putPolicy(l.root, `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::`+defaultAccount+`:user/keeper"},"Action":"kms:*","Resource":"*"}`); err != nil {
		t.Fatal(err)
	}
	for name, who := range map[string]*kms.Client{"root": l.root, "user/bystander": bystander} {
		_, err := l.encrypt(who)
		wantError(t, err, "AccessDeniedException", l.denied(name, "kms:Encrypt", "because no resource-based policy allows the kms:Encrypt action"))
		err = l.putPolicy(who, `{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}`)
		wantError(t, err, "AccessDeniedException", l.denied(name, "kms:PutKeyPolicy", "because no resource-based policy allows the kms:PutKeyPolicy action"))
	}
	l.mustEncrypt(keeper) // by the key's policy alone
	l.say("keeper", "Deny", "kms:Encrypt")
	_, err := l.encrypt(keeper)
	wantError(t, err, "AccessDeniedException", l.denied("user/keeper", "kms:Encrypt", "with an explicit deny in an identity-based policy"))
}

// TestLearnOnlyThroughS3: a key that its policy opens through S3 alone is closed to
// direct calls, and the server tells that it would open to those that S3 makes. That
// a service's calls do open it is shown where services make them: TestViaService of
// package kms, through the gateway's Invoke.
func TestLearnOnlyThroughS3(t *testing.T) {
	l := newLearner(t)
	alice := l.user("alice", "")
	const service = "s3." + defaultRegion + ".amazonaws.com"
	err := l.putPolicy(l.root, `{"Effect":"Allow","Principal":{"AWS":"`+defaultAccount+`"},"Action":"kms:PutKeyPolicy","Resource":"*"}`,
		`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::`+defaultAccount+`:user/alice"},"Action":"kms:Encrypt","Resource":"*","Condition":{"StringEquals":{"kms:ViaService":"`+service+`"}}}`)
	if err != nil {
		t.Fatal(err)
	}
	_, err = l.encrypt(alice)
	wantError(t, err, "AccessDeniedException", l.denied("user/alice", "kms:Encrypt", "because no resource-based policy allows the kms:Encrypt action"))
	explain := func(context ...string) string {
		t.Helper()
		return succeeds(t, l.server, append([]string{"access", "explain", "arn:aws:iam::" + defaultAccount + ":user/alice", "kms:Encrypt", l.key}, context...)...)
	}
	if said := explain(); !strings.HasPrefix(said, "NOT ALLOWED") || !strings.Contains(said, "kms:ViaService") {
		t.Errorf("of a direct call it says\n%s", said)
	}
	if said := explain("--context", "kms:ViaService="+service); !strings.HasPrefix(said, "ALLOWED") {
		t.Errorf("of a call through S3 it says\n%s", said)
	}
	if said := explain("--context", "kms:ViaService=ec2."+defaultRegion+".amazonaws.com"); !strings.HasPrefix(said, "NOT ALLOWED") {
		t.Errorf("of a call through EC2 it says\n%s", said)
	}
}
