package software

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/secret"
)

// ability is what a table row expects of a spec: an algorithm and the forms in
// which it takes a message, if it signs.
type ability struct {
	algorithm keyring.Algorithm
	forms     []keyring.Form
}

var (
	hashed     = []keyring.Form{keyring.Raw, keyring.Digest}
	rsaSigning = []ability{
		{keyring.PKCS1SHA256, hashed}, {keyring.PKCS1SHA384, hashed}, {keyring.PKCS1SHA512, hashed},
		{keyring.PSSSHA256, hashed}, {keyring.PSSSHA384, hashed}, {keyring.PSSSHA512, hashed},
	}
	mldsaSigning = []ability{{keyring.MLDSAShake256, []keyring.Form{keyring.Raw, keyring.ExternalMu}}}
)

// specs is what each spec can do (KMS API, CreateKey, KeySpec).
var specs = []struct {
	spec                    keyring.Spec
	signs                   []ability
	encrypts                []keyring.Algorithm
	mac                     keyring.Algorithm
	agrees, encaps, exports bool
	// spki and pkcs8 are sizes in bytes, 0 where there is none or it varies.
	spki, pkcs8 int
}{
	{spec: keyring.RSA2048, signs: rsaSigning, encrypts: oaep, exports: true, spki: 294},
	{spec: keyring.RSA3072, signs: rsaSigning, encrypts: oaep, exports: true, spki: 422},
	{spec: keyring.RSA4096, signs: rsaSigning, encrypts: oaep, exports: true, spki: 550},
	{spec: keyring.P256, signs: []ability{{keyring.ECDSASHA256, hashed}}, agrees: true, exports: true, spki: 91, pkcs8: 150},
	{spec: keyring.P384, signs: []ability{{keyring.ECDSASHA384, hashed}}, agrees: true, exports: true, spki: 120, pkcs8: 194},
	{spec: keyring.P521, signs: []ability{{keyring.ECDSASHA512, hashed}}, agrees: true, exports: true, spki: 158, pkcs8: 250},
	{spec: keyring.Secp256k1, signs: []ability{{keyring.ECDSASHA256, hashed}}, exports: true, spki: 88, pkcs8: 144},
	{spec: keyring.Ed25519, signs: []ability{
		{keyring.Ed25519SHA512, []keyring.Form{keyring.Raw}}, {keyring.Ed25519PHSHA512, []keyring.Form{keyring.Digest}},
	}, exports: true, spki: 44, pkcs8: 48},
	{spec: keyring.SM2, signs: []ability{{keyring.SM2DSA, hashed}}, encrypts: []keyring.Algorithm{keyring.SM2PKE}, agrees: true, exports: true, spki: 91, pkcs8: 150},
	{spec: keyring.HMAC224, mac: keyring.HMACSHA224},
	{spec: keyring.HMAC256, mac: keyring.HMACSHA256},
	{spec: keyring.HMAC384, mac: keyring.HMACSHA384},
	{spec: keyring.HMAC512, mac: keyring.HMACSHA512},
	{spec: keyring.MLDSA44, signs: mldsaSigning, spki: 1334},
	{spec: keyring.MLDSA65, signs: mldsaSigning, spki: 1974},
	{spec: keyring.MLDSA87, signs: mldsaSigning, spki: 2614},
	{spec: keyring.MLKEM512, encaps: true, exports: true, spki: 822, pkcs8: 86},
	{spec: keyring.MLKEM768, encaps: true, exports: true, spki: 1206, pkcs8: 86},
	{spec: keyring.MLKEM1024, encaps: true, exports: true, spki: 1590, pkcs8: 86},
}

var (
	oaep          = []keyring.Algorithm{keyring.OAEPSHA1, keyring.OAEPSHA256}
	allForms      = []keyring.Form{keyring.Raw, keyring.Digest, keyring.ExternalMu, "", "raw"}
	allAlgorithms = []keyring.Algorithm{
		keyring.OAEPSHA1, keyring.OAEPSHA256,
		keyring.PKCS1SHA256, keyring.PKCS1SHA384, keyring.PKCS1SHA512, keyring.PSSSHA256, keyring.PSSSHA384, keyring.PSSSHA512,
		keyring.ECDSASHA256, keyring.ECDSASHA384, keyring.ECDSASHA512, keyring.Ed25519SHA512, keyring.Ed25519PHSHA512,
		keyring.MLDSAShake256, keyring.HMACSHA224, keyring.HMACSHA256, keyring.HMACSHA384, keyring.HMACSHA512,
		keyring.ECDH, keyring.MLKEM, keyring.SM2PKE, keyring.SM2DSA, "SYMMETRIC_DEFAULT", "", "ecdh",
	}
)

// asymmetric returns a ring and a key of every spec, made once for all tests. RSA
// keys come from files: making them takes long and is tested by itself.
var asymmetric = sync.OnceValues(func() (*Ring, map[keyring.Spec]keyring.KeyRef) {
	t := &failer{}
	r := newRing(t, Config{})
	keys := map[keyring.Spec]keyring.KeyRef{}
	for i, s := range specs {
		keyID := keyIDOf(i)
		var m keyring.Material
		var err error
		if bits, isRSA := rsaFiles[s.spec]; isRSA {
			m, err = wrapFile(r, keyID, s.spec, bits)
		} else {
			m, err = r.Generate(context.Background(), keyID, s.spec)
		}
		if err != nil {
			panic(fmt.Sprintf("%s: %v", s.spec, err))
		}
		keys[s.spec] = keyring.KeyRef{KeyID: keyID, Current: m}
	}
	return r, keys
})

// failer is a testing.TB for what is made outside a test.
type failer struct{ testing.TB }

func (*failer) Helper()           {}
func (*failer) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

var rsaFiles = map[keyring.Spec]int{keyring.RSA2048: 2048, keyring.RSA3072: 3072, keyring.RSA4096: 4096}

func wrapFile(r *Ring, keyID string, spec keyring.Spec, bits int) (keyring.Material, error) {
	text, err := os.ReadFile(fmt.Sprintf("testdata/rsa/%d.pem", bits))
	if err != nil {
		return keyring.Material{}, err
	}
	block, _ := pem.Decode(text)
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return keyring.Material{}, err
	}
	material, err := x509.MarshalPKCS8PrivateKey(parsed)
	if err != nil {
		return keyring.Material{}, err
	}
	key, err := kindOf(spec).private(material)
	if err != nil {
		return keyring.Material{}, err
	}
	public, err := key.spki()
	if err != nil {
		return keyring.Material{}, err
	}
	return r.wrap(keyID, spec, secret.Bytes(material), public)
}
