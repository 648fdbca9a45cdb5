package software

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/secret"
)

const (
	arnA = "arn:aws:kms:us-east-1:111122223333:key/" + uuidA
	arnB = "arn:aws:kms:us-east-1:111122223333:key/" + uuidB
)

var importNow = time.UnixMilli(1_700_000_000_000)

func parameters(t testing.TB, r *Ring, algorithm keyring.Algorithm, spec keyring.Spec) (*rsa.PublicKey, []byte) {
	t.Helper()
	public, token, err := r.ImportParameters(context.Background(), keyring.ImportTerms{
		Key: arnA, Algorithm: algorithm, WrappingSpec: spec, Expires: importNow.Add(24 * time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParsePKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.(*rsa.PublicKey), token
}

// wrapFor wraps material as a caller does.
func wrapFor(t testing.TB, public *rsa.PublicKey, algorithm keyring.Algorithm, material []byte) []byte {
	t.Helper()
	h := map[keyring.Algorithm]crypto.Hash{keyring.OAEPSHA1: crypto.SHA1, keyring.AESKeyWrapSHA1: crypto.SHA1}[algorithm]
	if h == 0 {
		h = crypto.SHA256
	}
	var inner []byte
	if algorithm == keyring.AESKeyWrapSHA1 || algorithm == keyring.AESKeyWrapSHA256 {
		kek := make([]byte, 32)
		if _, err := rand.Read(kek); err != nil {
			t.Fatal(err)
		}
		inner, material = wrapKWP(t, kek, material), kek
	}
	outer, err := rsa.EncryptOAEP(h.New(), rand.Reader, public, material, nil)
	if err != nil {
		t.Fatal(err)
	}
	return append(outer, inner...)
}

func importA(r *Ring, spec keyring.Spec, token, wrapped []byte) (keyring.Material, error) {
	return r.Import(context.Background(), keyring.Wrapped{Key: arnA, KeyID: uuidA, Spec: spec, Token: token, Material: wrapped, Now: importNow})
}

func TestImportByEveryWrapping(t *testing.T) {
	r := newRing(t, Config{})
	material := bytes.Repeat([]byte{0x42}, 32)
	want, err := materialID(uuidA, material)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		algorithm keyring.Algorithm
		spec      keyring.Spec
		bits      int
	}{
		{keyring.OAEPSHA1, keyring.RSA2048, 2048}, {keyring.OAEPSHA256, keyring.RSA2048, 2048},
		{keyring.AESKeyWrapSHA1, keyring.RSA3072, 3072}, {keyring.AESKeyWrapSHA256, keyring.RSA4096, 4096},
	} {
		public, token := parameters(t, r, c.algorithm, c.spec)
		if public.N.BitLen() != c.bits || len(token) > 6144 {
			t.Errorf("%s %s: a wrapping key of %d bits, a token of %d bytes", c.algorithm, c.spec, public.N.BitLen(), len(token))
		}
		wrapped := wrapFor(t, public, c.algorithm, material)
		for range 2 { // the pair can be used again
			m, err := importA(r, keyring.SymmetricDefault, token, wrapped)
			if err != nil || m.ID != want || m.Spec != keyring.SymmetricDefault {
				t.Fatalf("%s %s: %+v, %v", c.algorithm, c.spec, m, err)
			}
			blob := mustEncrypt(t, r, keyring.KeyRef{KeyID: uuidA, Current: m}, "x", nil)
			if got, err := r.Decrypt(context.Background(), keyring.KeyRef{KeyID: uuidA, Current: m}, blob, nil); err != nil || string(got) != "x" {
				t.Errorf("Decrypt: %v", err)
			}
		}
		// What was wrapped for another algorithm does not open.
		for _, other := range []keyring.Algorithm{keyring.OAEPSHA1, keyring.OAEPSHA256, keyring.AESKeyWrapSHA1, keyring.AESKeyWrapSHA256} {
			if other == c.algorithm {
				continue
			}
			if _, err := importA(r, keyring.SymmetricDefault, token, wrapFor(t, public, other, material)); !errors.Is(err, keyring.ErrInvalidCiphertext) {
				t.Errorf("wrapped by %s, token of %s: %v", other, c.algorithm, err)
			}
		}
	}
}

// TestWrappedMaterialIsAsLongAsTheModulus: see TestOAEPBlobsAreAsLongAsTheModulus.
func TestWrappedMaterialIsAsLongAsTheModulus(t *testing.T) {
	r := newRing(t, Config{})
	public, token := parameters(t, r, keyring.OAEPSHA256, keyring.RSA2048)
	wrapped := []byte{1}
	for wrapped[0] != 0 {
		wrapped = wrapFor(t, public, keyring.OAEPSHA256, make([]byte, 32))
	}
	if _, err := importA(r, keyring.SymmetricDefault, token, wrapped); err != nil {
		t.Errorf("whole: %v", err)
	}
	if _, err := importA(r, keyring.SymmetricDefault, token, wrapped[1:]); !errors.Is(err, keyring.ErrInvalidCiphertext) {
		t.Errorf("without its zeros: %v", err)
	}
}

func TestImportTokens(t *testing.T) {
	domain := domainOf(t, 0xd0)
	r := newRing(t, Config{Domain: domain})
	public, token := parameters(t, r, keyring.OAEPSHA256, keyring.RSA2048)
	wrapped := wrapFor(t, public, keyring.OAEPSHA256, make([]byte, 32))
	good := keyring.Wrapped{Key: arnA, KeyID: uuidA, Spec: keyring.SymmetricDefault, Token: token, Material: wrapped, Now: importNow}
	if _, err := newRing(t, Config{Domain: domain}).Import(context.Background(), good); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	for name, c := range map[string]struct {
		change func(*keyring.Wrapped)
		want   error
	}{
		"just in time":   {func(w *keyring.Wrapped) { w.Now = importNow.Add(24*time.Hour - time.Millisecond) }, nil},
		"too late":       {func(w *keyring.Wrapped) { w.Now = importNow.Add(24 * time.Hour) }, keyring.ErrImportExpired},
		"another key":    {func(w *keyring.Wrapped) { w.Key, w.KeyID = arnB, uuidB }, keyring.ErrImportToken},
		"another region": {func(w *keyring.Wrapped) { w.Key = "arn:aws:kms:eu-west-1:111122223333:key/" + uuidA }, keyring.ErrImportToken},
		"empty":          {func(w *keyring.Wrapped) { w.Token = nil }, keyring.ErrImportToken},
		"longer":         {func(w *keyring.Wrapped) { w.Token = append(bytes.Clone(token), 0) }, keyring.ErrImportToken},
		"no material":    {func(w *keyring.Wrapped) { w.Material = nil }, keyring.ErrInvalidCiphertext},
		"cut material":   {func(w *keyring.Wrapped) { w.Material = wrapped[:255] }, keyring.ErrInvalidCiphertext},
		"long material":  {func(w *keyring.Wrapped) { w.Material = append(bytes.Clone(wrapped), 0) }, keyring.ErrInvalidCiphertext},
		"other material": {func(w *keyring.Wrapped) { w.Material = bytes.Repeat([]byte{1}, 256) }, keyring.ErrInvalidCiphertext},
		"31 bytes": {func(w *keyring.Wrapped) { w.Material = wrapFor(t, public, keyring.OAEPSHA256, make([]byte, 31)) },
			keyring.ErrInvalidCiphertext},
		"33 bytes": {func(w *keyring.Wrapped) { w.Material = wrapFor(t, public, keyring.OAEPSHA256, make([]byte, 33)) },
			keyring.ErrInvalidCiphertext},
		"a spec that takes none": {func(w *keyring.Wrapped) { w.Spec = keyring.MLDSA44 }, keyring.ErrUnsupported},
	} {
		in := good
		c.change(&in)
		if _, err := r.Import(context.Background(), in); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	for i := range token { // every byte is bound; RSA is not reached
		bad := bytes.Clone(token)
		bad[i] ^= 0x10
		if _, err := importA(r, keyring.SymmetricDefault, bad, wrapped); !errors.Is(err, keyring.ErrImportToken) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
	if _, err := newRing(t, Config{Domain: domainOf(t, 0xd1)}).Import(context.Background(), good); !errors.Is(err, keyring.ErrImportToken) {
		t.Errorf("another deployment: %v", err)
	}
}

func TestImportTermsAreChecked(t *testing.T) {
	r := newRing(t, Config{})
	for _, terms := range []keyring.ImportTerms{
		{Algorithm: "RSAES_PKCS1_V1_5", WrappingSpec: keyring.RSA2048}, {Algorithm: keyring.OAEPSHA256, WrappingSpec: keyring.P256},
		{Algorithm: keyring.OAEPSHA256, WrappingSpec: keyring.SM2}, {WrappingSpec: keyring.RSA2048},
	} {
		if _, _, err := r.ImportParameters(context.Background(), terms); !errors.Is(err, keyring.ErrUnsupported) {
			t.Errorf("%+v: %v", terms, err)
		}
	}
}

// TestImportOfEverySpec takes in a key of each kind and checks what it does against
// the standard library's use of the original; and that it is refused as any other.
func TestImportOfEverySpec(t *testing.T) {
	r := newRing(t, Config{})
	public, token := parameters(t, r, keyring.AESKeyWrapSHA256, keyring.RSA2048)
	text, err := os.ReadFile("testdata/rsa/2048.pem")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	keys := map[keyring.Spec][]byte{keyring.HMAC512: bytes.Repeat([]byte{5}, 64)}
	publics := map[keyring.Spec][]byte{}
	add := func(spec keyring.Spec, key crypto.Signer) {
		if keys[spec], err = x509.MarshalPKCS8PrivateKey(key); err != nil {
			t.Fatal(err)
		}
		if publics[spec], err = x509.MarshalPKIXPublicKey(key.Public()); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	add(keyring.RSA2048, parsed.(*rsa.PrivateKey))
	for spec, curve := range map[keyring.Spec]elliptic.Curve{keyring.P256: elliptic.P256(), keyring.P384: elliptic.P384(), keyring.P521: elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		add(spec, key)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	add(keyring.Ed25519, edKey)
	private, spki, err := r.GeneratePair(context.Background(), keyring.Secp256k1)
	if err != nil {
		t.Fatal(err)
	}
	keys[keyring.Secp256k1], publics[keyring.Secp256k1] = private, spki

	for spec, key := range keys {
		wrapped := wrapFor(t, public, keyring.AESKeyWrapSHA256, key)
		m, err := importA(r, spec, token, wrapped)
		if err != nil || m.Spec != spec || !bytes.Equal(m.Public, publics[spec]) {
			t.Errorf("%s: %v, public key %x", spec, err, m.Public)
			continue
		}
		again, err := importA(r, spec, token, wrapFor(t, public, keyring.AESKeyWrapSHA256, key))
		if err != nil || again.ID != m.ID {
			t.Errorf("%s: the id changed: %v", spec, err)
		}
		for other := range keys {
			if _, err := importA(r, other, token, wrapped); other != spec && other != keyring.HMAC512 && !errors.Is(err, keyring.ErrInvalidCiphertext) {
				t.Errorf("a key of %s as one of %s: %v", spec, other, err)
			}
		}
	}
	// HMAC keys: raw, from the hash's length to 128 bytes.
	for n, ok := range map[int]bool{63: false, 64: true, 65: true, 128: true, 129: false} {
		_, err := importA(r, keyring.HMAC512, token, wrapFor(t, public, keyring.AESKeyWrapSHA256, make([]byte, n)))
		if ok && err != nil || !ok && !errors.Is(err, keyring.ErrInvalidCiphertext) {
			t.Errorf("an HMAC_512 key of %d bytes: %v", n, err)
		}
	}
}

func FuzzImportMaterial(f *testing.F) {
	private, _, err := newRing(f, Config{}).GeneratePair(context.Background(), keyring.Secp256k1)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(private))
	f.Add(make([]byte, 32))
	specs := []keyring.Spec{keyring.SymmetricDefault, keyring.HMAC256, keyring.RSA2048, keyring.P256, keyring.Ed25519, keyring.Secp256k1}
	f.Fuzz(func(t *testing.T, plaintext []byte) {
		before := bytes.Clone(plaintext)
		for _, spec := range specs {
			material, _, err := materialOf(spec, secret.Bytes(plaintext))
			if err != nil {
				continue
			}
			material.Wipe()
			if !bytes.Equal(before, plaintext) {
				t.Fatalf("%s: the input was changed", spec)
			}
		}
	})
}
