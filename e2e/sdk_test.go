package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/strongroom/strongroom/e2e/binary"
)

// The tour of the SDK for Go: each test is one thing that people do with a KMS.

func TestSDKEncryptsAndDecrypts(t *testing.T) {
	c := kmsClient(t, start(t), defaultRegion)
	key := createKey(t, c, &kms.CreateKeyInput{Description: aws.String("for files")})
	if got := aws.ToString(key.Description); got != "for files" {
		t.Errorf("Description %q", got)
	}
	encryptionContext := map[string]string{"tenant": "a", "purpose": "tour"}
	blob := encrypt(t, c, *key.KeyId, []byte("attack at dawn"), encryptionContext)

	out, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob, EncryptionContext: encryptionContext})
	if err != nil {
		t.Fatal(err)
	}
	if string(out.Plaintext) != "attack at dawn" || aws.ToString(out.KeyId) != *key.Arn {
		t.Errorf("Decrypt gave %q under %s", out.Plaintext, aws.ToString(out.KeyId))
	}
	_, err = c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob})
	wantError(t, err, "InvalidCiphertextException", "*")
	_, err = c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: key.KeyId, Plaintext: make([]byte, 4097)})
	wantError(t, err, "ValidationException", tooLong)

	longest := bytes.Repeat([]byte{0xA5}, 4096)
	blob = encrypt(t, c, *key.KeyId, longest, nil)
	if len(blob) > 6144 {
		t.Errorf("a ciphertext of %d bytes", len(blob))
	}
	if out, err = c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob}); err != nil || !bytes.Equal(out.Plaintext, longest) {
		t.Errorf("4,096 bytes do not come back: %v", err)
	}
}

// tooLong is what AWS answers to an Encrypt of more than 4,096 bytes.
const tooLong = "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096"

func TestSDKDataKeys(t *testing.T) {
	c := kmsClient(t, start(t), defaultRegion)
	key := createKey(t, c, nil)
	full, err := c.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: key.Arn, KeySpec: types.DataKeySpecAes256})
	if err != nil {
		t.Fatal(err)
	}
	if len(full.Plaintext) != 32 {
		t.Errorf("an AES_256 data key of %d bytes", len(full.Plaintext))
	}
	opened, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: full.CiphertextBlob})
	if err != nil || !bytes.Equal(opened.Plaintext, full.Plaintext) {
		t.Errorf("the data key does not come back: %v", err)
	}
	bare, err := c.GenerateDataKeyWithoutPlaintext(t.Context(), &kms.GenerateDataKeyWithoutPlaintextInput{KeyId: key.Arn, NumberOfBytes: aws.Int32(64)})
	if err != nil {
		t.Fatal(err)
	}
	if opened, err = c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: bare.CiphertextBlob}); err != nil || len(opened.Plaintext) != 64 {
		t.Errorf("a data key of 64 bytes came back as %d: %v", len(opened.Plaintext), err)
	}
	random, err := c.GenerateRandom(t.Context(), &kms.GenerateRandomInput{NumberOfBytes: aws.Int32(48)})
	if err != nil || len(random.Plaintext) != 48 {
		t.Errorf("GenerateRandom: %v", err)
	}
}

func TestSDKReEncrypts(t *testing.T) {
	c := kmsClient(t, start(t), defaultRegion)
	from, to := createKey(t, c, nil), createKey(t, c, nil)
	blob := encrypt(t, c, *from.KeyId, []byte("moving"), map[string]string{"a": "1"})
	moved, err := c.ReEncrypt(t.Context(), &kms.ReEncryptInput{
		CiphertextBlob: blob, SourceEncryptionContext: map[string]string{"a": "1"},
		DestinationKeyId: to.Arn, DestinationEncryptionContext: map[string]string{"b": "2"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if aws.ToString(moved.SourceKeyId) != *from.Arn || aws.ToString(moved.KeyId) != *to.Arn {
		t.Errorf("from %s to %s", aws.ToString(moved.SourceKeyId), aws.ToString(moved.KeyId))
	}
	if _, err := c.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: from.KeyId}); err != nil {
		t.Fatal(err)
	}
	out, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: moved.CiphertextBlob, EncryptionContext: map[string]string{"b": "2"}})
	if err != nil || string(out.Plaintext) != "moving" {
		t.Errorf("%+v %v", out, err)
	}
}

