package e2e

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/strongroom/strongroom/e2e/binary"
)

func TestStatement64RotationPeriodHasBounds(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := createKey(t, c, nil)
	for days, clause := range map[int32]string{
		89:   "Value '89' at 'rotationPeriodInDays' failed to satisfy constraint: Member must have value greater than or equal to 90",
		2561: "Value '2561' at 'rotationPeriodInDays' failed to satisfy constraint: Member must have value less than or equal to 2560",
	} {
		_, err := c.EnableKeyRotation(t.Context(), &kms.EnableKeyRotationInput{KeyId: key.KeyId, RotationPeriodInDays: &days})
		wantError(t, err, "ValidationException", "1 validation error detected: "+clause)
	}
	if status := rotationStatus(t, c, key); status.KeyRotationEnabled {
		t.Errorf("%+v", status)
	}
	for _, days := range []int32{90, 2560} {
		enableRotation(t, c, key, days)
		if status := rotationStatus(t, c, key); !status.KeyRotationEnabled || aws.ToInt32(status.RotationPeriodInDays) != days {
			t.Errorf("%+v", status)
		}
	}
}

func enableRotation(t *testing.T, c *kms.Client, key *types.KeyMetadata, days int32) {
	t.Helper()
	if _, err := c.EnableKeyRotation(t.Context(), &kms.EnableKeyRotationInput{KeyId: key.KeyId, RotationPeriodInDays: &days}); err != nil {
		t.Fatal(err)
	}
}

