package e2e

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

func TestStatement75ExternalKeysAreBoundToTheirMaterial(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := externalKey(t, c, nil)
	importMaterial(t, c, key, 1)
	bound := *describe(t, c, key).CurrentKeyMaterialId
	_, err := c.ImportKeyMaterial(t.Context(), wrapped(t, c, key, 2))
	wantError(t, err, "IncorrectKeyMaterialException", "Imported key material does not have the expected identifier ("+bound+").")
	// Not even when the bytes are gone.
	if _, err := c.DeleteImportedKeyMaterial(t.Context(), &kms.DeleteImportedKeyMaterialInput{KeyId: key.KeyId}); err != nil {
		t.Fatal(err)
	}
	_, err = c.ImportKeyMaterial(t.Context(), wrapped(t, c, key, 2))
	wantError(t, err, "IncorrectKeyMaterialException", "Imported key material does not have the expected identifier ("+bound+").")
	importMaterial(t, c, key, 1)
}

// externalKey makes a key that waits for material.
func externalKey(t *testing.T, c *kms.Client, in *kms.CreateKeyInput) *types.KeyMetadata {
	t.Helper()
	if in == nil {
		in = &kms.CreateKeyInput{}
	}
	in.Origin = types.OriginTypeExternal
	return createKey(t, c, in)
}

// wrapped returns the input that imports 32 bytes of that value for ever.
func wrapped(t *testing.T, c *kms.Client, key *types.KeyMetadata, fill byte) *kms.ImportKeyMaterialInput {
	t.Helper()
	parameters, err := c.GetParametersForImport(t.Context(), &kms.GetParametersForImportInput{
		KeyId: key.KeyId, WrappingAlgorithm: types.AlgorithmSpecRsaesOaepSha256, WrappingKeySpec: types.WrappingKeySpecRsa2048,
	})
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.ParsePKIXPublicKey(parameters.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	material, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, public.(*rsa.PublicKey), bytes.Repeat([]byte{fill}, 32), nil)
	if err != nil {
		t.Fatal(err)
	}
	return &kms.ImportKeyMaterialInput{
		KeyId: key.KeyId, ImportToken: parameters.ImportToken, EncryptedKeyMaterial: material,
		ExpirationModel: types.ExpirationModelTypeKeyMaterialDoesNotExpire,
	}
}

func importMaterial(t *testing.T, c *kms.Client, key *types.KeyMetadata, fill byte) {
	t.Helper()
	if _, err := c.ImportKeyMaterial(t.Context(), wrapped(t, c, key, fill)); err != nil {
		t.Fatal(err)
	}
}

func TestStatement76ExpiringMaterialNeedsADate(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := externalKey(t, c, nil)
	in := wrapped(t, c, key, 1)
	for _, model := range []types.ExpirationModelType{"", types.ExpirationModelTypeKeyMaterialExpires} {
		in.ExpirationModel = model
		_, err := c.ImportKeyMaterial(t.Context(), in)
		wantError(t, err, "ValidationException", "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES")
	}
	validTo := time.Now().Add(24 * time.Hour).Truncate(time.Second)
	in.ExpirationModel, in.ValidTo = types.ExpirationModelTypeKeyMaterialDoesNotExpire, &validTo
	_, err := c.ImportKeyMaterial(t.Context(), in)
	wantError(t, err, "ValidationException", "A validTo date cannot be set if the ExpirationModel is KEY_MATERIAL_DOES_NOT_EXPIRE")
	in.ExpirationModel = ""
	if _, err := c.ImportKeyMaterial(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	if now := describe(t, c, key); now.ExpirationModel != types.ExpirationModelTypeKeyMaterialExpires || now.ValidTo == nil || !now.ValidTo.Equal(validTo) {
		t.Errorf("%+v", now)
	}
}

func TestStatement77MaterialIsValidForAYearAtMost(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	in := wrapped(t, c, externalKey(t, c, nil), 1)
	in.ExpirationModel = types.ExpirationModelTypeKeyMaterialExpires
	for message, validTo := range map[string]time.Time{
		"ValidTo must be less than 365 days in the future": time.Now().Add(365*24*time.Hour + time.Minute),
		"ValidTo must be in the future":                    time.Now().Add(-time.Minute),
	} {
		in.ValidTo = &validTo
		_, err := c.ImportKeyMaterial(t.Context(), in)
		wantError(t, err, "ValidationException", message)
	}
	in.ValidTo = aws.Time(time.Now().Add(365*24*time.Hour - time.Minute))
	if _, err := c.ImportKeyMaterial(t.Context(), in); err != nil {
		t.Error(err)
	}
}

func TestStatement78NothingIsImportedIntoAKeyMadeHere(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := createKey(t, c, nil)
	_, err := c.GetParametersForImport(t.Context(), &kms.GetParametersForImportInput{
		KeyId: key.KeyId, WrappingAlgorithm: types.AlgorithmSpecRsaesOaepSha256, WrappingKeySpec: types.WrappingKeySpecRsa2048,
	})
	wantError(t, err, "UnsupportedOperationException", *key.Arn+" origin is AWS_KMS which is not valid for this operation.")
}

func TestStatement79ImportTypeIsForSymmetricKeys(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := externalKey(t, c, &kms.CreateKeyInput{KeySpec: types.KeySpecHmac224, KeyUsage: types.KeyUsageTypeGenerateVerifyMac})
	in := wrapped(t, c, key, 1)
	in.ImportType = types.ImportTypeNewKeyMaterial
	_, err := c.ImportKeyMaterial(t.Context(), in)
	wantError(t, err, "ValidationException", "Input parameter importType cannot be used with HMAC_224 imported keys.")
	in.ImportType = ""
	if _, err := c.ImportKeyMaterial(t.Context(), in); err != nil {
		t.Error(err)
	}
}

func TestStatement80ImportingAgainEnablesADisabledKey(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := externalKey(t, c, nil)
	importMaterial(t, c, key, 1)
	blob := encrypt(t, c, *key.KeyId, []byte("x"), nil)
	disable(t, c, key)
	importMaterial(t, c, key, 1)
	if now := describe(t, c, key); !now.Enabled || now.KeyState != types.KeyStateEnabled {
		t.Errorf("%+v", now)
	}
	if out, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob}); err != nil || string(out.Plaintext) != "x" {
		t.Errorf("%+v %v", out, err)
	}
}
