package journal

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/secret"
)

// small is a stream of 8 frames; 1, 4 and 8 are signed.
func small(t testing.TB) *rig { return smallFrom(newRig(t)) }

func smallFrom(r *rig) *rig {
	for i, n := range []int{2, 1, 3, 1, 1, 2, 1} {
		if i == 3 {
			r.clock.Advance(time.Second)
		}
		r.frame(n)
		r.clock.Advance(time.Millisecond)
	}
	r.frame(0)
	return r
}

func TestVerifyWhatWasWritten(t *testing.T) {
	r := newRig(t).some()
	r.frame(2)
	r.frame(1)
	cp := r.lastCheckpoint()
	for name, key := range map[string]func(uint32) (secret.Bytes, error){"with the public key": nil, "with the journal key": journalKey} {
		report, err := verify(r.kept, key, cp)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if report.Frames != 19 || report.Last != 19 || report.Records != uint64(r.n) || report.UnsignedFrames != 2 ||
			report.UnsignedRecords != 3 || report.Checkpoint == nil || *report.Checkpoint != cp ||
			report.Opened != (key != nil) || report.Deployment != r.c.Deployment || report.Stream != "main" || !report.First.Equal(start) {
			t.Errorf("%s: %+v", name, report)
		}
	}
	if report, err := verify(&kept{}, nil); err != nil || report.Frames != 0 {
		t.Errorf("nothing: %+v, %v", report, err)
	}
}