func rotationStatus(t *testing.T, c *kms.Client, key *types.KeyMetadata) *kms.GetKeyRotationStatusOutput {
	t.Helper()
	out, err := c.GetKeyRotationStatus(t.Context(), &kms.GetKeyRotationStatusInput{KeyId: key.KeyId})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestStatement65TheSamePeriodKeepsTheSchedule(t *testing.T) {
	s := start(t, "--dev")
	c := devClient(s, "test", defaultRegion)
	key := createKey(t, c, nil)
	enableRotation(t, c, key, 100)
	first := rotationStatus(t, c, key).NextRotationDate
	advance(t, s, "240h")
	enableRotation(t, c, key, 100)
	if again := rotationStatus(t, c, key).NextRotationDate; !again.Equal(*first) {
		t.Errorf("NextRotationDate moved from %v to %v", first, again)
	}
	enableRotation(t, c, key, 101)
	const days = 11 * 24 * time.Hour // ten have passed, and the period is one longer
	if moved := rotationStatus(t, c, key).NextRotationDate.Sub(*first); moved < days || moved > days+time.Hour {
		t.Errorf("another period moves NextRotationDate by %v, not by %v", moved, days)
	}
}

func hmacKey(t *testing.T, c *kms.Client) *types.KeyMetadata {
	t.Helper()
	return keyOf(t, c, types.KeySpecHmac256, types.KeyUsageTypeGenerateVerifyMac)
}

func TestStatement66RotationStatusOfAnHMACKey(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := hmacKey(t, c)
	status := rotationStatus(t, c, key)
	if status.KeyRotationEnabled || status.NextRotationDate != nil || status.RotationPeriodInDays != nil || aws.ToString(status.KeyId) != *key.Arn {
		t.Errorf("%+v", status)
	}
}

func TestStatement67DisablingTheRotationOfAnHMACKeySucceeds(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	if _, err := c.DisableKeyRotation(t.Context(), &kms.DisableKeyRotationInput{KeyId: hmacKey(t, c).KeyId}); err != nil {
		t.Error(err)
	}
}

func TestStatement68HMACKeysDoNotRotate(t *testing.T) {
	s := shared(t)
	c := kmsClient(t, s, defaultRegion)
	key := hmacKey(t, c)
	_, err := c.EnableKeyRotation(t.Context(), &kms.EnableKeyRotationInput{KeyId: key.KeyId})
	wantError(t, err, "UnsupportedOperationException", "")
	for _, operation := range []string{"EnableKeyRotation", "RotateKeyOnDemand"} {
		wantBare(t, s, operation, map[string]any{"KeyId": key.KeyId}, "UnsupportedOperationException")
	}
}

func TestStatement69TheTwentySixthRotationOnDemandIsRefused(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := createKey(t, c, nil)
	for range 25 {
		rotate(t, c, key)
	}
	_, err := c.RotateKeyOnDemand(t.Context(), &kms.RotateKeyOnDemandInput{KeyId: key.KeyId})
	wantError(t, err, "LimitExceededException",
		"The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be performed for this key: "+*key.Arn)
	list, err := c.ListKeyRotations(t.Context(), &kms.ListKeyRotationsInput{KeyId: key.KeyId})
	if err != nil || len(list.Rotations) != 25 {
		t.Errorf("%d rotations, %v", len(list.Rotations), err)
	}
}

// rotate rotates a key on demand and waits until it has another material.
func rotate(t *testing.T, c *kms.Client, key *types.KeyMetadata) {
	t.Helper()
	before := *describe(t, c, key).CurrentKeyMaterialId
	out, err := c.RotateKeyOnDemand(t.Context(), &kms.RotateKeyOnDemandInput{KeyId: key.KeyId})
	if err != nil {
		t.Fatal(err)
	}
	if aws.ToString(out.KeyId) != *key.Arn {
		t.Errorf("RotateKeyOnDemand answers %s", aws.ToString(out.KeyId))
	}
	err = binary.Until("a rotation on demand", untilDone, func() (bool, error) {
		return *describe(t, c, key).CurrentKeyMaterialId != before, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestStatement70RotatingOnDemandKeepsTheSchedule(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := createKey(t, c, nil)
	enableRotation(t, c, key, 365)
	before := rotationStatus(t, c, key).NextRotationDate
	rotate(t, c, key)
	if after := rotationStatus(t, c, key).NextRotationDate; !after.Equal(*before) {
		t.Errorf("NextRotationDate moved from %v to %v", before, after)
	}
}

func TestStatement71OldCiphertextsOpenAfterRotation(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := createKey(t, c, nil)
	old := encrypt(t, c, *key.KeyId, []byte("old"), nil)
	rotate(t, c, key)
	fresh := encrypt(t, c, *key.KeyId, []byte("new"), nil)
	current := *describe(t, c, key).CurrentKeyMaterialId
	for _, one := range []struct {
		blob           []byte
		text, material string
	}{{old, "old", *key.CurrentKeyMaterialId}, {fresh, "new", current}} {
		out, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: one.blob})
		if err != nil {
			t.Fatal(err)
		}
		if string(out.Plaintext) != one.text || aws.ToString(out.KeyMaterialId) != one.material || aws.ToString(out.KeyId) != *key.Arn {
			t.Errorf("%q under material %s of %s, want material %s", out.Plaintext, aws.ToString(out.KeyMaterialId), aws.ToString(out.KeyId), one.material)
		}
	}
}

func TestStatement72RotationsOfAKeyThatNeverRotated(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := createKey(t, c, nil)
	list, err := c.ListKeyRotations(t.Context(), &kms.ListKeyRotationsInput{KeyId: key.KeyId})
	if err != nil || list.Rotations == nil || len(list.Rotations) != 0 || list.Truncated {
		t.Errorf("%+v %v", list, err)
	}
	list, err = c.ListKeyRotations(t.Context(), &kms.ListKeyRotationsInput{KeyId: key.KeyId, IncludeKeyMaterial: types.IncludeKeyMaterialAllKeyMaterial})
	if err != nil || len(list.Rotations) != 1 {
		t.Fatalf("%+v %v", list, err)
	}
	only := list.Rotations[0]
	if only.KeyMaterialState != types.KeyMaterialStateCurrent || aws.ToString(only.KeyMaterialId) != *key.CurrentKeyMaterialId ||
		aws.ToString(only.KeyId) != *key.Arn || only.RotationDate != nil || only.RotationType != "" {
		t.Errorf("%+v", only)
	}
}

func TestStatement90NobodyTurnsOnTheRotationOfAnAWSManagedKey(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	out, err := c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: aws.String("alias/aws/s3")})
	if err != nil {
		t.Fatal(err)
	}
	arn := aws.ToString(out.KeyMetadata.Arn)
	_, err = c.EnableKeyRotation(t.Context(), &kms.EnableKeyRotationInput{KeyId: &arn})
	wantError(t, err, "AccessDeniedException", "User: arn:aws:iam::"+defaultAccount+":root is not authorized to perform: kms:EnableKeyRotation"+
		" on resource: "+arn+" because no resource-based policy allows the kms:EnableKeyRotation action")
	status, err := c.GetKeyRotationStatus(t.Context(), &kms.GetKeyRotationStatusInput{KeyId: &arn})
	if err != nil || status.KeyRotationEnabled {
		t.Errorf("its rotation: %+v, %v", status, err)
	}
}