func TestSDKAliasIsRepointed(t *testing.T) {
	c := kmsClient(t, start(t), defaultRegion)
	first, second := createKey(t, c, nil), createKey(t, c, nil)
	alias := aws.String("alias/app/files")
	if _, err := c.CreateAlias(t.Context(), &kms.CreateAliasInput{AliasName: alias, TargetKeyId: first.KeyId}); err != nil {
		t.Fatal(err)
	}
	before := encrypt(t, c, *alias, []byte("old"), nil)
	if _, err := c.UpdateAlias(t.Context(), &kms.UpdateAliasInput{AliasName: alias, TargetKeyId: second.KeyId}); err != nil {
		t.Fatal(err)
	}
	after := encrypt(t, c, *alias, []byte("new"), nil)
	for _, one := range []struct {
		blob []byte
		key  *types.KeyMetadata
		want string
	}{{before, first, "old"}, {after, second, "new"}} {
		out, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: one.blob})
		if err != nil {
			t.Fatal(err)
		}
		if string(out.Plaintext) != one.want || aws.ToString(out.KeyId) != *one.key.Arn {
			t.Errorf("%q under %s, want %q under %s", out.Plaintext, aws.ToString(out.KeyId), one.want, *one.key.Arn)
		}
	}
	list, err := c.ListAliases(t.Context(), &kms.ListAliasesInput{KeyId: second.KeyId})
	if err != nil || len(list.Aliases) != 1 || aws.ToString(list.Aliases[0].AliasName) != *alias {
		t.Errorf("ListAliases: %+v %v", list, err)
	}
	if _, err := c.DeleteAlias(t.Context(), &kms.DeleteAliasInput{AliasName: alias}); err != nil {
		t.Fatal(err)
	}
	_, err = c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: alias})
	wantError(t, err, "NotFoundException", "Alias arn:aws:kms:us-east-1:000000000000:alias/app/files is not found.")
}

func TestSDKRestartKeepsEverything(t *testing.T) {
	s := start(t)
	c := kmsClient(t, s, defaultRegion)
	key := createKey(t, c, &kms.CreateKeyInput{Description: aws.String("kept"), Tags: []types.Tag{{TagKey: aws.String("k"), TagValue: aws.String("v")}}})
	if _, err := c.CreateAlias(t.Context(), &kms.CreateAliasInput{AliasName: aws.String("alias/kept"), TargetKeyId: key.KeyId}); err != nil {
		t.Fatal(err)
	}
	blob := encrypt(t, c, "alias/kept", []byte("still here"), nil)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	s = startIn(t, s.Data)
	c = kmsClient(t, s, defaultRegion)
	out, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob})
	if err != nil || string(out.Plaintext) != "still here" {
		t.Fatalf("%v", err)
	}
	described, err := c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: aws.String("alias/kept")})
	if err != nil || aws.ToString(described.KeyMetadata.Description) != "kept" || !described.KeyMetadata.CreationDate.Equal(*key.CreationDate) {
		t.Fatalf("%+v %v", described, err)
	}
	tags, err := c.ListResourceTags(t.Context(), &kms.ListResourceTagsInput{KeyId: key.KeyId})
	if err != nil || len(tags.Tags) != 1 || aws.ToString(tags.Tags[0].TagValue) != "v" {
		t.Fatalf("%+v %v", tags, err)
	}
	verify(t, s)
}

