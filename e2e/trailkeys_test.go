package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/e2e/binary"
)

// TestEncryptedTrail has a trail delivered to an S3 server under a KMS key: the key's
// policy decides who writes and who reads, and what is inside proves itself as that
// of every trail does.
func TestEncryptedTrail(t *testing.T) {
	t.Parallel()
	bucket := newS3Server(t)
	s := start(t, "--dev")
	env := devEnvironment(s)
	c := newCLI(t, env)
	credentials := c.file("credentials", []byte("[default]\naws_access_key_id = test\naws_secret_access_key = test\n"))
	succeeds(t, s, "trail", "bucket", "audit", "--endpoint", bucket.url, "--path-style", "--credentials", credentials)

	// What stands in the CloudTrail User Guide, "Configure AWS KMS key policies for
	// CloudTrail", for this trail.
	arn := "arn:aws:cloudtrail:" + defaultRegion + ":" + defaultAccount + ":trail/main"
	policy := c.file("policy.json", []byte(`{"Version":"2012-10-17","Statement":[
		{"Sid":"Enable IAM User Permissions","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::`+defaultAccount+`:root"},"Action":"kms:*","Resource":"*"},
		{"Sid":"Allow CloudTrail to encrypt logs","Effect":"Allow","Principal":{"Service":"cloudtrail.amazonaws.com"},"Action":"kms:GenerateDataKey*","Resource":"*",
		 "Condition":{"StringEquals":{"aws:SourceArn":"`+arn+`","aws:SourceAccount":"`+defaultAccount+`"},
		              "StringLike":{"kms:EncryptionContext:aws:cloudtrail:arn":"arn:aws:cloudtrail:*:`+defaultAccount+`:trail/*"}}}]}`))
	plain := c.query("KeyMetadata.Arn", "kms", "create-key")
	key := c.query("KeyMetadata.Arn", "kms", "create-key", "--policy", "file://"+policy)
	off := c.query("KeyMetadata.Arn", "kms", "create-key", "--policy", "file://"+policy)
	c.run("kms", "disable-key", "--key-id", off)
	c.run("kms", "create-alias", "--alias-name", "alias/audit", "--target-key-id", key)
	create := func(name, key string) []string {
		return []string{"cloudtrail", "create-trail", "--name", name, "--s3-bucket-name", "audit", "--enable-log-file-validation", "--kms-key-id", key}
	}
	c.fails("InsufficientEncryptionPolicyException", "", create("main", plain)...)
	c.fails("InsufficientEncryptionPolicyException", "", create("other", key)...) // by aws:SourceArn
	c.fails("KmsKeyNotFoundException", "", create("main", "alias/none")...)
	c.fails("KmsKeyDisabledException", "", create("main", off)...)
	if got := c.query("KmsKeyId", create("main", "alias/audit")...); got != key {
		t.Errorf("the trail's key is %s, want %s", got, key)
	}
	c.run("cloudtrail", "start-logging", "--name", "main")

	delivered := func() int { return len(bucket.files(t, logFiles)) }
	inTheClear := func(path string) bool {
		body, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.HasPrefix(body, []byte{0x1f, 0x8b})
	}
	files := func(n int) {
		t.Helper()
		advance(t, s, "6m")
		bucket.waitFor(t, n, logFiles)
	}
	c.run("kms", "list-aliases")
	files(1)
	for _, path := range bucket.files(t, "/CloudTrail") {
		if inTheClear(path) {
			t.Errorf("%s is in the clear", path)
		}
	}
	made := succeeds(t, s, "audit", "search", "--operation", "GenerateDataKey", "--error", "none", "--format", "json")
	for _, want := range []string{
		`"userIdentity":{"type":"AWSService","invokedBy":"cloudtrail.amazonaws.com"}`, `"sourceIPAddress":"cloudtrail.amazonaws.com"`, `"userAgent":"cloudtrail.amazonaws.com"`,
		`"aws:cloudtrail:arn":"` + arn + `"`, `"ARN":"` + key + `"`,
	} {
		if !strings.Contains(made, want) {
			t.Errorf("no data key is recorded with %s:\n%s", want, made)
		}
	}

	// A key that is disabled delays the trail, and says so.
	c.run("kms", "disable-key", "--key-id", key)
	before := delivered()
	advance(t, s, "6m")
	err := binary.Until("the failure of the delivery", untilDone, func() (bool, error) {
		return c.query("LatestDeliveryError", "cloudtrail", "get-trail-status", "--name", "main") == "KMS.DisabledException", nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c.run("kms", "enable-key", "--key-id", key)
	files(before + 1)
	advance(t, s, "1h")
	bucket.waitFor(t, 1, digestFiles)

	out := filepath.Join(t.TempDir(), "clear")
	from := []string{"trail", "decrypt", "s3://audit/AWSLogs", out, "--endpoint", bucket.url, "--path-style", "--credentials", credentials}
	stranger := append(env[:len(env):len(env)], "AWS_ACCESS_KEY_ID=111122223333")
	if _, stderr, err := command(t, stranger, executable, from...); err == nil || !strings.Contains(stderr, "Denied") {
		t.Errorf("another account reads the trail: %v %s", err, stderr)
	}
	if err := os.RemoveAll(out); err != nil {
		t.Fatal(err)
	}
	if stdout, stderr, err := command(t, env, executable, from...); err != nil || strings.Contains(stdout, " 0 of them") {
		t.Fatalf("%v: %s%s", err, stdout, stderr)
	}
	keys := c.file("keys.json", []byte(c.run("cloudtrail", "list-public-keys", "--start-time", "2020-01-01T00:00:00Z", "--end-time", "2099-01-01T00:00:00Z")))
	stdout, stderr, err := command(t, nil, executable, "trail", "verify", out, "--public-keys", keys)
	if err != nil || strings.HasPrefix(stdout, "0 ") {
		t.Errorf("%v: %s%s", err, stdout, stderr)
	}
	if found := succeeds(t, s, "audit", "search", "--operation", "Decrypt", "--error", "none", "--format", "json"); !strings.Contains(found, arn) {
		t.Errorf("reading is not recorded:\n%s", found)
	}

	// Without a key again: the rest is in the clear, all but what was on its way.
	if sealed := bucket.files(t, logFiles); slices.ContainsFunc(sealed, inTheClear) {
		t.Errorf("one of %q is in the clear", sealed)
	}
	c.run("cloudtrail", "update-trail", "--name", "main", "--kms-key-id", "")
	advance(t, s, "6m")
	err = binary.Until("a log file in the clear", untilDone, func() (bool, error) {
		return slices.ContainsFunc(bucket.files(t, logFiles), inTheClear), nil
	})
	if err != nil {
		t.Error(err)
	}
}
