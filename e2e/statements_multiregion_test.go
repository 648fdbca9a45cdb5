package e2e

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/strongroom/strongroom/e2e/binary"
)

func TestStatement63DeletingAPrimaryWaitsForItsReplicas(t *testing.T) {
	s := shared(t)
	c := kmsClient(t, s, defaultRegion)
	primary := multiRegionKey(t, s)
	replica := replicate(t, s, primary)
	out := scheduleDeletion(t, c, primary)
	if out.KeyState != types.KeyStatePendingReplicaDeletion || out.DeletionDate != nil || aws.ToInt32(out.PendingWindowInDays) != 30 {
		t.Errorf("%+v", out)
	}
	if now := describe(t, c, primary); now.KeyState != types.KeyStatePendingReplicaDeletion || now.DeletionDate != nil || aws.ToInt32(now.PendingDeletionWindowInDays) != 30 {
		t.Errorf("%+v", now)
	}
	encrypt(t, kmsClient(t, s, secondRegion), *replica.KeyId, []byte("replicas go on"), nil)
}

// multiRegionKey makes a primary key in the default region.
func multiRegionKey(t *testing.T, s *binary.Server) *types.KeyMetadata {
	t.Helper()
	return createKey(t, kmsClient(t, s, defaultRegion), &kms.CreateKeyInput{MultiRegion: aws.Bool(true)})
}

// replicate makes a replica in the second region and waits until it is enabled.
func replicate(t *testing.T, s *binary.Server, primary *types.KeyMetadata) *types.KeyMetadata {
	t.Helper()
	out, err := kmsClient(t, s, defaultRegion).ReplicateKey(t.Context(), &kms.ReplicateKeyInput{KeyId: primary.KeyId, ReplicaRegion: aws.String(secondRegion)})
	if err != nil {
		t.Fatal(err)
	}
	there := kmsClient(t, s, secondRegion)
	err = binary.Until("the end of a replica's creation", untilDone, func() (bool, error) {
		return describe(t, there, out.ReplicaKeyMetadata).KeyState == types.KeyStateEnabled, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.ReplicaKeyMetadata
}

func TestStatement87NoReplicaBesideThePrimary(t *testing.T) {
	s := shared(t)
	_, err := kmsClient(t, s, defaultRegion).ReplicateKey(t.Context(), &kms.ReplicateKeyInput{KeyId: multiRegionKey(t, s).KeyId, ReplicaRegion: aws.String(defaultRegion)})
	wantError(t, err, "ValidationException", "us-east-1 cannot have a replica because it contains the primary.")
}

func TestStatement88ReplicasAndPrimariesOpenEachOthersCiphertexts(t *testing.T) {
	s := shared(t)
	here, there := kmsClient(t, s, defaultRegion), kmsClient(t, s, secondRegion)
	primary := multiRegionKey(t, s)
	replica := replicate(t, s, primary)
	if *replica.KeyId != *primary.KeyId || *replica.Arn == *primary.Arn {
		t.Errorf("the replica is %s", *replica.Arn)
	}
	for _, one := range []struct {
		from, to *kms.Client
		under    *types.KeyMetadata
	}{{there, here, primary}, {here, there, replica}} {
		out, err := one.to.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: encrypt(t, one.from, *primary.KeyId, []byte("x"), nil)})
		if err != nil || string(out.Plaintext) != "x" || aws.ToString(out.KeyId) != *one.under.Arn {
			t.Errorf("%+v %v", out, err)
		}
	}
	_, err := here.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: encrypt(t, there, *replica.KeyId, []byte("x"), nil), KeyId: replica.Arn})
	wantError(t, err, "IncorrectKeyException", "*")
}

func TestStatement89ThePrimaryStaysWhereItIs(t *testing.T) {
	s := shared(t)
	c := kmsClient(t, s, defaultRegion)
	primary := multiRegionKey(t, s)
	replicate(t, s, primary)
	if _, err := c.UpdatePrimaryRegion(t.Context(), &kms.UpdatePrimaryRegionInput{KeyId: primary.KeyId, PrimaryRegion: aws.String(defaultRegion)}); err != nil {
		t.Fatal(err)
	}
	now := describe(t, c, primary)
	if now.KeyState != types.KeyStateEnabled || now.MultiRegionConfiguration.MultiRegionKeyType != types.MultiRegionKeyTypePrimary ||
		aws.ToString(now.MultiRegionConfiguration.PrimaryKey.Region) != defaultRegion {
		t.Errorf("%+v", now)
	}
}
