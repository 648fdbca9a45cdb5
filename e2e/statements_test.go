package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// The numbered statements about AWS KMS that Strongroom is held to, as far as
// they are about symmetric keys: one test each, named by its number. Statements
// that are false as stated are tested as what holds instead.

func TestStatement01EncryptOf4097BytesIsRefusedEvenForAMissingKey(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := createKey(t, c, nil)
	for _, id := range []string{*key.KeyId, absentKey} {
		_, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &id, Plaintext: make([]byte, 4097)})
		wantError(t, err, "ValidationException", tooLong)
	}
}

// absentKey is a well-formed id that no key has.
const absentKey = "deadbeef-dead-4ead-8ead-deadbeefdead"

func TestStatement02EncryptOfNothingIsRefused(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	_, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: createKey(t, c, nil).KeyId, Plaintext: []byte{}})
	wantError(t, err, "ValidationException", "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length greater than or equal to 1")
}

func TestStatement03EncryptTwiceGivesDifferentBlobs(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := createKey(t, c, nil)
	if bytes.Equal(encrypt(t, c, *key.KeyId, []byte("same"), nil), encrypt(t, c, *key.KeyId, []byte("same"), nil)) {
		t.Error("equal input gave equal blobs")
	}
}

func TestStatement04EncryptDoesNotReturnTheKeyMaterialID(t *testing.T) {
	s := shared(t)
	c := kmsClient(t, s, defaultRegion)
	key := createKey(t, c, nil)
	answer := signedCall(t, s, "Encrypt", fmt.Sprintf(`{"KeyId":%q,"Plaintext":"eA=="}`, *key.KeyId))
	if answer.status != http.StatusOK || strings.Contains(string(answer.body), "KeyMaterialId") {
		t.Errorf("%d %s", answer.status, answer.body)
	}
}

func TestStatement05EncryptNamesTheAlgorithmUnasked(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	out, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: createKey(t, c, nil).KeyId, Plaintext: []byte("x")})
	if err != nil || out.EncryptionAlgorithm != types.EncryptionAlgorithmSpecSymmetricDefault {
		t.Errorf("%+v %v", out, err)
	}
}

func TestStatement06EncryptViaAliasReturnsTheKeyARN(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := createKey(t, c, nil)
	alias := createAlias(t, c, key)
	out, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &alias, Plaintext: []byte("x")})
	if err != nil || aws.ToString(out.KeyId) != *key.Arn {
		t.Errorf("%+v %v", out, err)
	}
}

// createAlias makes an alias named after the test.
func createAlias(t *testing.T, c *kms.Client, key *types.KeyMetadata) string {
	t.Helper()
	name := "alias/" + strings.ReplaceAll(t.Name(), "#", "-")
	if _, err := c.CreateAlias(t.Context(), &kms.CreateAliasInput{AliasName: &name, TargetKeyId: key.KeyId}); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestStatement10DecryptNeedsNoKeyID(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := createKey(t, c, nil)
	out, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: encrypt(t, c, *key.KeyId, []byte("x"), nil)})
	if err != nil || aws.ToString(out.KeyId) != *key.Arn || string(out.Plaintext) != "x" {
		t.Errorf("%+v %v", out, err)
	}
	if aws.ToString(out.KeyMaterialId) == "" || aws.ToString(out.KeyMaterialId) != aws.ToString(key.CurrentKeyMaterialId) {
		t.Errorf("KeyMaterialId %q, the key's is %q", aws.ToString(out.KeyMaterialId), aws.ToString(key.CurrentKeyMaterialId))
	}
}

func TestStatement12DecryptWithAnotherKeyIsRefused(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key, other := createKey(t, c, nil), createKey(t, c, nil)
	blob := encrypt(t, c, *key.KeyId, []byte("x"), nil)
	_, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob, KeyId: other.KeyId})
	wantError(t, err, "IncorrectKeyException", "The key ID in the request does not identify a CMK that can perform this operation.")
	// It comes before the other key's state.
	if _, err := c.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: other.KeyId}); err != nil {
		t.Fatal(err)
	}
	_, err = c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob, KeyId: other.KeyId})
	wantError(t, err, "IncorrectKeyException", "*")
}

