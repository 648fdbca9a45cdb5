package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

func TestStatement39AsymmetricKeysNeedAUsage(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	for _, spec := range []types.KeySpec{types.KeySpecRsa2048, types.KeySpecEccNistP256, types.KeySpecHmac256, types.KeySpecMlDsa65} {
		_, err := c.CreateKey(t.Context(), &kms.CreateKeyInput{KeySpec: spec})
		wantError(t, err, "ValidationException", "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.")
	}
}

func TestStatement40RSAKeysDoNotAgree(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	_, err := c.CreateKey(t.Context(), &kms.CreateKeyInput{KeySpec: types.KeySpecRsa2048, KeyUsage: types.KeyUsageTypeKeyAgreement})
	wantError(t, err, "ValidationException", "KeyUsage KEY_AGREEMENT is not compatible with KeySpec RSA_2048")
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

func TestStatement42ExternalKeyWaitsForItsMaterial(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	made := createKey(t, c, &kms.CreateKeyInput{Origin: types.OriginTypeExternal})
	for _, key := range []*types.KeyMetadata{made, describe(t, c, made)} {
		if key.Enabled || key.KeyState != types.KeyStatePendingImport || key.Origin != types.OriginTypeExternal || key.CurrentKeyMaterialId != nil ||
			key.ExpirationModel != "" || key.ValidTo != nil {
			t.Errorf("%+v", key)
		}
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
