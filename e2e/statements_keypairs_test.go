package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

func TestStatement20PublicKeyOfADisabledKeyIsShown(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := keyOf(t, c, types.KeySpecEccNistP256, types.KeyUsageTypeSignVerify)
	before := publicKey(t, c, key)
	disable(t, c, key)
	if after := publicKey(t, c, key); !bytes.Equal(before, after) {
		t.Error("another public key")
	}
}

// publicKey returns a key's public half as SubjectPublicKeyInfo.
func publicKey(t *testing.T, c *kms.Client, key *types.KeyMetadata) []byte {
	t.Helper()
	out, err := c.GetPublicKey(t.Context(), &kms.GetPublicKeyInput{KeyId: key.KeyId})
	if err != nil {
		t.Fatal(err)
	}
	return out.PublicKey
}

func TestStatement21PublicKeyOfAKeyPendingDeletionIsRefused(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := keyOf(t, c, types.KeySpecEccNistP256, types.KeyUsageTypeSignVerify)
	scheduleDeletion(t, c, key)
	_, err := c.GetPublicKey(t.Context(), &kms.GetPublicKeyInput{KeyId: key.KeyId})
	wantError(t, err, "KMSInvalidStateException", *key.Arn+" is pending deletion.")
}

func TestStatement22HMACKeysHaveNoPublicKey(t *testing.T) {
	s := shared(t)
	c := kmsClient(t, s, defaultRegion)
	for _, key := range []*types.KeyMetadata{keyOf(t, c, types.KeySpecHmac256, types.KeyUsageTypeGenerateVerifyMac), createKey(t, c, nil)} {
		_, err := c.GetPublicKey(t.Context(), &kms.GetPublicKeyInput{KeyId: key.KeyId})
		wantError(t, err, "UnsupportedOperationException", "")
		wantBare(t, s, "GetPublicKey", map[string]any{"KeyId": key.KeyId}, "UnsupportedOperationException")
	}
}

func TestStatement26NoDataKeyPairsForMLDSA(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	_, err := c.GenerateDataKeyPair(t.Context(), &kms.GenerateDataKeyPairInput{KeyId: createKey(t, c, nil).KeyId, KeyPairSpec: "ML_DSA_65"})
	wantError(t, err, "ValidationException", "*")
	const clause = "1 validation error detected: Value 'ML_DSA_65' at 'keyPairSpec' failed to satisfy constraint: Member must satisfy enum value set: ["
	if !strings.Contains(err.Error(), clause) {
		t.Errorf("%v lacks %q", err, clause)
	}
}

func TestStatement27Ed25519DataKeyPair(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	out, err := c.GenerateDataKeyPair(t.Context(), &kms.GenerateDataKeyPairInput{
		KeyId: createKey(t, c, nil).KeyId, KeyPairSpec: types.DataKeyPairSpecEccNistEdwards25519,
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.PrivateKeyPlaintext) != 48 {
		t.Errorf("a private key of %d bytes", len(out.PrivateKeyPlaintext))
	}
	private, err := x509.ParsePKCS8PrivateKey(out.PrivateKeyPlaintext)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.ParsePKIXPublicKey(out.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if !private.(ed25519.PrivateKey).Public().(ed25519.PublicKey).Equal(public) {
		t.Error("the two halves are not of one pair")
	}
	opened, err := c.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: out.PrivateKeyCiphertextBlob})
	if err != nil || !bytes.Equal(opened.Plaintext, out.PrivateKeyPlaintext) {
		t.Errorf("the sealed private key is not the open one: %v", err)
	}
}

func TestStatement28SignsTheDigestOfWhatIsTooLong(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := keyOf(t, c, types.KeySpecEccNistP256, types.KeyUsageTypeSignVerify)
	message := bytes.Repeat([]byte("m"), 4097)
	_, err := c.Sign(t.Context(), &kms.SignInput{KeyId: key.KeyId, Message: message, SigningAlgorithm: types.SigningAlgorithmSpecEcdsaSha256})
	wantError(t, err, "ValidationException", "1 validation error detected: Value at 'message' failed to satisfy constraint: Member must have length less than or equal to 4096")
	digest := sha256.Sum256(message)
	out, err := c.Sign(t.Context(), &kms.SignInput{
		KeyId: key.KeyId, Message: digest[:], MessageType: types.MessageTypeDigest, SigningAlgorithm: types.SigningAlgorithmSpecEcdsaSha256,
	})
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.ParsePKIXPublicKey(publicKey(t, c, key))
	if err != nil {
		t.Fatal(err)
	}
	if !ecdsa.VerifyASN1(public.(*ecdsa.PublicKey), digest[:], out.Signature) {
		t.Error("the signature is not one of the message")
	}
}