func TestStatement14OneFlippedBitIsRefusedWithoutAMessage(t *testing.T) {
	s := shared(t)
	c := kmsClient(t, s, defaultRegion)
	blob := encrypt(t, c, *createKey(t, c, nil).KeyId, []byte("x"), nil)
	for i := range blob {
		flipped := bytes.Clone(blob)
		flipped[i] ^= 1 << (i % 8)
		_, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: flipped})
		if err == nil || !strings.Contains(err.Error(), "InvalidCiphertextException") {
			t.Fatalf("byte %d flipped: %v", i, err)
		}
	}
	for name, bad := range map[string][]byte{"cut": blob[:len(blob)-1], "extended": append(bytes.Clone(blob), 0), "garbage": []byte("garbage"), "one byte": {0}} {
		_, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: bad})
		if err == nil || !strings.Contains(err.Error(), "InvalidCiphertextException") {
			t.Errorf("%s: %v", name, err)
		}
	}
	answer := signedCall(t, s, "Decrypt", `{"CiphertextBlob":"Z2FyYmFnZQ=="}`)
	if got := strings.TrimSpace(string(answer.body)); got != `{"__type":"InvalidCiphertextException"}` || answer.status != http.StatusBadRequest {
		t.Errorf("%d %s", answer.status, got)
	}
}

func TestStatement15ContextInAnotherOrderDecrypts(t *testing.T) {
	s := shared(t)
	c := kmsClient(t, s, defaultRegion)
	key := createKey(t, c, nil)
	made := signedCall(t, s, "Encrypt", fmt.Sprintf(`{"KeyId":%q,"Plaintext":"eA==","EncryptionContext":{"b":"2","a":"1","c":"3"}}`, *key.KeyId))
	blob := made.member(t, "CiphertextBlob")
	for _, encryptionContext := range []string{`{"a":"1","b":"2","c":"3"}`, `{"c":"3","b":"2","a":"1"}`} {
		answer := signedCall(t, s, "Decrypt", fmt.Sprintf(`{"CiphertextBlob":%q,"EncryptionContext":%s}`, blob, encryptionContext))
		if answer.status != http.StatusOK {
			t.Errorf("%s: %d %s", encryptionContext, answer.status, answer.body)
		}
	}
}

func TestStatement16ContextInAnotherCaseDoesNotDecrypt(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := createKey(t, c, nil)
	blob := encrypt(t, c, *key.KeyId, []byte("x"), map[string]string{"Tenant": "a"})
	for _, other := range []map[string]string{{"tenant": "a"}, {"Tenant": "A"}, {"Tenant": "a", "more": ""}, {}} {
		_, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob, EncryptionContext: other})
		wantError(t, err, "InvalidCiphertextException", "*")
	}
	plain := encrypt(t, c, *key.KeyId, []byte("x"), map[string]string{})
	if _, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: plain}); err != nil {
		t.Errorf("an empty context is not an absent one: %v", err)
	}
}

func TestStatement18DisabledKeyDoesNotDecrypt(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := createKey(t, c, nil)
	blob := encrypt(t, c, *key.KeyId, []byte("x"), nil)
	if _, err := c.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: key.KeyId}); err != nil {
		t.Fatal(err)
	}
	_, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob})
	wantError(t, err, "DisabledException", *key.Arn+" is disabled.")
}

func TestStatement19KeyPendingDeletionDoesNotDecrypt(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := createKey(t, c, nil)
	blob := encrypt(t, c, *key.KeyId, []byte("x"), nil)
	scheduleDeletion(t, c, key)
	_, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob})
	wantError(t, err, "KMSInvalidStateException", *key.Arn+" is pending deletion.")
}

// scheduleDeletion makes a key pending deletion.
func scheduleDeletion(t *testing.T, c *kms.Client, key *types.KeyMetadata) *kms.ScheduleKeyDeletionOutput {
	t.Helper()
	out, err := c.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: key.KeyId})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestStatement23DataKeySpecAndLengthExcludeEachOther(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := createKey(t, c, nil)
	const message = "Please specify either number of bytes or key spec."
	_, err := c.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: key.KeyId, KeySpec: types.DataKeySpecAes256, NumberOfBytes: aws.Int32(32)})
	wantError(t, err, "ValidationException", message)
	_, err = c.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: key.KeyId})
	wantError(t, err, "ValidationException", message)
}

func TestStatement24DataKeysHaveAtMost1024Bytes(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := createKey(t, c, nil)
	out, err := c.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: key.KeyId, NumberOfBytes: aws.Int32(1024)})
	if err != nil || len(out.Plaintext) != 1024 {
		t.Errorf("%v", err)
	}
	_, err = c.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: key.KeyId, NumberOfBytes: aws.Int32(1025)})
	wantError(t, err, "ValidationException", "1 validation error detected: Value '1025' at 'numberOfBytes' failed to satisfy constraint: Member must have value less than or equal to 1024")
}

