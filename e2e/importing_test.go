package e2e

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/strongroom/strongroom/e2e/binary"
)

// openssl makes keys, wraps them as AWS's guide says to, and is the second opinion
// on what KMS does with them.
type openssl struct {
	t   *testing.T
	dir string
	bin string
}

func newOpenSSL(t *testing.T) *openssl {
	t.Helper()
	return &openssl{t: t, dir: t.TempDir(), bin: program(t, "openssl", installOpenSSL)}
}

// file writes content and returns its path.
func (o *openssl) file(name string, content []byte) string {
	o.t.Helper()
	path := filepath.Join(o.dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		o.t.Fatal(err)
	}
	return path
}

// try runs openssl and returns what it wrote into the file that -out names.
func (o *openssl) try(args ...string) ([]byte, string, error) {
	o.t.Helper()
	out := filepath.Join(o.dir, "out")
	_, stderr, err := command(o.t, nil, o.bin, append([]string{args[0], "-out", out}, args[1:]...)...)
	if err != nil {
		return nil, stderr, err
	}
	content, err := os.ReadFile(out)
	return content, stderr, err
}

func (o *openssl) run(args ...string) []byte {
	o.t.Helper()
	content, stderr, err := o.try(args...)
	if err != nil {
		o.t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, stderr)
	}
	return content
}

// key makes a private key, PKCS #8 in DER.
func (o *openssl) key(args ...string) []byte {
	o.t.Helper()
	pem := o.file("key.pem", o.run(append([]string{"genpkey"}, args...)...))
	return o.run("pkcs8", "-topk8", "-nocrypt", "-in", pem, "-outform", "DER")
}

