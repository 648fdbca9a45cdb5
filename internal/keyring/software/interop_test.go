package software

import (
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/mldsa"
	"github.com/cloudflare/circl/kem"
	circlkem1024 "github.com/cloudflare/circl/kem/mlkem/mlkem1024"
	circlkem768 "github.com/cloudflare/circl/kem/mlkem/mlkem768"
	"github.com/cloudflare/circl/sign"
	circled25519 "github.com/cloudflare/circl/sign/ed25519"
	circl44 "github.com/cloudflare/circl/sign/mldsa/mldsa44"
	circl65 "github.com/cloudflare/circl/sign/mldsa/mldsa65"
	circl87 "github.com/cloudflare/circl/sign/mldsa/mldsa87"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/secret"
)

func publicOf(private any) any {
	return private.(interface{ Public() crypto.PublicKey }).Public()
}

// openssl runs the openssl command in a folder of the test's.
type openssl struct {
	t   *testing.T
	dir string
}

func newOpenSSL(t *testing.T) openssl {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("the openssl command is needed and missing")
		}
		t.Skip("the openssl command is missing: nothing is checked against it")
	}
	return openssl{t, t.TempDir()}
}

func (o openssl) write(name string, b []byte) string {
	o.t.Helper()
	path := filepath.Join(o.dir, name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		o.t.Fatal(err)
	}
	return path
}

func (o openssl) run(args ...string) ([]byte, error) {
	command := exec.Command("openssl", args...)
	command.Dir = o.dir
	var problem strings.Builder
	command.Stderr = &problem
	out, err := command.Output()
	if err != nil {
		o.t.Logf("openssl %s: %v: %s", strings.Join(args, " "), err, problem.String())
	}
	return out, err
}

