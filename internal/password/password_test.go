package password

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/secret"
)

func TestHashAndMatch(t *testing.T) {
	random := bytes.NewReader(bytes.Repeat([]byte{1, 2, 3, 4}, 16))
	kept, err := Hash(t.Context(), random, "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(kept), "$argon2id$v=19$m=19456,t=2,p=1$") || strings.Contains(string(kept), "horse") {
		t.Errorf("kept as %q", string(kept))
	}
	for text, want := range map[secret.String]bool{"correct horse": true, "correct horsf": false, "": false, "correct horse\x00": false} {
		if got, err := Matches(t.Context(), kept, text); err != nil || got != want {
			t.Errorf("%q: %v, %v", string(text), got, err)
		}
	}
	other, err := Hash(t.Context(), bytes.NewReader(bytes.Repeat([]byte{5}, saltSize)), "correct horse")
	if err != nil || bytes.Equal(kept, other) {
		t.Errorf("the salt changes nothing: %v", err)
	}
}

// TestKeptByOthers: a hash that the reference implementation makes, by the argon2-cffi
// module for Python, is understood:
//
//	hash_secret(b"correct horse", b"0123456789abcdef", 2, 19456, 1, 32, Type.ID)
func TestKeptByOthers(t *testing.T) {
	const kept = "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$rk2Mi3E4dgRMg0fHaYaptWVZRKqs//6b6k3/nntqGJk"
	if ok, err := Matches(t.Context(), secret.Bytes(kept), "correct horse"); err != nil || !ok {
		t.Errorf("%v, %v", ok, err)
	}
}

func TestMalformed(t *testing.T) {
	for _, kept := range []string{"", "$argon2id$", header, header + "AAAA$AAAA", "$argon2i$" + header, header + strings.Repeat("A", 22) + "$", header + strings.Repeat("A", 22)} {
		if _, err := Matches(t.Context(), secret.Bytes(kept), "x"); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", kept, err)
		}
	}
}

// TestPlaces: whoever finds no place does not wait longer than it may.
func TestPlaces(t *testing.T) {
	for range places {
		busy <- struct{}{}
	}
	defer func() {
		for range places {
			<-busy
		}
	}()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Waste(ctx, "x"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