func TestStatement29DigestOfTheWrongLength(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := keyOf(t, c, types.KeySpecEccNistP256, types.KeyUsageTypeSignVerify)
	for _, size := range []int{31, 33, 64} {
		_, err := c.Sign(t.Context(), &kms.SignInput{
			KeyId: key.KeyId, Message: make([]byte, size), MessageType: types.MessageTypeDigest, SigningAlgorithm: types.SigningAlgorithmSpecEcdsaSha256,
		})
		wantError(t, err, "ValidationException", "Digest is invalid length for algorithm ECDSA_SHA_256.")
	}
}

func TestStatement30ExternalMuIsForMLDSA(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := keyOf(t, c, types.KeySpecEccNistP256, types.KeyUsageTypeSignVerify)
	_, err := c.Sign(t.Context(), &kms.SignInput{
		KeyId: key.KeyId, Message: make([]byte, 64), MessageType: types.MessageTypeExternalMu, SigningAlgorithm: types.SigningAlgorithmSpecEcdsaSha256,
	})
	wantError(t, err, "ValidationException", "Message type EXTERNAL_MU is incompatible with key spec ECC_NIST_P256.")
}

func TestStatement31Ed25519phTakesDigestsOnly(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := keyOf(t, c, types.KeySpecEccNistEdwards25519, types.KeyUsageTypeSignVerify)
	in := &kms.SignInput{KeyId: key.KeyId, Message: make([]byte, 64), SigningAlgorithm: types.SigningAlgorithmSpecEd25519PhSha512}
	for _, raw := range []types.MessageType{"", types.MessageTypeRaw} {
		in.MessageType = raw
		_, err := c.Sign(t.Context(), in)
		wantError(t, err, "ValidationException", "Message type RAW is incompatible with algorithm ED25519_PH_SHA_512.")
	}
	in.MessageType = types.MessageTypeDigest
	out, err := c.Sign(t.Context(), in)
	if err != nil || len(out.Signature) != ed25519.SignatureSize {
		t.Errorf("%+v %v", out, err)
	}
}

func TestStatement32Ed25519ListsPHFirst(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := keyOf(t, c, types.KeySpecEccNistEdwards25519, types.KeyUsageTypeSignVerify)
	want := []types.SigningAlgorithmSpec{types.SigningAlgorithmSpecEd25519PhSha512, types.SigningAlgorithmSpecEd25519Sha512}
	if !slices.Equal(key.SigningAlgorithms, want) {
		t.Errorf("CreateKey lists %v", key.SigningAlgorithms)
	}
	out, err := c.GetPublicKey(t.Context(), &kms.GetPublicKeyInput{KeyId: key.KeyId})
	if err != nil || !slices.Equal(out.SigningAlgorithms, want) {
		t.Errorf("GetPublicKey lists %v %v", out, err)
	}
}

func TestStatement33WrongSignatureIsAnException(t *testing.T) {
	s := shared(t)
	c := kmsClient(t, s, defaultRegion)
	key := keyOf(t, c, types.KeySpecEccNistP256, types.KeyUsageTypeSignVerify)
	signature := sign(t, c, key, "message")
	in := &kms.VerifyInput{KeyId: key.KeyId, Message: []byte("message"), Signature: signature, SigningAlgorithm: types.SigningAlgorithmSpecEcdsaSha256}
	out, err := c.Verify(t.Context(), in)
	if err != nil || !out.SignatureValid {
		t.Errorf("%+v %v", out, err)
	}
	in.Message = []byte("massage")
	_, err = c.Verify(t.Context(), in)
	wantError(t, err, "KMSInvalidSignatureException", "")
	for name, wrong := range map[string][]byte{"one byte": {1}, "cut": signature[:len(signature)-1], "long": make([]byte, 6144)} {
		in := map[string]any{"KeyId": key.KeyId, "Message": []byte("message"), "Signature": wrong, "SigningAlgorithm": "ECDSA_SHA_256"}
		t.Log(name)
		wantBare(t, s, "Verify", in, "KMSInvalidSignatureException")
	}
}

