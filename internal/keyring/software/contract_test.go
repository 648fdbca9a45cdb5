package software

import (
	"testing"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/keyring/keyringtest"
)

func TestContract(t *testing.T) {
	r := newRing(t, Config{})
	keyringtest.Symmetric{
		Suite: keyring.SuiteSoftware, Overhead: keyring.Overhead, Generates: true,
		Generate: r.Generate, Encrypt: r.Encrypt, Decrypt: r.Decrypt, Parse: r.ParseCiphertext, Random: r.Random, Forget: r.Forget,
	}.Run(t)
}