// wrap wraps material under KMS's wrapping key.
func (o *openssl) wrap(algorithm types.AlgorithmSpec, public, material []byte) []byte {
	o.t.Helper()
	digest := "sha256"
	if algorithm == types.AlgorithmSpecRsaesOaepSha1 || algorithm == types.AlgorithmSpecRsaAesKeyWrapSha1 {
		digest = "sha1"
	}
	oaep := func(plaintext []byte) []byte {
		return o.run("pkeyutl", "-encrypt", "-pubin", "-keyform", "DER", "-inkey", o.file("wrapping.der", public), "-in", o.file("plain", plaintext),
			"-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:"+digest, "-pkeyopt", "rsa_mgf1_md:"+digest)
	}
	if algorithm == types.AlgorithmSpecRsaesOaepSha1 || algorithm == types.AlgorithmSpecRsaesOaepSha256 {
		return oaep(material)
	}
	kek := random(32)
	wrapped := o.run("enc", "-id-aes256-wrap-pad", "-K", hex.EncodeToString(kek), "-iv", "A65959A6", "-in", o.file("material", material))
	return append(oaep(kek), wrapped...)
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

// imported is a key whose material came from outside.
type imported struct {
	t        *testing.T
	c        *kms.Client
	o        *openssl
	id       *string
	material []byte // as it was imported
	// pairs are wrapping keys and tokens that are used again; if nil, none is.
	pairs map[way]*kms.GetParametersForImportOutput
}

// way is how material is wrapped.
type way struct {
	algorithm types.AlgorithmSpec
	spec      types.WrappingKeySpec
}

// parameters returns a wrapping key and its token.
func (k *imported) parameters(by way) *kms.GetParametersForImportOutput {
	k.t.Helper()
	if pair := k.pairs[by]; pair != nil {
		return pair
	}
	out, err := k.c.GetParametersForImport(k.t.Context(), &kms.GetParametersForImportInput{KeyId: k.id, WrappingAlgorithm: by.algorithm, WrappingKeySpec: by.spec})
	if err != nil {
		k.t.Fatalf("GetParametersForImport: %v", err)
	}
	if k.pairs != nil {
		k.pairs[by] = out
	}
	return out
}

// take imports material, for ever unless validTo is set.
func (k *imported) take(by way, material []byte, validTo *time.Time) error {
	k.t.Helper()
	p := k.parameters(by)
	in := &kms.ImportKeyMaterialInput{KeyId: k.id, ImportToken: p.ImportToken, EncryptedKeyMaterial: k.o.wrap(by.algorithm, p.PublicKey, material),
		ExpirationModel: types.ExpirationModelTypeKeyMaterialDoesNotExpire}
	if validTo != nil {
		in.ExpirationModel, in.ValidTo = types.ExpirationModelTypeKeyMaterialExpires, validTo
	}
	_, err := k.c.ImportKeyMaterial(k.t.Context(), in)
	return err
}

func newImported(t *testing.T, c *kms.Client, o *openssl, spec types.KeySpec, usage types.KeyUsageType) *imported {
	t.Helper()
	key := createKey(t, c, &kms.CreateKeyInput{Origin: types.OriginTypeExternal, KeySpec: spec, KeyUsage: usage})
	if key.KeyState != types.KeyStatePendingImport || key.Enabled {
		t.Fatalf("before the import: %s", key.KeyState)
	}
	return &imported{t: t, c: c, o: o, id: key.KeyId}
}

// Ways to wrap.
var (
	oaep1     = way{types.AlgorithmSpecRsaesOaepSha1, types.WrappingKeySpecRsa3072}
	oaep256   = way{types.AlgorithmSpecRsaesOaepSha256, types.WrappingKeySpecRsa2048}
	oaepLong  = way{types.AlgorithmSpecRsaesOaepSha256, types.WrappingKeySpecRsa3072}
	aes1      = way{types.AlgorithmSpecRsaAesKeyWrapSha1, types.WrappingKeySpecRsa2048}
	aes256    = way{types.AlgorithmSpecRsaAesKeyWrapSha256, types.WrappingKeySpecRsa2048}
	aesLarger = way{types.AlgorithmSpecRsaAesKeyWrapSha256, types.WrappingKeySpecRsa4096}
)

// TestImport brings keys that openssl made, wrapped by openssl, into KMS, and holds
// what KMS does with them against openssl and the standard library.
func TestImport(t *testing.T) {
	t.Parallel()
	c := kmsClient(t, start(t), defaultRegion)
	raw := func(n int) func(*openssl) []byte { return func(*openssl) []byte { return random(n) } }
	genpkey := func(args ...string) func(*openssl) []byte {
		return func(o *openssl) []byte { return o.key(args...) }
	}
	rsaKey := func(bits string) func(*openssl) []byte {
		return genpkey("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:"+bits)
	}
	ecKey := func(curve string) func(*openssl) []byte {
		return genpkey("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:"+curve, "-pkeyopt", "ec_param_enc:named_curve")
	}
	raws, curves, rsas := []way{oaep256, oaep1}, []way{aes256, aes1, oaepLong}, []way{aes256, aes1}
	for _, kind := range []struct {
		spec  types.KeySpec
		usage types.KeyUsageType
		make  func(*openssl) []byte
		ways  []way
		use   func(*imported)
	}{
		{types.KeySpecSymmetricDefault, types.KeyUsageTypeEncryptDecrypt, raw(32), raws, useSymmetric},
		{types.KeySpecHmac224, types.KeyUsageTypeGenerateVerifyMac, raw(28), raws, useHMAC(types.MacAlgorithmSpecHmacSha224, sha256.New224)},
		{types.KeySpecHmac256, types.KeyUsageTypeGenerateVerifyMac, raw(32), raws, useHMAC(types.MacAlgorithmSpecHmacSha256, sha256.New)},
		{types.KeySpecHmac384, types.KeyUsageTypeGenerateVerifyMac, raw(48), raws, useHMAC(types.MacAlgorithmSpecHmacSha384, sha512.New384)},
		{types.KeySpecHmac512, types.KeyUsageTypeGenerateVerifyMac, raw(128), raws, useHMAC(types.MacAlgorithmSpecHmacSha512, sha512.New)},
		{types.KeySpecEccNistP256, types.KeyUsageTypeSignVerify, ecKey("P-256"), []way{oaep256, oaep1, aes256, aes1, aesLarger}, useSignature(types.SigningAlgorithmSpecEcdsaSha256, "-sha256")},
		{types.KeySpecEccNistP384, types.KeyUsageTypeSignVerify, ecKey("P-384"), curves, useSignature(types.SigningAlgorithmSpecEcdsaSha384, "-sha384")},
		{types.KeySpecEccNistP521, types.KeyUsageTypeSignVerify, ecKey("P-521"), curves, useSignature(types.SigningAlgorithmSpecEcdsaSha512, "-sha512")},
		{types.KeySpecEccSecgP256k1, types.KeyUsageTypeSignVerify, ecKey("secp256k1"), curves, useSignature(types.SigningAlgorithmSpecEcdsaSha256, "-sha256")},
		{types.KeySpecEccNistP256, types.KeyUsageTypeKeyAgreement, ecKey("P-256"), curves, useAgreement("P-256")},
		{types.KeySpecEccNistP384, types.KeyUsageTypeKeyAgreement, ecKey("P-384"), curves, useAgreement("P-384")},
		{types.KeySpecEccNistP521, types.KeyUsageTypeKeyAgreement, ecKey("P-521"), curves, useAgreement("P-521")},
		{types.KeySpecEccNistEdwards25519, types.KeyUsageTypeSignVerify, genpkey("-algorithm", "ED25519"), curves, useEd25519},
		{types.KeySpecRsa2048, types.KeyUsageTypeSignVerify, rsaKey("2048"), rsas, useSignature(types.SigningAlgorithmSpecRsassaPkcs1V15Sha256, "-sha256")},
		{types.KeySpecRsa3072, types.KeyUsageTypeEncryptDecrypt, rsaKey("3072"), rsas, useRSA},
		{types.KeySpecRsa4096, types.KeyUsageTypeSignVerify, rsaKey("4096"), rsas, useSignature(types.SigningAlgorithmSpecRsassaPkcs1V15Sha512, "-sha512")},
	} {
		t.Run(string(kind.spec)+"/"+string(kind.usage), func(t *testing.T) {
			k := newImported(t, c, newOpenSSL(t), kind.spec, kind.usage)
			k.material, k.pairs = kind.make(k.o), map[way]*kms.GetParametersForImportOutput{}
			for i, by := range kind.ways { // the first is the import, the others bring the same again
				if err := k.take(by, k.material, nil); err != nil {
					t.Fatalf("wrapped by %s under %s: %v", by.algorithm, by.spec, err)
				}
				if i == 0 || i == len(kind.ways)-1 {
					kind.use(k)
				}
			}
			// Another key's material is refused, and changes nothing.
			last := kind.ways[len(kind.ways)-1]
			err := k.take(last, kind.make(k.o), nil)
			wantError(t, err, "IncorrectKeyMaterialException", "*")
			kind.use(k)
			// So is what is no such key at all.
			err = k.take(last, random(20), nil)
			wantError(t, err, "InvalidCiphertextException", "*")
			// Deleted, and back again.
			if _, err := c.DeleteImportedKeyMaterial(t.Context(), &kms.DeleteImportedKeyMaterialInput{KeyId: k.id}); err != nil {
				t.Fatal(err)
			}
			if out, err := c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: k.id}); err != nil || out.KeyMetadata.KeyState != types.KeyStatePendingImport {
				t.Errorf("after the material was deleted: %v, %v", out, err)
			}
			if err := k.take(last, k.material, nil); err != nil {
				t.Fatal(err)
			}
			kind.use(k)
		})
	}
}

