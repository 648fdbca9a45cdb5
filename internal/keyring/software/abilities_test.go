package software

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"slices"
	"testing"

	"github.com/emmansun/gmsm/sm2"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/secret"
)

var ctx = context.Background()

// messageFor returns a message that an algorithm takes in a form.
func messageFor(algorithm keyring.Algorithm, form keyring.Form) secret.Bytes {
	switch {
	case form == keyring.ExternalMu, form == keyring.Digest && algorithm == keyring.Ed25519PHSHA512:
		return bytes.Repeat([]byte{0x5a}, 64)
	case form == keyring.Digest && algorithm == keyring.SM2DSA:
		return bytes.Repeat([]byte{0x5a}, 32)
	case form == keyring.Digest && hashOf(algorithm) != 0:
		return bytes.Repeat([]byte{0x5a}, hashOf(algorithm).Size())
	}
	return secret.Bytes("What is signed is what is verified.")
}

// TestEverySpecWithEveryAlgorithmInEveryForm asks every key for everything. What
// the table has works, and everything else is refused as unsupported.
func TestEverySpecWithEveryAlgorithmInEveryForm(t *testing.T) {
	r, keys := asymmetric()
	for _, s := range specs {
		key := keys[s.spec]
		for _, algorithm := range allAlgorithms {
			for _, form := range allForms {
				can := slices.ContainsFunc(s.signs, func(a ability) bool {
					return a.algorithm == algorithm && slices.Contains(a.forms, form)
				})
				message := messageFor(algorithm, form)
				signature, err := r.Sign(ctx, key, algorithm, form, message)
				if !can {
					wantUnsupported(t, err, s.spec, "Sign", algorithm, form)
					err = r.Verify(ctx, key, algorithm, form, message, []byte("x"))
					wantUnsupported(t, err, s.spec, "Verify", algorithm, form)
					continue
				}
				if err != nil {
					t.Errorf("%s: Sign %s %s: %v", s.spec, algorithm, form, err)
					continue
				}
				if err := r.Verify(ctx, key, algorithm, form, message, signature); err != nil {
					t.Errorf("%s: Verify %s %s: %v", s.spec, algorithm, form, err)
				}
			}
			mac, err := r.GenerateMAC(ctx, key, algorithm, []byte("m"))
			if s.mac == "" || s.mac != algorithm {
				wantUnsupported(t, err, s.spec, "GenerateMAC", algorithm)
				wantUnsupported(t, r.VerifyMAC(ctx, key, algorithm, []byte("m"), mac), s.spec, "VerifyMAC", algorithm)
			} else if err != nil || len(mac) != hashOf(algorithm).Size() || r.VerifyMAC(ctx, key, algorithm, []byte("m"), mac) != nil {
				t.Errorf("%s: GenerateMAC gives %d bytes, %v", s.spec, len(mac), err)
			}
			blob, err := r.EncryptAsymmetric(ctx, key, algorithm, []byte("p"))
			if !slices.Contains(s.encrypts, algorithm) {
				wantUnsupported(t, err, s.spec, "EncryptAsymmetric", algorithm)
				_, err = r.DecryptAsymmetric(ctx, key, algorithm, []byte("x"))
				wantUnsupported(t, err, s.spec, "DecryptAsymmetric", algorithm)
			} else if plaintext, opened := r.DecryptAsymmetric(ctx, key, algorithm, blob); err != nil || opened != nil || string(plaintext) != "p" {
				t.Errorf("%s: %s encrypts (%v) and decrypts (%v) to %d bytes", s.spec, algorithm, err, opened, len(plaintext))
			}
			_, err = r.DeriveSharedSecret(ctx, key, algorithm, key.Current.Public)
			if !s.agrees || algorithm != keyring.ECDH {
				wantUnsupported(t, err, s.spec, "DeriveSharedSecret", algorithm)
			} else if err != nil { // its own public key is a peer too
				t.Errorf("%s: DeriveSharedSecret: %v", s.spec, err)
			}
			shared, blob, err := r.Encapsulate(ctx, key, algorithm)
			if !s.encaps || algorithm != keyring.MLKEM {
				wantUnsupported(t, err, s.spec, "Encapsulate", algorithm)
				_, err = r.Decapsulate(ctx, key, algorithm, []byte("x"))
				wantUnsupported(t, err, s.spec, "Decapsulate", algorithm)
			} else if again, opened := r.Decapsulate(ctx, key, algorithm, blob); err != nil || opened != nil || !again.Equal(shared) || len(shared) != 32 {
				t.Errorf("%s: Encapsulate (%v) and Decapsulate (%v) differ", s.spec, err, opened)
			}
		}
		if _, err := r.Encrypt(ctx, key, []byte("p"), nil); !errors.Is(err, keyring.ErrUnsupported) {
			t.Errorf("%s: Encrypt: %v", s.spec, err)
		}
	}
}