func TestStatement25RandomNeedsANumber(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	_, err := c.GenerateRandom(t.Context(), &kms.GenerateRandomInput{})
	wantError(t, err, "ValidationException", "NumberOfBytes is required.")
}

func TestStatement36DryRunThatWouldSucceedIsStatus400(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := createKey(t, c, nil)
	_, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: key.KeyId, Plaintext: []byte("x"), DryRun: aws.Bool(true)})
	wantError(t, err, "DryRunOperationException", "The request would have succeeded, but the DryRun option is set.")
	var response *awshttp.ResponseError
	if !errors.As(err, &response) || response.HTTPStatusCode() != http.StatusBadRequest {
		t.Errorf("%v", err)
	}
}

func TestStatement41CreateKeyWithoutArguments(t *testing.T) {
	s := shared(t)
	key := createKey(t, kmsClient(t, s, defaultRegion), nil)
	if key.KeySpec != types.KeySpecSymmetricDefault || key.KeyUsage != types.KeyUsageTypeEncryptDecrypt || key.Origin != types.OriginTypeAwsKms ||
		key.KeyManager != types.KeyManagerTypeCustomer || key.KeyState != types.KeyStateEnabled || !key.Enabled ||
		key.Description == nil || *key.Description != "" || key.MultiRegion == nil || *key.MultiRegion ||
		len(key.EncryptionAlgorithms) != 1 || key.EncryptionAlgorithms[0] != types.EncryptionAlgorithmSpecSymmetricDefault ||
		aws.ToString(key.AWSAccountId) != defaultAccount {
		t.Errorf("%+v", key)
	}
	// Deprecated, and still in every answer.
	answer := signedCall(t, s, "DescribeKey", fmt.Sprintf(`{"KeyId":%q}`, *key.KeyId))
	if !strings.Contains(string(answer.body), `"CustomerMasterKeySpec":"SYMMETRIC_DEFAULT"`) {
		t.Errorf("%s", answer.body)
	}
}

func TestStatement43KeyIDInMetadataIsTheBareID(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := createKey(t, c, nil)
	if strings.Contains(*key.KeyId, ":") || *key.Arn != "arn:aws:kms:us-east-1:000000000000:key/"+*key.KeyId {
		t.Errorf("KeyId %s, Arn %s", *key.KeyId, *key.Arn)
	}
}

func TestStatement44ListKeysHoldsOnlyIDAndARN(t *testing.T) {
	s := shared(t)
	createKey(t, kmsClient(t, s, defaultRegion), nil)
	answer := signedCall(t, s, "ListKeys", `{"Limit":1}`)
	for _, entry := range answer.list(t, "Keys") {
		if len(entry) != 2 || entry["KeyId"] == nil || entry["KeyArn"] == nil {
			t.Errorf("an entry %v", entry)
		}
	}
}

func TestStatement45DescribeKeyAcceptsAnAliasARN(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := createKey(t, c, nil)
	arn := "arn:aws:kms:us-east-1:000000000000:" + createAlias(t, c, key)
	out, err := c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: &arn})
	if err != nil || aws.ToString(out.KeyMetadata.KeyId) != *key.KeyId {
		t.Errorf("%+v %v", out, err)
	}
}

func TestStatement46DisableKeyRefusesAliases(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	for _, name := range []string{createAlias(t, c, createKey(t, c, nil)), "alias/absent"} {
		_, err := c.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: &name})
		wantError(t, err, "InvalidArnException", "Key Aliases are not supported for this operation.")
	}
}

func TestStatement47UnknownKeyIsNamedByItsARN(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	_, err := c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: aws.String(absentKey)})
	wantError(t, err, "NotFoundException", "Key 'arn:aws:kms:us-east-1:000000000000:key/"+absentKey+"' does not exist")
}

func TestStatement48MalformedKeyID(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	for _, id := range []string{"foo", strings.ReplaceAll(absentKey, "-", ""), "mrk-nothex"} {
		_, err := c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: &id})
		wantError(t, err, "NotFoundException", "Invalid keyId '"+id+"'")
	}
}

func TestStatement49ARNOfAnotherRegion(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	_, err := c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: aws.String("arn:aws:kms:eu-west-3:000000000000:key/" + absentKey)})
	wantError(t, err, "NotFoundException", "Invalid arn eu-west-3")
}

func TestStatement50AliasNeedsItsPrefix(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	_, err := c.CreateAlias(t.Context(), &kms.CreateAliasInput{AliasName: aws.String("no-prefix"), TargetKeyId: createKey(t, c, nil).KeyId})
	wantError(t, err, "ValidationException", `Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html`)
}