// useSymmetric encrypts; what was encrypted opens for as long as the test runs, so
// that material which came back is that which was there.
func useSymmetric(k *imported) {
	k.t.Helper()
	blob := encrypt(k.t, k.c, *k.id, []byte("attack at dawn"), map[string]string{"a": "b"})
	for _, blob := range append(k.o.kept(), blob) {
		out, err := k.c.Decrypt(k.t.Context(), &kms.DecryptInput{CiphertextBlob: blob, EncryptionContext: map[string]string{"a": "b"}})
		if err != nil || string(out.Plaintext) != "attack at dawn" {
			k.t.Errorf("Decrypt: %v", err)
		}
	}
	k.o.file("kept", blob)
}

// kept is what useSymmetric encrypted last.
func (o *openssl) kept() [][]byte {
	blob, err := os.ReadFile(filepath.Join(o.dir, "kept"))
	if err != nil {
		return nil
	}
	return [][]byte{blob}
}

func useHMAC(algorithm types.MacAlgorithmSpec, h func() hash.Hash) func(*imported) {
	return func(k *imported) {
		k.t.Helper()
		out, err := k.c.GenerateMac(k.t.Context(), &kms.GenerateMacInput{KeyId: k.id, MacAlgorithm: algorithm, Message: []byte("message")})
		if err != nil {
			k.t.Fatal(err)
		}
		own := hmac.New(h, k.material)
		own.Write([]byte("message"))
		if !hmac.Equal(out.Mac, own.Sum(nil)) {
			k.t.Errorf("the MAC is %x, want %x", out.Mac, own.Sum(nil))
		}
	}
}