func TestSDKDisabledKeyRefuses(t *testing.T) {
	c := kmsClient(t, start(t), defaultRegion)
	key := createKey(t, c, nil)
	blob := encrypt(t, c, *key.KeyId, []byte("x"), nil)
	for range 2 { // idempotent
		if _, err := c.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: key.KeyId}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob})
	wantError(t, err, "DisabledException", *key.Arn+" is disabled.")
	_, err = c.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: key.KeyId, KeySpec: types.DataKeySpecAes128})
	wantError(t, err, "DisabledException", *key.Arn+" is disabled.")
	if _, err := c.EnableKey(t.Context(), &kms.EnableKeyInput{KeyId: key.KeyId}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob}); err != nil {
		t.Error(err)
	}
}

func TestSDKDeletionIsScheduledAndCancelled(t *testing.T) {
	c := kmsClient(t, start(t), defaultRegion)
	key := createKey(t, c, nil)
	blob := encrypt(t, c, *key.KeyId, []byte("x"), nil)
	scheduled, err := c.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: key.KeyId, PendingWindowInDays: aws.Int32(7)})
	if err != nil {
		t.Fatal(err)
	}
	if scheduled.KeyState != types.KeyStatePendingDeletion || aws.ToString(scheduled.KeyId) != *key.Arn || aws.ToInt32(scheduled.PendingWindowInDays) != 7 {
		t.Errorf("%+v", scheduled)
	}
	_, err = c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: key.KeyId, Plaintext: []byte("x")})
	wantError(t, err, "KMSInvalidStateException", *key.Arn+" is pending deletion.")
	cancelled, err := c.CancelKeyDeletion(t.Context(), &kms.CancelKeyDeletionInput{KeyId: key.KeyId})
	if err != nil || aws.ToString(cancelled.KeyId) != *key.Arn {
		t.Fatalf("%+v %v", cancelled, err)
	}
	if _, err := c.EnableKey(t.Context(), &kms.EnableKeyInput{KeyId: key.KeyId}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob}); err != nil {
		t.Error(err)
	}
}

func TestDevClockDeletesWhatIsDue(t *testing.T) {
	s := start(t, "--dev")
	c := devClient(s, "test", defaultRegion)
	doomed, kept := createKey(t, c, nil), createKey(t, c, nil)
	if _, err := c.CreateAlias(t.Context(), &kms.CreateAliasInput{AliasName: aws.String("alias/doomed"), TargetKeyId: doomed.KeyId}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: doomed.KeyId, PendingWindowInDays: aws.Int32(7)}); err != nil {
		t.Fatal(err)
	}
	advance(t, s, "167h")
	if _, err := c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: doomed.KeyId}); err != nil {
		t.Fatalf("an hour early: %v", err)
	}
	advance(t, s, "2h")
	var err error
	gone := binary.Until("the deletion of a key that is due", untilDone, func() (bool, error) {
		_, err = c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: doomed.KeyId})
		return err != nil, nil
	})
	if gone != nil {
		t.Fatal(gone)
	}
	wantError(t, err, "NotFoundException", "Key '"+*doomed.Arn+"' does not exist")
	list, err := c.ListAliases(t.Context(), &kms.ListAliasesInput{})
	if err != nil {
		t.Fatal(err)
	}
	for _, alias := range list.Aliases {
		if aws.ToString(alias.AliasName) == "alias/doomed" {
			t.Error("the alias outlives its key")
		}
	}
	encrypt(t, c, *kept.KeyId, []byte("x"), nil)

	dev(t, s, "reset", map[string]string{})
	_, err = c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: kept.KeyId})
	wantError(t, err, "NotFoundException", "Key '"+*kept.Arn+"' does not exist")
}

