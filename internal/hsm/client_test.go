package hsm_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/hsm"
	"github.com/strongroom/strongroom/internal/hsm/hsmtest"
	"github.com/strongroom/strongroom/internal/secret"
)

// inMemory is a client of a token in memory, behind a helper that is a goroutine.
// log gets every event.
func inMemory(t *testing.T, token *hsmtest.Token, pin func() (secret.Bytes, error), stuck time.Duration, change func(hsm.Slot) hsm.Slot) (c *hsm.Client, log chan error) {
	t.Helper()
	log = make(chan error, 1000)
	cfg := hsm.Config{Module: "/memory", Token: hsm.Token{Label: "token"}, PIN: pin, Log: func(_ string, err error) { log <- err }}
	c = hsm.StartLibrary(cfg, stuck, func(in io.Reader, out io.Writer) error {
		return hsm.Serve(in, out, hsm.Library{Open: func(ctx context.Context, cfg hsm.Config) (hsm.Slot, error) {
			s, err := hsmtest.Tokens{token}.Open(ctx, cfg)
			if err == nil && change != nil {
				s = change(s)
			}
			return s, err
		}})
	})
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c, log
}

var goodPIN = hsm.FixedPIN(secret.Bytes("1234"))

// until reads the log to the first event that is wanted.
func until(t *testing.T, log chan error, wanted func(error) bool) {
	t.Helper()
	for {
		select {
		case err := <-log:
			if wanted(err) {
				return
			}
		case <-t.Context().Done():
			t.Fatal("that does not happen")
		}
	}
}

func connected(err error) bool { return err == nil }

// TestPINIsTriedOnce: a refused PIN is not tried again, however often the client
// tries to connect; another one is.
func TestPINIsTriedOnce(t *testing.T) {
	token := hsmtest.NewToken("token", "1234")
	var pin atomic.Value
	pin.Store("wrong")
	asked := make(chan struct{}, 100)
	c, log := inMemory(t, token, func() (secret.Bytes, error) {
		asked <- struct{}{}
		return secret.Bytes(pin.Load().(string)), nil
	}, 0, nil)
	if err := c.Ready(t.Context()); !errors.Is(err, hsm.ErrPIN) || !errors.Is(err, hsm.ErrUnavailable) {
		t.Errorf("Ready: %v", err)
	}
	for range 4 {
		<-asked
	}
	if n := token.Asked(); n != 1 {
		t.Errorf("the token was shown the wrong PIN %d times", n)
	}
	if _, err := c.Random(t.Context(), 1); !errors.Is(err, hsm.ErrPIN) || strings.Contains(err.Error(), "wrong") {
		t.Errorf("Random: %v", err)
	}
	pin.Store("1234")
	until(t, log, connected)
	if _, err := c.Random(t.Context(), 1); err != nil {
		t.Error(err)
	}
}

// hanging is a slot that never answers Random.
type hanging struct{ hsm.Slot }

func (hanging) Random(context.Context, int) (secret.Bytes, error) { select {} }

