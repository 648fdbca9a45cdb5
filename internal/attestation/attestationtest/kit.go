// Package attestationtest makes attestation documents, good and bad, under roots of
// its own, for tests of what verifies them.
package attestationtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// Authority issues the certificates of documents, as the Nitro attestation PKI does:
// a root, two intermediates, and a certificate for each document.
type Authority struct {
	t testing.TB
	// Start is when its certificates begin to hold; the last one holds for three
	// hours, the others for years.
	Start time.Time
	Chain []*x509.Certificate // the root first
	keys  []*ecdsa.PrivateKey
}

// Subject is the subject that AWS gives its root.
func Subject(name string) pkix.Name {
	return pkix.Name{CommonName: name, Country: []string{"US"}, Organization: []string{"Amazon"}, OrganizationalUnit: []string{"AWS"}}
}

// NewAuthority makes an authority whose certificates hold from start.
func NewAuthority(t testing.TB, start time.Time) *Authority {
	t.Helper()
	a := &Authority{t: t, Start: start}
	for _, name := range []string{"test.nitro-enclaves", "region.nitro-enclaves", "zone.nitro-enclaves"} {
		a.Extend(&x509.Certificate{
			Subject: Subject(name), NotBefore: start, NotAfter: start.AddDate(30, 0, 0),
			BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
		})
	}
	return a
}

// Extend issues one more CA certificate at the end of the chain.
func (a *Authority) Extend(template *x509.Certificate) {
	a.t.Helper()
	key := newKey(a.t, elliptic.P384())
	c, err := x509.ParseCertificate(a.issue(template, key.Public(), key))
	if err != nil {
		a.t.Fatal(err)
	}
	a.Chain, a.keys = append(a.Chain, c), append(a.keys, key)
}

// issue signs a certificate with the last key of the chain; the root, with its own.
func (a *Authority) issue(template *x509.Certificate, public crypto.PublicKey, own *ecdsa.PrivateKey) []byte {
	a.t.Helper()
	template.SerialNumber = big.NewInt(int64(len(a.Chain)) + 1)
	parent, signer := template, own
	if n := len(a.Chain); n > 0 {
		parent, signer = a.Chain[n-1], a.keys[n-1]
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	return der
}

// Roots are the authority's root in PEM.
func (a *Authority) Roots() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Chain[0].Raw})
}

// Document is what a document is made of; change it before Sign to make a bad one.
type Document struct {
	// Members are those of the payload.
	Members map[string]any
	// Leaf is the template of the signing certificate, Curve that of its key.
	Leaf  *x509.Certificate
	Curve elliptic.Curve
	// Protected and Unprotected are the headers as they are encoded.
	Protected   []byte
	Unprotected any
	// Indefinite encodes the payload as a map of indefinite length.
	Indefinite bool
}

// Value is the value that PCR index has in the documents of New.
func Value(index int) []byte {
	value := make([]byte, 48)
	for i := range value {
		value[i] = byte(index)
	}
	return value
}

// New describes a good document of a Nitro enclave, made at that time; pcrs is
// "pcrs", or "nitrotpm_pcrs" for one of a NitroTPM.
func (a *Authority) New(pcrs string, made time.Time, key *rsa.PublicKey) *Document {
	a.t.Helper()
	spki, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	registers := map[int][]byte{}
	for i := range 16 {
		registers[i] = Value(i)
	}
	bundle := make([][]byte, len(a.Chain))
	for i, c := range a.Chain {
		bundle[i] = c.Raw
	}
	module := "i-1234567890abcdef0-enc1234567890abcdef"
	if pcrs != "pcrs" {
		module = "i-1234567890abcdef0-tpm0000000000000000"
	}
	return &Document{
		Members: map[string]any{
			"module_id": module, "digest": "SHA384", "timestamp": uint64(made.UnixMilli()),
			pcrs: registers, "cabundle": bundle,
			"public_key": spki, "user_data": nil, "nonce": nil,
		},
		Leaf: &x509.Certificate{
			Subject: Subject(module + ".test"), NotBefore: made, NotAfter: made.Add(3 * time.Hour),
			BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		},
		Curve:       elliptic.P384(),
		Protected:   []byte{0xa1, 0x01, 0x38, 0x22},
		Unprotected: map[int]int{},
	}
}

// Sign makes the document's bytes.
func (a *Authority) Sign(d *Document) []byte {
	a.t.Helper()
	key := newKey(a.t, d.Curve)
	if _, given := d.Members["certificate"]; !given {
		d.Members["certificate"] = a.issue(d.Leaf, key.Public(), nil)
	}
	payload := Encode(a.t, d.Members)
	if d.Indefinite {
		payload = append(append([]byte{0xbf}, payload[1:]...), 0xff)
	}
	return Encode(a.t, []any{d.Protected, d.Unprotected, payload, signature(a.t, key, d.Protected, payload)})
}

// Encode is CBOR.
func Encode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := cbor.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func signature(t testing.TB, key *ecdsa.PrivateKey, protected, payload []byte) []byte {
	t.Helper()
	digest := sha512.Sum384(Encode(t, []any{"Signature1", protected, []byte{}, payload}))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	size := (key.Curve.Params().BitSize + 7) / 8
	return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
}

func newKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