// public checks that KMS has the public half, and returns it as a file.
func (k *imported) public() string {
	k.t.Helper()
	out, err := k.c.GetPublicKey(k.t.Context(), &kms.GetPublicKeyInput{KeyId: k.id})
	if err != nil {
		k.t.Fatal(err)
	}
	own := k.o.run("pkey", "-pubout", "-inform", "DER", "-outform", "DER", "-in", k.private())
	if !bytes.Equal(out.PublicKey, own) {
		k.t.Errorf("the public key is\n%x, want\n%x", out.PublicKey, own)
	}
	return k.o.file("public.der", out.PublicKey)
}

func (k *imported) private() string { return k.o.file("private.der", k.material) }

// useSignature signs by KMS and verifies by openssl, and the other way round.
func useSignature(algorithm types.SigningAlgorithmSpec, digest string) func(*imported) {
	return func(k *imported) {
		k.t.Helper()
		message := []byte("a message to be signed")
		file := k.o.file("message", message)
		out, err := k.c.Sign(k.t.Context(), &kms.SignInput{KeyId: k.id, SigningAlgorithm: algorithm, Message: message})
		if err != nil {
			k.t.Fatal(err)
		}
		if _, stderr, err := k.o.try("dgst", digest, "-keyform", "DER", "-verify", k.public(), "-signature", k.o.file("signature", out.Signature), file); err != nil {
			k.t.Errorf("openssl does not verify the signature: %s", stderr)
		}
		signature := k.o.run("dgst", digest, "-keyform", "DER", "-sign", k.private(), file)
		in := &kms.VerifyInput{KeyId: k.id, SigningAlgorithm: algorithm, Message: message, Signature: signature}
		if out, err := k.c.Verify(k.t.Context(), in); err != nil || !out.SignatureValid {
			k.t.Errorf("openssl's signature: %v", err)
		}
	}
}

func useEd25519(k *imported) {
	k.t.Helper()
	const algorithm = types.SigningAlgorithmSpecEd25519Sha512
	message := []byte("a message to be signed")
	file := k.o.file("message", message)
	out, err := k.c.Sign(k.t.Context(), &kms.SignInput{KeyId: k.id, SigningAlgorithm: algorithm, Message: message})
	if err != nil {
		k.t.Fatal(err)
	}
	k.public()
	// Pure Ed25519 is deterministic (RFC 8032 §5.1.6).
	if own := k.o.run("pkeyutl", "-sign", "-rawin", "-keyform", "DER", "-inkey", k.private(), "-in", file); !bytes.Equal(out.Signature, own) {
		k.t.Errorf("the signature is %x, want %x", out.Signature, own)
	}
}

// useAgreement agrees on a secret with a key of openssl's.
func useAgreement(curve string) func(*imported) {
	return func(k *imported) {
		k.t.Helper()
		peer := k.o.file("peer.der", k.o.key("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:"+curve, "-pkeyopt", "ec_param_enc:named_curve"))
		out, err := k.c.DeriveSharedSecret(k.t.Context(), &kms.DeriveSharedSecretInput{KeyId: k.id, KeyAgreementAlgorithm: types.KeyAgreementAlgorithmSpecEcdh,
			PublicKey: k.o.run("pkey", "-pubout", "-inform", "DER", "-outform", "DER", "-in", peer)})
		if err != nil {
			k.t.Fatal(err)
		}
		own := k.o.run("pkeyutl", "-derive", "-keyform", "DER", "-inkey", peer, "-peerform", "DER", "-peerkey", k.public())
		if !bytes.Equal(out.SharedSecret, own) {
			k.t.Errorf("the secret is %x, want %x", out.SharedSecret, own)
		}
	}
}

