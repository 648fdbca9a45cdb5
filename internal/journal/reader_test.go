package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

type shown struct {
	seq       uint64
	index     int
	committed time.Time
	record    string
}

func collect(into *[]shown) func(Entry) error {
	return func(e Entry) error {
		*into = append(*into, shown{e.Seq, e.Index, e.Committed, string(e.Record)})
		return nil
	}
}

func (r *rig) all() []shown {
	var got []shown
	if err := r.reader().All(context.Background(), collect(&got)); err != nil {
		r.t.Fatal(err)
	}
	return got
}

func TestAllYieldsEveryRecordInOrder(t *testing.T) {
	r := newRig(t).some()
	got := r.all()
	if len(got) != r.n {
		t.Fatalf("%d records of %d", len(got), r.n)
	}
	for i, e := range got {
		if want := fmt.Sprintf(`{"eventName":"Encrypt","n":%d}`, i); e.record != want {
			t.Errorf("record %d is %s", i, e.record)
		}
		if i > 0 && e.seq == got[i-1].seq && e.index != got[i-1].index+1 || (i == 0 || e.seq != got[i-1].seq) && e.index != 0 {
			t.Errorf("record %d stands at %d/%d", i, e.seq, e.index)
		}
	}
}

func TestTail(t *testing.T) {
	r := newRig(t).some()
	all := r.all()
	for n := range len(all) + 3 {
		var got []shown
		if err := r.reader().Tail(context.Background(), n, collect(&got)); err != nil {
			t.Fatal(err)
		}
		if want := all[len(all)-min(n, len(all)):]; !slices.Equal(got, want) {
			t.Fatalf("the last %d: %v, want %v", n, got, want)
		}
	}
	if err := r.reader().Tail(context.Background(), -1, func(Entry) error { return errors.New("called") }); err != nil {
		t.Fatal(err)
	}
}

// Range is what a filter over everything yields, however the clock jumped.
func TestRange(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig(t)
		for range rapid.IntRange(0, 30).Draw(rt, "frames") {
			r.clock.Advance(time.Duration(rapid.IntRange(-5000, 8000).Draw(rt, "advance")) * time.Millisecond)
			r.frame(rapid.IntRange(0, 3).Draw(rt, "records"))
		}
		moment := rapid.Custom(func(rt *rapid.T) time.Time {
			if rapid.Bool().Draw(rt, "open") {
				return time.Time{}
			}
			return start.Add(time.Duration(rapid.IntRange(-60, 120).Draw(rt, "second")) * time.Second)
		})
		from, to := moment.Draw(rt, "from"), moment.Draw(rt, "to")
		var got, want []shown
		if err := r.reader().Range(context.Background(), from, to, collect(&got)); err != nil {
			rt.Fatal(err)
		}
		for _, e := range r.all() {
			if !e.committed.Before(from) && (to.IsZero() || e.committed.Before(to)) {
				want = append(want, e)
			}
		}
		if !slices.Equal(got, want) {
			rt.Fatalf("from %s to %s: %v, want %v", from, to, got, want)
		}
	})
}

