package e2e

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// accountARN is a principal that grants may name.
const accountARN = "arn:aws:iam::000000000000:root"

func TestStatement81GrantsFitTheKeyUsage(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := keyOf(t, c, types.KeySpecHmac256, types.KeyUsageTypeGenerateVerifyMac)
	in := &kms.CreateGrantInput{KeyId: key.KeyId, GranteePrincipal: aws.String(accountARN), Operations: []types.GrantOperation{types.GrantOperationEncrypt}}
	_, err := c.CreateGrant(t.Context(), in)
	wantError(t, err, "ValidationException", "Operations [Encrypt] are not supported when creating a grant for a symmetric KMS key with key usage GENERATE_VERIFY_MAC."+
		" Valid operations are [CreateGrant, RetireGrant, DescribeKey, GenerateMac, VerifyMac]")
	in.Operations = []types.GrantOperation{types.GrantOperationGenerateMac}
	if _, err := c.CreateGrant(t.Context(), in); err != nil {
		t.Error(err)
	}
}

func TestStatement82ConstraintsAreForSymmetricKeys(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := keyOf(t, c, types.KeySpecEccNistP256, types.KeyUsageTypeSignVerify)
	for _, constraints := range []types.GrantConstraints{
		{EncryptionContextSubset: map[string]string{"tenant": "a"}}, {EncryptionContextEquals: map[string]string{"tenant": "a"}},
	} {
		_, err := c.CreateGrant(t.Context(), &kms.CreateGrantInput{
			KeyId: key.KeyId, GranteePrincipal: aws.String(accountARN), Operations: []types.GrantOperation{types.GrantOperationSign}, Constraints: &constraints,
		})
		wantError(t, err, "ValidationException", "EncryptionContext is supported only when creating a grant for a symmetric encryption KMS key.")
	}
}

func TestStatement83NamedGrantsAreIdempotent(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	in := &kms.CreateGrantInput{
		KeyId: createKey(t, c, nil).KeyId, GranteePrincipal: aws.String(accountARN),
		Operations: []types.GrantOperation{types.GrantOperationDecrypt}, Name: aws.String("nightly"),
	}
	grant := func() *kms.CreateGrantOutput {
		t.Helper()
		out, err := c.CreateGrant(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	first, second := grant(), grant()
	if *first.GrantId != *second.GrantId || *first.GrantToken == *second.GrantToken {
		t.Errorf("grants %s and %s, equal tokens %v", *first.GrantId, *second.GrantId, *first.GrantToken == *second.GrantToken)
	}
	in.Name = nil
	if third := grant(); *third.GrantId == *first.GrantId {
		t.Error("a grant without a name is the one with a name")
	}
	list, err := c.ListGrants(t.Context(), &kms.ListGrantsInput{KeyId: in.KeyId})
	if err != nil || len(list.Grants) != 2 {
		t.Errorf("%+v %v", list, err)
	}
}

func TestStatement84RevokeGrantTakesNoToken(t *testing.T) {
	s := shared(t)
	c := kmsClient(t, s, defaultRegion)
	key := createKey(t, c, nil)
	made, err := c.CreateGrant(t.Context(), &kms.CreateGrantInput{
		KeyId: key.KeyId, GranteePrincipal: aws.String(accountARN), Operations: []types.GrantOperation{types.GrantOperationDecrypt},
	})
	if err != nil {
		t.Fatal(err)
	}
	answer := signedCall(t, s, "RevokeGrant", fmt.Sprintf(`{"KeyId":%q,"GrantToken":%q}`, *key.KeyId, *made.GrantToken))
	const want = "1 validation error detected: Value null at 'grantId' failed to satisfy constraint: Member must not be null"
	if answer.code() != "ValidationException" || answer.message() != want {
		t.Errorf("%d %s", answer.status, answer.body)
	}
	_, err = c.RevokeGrant(t.Context(), &kms.RevokeGrantInput{KeyId: key.KeyId, GrantId: made.GrantToken})
	wantError(t, err, "ValidationException", "*")
	list, err := c.ListGrants(t.Context(), &kms.ListGrantsInput{KeyId: key.KeyId})
	if err != nil || len(list.Grants) != 1 {
		t.Fatalf("%+v %v", list, err)
	}
	if _, err = c.RevokeGrant(t.Context(), &kms.RevokeGrantInput{KeyId: key.KeyId, GrantId: made.GrantId}); err != nil {
		t.Error(err)
	}
}
