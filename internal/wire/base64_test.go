package wire

import (
	"bytes"
	"encoding/base64"
	"math/rand/v2"
	"testing"
)

// sameBase64 compares what we make of a blob and of a text with what the standard
// library does. Nothing beyond the room for a result is written.
func sameBase64(t *testing.T, blob, text []byte) {
	t.Helper()
	std := base64.StdEncoding.Strict()
	const guard = "beyond"
	got := appendBase64([]byte("before"), blob)
	if want := std.AppendEncode([]byte("before"), blob); !bytes.Equal(got, want) {
		t.Fatalf("%x is encoded as %q, want %q", blob, got, want)
	}
	room := append(make([]byte, base64Strict.DecodedLen(len(text))), guard...)
	n, err := base64Strict.Decode(room[:len(room)-len(guard):len(room)-len(guard)], text)
	want, wantErr := std.DecodeString(string(text))
	if (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(room[:n], want) {
		t.Fatalf("%q is decoded as %x, %v; want %x, %v", text, room[:n], err, want, wantErr)
	}
	if !bytes.HasSuffix(room, []byte(guard)) {
		t.Fatalf("decoding %q wrote beyond its end", text)
	}
}

// TestBase64 goes through all short lengths, with texts that are right and ones with a
// few bytes changed.
func TestBase64(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	r := rand.New(random)
	const odd = "AZ+/=-_\n\r \xa9"
	for size := range 300 {
		for range 30 {
			blob := make([]byte, size)
			_, _ = random.Read(blob)
			text := []byte(base64.StdEncoding.EncodeToString(blob))
			sameBase64(t, blob, text)
			for range min(len(text), 1+r.IntN(3)) {
				text[r.IntN(len(text))] = odd[r.IntN(len(odd))]
			}
			sameBase64(t, blob, text)
			sameBase64(t, blob, text[:r.IntN(len(text)+1)])
		}
	}
}

func FuzzBase64(f *testing.F) {
	f.Add([]byte("AAAA"))
	f.Add(bytes.Repeat([]byte("+/+/"), 40))
	f.Add(append(bytes.Repeat([]byte("abcd"), 40), "AB=="...))
	f.Fuzz(func(t *testing.T, text []byte) { sameBase64(t, text, text) })
}