// useRSA encrypts on one side and decrypts on the other.
func useRSA(k *imported) {
	k.t.Helper()
	padding := []string{"-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha256", "-pkeyopt", "rsa_mgf1_md:sha256", "-keyform", "DER"}
	secret := []byte("attack at dawn")
	theirs := k.o.run(append([]string{"pkeyutl", "-encrypt", "-pubin", "-inkey", k.public(), "-in", k.o.file("secret", secret)}, padding...)...)
	const algorithm = types.EncryptionAlgorithmSpecRsaesOaepSha256
	opened, err := k.c.Decrypt(k.t.Context(), &kms.DecryptInput{KeyId: k.id, CiphertextBlob: theirs, EncryptionAlgorithm: algorithm})
	if err != nil || !bytes.Equal(opened.Plaintext, secret) {
		k.t.Errorf("openssl's ciphertext: %v", err)
	}
	sealed, err := k.c.Encrypt(k.t.Context(), &kms.EncryptInput{KeyId: k.id, Plaintext: secret, EncryptionAlgorithm: algorithm})
	if err != nil {
		k.t.Fatal(err)
	}
	own := k.o.run(append([]string{"pkeyutl", "-decrypt", "-inkey", k.private(), "-in", k.o.file("sealed", sealed.CiphertextBlob)}, padding...)...)
	if !bytes.Equal(own, secret) {
		k.t.Errorf("openssl opens KMS's ciphertext to %q", own)
	}
}

// TestImportedMaterialExpires lets a year pass.
func TestImportedMaterialExpires(t *testing.T) {
	t.Parallel()
	s := start(t, "--dev")
	c := devClient(s, "test", defaultRegion)
	k := newImported(t, c, newOpenSSL(t), types.KeySpecSymmetricDefault, types.KeyUsageTypeEncryptDecrypt)
	k.material = random(32)
	now := time.Now()
	at := func(d time.Duration) *time.Time { return aws.Time(now.Add(d)) }
	const day = 24 * time.Hour
	err := k.take(oaep256, k.material, at(366*day))
	wantError(t, err, "ValidationException", "ValidTo must be less than 365 days in the future")
	if err := k.take(oaep256, k.material, at(30*day)); err != nil {
		t.Fatal(err)
	}
	useSymmetric(k)
	advance(t, s, "696h") // 29 days
	useSymmetric(k)
	// Brought again with a later date, it outlives the first one.
	if err := k.take(oaep256, k.material, at(60*day)); err != nil {
		t.Fatal(err)
	}
	advance(t, s, "48h")
	useSymmetric(k)
	advance(t, s, "720h")
	err = binary.Until("the expiry of material that is due", untilDone, func() (bool, error) {
		out, err := c.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: k.id})
		return err == nil && out.KeyMetadata.KeyState == types.KeyStatePendingImport, err
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Encrypt(t.Context(), &kms.EncryptInput{KeyId: k.id, Plaintext: []byte("x")})
	wantError(t, err, "KMSInvalidStateException", "*")
	// A token is good for a day.
	p := k.parameters(oaep256)
	in := &kms.ImportKeyMaterialInput{KeyId: k.id, ImportToken: p.ImportToken, EncryptedKeyMaterial: k.o.wrap(oaep256.algorithm, p.PublicKey, k.material),
		ExpirationModel: types.ExpirationModelTypeKeyMaterialDoesNotExpire}
	advance(t, s, "24h")
	_, err = c.ImportKeyMaterial(t.Context(), in)
	wantError(t, err, "ExpiredImportTokenException", "*")
	if err := k.take(oaep256, k.material, nil); err != nil {
		t.Fatal(err)
	}
	advance(t, s, "8760h")
	useSymmetric(k)
}
