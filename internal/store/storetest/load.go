package storetest

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/strongroom/strongroom/internal/store"
)

// testLoad proves that a backend takes images, as a store.Loader.
func testLoad(t *testing.T, b store.Backend) {
	l, ok := b.(store.Loader)
	if !ok {
		t.Fatal("the backend takes no images: it could not be restored or copied to")
	}
	ctx := context.Background()
	frame := func(seq uint64) store.Frame {
		return store.Frame{Seq: seq, Bytes: fmt.Appendf(nil, "frame %d", seq)}
	}
	const epoch = 1 << 50 // that of a store which was restored
	must(t, l.Load(ctx, epoch, []store.Write{{Key: []byte("a"), Value: []byte("1")}, {Key: []byte("c"), Value: []byte{}}}, nil))
	must(t, l.Load(ctx, epoch, []store.Write{{Key: []byte("b"), Value: []byte("2")}}, []store.Frame{frame(7), frame(8)}))
	must(t, l.Load(ctx, epoch, nil, []store.Frame{frame(9)}))
	for _, gap := range [][]store.Frame{{frame(11)}, {frame(8)}, {frame(10), frame(12)}} {
		if l.Load(ctx, epoch, []store.Write{{Key: []byte("d"), Value: []byte("4")}}, gap) == nil {
			t.Errorf("frame %d was loaded behind frame 9", gap[0].Seq)
		}
	}
	if got := dump(t, b); !slices.Equal(got, []string{"a=1", "b=2", "c="}) {
		t.Errorf("the records are %q", got)
	}
	var seqs []uint64
	must(t, b.Frames(ctx, 0, func(seq uint64, bytes []byte) error {
		seqs = append(seqs, seq)
		if want := frame(seq); string(bytes) != string(want.Bytes) {
			t.Errorf("frame %d is %q", seq, bytes)
		}
		return nil
	}))
	if !slices.Equal(seqs, []uint64{7, 8, 9}) {
		t.Errorf("the frames are %d", seqs)
	}
	// It goes on from there as if it had committed all that itself.
	must(t, b.Prepare(ctx, epoch))
	must(t, b.Commit(ctx, store.Batch{Epoch: epoch + 1, Writes: []store.Write{{Key: []byte("a")}}, Seq: 10, Frame: []byte("frame 10")}))
	if got := dump(t, b); !slices.Equal(got, []string{"b=2", "c="}) {
		t.Errorf("after a commit the records are %q", got)
	}
	if last, _, err := b.LastFrame(ctx); err != nil || last != 10 {
		t.Errorf("the last frame is %d, %v", last, err)
	}
}