func TestSDKPolicies(t *testing.T) {
	c := kmsClient(t, start(t), defaultRegion)
	key := createKey(t, c, nil)
	got, err := c.GetKeyPolicy(t.Context(), &kms.GetKeyPolicyInput{KeyId: key.KeyId, PolicyName: aws.String("default")})
	if err != nil {
		t.Fatal(err)
	}
	if aws.ToString(got.Policy) != defaultPolicy {
		t.Errorf("the default policy is\n%s\nwant\n%s", aws.ToString(got.Policy), defaultPolicy)
	}
	if aws.ToString(got.PolicyName) != "default" {
		t.Errorf("PolicyName %q", aws.ToString(got.PolicyName))
	}
	_, err = c.PutKeyPolicy(t.Context(), &kms.PutKeyPolicyInput{KeyId: key.KeyId, Policy: aws.String(lockingPolicy)})
	wantError(t, err, "MalformedPolicyDocumentException", "The new key policy will not allow you to update the key policy in the future.")
	_, err = c.PutKeyPolicy(t.Context(), &kms.PutKeyPolicyInput{KeyId: key.KeyId, Policy: aws.String(`{"Version":"2012-10-17","Statement":[`)})
	wantError(t, err, "MalformedPolicyDocumentException", "*")

	// Without Encrypt the root user may not encrypt: nobody owns a key implicitly.
	narrow := strings.Replace(lockingPolicy, `"kms:DescribeKey"`, `["kms:DescribeKey", "kms:PutKeyPolicy", "kms:GetKeyPolicy"]`, 1)
	if _, err := c.PutKeyPolicy(t.Context(), &kms.PutKeyPolicyInput{KeyId: key.KeyId, Policy: aws.String(narrow)}); err != nil {
		t.Fatal(err)
	}
	_, err = c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: key.KeyId, Plaintext: []byte("x")})
	wantError(t, err, "AccessDeniedException", "*")
	if want := "is not authorized to perform: kms:Encrypt on resource: " + *key.Arn; !strings.Contains(err.Error(), want) {
		t.Errorf("the refusal lacks %q: %v", want, err)
	}
	other := createKey(t, c, nil)
	if names, err := c.ListKeyPolicies(t.Context(), &kms.ListKeyPoliciesInput{KeyId: other.KeyId}); err != nil || !slices.Equal(names.PolicyNames, []string{"default"}) || names.Truncated {
		t.Errorf("%+v %v", names, err)
	}
}

// defaultPolicy is the policy of a key that was created without one, letter for
// letter.
const defaultPolicy = `{
  "Version" : "2012-10-17",
  "Id" : "key-default-1",
  "Statement" : [ {
    "Sid" : "Enable IAM User Permissions",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "arn:aws:iam::000000000000:root"
    },
    "Action" : "kms:*",
    "Resource" : "*"
  } ]
}`

// lockingPolicy lets the account's root look at the key and nothing else.
const lockingPolicy = `{
  "Version": "2012-10-17",
  "Statement": {
    "Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::000000000000:root"},
    "Action": "kms:DescribeKey",
    "Resource": "*"
  }
}`

func TestSDKTags(t *testing.T) {
	c := kmsClient(t, start(t), defaultRegion)
	key := createKey(t, c, &kms.CreateKeyInput{Tags: []types.Tag{{TagKey: aws.String("team"), TagValue: aws.String("a")}}})
	if _, err := c.TagResource(t.Context(), &kms.TagResourceInput{KeyId: key.KeyId, Tags: []types.Tag{
		{TagKey: aws.String("team"), TagValue: aws.String("b")},
		{TagKey: aws.String("empty"), TagValue: aws.String("")},
	}}); err != nil {
		t.Fatal(err)
	}
	if got := tagsOf(t, c, *key.KeyId); got != "team=b empty=" {
		t.Errorf("tags %q", got)
	}
	if _, err := c.UntagResource(t.Context(), &kms.UntagResourceInput{KeyId: key.KeyId, TagKeys: []string{"team", "absent"}}); err != nil {
		t.Fatal(err)
	}
	if got := tagsOf(t, c, *key.KeyId); got != "empty=" {
		t.Errorf("tags %q", got)
	}
	_, err := c.TagResource(t.Context(), &kms.TagResourceInput{KeyId: key.KeyId, Tags: []types.Tag{
		{TagKey: aws.String("twice"), TagValue: aws.String("1")}, {TagKey: aws.String("twice"), TagValue: aws.String("2")},
	}})
	wantError(t, err, "TagException", "Duplicate tag keys")
}

