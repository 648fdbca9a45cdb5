package crash

import (
	"context"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// key is a key whose creation was acknowledged.
type key struct {
	id, arn             string
	description, policy value
	tag                 value             // of the tag tagKey, "" for none
	state               value             // a types.KeyState
	rotations           value             // how many there were on demand, in decimal
	rotated             bool              // since the last check
	material            *material         // of a key with origin EXTERNAL
	grants              map[string]*grant // by name
	checked             bool              // was compared with a restarted server
}

// tagKey is the tag whose value workers change.
const tagKey = "serial"

// mostRotations is less than KMS's quota of rotations on demand.
const mostRotations = 20

// unsettled reports whether the key has never been compared with a restarted
// server, or not since a change that was not answered.
func (k *key) unsettled() bool {
	for _, g := range k.grants {
		if g.there.pending != nil {
			return true
		}
	}
	for _, v := range []*value{&k.description, &k.policy, &k.tag, &k.state, &k.rotations} {
		if v.pending != nil {
			return true
		}
	}
	return !k.checked || k.rotated
}

// is reports whether the key was last known to be in that state.
func (k *key) is(state types.KeyState) bool { return k.state.acknowledged == string(state) }

// switchOver disables an enabled key and enables a disabled one, or has it wait for
// its deletion.
func (k *key) switchOver(ctx context.Context, c *client, away bool) error {
	switch {
	case away:
		return change(&k.state, string(types.KeyStatePendingDeletion), func() error {
			_, err := c.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: &k.id, PendingWindowInDays: aws.Int32(7)})
			return answered("ScheduleKeyDeletion", err)
		})
	case k.is(types.KeyStateEnabled):
		return change(&k.state, string(types.KeyStateDisabled), func() error {
			_, err := c.DisableKey(ctx, &kms.DisableKeyInput{KeyId: &k.id})
			return answered("DisableKey", err)
		})
	default:
		return change(&k.state, string(types.KeyStateEnabled), func() error {
			_, err := c.EnableKey(ctx, &kms.EnableKeyInput{KeyId: &k.id})
			return answered("EnableKey", err)
		})
	}
}

// keep cancels the deletion of a key that waits for it.
func (k *key) keep(ctx context.Context, c *client) error {
	return change(&k.state, string(types.KeyStateDisabled), func() error {
		_, err := c.CancelKeyDeletion(ctx, &kms.CancelKeyDeletionInput{KeyId: &k.id})
		return answered("CancelKeyDeletion", err)
	})
}

// rotates reports whether the key can be rotated on demand. It is rotated at most
// once between two checks, which wait for the end of that: KMS takes a second
// request before then for the first.
func (k *key) rotates() bool {
	n, _ := strconv.Atoi(k.rotations.acknowledged) // this package wrote it
	return k.material == nil && k.is(types.KeyStateEnabled) && !k.rotated && n < mostRotations
}

// rotate asks for new material, which the server makes in its own time.
func (k *key) rotate(ctx context.Context, c *client) error {
	n, _ := strconv.Atoi(k.rotations.acknowledged)
	k.rotated = true
	return change(&k.rotations, strconv.Itoa(n+1), func() error {
		_, err := c.RotateKeyOnDemand(ctx, &kms.RotateKeyOnDemandInput{KeyId: &k.id})
		return answered("RotateKeyOnDemand", err)
	})
}

// retag sets the tag, or removes it when there is one.
func (k *key) retag(ctx context.Context, c *client, next string) error {
	if k.tag.acknowledged != "" {
		return change(&k.tag, "", func() error {
			_, err := c.UntagResource(ctx, &kms.UntagResourceInput{KeyId: &k.id, TagKeys: []string{tagKey}})
			return answered("UntagResource", err)
		})
	}
	return change(&k.tag, next, func() error {
		_, err := c.TagResource(ctx, &kms.TagResourceInput{KeyId: &k.id, Tags: []types.Tag{{TagKey: aws.String(tagKey), TagValue: &next}}})
		return answered("TagResource", err)
	})
}

func (k *key) describe(ctx context.Context, c *client, next string) error {
	return change(&k.description, next, func() error {
		_, err := c.UpdateKeyDescription(ctx, &kms.UpdateKeyDescriptionInput{KeyId: &k.id, Description: &next})
		return answered("UpdateKeyDescription", err)
	})
}

func (k *key) protect(ctx context.Context, c *client, next string) error {
	return change(&k.policy, next, func() error {
		_, err := c.PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: &k.id, Policy: &next})
		return answered("PutKeyPolicy", err)
	})
}