func TestStatement51CreateAliasTwiceFails(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := createKey(t, c, nil)
	name := createAlias(t, c, key)
	_, err := c.CreateAlias(t.Context(), &kms.CreateAliasInput{AliasName: &name, TargetKeyId: key.KeyId})
	wantError(t, err, "AlreadyExistsException", "An alias with the name arn:aws:kms:us-east-1:000000000000:"+name+" already exists")
}

func TestStatement53AliasOntoAKeyPendingDeletion(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := createKey(t, c, nil)
	scheduleDeletion(t, c, key)
	_, err := c.CreateAlias(t.Context(), &kms.CreateAliasInput{AliasName: aws.String("alias/onto-pending"), TargetKeyId: key.KeyId})
	wantError(t, err, "KMSInvalidStateException", *key.Arn+" is pending deletion.")
}

func TestStatement54DeletingAnAbsentAliasFails(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	_, err := c.DeleteAlias(t.Context(), &kms.DeleteAliasInput{AliasName: aws.String("alias/absent")})
	wantError(t, err, "NotFoundException", "Alias arn:aws:kms:us-east-1:000000000000:alias/absent is not found.")
}

func TestStatement55The51stTagIsRefused(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	var tags []types.Tag
	for i := range 50 {
		tags = append(tags, types.Tag{TagKey: aws.String(fmt.Sprintf("tag-%d", i)), TagValue: aws.String("")})
	}
	key := createKey(t, c, &kms.CreateKeyInput{Tags: tags})
	_, err := c.TagResource(t.Context(), &kms.TagResourceInput{KeyId: key.KeyId, Tags: []types.Tag{{TagKey: aws.String("tag-50"), TagValue: aws.String("")}}})
	wantError(t, err, "TagException", "Too many tags")
	// One that is there already is not one more.
	if _, err := c.TagResource(t.Context(), &kms.TagResourceInput{KeyId: key.KeyId, Tags: []types.Tag{{TagKey: aws.String("tag-0"), TagValue: aws.String("new")}}}); err != nil {
		t.Error(err)
	}
}

func TestStatement56ReservedTagKeys(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := createKey(t, c, nil)
	for _, name := range []string{"AWS:x", "aws:x", "aWs:"} {
		_, err := c.TagResource(t.Context(), &kms.TagResourceInput{KeyId: key.KeyId, Tags: []types.Tag{{TagKey: &name, TagValue: aws.String("v")}}})
		wantError(t, err, "TagException", "Tags beginning with aws: are reserved")
	}
}

func TestStatement57UntaggingAnAbsentTagSucceeds(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	if _, err := c.UntagResource(t.Context(), &kms.UntagResourceInput{KeyId: createKey(t, c, nil).KeyId, TagKeys: []string{"absent"}}); err != nil {
		t.Error(err)
	}
}

func TestStatement58PendingDeletionTakesAPolicyButNoTag(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := createKey(t, c, nil)
	scheduleDeletion(t, c, key)
	_, err := c.TagResource(t.Context(), &kms.TagResourceInput{KeyId: key.KeyId, Tags: []types.Tag{{TagKey: aws.String("k"), TagValue: aws.String("v")}}})
	wantError(t, err, "KMSInvalidStateException", *key.Arn+" is pending deletion.")
	if _, err := c.PutKeyPolicy(t.Context(), &kms.PutKeyPolicyInput{KeyId: key.KeyId, Policy: aws.String(defaultPolicy)}); err != nil {
		t.Error(err)
	}
}

func TestStatement59DeletionWindowIs30DaysByDefault(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	before := time.Now()
	out := scheduleDeletion(t, c, createKey(t, c, nil))
	after := time.Now()
	const window = 30 * 24 * time.Hour
	if out.DeletionDate.Before(before.Add(window-time.Second)) || out.DeletionDate.After(after.Add(window+time.Second)) || aws.ToInt32(out.PendingWindowInDays) != 30 {
		t.Errorf("DeletionDate %v, window %d", out.DeletionDate, aws.ToInt32(out.PendingWindowInDays))
	}
}

func TestStatement60DeletionWindowHasBounds(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := createKey(t, c, nil)
	for _, days := range []int32{6, 31} {
		_, err := c.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: key.KeyId, PendingWindowInDays: aws.Int32(days)})
		wantError(t, err, "ValidationException", "PendingWindowInDays must be between 7 and 30")
	}
}

