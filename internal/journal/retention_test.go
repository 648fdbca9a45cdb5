package journal

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/secret"
)

// removable returns what may be removed of the frames below a number.
func (r *rig) removable(below uint64) *Removal {
	r.t.Helper()
	removal, err := r.reader().Removable(context.Background(), RemovalConfig{
		PublicKeys: testPublic, Before: r.clock.Now().Add(time.Hour), Below: below, Enough: 1 << 30,
	}, func([]byte) error { return nil })
	if err != nil {
		r.t.Fatal(err)
	}
	return removal
}

// announce says in the stream that frames are removed, without removing them.
func (r *rig) announce(below uint64) *Removal {
	r.t.Helper()
	removal := r.removable(below)
	if removal == nil {
		r.t.Fatal("there is nothing to remove")
	}
	record := fmt.Appendf(nil, `{"eventName":"RemoveAuditRecords","last":%d}`, removal.Last)
	if err := r.w.Announce(removal, record); err != nil {
		r.t.Fatal(err)
	}
	if f := r.commit(record); !f.signed || f.front != removal.front {
		r.t.Fatalf("the frame says %+v, signed %v", f.front, f.signed)
	}
	return removal
}

// remove takes what a backend is told to remove.
func (r *rig) remove(through uint64) {
	n, found := slices.BinarySearch(r.kept.seqs, through)
	if found {
		n++
	}
	r.kept.seqs, r.kept.frames = r.kept.seqs[n:], r.kept.frames[n:]
}

// retained is small after its first 4 frames were removed: frames 5 to 12, of which
// 8, 9 and 12 are signed.
func retained(t testing.TB) *rig { return retainedFrom(newRig(t)) }

func retainedFrom(r *rig) *rig {
	smallFrom(r)
	r.remove(r.announce(8).Last)
	r.frame(1)
	r.frame(2)
	r.clock.Advance(time.Second)
	r.frame(1)
	return r
}

