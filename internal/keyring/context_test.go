package keyring

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestCanonicalContext(t *testing.T) {
	for _, c := range []struct {
		context map[string]string
		want    string
	}{
		{nil, "00000000"},
		{map[string]string{}, "00000000"},
		{map[string]string{"": ""}, "00000001 00000000 00000000"},
		{map[string]string{"b": "1", "a": "23"}, "00000002 00000001 61 00000002 3233 00000001 62 00000001 31"},
		// Upper case sorts before lower case, a prefix before what it begins.
		{map[string]string{"ab": "", "a": "", "B": ""}, "00000003 00000001 42 00000000 00000001 61 00000000 00000002 6162 00000000"},
		// é composed and decomposed are two names.
		{map[string]string{"\u00e9": "", "e\u0301": ""}, "00000002 00000003 65cc81 00000000 00000002 c3a9 00000000"},
	} {
		got, err := AppendContext([]byte{0xff}, c.context)
		if want := "ff" + strings.ReplaceAll(c.want, " ", ""); err != nil || hex.EncodeToString(got) != want {
			t.Errorf("AppendContext(%q) = %x, %v; want %s", c.context, got, err, want)
		}
	}
}

func TestContextSize(t *testing.T) {
	for size, want := range map[int]error{MaxContext: nil, MaxContext + 1: ErrContextTooLarge, 1 << 20: ErrContextTooLarge} {
		c := map[string]string{"name": strings.Repeat("v", size-4-8-4)}
		if err := CheckContext(c); !errors.Is(err, want) {
			t.Errorf("CheckContext at %d bytes: %v", size, err)
		}
		got, err := AppendContext(nil, c)
		if !errors.Is(err, want) || err == nil && len(got) != size {
			t.Errorf("AppendContext at %d bytes: %d bytes, %v", size, len(got), err)
		}
	}
	many := map[string]string{}
	for i := range 2000 {
		many[fmt.Sprint(i)] = ""
	}
	if err := CheckContext(many); !errors.Is(err, ErrContextTooLarge) {
		t.Errorf("CheckContext of 2000 empty values: %v", err)
	}
}

// TestCanonicalContextIsInjective finds two contexts with one form, and a context
// with two forms, if there are any. Names and values are drawn from few
// characters, NUL and 1 among them, so that borders are where collisions would be.
func TestCanonicalContextIsInjective(t *testing.T) {
	text := rapid.StringOfN(rapid.SampledFrom([]rune{0, 1, 'a', 'A', 'ä'}), 0, 3, -1)
	contexts := rapid.MapOfN(text, text, 0, 20)
	rapid.Check(t, func(t *rapid.T) {
		a, b := contexts.Draw(t, "a"), contexts.Draw(t, "b")
		formA, errA := AppendContext(nil, a)
		formB, errB := AppendContext(nil, b)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if bytes.Equal(formA, formB) != maps.Equal(a, b) {
			t.Fatalf("%q and %q give %x and %x", a, b, formA, formB)
		}
		if again, _ := AppendContext(nil, maps.Clone(a)); !bytes.Equal(again, formA) {
			t.Fatalf("%q has two forms", a)
		}
		if got := parseCanonical(t, formA); !maps.Equal(got, a) {
			t.Fatalf("%x reads as %q, not %q", formA, got, a)
		}
	})
}

// parseCanonical is the inverse of AppendContext: that there is one proves that
// no two contexts have one form.
func parseCanonical(t *rapid.T, b []byte) map[string]string {
	number := func() int {
		n := int(b[0])<<24 | int(b[1])<<16 | int(b[2])<<8 | int(b[3])
		b = b[4:]
		return n
	}
	text := func() string {
		n := number()
		s := string(b[:n])
		b = b[n:]
		return s
	}
	c := map[string]string{}
	for range number() {
		name := text()
		c[name] = text()
	}
	if len(b) != 0 {
		t.Fatalf("%d bytes are left", len(b))
	}
	return c
}
