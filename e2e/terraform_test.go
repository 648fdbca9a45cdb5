package e2e

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/strongroom/strongroom/e2e/binary"
	"github.com/strongroom/strongroom/internal/saml/samltest"
)

// pluginsVariable names the folder of Terraform providers, laid out as "terraform
// providers mirror" does.
const pluginsVariable = "STRONGROOM_TF_PLUGINS"

// terraform is a folder with one of the configurations of testdata/terraform in it.
type terraform struct {
	t   *testing.T
	bin string
	dir string
	env []string
	// files are what the configuration reads, by their names.
	files map[string]string
}

// newTerraform sets a configuration up against a server. Neither Terraform nor the
// provider can be had from Debian, so that these tests alone may be skipped in CI.
func newTerraform(t *testing.T, s *binary.Server, configuration string, files map[string]string) *terraform {
	t.Helper()
	tf := &terraform{t: t, bin: terraformBinary(t), dir: t.TempDir(), files: files,
		env: append(clientEnvironment(s), "HOME="+t.TempDir(), "TF_CLI_CONFIG_FILE="+os.DevNull, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "AWS_EC2_METADATA_DISABLED=true")}
	text, err := os.ReadFile(filepath.Join("testdata", "terraform", configuration, "main.tf"))
	if err != nil {
		t.Fatal(err)
	}
	tf.file("main.tf", string(text))
	for name, text := range files {
		tf.file(name, text)
	}
	tf.run("init", "-plugin-dir="+os.Getenv(pluginsVariable))
	return tf
}

// terraformBinary skips the test unless it has what it needs.
func terraformBinary(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("terraform")
	if err != nil || os.Getenv(pluginsVariable) == "" {
		t.Skip("needs terraform on the PATH and its AWS provider in a folder: terraform providers mirror DIR; " + pluginsVariable + "=DIR go test ./e2e -run Terraform")
	}
	return path
}

func (tf *terraform) file(name, text string) {
	tf.t.Helper()
	if err := os.WriteFile(filepath.Join(tf.dir, name), []byte(text), 0o600); err != nil {
		tf.t.Fatal(err)
	}
}

// try runs terraform and returns what it printed.
func (tf *terraform) try(verb string, args ...string) (string, error) {
	tf.t.Helper()
	args = append([]string{"-chdir=" + tf.dir, verb, "-no-color"}, args...)
	stdout, stderr, err := command(tf.t, tf.env, tf.bin, args...)
	return stdout + stderr, err
}

func (tf *terraform) run(verb string, args ...string) string {
	tf.t.Helper()
	said, err := tf.try(verb, args...)
	if err != nil {
		tf.t.Fatalf("terraform %s %v: %v\n%s", verb, args, err, said)
	}
	return said
}

// apply makes what the configuration says so, and fails the test unless nothing is
// left to do afterwards.
func (tf *terraform) apply(variables ...string) {
	tf.t.Helper()
	tf.run("apply", append([]string{"-auto-approve", "-input=false"}, variables...)...)
	if said, err := tf.try("plan", append([]string{"-detailed-exitcode", "-input=false"}, variables...)...); err != nil {
		tf.t.Fatalf("the plan after apply is not empty: %v\n%s", err, said)
	}
}

// output reads an output value.
func (tf *terraform) output(name string, into any) {
	tf.t.Helper()
	stdout, stderr, err := command(tf.t, tf.env, tf.bin, "-chdir="+tf.dir, "output", "-json", name)
	if err == nil {
		err = json.Unmarshal([]byte(stdout), into)
	}
	if err != nil {
		tf.t.Fatalf("terraform output %s: %v\n%s", name, err, stderr)
	}
}

// adopt returns a folder that knows of nothing and imports all that tf has made,
// except what cannot be imported. Nothing of it may be made anew.
func (tf *terraform) adopt(s *binary.Server, configuration string, made int, variables ...string) *terraform {
	tf.t.Helper()
	var ids map[string]string
	tf.output("ids", &ids)
	var imports strings.Builder
	for _, resource := range slices.Sorted(maps.Keys(ids)) {
		imports.WriteString("import {\n  to = " + resource + "\n  id = \"" + ids[resource] + "\"\n}\n")
	}
	other := newTerraform(tf.t, s, configuration, tf.files)
	other.file("imports.tf", imports.String())
	plan := other.run("plan", append([]string{"-input=false", "-out=plan"}, variables...)...)
	if want := planned(len(ids), made); !strings.Contains(plan, want) || !strings.Contains(plan, " 0 to destroy.") {
		tf.t.Errorf("want %q and nothing destroyed:\n%s", want, plan)
	}
	other.apply(variables...)
	return other
}

func planned(imported, added int) string {
	text := func(n int) string { b, _ := json.Marshal(n); return string(b) }
	return "Plan: " + text(imported) + " to import, " + text(added) + " to add, "
}

