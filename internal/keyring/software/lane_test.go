package software

import (
	"context"
	"errors"
	"testing"

	"github.com/strongroom/strongroom/internal/keyring"
)

// TestLanesAreBounded: with every place taken, expensive work waits until its
// caller gives up, and everything else goes on.
func TestLanesAreBounded(t *testing.T) {
	r := newRing(t, Config{Places: 1})
	symmetric := mustGenerate(t, r, uuidA)
	p521, err := r.Generate(ctx, uuidB, keyring.P521)
	if err != nil {
		t.Fatal(err)
	}
	slow := keyring.KeyRef{KeyID: uuidB, Current: p521}
	err = r.using.do(ctx, func() error {
		return r.making.do(ctx, func() error {
			gone, cancel := context.WithCancel(ctx)
			cancel()
			if _, err := r.Sign(gone, slow, keyring.ECDSASHA512, keyring.Raw, []byte("m")); !errors.Is(err, keyring.ErrBusy) || !errors.Is(err, context.Canceled) {
				t.Errorf("Sign with a full lane: %v", err)
			}
			if _, err := r.Generate(gone, uuidA, keyring.RSA2048); !errors.Is(err, keyring.ErrBusy) {
				t.Errorf("Generate with a full lane: %v", err)
			}
			if err := r.Verify(gone, slow, keyring.ECDSASHA512, keyring.Raw, []byte("m"), []byte("x")); !errors.Is(err, keyring.ErrBusy) {
				t.Errorf("Verify with a full lane: %v", err)
			}
			if _, _, err := r.GeneratePair(gone, keyring.RSA4096); !errors.Is(err, keyring.ErrBusy) {
				t.Errorf("GeneratePair with a full lane: %v", err)
			}
			mustEncrypt(t, r, symmetric, "x", nil)
			_, err := r.Generate(gone, uuidA, keyring.P256)
			return err
		})
	})
	if err != nil {
		t.Error(err)
	}
	if _, err := r.Sign(ctx, slow, keyring.ECDSASHA512, keyring.Raw, []byte("m")); err != nil {
		t.Errorf("Sign once there is a place: %v", err)
	}
}

func TestConfigRefusesNegativeBounds(t *testing.T) {
	for _, c := range []Config{{ParsedKeys: -1}, {Places: -1}} {
		c.Domain = domainOf(t, 1)
		if _, err := New(c); err == nil {
			t.Errorf("%d parsed keys and %d places are taken", c.ParsedKeys, c.Places)
		}
	}
}
