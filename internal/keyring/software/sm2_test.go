package software

import (
	"crypto/rand"
	"testing"

	"github.com/emmansun/gmsm/sm2"

	"github.com/strongroom/strongroom/internal/keyring"
)

// TestShortSM2PlaintextsOpen: two faults of the library, of which each shows once in 256
// times, are kept from callers. In 2,000 tries either is found but for one time in 2,500.
func TestShortSM2PlaintextsOpen(t *testing.T) {
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, private := &sm2Public{key: &key.PublicKey}, &sm2Private{key: key}
	for i := range 2000 {
		blob, err := public.encrypt(keyring.SM2PKE, []byte{'x'})
		if err != nil {
			t.Fatal(err)
		}
		if plaintext, err := private.decrypt(keyring.SM2PKE, blob); err != nil || len(plaintext) != 1 || plaintext[0] != 'x' {
			t.Fatalf("ciphertext %d opens as %x, %v", i, []byte(plaintext), err)
		}
	}
}
