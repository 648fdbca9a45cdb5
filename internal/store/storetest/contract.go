package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/strongroom/strongroom/internal/store"
)

// Run proves a backend: first by itself, then under a store, and then under a
// store whose commits conflict, so that every Update function runs twice. open
// returns a new, empty backend that the test need not close.
func Run(t *testing.T, open func(t *testing.T) store.Backend) {
	for name, test := range map[string]func(*testing.T, store.Backend){
		"meta":      testMeta,
		"commits":   testCommits,
		"order":     testOrder,
		"conflicts": testConflicts,
		"snapshots": testSnapshots,
		"frames":    testFrames,
		"removing":  testRemoveFrames,
		"loading":   testLoad,
	} {
		t.Run("backend/"+name, func(t *testing.T) { test(t, open(t)) })
	}
	for name, test := range map[string]func(*testing.T, store.Backend, *store.Store){
		"records":       testRecords,
		"scans":         testScans,
		"indexes":       testIndexes,
		"isolation":     testIsolation,
		"atomicity":     testAtomicity,
		"serialisable":  testSerialisable,
		"linearizable":  testLinearizable,
		"watch":         testWatch,
		"ordering":      testOrdering,
		"cancelled":     testCancelled,
		"scopes":        testScopes,
		"random":        testRandom,
		"group commits": testGroupCommits,
	} {
		t.Run("store/"+name, func(t *testing.T) {
			b := open(t)
			test(t, b, Open(t, b))
		})
		t.Run("store twice/"+name, func(t *testing.T) {
			b := open(t)
			test(t, b, Open(t, Conflicting(b)))
		})
	}
}

func testMeta(t *testing.T, b store.Backend) {
	ctx := context.Background()
	want := func(want map[string][]byte) {
		t.Helper()
		got, err := b.Meta(ctx)
		if err != nil || !maps.EqualFunc(got, want, bytes.Equal) {
			t.Fatalf("Meta = %q, %v; want %q", got, err, want)
		}
	}
	want(nil)
	must(t, b.SetMeta(ctx, map[string][]byte{"a": []byte("1"), "b": {}, "c\x00": {0}}))
	want(map[string][]byte{"a": []byte("1"), "b": {}, "c\x00": {0}})
	must(t, b.SetMeta(ctx, map[string][]byte{"a": []byte("2"), "b": nil, "never": nil}))
	want(map[string][]byte{"a": []byte("2"), "c\x00": {0}})
	for _, name := range []string{"", "backend/", "backend/epoch"} {
		if b.SetMeta(ctx, map[string][]byte{"a": []byte("3"), name: {1}}) == nil {
			t.Errorf("a meta entry named %q was taken", name)
		}
	}
	want(map[string][]byte{"a": []byte("2"), "c\x00": {0}})
	if got := dump(t, b); len(got) != 0 {
		t.Errorf("meta entries are among the records: %q", got)
	}
	commit(t, b, 0, store.Batch{Epoch: 1, Writes: []store.Write{{Key: []byte("a"), Value: []byte("record")}}})
	want(map[string][]byte{"a": []byte("2"), "c\x00": {0}})
}

func testCommits(t *testing.T, b store.Backend) {
	commit(t, b, 0, store.Batch{Epoch: 2, Writes: []store.Write{
		{Key: []byte("a"), Value: []byte("1")},
		{Key: []byte("b"), Value: []byte{}},
		{Key: []byte("c"), Value: []byte("3")},
		{Key: []byte("a"), Value: []byte("2")},
		{Key: []byte("c")},
		{Key: []byte("never")},
	}})
	if got := dump(t, b); !slices.Equal(got, []string{"a=2", "b="}) {
		t.Errorf("after the first commit: %q", got)
	}
	commit(t, b, 2, store.Batch{Epoch: 2, Seq: 1, Frame: []byte("frame")}) // no writes
	commit(t, b, 2, store.Batch{Epoch: 3, Writes: []store.Write{{Key: []byte("a")}, {Key: []byte("a"), Value: []byte("4")}}})
	if got := dump(t, b); !slices.Equal(got, []string{"a=4", "b="}) {
		t.Errorf("after the third commit: %q", got)
	}
	snap := snapshot(t, b)
	if snap.Epoch() != 3 {
		t.Errorf("epoch %d, want 3", snap.Epoch())
	}
	for _, key := range []string{"", "c", "never", "a\x00"} {
		if _, err := snap.Get([]byte(key)); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("Get(%q): %v, want ErrNotFound", key, err)
		}
	}
	if v, err := snap.Get([]byte("b")); err != nil || v == nil || len(v) != 0 {
		t.Errorf("an empty value was read as %v, %v", v, err)
	}
}

