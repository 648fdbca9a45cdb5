package journal

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
)

// vouchedSpan is how many frames before a checkpoint SignedKeyVersion looks at: of
// several nodes, one may go over to a version a little later than another.
const vouchedSpan = 1024

// SignedKeyVersion returns the newest version of the journal key that the stream vouches
// for: a frame is sealed under it, with the key that the reader has, and a checkpoint
// behind that frame is signed by one of keys. 0 when there is none, and an error when a
// frame or the newest checkpoint is not what was written.
func (r *Reader) SignedKeyVersion(ctx context.Context, keys ...ed25519.PublicKey) (uint32, error) {
	last, err := r.last(ctx)
	if last == nil || err != nil {
		return 0, err
	}
	signed, err := newestSigned(ctx, r.c.Frames, last, anyFrame)
	if signed == nil || err != nil {
		return 0, err
	}
	c := signed.checkpoint()
	if err := c.Verify(keys...); err != nil {
		return 0, err
	}
	var at uint64 // the frame that is sealed under version
	var version uint32
	var before *Hash
	first := signed.seq - min(signed.seq-1, vouchedSpan)
	err = r.between(ctx, max(first, signed.front.seq+1), signed.seq, func(f *frame) error {
		if before != nil && f.prev != *before {
			return fmt.Errorf("journal: frame %d does not follow the one before it", f.seq)
		}
		hash := f.hash()
		before = &hash
		if f.keyVersion >= version && f.count > 0 {
			version, at = f.keyVersion, f.seq
		}
		return nil
	})
	if err != nil || version == 0 {
		return 0, err
	}
	if *before != c.Hash {
		return 0, fmt.Errorf("journal: frame %d is not the one that was signed", signed.seq)
	}
	// The header, which is signed, has the hash of the body: who only knows the number of
	// a version cannot show a body that opens.
	err = r.between(ctx, at, at, func(f *frame) error {
		if sha256.Sum256(f.body) != f.bodyHash {
			return fmt.Errorf("journal: the body of frame %d is not the one that was signed", f.seq)
		}
		_, err := r.open(f)
		return err
	})
	return version, err
}
