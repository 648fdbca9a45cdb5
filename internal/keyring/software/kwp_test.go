package software

import (
	"bytes"
	"crypto/aes"
	"encoding/binary"
	"testing"

	"github.com/strongroom/strongroom/internal/secret"
	"pgregory.net/rapid"
)

// wrapKWP is RFC 5649 §4.1, with the indexed form of RFC 3394 §2.2.1.
func wrapKWP(t testing.TB, key, plaintext []byte) []byte {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	a := binary.BigEndian.AppendUint32([]byte{0xa6, 0x59, 0x59, 0xa6}, uint32(len(plaintext)))
	padded := append(bytes.Clone(plaintext), make([]byte, (8-len(plaintext)%8)%8)...)
	n := len(padded) / 8
	if n == 1 {
		out := append(a, padded...)
		block.Encrypt(out, out)
		return out
	}
	for j := range 6 {
		for i := 1; i <= n; i++ {
			b := append(bytes.Clone(a), padded[8*(i-1):8*i]...)
			block.Encrypt(b, b)
			a = binary.BigEndian.AppendUint64(nil, binary.BigEndian.Uint64(b)^uint64(n*j+i))
			copy(padded[8*(i-1):], b[8:])
		}
	}
	return append(a, padded...)
}

// The vectors of RFC 5649 §6.
var kwpVectors = []struct{ kek, key, wrapped string }{
	{"5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8", "c37b7e6492584340bed12207808941155068f738",
		"138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a"},
	{"5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8", "466f7250617369", "afbeb0f07dfbf5419200f2ccb50bb24f"},
}

func TestKeyWrapVectors(t *testing.T) {
	for _, v := range kwpVectors {
		kek, key, wrapped := mustHex(t, v.kek), mustHex(t, v.key), mustHex(t, v.wrapped)
		if got := wrapKWP(t, kek, key); !bytes.Equal(got, wrapped) {
			t.Errorf("the test's own wrap gives %x, want %x", got, wrapped)
		}
		got, err := unwrapKWP(kek, wrapped)
		if err != nil || !bytes.Equal(got, key) {
			t.Errorf("unwrap gives %x (%v), want %x", []byte(got), err, key)
		}
		for bit := range 8 * len(wrapped) {
			bad := bytes.Clone(wrapped)
			bad[bit/8] ^= 1 << (bit % 8)
			if got, err := unwrapKWP(kek, bad); err == nil {
				t.Errorf("bit %d flipped: opens as %x", bit, []byte(got))
			}
		}
		for n := range len(wrapped) {
			if _, err := unwrapKWP(kek, wrapped[:n]); err == nil {
				t.Errorf("%d of %d bytes open", n, len(wrapped))
			}
		}
		if _, err := unwrapKWP(kek, append(bytes.Clone(wrapped), make([]byte, 8)...)); err == nil {
			t.Error("eight bytes more open")
		}
	}
}

// TestKeyWrapChecksLengthAndPadding wraps what RFC 5649 §3 forbids: a stated length
// that is not the plaintext's, and padding that is not zero.
func TestKeyWrapChecksLengthAndPadding(t *testing.T) {
	kek := bytes.Repeat([]byte{7}, 32)
	block, err := aes.NewCipher(kek)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		length  uint32
		content string
		opens   bool
	}{
		{8, "12345678", true}, {1, "1\x00\x00\x00\x00\x00\x00\x00", true},
		{0, "\x00\x00\x00\x00\x00\x00\x00\x00", false}, {9, "12345678", false}, {1 << 31, "12345678", false}, {1<<32 - 1, "12345678", false},
		{7, "12345678", false}, {1, "1\x00\x00\x00\x00\x00\x00\x01", false}, {1, "1\x01\x00\x00\x00\x00\x00\x00", false},
	} {
		b := append(binary.BigEndian.AppendUint32([]byte{0xa6, 0x59, 0x59, 0xa6}, c.length), c.content...)
		block.Encrypt(b, b)
		got, err := unwrapKWP(kek, b)
		if (err == nil) != c.opens || c.opens && string(got) != c.content[:c.length] {
			t.Errorf("length %d of %q: %q, %v", c.length, c.content, []byte(got), err)
		}
	}
}

func TestKeyWrapRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		kek := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(rt, "kek")
		key := rapid.SliceOfN(rapid.Byte(), 1, 200).Draw(rt, "key")
		got, err := unwrapKWP(kek, wrapKWP(t, kek, key))
		if err != nil || !bytes.Equal(got, key) {
			rt.Fatalf("%x, %v", []byte(got), err)
		}
	})
}

func FuzzUnwrapKWP(f *testing.F) {
	kek := secret.Bytes(bytes.Repeat([]byte{7}, 32))
	f.Add(wrapKWP(f, kek, []byte("sixteen byte key")))
	f.Add(wrapKWP(f, kek, []byte("x")))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, wrapped []byte) {
		if got, err := unwrapKWP(kek, wrapped); err == nil && !bytes.Equal(wrapKWP(t, kek, got), wrapped) {
			t.Errorf("%x opens as %x, which wraps as something else", wrapped, []byte(got))
		}
	})
}