func testOrder(t *testing.T, b store.Backend) {
	keys := []string{"", "\x00", "\x00\x00", "\x00\xff", "\x01", "a", "a\x00", "a\x00b", "a\x01", "aa", "b", "\xfe", "\xff", "\xff\x00", "\xff\xff"}
	var batch store.Batch
	for i := range keys {
		key := keys[(i*7)%len(keys)]
		batch.Writes = append(batch.Writes, store.Write{Key: []byte(key), Value: []byte(key)})
	}
	batch.Epoch = 1
	commit(t, b, 0, batch)
	snap := snapshot(t, b)
	for _, from := range keys {
		for _, to := range append(slices.Clone(keys), "\xff\xff\xff") {
			var want, got []string
			for _, k := range keys {
				if from <= k && k < to {
					want = append(want, k)
				}
			}
			must(t, snap.Scan([]byte(from), []byte(to), func(k, v []byte) bool {
				if !bytes.Equal(k, v) {
					t.Errorf("key %q has value %q", k, v)
				}
				got = append(got, string(k))
				return true
			}))
			if !slices.Equal(got, want) {
				t.Errorf("Scan(%q, %q) = %q, want %q", from, to, got, want)
			}
		}
	}
	n := 0
	must(t, snap.Scan(nil, []byte{0xff}, func(_, _ []byte) bool { n++; return n < 3 }))
	if n != 3 {
		t.Errorf("a scan that was to end after 3 keys had %d", n)
	}
}

func testConflicts(t *testing.T, b store.Backend) {
	ctx := context.Background()
	commit(t, b, 0, store.Batch{Epoch: 1, Writes: []store.Write{{Key: []byte("a"), Value: []byte("1")}}})
	for _, base := range []uint64{0, 2} {
		if err := b.Prepare(ctx, base); !errors.Is(err, store.ErrConflict) {
			t.Errorf("Prepare(%d) at epoch 1: %v, want ErrConflict", base, err)
		}
	}
	commit(t, b, 1, store.Batch{Epoch: 2, Writes: []store.Write{{Key: []byte("a"), Value: []byte("2")}}})
	if got := dump(t, b); !slices.Equal(got, []string{"a=2"}) {
		t.Errorf("after conflicts: %q", got)
	}
}

func testSnapshots(t *testing.T, b store.Backend) {
	var open []store.Snapshot
	for i := range 5 {
		open = append(open, snapshot(t, b))
		commit(t, b, uint64(i), store.Batch{Epoch: uint64(i) + 1, Writes: []store.Write{
			{Key: []byte("same"), Value: fmt.Append(nil, i+1)},
			{Key: fmt.Append(nil, i+1), Value: []byte("new")},
			{Key: fmt.Append(nil, i)},
		}})
	}
	for i, snap := range open {
		if snap.Epoch() != uint64(i) {
			t.Errorf("snapshot %d is at epoch %d", i, snap.Epoch())
		}
		var want []string
		if i > 0 {
			want = []string{fmt.Sprintf("%d=new", i), fmt.Sprintf("same=%d", i)}
		}
		if got := list(t, snap); !slices.Equal(got, want) {
			t.Errorf("snapshot %d shows %q, want %q", i, got, want)
		}
	}
}

