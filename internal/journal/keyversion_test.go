package journal

import (
	"bytes"
	"crypto/ed25519"
	"testing"

	"github.com/strongroom/strongroom/internal/secret"
)

// TestSignedKeyVersion: a version counts when a frame opens with its key, and a signature
// stands behind that frame.
func TestSignedKeyVersion(t *testing.T) {
	ctx := t.Context()
	empty := newRig(t)
	if version, err := empty.reader().SignedKeyVersion(ctx, testPublic...); version != 0 || err != nil {
		t.Errorf("of an empty stream: %d, %v", version, err)
	}
	r := newRig(t).some()
	if version, err := r.reader().SignedKeyVersion(ctx, testPublic...); version != 3 || err != nil {
		t.Errorf("%d, %v", version, err)
	}
	stranger := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize)).Public().(ed25519.PublicKey)
	if version, err := r.reader().SignedKeyVersion(ctx, stranger); err == nil {
		t.Errorf("signed by somebody else: %d", version)
	}
	other := r.reader()
	other.c.Key = func(uint32) (secret.Bytes, error) { return secret.Bytes(bytes.Repeat([]byte{8}, keySize)), nil }
	if version, err := other.SignedKeyVersion(ctx, testPublic...); err == nil {
		t.Errorf("with another key of that version: %d", version)
	}

	// Whatever is changed, the answer stays the same or there is none. What matters is
	// what stands before the newest signature; a frame without it is passed over.
	whole, found := r.kept, 0
	for i := range whole.frames {
		for at := 0; at < len(whole.frames[i]); at += 3 {
			r.kept = whole.clone()
			r.kept.frames[i][at] ^= 0x10
			version, err := r.reader().SignedKeyVersion(ctx, testPublic...)
			if err != nil {
				found++
			} else if version != 3 {
				t.Fatalf("frame %d, byte %d: version %d", i, at, version)
			}
		}
	}
	if found < 300 {
		t.Errorf("%d changes were found", found)
	}
}