// tagsOf lists a key's tags as "key=value", separated by spaces.
func tagsOf(t *testing.T, c *kms.Client, key string) string {
	t.Helper()
	out, err := c.ListResourceTags(t.Context(), &kms.ListResourceTagsInput{KeyId: &key})
	if err != nil {
		t.Fatal(err)
	}
	var tags []string
	for _, tag := range out.Tags {
		tags = append(tags, aws.ToString(tag.TagKey)+"="+aws.ToString(tag.TagValue))
	}
	return strings.Join(tags, " ")
}

func TestSDKPagination(t *testing.T) {
	c := kmsClient(t, start(t), defaultRegion)
	want := map[string]bool{}
	target := createKey(t, c, nil)
	want[*target.KeyId] = true
	for range 6 {
		want[*createKey(t, c, nil).KeyId] = true
	}
	pages := 0
	got := map[string]bool{}
	keys := kms.NewListKeysPaginator(c, &kms.ListKeysInput{Limit: aws.Int32(3)})
	for keys.HasMorePages() {
		page, err := keys.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		pages++
		if len(page.Keys) > 3 || page.Truncated != (page.NextMarker != nil) {
			t.Errorf("page %d: %d keys, Truncated %v, NextMarker %v", pages, len(page.Keys), page.Truncated, page.NextMarker)
		}
		for _, key := range page.Keys {
			if got[*key.KeyId] {
				t.Errorf("%s is listed twice", *key.KeyId)
			}
			got[*key.KeyId] = true
		}
	}
	if pages != 3 || len(got) != len(want) {
		t.Errorf("%d keys on %d pages, want %d on 3", len(got), pages, len(want))
	}
	for i := range 5 {
		if _, err := c.CreateAlias(t.Context(), &kms.CreateAliasInput{AliasName: aws.String(fmt.Sprintf("alias/page-%d", i)), TargetKeyId: target.KeyId}); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	aliases := kms.NewListAliasesPaginator(c, &kms.ListAliasesInput{Limit: aws.Int32(2), KeyId: target.KeyId})
	for aliases.HasMorePages() {
		page, err := aliases.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, alias := range page.Aliases {
			names = append(names, *alias.AliasName)
		}
	}
	slices.Sort(names)
	if got := strings.Join(names, " "); got != "alias/page-0 alias/page-1 alias/page-2 alias/page-3 alias/page-4" {
		t.Errorf("aliases %s", got)
	}
}

func TestSDKRegionsAreIsolated(t *testing.T) {
	s := start(t, "--regions", "eu-central-1,us-east-1")
	frankfurt, virginia := kmsClient(t, s, "eu-central-1"), kmsClient(t, s, "us-east-1")
	key := createKey(t, frankfurt, nil)
	if want := "arn:aws:kms:eu-central-1:000000000000:key/" + *key.KeyId; *key.Arn != want {
		t.Errorf("Arn %s, want %s", *key.Arn, want)
	}
	if _, err := frankfurt.CreateAlias(t.Context(), &kms.CreateAliasInput{AliasName: aws.String("alias/here"), TargetKeyId: key.KeyId}); err != nil {
		t.Fatal(err)
	}
	blob := encrypt(t, frankfurt, *key.KeyId, []byte("x"), nil)

	_, err := virginia.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: key.KeyId})
	wantError(t, err, "NotFoundException", "Key 'arn:aws:kms:us-east-1:000000000000:key/"+*key.KeyId+"' does not exist")
	_, err = virginia.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: aws.String("alias/here")})
	wantError(t, err, "NotFoundException", "Alias arn:aws:kms:us-east-1:000000000000:alias/here is not found.")
	_, err = virginia.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: key.Arn})
	wantError(t, err, "NotFoundException", "Invalid arn eu-central-1")
	if _, err = virginia.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob}); err == nil {
		t.Error("a ciphertext of one region opens in another")
	}
	list, err := virginia.ListKeys(t.Context(), &kms.ListKeysInput{})
	if err != nil || len(list.Keys) != 0 {
		t.Errorf("%d keys in the other region, %v", len(list.Keys), err)
	}
	_, err = kmsClient(t, s, "ap-southeast-2").ListKeys(t.Context(), &kms.ListKeysInput{})
	wantError(t, err, "InvalidSignatureException", "Credential should be scoped to a valid region.")
}