// With the public key alone, every changed byte of every frame is found, and it
// is that frame which is named.
func TestVerifyFindsEveryByte(t *testing.T) {
	r := small(t)
	for i, f := range r.kept.frames {
		for n := range f {
			f[n] ^= 1
			if _, err := verify(r.kept, nil); mustProblem(t, err).Seq != uint64(i+1) {
				t.Fatalf("frame %d, byte %d: %v", i+1, n, err)
			}
			f[n] ^= 1
		}
	}
	if _, err := verify(r.kept, journalKey); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyNamesWhatIsWrong(t *testing.T) {
	r := small(t)
	fork := smallFrom(newRigOf(t, 2)) // as right as the other, with salts of its own
	stranger := newRig(t)
	stranger.c.Stream = "other"
	stranger.open()
	for range 8 {
		stranger.frame(1)
	}
	later := r.lastCheckpoint()
	ahead := small(t)
	ahead.frame(1)
	ahead.frame(0)
	aheadLater := ahead.lastCheckpoint()
	for name, c := range map[string]struct {
		edit  func(k *kept)
		later []Checkpoint
		kind  Kind
		seq   uint64
		says  string
	}{
		"a frame dropped":        {func(k *kept) { k.drop(2) }, nil, Missing, 3, "held 3 records"},
		"dropped, renumbered":    {func(k *kept) { k.drop(2); k.renumber() }, nil, Misplaced, 3, "frame 4 is kept in its place"},
		"the first dropped":      {func(k *kept) { k.drop(0) }, nil, Missing, 1, "held 2 records"},
		"two swapped":            {func(k *kept) { k.frames[4], k.frames[5] = k.frames[5], k.frames[4] }, nil, Misplaced, 5, "frame 6"},
		"one twice":              {func(k *kept) { k.frames[5] = k.frames[4] }, nil, Misplaced, 6, "frame 5"},
		"a body changed":         {func(k *kept) { f := k.frames[2]; f[len(f)-1] ^= 1 }, nil, Malformed, 3, "sealed body"},
		"an unsigned one forged": {func(k *kept) { k.frames[5] = fork.kept.frames[5] }, nil, Changed, 6, "continue"},
		// Our signature vouches for 4, nothing yet for 3.
		"a signed one replaced":   {func(k *kept) { k.frames[3] = fork.kept.frames[3] }, nil, Changed, 3, "not the frame that frame 4 continues"},
		"another stream's":        {func(k *kept) { k.frames[3] = stranger.kept.frames[3] }, nil, Foreign, 4, "other"},
		"rubbish":                 {func(k *kept) { k.frames[3] = []byte("rubbish") }, nil, Malformed, 4, "magic"},
		"cut":                     {func(k *kept) { k.cut(4) }, []Checkpoint{later}, Cut, 5, "covers frame 8 and 11 records, 4 more"},
		"cut to nothing":          {func(k *kept) { k.cut(0) }, []Checkpoint{later}, Cut, 1, "11 more"},
		"all replaced":            {func(k *kept) { *k = *fork.kept.clone() }, []Checkpoint{later}, Changed, 8, "rewritten"},
		"another's checkpoint":    {func(*kept) {}, []Checkpoint{stranger.lastCheckpoint()}, Foreign, 1, "other"},
		"a checkpoint from ahead": {func(*kept) {}, []Checkpoint{later, aheadLater}, Cut, 9, "frame 10"},
	} {
		k := r.kept.clone()
		c.edit(k)
		_, err := verify(k, nil, c.later...)
		p := mustProblem(t, err)
		if p.Kind != c.kind || p.Seq != c.seq || !strings.Contains(p.Detail, c.says) {
			t.Errorf("%s: %v", name, p)
		}
	}
}

func (k *kept) drop(i int) {
	k.seqs, k.frames = slices.Delete(k.seqs, i, i+1), slices.Delete(k.frames, i, i+1)
}

func (k *kept) cut(n int) { k.seqs, k.frames = k.seqs[:n], k.frames[:n] }

// edits is the proof's length: go test ./internal/journal -run RandomEdits -edits 1000000
var edits = flag.Int("edits", defaultEdits, "random edits of a journal, and as many of exports, that must all be found")

// Random edits, drops, reorders, duplications, splices and cuts: all are found
// with the public key and a later checkpoint.
func TestVerifyFindsRandomEdits(t *testing.T) {
	r, fork := small(t), smallFrom(newRigOf(t, 2))
	later := r.lastCheckpoint()
	random := rand.New(rand.NewPCG(1, 2))
	for n := range *edits {
		k := r.kept.clone()
		what := edit(random, k, fork.kept)
		if random.IntN(2) == 0 {
			k.renumber()
		}
		if _, err := verify(k, nil, later); err == nil {
			t.Fatalf("edit %d was not found: %s", n, what)
		} else {
			mustProblem(t, err)
		}
	}
}

// edit changes k in one way and says which.
func edit(random *rand.Rand, k, fork *kept) string {
	n := len(k.frames)
	i, j := random.IntN(n), random.IntN(n-1)
	if j >= i {
		j++
	}
	switch random.IntN(7) {
	case 0:
		f := k.frames[i]
		at, change := random.IntN(len(f)), byte(1+random.IntN(255))
		f[at] ^= change
		return fmt.Sprintf("byte %d of frame %d changed by %#x", at, i+1, change)
	case 1:
		k.drop(i)
		return fmt.Sprintf("frame %d dropped", i+1)
	case 2:
		k.frames[i], k.frames[j] = k.frames[j], k.frames[i]
		return fmt.Sprintf("frames %d and %d swapped", i+1, j+1)
	case 3:
		k.frames = slices.Insert(k.frames, j, k.frames[i])
		k.renumber()
		return fmt.Sprintf("frame %d once more at %d", i+1, j+1)
	case 4:
		k.frames[i] = fork.frames[i]
		return fmt.Sprintf("frame %d of another history", i+1)
	case 5:
		for at := i; at < n; at++ {
			k.frames[at] = fork.frames[at]
		}
		return fmt.Sprintf("another history from frame %d", i+1)
	default:
		k.cut(i)
		return fmt.Sprintf("cut to %d frames", i)
	}
}

// What comes after the last checkpoint can be rewritten without a trace by
// whoever can write the files: the report says how much that is, and the
// journal key shows it.
func TestUnsignedTailIsWhatTheReportSays(t *testing.T) {
	r := newRig(t)
	r.frame(1)
	r.frame(2)
	f := *r.frame(3)
	f.time = f.time.Add(time.Hour)
	forged := append(f.appendHeader(nil), f.bodyHash[:]...)
	r.kept.frames[2] = append(forged, f.body...)
	report, err := verify(r.kept, nil)
	if err != nil || report.UnsignedFrames != 2 || report.UnsignedRecords != 5 || report.Checkpoint.Seq != 1 {
		t.Errorf("%+v, %v", report, err)
	}
	if p := mustProblem(t, errOf(verify(r.kept, journalKey))); p.Kind != Changed || p.Seq != 3 {
		t.Errorf("with the journal key: %v", p)
	}
}

// Whoever holds the journal key can seal what they like, but not commit to one
// thing and hold another.
func TestVerifyChecksBodies(t *testing.T) {
	r := newRig(t)
	f := *r.frame(2)
	o, err := f.open(testKey)
	if err != nil {
		t.Fatal(err)
	}
	reseal := func(records ...[]byte) *kept {
		g := f
		body := appendBody(nil, records)
		g.bodySize = uint32(sealOverhead + len(body))
		g.header = append(g.appendHeader(nil), make([]byte, 32)...)
		g.body = o.keys.body.Seal(nil, nil, body, g.additional())
		g.bodyHash = sha256.Sum256(g.body)
		copy(g.header[len(g.additional()):], g.bodyHash[:])
		cp := g.checkpoint()
		signer, err := newSigner(testSigner)
		if err != nil {
			t.Fatal(err)
		}
		signature, err := signer.sign(cp.Statement())
		if err != nil {
			t.Fatal(err)
		}
		encoded := slices.Concat(g.header, g.keyID[:], signature[:], g.body)
		return &kept{seqs: []uint64{1}, frames: [][]byte{encoded}}
	}
	good := reseal(o.records...)
	if _, err := verify(good, journalKey); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		records [][]byte
		kind    Kind
		index   int
	}{
		"another record": {[][]byte{o.records[0], []byte(`{"eventName":"Nothing"}`)}, Changed, -1},
		"swapped":        {[][]byte{o.records[1], o.records[0]}, Changed, -1},
		"one missing":    {[][]byte{o.records[0]}, Changed, -1},
		"no JSON":        {[][]byte{o.records[0], []byte(`{"eventName":}`)}, Malformed, 1},
	} {
		k := reseal(c.records...)
		if _, err := verify(k, nil); err != nil {
			t.Errorf("%s: the public key alone cannot know: %v", name, err)
		}
		if p := mustProblem(t, errOf(verify(k, journalKey))); p.Kind != c.kind || p.Index != c.index || p.Seq != 1 {
			t.Errorf("%s: %v", name, p)
		}
	}
}

