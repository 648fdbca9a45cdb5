package software

import (
	"bytes"
	"testing"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/secret"
)

// TestAlteredRSACiphertexts: a blob of any other length, and one with a flipped
// bit, give one and the same error.
func TestAlteredRSACiphertexts(t *testing.T) {
	r, keys := asymmetric()
	key := keys[keyring.RSA2048]
	for _, algorithm := range oaep {
		blob, err := r.EncryptAsymmetric(ctx, key, algorithm, []byte("plaintext"))
		if err != nil {
			t.Fatal(err)
		}
		refused := func(what string, blob []byte) {
			t.Helper()
			if plaintext, err := r.DecryptAsymmetric(ctx, key, algorithm, blob); err != keyring.ErrInvalidCiphertext || plaintext != nil {
				t.Errorf("%s: %s gives %d bytes, %v", algorithm, what, len(plaintext), err)
			}
		}
		for i := range len(blob) {
			if i%8 == 0 {
				flipped := bytes.Clone(blob)
				flipped[i] ^= 0x10
				refused("a flipped bit", flipped)
			}
			refused("a cut blob", blob[:i])
		}
		refused("a byte more", append(bytes.Clone(blob), 0))
		refused("all ones", bytes.Repeat([]byte{0xff}, len(blob)))
	}
	blob, err := r.EncryptAsymmetric(ctx, key, keyring.OAEPSHA1, []byte("plaintext"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.DecryptAsymmetric(ctx, key, keyring.OAEPSHA256, blob); err != keyring.ErrInvalidCiphertext {
		t.Errorf("the other hash: %v", err)
	}
}

// TestOAEPBlobsAreAsLongAsTheModulus cuts zeros off, which leaves the number that the
// blob stands for what it was (RFC 8017 §7.1.2, step 1b).
func TestOAEPBlobsAreAsLongAsTheModulus(t *testing.T) {
	r, keys := asymmetric()
	key := keys[keyring.RSA2048]
	blob := []byte{1}
	for blob[0] != 0 {
		var err error
		if blob, err = r.EncryptAsymmetric(ctx, key, keyring.OAEPSHA256, []byte("plaintext")); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := r.DecryptAsymmetric(ctx, key, keyring.OAEPSHA256, blob); err != nil || string(got) != "plaintext" {
		t.Errorf("whole: %v", err)
	}
	if _, err := r.DecryptAsymmetric(ctx, key, keyring.OAEPSHA256, blob[1:]); err != keyring.ErrInvalidCiphertext {
		t.Errorf("without its zeros: %v", err)
	}
}

// TestOAEPLimits: modulus − 2·hash − 2 bytes and not one more (RFC 8017 §7.1.1).
func TestOAEPLimits(t *testing.T) {
	r, keys := asymmetric()
	for spec, bits := range rsaFiles {
		for _, algorithm := range oaep {
			limit := bits/8 - 2*hashOf(algorithm).Size() - 2
			blob, err := r.EncryptAsymmetric(ctx, keys[spec], algorithm, make(secret.Bytes, limit))
			if err != nil || len(blob) != bits/8 {
				t.Errorf("%s %s: %d bytes give %d, %v", spec, algorithm, limit, len(blob), err)
			}
			if _, err := r.EncryptAsymmetric(ctx, keys[spec], algorithm, make(secret.Bytes, limit+1)); err != keyring.ErrMessageSize {
				t.Errorf("%s %s: %d bytes: %v", spec, algorithm, limit+1, err)
			}
		}
	}
}
