package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

func TestStatement01EncryptOf4097BytesIsRefusedEvenForAMissingKey(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := createKey(t, c, nil)
	for _, id := range []string{*key.KeyId, absentKey} {
		_, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &id, Plaintext: make([]byte, 4097)})
		wantError(t, err, "ValidationException", tooLong)
	}
}

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

func TestStatement07RSAEncryptsUpToItsLimit(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := keyOf(t, c, types.KeySpecRsa2048, types.KeyUsageTypeEncryptDecrypt)
	in := &kms.EncryptInput{KeyId: key.KeyId, Plaintext: bytes.Repeat([]byte("p"), 190), EncryptionAlgorithm: types.EncryptionAlgorithmSpecRsaesOaepSha256}
	out, err := c.Encrypt(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if len(out.CiphertextBlob) != 256 {
		t.Errorf("a ciphertext of %d bytes", len(out.CiphertextBlob))
	}
	opened, err := c.Decrypt(t.Context(), &kms.DecryptInput{KeyId: key.KeyId, CiphertextBlob: out.CiphertextBlob, EncryptionAlgorithm: in.EncryptionAlgorithm})
	if err != nil || !bytes.Equal(opened.Plaintext, in.Plaintext) {
		t.Errorf("190 bytes do not come back: %v", err)
	}
	in.Plaintext = append(in.Plaintext, 'p')
	_, err = c.Encrypt(t.Context(), in)
	wantError(t, err, "ValidationException", "Algorithm RSAES_OAEP_SHA_256 and key spec RSA_2048 cannot encrypt data larger than 190 bytes.")
}

func TestStatement08RSAEncryptionNeedsAnAlgorithm(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := keyOf(t, c, types.KeySpecRsa2048, types.KeyUsageTypeEncryptDecrypt)
	_, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: key.KeyId, Plaintext: []byte("x")})
	wantError(t, err, "InvalidKeyUsageException", "Algorithm SYMMETRIC_DEFAULT is incompatible with key spec RSA_2048.")
}

func TestStatement09SigningKeysDoNotEncrypt(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := keyOf(t, c, types.KeySpecEccNistP256, types.KeyUsageTypeSignVerify)
	_, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: key.KeyId, Plaintext: []byte("x")})
	wantError(t, err, "InvalidKeyUsageException", *key.Arn+" key usage is SIGN_VERIFY which is not valid for Encrypt.")
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

func TestStatement11RSADecryptionNeedsAKeyID(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := keyOf(t, c, types.KeySpecRsa2048, types.KeyUsageTypeEncryptDecrypt)
	made, err := c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: key.KeyId, Plaintext: []byte("x"), EncryptionAlgorithm: types.EncryptionAlgorithmSpecRsaesOaepSha1})
	if err != nil {
		t.Fatal(err)
	}
	in := &kms.DecryptInput{CiphertextBlob: made.CiphertextBlob, EncryptionAlgorithm: types.EncryptionAlgorithmSpecRsaesOaepSha1}
	_, err = c.Decrypt(t.Context(), in)
	wantError(t, err, "ValidationException", "KeyId must not be null")
	in.KeyId = key.KeyId
	if out, err := c.Decrypt(t.Context(), in); err != nil || string(out.Plaintext) != "x" || out.KeyMaterialId != nil {
		t.Errorf("%+v %v", out, err)
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

func TestStatement13DecryptNamingAnHMACKey(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	blob := encrypt(t, c, *createKey(t, c, nil).KeyId, []byte("x"), nil)
	for _, wrong := range []*types.KeyMetadata{
		keyOf(t, c, types.KeySpecHmac256, types.KeyUsageTypeGenerateVerifyMac),
		keyOf(t, c, types.KeySpecRsa2048, types.KeyUsageTypeEncryptDecrypt),
		createKey(t, c, &kms.CreateKeyInput{Origin: types.OriginTypeExternal}),
	} {
		_, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob, KeyId: wrong.KeyId})
		wantError(t, err, "IncorrectKeyException", "The key ID in the request does not identify a CMK that can perform this operation.")
	}
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

func TestStatement17RSATakesNoContext(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := keyOf(t, c, types.KeySpecRsa2048, types.KeyUsageTypeEncryptDecrypt)
	in := &kms.EncryptInput{
		KeyId: key.KeyId, Plaintext: []byte("x"), EncryptionAlgorithm: types.EncryptionAlgorithmSpecRsaesOaepSha256,
		EncryptionContext: map[string]string{"tenant": "a"},
	}
	const message = "EncryptionContext is not supported when encrypting/decrypting with asymmetric CMKs."
	_, err := c.Encrypt(t.Context(), in)
	wantError(t, err, "ValidationException", message)
	in.EncryptionContext = map[string]string{}
	out, err := c.Encrypt(t.Context(), in)
	if err != nil {
		t.Fatalf("an empty context is none: %v", err)
	}
	_, err = c.Decrypt(t.Context(), &kms.DecryptInput{
		KeyId: key.KeyId, CiphertextBlob: out.CiphertextBlob, EncryptionAlgorithm: in.EncryptionAlgorithm,
		EncryptionContext: map[string]string{"tenant": "a"},
	})
	wantError(t, err, "ValidationException", message)
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