func TestSDKCallerIdentity(t *testing.T) {
	s := start(t, "--account", "123456789012")
	out, err := sts.NewFromConfig(sdkConfig(t, s, defaultRegion)).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil {
		t.Fatal(err)
	}
	if aws.ToString(out.Account) != "123456789012" || aws.ToString(out.Arn) != "arn:aws:iam::123456789012:root" || aws.ToString(out.UserId) != "123456789012" {
		t.Errorf("%s %s %s", aws.ToString(out.Account), aws.ToString(out.Arn), aws.ToString(out.UserId))
	}
}

func TestDevAccountsAreIsolated(t *testing.T) {
	s := start(t, "--dev")
	mine, theirs := devClient(s, "111111111111", defaultRegion), devClient(s, "222222222222", defaultRegion)
	key := createKey(t, mine, nil)
	if got := aws.ToString(key.AWSAccountId); got != "111111111111" {
		t.Errorf("AWSAccountId %s", got)
	}
	_, err := theirs.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: key.Arn})
	wantError(t, err, "AccessDeniedException", "*")
	list, err := theirs.ListKeys(t.Context(), &kms.ListKeysInput{})
	if err != nil || len(list.Keys) != 0 {
		t.Errorf("%d keys, %v", len(list.Keys), err)
	}
}

func TestAuditTellsWhoDidWhat(t *testing.T) {
	s := start(t)
	c := kmsClient(t, s, defaultRegion)
	key := createKey(t, c, nil)
	encrypt(t, c, *key.KeyId, []byte("secret"), map[string]string{"tenant": "a"})
	_, err := c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: aws.String("alias/absent")})
	wantError(t, err, "NotFoundException", "*")

	records, _ := export(t, s)
	byName := map[string]record{}
	for _, r := range records {
		byName[r.EventName] = r
	}
	made, used, failed := byName["CreateKey"], byName["Encrypt"], byName["DescribeKey"]
	if made.ReadOnly || !used.ReadOnly || !failed.ReadOnly {
		t.Error("readOnly is wrong")
	}
	if failed.ErrorCode != "NotFoundException" || failed.ErrorMessage == "" {
		t.Errorf("the failure is recorded as %q %q", failed.ErrorCode, failed.ErrorMessage)
	}
	var parameters struct {
		KeyID             string
		EncryptionContext map[string]string
		Plaintext         *string
	}
	if err := json.Unmarshal(used.RequestParameters, &parameters); err != nil {
		t.Fatal(err)
	}
	if parameters.EncryptionContext["tenant"] != "a" || parameters.KeyID != *key.KeyId || parameters.Plaintext != nil {
		t.Errorf("requestParameters %s", used.RequestParameters)
	}
	if len(used.Resources) != 1 || used.Resources[0].ARN != *key.Arn {
		t.Errorf("resources %+v", used.Resources)
	}
	id, _, err := binary.Credentials(s.Data)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []record{made, used, failed} {
		if r.EventSource != "kms.amazonaws.com" || r.UserIdentity.Type != "Root" || r.UserIdentity.AccessKeyID != id || r.RequestID == "" || r.EventID == "" {
			t.Errorf("%+v", r)
		}
	}
	verify(t, s)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	verify(t, s) // the folder alone, too
	offline, _ := export(t, s)
	if len(offline) < len(records) {
		t.Errorf("%d records offline, %d online", len(offline), len(records))
	}
}
