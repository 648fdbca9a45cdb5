package pkcs11

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/hsm"
	"github.com/strongroom/strongroom/internal/hsm/hsmtest"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/secret"
)

func TestMain(m *testing.M) { hsmtest.Main(m) }

func memory(token *hsmtest.Token, pin string) Config {
	return Config{Open: hsmtest.Tokens{token}.Open, HSM: hsm.Config{
		Module: "/module.so", Token: hsm.Token{Label: "token"}, PIN: hsm.FixedPIN(secret.Bytes(pin)),
	}}
}

// wantLoggedOut checks that nobody is logged in, as it must be between requests.
func wantLoggedOut(t *testing.T, r *Root) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.slot != nil || r.holds != 0 {
		t.Errorf("somebody is still logged in, and %d hold it", r.holds)
	}
}

// rounds opens a domain key with a root, rotates it, and opens it again.
func rounds(t *testing.T, cfg Config) {
	t.Helper()
	r, err := Create(t.Context(), cfg, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	d, slots, err := seal.Create(t.Context(), r, "deployment-1", nil)
	if err != nil {
		t.Fatal(err)
	}
	want, err := d.Derive(1, seal.LabelRecords)
	if err != nil {
		t.Fatal(err)
	}
	change, err := d.Prepare(t.Context(), []seal.Root{r}, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantLoggedOut(t, r)
	for _, stored := range [][]byte{slots, change.Slots} {
		info, err := seal.Read(stored)
		if err != nil || info.Roots[0].Kind != seal.KindPKCS11 {
			t.Fatalf("%+v, %v", info, err)
		}
		again, err := Open(cfg, info.Roots[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		opened, err := seal.Open(t.Context(), again, stored)
		if err != nil {
			t.Fatal(err)
		}
		if key, err := opened.Derive(1, seal.LabelRecords); err != nil || !key.Equal(want) {
			t.Errorf("another domain key: %v", err)
		}
		wantLoggedOut(t, again)
	}
}

func TestRoot(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		token := hsmtest.NewToken("token", "1234")
		rounds(t, memory(token, "1234"))
		if token.Len() != 1 {
			t.Errorf("the token holds %d keys", token.Len())
		}
	})
	t.Run("SoftHSM", func(t *testing.T) {
		soft := hsmtest.MustSoftHSM(t)
		soft.MustToken(t, "token")
		rounds(t, Config{Open: hsm.Open, HSM: soft.Config("token")})
	})
}

// TestRefusals: each says what is wrong, is the Err… that it is, and has created
// nothing.
func TestRefusals(t *testing.T) {
	token := hsmtest.NewToken("token", "1234")
	r, err := Create(t.Context(), memory(token, "1234"), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, slots, err := seal.Create(t.Context(), r, "deployment-1", nil)
	if err != nil {
		t.Fatal(err)
	}
	other := hsmtest.NewToken("token", "1234")
	if _, err := Create(t.Context(), memory(other, "1234"), rand.Reader); err != nil {
		t.Fatal(err)
	}
	away := hsmtest.NewToken("token", "1234")
	away.Pull()
	elsewhere := memory(token, "1234")
	elsewhere.HSM.Token.Label = "another"
	for name, c := range map[string]struct {
		cfg  Config
		want error
		text string
	}{
		"wrong PIN":     {memory(token, "wrong"), seal.ErrRootUnreachable, "refuses the PIN"},
		"token away":    {memory(away, "1234"), seal.ErrRootUnreachable, "there is no such token"},
		"another token": {memory(other, "1234"), seal.ErrWrongRoot, "does not hold the root of this deployment"},
		"no such token": {elsewhere, seal.ErrRootUnreachable, "there is no such token"},
	} {
		t.Run(name, func(t *testing.T) {
			root, err := Open(c.cfg, r.ID())
			if err != nil {
				t.Fatal(err)
			}
			_, err = seal.Open(t.Context(), root, slots)
			var refusal *seal.Error
			if !errors.Is(err, c.want) || errors.Is(err, seal.ErrSlotsCorrupt) || !errors.As(err, &refusal) || !strings.Contains(err.Error(), c.text) ||
				!strings.Contains(refusal.Hint(), "Nothing was changed.") || strings.Contains(fmt.Sprint(err, refusal.Hint()), "wrong\"") {
				t.Errorf("%v", err)
			}
			before := token.Len() + other.Len()
			if c.want == seal.ErrWrongRoot {
				return // another token is as good for a new root
			}
			if _, err := Create(t.Context(), c.cfg, rand.Reader); !errors.Is(err, c.want) || token.Len()+other.Len() != before {
				t.Errorf("made: %v, %d keys more", err, token.Len()+other.Len()-before)
			}
		})
	}
}

// TestSlotsAreBound: what was wrapped for one place, or by another key, does not
// open.
func TestSlotsAreBound(t *testing.T) {
	token := hsmtest.NewToken("token", "1234")
	r, err := Create(t.Context(), memory(token, "1234"), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Create(t.Context(), memory(token, "1234"), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	here := seal.Place{Deployment: "a", Version: 1}
	wrapped, err := r.Wrap(t.Context(), secret.Bytes("key"), here)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.Unwrap(t.Context(), wrapped, here); err != nil || string(got) != "key" {
		t.Errorf("Unwrap: %v", err)
	}
	for name, try := range map[string]func() (secret.Bytes, error){
		"version": func() (secret.Bytes, error) {
			return r.Unwrap(t.Context(), wrapped, seal.Place{Deployment: "a", Version: 2})
		},
		"deployment": func() (secret.Bytes, error) {
			return r.Unwrap(t.Context(), wrapped, seal.Place{Deployment: "b", Version: 1})
		},
		"root":    func() (secret.Bytes, error) { return second.Unwrap(t.Context(), wrapped, here) },
		"format":  func() (secret.Bytes, error) { return r.Unwrap(t.Context(), append([]byte{9}, wrapped[1:]...), here) },
		"short":   func() (secret.Bytes, error) { return r.Unwrap(t.Context(), wrapped[:28], here) },
		"nothing": func() (secret.Bytes, error) { return r.Unwrap(t.Context(), nil, here) },
	} {
		if _, err := try(); !errors.Is(err, seal.ErrUnwrap) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, id := range []string{"", "pkcs11:", "pkcs11:00", "file:00112233445566778899aabbccddeeff", "pkcs11:00112233445566778899AABBCCDDEEFF"} {
		if _, err := Open(memory(token, "1234"), id); !errors.Is(err, seal.ErrSlotsCorrupt) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// TestRefusedPINIsTriedOnce: a server that looks for its root every few minutes must
// not lock the token.
func TestRefusedPINIsTriedOnce(t *testing.T) {
	token := hsmtest.NewToken("token", "1234")
	good := memory(token, "1234")
	r, err := Create(t.Context(), good, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r.cfg.HSM.PIN = hsm.FixedPIN(secret.Bytes("wrong"))
	for range 5 {
		if release, err := r.Hold(t.Context()); !errors.Is(err, seal.ErrRootUnreachable) || release != nil {
			t.Errorf("Hold: %v", err)
		}
	}
	r.cfg.HSM.PIN = good.HSM.PIN
	release, err := r.Hold(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	release()
	wantLoggedOut(t, r)
}

// TestATokenThatIsAwayForAMoment is looked for again, a few times.
func TestATokenThatIsAwayForAMoment(t *testing.T) {
	cfg := memory(hsmtest.NewToken("token", "1234"), "1234")
	there, away := cfg.Open, 0
	cfg.Open = func(ctx context.Context, c hsm.Config) (hsm.Slot, error) {
		if away--; away >= 0 {
			return nil, hsm.ErrNoToken
		}
		return there(ctx, c)
	}
	away = looks
	r, err := Create(t.Context(), cfg, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	away = looks + 1
	if _, err := r.Wrap(t.Context(), secret.Bytes("x"), seal.Place{}); !errors.Is(err, hsm.ErrNoToken) {
		t.Errorf("a token that is away: %v, want ErrNoToken", err)
	}
}
