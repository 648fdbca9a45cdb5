package attestation_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/attestation"
	"github.com/strongroom/strongroom/internal/attestation/attestationtest"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// setting is an authority that is trusted, and the key of who asks.
type setting struct {
	*attestationtest.Authority
	verifier *attestation.Verifier
	key      *rsa.PrivateKey
}

// asking is the key of whoever asks, made once.
var asking = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// modulus is a number that looks like an RSA modulus of that length.
func modulus(bits int) *big.Int {
	n := new(big.Int).Lsh(big.NewInt(3), uint(bits-2))
	return n.Add(n, big.NewInt(1))
}

func newSetting(t testing.TB) *setting {
	t.Helper()
	s := &setting{Authority: attestationtest.NewAuthority(t, now.AddDate(-1, 0, 0)), key: asking()}
	s.trust(t)
	return s
}

func (s *setting) trust(t testing.TB) {
	t.Helper()
	roots, err := attestation.ParseRoots(s.Roots())
	if err != nil {
		t.Fatal(err)
	}
	s.verifier = attestation.New(roots)
}

func (s *setting) enclave() *attestationtest.Document { return s.New("pcrs", now, &s.key.PublicKey) }

func TestGoodDocuments(t *testing.T) {
	s := newSetting(t)
	for name, kind := range map[string]attestation.Kind{"pcrs": attestation.Enclave, "nitrotpm_pcrs": attestation.NitroTPM} {
		document := s.Sign(s.New(name, now, &s.key.PublicKey))
		for _, form := range [][]byte{document, append([]byte{0xd2}, document...)} {
			d, err := s.verifier.Verify(form, now)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if d.Kind != kind || !strings.HasPrefix(d.ModuleID, "i-1234567890abcdef0-") || !d.Created.Equal(now) {
				t.Errorf("%s: %+v", name, d)
			}
			if value, ok := d.PCR(8); !ok || value != hex.EncodeToString(attestationtest.Value(8)) {
				t.Errorf("%s: PCR 8 is %q, %v", name, value, ok)
			}
			for _, index := range []int{-1, 16, 31, 32} {
				if value, ok := d.PCR(index); ok {
					t.Errorf("%s: PCR %d is %q", name, index, value)
				}
			}
		}
	}
}