func TestStatement61SchedulingTwiceFails(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := createKey(t, c, nil)
	scheduleDeletion(t, c, key)
	_, err := c.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: key.KeyId})
	wantError(t, err, "KMSInvalidStateException", *key.Arn+" is pending deletion.")
}

func TestStatement62CancelLeavesTheKeyDisabled(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := createKey(t, c, nil)
	scheduleDeletion(t, c, key)
	if _, err := c.CancelKeyDeletion(t.Context(), &kms.CancelKeyDeletionInput{KeyId: key.KeyId}); err != nil {
		t.Fatal(err)
	}
	out, err := c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: key.KeyId})
	if err != nil || out.KeyMetadata.KeyState != types.KeyStateDisabled || out.KeyMetadata.Enabled || out.KeyMetadata.DeletionDate != nil {
		t.Errorf("%+v %v", out, err)
	}
	_, err = c.CancelKeyDeletion(t.Context(), &kms.CancelKeyDeletionInput{KeyId: key.KeyId})
	wantError(t, err, "KMSInvalidStateException", "*")
}

func TestStatement73GarbageMarkerIsRefusedWithoutAMessage(t *testing.T) {
	s := shared(t)
	for _, operation := range []string{"ListKeys", "ListAliases"} {
		answer := signedCall(t, s, operation, `{"Marker":"garbage"}`)
		if got := strings.TrimSpace(string(answer.body)); got != `{"__type":"InvalidMarkerException"}` || answer.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", operation, answer.status, got)
		}
	}
}

func TestStatement74NextMarkerIsAbsentAtTheEnd(t *testing.T) {
	s := shared(t)
	createKey(t, kmsClient(t, s, defaultRegion), nil)
	answer := signedCall(t, s, "ListKeys", `{"Limit":1000}`)
	if strings.Contains(string(answer.body), "NextMarker") || !strings.Contains(string(answer.body), `"Truncated":false`) {
		t.Errorf("%s", answer.body)
	}
}

func TestStatement85LockoutIsRefusedUnlessBypassed(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := createKey(t, c, nil)
	const message = "The new key policy will not allow you to update the key policy in the future."
	_, err := c.PutKeyPolicy(t.Context(), &kms.PutKeyPolicyInput{KeyId: key.KeyId, Policy: aws.String(lockingPolicy)})
	wantError(t, err, "MalformedPolicyDocumentException", message)
	_, err = c.CreateKey(t.Context(), &kms.CreateKeyInput{Policy: aws.String(lockingPolicy)})
	wantError(t, err, "MalformedPolicyDocumentException", message)
	if _, err := c.PutKeyPolicy(t.Context(), &kms.PutKeyPolicyInput{KeyId: key.KeyId, Policy: aws.String(lockingPolicy), BypassPolicyLockoutSafetyCheck: true}); err != nil {
		t.Fatal(err)
	}
	_, err = c.PutKeyPolicy(t.Context(), &kms.PutKeyPolicyInput{KeyId: key.KeyId, Policy: aws.String(defaultPolicy)})
	wantError(t, err, "AccessDeniedException", "*")
	if _, err := c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: key.KeyId}); err != nil {
		t.Errorf("what the policy still allows: %v", err)
	}
}

func TestStatement86ReEncryptIsAuthorisedAsFromAndTo(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	allow := func(actions string) *string {
		return aws.String(strings.Replace(lockingPolicy, `"kms:DescribeKey"`, `["kms:PutKeyPolicy", "kms:Encrypt", `+actions+`]`, 1))
	}
	wrong := createKey(t, c, &kms.CreateKeyInput{Policy: allow(`"kms:ReEncrypt"`)})
	from := createKey(t, c, &kms.CreateKeyInput{Policy: allow(`"kms:ReEncryptFrom"`)})
	to := createKey(t, c, &kms.CreateKeyInput{Policy: allow(`"kms:ReEncryptTo"`)})
	for _, one := range []struct {
		from, to *types.KeyMetadata
		allowed  bool
	}{{wrong, wrong, false}, {wrong, to, false}, {from, wrong, false}, {to, from, false}, {from, to, true}} {
		_, err := c.ReEncrypt(t.Context(), &kms.ReEncryptInput{
			CiphertextBlob: encrypt(t, c, *one.from.KeyId, []byte("x"), nil), DestinationKeyId: one.to.KeyId,
		})
		if one.allowed && err != nil {
			t.Errorf("ReEncryptFrom and ReEncryptTo are not enough: %v", err)
		}
		if !one.allowed {
			wantError(t, err, "AccessDeniedException", "*")
		}
	}
}