func wantUnsupported(t *testing.T, err error, of ...any) {
	t.Helper()
	if !errors.Is(err, keyring.ErrUnsupported) {
		t.Errorf("%v: %v, want ErrUnsupported", of, err)
	}
}

// TestSymmetricKeysDoNothingElse: neither a symmetric key nor one of an unknown
// spec can be used through the other abilities.
func TestSymmetricKeysDoNothingElse(t *testing.T) {
	r := newRing(t, Config{})
	key := mustGenerate(t, r, uuidA)
	for _, spec := range []keyring.Spec{keyring.SymmetricDefault, "", "RSA_1024"} {
		key.Current.Spec = spec
		_, err := r.Sign(ctx, key, keyring.PKCS1SHA256, keyring.Raw, nil)
		wantUnsupported(t, err, spec, "Sign")
		wantUnsupported(t, r.Verify(ctx, key, keyring.PKCS1SHA256, keyring.Raw, nil, nil), spec, "Verify")
		_, err = r.GenerateMAC(ctx, key, keyring.HMACSHA256, nil)
		wantUnsupported(t, err, spec, "GenerateMAC")
		_, _, err = r.GeneratePair(ctx, spec)
		wantUnsupported(t, err, spec, "GeneratePair")
		if spec != keyring.SymmetricDefault {
			_, err = r.Generate(ctx, uuidA, spec)
			wantUnsupported(t, err, spec, "Generate")
		}
	}
}

func TestDigestsOfOtherLengths(t *testing.T) {
	r, keys := asymmetric()
	for _, s := range specs {
		for _, a := range s.signs {
			for _, form := range a.forms {
				if form == keyring.Raw {
					continue
				}
				size := len(messageFor(a.algorithm, form))
				for n := range 70 {
					message := make(secret.Bytes, n)
					if n == size {
						continue
					}
					if _, err := r.Sign(ctx, keys[s.spec], a.algorithm, form, message); err != keyring.ErrMessageSize {
						t.Errorf("%s: Sign %s %s of %d bytes: %v", s.spec, a.algorithm, form, n, err)
					}
					if err := r.Verify(ctx, keys[s.spec], a.algorithm, form, message, []byte("x")); err != keyring.ErrMessageSize {
						t.Errorf("%s: Verify %s %s of %d bytes: %v", s.spec, a.algorithm, form, n, err)
					}
				}
			}
		}
	}
}