func testFrames(t *testing.T, b store.Backend) {
	ctx := context.Background()
	if _, _, err := b.LastFrame(ctx); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("LastFrame of an empty journal: %v, want ErrNotFound", err)
	}
	for seq := uint64(7); seq < 300; seq++ {
		commit(t, b, 0, store.Batch{Seq: seq, Frame: fmt.Append(nil, "frame ", seq)})
		if last, frame, err := b.LastFrame(ctx); err != nil || last != seq || string(frame) != fmt.Sprint("frame ", seq) {
			t.Fatalf("LastFrame = %d, %q, %v after frame %d", last, frame, err, seq)
		}
	}
	for _, from := range []uint64{0, 7, 8, 255, 256, 299, 300, 1 << 63} {
		next := max(from, 7)
		must(t, b.Frames(ctx, from, func(seq uint64, frame []byte) error {
			if seq != next || string(frame) != fmt.Sprint("frame ", seq) {
				t.Fatalf("Frames(%d): frame %d is %q, want frame %d", from, seq, frame, next)
			}
			next++
			return nil
		}))
		if want := max(from, 300); next != want {
			t.Errorf("Frames(%d) ended before %d, want %d", from, next, want)
		}
	}
	enough := errors.New("enough")
	if err := b.Frames(ctx, 0, func(uint64, []byte) error { return enough }); err != enough {
		t.Errorf("Frames returned %v, want its function's error", err)
	}
	if err := b.Prepare(ctx, 0); err != nil {
		t.Fatal(err)
	}
	if b.Commit(ctx, store.Batch{Seq: 301, Frame: []byte("gap")}) == nil {
		t.Error("a gap between frames was taken")
	}
	if b.Prepare(ctx, 0) == nil {
		t.Error("the backend went on after a failed commit")
	}
}

func testRemoveFrames(t *testing.T, b store.Backend) {
	ctx := context.Background()
	if b.RemoveFrames(ctx, 0) == nil {
		t.Error("frames of an empty journal were removed")
	}
	for seq := uint64(250); seq <= 260; seq++ {
		commit(t, b, 0, store.Batch{Seq: seq, Frame: fmt.Append(nil, "frame ", seq)})
	}
	commit(t, b, 0, store.Batch{Epoch: 1, Writes: []store.Write{{Key: []byte("a"), Value: []byte("1")}}})
	left := func(from uint64) (seqs []uint64) {
		must(t, b.Frames(ctx, from, func(seq uint64, frame []byte) error {
			if string(frame) != fmt.Sprint("frame ", seq) {
				t.Errorf("frame %d is %q", seq, frame)
			}
			seqs = append(seqs, seq)
			return nil
		}))
		return seqs
	}
	for _, c := range []struct {
		through uint64
		refused bool
		first   uint64 // of those that are left
	}{
		{249, false, 250}, {250, false, 251}, {250, false, 251}, {256, false, 257}, {260, true, 257}, {1<<64 - 1, true, 257}, {259, false, 260},
	} {
		if err := b.RemoveFrames(ctx, c.through); (err != nil) != c.refused {
			t.Fatalf("RemoveFrames(%d): %v", c.through, err)
		}
		for _, from := range []uint64{0, 250, 258} {
			var want []uint64
			for seq := max(c.first, from); seq <= 260; seq++ {
				want = append(want, seq)
			}
			if got := left(from); !slices.Equal(got, want) {
				t.Errorf("Frames(%d) after RemoveFrames(%d): %v, want %v", from, c.through, got, want)
			}
		}
		if last, frame, err := b.LastFrame(ctx); err != nil || last != 260 || string(frame) != "frame 260" {
			t.Errorf("LastFrame after RemoveFrames(%d): %d, %q, %v", c.through, last, frame, err)
		}
	}
	commit(t, b, 1, store.Batch{Epoch: 1, Seq: 261, Frame: []byte("frame 261")})
	if got := left(0); !slices.Equal(got, []uint64{260, 261}) {
		t.Errorf("after another frame there are %v", got)
	}
	if got := dump(t, b); !slices.Equal(got, []string{"a=1"}) {
		t.Errorf("removing frames left the records %q", got)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func commit(t *testing.T, b store.Backend, base uint64, batch store.Batch) {
	t.Helper()
	must(t, b.Prepare(context.Background(), base))
	must(t, b.Commit(context.Background(), batch))
}

func snapshot(t *testing.T, b store.Backend) store.Snapshot {
	t.Helper()
	snap, err := b.Snapshot(context.Background())
	must(t, err)
	t.Cleanup(func() { must(t, snap.Close()) })
	return snap
}

func dump(t *testing.T, b store.Backend) []string {
	t.Helper()
	return list(t, snapshot(t, b))
}

func list(t *testing.T, snap store.Snapshot) (all []string) {
	t.Helper()
	must(t, snap.Scan(nil, []byte{0xff, 0xff, 0xff}, func(k, v []byte) bool {
		all = append(all, string(k)+"="+string(v))
		return true
	}))
	return all
}