// A writer that signs what does not add up is found out, too.
func TestVerifyChecksCountsAndRuns(t *testing.T) {
	for name, change := range map[string]func(*frame){
		"counts one more":        func(f *frame) { f.records++ },
		"begins a run":           func(f *frame) { f.runStart = f.seq },
		"goes back without one":  func(f *frame) { f.time = f.time.Add(-time.Hour) },
		"is of another stream":   func(f *frame) { f.stream = "other" },
		"is of another house":    func(f *frame) { f.deployment = "other" },
		"skips one":              func(f *frame) { f.seq++ },
		"continues another hash": func(f *frame) { f.prev[0] ^= 1 },
	} {
		r := newRig(t)
		r.frame(1)
		f := *r.frame(0)
		change(&f)
		header := append(f.appendHeader(nil), f.bodyHash[:]...)
		f.header = header
		cp := f.checkpoint()
		s, err := newSigner(testSigner)
		if err != nil {
			t.Fatal(err)
		}
		signature, err := s.sign(cp.Statement())
		if err != nil {
			t.Fatal(err)
		}
		r.kept.frames[1] = slices.Concat(header, f.keyID[:], signature[:])
		if _, err := verify(r.kept, nil); err == nil {
			t.Errorf("a frame that %s was taken", name)
		}
	}
}

func TestVerifyTellsErrorsFromProblems(t *testing.T) {
	var p *Problem
	if _, err := Verify(context.Background(), VerifyConfig{PublicKeys: testPublic, Frames: broken{}}); err == nil || errors.As(err, &p) {
		t.Errorf("a broken disk: %v", err)
	}
	r := small(t)
	if _, err := Verify(context.Background(), VerifyConfig{Frames: r.kept}); err == nil || errors.As(err, &p) {
		t.Errorf("no public key: %v", err)
	}
	if _, err := Verify(context.Background(), VerifyConfig{PublicKeys: testPublic}); err == nil || errors.As(err, &p) {
		t.Errorf("no frames: %v", err)
	}
	forged := r.lastCheckpoint()
	forged.Records++
	if _, err := verify(r.kept, nil, forged); !errors.Is(err, ErrCheckpoint) || errors.As(err, &p) {
		t.Errorf("a forged later checkpoint: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Verify(ctx, VerifyConfig{PublicKeys: testPublic, Frames: r.kept}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	noKey := func(uint32) (secret.Bytes, error) { return nil, errors.New("no such version") }
	if _, err := verify(r.kept, noKey); err == nil || errors.As(err, &p) {
		t.Errorf("no journal key: %v", err)
	}
}