// sign signs with an ECC_NIST_P256 key.
func sign(t *testing.T, c *kms.Client, key *types.KeyMetadata, message string) []byte {
	t.Helper()
	out, err := c.Sign(t.Context(), &kms.SignInput{KeyId: key.KeyId, Message: []byte(message), SigningAlgorithm: types.SigningAlgorithmSpecEcdsaSha256})
	if err != nil {
		t.Fatal(err)
	}
	return out.Signature
}

func TestStatement34TruncatedMACIsInvalid(t *testing.T) {
	s := shared(t)
	c := kmsClient(t, s, defaultRegion)
	key := keyOf(t, c, types.KeySpecHmac256, types.KeyUsageTypeGenerateVerifyMac)
	made, err := c.GenerateMac(t.Context(), &kms.GenerateMacInput{KeyId: key.KeyId, Message: []byte("m"), MacAlgorithm: types.MacAlgorithmSpecHmacSha256})
	if err != nil {
		t.Fatal(err)
	}
	in := &kms.VerifyMacInput{KeyId: key.KeyId, Message: []byte("m"), Mac: made.Mac, MacAlgorithm: types.MacAlgorithmSpecHmacSha256}
	out, err := c.VerifyMac(t.Context(), in)
	if err != nil || !out.MacValid {
		t.Errorf("%+v %v", out, err)
	}
	for size := 1; size < len(made.Mac); size++ {
		in.Mac = made.Mac[:size]
		_, err = c.VerifyMac(t.Context(), in)
		wantError(t, err, "KMSInvalidMacException", "")
	}
	wantBare(t, s, "VerifyMac", map[string]any{"KeyId": key.KeyId, "Message": []byte("m"), "Mac": made.Mac[:16], "MacAlgorithm": "HMAC_SHA_256"}, "KMSInvalidMacException")
}

func TestStatement35DryRunFindsAWrongSignature(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := keyOf(t, c, types.KeySpecEccNistP256, types.KeyUsageTypeSignVerify)
	in := &kms.VerifyInput{
		KeyId: key.KeyId, Message: []byte("m"), Signature: sign(t, c, key, "other"),
		SigningAlgorithm: types.SigningAlgorithmSpecEcdsaSha256, DryRun: aws.Bool(true),
	}
	_, err := c.Verify(t.Context(), in)
	wantError(t, err, "KMSInvalidSignatureException", "")
	in.Signature = sign(t, c, key, "m")
	_, err = c.Verify(t.Context(), in)
	wantError(t, err, "DryRunOperationException", "The request would have succeeded, but the DryRun option is set.")
}

func TestStatement37DisabledComesBeforeTheAlgorithm(t *testing.T) {
	c := kmsClient(t, shared(t), defaultRegion)
	key := keyOf(t, c, types.KeySpecHmac224, types.KeyUsageTypeGenerateVerifyMac)
	in := &kms.GenerateMacInput{KeyId: key.KeyId, Message: []byte("m"), MacAlgorithm: types.MacAlgorithmSpecHmacSha512}
	_, err := c.GenerateMac(t.Context(), in)
	wantError(t, err, "InvalidKeyUsageException", "Algorithm HMAC_SHA_512 is incompatible with key spec HMAC_224.")
	disable(t, c, key)
	_, err = c.GenerateMac(t.Context(), in)
	wantError(t, err, "DisabledException", *key.Arn+" is disabled.")
}

func TestStatement38PeerOnAnotherCurve(t *testing.T) {
	s := shared(t)
	c := kmsClient(t, s, defaultRegion)
	mine, other := keyOf(t, c, types.KeySpecEccNistP256, types.KeyUsageTypeKeyAgreement), keyOf(t, c, types.KeySpecEccNistP384, types.KeyUsageTypeKeyAgreement)
	in := map[string]any{"KeyId": mine.KeyId, "KeyAgreementAlgorithm": "ECDH", "PublicKey": publicKey(t, c, other)}
	wantBare(t, s, "DeriveSharedSecret", in, "ValidationException")
	_, err := c.DeriveSharedSecret(t.Context(), &kms.DeriveSharedSecretInput{
		KeyId: mine.KeyId, KeyAgreementAlgorithm: types.KeyAgreementAlgorithmSpecEcdh, PublicKey: publicKey(t, c, mine),
	})
	if err != nil {
		t.Errorf("its own public key as the peer's: %v", err)
	}
}
