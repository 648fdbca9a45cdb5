package journal

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/secret"
)

var (
	testKey     = secret.Bytes(bytes.Repeat([]byte{7}, keySize))
	testSigner  = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, ed25519.SeedSize))
	testPublic  = []ed25519.PublicKey{testSigner.Public().(ed25519.PublicKey)}
	errNoFrames = errors.New("no frames")
)

func journalKey(version uint32) (secret.Bytes, error) {
	if version != 3 {
		return nil, fmt.Errorf("no key of version %d", version)
	}
	return testKey, nil
}

// kept is a stream in memory, under the numbers that it was kept at.
type kept struct {
	seqs   []uint64
	frames [][]byte
}

func (k *kept) LastFrame(context.Context) (uint64, []byte, error) {
	if len(k.frames) == 0 {
		return 0, nil, fmt.Errorf("in memory: %w", errNoFrames)
	}
	return k.seqs[len(k.seqs)-1], k.frames[len(k.frames)-1], nil
}

func (k *kept) Frames(_ context.Context, from uint64, fn func(uint64, []byte) error) error {
	for i, seq := range k.seqs {
		if seq >= from {
			// A backend lends its bytes: show it when somebody keeps them.
			lent := slices.Clone(k.frames[i])
			if err := fn(seq, lent); err != nil {
				return err
			}
			clear(lent)
		}
	}
	return nil
}

func (k *kept) clone() *kept {
	c := &kept{seqs: slices.Clone(k.seqs)}
	for _, f := range k.frames {
		c.frames = append(c.frames, slices.Clone(f))
	}
	return c
}

// renumber keeps the frames under the numbers of a backend that was not looked
// at: 1 and up.
func (k *kept) renumber() {
	k.seqs = k.seqs[:0]
	for i := range k.frames {
		k.seqs = append(k.seqs, uint64(i+1))
	}
}

// rig is a writer with what it writes to.
type rig struct {
	t     testing.TB
	clock *clock.Fake
	kept  *kept
	c     Config
	w     *Writer
	n     int
}

func newRig(t testing.TB) *rig { return newRigOf(t, 1) }

// newRigOf returns a rig whose salts come from seed.
func newRigOf(t testing.TB, seed byte) *rig {
	r := &rig{t: t, clock: clock.NewFake(start), kept: &kept{}}
	r.c = Config{
		Deployment: "0193f1a2-test", Stream: "main", Key: testKey, KeyVersion: 3, Signer: testSigner,
		Clock: r.clock, Rand: rand.NewChaCha8([32]byte{seed}), Frames: r.kept, NotFound: errNoFrames,
	}
	r.open()
	return r
}

func (r *rig) open() {
	w, err := Open(context.Background(), r.c)
	if err != nil {
		r.t.Fatal(err)
	}
	r.w = w
}

// frame commits n new records and returns their frame, parsed.
func (r *rig) frame(n int) *frame {
	records := make([][]byte, n)
	for i := range records {
		records[i] = fmt.Appendf(nil, `{"eventName":"Encrypt","n":%d}`, r.n)
		r.n++
	}
	return r.commit(records...)
}

func (r *rig) commit(records ...[]byte) *frame {
	seq, encoded, err := r.w.Frame(records)
	if err != nil {
		r.t.Fatal(err)
	}
	r.kept.seqs = append(r.kept.seqs, seq)
	r.kept.frames = append(r.kept.frames, encoded)
	f, err := parseFrame(encoded)
	if err != nil {
		r.t.Fatal(err)
	}
	return f
}

// some makes a stream of some 16 frames with checkpoints, gaps of time and a
// clock that is set back once.
func (r *rig) some() *rig {
	for i, n := range []int{1, 3, 0, 1, 16, 2, 1, 7, 1, 1, 0, 5, 1, 4, 1, 2} {
		r.frame(n)
		r.clock.Advance(300 * time.Millisecond)
		if i == 8 {
			r.clock.Advance(-time.Minute)
		}
	}
	r.frame(0)
	return r
}

func (r *rig) reader() *Reader {
	reader, err := NewReader(ReaderConfig{
		Deployment: r.c.Deployment, Stream: r.c.Stream, Frames: r.kept, NotFound: errNoFrames, Key: journalKey,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return reader
}

func (r *rig) lastCheckpoint() Checkpoint {
	cp, ok, err := r.reader().LastCheckpoint(context.Background())
	if err != nil || !ok {
		r.t.Fatalf("LastCheckpoint: %v, %v", ok, err)
	}
	return cp
}

// verify checks a stream with the public key alone, or with the journal key.
func verify(k *kept, key func(uint32) (secret.Bytes, error), later ...Checkpoint) (*Report, error) {
	return Verify(context.Background(), VerifyConfig{PublicKeys: testPublic, Frames: k, Key: key, Later: later})
}

// mustProblem returns the problem that err is.
func mustProblem(t testing.TB, err error) *Problem {
	t.Helper()
	var p *Problem
	if !errors.As(err, &p) {
		t.Fatalf("got %v, want a problem", err)
	}
	return p
}
