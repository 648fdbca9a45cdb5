package e2e

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

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

func TestStatement52AliasesKeepTheirUsage(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	name := createAlias(t, c, createKey(t, c, nil))
	other := keyOf(t, c, types.KeySpecHmac256, types.KeyUsageTypeGenerateVerifyMac)
	_, err := c.UpdateAlias(t.Context(), &kms.UpdateAliasInput{AliasName: &name, TargetKeyId: other.KeyId})
	wantError(t, err, "ValidationException", "Alias arn:aws:kms:us-east-1:000000000000:"+name+
		" cannot be changed from a CMK with key usage ENCRYPT_DECRYPT to a CMK with key usage GENERATE_VERIFY_MAC."+
		" The key usage of the current CMK and the new CMK must be the same.")
	if _, err := c.UpdateAlias(t.Context(), &kms.UpdateAliasInput{AliasName: &name, TargetKeyId: createKey(t, c, nil).KeyId}); err != nil {
		t.Errorf("to a key of the same usage: %v", err)
	}
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
