package hsm_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/strongroom/strongroom/internal/hsm"
	"github.com/strongroom/strongroom/internal/hsm/hsmtest"
	"github.com/strongroom/strongroom/internal/secret"
)

func TestMain(m *testing.M) { hsmtest.Main(m) }

// TestSlot: what package hsm promises of a slot, of a real module behind a helper
// and of a token in memory.
func TestSlot(t *testing.T) {
	t.Run("SoftHSM", func(t *testing.T) {
		soft := hsmtest.MustSoftHSM(t)
		soft.MustToken(t, "token")
		slotContract(t, soft.MustOpen(t, "token"))
	})
	t.Run("memory", func(t *testing.T) { slotContract(t, mustOpenMemory(t, hsmtest.NewToken("token", "1234"))) })
}

func slotContract(t *testing.T, s hsm.Slot) {
	ctx, id, aad := t.Context(), []byte("key-1"), []byte("aad")
	if info, err := s.Info(ctx); err != nil || info.TokenLabel != "token" || info.Sessions < 1 || info.ModuleNonce {
		t.Errorf("%+v, %v", info, err)
	}
	if err := s.Health(ctx); err != nil {
		t.Error(err)
	}
	if err := s.GenerateAES256(ctx, id, "a key"); err != nil {
		t.Fatal(err)
	}
	if err := s.GenerateAES256(ctx, id, "a key"); !errors.Is(err, hsm.ErrKeyExists) {
		t.Errorf("made twice: %v", err)
	}
	k, err := s.Find(ctx, id)
	if want := (hsm.Key{Label: "a key", Bits: 256, Sensitive: true, Token: true, NeverExtractable: true}); err != nil || k != want {
		t.Errorf("found %+v, %v", k, err)
	}
	for _, size := range []int{0, 1, 16, 4096, hsm.MaxMessage} {
		text := bytes.Repeat([]byte{byte(size)}, size)
		sealed, err := s.EncryptGCM(ctx, id, aad, text)
		if err != nil || len(sealed) != size+hsm.Overhead {
			t.Errorf("%d bytes: %d, %v", size, len(sealed), err)
			continue
		}
		if again, err := s.EncryptGCM(ctx, id, aad, text); err != nil || bytes.Equal(sealed, again) {
			t.Errorf("%d bytes twice: %v", size, err)
		}
		if opened, err := s.DecryptGCM(ctx, id, aad, sealed); err != nil || !bytes.Equal(opened, text) {
			t.Errorf("%d bytes: %v", size, err)
		}
		for name, bad := range map[string][2][]byte{
			"other aad": {[]byte("Aad"), sealed}, "no aad": {nil, sealed},
			"nonce": {aad, flip(sealed, 0)}, "tag": {aad, flip(sealed, len(sealed)-1)}, "first": {aad, flip(sealed, min(hsm.NonceSize, len(sealed)-1))},
			"short": {aad, sealed[:len(sealed)-1]}, "shorter": {aad, sealed[:hsm.Overhead-1]}, "nothing": {aad, nil},
		} {
			if _, err := s.DecryptGCM(ctx, id, bad[0], bad[1]); !errors.Is(err, hsm.ErrDecrypt) || errors.Is(err, hsm.ErrUnavailable) {
				t.Errorf("%d bytes, %s: %v", size, name, err)
			}
		}
	}
	if err := s.GenerateAES256(ctx, []byte("key-2"), ""); err != nil {
		t.Fatal(err)
	}
	sealed, err := s.EncryptGCM(ctx, id, nil, secret.Bytes("x"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.DecryptGCM(ctx, []byte("key-2"), nil, sealed); !errors.Is(err, hsm.ErrDecrypt) {
		t.Errorf("another key: %v", err)
	}
	for _, n := range []int{1, hsm.MaxRandom} {
		a, err := s.Random(ctx, n)
		if err != nil || len(a) != n {
			t.Errorf("%d random bytes: %d, %v", n, len(a), err)
		}
		if b, err := s.Random(ctx, n); err != nil || n > 1 && a.Equal(b) {
			t.Errorf("%d random bytes came twice: %v", n, err)
		}
	}
	long := make([]byte, hsm.MaxMessage+1)
	for name, err := range map[string]error{
		"random 0": second(s.Random(ctx, 0)), "random": second(s.Random(ctx, hsm.MaxRandom+1)),
		"plaintext": second(s.EncryptGCM(ctx, id, nil, long)), "aad": second(s.EncryptGCM(ctx, id, long, nil)),
		"sealed": second(s.DecryptGCM(ctx, id, nil, append(long, make([]byte, hsm.Overhead)...))),
		"id":     s.GenerateAES256(ctx, long, ""), "no id": s.GenerateAES256(ctx, nil, ""), "label": s.GenerateAES256(ctx, id, string(long)),
	} {
		if !errors.Is(err, hsm.ErrSize) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.Destroy(ctx, id); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"find": second(s.Find(ctx, id)), "destroy": s.Destroy(ctx, id), "encrypt": second(s.EncryptGCM(ctx, id, nil, nil)),
		"decrypt": second(s.DecryptGCM(ctx, id, nil, sealed)), "lock": s.Lock(ctx, id), "wrap": second(s.WrapFor(ctx, id, transport(t, s))),
	} {
		if !errors.Is(err, hsm.ErrNoKey) || errors.Is(err, hsm.ErrUnavailable) {
			t.Errorf("%s of a key that is gone: %v", name, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Health(ctx); !errors.Is(err, hsm.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func transport(t *testing.T, s hsm.Slot) []byte {
	t.Helper()
	pair, err := s.TransportKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return pair.Public
}

func flip(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}

func second[T any](_ T, err error) error { return err }

// TestSoftHSMsShareKeys: what one token has encrypted another one opens, and the
// key can be had from neither.
func TestSoftHSMsShareKeys(t *testing.T) {
	soft := hsmtest.MustSoftHSM(t)
	soft.MustToken(t, "one")
	soft.MustToken(t, "two")
	one, two := soft.MustOpen(t, "one"), soft.MustOpen(t, "two")
	group, err := hsm.NewGroup(0, one, two)
	if err != nil {
		t.Fatal(err)
	}
	ctx, id := t.Context(), []byte("shared")
	if err := group.GenerateAES256(ctx, id, "shared"); err != nil {
		t.Fatal(err)
	}
	sealed, err := one.EncryptGCM(ctx, id, nil, secret.Bytes("hello"))
	if err != nil {
		t.Fatal(err)
	}
	if opened, err := two.DecryptGCM(ctx, id, nil, sealed); err != nil || string(opened) != "hello" {
		t.Errorf("%q, %v", []byte(opened), err)
	}
	to := transport(t, two)
	for i, s := range []hsm.Slot{one, two} {
		k, err := s.Find(ctx, id)
		if err != nil || !k.Sensitive || k.Extractable || !k.Token {
			t.Errorf("token %d has %+v, %v", i, k, err)
		}
		var failure *hsm.Failure
		if _, err := s.WrapFor(ctx, id, to); !errors.As(err, &failure) || failure.Code != "CKR_KEY_UNEXTRACTABLE" {
			t.Errorf("token %d: %v", i, err)
		}
	}
}

func TestRefusedLogins(t *testing.T) {
	soft := hsmtest.MustSoftHSM(t)
	soft.MustToken(t, "token")
	for name, c := range map[string]struct {
		change func(*hsm.Config)
		want   error
	}{
		"wrong PIN":     {func(c *hsm.Config) { c.PIN = hsm.FixedPIN(secret.Bytes("0000")) }, hsm.ErrPIN},
		"no PIN":        {func(c *hsm.Config) { c.PIN = hsm.FixedPIN(nil) }, hsm.ErrPIN},
		"another token": {func(c *hsm.Config) { c.Token.Label = "Token" }, hsm.ErrNoToken},
		"other serial":  {func(c *hsm.Config) { c.Token.Serial = "0" }, hsm.ErrNoToken},
		"other slot":    {func(c *hsm.Config) { slot := uint64(1 << 40); c.Token.Slot = &slot }, hsm.ErrNoToken},
		"no token":      {func(c *hsm.Config) { c.Token = hsm.Token{} }, hsm.ErrNoToken},
		"no module":     {func(c *hsm.Config) { c.Module = "/nonexistent/module.so" }, hsm.ErrNoModule},
		"not a module":  {func(c *hsm.Config) { c.Module = "/etc/passwd" }, hsm.ErrNoModule},
		"relative":      {func(c *hsm.Config) { c.Module = "module.so" }, hsm.ErrNoModule},
		"no helper":     {func(c *hsm.Config) { c.Helper = []string{"/nonexistent/helper"} }, hsm.ErrUnavailable},
		"not a helper":  {func(c *hsm.Config) { c.Helper = []string{"/bin/true"} }, hsm.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := soft.Config("token")
			c.change(&cfg)
			slot, err := hsm.Open(t.Context(), cfg)
			if slot != nil || !errors.Is(err, c.want) {
				t.Errorf("%v, %v", slot, err)
			}
		})
	}
}
