package crash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"github.com/strongroom/strongroom/e2e/binary"
)

// checkKey compares one key. One that is new is also used.
func (w *worker) checkKey(ctx context.Context, c, asking *client, k *key) error {
	described, err := asking.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &k.arn})
	if err != nil {
		return fmt.Errorf("%s is lost: %w", k.id, err)
	}
	state := string(described.KeyMetadata.KeyState)
	if !k.state.allows(state) {
		return fmt.Errorf("%s is %s, acknowledged was %s", k.id, state, k.state.acknowledged)
	}
	description := aws.ToString(described.KeyMetadata.Description)
	if !k.description.allows(description) {
		return fmt.Errorf("%s: description %q, acknowledged was %q", k.id, description, k.description.acknowledged)
	}
	if external := described.KeyMetadata.Origin == types.OriginTypeExternal; external != (k.material != nil) {
		return fmt.Errorf("%s has origin %s", k.id, described.KeyMetadata.Origin)
	}
	got, err := asking.GetKeyPolicy(ctx, &kms.GetKeyPolicyInput{KeyId: &k.arn})
	if err != nil {
		return fmt.Errorf("the policy of %s is lost: %w", k.id, err)
	}
	if text := aws.ToString(got.Policy); !k.policy.allows(text) {
		return fmt.Errorf("%s: policy\n%s\nacknowledged was\n%s", k.id, text, k.policy.acknowledged)
	}
	tags, err := asking.ListResourceTags(ctx, &kms.ListResourceTagsInput{KeyId: &k.arn})
	if err != nil {
		return fmt.Errorf("the tags of %s are lost: %w", k.id, err)
	}
	tag := ""
	for _, found := range tags.Tags {
		tag += aws.ToString(found.TagValue) // there is one at most
	}
	if !k.tag.allows(tag) {
		return fmt.Errorf("%s: tag %q, acknowledged was %q", k.id, tag, k.tag.acknowledged)
	}
	k.tag.settle(tag)
	k.state.settle(state)
	k.description.settle(description)
	k.policy.settle(aws.ToString(got.Policy))
	if err := k.checkRotations(ctx, asking); err != nil {
		return err
	}
	if err := w.checkGrants(ctx, c, asking, k); err != nil {
		return err
	}
	if !k.checked && k.is(types.KeyStateEnabled) {
		if err := w.encrypt(ctx, asking, k); err != nil {
			return err
		}
	}
	k.checked = true
	return nil
}

// rotatedWithin is how long a rotation that was asked for may take.
const rotatedWithin = time.Minute

// checkRotations waits until no rotation of the key is under way and counts them.
// One that was asked for comes to its end although the server died.
func (k *key) checkRotations(ctx context.Context, asking *client) error {
	if k.rotations.acknowledged == "0" && k.rotations.pending == nil {
		return nil
	}
	err := binary.Until("the rotation of "+k.id, rotatedWithin, func() (bool, error) {
		status, err := asking.GetKeyRotationStatus(ctx, &kms.GetKeyRotationStatusInput{KeyId: &k.arn})
		return err == nil && status.OnDemandRotationStartDate == nil, err
	})
	if err != nil {
		return err
	}
	made, err := asking.ListKeyRotations(ctx, &kms.ListKeyRotationsInput{KeyId: &k.arn})
	if err != nil {
		return fmt.Errorf("the rotations of %s are lost: %w", k.id, err)
	}
	n := strconv.Itoa(len(made.Rotations))
	if !k.rotations.allows(n) {
		return fmt.Errorf("%s was rotated %s times, acknowledged were %s", k.id, n, k.rotations.acknowledged)
	}
	k.rotations.settle(n)
	k.rotated = false
	return nil
}

// refused is how KMS refuses to use keys that are in a state.
var refused = map[types.KeyState]string{
	types.KeyStateDisabled:        "DisabledException",
	types.KeyStatePendingImport:   "KMSInvalidStateException",
	types.KeyStatePendingDeletion: "KMSInvalidStateException",
}

// check compares one ciphertext, whose key has settled.
func (b *blob) check(ctx context.Context, c *client) error {
	out, err := c.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: b.ciphertext, EncryptionContext: b.encryptionContext})
	want := refused[types.KeyState(b.key.state.acknowledged)]
	var refusal smithy.APIError
	switch {
	case want != "" && err == nil:
		return fmt.Errorf("decrypts although its key is %s", b.key.state.acknowledged)
	case want != "" && errors.As(err, &refusal) && refusal.ErrorCode() == want:
		return nil
	case err != nil:
		return fmt.Errorf("does not decrypt while its key is %s: %w", b.key.state.acknowledged, err)
	case !bytes.Equal(out.Plaintext, b.plaintext):
		return fmt.Errorf("decrypts to %q, not %q", out.Plaintext, b.plaintext)
	}
	return nil
}