// TestAlteredSignatures flips bits of and cuts every kind of signature, at each byte
// where there are few and at samples where there are hundreds. Of RSA, 2,048 bits
// stand for all.
func TestAlteredSignatures(t *testing.T) {
	r, keys := asymmetric()
	for _, s := range specs {
		if rsaFiles[s.spec] > 2048 {
			continue
		}
		for _, a := range s.signs {
			for _, form := range a.forms {
				message := messageFor(a.algorithm, form)
				signature, err := r.Sign(ctx, keys[s.spec], a.algorithm, form, message)
				if err != nil {
					t.Fatal(err)
				}
				refused := func(what string, message secret.Bytes, signature []byte) {
					t.Helper()
					if err := r.Verify(ctx, keys[s.spec], a.algorithm, form, message, signature); err != keyring.ErrInvalidSignature {
						t.Errorf("%s %s %s: %s: %v", s.spec, a.algorithm, form, what, err)
					}
				}
				step := 1
				if len(signature) > 100 {
					step = len(signature)/8 + 1
				}
				for i := 0; i < len(signature); i += step {
					flipped := bytes.Clone(signature)
					flipped[i] ^= 1 << (i % 8)
					refused("a flipped bit", message, flipped)
					refused("cut", message, signature[:i])
				}
				refused("no signature", message, nil)
				refused("a byte more", message, append(bytes.Clone(signature), 0))
				other := bytes.Clone(message)
				other[0] ^= 1
				refused("another message", other, signature)
			}
		}
	}
}

