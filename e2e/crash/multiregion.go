package crash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/strongroom/strongroom/e2e/binary"
)

// regions are those of the server, the first with all keys of workers.
var regions = [2]string{"us-east-1", "eu-west-1"}

// mostMultiRegion is how many of the workers have a multi-Region key.
const mostMultiRegion = 3

// regionsWithin is how long replicating a key or making another the primary may take.
const regionsWithin = time.Minute

// multiKey is a worker's multi-Region key, which begins in the first of regions.
type multiKey struct {
	description string
	id          string // "" until its creation was acknowledged or found
	replica     value  // there, or "" for none
	primary     value  // the Region of the primary
	// moved is set while what was asked for in several Regions may be under way:
	// until the next check, which waits for its end.
	moved bool
	blobs []*blob // made in either Region
	// checked are the blobs before this one, which were decrypted in all Regions
	// after a restart.
	checked int
}

// other is the Region of regions that region is not.
func other(region string) string {
	if region == regions[0] {
		return regions[1]
	}
	return regions[0]
}

// stepMulti makes one call with the worker's multi-Region key.
func (w *worker) stepMulti(ctx context.Context, c *client) error {
	m := &w.multi
	at := c.in[m.primary.acknowledged]
	switch n := w.choices.IntN(4); {
	case m.id == "":
		m.description = w.next("multi-Region key")
		out, err := c.CreateKey(ctx, &kms.CreateKeyInput{Description: &m.description, MultiRegion: aws.Bool(true)})
		if err := answered("CreateKey", err); err != nil {
			return err
		}
		m.id = *out.KeyMetadata.KeyId
		return nil
	case m.replica.acknowledged == "" && !m.moved:
		m.moved = true
		return change(&m.replica, there, func() error {
			_, err := at.ReplicateKey(ctx, &kms.ReplicateKeyInput{KeyId: &m.id, ReplicaRegion: aws.String(other(m.primary.acknowledged))})
			return answered("ReplicateKey", err)
		})
	case n == 0 && !m.moved:
		m.moved = true
		to := other(m.primary.acknowledged)
		return change(&m.primary, to, func() error {
			_, err := at.UpdatePrimaryRegion(ctx, &kms.UpdatePrimaryRegionInput{KeyId: &m.id, PrimaryRegion: &to})
			return answered("UpdatePrimaryRegion", err)
		})
	case n == 1 && m.replica.acknowledged == there && !m.moved:
		at = c.in[other(m.primary.acknowledged)]
	}
	b := &blob{plaintext: []byte(w.next("plaintext"))}
	out, err := at.Encrypt(ctx, &kms.EncryptInput{KeyId: &m.id, Plaintext: b.plaintext})
	if err := answered("Encrypt", err); err != nil {
		return err
	}
	b.ciphertext = out.CiphertextBlob
	m.blobs = append(m.blobs, b)
	return nil
}

// check waits until nothing is under way between the Regions and compares the key
// in each.
func (m *multiKey) check(ctx context.Context, asking *client, everything bool) error {
	if m.id == "" {
		return nil
	}
	var seen []*types.MultiRegionConfiguration
	replica := ""
	for _, region := range regions {
		described, err := m.settled(ctx, asking.in[region])
		var missing *types.NotFoundException
		if region == regions[1] && errors.As(err, &missing) {
			continue
		}
		if err != nil {
			return fmt.Errorf("%s in %s: %w", m.id, region, err)
		}
		if region == regions[1] {
			replica = there
		}
		if _, err := asking.in[region].GetKeyPolicy(ctx, &kms.GetKeyPolicyInput{KeyId: &m.id}); err != nil {
			return fmt.Errorf("the policy of %s in %s is lost: %w", m.id, region, err)
		}
		seen = append(seen, described.MultiRegionConfiguration)
	}
	primary := aws.ToString(seen[0].PrimaryKey.Region)
	for _, shared := range seen {
		if aws.ToString(shared.PrimaryKey.Region) != primary || len(shared.ReplicaKeys) != len(seen)-1 {
			return fmt.Errorf("%s is in %d Regions, where one says %d replicas of %s and another says %s",
				m.id, len(seen), len(shared.ReplicaKeys), aws.ToString(shared.PrimaryKey.Region), primary)
		}
	}
	if !m.replica.allows(replica) || !m.primary.allows(primary) {
		return fmt.Errorf("%s: replica %q, primary in %s; acknowledged was %q, %s", m.id, replica, primary, m.replica.acknowledged, m.primary.acknowledged)
	}
	m.replica.settle(replica)
	m.primary.settle(primary)
	m.moved = false
	return m.decrypt(ctx, asking, everything)
}

// settled describes the key in one Region when nothing is under way there.
func (m *multiKey) settled(ctx context.Context, asking *kms.Client) (found *types.KeyMetadata, err error) {
	err = binary.Until("the end of a change in several Regions of "+m.id, regionsWithin, func() (bool, error) {
		described, err := asking.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &m.id})
		if err != nil {
			return false, err
		}
		found = described.KeyMetadata
		switch found.KeyState {
		case types.KeyStateEnabled:
			return true, nil
		case types.KeyStateCreating, types.KeyStateUpdating:
			return false, nil
		}
		return false, fmt.Errorf("it is %s", found.KeyState)
	})
	return found, err
}

// decrypt decrypts in each Region that has the key what was encrypted in either.
func (m *multiKey) decrypt(ctx context.Context, asking *client, everything bool) error {
	for i, b := range m.blobs {
		if i < m.checked && !everything {
			continue
		}
		for _, region := range regions {
			if region == regions[1] && m.replica.acknowledged == "" {
				continue
			}
			out, err := asking.in[region].Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: b.ciphertext, KeyId: &m.id})
			if err != nil {
				return fmt.Errorf("ciphertext %d of %s does not decrypt in %s: %w", i+1, m.id, region, err)
			}
			if !bytes.Equal(out.Plaintext, b.plaintext) {
				return fmt.Errorf("ciphertext %d of %s decrypts to %q in %s, not %q", i+1, m.id, out.Plaintext, region, b.plaintext)
			}
		}
	}
	m.checked = len(m.blobs)
	return nil
}