func TestTailAndRangeReadLittle(t *testing.T) {
	r := newRig(t)
	for range 1000 {
		r.clock.Advance(time.Second)
		r.frame(1)
	}
	counting := &counter{kept: r.kept}
	reader := r.reader()
	reader.c.Frames = counting
	ctx := context.Background()
	for name, read := range map[string]func(func(Entry) error) error{
		"the last 10": func(fn func(Entry) error) error { return reader.Tail(ctx, 10, fn) },
		"ten seconds": func(fn func(Entry) error) error {
			return reader.Range(ctx, start.Add(500*time.Second), start.Add(510*time.Second), fn)
		},
		"checkpoint": func(func(Entry) error) error { _, _, err := reader.LastCheckpoint(ctx); return err },
		"last seconds": func(fn func(Entry) error) error {
			return reader.Range(ctx, start.Add(990*time.Second), time.Time{}, fn)
		},
	} {
		counting.n = 0
		if err := read(func(Entry) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if counting.n > 25 {
			t.Errorf("%s: %d frames were read", name, counting.n)
		}
	}
}

type counter struct {
	*kept
	n int
}

func (c *counter) Frames(ctx context.Context, from uint64, fn func(uint64, []byte) error) error {
	return c.kept.Frames(ctx, from, func(seq uint64, frame []byte) error { c.n++; return fn(seq, frame) })
}

func TestReaderOnAnEmptyStream(t *testing.T) {
	r := newRig(t)
	fn := func(Entry) error { return errors.New("called") }
	ctx := context.Background()
	_, ok, err := r.reader().LastCheckpoint(ctx)
	if err := errors.Join(err, r.reader().All(ctx, fn), r.reader().Tail(ctx, 5, fn), r.reader().Range(ctx, start, time.Time{}, fn)); err != nil || ok {
		t.Fatal(ok, err)
	}
}

func TestReaderStopsAndReports(t *testing.T) {
	r := newRig(t).some()
	stop := errors.New("stop")
	calls := 0
	if err := r.reader().All(context.Background(), func(Entry) error { calls++; return stop }); err != stop || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
	hole := r.kept.clone()
	hole.seqs, hole.frames = slices.Delete(hole.seqs, 4, 5), slices.Delete(hole.frames, 4, 5)
	reader := r.reader()
	reader.c.Frames = hole
	ignore := func(Entry) error { return nil }
	if err := reader.All(context.Background(), ignore); err == nil || !strings.Contains(err.Error(), "frame 5 is missing") {
		t.Errorf("with a hole: %v", err)
	}
	reader.c.Frames = broken{}
	if err := reader.All(context.Background(), ignore); err == nil {
		t.Error("a broken disk went unnoticed")
	}
	reader = r.reader()
	reader.c.Deployment = "other"
	if err := reader.All(context.Background(), ignore); err == nil {
		t.Error("another deployment's frames were read")
	}
	if _, err := NewReader(ReaderConfig{Deployment: "a", Stream: "b"}); err == nil {
		t.Error("a reader without frames")
	}
}

// A reader that gets keys from the writer shows what one does that derives them, and
// notices what was changed.
func TestReaderWithRecentKeys(t *testing.T) {
	plain := newRig(t)
	plain.c.Recent = new(RecentKeys)
	plain.open()
	r := plain.some()
	if r.c.Recent.of[1].body == nil {
		t.Fatal("the writer has left no keys")
	}
	ctx := context.Background()
	without := r.reader()
	with, err := NewReader(ReaderConfig{
		Deployment: r.c.Deployment, Stream: r.c.Stream, Frames: r.kept, NotFound: errNoFrames, Key: journalKey, Recent: r.c.Recent,
	})
	if err != nil {
		t.Fatal(err)
	}
	read := func(reader *Reader) (records []string) {
		if err := reader.Batches(ctx, 1, func(b Batch) error {
			for _, record := range b.Records {
				records = append(records, string(record))
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return records
	}
	if got, want := read(with), read(without); len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("with the writer's keys: %q\nwithout: %q", got, want)
	}
	var exports [2]strings.Builder
	for i, reader := range []*Reader{with, without} {
		if err := reader.Export(ctx, &exports[i], testSigner, nil); err != nil {
			t.Fatal(err)
		}
	}
	if exports[0].String() != exports[1].String() {
		t.Error("the commitments differ")
	}
	// They do come from the writer: with another seed the commitments are others.
	r.c.Recent.of[1].seed[0] ^= 1
	var differs strings.Builder
	if err := with.Export(ctx, &differs, testSigner, nil); err == nil && differs.String() == exports[1].String() {
		t.Error("the reader has derived the keys of a frame that was just made")
	}
	// Under the number of one frame stands another, and one of another writer.
	other := newRigOf(t, 2)
	other.c.Recent = r.c.Recent
	other.open()
	other.some()
	if got, want := read(with), read(without); !slices.Equal(got, want) {
		t.Errorf("after another writer: %q\nwithout: %q", got, want)
	}
	r.commit([]byte(`{"eventName":"Encrypt"}`))
	last := r.kept.frames[len(r.kept.frames)-1]
	last[len(last)-1] ^= 1
	ignore := func(Batch) error { return nil }
	if err := with.Batches(ctx, 1, ignore); !errors.Is(err, ErrKey) {
		t.Errorf("a changed body is read: %v", err)
	}
}

func TestLast(t *testing.T) {
	r := newRig(t)
	for want := range uint64(3) {
		if got, err := r.reader().Last(t.Context()); got != want || err != nil {
			t.Errorf("%d, %v; want %d", got, err, want)
		}
		r.frame(1)
	}
}

func TestLastCheckpoint(t *testing.T) {
	r := newRig(t)
	for unsigned := range 20 {
		f := r.frame(0)
		for range unsigned {
			r.frame(1)
		}
		if cp := r.lastCheckpoint(); cp.Seq != f.seq || cp.Hash != f.hash() || cp.Verify(testPublic...) != nil {
			t.Fatalf("with %d frames after it: %v", unsigned, cp)
		}
	}
}