// TestBoundsOfADocument: what the specification just allows is accepted.
func TestBoundsOfADocument(t *testing.T) {
	s := newSetting(t)
	all := map[int][]byte{}
	for i := range 32 {
		all[i] = make([]byte, []int{32, 48, 64}[i%3])
	}
	for name, change := range map[string]func(d *attestationtest.Document){
		"every PCR, of every length": func(d *attestationtest.Document) { d.Members["pcrs"] = all },
		"one PCR":                    func(d *attestationtest.Document) { d.Members["pcrs"] = map[int][]byte{31: all[31]} },
		"longest user data":          func(d *attestationtest.Document) { d.Members["user_data"] = make([]byte, 512) },
		"empty user data":            func(d *attestationtest.Document) { d.Members["user_data"] = []byte{} },
		"longest nonce":              func(d *attestationtest.Document) { d.Members["nonce"] = make([]byte, 512) },
		"no optional members":        func(d *attestationtest.Document) { delete(d.Members, "user_data"); delete(d.Members, "nonce") },
		"a key of 4096 bits": func(d *attestationtest.Document) {
			d.Members["public_key"], _ = x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: modulus(4096), E: 65537})
		},
		"indefinite length": func(d *attestationtest.Document) { d.Indefinite = true },
		"oldest":            func(d *attestationtest.Document) { d.Members["timestamp"] = now.Add(-attestation.MaxAge).UnixMilli() },
		"earliest":          func(d *attestationtest.Document) { d.Members["timestamp"] = now.Add(attestation.MaxAge).UnixMilli() },
	} {
		d := s.enclave()
		change(d)
		if _, err := s.verifier.Verify(s.Sign(d), now); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBadDocuments is every way in which a document that is signed under a trusted
// root can be bad, but for those of its bytes and its certificates.
func TestBadDocuments(t *testing.T) {
	s := newSetting(t)
	curve, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki := func(key any) []byte {
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	even := &rsa.PublicKey{N: new(big.Int).Sub(modulus(2048), big.NewInt(1)), E: 65537}
	const mustPCRs = "pcrs must be a map of 1 to 32 indexes below 32 to byte strings of 32, 48 or 64 bytes"
	register := make([]byte, 48)
	set := func(name string, value any) func(*attestationtest.Document) {
		return func(d *attestationtest.Document) { d.Members[name] = value }
	}
	without := func(name string) func(*attestationtest.Document) {
		return func(d *attestationtest.Document) { delete(d.Members, name) }
	}
	for _, test := range []struct {
		name   string
		change func(d *attestationtest.Document)
		reason string
	}{
		{"no module id", without("module_id"), "module_id is missing"},
		{"null module id", set("module_id", nil), "module_id must be a text that is not empty"},
		{"empty module id", set("module_id", ""), "module_id must be a text that is not empty"},
		{"module id of bytes", set("module_id", []byte("i-1")), "module_id must be a text that is not empty"},
		{"no digest", without("digest"), "digest is missing"},
		{"another digest", set("digest", "SHA256"), "digest must be SHA384"},
		{"digest of bytes", set("digest", []byte("SHA384")), "digest must be SHA384"},
		{"no timestamp", without("timestamp"), "timestamp is missing"},
		{"timestamp 0", set("timestamp", 0), "timestamp must be a positive integer of milliseconds"},
		{"negative timestamp", set("timestamp", -1), "timestamp must be a positive integer of milliseconds"},
		{"fractional timestamp", set("timestamp", 1.5), "timestamp must be a positive integer of milliseconds"},
		{"timestamp of text", set("timestamp", "1"), "timestamp must be a positive integer of milliseconds"},
		{"timestamp beyond time", set("timestamp", uint64(1)<<63), "timestamp must be a positive integer of milliseconds"},
		{"timestamp at the end of time", set("timestamp", uint64(1)<<63-1), "its timestamp is more than 5 minutes away from the time of the request"},
		{"old", set("timestamp", now.Add(-attestation.MaxAge-time.Millisecond).UnixMilli()), "its timestamp is more than 5 minutes away from the time of the request"},
		{"from the future", set("timestamp", now.Add(attestation.MaxAge+time.Millisecond).UnixMilli()), "its timestamp is more than 5 minutes away from the time of the request"},
		{"no PCRs", without("pcrs"), "it must have either pcrs or nitrotpm_pcrs"},
		{"null PCRs", set("pcrs", nil), "it must have either pcrs or nitrotpm_pcrs"},
		{"both kinds of PCRs", set("nitrotpm_pcrs", map[int][]byte{0: register}), "it must have either pcrs or nitrotpm_pcrs"},
		{"empty PCRs", set("pcrs", map[int][]byte{}), mustPCRs},
		{"PCRs in a list", set("pcrs", [][]byte{register}), mustPCRs},
		{"PCR 32", set("pcrs", map[int][]byte{32: register}), mustPCRs},
		{"PCR -1", set("pcrs", map[int][]byte{-1: register}), mustPCRs},
		{"PCR named by text", set("pcrs", map[string][]byte{"0": register}), mustPCRs},
		{"PCR of text", set("pcrs", map[int]string{0: strings.Repeat("a", 48)}), mustPCRs},
		{"PCR of numbers", set("pcrs", map[int][]int{0: make([]int, 12)}), mustPCRs},
		{"null PCR", set("pcrs", map[int]any{0: nil}), mustPCRs},
		{"PCR of 47 bytes", set("pcrs", map[int][]byte{0: register[:47]}), mustPCRs},
		{"PCR of 65 bytes", set("pcrs", map[int][]byte{0: make([]byte, 65)}), mustPCRs},
		{"null certificate", set("certificate", nil), "certificate must be a byte string of 1 to 1024 bytes"},
		{"empty certificate", set("certificate", []byte{}), "certificate must be a byte string of 1 to 1024 bytes"},
		{"long certificate", set("certificate", make([]byte, 1025)), "certificate must be a byte string of 1 to 1024 bytes"},
		{"certificate of text", set("certificate", "MII"), "certificate must be a byte string of 1 to 1024 bytes"},
		{"no bundle", without("cabundle"), "cabundle is missing"},
		{"empty bundle", set("cabundle", [][]byte{}), "cabundle must be a list of 1 to 8 byte strings of 1 to 1024 bytes"},
		{"long bundle", set("cabundle", make([][]byte, 9)), "cabundle must be a list of 1 to 8 byte strings of 1 to 1024 bytes"},
		{"bundle of one", set("cabundle", s.Chain[0].Raw), "cabundle must be a list of 1 to 8 byte strings of 1 to 1024 bytes"},
		{"bundle with a hole", set("cabundle", []any{s.Chain[0].Raw, nil}), "cabundle must be a list of 1 to 8 byte strings of 1 to 1024 bytes"},
		{"no key", without("public_key"), "it has no public_key"},
		{"null key", set("public_key", nil), "it has no public_key"},
		{"empty key", set("public_key", []byte{}), "public_key must be a byte string of 1 to 1024 bytes"},
		{"long key", set("public_key", make([]byte, 1025)), "public_key must be a byte string of 1 to 1024 bytes"},
		{"key of text", set("public_key", "key"), "public_key must be a byte string of 1 to 1024 bytes"},
		{"key that is none", set("public_key", []byte("key")), "its public_key is not an RSA key as a DER SubjectPublicKeyInfo"},
		{"key with a tail", set("public_key", append(spki(&s.key.PublicKey), 0)), "its public_key is not an RSA key as a DER SubjectPublicKeyInfo"},
		{"PKCS #1 key", set("public_key", x509.MarshalPKCS1PublicKey(&s.key.PublicKey)), "its public_key is not an RSA key as a DER SubjectPublicKeyInfo"},
		{"key on a curve", set("public_key", spki(&curve.PublicKey)), "its public_key is not an RSA key as a DER SubjectPublicKeyInfo"},
		{"key of 2047 bits", set("public_key", spki(&rsa.PublicKey{N: modulus(2047), E: 65537})), "its public_key does not have 2048 to 4096 bits"},
		{"key of 4097 bits", set("public_key", spki(&rsa.PublicKey{N: modulus(4097), E: 65537})), "its public_key does not have 2048 to 4096 bits"},
		{"even modulus", set("public_key", spki(even)), "its public_key is not an RSA key that can be used"},
		{"exponent 1", set("public_key", spki(&rsa.PublicKey{N: s.key.N, E: 1})), "its public_key is not an RSA key that can be used"},
		{"even exponent", set("public_key", spki(&rsa.PublicKey{N: s.key.N, E: 65536})), "its public_key is not an RSA key that can be used"},
		{"long user data", set("user_data", make([]byte, 513)), "user_data must be a byte string of at most 512 bytes"},
		{"user data of text", set("user_data", "text"), "user_data must be a byte string of at most 512 bytes"},
		{"long nonce", set("nonce", make([]byte, 513)), "nonce must be a byte string of at most 512 bytes"},
		{"member too many", set("comment", "x"), "it has a member that attestation documents do not have"},
		{"another algorithm", func(d *attestationtest.Document) { d.Protected = []byte{0xa1, 0x01, 0x26} }, "its protected header is not the one of algorithm ES384"},
		{"a second protected header", func(d *attestationtest.Document) { d.Protected = []byte{0xa2, 0x01, 0x38, 0x22, 0x04, 0x40} }, "its protected header is not the one of algorithm ES384"},
		{"no protected header", func(d *attestationtest.Document) { d.Protected = nil }, "its protected header is not the one of algorithm ES384"},
		{"unprotected header", func(d *attestationtest.Document) { d.Unprotected = map[int]int{1: -35} }, "its unprotected header is not empty"},
		{"signed on P-256", func(d *attestationtest.Document) { d.Curve = elliptic.P256() }, "its signature is not a byte string of 96 bytes"},
	} {
		d := s.enclave()
		test.change(d)
		refusedFor(t, s.verifier, test.name, s.Sign(d), now, test.reason)
	}
}

var criticalExtension = pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}

func refusedFor(t *testing.T, v *attestation.Verifier, name string, document []byte, at time.Time, reason string) {
	t.Helper()
	d, err := v.Verify(document, at)
	var refused *attestation.Error
	if d != nil || !errors.As(err, &refused) || refused.Reason != reason {
		t.Errorf("%s: %v, %v; want %s", name, d, err, reason)
	}
}

// TestBadChains is every way in which the certificates can be bad.
func TestBadChains(t *testing.T) {
	const (
		untrusted = "its certificates do not begin at a trusted root"
		path      = "its certificates do not lead to a trusted root"
		order     = "its certificates are not a chain in order"
		expired   = "a certificate in it has expired or is not yet valid"
	)
	authority := func(change func(c *x509.Certificate)) func(s *setting, d *attestationtest.Document) {
		return func(s *setting, d *attestationtest.Document) {
			c := &x509.Certificate{
				Subject: attestationtest.Subject("instance.nitro-enclaves"), NotBefore: now.AddDate(0, 0, -1), NotAfter: now.AddDate(0, 0, 1),
				BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
			}
			change(c)
			s.Extend(c)
			d.Members["cabundle"] = append(d.Members["cabundle"].([][]byte), s.Chain[len(s.Chain)-1].Raw)
		}
	}
	leaf := func(change func(c *x509.Certificate)) func(s *setting, d *attestationtest.Document) {
		return func(_ *setting, d *attestationtest.Document) { change(d.Leaf) }
	}
	for _, test := range []struct {
		name   string
		change func(s *setting, d *attestationtest.Document)
		reason string // "" for none
	}{
		{"one more intermediate", authority(func(*x509.Certificate) {}), ""},
		{"another root of the same name", func(_ *setting, d *attestationtest.Document) {
			d.Members["cabundle"].([][]byte)[0] = attestationtest.NewAuthority(t, now.AddDate(-1, 0, 0)).Chain[0].Raw
		}, untrusted},
		{"no root", func(_ *setting, d *attestationtest.Document) {
			d.Members["cabundle"] = d.Members["cabundle"].([][]byte)[1:]
		}, untrusted},
		{"reversed", func(_ *setting, d *attestationtest.Document) {
			b := d.Members["cabundle"].([][]byte)
			b[0], b[2] = b[2], b[0]
		}, untrusted},
		{"intermediates swapped", func(_ *setting, d *attestationtest.Document) {
			b := d.Members["cabundle"].([][]byte)
			b[1], b[2] = b[2], b[1]
		}, order},
		{"an intermediate left out", func(_ *setting, d *attestationtest.Document) {
			b := d.Members["cabundle"].([][]byte)
			d.Members["cabundle"] = append(b[:1:1], b[2])
		}, order},
		{"an intermediate of another authority", func(_ *setting, d *attestationtest.Document) {
			d.Members["cabundle"].([][]byte)[1] = attestationtest.NewAuthority(t, now.AddDate(-1, 0, 0)).Chain[1].Raw
		}, path},
		{"the last intermediate of another authority", func(_ *setting, d *attestationtest.Document) {
			d.Members["cabundle"].([][]byte)[2] = attestationtest.NewAuthority(t, now.AddDate(-1, 0, 0)).Chain[2].Raw
		}, path},
		{"the root twice", func(s *setting, d *attestationtest.Document) {
			d.Members["cabundle"] = append([][]byte{s.Chain[0].Raw}, d.Members["cabundle"].([][]byte)...)
		}, "two certificates in it have the same subject"},
		{"malformed intermediate", func(_ *setting, d *attestationtest.Document) {
			d.Members["cabundle"].([][]byte)[1] = []byte("not a certificate")
		}, "a certificate in it is malformed"},
		{"malformed certificate", func(_ *setting, d *attestationtest.Document) {
			d.Members["certificate"] = []byte("not a certificate")
		}, "a certificate in it is malformed"},
		{"an intermediate that is no CA", authority(func(c *x509.Certificate) { c.IsCA = false }), "a certificate in its cabundle may not issue certificates"},
		{"an intermediate without keyCertSign", authority(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }), "a certificate in its cabundle may not issue certificates"},
		{"an expired intermediate", authority(func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }), expired},
		{"an intermediate of tomorrow", authority(func(c *x509.Certificate) { c.NotBefore = now.Add(time.Second) }), expired},
		{"path length 0", authority(func(c *x509.Certificate) { c.MaxPathLenZero = true }), ""},
		{"path too long", func(s *setting, d *attestationtest.Document) {
			authority(func(c *x509.Certificate) { c.MaxPathLenZero = true })(s, d)
			authority(func(c *x509.Certificate) { c.Subject.CommonName = "one too many" })(s, d)
		}, path},
		{"an unknown critical extension", authority(func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, criticalExtension)
		}), path},
		{"certificate expired", leaf(func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }), expired},
		{"certificate of tomorrow", leaf(func(c *x509.Certificate) { c.NotBefore = now.Add(time.Second) }), expired},
		{"certificate of a CA", leaf(func(c *x509.Certificate) { c.IsCA = true }), "its certificate may not sign documents"},
		{"certificate without digitalSignature", leaf(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }), "its certificate may not sign documents"},
		{"certificate with an unknown critical extension", leaf(func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, criticalExtension)
		}), path},
		{"certificate of another authority", func(_ *setting, d *attestationtest.Document) {
			other := attestationtest.NewAuthority(t, now.AddDate(-1, 0, 0)).New("pcrs", now, &rsa.PublicKey{N: big.NewInt(15), E: 3})
			attestationtest.NewAuthority(t, now.AddDate(-1, 0, 0)).Sign(other)
			d.Members["certificate"] = other.Members["certificate"]
		}, path},
		{"certificate of another document", func(s *setting, d *attestationtest.Document) {
			other := s.enclave()
			s.Sign(other)
			d.Members["certificate"] = other.Members["certificate"]
		}, "its signature does not verify"},
	} {
		s := newSetting(t)
		d := s.enclave()
		test.change(s, d)
		document := s.Sign(d)
		if test.reason != "" {
			refusedFor(t, s.verifier, test.name, document, now, test.reason)
		} else if _, err := s.verifier.Verify(document, now); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// TestDatesGoByTheTimeOfTheRequest: the same document is good now and not later,
// whatever the machine's clock says.
func TestDatesGoByTheTimeOfTheRequest(t *testing.T) {
	s := newSetting(t)
	document := s.Sign(s.enclave())
	refusedFor(t, s.verifier, "later", document, now.Add(attestation.MaxAge+time.Second), "its timestamp is more than 5 minutes away from the time of the request")
	refusedFor(t, s.verifier, "much later", document, now.Add(3*time.Hour+time.Second), "a certificate in it has expired or is not yet valid")
	refusedFor(t, s.verifier, "when the root has expired", document, now.AddDate(30, 0, 0), "a certificate in it has expired or is not yet valid")
	refusedFor(t, s.verifier, "before", document, now.Add(-time.Second), "a certificate in it has expired or is not yet valid")
}

// TestEveryByteCounts: a document that is cut anywhere, goes on, or has a bit changed
// is refused. In the middle, where each try costs a chain, some bytes stand for their
// neighbours.
func TestEveryByteCounts(t *testing.T) {
	s := newSetting(t)
	document := s.Sign(s.enclave())
	for n := range document {
		if _, err := s.verifier.Verify(document[:n], now); err == nil {
			t.Fatalf("cut to %d bytes", n)
		}
	}
	if _, err := s.verifier.Verify(append(bytes.Clone(document), 0), now); err == nil {
		t.Error("one byte more")
	}
	for i := range document {
		if i > 64 && i < len(document)-128 && i%43 != 0 {
			continue
		}
		document[i] ^= 1 << (i % 8)
		if _, err := s.verifier.Verify(document, now); err == nil {
			t.Fatalf("a bit of byte %d of %d changed", i, len(document))
		}
		document[i] ^= 1 << (i % 8)
	}
	if _, err := s.verifier.Verify(document, now); err != nil {
		t.Errorf("as it was: %v", err)
	}
}

// TestEnvelopes are the forms of the outer structure that are refused.
func TestEnvelopes(t *testing.T) {
	s := newSetting(t)
	document := s.Sign(s.enclave())
	const noSign1 = "it is not a COSE_Sign1 structure"
	encode := func(v any) []byte { return attestationtest.Encode(t, v) }
	protected, none, signature := []byte{0xa1, 0x01, 0x38, 0x22}, map[int]int{}, make([]byte, 96)
	for _, test := range []struct {
		name     string
		document []byte
		reason   string
	}{
		{"nothing", nil, noSign1},
		{"the tag alone", []byte{0xd2}, noSign1},
		{"tagged twice", append([]byte{0xd2, 0xd2}, document...), noSign1},
		{"another tag", append([]byte{0xd1}, document...), noSign1},
		{"the tag in two bytes", append([]byte{0xd8, 0x12}, document...), noSign1},
		{"a map", encode(map[int]int{}), noSign1},
		{"three parts", encode([]any{protected, none, []byte{1}}), noSign1},
		{"five parts", encode([]any{protected, none, []byte{1}, signature, 1}), noSign1},
		{"a list without an end", append([]byte{0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, document...), noSign1},
		{"lists in lists", bytes.Repeat([]byte{0x81}, 1<<16), noSign1},
		{"headers of text", encode([]any{"text", none, []byte{1}, signature}), "its protected header is not the one of algorithm ES384"},
		{"null header", encode([]any{protected, nil, []byte{1}, signature}), "its unprotected header is not empty"},
		{"null payload", encode([]any{protected, none, nil, signature}), "its payload is not a byte string of 1 to 16384 bytes"},
		{"empty payload", encode([]any{protected, none, []byte{}, signature}), "its payload is not a byte string of 1 to 16384 bytes"},
		{"long payload", encode([]any{protected, none, make([]byte, 16385), signature}), "its payload is not a byte string of 1 to 16384 bytes"},
		{"payload of numbers", encode([]any{protected, none, []int{1}, signature}), "its payload is not a byte string of 1 to 16384 bytes"},
		{"no signature", encode([]any{protected, none, []byte{1}, nil}), "its signature is not a byte string of 96 bytes"},
		{"long signature", encode([]any{protected, none, []byte{1}, make([]byte, 97)}), "its signature is not a byte string of 96 bytes"},
		{"payload that is no map", encode([]any{protected, none, []byte{1}, signature}), "its payload is not a map with distinct texts as keys"},
		{"payload with a tail", encode([]any{protected, none, append(encode(map[string]int{}), 0), signature}), "its payload is not a map with distinct texts as keys"},
		{"payload with a key twice", encode([]any{protected, none, []byte{0xa2, 0x61, 'a', 1, 0x61, 'a', 1}, signature}), "its payload is not a map with distinct texts as keys"},
		{"payload with a number as key", encode([]any{protected, none, encode(map[int]int{1: 1}), signature}), "its payload is not a map with distinct texts as keys"},
		{"payload with a key that is no UTF-8", encode([]any{protected, none, []byte{0xa1, 0x61, 0xff, 1}, signature}), "its payload is not a map with distinct texts as keys"},
		{"payload with a tag", encode([]any{protected, none, []byte{0xa1, 0x61, 'a', 0xc1, 0x01}, signature}), "its payload is not a map with distinct texts as keys"},
	} {
		refusedFor(t, s.verifier, test.name, test.document, now, test.reason)
	}
}