// TestAlteredMACs: every length and every flipped bit is refused.
func TestAlteredMACs(t *testing.T) {
	r, keys := asymmetric()
	for _, s := range specs {
		if s.mac == "" {
			continue
		}
		mac, err := r.GenerateMAC(ctx, keys[s.spec], s.mac, []byte("m"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range len(mac) * 8 {
			flipped := bytes.Clone(mac)
			flipped[i/8] ^= 1 << (i % 8)
			for _, bad := range [][]byte{flipped, mac[:i/8], append(bytes.Clone(mac), 0)} {
				if err := r.VerifyMAC(ctx, keys[s.spec], s.mac, []byte("m"), bad); err != keyring.ErrInvalidMAC {
					t.Fatalf("%s: %x for %x: %v", s.spec, bad, mac, err)
				}
			}
		}
	}
}

// TestAlteredSM2Ciphertexts: every cut one, every flipped bit, and forms that KMS
// does not have are refused.
func TestAlteredSM2Ciphertexts(t *testing.T) {
	r, keys := asymmetric()
	key := keys[keyring.SM2]
	blob, err := r.EncryptAsymmetric(ctx, key, keyring.SM2PKE, []byte("plaintext"))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := sm2.ASN1Ciphertext2Plain(blob, nil)
	if err != nil {
		t.Fatal(err)
	}
	bad := [][]byte{nil, plain, append(bytes.Clone(blob), 0), {0x30, 0}, bytes.Repeat([]byte{0xff}, 200)}
	for i := range blob {
		flipped := bytes.Clone(blob)
		flipped[i] ^= 1 << (i % 8)
		bad = append(bad, flipped, blob[:i])
	}
	for _, blob := range bad {
		if plaintext, err := r.DecryptAsymmetric(ctx, key, keyring.SM2PKE, blob); err != keyring.ErrInvalidCiphertext || plaintext != nil {
			t.Errorf("%x: %d bytes, %v", blob, len(plaintext), err)
		}
	}
	for size, want := range map[int]error{0: keyring.ErrMessageSize, 1024: nil, 1025: keyring.ErrMessageSize} {
		if _, err := r.EncryptAsymmetric(ctx, key, keyring.SM2PKE, make(secret.Bytes, size)); err != want {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// TestEncapsulationsOfOtherLengths are refused, and only they: an altered one gives
// another secret.
func TestEncapsulationsOfOtherLengths(t *testing.T) {
	r, keys := asymmetric()
	for spec, size := range map[keyring.Spec]int{keyring.MLKEM512: 768, keyring.MLKEM768: 1088, keyring.MLKEM1024: 1568} {
		shared, blob, err := r.Encapsulate(ctx, keys[spec], keyring.MLKEM)
		if err != nil || len(blob) != size {
			t.Fatalf("%s: %d bytes, %v", spec, len(blob), err)
		}
		for n := range size + 2 {
			if n == size {
				continue
			}
			if _, err := r.Decapsulate(ctx, keys[spec], keyring.MLKEM, make([]byte, n)); err != keyring.ErrInvalidCiphertext {
				t.Errorf("%s: %d bytes: %v", spec, n, err)
			}
		}
		blob[0] ^= 1
		other, err := r.Decapsulate(ctx, keys[spec], keyring.MLKEM, blob)
		if err != nil || len(other) != 32 || other.Equal(shared) {
			t.Errorf("%s: an altered blob gives %d bytes, %v", spec, len(other), err)
		}
		again, err := r.Decapsulate(ctx, keys[spec], keyring.MLKEM, blob)
		if err != nil || !again.Equal(other) {
			t.Errorf("%s: an altered blob gives two secrets, %v", spec, err)
		}
	}
}

// TestPeerKeys: only a well-formed public key of the same curve agrees.
func TestPeerKeys(t *testing.T) {
	r, keys := asymmetric()
	for _, s := range specs {
		if !s.agrees {
			continue
		}
		refused := func(what string, peer []byte) {
			t.Helper()
			if _, err := r.DeriveSharedSecret(ctx, keys[s.spec], keyring.ECDH, peer); err != keyring.ErrPeerKey {
				t.Errorf("%s: %s: %v", s.spec, what, err)
			}
		}
		own := keys[s.spec].Current.Public
		for other, key := range keys {
			if other != s.spec {
				refused(string(other), key.Current.Public)
			}
		}
		for n := range own {
			refused("cut", own[:n])
		}
		refused("a byte more", append(bytes.Clone(own), 0))
		offCurve := bytes.Clone(own)
		offCurve[len(offCurve)-1] ^= 1
		refused("a point off the curve", offCurve)
	}
}

func TestPublicKeysAndPairs(t *testing.T) {
	r, keys := asymmetric()
	for _, s := range specs {
		public := keys[s.spec].Current.Public
		if len(public) != s.spki {
			t.Errorf("%s: a public key of %d bytes, want %d", s.spec, len(public), s.spki)
		}
		if rsaFiles[s.spec] > 2048 {
			continue // as RSA_2048, and slow
		}
		private, public, err := r.GeneratePair(ctx, s.spec)
		if !s.exports {
			wantUnsupported(t, err, s.spec, "GeneratePair")
			continue
		}
		if err != nil || len(public) != s.spki || s.pkcs8 != 0 && len(private) != s.pkcs8 {
			t.Errorf("%s: a pair of %d and %d bytes, %v", s.spec, len(private), len(public), err)
		}
		if s.spec == keyring.RSA2048 && (len(private) < 1210 || len(private) > 1222) {
			t.Errorf("%s: a private key of %d bytes", s.spec, len(private))
		}
		_, again, err := r.GeneratePair(ctx, s.spec)
		if s.spec != keyring.RSA2048 && (err != nil || bytes.Equal(again, public)) {
			t.Errorf("%s: the same pair twice, %v", s.spec, err)
		}
	}
}

// TestPairsParse reads the pairs with the standard library, which knows most specs.
func TestPairsParse(t *testing.T) {
	r, _ := asymmetric()
	for _, spec := range []keyring.Spec{keyring.P256, keyring.P384, keyring.P521, keyring.Ed25519} {
		private, public, err := r.GeneratePair(ctx, spec)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := x509.ParsePKCS8PrivateKey(private)
		if err != nil {
			t.Fatalf("%s: %v", spec, err)
		}
		own, err := x509.MarshalPKIXPublicKey(publicOf(parsed))
		if err != nil || !bytes.Equal(own, public) {
			t.Errorf("%s: the private key's public key is another, %v", spec, err)
		}
	}
}

// TestGenerateRSA makes the keys that the other tests read from files.
func TestGenerateRSA(t *testing.T) {
	r := newRing(t, Config{})
	for _, spec := range []keyring.Spec{keyring.RSA2048, keyring.RSA3072} {
		m, err := r.Generate(ctx, uuidA, spec)
		if err != nil {
			t.Fatal(err)
		}
		key := keyring.KeyRef{KeyID: uuidA, Current: m}
		signature, err := r.Sign(ctx, key, keyring.PSSSHA512, keyring.Raw, []byte("m"))
		if err != nil || r.Verify(ctx, key, keyring.PSSSHA512, keyring.Raw, []byte("m"), signature) != nil {
			t.Errorf("%s: %v", spec, err)
		}
	}
}

// TestMaterialIsBoundToItsPublicKey: a record whose public key was exchanged for
// another does not open, and one that is no key is told as corrupt.
func TestMaterialIsBoundToItsPublicKey(t *testing.T) {
	r := newRing(t, Config{})
	var pair [2]keyring.KeyRef
	for i := range pair {
		m, err := r.Generate(ctx, keyIDOf(i), keyring.P256)
		if err != nil {
			t.Fatal(err)
		}
		pair[i] = keyring.KeyRef{KeyID: keyIDOf(i), Current: m}
	}
	sign := func(key keyring.KeyRef) error {
		_, err := r.Sign(ctx, key, keyring.ECDSASHA256, keyring.Raw, []byte("m"))
		return err
	}
	good := pair[0]
	for name, alter := range map[string]func(m *keyring.Material){
		"another public key":     func(m *keyring.Material) { m.Public = pair[1].Current.Public },
		"no public key":          func(m *keyring.Material) { m.Public = nil },
		"another spec":           func(m *keyring.Material) { m.Spec = keyring.P384 },
		"another key's material": func(m *keyring.Material) { *m = pair[1].Current },
		"no material":            func(m *keyring.Material) { m.Wrapped = nil },
		"cut material":           func(m *keyring.Material) { m.Wrapped = m.Wrapped[:len(m.Wrapped)-1] },
		"huge material":          func(m *keyring.Material) { m.Wrapped = make([]byte, 1<<20) },
	} {
		key := good
		alter(&key.Current)
		algorithm := keyring.ECDSASHA256
		if key.Current.Spec == keyring.P384 {
			algorithm = keyring.ECDSASHA384
		}
		if _, err := r.Sign(ctx, key, algorithm, keyring.Raw, []byte("m")); !errors.Is(err, keyring.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, public := range [][]byte{nil, []byte("x"), good.Current.Public[1:], mustPublic(t, keyring.P384)} {
		key := good
		key.Current.Public = public
		if err := r.Verify(ctx, key, keyring.ECDSASHA256, keyring.Raw, []byte("m"), []byte("x")); !errors.Is(err, keyring.ErrCorrupt) {
			t.Errorf("a public key of %d bytes: %v", len(public), err)
		}
	}
	if err := sign(good); err != nil {
		t.Error(err)
	}
}

func mustPublic(t *testing.T, spec keyring.Spec) []byte {
	t.Helper()
	_, keys := asymmetric()
	return keys[spec].Current.Public
}

// TestEncodedPublicKeysOfOwnASN1 reads what crypto/x509 cannot: every altered
// length, algorithm and curve is refused.
func TestEncodedPublicKeysOfOwnASN1(t *testing.T) {
	_, keys := asymmetric()
	own := []keyring.Spec{keyring.Secp256k1, keyring.SM2, keyring.MLDSA44, keyring.MLDSA65, keyring.MLDSA87, keyring.MLKEM512, keyring.MLKEM768, keyring.MLKEM1024}
	for _, spec := range own {
		public := keys[spec].Current.Public
		for other := range keys {
			if k := kindOf(other); k.public != nil && other != spec {
				if _, err := k.public(public); err == nil {
					t.Errorf("a public key of %s is read as one of %s", spec, other)
				}
			}
		}
		for n := range public {
			if _, err := kindOf(spec).public(public[:n]); err == nil {
				t.Errorf("%s: %d of %d bytes are read", spec, n, len(public))
			}
		}
		if _, err := kindOf(spec).public(append(bytes.Clone(public), 0)); err == nil {
			t.Errorf("%s: a byte more is read", spec)
		}
	}
}

// FuzzPublicKey: whatever is read as a peer's key or as a stored public key does
// not end in a panic.
func FuzzPublicKey(f *testing.F) {
	_, keys := asymmetric()
	for _, s := range specs {
		f.Add(keys[s.spec].Current.Public)
	}
	f.Fuzz(func(t *testing.T, spki []byte) {
		for _, s := range specs {
			k := kindOf(s.spec)
			if k.public == nil {
				continue
			}
			if parsed, err := k.public(spki); err == nil && parsed == nil {
				t.Errorf("%s: neither a key nor an error", s.spec)
			}
		}
	})
}

// FuzzSignature: no signature makes a verification panic or, being another than
// the one that was made, succeed.
func FuzzSignature(f *testing.F) {
	r, keys := asymmetric()
	message := messageFor(keyring.MLDSAShake256, keyring.ExternalMu)
	for _, s := range specs {
		for _, a := range s.signs {
			signature, err := r.Sign(ctx, keys[s.spec], a.algorithm, a.forms[0], messageFor(a.algorithm, a.forms[0]))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(signature)
		}
	}
	f.Fuzz(func(t *testing.T, signature []byte) {
		for _, spec := range []keyring.Spec{keyring.MLDSA44, keyring.MLDSA65, keyring.MLDSA87} {
			if err := r.Verify(ctx, keys[spec], keyring.MLDSAShake256, keyring.ExternalMu, message, signature); err == nil {
				t.Errorf("%s: a signature of another message verifies", spec)
			}
		}
		for _, spec := range []keyring.Spec{keyring.P256, keyring.Secp256k1} {
			if err := r.Verify(ctx, keys[spec], keyring.ECDSASHA256, keyring.Raw, message, signature); err == nil {
				t.Errorf("%s: a signature of another message verifies", spec)
			}
		}
	})
}

// TestForgetDropsParsedKeys and evicting them, while others use them.
func TestForgetDropsParsedKeys(t *testing.T) {
	r := newRing(t, Config{ParsedKeys: 1})
	m, err := r.Generate(ctx, uuidA, keyring.HMAC256)
	if err != nil {
		t.Fatal(err)
	}
	key := keyring.KeyRef{KeyID: uuidA, Current: m}
	if _, err := r.GenerateMAC(ctx, key, keyring.HMACSHA256, []byte("m")); err != nil {
		t.Fatal(err)
	}
	kept := entries(t, r.privates)
	if len(kept) != 1 || kept[0].parsedKey() == nil {
		t.Fatalf("%d keys are kept", len(kept))
	}
	r.Forget(uuidA)
	if len(entries(t, r.privates)) != 0 || kept[0].parsedKey() != nil {
		t.Error("a forgotten key is still kept")
	}
	for i := range 10 { // more keys than are kept
		m, err := r.Generate(ctx, keyIDOf(i), keyring.P256)
		if err != nil {
			t.Fatal(err)
		}
		key := keyring.KeyRef{KeyID: keyIDOf(i), Current: m}
		for range 2 {
			signature, err := r.Sign(ctx, key, keyring.ECDSASHA256, keyring.Raw, []byte("m"))
			if err != nil || r.Verify(ctx, key, keyring.ECDSASHA256, keyring.Raw, []byte("m"), signature) != nil {
				t.Fatal(err)
			}
		}
	}
	if a, b := len(entries(t, r.privates)), len(entries(t, r.publics)); a != 1 || b != 1 {
		t.Errorf("%d private and %d public keys are kept, one may be", a, b)
	}
}