// TestHangingModule: a call that is not answered ends with its context, and the
// helper is given up after a while; the next one serves.
func TestHangingModule(t *testing.T) {
	token := hsmtest.NewToken("token", "1234")
	var opened atomic.Int32
	c, log := inMemory(t, token, goodPIN, time.Second, func(s hsm.Slot) hsm.Slot {
		if opened.Add(1) == 1 {
			return hanging{s}
		}
		return s
	})
	until(t, log, connected)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Random(ctx, 1); !errors.Is(err, hsm.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
	_, err := c.Random(t.Context(), 1)
	if opened.Load() == 1 && (!errors.Is(err, hsm.ErrUnavailable) || !strings.Contains(err.Error(), "hangs")) {
		t.Errorf("of a module that hangs: %v", err)
	}
	for opened.Load() < 2 {
		until(t, log, connected)
	}
	_, err = c.Random(t.Context(), 1)
	for tries := 0; tries < 3 && err != nil && strings.Contains(err.Error(), "hangs"); tries++ { // the machine may have, too
		until(t, log, connected)
		_, err = c.Random(t.Context(), 1)
	}
	if err != nil {
		t.Error(err)
	}
}

// TestHelperThatDoesNotRead: callers are not held by a helper that takes nothing.
func TestHelperThatDoesNotRead(t *testing.T) {
	stop := make(chan struct{})
	cfg := hsm.Config{Module: "/memory", Token: hsm.Token{Label: "token"}, PIN: goodPIN}
	c := hsm.StartLibrary(cfg, 0, func(in io.Reader, out io.Writer) error {
		var length [4]byte
		_, err := io.ReadFull(in, length[:])
		if err == nil {
			_, err = io.CopyN(io.Discard, in, int64(binary.BigEndian.Uint32(length[:])))
		}
		if err == nil {
			_, err = out.Write([]byte{0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 0}) // logged in
		}
		<-stop
		return err
	})
	if err := c.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 { // more than a pipe holds
		if _, err := c.EncryptGCM(ctx, []byte("id"), nil, make(secret.Bytes, hsm.MaxMessage)); !errors.Is(err, context.Canceled) {
			t.Errorf("EncryptGCM: %v", err)
		}
	}
	close(stop)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// TestPulledTokenInMemory: with the token away calls fail at once; when it is back
// they work again, by themselves.
func TestPulledTokenInMemory(t *testing.T) {
	token := hsmtest.NewToken("token", "1234")
	c, log := inMemory(t, token, goodPIN, 0, nil)
	until(t, log, connected)
	token.Pull()
	for range 3 {
		if err := c.Health(t.Context()); !errors.Is(err, hsm.ErrUnavailable) {
			t.Errorf("with the token away: %v", err)
		}
	}
	until(t, log, func(err error) bool { return errors.Is(err, hsm.ErrNoToken) })
	token.Insert()
	until(t, log, connected)
	if err := c.Health(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestHostileHelper: whatever a helper answers, the client neither panics nor
// believes it, and goes on with the next helper.
func TestHostileHelper(t *testing.T) {
	answer := func(number uint64, code byte, body ...byte) []byte {
		b := binary.BigEndian.AppendUint32(nil, uint32(9+len(body)))
		b = binary.BigEndian.AppendUint64(b, number)
		return append(append(b, code), body...)
	}
	field := func(b ...byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }
	opened := answer(1, 0)
	for name, said := range map[string][]byte{
		"nothing":                {},
		"noise":                  bytes.Repeat([]byte("noise"), 100),
		"a huge frame":           {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0},
		"a tiny frame":           {0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0},
		"an unknown code":        append(bytes.Clone(opened), answer(2, 200, append(field(0), field()...)...)...),
		"half a frame":           append(bytes.Clone(opened), answer(2, 0, field(1)...)[:15]...),
		"no field":               append(bytes.Clone(opened), answer(2, 0)...),
		"a field too many":       append(bytes.Clone(opened), answer(2, 0, append(field(7), field()...)...)...),
		"a field beyond the end": append(bytes.Clone(opened), answer(2, 0, 0, 0, 1, 0, 7)...),
		"another length":         append(bytes.Clone(opened), answer(2, 0, field(7, 7)...)...),
		"an answer to nobody":    append(bytes.Clone(opened), answer(77, 0, field(7)...)...),
		"an error without text":  append(bytes.Clone(opened), answer(2, 3)...),
	} {
		t.Run(name, func(t *testing.T) {
			var once sync.Once
			token := hsmtest.NewToken("token", "1234")
			cfg := hsm.Config{Module: "/memory", Token: hsm.Token{Label: "token"}, PIN: goodPIN}
			log := make(chan error, 100)
			cfg.Log = func(_ string, err error) { log <- err }
			c := hsm.StartLibrary(cfg, 100*time.Millisecond, func(in io.Reader, out io.Writer) error {
				first := false
				once.Do(func() { first = true })
				if !first {
					return hsm.Serve(in, out, hsm.Library{Open: hsmtest.Tokens{token}.Open})
				}
				if _, err := out.Write(said); err != nil {
					return err
				}
				// It goes on to read until it has been asked twice.
				_, err := io.CopyN(io.Discard, in, int64(len("........................."))+200)
				return err
			})
			defer func() {
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			}()
			if random, err := c.Random(t.Context(), 1); err == nil && random[0] == 7 && name != "nothing" {
				t.Error("it is believed")
			} else if err != nil && !errors.Is(err, hsm.ErrUnavailable) {
				t.Errorf("Random: %v", err)
			}
			hsm.Kill(c)
			for c.Health(t.Context()) != nil {
				select {
				case <-log:
				case <-t.Context().Done():
					t.Fatal("the next helper is not asked")
				}
			}
		})
	}
}

// FuzzFrame: no bytes of the other side make us panic, or read more than there is.
func FuzzFrame(f *testing.F) {
	f.Add([]byte{0, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0})
	f.Add([]byte{0, 0, 0, 19, 0, 0, 0, 0, 0, 0, 0, 1, 3, 0, 0, 0, 1, 0, 0, 0, 0, 1, 'x'})
	f.Fuzz(func(t *testing.T, b []byte) {
		frames, err := hsm.ReadFrames(b)
		if err == nil {
			t.Error("the end is not told")
		}
		size := 0
		for _, fr := range frames {
			fields, failure := fr.Parsed()
			for n, in := range fields {
				if in != nil && len(in) != n {
					t.Errorf("%d fields instead of %d", len(in), n)
				}
			}
			if failure != nil && len(failure.Error()) > 2048 {
				t.Errorf("an error of %d bytes", len(failure.Error()))
			}
			size += 13 + fr.Size()
		}
		if size > len(b) {
			t.Errorf("%d bytes were read of %d", size, len(b))
		}
	})
}

// FuzzServe: no bytes of a server make the helper panic.
func FuzzServe(f *testing.F) {
	for _, seed := range hsm.Requests() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		token := hsmtest.NewToken("token", "1234")
		in := append(bytes.Clone(hsm.OpenRequest("token", "1234")), b...)
		_ = hsm.Serve(bytes.NewReader(in), io.Discard, hsm.Library{Open: hsmtest.Tokens{token}.Open}) // any end is one
	})
}

// TestErrorsComeThrough: what a module says arrives as what it is.
func TestErrorsComeThrough(t *testing.T) {
	for _, err := range []error{
		hsm.ErrNoKey, hsm.ErrKeyExists, hsm.ErrDecrypt, hsm.ErrUnsupported, hsm.ErrPINLocked, hsm.ErrUser, hsm.ErrLoggedIn,
		errors.Join(hsm.ErrUnavailable, hsm.ErrNoToken), errors.Join(hsm.ErrPIN, &hsm.Failure{Function: "C_Login", Code: "CKR_PIN_INCORRECT"}),
		&hsm.Failure{Function: "C_WrapKey", Code: "CKR_KEY_UNEXTRACTABLE"}, errors.New("something else"),
	} {
		got := hsm.OverTheWire(err)
		for _, known := range hsm.WireErrors() {
			if errors.Is(err, known) != errors.Is(got, known) {
				t.Errorf("%v comes as %v", err, got)
			}
		}
		var was, is *hsm.Failure
		if errors.As(err, &was) && !errors.Is(err, hsm.ErrPIN) && (!errors.As(got, &is) || *was != *is) {
			t.Errorf("%v comes as %v", err, got)
		}
	}
	if got := hsm.OverTheWire(errors.New(strings.Repeat("\x1b[31m€", 1000))).Error(); len(got) > 512 || strings.ContainsAny(got, "\x1b€") {
		t.Errorf("a text of %d bytes comes through: %.40q", len(got), got)
	}
}