func TestRemovableEndsWithACheckpoint(t *testing.T) {
	r := small(t) // frames of 2, 1, 3, 1, 1, 2, 1 and 0 records; 1, 4 and 8 are signed
	for below, last := range map[uint64]uint64{1: 0, 2: 1, 4: 1, 5: 4, 8: 4, 9: 4, 99: 4} {
		got := r.removable(below)
		if last == 0 {
			if got != nil {
				t.Errorf("below %d: %+v", below, got)
			}
			continue
		}
		if got == nil || got.First != 1 || got.Last != last {
			t.Errorf("below %d: %+v, want up to %d", below, got, last)
		}
	}
	// The last frame stays, signed as it is; so does what is not old enough.
	r.frame(1)
	if got := r.removable(99); got.Last != 8 || got.Records != 11 || !got.From.Equal(start) || got.Hash != must(parseFrame(r.kept.frames[7])).hash() {
		t.Errorf("%+v", got)
	}
	seen := 0
	at := must(parseFrame(r.kept.frames[3])).time
	for _, c := range []struct {
		before time.Time
		enough uint64
		last   uint64
	}{{at, 99, 1}, {at.Add(time.Microsecond), 99, 4}, {at.Add(time.Hour), 1, 1}, {at.Add(time.Hour), 3, 4}} {
		got, err := r.reader().Removable(context.Background(), RemovalConfig{PublicKeys: testPublic, Before: c.before, Below: 99, Enough: c.enough},
			func([]byte) error { seen++; return nil })
		if err != nil || got == nil || got.Last != c.last {
			t.Errorf("%+v: %+v, %v", c, got, err)
		}
	}
	if seen == 0 {
		t.Error("no record was shown")
	}
	r.kept.frames[2][100] ^= 1
	_, err := r.reader().Removable(context.Background(), RemovalConfig{PublicKeys: testPublic, Before: at.Add(time.Hour), Below: 99, Enough: 99}, func([]byte) error { return nil })
	if p := mustProblem(t, err); p.Seq != 3 {
		t.Errorf("of a stream that was changed: %v", err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// However far the removal of frames has come when the process is killed, the stream
// verifies; one frame more, and it does not.
func TestRemovalIsWholeAtEveryMoment(t *testing.T) {
	r := small(t)
	later := r.lastCheckpoint()
	if _, err := verify(r.kept, nil); err != nil {
		t.Fatal(err)
	}
	removal := r.announce(8)
	check := func(what string, k *kept) {
		t.Helper()
		for _, key := range []bool{false, true} {
			report, err := Verify(context.Background(), VerifyConfig{PublicKeys: testPublic, Frames: k, Key: keyIf(key), Later: []Checkpoint{later}})
			if err != nil {
				t.Errorf("%s: %v", what, err)
			} else if report.RemovedFrames != 4 || report.RemovedRecords != 7 || report.Frames != 5 || report.Records != 5 {
				t.Errorf("%s: %+v", what, report)
			}
		}
		x := *r
		x.kept = k
		if got := x.all(); len(got) != 5 || got[0].seq != 5 {
			t.Errorf("%s: a reader shows %+v", what, got)
		}
		x.open() // as the next start does
		x.kept = k.clone()
		x.frame(1)
		if _, err := verify(x.kept, nil); err != nil {
			t.Errorf("%s, gone on from: %v", what, err)
		}
	}
	check("announced", r.kept.clone())
	// A backend promises no order.
	for gone := range 1 << removal.Last {
		k := r.kept.clone()
		for i := int(removal.Last) - 1; i >= 0; i-- {
			if gone>>i&1 == 1 {
				k.drop(i)
			}
		}
		check(fmt.Sprintf("frames %04b removed", gone), k)
	}
	r.remove(removal.Last + 1)
	if p := mustProblem(t, errOf(verify(r.kept, nil))); p.Kind != Missing || p.Seq != 5 || !strings.Contains(p.Detail, "held 1 records") {
		t.Errorf("a frame more than announced: %v", p)
	}
}

func keyIf(yes bool) func(uint32) (secret.Bytes, error) {
	if yes {
		return journalKey
	}
	return nil
}

func TestRemovalThatNothingExplains(t *testing.T) {
	r := small(t)
	for n := range 7 {
		k := r.kept.clone()
		k.seqs, k.frames = k.seqs[n+1:], k.frames[n+1:]
		if p := mustProblem(t, errOf(verify(k, nil))); p.Kind != Missing || p.Seq != 1 {
			t.Errorf("without the first %d: %v", n+1, p)
		}
	}
	// The announcement cut off again: what was removed is missing.
	removed := retained(t)
	k := removed.kept.clone()
	k.cut(4)
	if p := mustProblem(t, errOf(verify(k, nil))); p.Kind != Missing || p.Seq != 1 {
		t.Errorf("without the announcement: %v", p)
	}
	// A frame of another history that announces more.
	other := smallFrom(newRigOf(t, 2))
	other.announce(99)
	k = r.kept.clone()
	k.seqs, k.frames = append(k.seqs[4:], 9), append(k.frames[4:], other.kept.frames[8])
	mustProblem(t, errOf(verify(k, nil)))
}

func TestReadersOfWhatIsLeft(t *testing.T) {
	r := retained(t)
	ctx := context.Background()
	all := r.all()
	if len(all) != 9 || all[0].seq != 5 {
		t.Fatalf("%+v", all)
	}
	for n := range len(all) + 3 {
		var got []shown
		if err := r.reader().Tail(ctx, n, collect(&got)); err != nil || !slices.Equal(got, all[len(all)-min(n, len(all)):]) {
			t.Errorf("the last %d: %+v, %v", n, got, err)
		}
	}
	for _, from := range []time.Time{{}, start.Add(-time.Hour), start, all[1].committed, all[4].committed, r.clock.Now().Add(time.Hour)} {
		var got, want []shown
		for _, e := range all {
			if !e.committed.Before(from) {
				want = append(want, e)
			}
		}
		if err := r.reader().Range(ctx, from, time.Time{}, collect(&got)); err != nil || !slices.Equal(got, want) {
			t.Errorf("from %v: %+v, %v", from, got, err)
		}
	}
	if first, err := r.reader().First(ctx); first != 5 || err != nil {
		t.Errorf("First: %d, %v", first, err)
	}
	if first, err := newRig(t).reader().First(ctx); first != 1 || err != nil {
		t.Errorf("First of nothing: %d, %v", first, err)
	}
	for _, seq := range []uint64{1, 4} {
		if _, err := r.reader().Batch(ctx, seq); !errors.Is(err, ErrRemoved) {
			t.Errorf("frame %d: %v", seq, err)
		}
		if err := r.reader().From(ctx, seq, func(Entry) error { return nil }); !errors.Is(err, ErrRemoved) {
			t.Errorf("from %d: %v", seq, err)
		}
	}
	if _, err := r.reader().Batch(ctx, 99); err == nil || errors.Is(err, ErrRemoved) {
		t.Errorf("a frame that never was: %v", err)
	}
}

// A checkpoint that is older than the stream cannot be compared; of the last frame
// that was removed, it can.
func TestOldCheckpointsAfterRemoval(t *testing.T) {
	r := small(t)
	var cps []Checkpoint
	for _, i := range []int{0, 3, 7} {
		cps = append(cps, must(parseFrame(r.kept.frames[i])).checkpoint())
	}
	forked := must(parseFrame(smallFrom(newRigOf(t, 2)).kept.frames[3])).checkpoint()
	r.remove(r.announce(8).Last)
	full, some := r.export(nil), r.export(third())
	for name, check := range map[string]func(...Checkpoint) error{
		"the stream": func(c ...Checkpoint) error { return errOf(verify(r.kept, nil, c...)) },
		"an export":  func(c ...Checkpoint) error { return errOf(verifyExport(full, c...)) },
		"of some":    func(c ...Checkpoint) error { return errOf(verifyExport(some, c...)) },
	} {
		if err := check(cps...); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if p := mustProblem(t, check(forked)); p.Kind != Changed || p.Seq != 4 {
			t.Errorf("%s, of another history: %v", name, p)
		}
	}
}

func TestRemovalsFollowEachOther(t *testing.T) {
	r := retained(t)
	second := r.announce(12)
	if second.First != 5 || second.Last != 9 || second.Records != 5 {
		t.Fatalf("%+v", second)
	}
	report, err := verify(r.kept, journalKey)
	if err != nil || report.RemovedFrames != 9 || report.Frames != 4 {
		t.Fatalf("announced: %+v, %v", report, err)
	}
	r.remove(second.Last)
	if report, err = verify(r.kept, journalKey); err != nil || report.RemovedRecords != 12 || report.Frames != 4 || report.Records != 5 {
		t.Fatalf("%+v, %v", report, err)
	}
	// Every frame with a checkpoint goes on saying so, also those of the next process,
	// which may find an unsigned tail.
	r.frame(1)
	r.open()
	if f := r.frame(1); !f.signed || f.front.seq != 9 {
		t.Errorf("after a start: %+v", f)
	}
	if _, err := verify(r.kept, journalKey); err != nil {
		t.Error(err)
	}
	forgetful := r.w.front
	r.w.front = position{}
	r.frame(0)
	if p := mustProblem(t, errOf(verify(r.kept, nil))); p.Kind != Missing && p.Kind != Changed {
		t.Errorf("a writer that forgot: %v", p)
	}
	r.w.front = forgetful
}

func TestAnnounceRefuses(t *testing.T) {
	r := small(t)
	early, late := r.removable(2), r.removable(8)
	r.announce(2)
	if err := r.w.Announce(early, []byte(`{"a":1}`)); err == nil {
		t.Error("a removal was announced twice")
	}
	if err := r.w.Announce(late, []byte(`{"a":1}`)); err == nil {
		t.Error("a removal that does not begin at the front was announced")
	}
	// What is announced waits for its record, and the next call takes its place.
	now := r.removable(8)
	if err := r.w.Announce(now, []byte(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	if f := r.frame(1); f.front.seq > 1 {
		t.Errorf("another record's frame says %+v", f.front)
	}
	if err := r.w.Announce(now, []byte(`{"a":2}`)); err != nil {
		t.Fatal(err)
	}
	if f := r.commit([]byte(`{"a":1}`)); f.front.seq > 1 {
		t.Errorf("the record of an announcement that was replaced says %+v", f.front)
	}
	if f := r.commit([]byte(`{"a":0}`), []byte(`{"a":2}`)); f.front.seq != 4 {
		t.Errorf("the frame says %+v", f.front)
	}
}

func TestExportOfWhatIsLeft(t *testing.T) {
	r := retained(t)
	for name, keep := range map[string]func([]byte) bool{"full": nil, "filtered": third()} {
		text := r.export(keep)
		report, err := verifyExport(text, r.lastCheckpoint())
		if err != nil || report.RemovedFrames != 4 || report.RemovedRecords != 7 {
			t.Fatalf("%s: %+v, %v", name, report, err)
		}
		lines := slices.Collect(strings.Lines(text))
		if strings.Count(text, `,"begin":"`) != 1 || !strings.Contains(lines[0], `,"begin":"`) {
			t.Errorf("%s: the beginning is not on the first line alone", name)
		}
		// Every byte of what says so, and some of the rest, which other tests change.
		said := strings.Index(text, `,"begin":"`)
		for i := range text {
			if (i < said || i > said+strings.IndexByte(text[said+10:], '"')+10) && i%50 != 0 {
				continue
			}
			b := []byte(text)
			b[i] ^= 1
			mustProblem(t, errOf(verifyExport(string(b))))
		}
	}
	// Without what says so, the first frames are missing.
	lines := slices.Collect(strings.Lines(r.export(nil)))
	at := strings.Index(lines[0], `,"begin":"`)
	lines[0] = lines[0][:at] + lines[0][at+strings.Index(lines[0][at+1:], `,"`)+1:]
	if p := mustProblem(t, errOf(verifyExport(strings.Join(lines, "")))); p.Kind != Missing || p.Seq != 1 {
		t.Errorf("without a beginning: %v", p)
	}
	// A frame that vouches for nothing.
	unsaid := small(t)
	proof := exportProof{Begin: must(parseFrame(unsaid.kept.frames[0])).head}
	v := &exportVerifier{chain: must(newChain("", "", testPublic, nil)), lines: 1}
	if p := mustProblem(t, v.begin(&proof)); p.Kind != Malformed {
		t.Error(p)
	}
}

// After retention, too, every edit is found with the public key and a later
// checkpoint.
func TestRetainedFindsRandomEdits(t *testing.T) {
	r, fork := retained(t), retainedFrom(newRigOf(t, 2))
	later := r.lastCheckpoint()
	random := rand.New(rand.NewPCG(5, 6))
	for n := range *edits / 2 {
		k := r.kept.clone()
		what := edit(random, k, fork.kept)
		if random.IntN(2) == 0 {
			k.renumber()
		}
		_, err := verify(k, nil, later)
		if err == nil {
			t.Fatalf("edit %d was not found: %s", n, what)
		}
		mustProblem(t, err)
	}
	lines, others := slices.Collect(strings.Lines(r.export(nil))), slices.Collect(strings.Lines(fork.export(nil)))
	for n := range *edits / 2 {
		edited, what := editLines(random, slices.Clone(lines), others)
		_, err := verifyExport(edited, later)
		if err == nil {
			t.Fatalf("edit %d of the export was not found: %s", n, what)
		}
		mustProblem(t, err)
	}
}

// What the first version with retention wrote is read for ever.
func TestGoldenRetained(t *testing.T) {
	text, err := os.ReadFile("testdata/retained-v1.hex")
	if err != nil {
		t.Fatal(err)
	}
	k := &kept{}
	for line := range strings.Lines(string(text)) {
		b, err := hex.DecodeString(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		checkCanonical(t, b)
		k.seqs, k.frames = append(k.seqs, uint64(5+len(k.seqs))), append(k.frames, b)
	}
	report, err := verify(k, journalKey)
	if err != nil || report.Frames != 8 || report.Records != 9 || report.RemovedRecords != 7 {
		t.Fatalf("%+v, %v", report, err)
	}
}