// opensslSignature is how openssl is told an algorithm.
var opensslSignature = map[keyring.Algorithm][]string{
	keyring.PKCS1SHA256: {"-sha256"},
	keyring.PKCS1SHA384: {"-sha384"},
	keyring.PKCS1SHA512: {"-sha512"},
	keyring.PSSSHA256:   {"-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"},
	keyring.PSSSHA384:   {"-sha384", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"},
	keyring.PSSSHA512:   {"-sha512", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"},
	keyring.ECDSASHA256: {"-sha256"},
	keyring.ECDSASHA384: {"-sha384"},
	keyring.ECDSASHA512: {"-sha512"},
	keyring.SM2DSA:      {"-sm3", "-sigopt", "distid:1234567812345678"},
}

// TestOpenSSLVerifiesOurSignatures, with the public keys as they are answered.
func TestOpenSSLVerifiesOurSignatures(t *testing.T) {
	o := newOpenSSL(t)
	r, keys := asymmetric()
	message := o.write("message", []byte("signed here, verified there"))
	for _, s := range specs {
		for _, a := range s.signs {
			flags, known := opensslSignature[a.algorithm]
			if !known && a.algorithm != keyring.Ed25519SHA512 {
				continue
			}
			signature, err := r.Sign(ctx, keys[s.spec], a.algorithm, keyring.Raw, []byte("signed here, verified there"))
			if err != nil {
				t.Fatal(err)
			}
			public, sig := o.write("public", keys[s.spec].Current.Public), o.write("signature", signature)
			var out []byte
			if known {
				out, err = o.run(append(append([]string{"dgst", "-keyform", "DER", "-verify", public, "-signature", sig}, flags...), message)...)
			} else {
				out, err = o.run("pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", public, "-rawin", "-in", message, "-sigfile", sig)
			}
			if err != nil || !strings.Contains(string(out), "erified") {
				t.Errorf("%s %s: %s %v", s.spec, a.algorithm, out, err)
			}
		}
	}
}

// TestWeVerifyOpenSSLsSignatures, made with private keys of GeneratePair: those
// parse there, and verify under the public keys that came with them.
func TestWeVerifyOpenSSLsSignatures(t *testing.T) {
	o := newOpenSSL(t)
	r, _ := asymmetric()
	text := []byte("signed there, verified here")
	message := o.write("message", text)
	for _, s := range specs {
		if len(s.signs) == 0 || !s.exports || rsaFiles[s.spec] > 2048 {
			continue
		}
		private, public, err := r.GeneratePair(ctx, s.spec)
		if err != nil {
			t.Fatal(err)
		}
		key := keyring.KeyRef{KeyID: uuidA, Current: keyring.Material{ID: string(s.spec), Spec: s.spec, Public: public}}
		file := o.write("private", private)
		for _, a := range s.signs {
			flags, known := opensslSignature[a.algorithm]
			var signature []byte
			switch {
			case known:
				signature, err = o.run(append(append([]string{"dgst", "-keyform", "DER", "-sign", file}, flags...), message)...)
			case a.algorithm == keyring.Ed25519SHA512:
				signature, err = o.run("pkeyutl", "-sign", "-keyform", "DER", "-inkey", file, "-rawin", "-in", message)
			default:
				continue
			}
			if err != nil {
				t.Errorf("%s: openssl does not sign with %s", s.spec, a.algorithm)
				continue
			}
			if err := r.Verify(ctx, key, a.algorithm, keyring.Raw, text, signature); err != nil {
				t.Errorf("%s %s: %v", s.spec, a.algorithm, err)
			}
		}
	}
}

func TestOAEPWithOpenSSL(t *testing.T) {
	o := newOpenSSL(t)
	r, keys := asymmetric()
	for spec, bits := range rsaFiles {
		pemFile, err := filepath.Abs("testdata/rsa/" + map[int]string{2048: "2048.pem", 3072: "3072.pem", 4096: "4096.pem"}[bits])
		if err != nil {
			t.Fatal(err)
		}
		for _, algorithm := range oaep {
			hash := map[keyring.Algorithm]string{keyring.OAEPSHA1: "sha1", keyring.OAEPSHA256: "sha256"}[algorithm]
			options := []string{"-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:" + hash, "-pkeyopt", "rsa_mgf1_md:" + hash}
			blob, err := r.EncryptAsymmetric(ctx, keys[spec], algorithm, []byte("for openssl"))
			if err != nil {
				t.Fatal(err)
			}
			out, err := o.run(append([]string{"pkeyutl", "-decrypt", "-inkey", pemFile, "-in", o.write("blob", blob)}, options...)...)
			if err != nil || string(out) != "for openssl" {
				t.Errorf("%s %s: openssl decrypts to %q, %v", spec, algorithm, out, err)
			}
			public := o.write("public", keys[spec].Current.Public)
			out, err = o.run(append([]string{"pkeyutl", "-encrypt", "-pubin", "-keyform", "DER", "-inkey", public, "-in", o.write("plain", []byte("from openssl"))}, options...)...)
			if err != nil {
				t.Fatal(err)
			}
			plaintext, err := r.DecryptAsymmetric(ctx, keys[spec], algorithm, out)
			if err != nil || string(plaintext) != "from openssl" {
				t.Errorf("%s %s: %v", spec, algorithm, err)
			}
		}
	}
}

func TestSM2EncryptionWithOpenSSL(t *testing.T) {
	o := newOpenSSL(t)
	r := newRing(t, Config{})
	m, err := r.Generate(ctx, uuidA, keyring.SM2)
	if err != nil {
		t.Fatal(err)
	}
	key := keyring.KeyRef{KeyID: uuidA, Current: m}
	parsed, err := r.private(&key, &kindSM2)
	if err != nil {
		t.Fatal(err)
	}
	private, err := parsed.(exporter).pkcs8()
	if err != nil {
		t.Fatal(err)
	}
	blob, err := r.EncryptAsymmetric(ctx, key, keyring.SM2PKE, []byte("for openssl"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := o.run("pkeyutl", "-decrypt", "-keyform", "DER", "-inkey", o.write("private", private), "-in", o.write("blob", blob))
	if err != nil || string(out) != "for openssl" {
		t.Errorf("openssl decrypts to %q, %v", out, err)
	}
	out, err = o.run("pkeyutl", "-encrypt", "-pubin", "-keyform", "DER", "-inkey", o.write("public", m.Public), "-in", o.write("plain", []byte("from openssl")))
	if err != nil {
		t.Fatal(err)
	}
	if plaintext, err := r.DecryptAsymmetric(ctx, key, keyring.SM2PKE, out); err != nil || string(plaintext) != "from openssl" {
		t.Errorf("%q, %v", []byte(plaintext), err)
	}
}

func TestECDHWithOpenSSL(t *testing.T) {
	o := newOpenSSL(t)
	r, keys := asymmetric()
	for spec, size := range map[keyring.Spec]int{keyring.P256: 32, keyring.P384: 48, keyring.P521: 66} {
		private, public, err := r.GeneratePair(ctx, spec)
		if err != nil {
			t.Fatal(err)
		}
		shared, err := r.DeriveSharedSecret(ctx, keys[spec], keyring.ECDH, public)
		if err != nil || len(shared) != size {
			t.Fatalf("%s: %d bytes, %v", spec, len(shared), err)
		}
		out, err := o.run("pkeyutl", "-derive", "-keyform", "DER", "-inkey", o.write("private", private), "-peerform", "DER", "-peerkey", o.write("public", keys[spec].Current.Public))
		if err != nil || !shared.Equal(out) {
			t.Errorf("%s: openssl derives another secret, %v", spec, err)
		}
	}
}

func TestHMACWithOpenSSL(t *testing.T) {
	o := newOpenSSL(t)
	r := newRing(t, Config{})
	message := o.write("message", []byte("authenticated"))
	for _, s := range specs {
		if s.mac == "" {
			continue
		}
		material := bytes.Repeat([]byte{0x42}, hashOf(s.mac).Size())
		m, err := r.wrap(uuidA, s.spec, material, nil)
		if err != nil {
			t.Fatal(err)
		}
		mac, err := r.GenerateMAC(ctx, keyring.KeyRef{KeyID: uuidA, Current: m}, s.mac, []byte("authenticated"))
		if err != nil {
			t.Fatal(err)
		}
		digest := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(string(s.mac), "HMAC_"), "_", ""))
		out, err := o.run("dgst", "-"+digest, "-mac", "HMAC", "-macopt", "hexkey:"+hex.EncodeToString(material), "-binary", message)
		if err != nil || !bytes.Equal(out, mac) {
			t.Errorf("%s: %x, openssl %x, %v", s.spec, mac, out, err)
		}
	}
}

// TestHMACVectors are test case 2 of RFC 4231 §4.3, its key filled with zeros to
// the least length that a key has: HMAC pads keys with zeros, so the codes are the
// RFC's.
func TestHMACVectors(t *testing.T) {
	r := newRing(t, Config{})
	for spec, want := range map[keyring.Spec]string{
		keyring.HMAC224: "a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44",
		keyring.HMAC256: "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
		keyring.HMAC384: "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
		keyring.HMAC512: "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
	} {
		algorithm := keyring.Algorithm(strings.Replace(string(spec), "HMAC_", "HMAC_SHA_", 1))
		material := make(secret.Bytes, hashOf(algorithm).Size())
		copy(material, "Jefe")
		m, err := r.wrap(uuidA, spec, material, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Forget(uuidA)
		mac, err := r.GenerateMAC(ctx, keyring.KeyRef{KeyID: uuidA, Current: m}, algorithm, []byte("what do ya want for nothing?"))
		if err != nil || hex.EncodeToString(mac) != want {
			t.Errorf("%s: %x, %v", spec, mac, err)
		}
	}
}

// TestDigestIsTheMessagesHash: the forms RAW and DIGEST verify each other.
func TestDigestIsTheMessagesHash(t *testing.T) {
	r, keys := asymmetric()
	message := secret.Bytes("hashed here or there")
	for _, s := range specs {
		for _, a := range s.signs {
			h := hashOf(a.algorithm)
			if h == 0 {
				continue
			}
			d := h.New()
			d.Write(message)
			signature, err := r.Sign(ctx, keys[s.spec], a.algorithm, keyring.Digest, d.Sum(nil))
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Verify(ctx, keys[s.spec], a.algorithm, keyring.Raw, message, signature); err != nil {
				t.Errorf("%s %s: %v", s.spec, a.algorithm, err)
			}
			if err := r.Verify(ctx, keys[s.spec], a.algorithm, keyring.Digest, d.Sum(nil), signature); err != nil {
				t.Errorf("%s %s: %v", s.spec, a.algorithm, err)
			}
		}
	}
}

// TestPSSSaltIsAsLongAsTheHash: signatures with other salts are refused.
func TestPSSSaltIsAsLongAsTheHash(t *testing.T) {
	r, keys := asymmetric()
	parsed, err := r.private(ptr(keys[keyring.RSA2048]), kindOf(keyring.RSA2048))
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("m"))
	for salt, want := range map[int]error{32: nil, 31: keyring.ErrInvalidSignature, 33: keyring.ErrInvalidSignature, 222: keyring.ErrInvalidSignature} {
		signature, err := rsa.SignPSS(rand.Reader, parsed.(*rsaPrivate).key, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: salt})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Verify(ctx, keys[keyring.RSA2048], keyring.PSSSHA256, keyring.Raw, []byte("m"), signature); err != want {
			t.Errorf("a salt of %d bytes: %v", salt, err)
		}
	}
}

func ptr[T any](v T) *T { return &v }

// TestEd25519phIsPrehashedTwice against circl: what is handed in as the digest is
// Ed25519ph's message.
func TestEd25519phIsPrehashedTwice(t *testing.T) {
	r, keys := asymmetric()
	key := keys[keyring.Ed25519]
	public, err := kindOf(keyring.Ed25519).public(key.Current.Public)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha512.Sum512([]byte("message"))
	signature, err := r.Sign(ctx, key, keyring.Ed25519PHSHA512, keyring.Digest, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	if !circled25519.VerifyPh(circled25519.PublicKey(public.(edPublic)), digest[:], signature, "") {
		t.Error("circl does not verify it")
	}
	if ed25519.VerifyWithOptions(ed25519.PublicKey(public.(edPublic)), digest[:], signature, &ed25519.Options{Hash: crypto.SHA512}) == nil {
		t.Error("it is prehashed once")
	}
}

// TestHigherSIsAccepted: secp256k1 signatures of others may have the higher s.
func TestHigherSIsAccepted(t *testing.T) {
	r, keys := asymmetric()
	signature, err := r.Sign(ctx, keys[keyring.Secp256k1], keyring.ECDSASHA256, keyring.Raw, []byte("m"))
	if err != nil {
		t.Fatal(err)
	}
	var values struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(signature, &values); err != nil {
		t.Fatal(err)
	}
	order := secp256k1.Params().N
	if values.S.Cmp(new(big.Int).Rsh(order, 1)) > 0 {
		t.Error("our own s is the higher one")
	}
	values.S.Sub(order, values.S)
	if signature, err = asn1.Marshal(values); err != nil {
		t.Fatal(err)
	}
	if err := r.Verify(ctx, keys[keyring.Secp256k1], keyring.ECDSASHA256, keyring.Raw, []byte("m"), signature); err != nil {
		t.Error(err)
	}
}

// TestECDSAIsStrictDER: one signature has one form.
func TestECDSAIsStrictDER(t *testing.T) {
	r, keys := asymmetric()
	for _, spec := range []keyring.Spec{keyring.P256, keyring.Secp256k1} {
		signature, err := r.Sign(ctx, keys[spec], keyring.ECDSASHA256, keyring.Raw, []byte("m"))
		if err != nil {
			t.Fatal(err)
		}
		long := append([]byte{0x30, 0x81, signature[1]}, signature[2:]...) // BER's long length
		if err := r.Verify(ctx, keys[spec], keyring.ECDSASHA256, keyring.Raw, []byte("m"), long); err != keyring.ErrInvalidSignature {
			t.Errorf("%s: a signature in BER: %v", spec, err)
		}
		if !ecdsaShaped(signature) {
			t.Errorf("%s: %x is not DER", spec, signature)
		}
	}
}

func ecdsaShaped(b []byte) bool {
	return len(b) > 8 && b[0] == 0x30 && int(b[1]) == len(b)-2 && b[2] == 2 && b[4+b[3]] == 2
}

// circlDSA are circl's ML-DSA schemes.
var circlDSA = map[keyring.Spec]sign.Scheme{
	keyring.MLDSA44: circl44.Scheme(), keyring.MLDSA65: circl65.Scheme(), keyring.MLDSA87: circl87.Scheme(),
}

func TestMLDSAWithCircl(t *testing.T) {
	r := newRing(t, Config{})
	for spec, scheme := range circlDSA {
		seed := bytes.Repeat([]byte{7}, scheme.SeedSize())
		public, private := scheme.DeriveKey(seed)
		parsed, err := kindOf(spec).private(seed)
		if err != nil {
			t.Fatal(err)
		}
		spki, err := parsed.spki()
		if err != nil {
			t.Fatal(err)
		}
		m, err := r.wrap(uuidA, spec, seed, spki)
		if err != nil {
			t.Fatal(err)
		}
		key := keyring.KeyRef{KeyID: uuidA, Current: m}
		message := []byte("a message")
		encoded, err := public.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		mu := muOf(encoded, message)
		for _, form := range []keyring.Form{keyring.Raw, keyring.ExternalMu} {
			signed := secret.Bytes(message)
			if form == keyring.ExternalMu {
				signed = mu
			}
			one, err := r.Sign(ctx, key, keyring.MLDSAShake256, form, signed)
			if err != nil || len(one) != scheme.SignatureSize() || !scheme.Verify(public, message, one, nil) {
				t.Errorf("%s: circl does not verify a signature of %s, %v", spec, form, err)
			}
			two, err := r.Sign(ctx, key, keyring.MLDSAShake256, form, signed)
			if err != nil || bytes.Equal(one, two) {
				t.Errorf("%s: two signatures are one, %v", spec, err)
			}
			theirs := scheme.Sign(private, message, nil)
			for _, signature := range [][]byte{one, two, theirs} {
				if err := r.Verify(ctx, key, keyring.MLDSAShake256, form, signed, signature); err != nil {
					t.Errorf("%s: as %s: %v", spec, form, err)
				}
			}
		}
	}
}

// muOf is the representative of a message without context (FIPS 204, Algorithm 2
// and Algorithm 7, line 6).
func muOf(public, message []byte) []byte {
	return internalMu(public, append([]byte{0, 0}, message...))
}

func internalMu(public, message []byte) []byte {
	tr := sha3.SumSHAKE256(public, 64)
	return sha3.SumSHAKE256(append(tr, message...), 64)
}

// nist are the vectors of testdata/nist.
type nist struct {
	Signatures []struct {
		Set, PK string
		Tests   []struct {
			Message, Signature string
			Valid              bool
		}
	}
	Keys []struct{ Set, Seed, Public string }
}

func mustNIST(t *testing.T) (v nist) {
	t.Helper()
	f, err := os.Open("testdata/nist/vectors.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(unzipped).Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func mustHex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestNISTSignatures are of ML-DSA's internal interface, in which the message
// comes without its two bytes of context: exactly what a µ is made of.
func TestNISTSignatures(t *testing.T) {
	parameters := map[string]mldsa.Parameters{"ML-DSA-44": mldsa.MLDSA44(), "ML-DSA-65": mldsa.MLDSA65(), "ML-DSA-87": mldsa.MLDSA87()}
	valid, invalid := 0, 0
	for _, group := range mustNIST(t).Signatures {
		encoded := mustHex(t, group.PK)
		key, err := mldsa.NewPublicKey(parameters[group.Set], encoded)
		if err != nil {
			t.Fatal(err)
		}
		for i, test := range group.Tests {
			err := verifyMu(key, internalMu(encoded, mustHex(t, test.Message)), mustHex(t, test.Signature))
			if (err == nil) != test.Valid {
				t.Errorf("%s, test %d: %v, want valid %v", group.Set, i, err, test.Valid)
			}
			if test.Valid {
				valid++
			} else {
				invalid++
			}
		}
	}
	if valid == 0 || invalid == 0 {
		t.Errorf("%d valid and %d invalid signatures", valid, invalid)
	}
}

func TestNISTKeys(t *testing.T) {
	keys := mustNIST(t).Keys
	if len(keys) < 30 {
		t.Fatalf("%d keys", len(keys))
	}
	for _, v := range keys {
		spec := keyring.Spec(strings.ReplaceAll(v.Set, "-", "_"))
		key, err := kindOf(spec).private(mustHex(t, v.Seed))
		if err != nil {
			t.Fatal(err)
		}
		spki, err := key.spki()
		if want := mustHex(t, v.Public); err != nil || !bytes.HasSuffix(spki, want) || len(spki) != len(want)+22 {
			t.Errorf("%s: seed %s has another public key, %v", v.Set, v.Seed, err)
		}
	}
}

// TestMLKEMWithOthers: circl encapsulates to the standard library's keys and
// decapsulates with the same seeds. ML-KEM-512 is circl's itself; NIST's keys and
// the sizes vouch for it.
func TestMLKEMWithOthers(t *testing.T) {
	r := newRing(t, Config{})
	for spec, scheme := range map[keyring.Spec]kem.Scheme{keyring.MLKEM768: circlkem768.Scheme(), keyring.MLKEM1024: circlkem1024.Scheme()} {
		seed := bytes.Repeat([]byte{9}, scheme.SeedSize())
		public, private := scheme.DeriveKeyPair(seed)
		parsed, err := kindOf(spec).private(seed)
		if err != nil {
			t.Fatal(err)
		}
		spki, err := parsed.spki()
		if err != nil {
			t.Fatal(err)
		}
		m, err := r.wrap(uuidA, spec, seed, spki)
		if err != nil {
			t.Fatal(err)
		}
		key := keyring.KeyRef{KeyID: uuidA, Current: m}
		shared, blob, err := r.Encapsulate(ctx, key, keyring.MLKEM)
		if err != nil {
			t.Fatal(err)
		}
		if theirs, err := scheme.Decapsulate(private, blob); err != nil || !shared.Equal(theirs) {
			t.Errorf("%s: circl decapsulates another secret, %v", spec, err)
		}
		blob, theirs, err := scheme.Encapsulate(public)
		if err != nil {
			t.Fatal(err)
		}
		if shared, err := r.Decapsulate(ctx, key, keyring.MLKEM, blob); err != nil || !shared.Equal(theirs) {
			t.Errorf("%s: another secret than circl's, %v", spec, err)
		}
	}
}