// TestTerraformKMS makes, changes, imports and destroys every KMS resource of the
// AWS provider.
func TestTerraformKMS(t *testing.T) {
	t.Parallel()
	terraformBinary(t)
	s := start(t, "--regions", "us-east-1,eu-west-1")
	c := kmsClient(t, s, defaultRegion)
	tf := newTerraform(t, s, "kms", nil)
	tf.apply()

	var ids map[string]string
	var ciphertext string
	tf.output("ids", &ids)
	tf.output("ciphertext", &ciphertext)
	blob, err := base64.StdEncoding.DecodeString(ciphertext)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := kmsClient(t, s, "eu-west-1").Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob, EncryptionContext: map[string]string{"tool": "terraform"}})
	if err != nil || string(opened.Plaintext) != "hunter2" {
		t.Errorf("the ciphertext does not open in the replica's region: %v", err)
	}
	key := func(resource string) *types.KeyMetadata {
		t.Helper()
		out, err := c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: aws.String(ids[resource])})
		if err != nil {
			t.Fatal(err)
		}
		return out.KeyMetadata
	}
	if k := key("aws_kms_external_key.imported"); k.KeyState != types.KeyStateEnabled || k.Origin != types.OriginTypeExternal || k.ValidTo == nil {
		t.Errorf("the external key: %+v", k)
	}

	tf.apply("-var=description=changed", "-var=rotation=180", "-var=enabled=false")
	status, err := c.GetKeyRotationStatus(t.Context(), &kms.GetKeyRotationStatusInput{KeyId: aws.String(ids["aws_kms_key.main"])})
	if k := key("aws_kms_key.main"); err != nil || aws.ToInt32(status.RotationPeriodInDays) != 180 || k.Enabled || aws.ToString(k.Description) != "changed" {
		t.Errorf("after the change: %v, %+v, %v", err, status, k)
	}

	changed := []string{"-var=description=changed", "-var=rotation=180", "-var=enabled=false", "-var=material="}
	other := tf.adopt(s, "kms", 1, changed...) // a ciphertext cannot be imported
	other.run("destroy", append([]string{"-auto-approve"}, changed...)...)
	for resource := range ids {
		if !strings.HasPrefix(resource, "aws_kms_key.") && resource != "aws_kms_external_key.imported" {
			continue
		}
		want := types.KeyStatePendingDeletion
		if resource == "aws_kms_key.multi" {
			want = types.KeyStatePendingReplicaDeletion
		}
		if k := key(resource); k.KeyState != want {
			t.Errorf("%s is %s, want %s", resource, k.KeyState, want)
		}
	}
	aliases, err := c.ListAliases(t.Context(), &kms.ListAliasesInput{})
	if err != nil || slices.ContainsFunc(aliases.Aliases, func(a types.AliasListEntry) bool { return strings.HasPrefix(*a.AliasName, "alias/terraform") }) {
		t.Errorf("aliases are left: %v, %v", aliases, err)
	}
	grants, err := c.ListGrants(t.Context(), &kms.ListGrantsInput{KeyId: aws.String(ids["aws_kms_key.main"])})
	if err != nil || len(grants.Grants) != 0 {
		t.Errorf("grants are left: %v, %v", grants, err)
	}
}

// TestTerraformIAM does the same with users, groups, roles and policies, and lets
// the user that it made assume the role.
func TestTerraformIAM(t *testing.T) {
	t.Parallel()
	terraformBinary(t)
	s := start(t)
	tf := newTerraform(t, s, "iam", map[string]string{
		"metadata.xml": samltest.New(t, "https://idp.example.com/metadata", time.Now()).Metadata(),
	})
	tf.apply()

	var id, secret, role string
	tf.output("access_key", &id)
	tf.output("secret_key", &secret)
	tf.output("role", &role)
	cfg := sdkConfig(t, s, defaultRegion)
	cfg.Credentials = credentials.NewStaticCredentialsProvider(id, secret, "")
	alice := sts.NewFromConfig(cfg)
	assume := &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: aws.String("terraform")}
	if _, err := alice.AssumeRole(t.Context(), assume); err != nil {
		t.Errorf("alice cannot assume the role: %v", err)
	}

	changed := []string{"-var=team=billing", `-var=actions=["kms:Decrypt","kms:Encrypt"]`}
	tf.apply(changed...)
	// The access key, the password and the list of a group's members cannot be imported.
	tf.run("destroy", append([]string{"-auto-approve", "-target=aws_iam_access_key.alice", "-target=aws_iam_user_login_profile.bob"}, changed...)...)
	other := tf.adopt(s, "iam", 3, changed...)
	other.run("destroy", append([]string{"-auto-approve"}, changed...)...)
	_, err := alice.AssumeRole(t.Context(), assume)
	wantError(t, err, "InvalidClientTokenId", "*")
}
