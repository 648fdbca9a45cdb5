package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/postgres"
)

// TestVacate: only what an unfinished load has left is removed, and only by the one
// node that there is.
func TestVacate(t *testing.T) {
	ctx := context.Background()
	url := shared(t).URL(t)
	b := open(t, settings(url, "copy"))
	load := func() {
		t.Helper()
		if err := b.Load(ctx, 5, []store.Write{{Key: []byte("a"), Value: []byte("1")}}, []store.Frame{{Seq: 3, Bytes: []byte("frame")}}); err != nil {
			t.Fatal(err)
		}
	}
	load()
	many := make([]store.Write, 11_000) // more than go at once
	for i := range many {
		many[i] = store.Write{Key: fmt.Append(nil, i), Value: []byte("1")}
	}
	if err := b.Load(ctx, 5, many, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.Vacate(ctx, "copying", []byte("one")); !errors.Is(err, postgres.ErrNotEmpty) {
		t.Errorf("records that nobody has announced: %v", err)
	}
	if err := b.SetMeta(ctx, map[string][]byte{"copying": []byte("one")}); err != nil {
		t.Fatal(err)
	}
	other := open(t, settings(url, "other"))
	if err := b.Vacate(ctx, "copying", []byte("two")); !errors.Is(err, postgres.ErrInUse) {
		t.Errorf("while another node is there: %v", err)
	}
	if names, err := b.Others(ctx); err != nil || len(names) != 1 || names[0] != (postgres.Registered{Name: "other", Lease: time.Minute}) {
		t.Errorf("the others are %v, %v", names, err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.Vacate(ctx, "copying", []byte("two")); err != nil {
		t.Fatal(err)
	}
	meta, err := b.Meta(ctx)
	if _, _, frameErr := b.LastFrame(ctx); err != nil || len(meta) != 1 || string(meta["copying"]) != "two" || !errors.Is(frameErr, store.ErrNotFound) {
		t.Errorf("a database that was emptied has %q and %v, %v", meta, frameErr, err)
	}
	if n, err := b.Versions(ctx); err != nil || n != 0 {
		t.Errorf("a database that was emptied has %d rows, %v", n, err)
	}
	load()
	if err := b.SetMeta(ctx, map[string][]byte{"deployment": []byte("x")}); err != nil {
		t.Fatal(err)
	}
	if err := b.Vacate(ctx, "copying", []byte("three")); !errors.Is(err, postgres.ErrNotEmpty) {
		t.Errorf("a deployment: %v", err)
	}
	// Another process under the same name puts this one out.
	open(t, settings(url, "copy"))
	for name, err := range map[string]error{
		"Vacate": b.Vacate(ctx, "copying", []byte("four")),
		"Load":   b.Load(ctx, 6, nil, []store.Frame{{Seq: 4, Bytes: []byte("frame")}}),
		"Retire": b.Retire(ctx, 5, 3, map[string][]byte{"moved": []byte("x")}),
	} {
		if !errors.Is(err, postgres.ErrInUse) {
			t.Errorf("%s of a process that was put out: %v", name, err)
		}
	}
	if meta, err := b.Meta(ctx); err != nil || len(meta) != 2 || string(meta["copying"]) != "two" {
		t.Errorf("what was refused has left %q, %v", meta, err)
	}
}

// TestLoadWithLostAnswers: what was loaded, and not acknowledged, is loaded once.
func TestLoadWithLostAnswers(t *testing.T) {
	ctx := context.Background()
	p, through := newProxy(t, shared(t).URL(t))
	b := open(t, settings(through, "one"))
	var want []string
	for seq := uint64(1); seq <= 12; seq++ {
		key := fmt.Sprintf("%02d", seq)
		want = append(want, key)
		p.lose.Store([]int32{nothing, theAnswer, theRequest}[seq%3])
		if err := b.Load(ctx, 7, []store.Write{{Key: []byte(key), Value: []byte(key)}}, []store.Frame{{Seq: seq, Bytes: []byte(key)}}); err != nil {
			t.Fatal(err)
		}
	}
	var records, frames []string
	snap, err := b.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	err = snap.Scan(nil, []byte{0xff}, func(_, value []byte) bool {
		records = append(records, string(value))
		return true
	})
	framesErr := b.Frames(ctx, 0, func(_ uint64, frame []byte) error {
		frames = append(frames, string(frame))
		return nil
	})
	if err := errors.Join(err, framesErr, snap.Close()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(records, want) || !slices.Equal(frames, want) {
		t.Errorf("loaded were the records %q and the frames %q, not %q", records, frames, want)
	}
}

// TestPruneBehindSkippedEpochs: a deployment that was restored has skipped more epochs
// than could be gone through.
func TestPruneBehindSkippedEpochs(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	cfg := settings(shared(t).URL(t), "one")
	cfg.Lease, cfg.Remember = time.Second, -1
	b := open(t, cfg)
	if err := b.Load(ctx, 5, []store.Write{{Key: []byte("a"), Value: []byte("1")}}, nil); err != nil {
		t.Fatal(err)
	}
	epoch := uint64(5)
	for range 3 {
		if err := b.Prepare(ctx, epoch); err != nil {
			t.Fatal(err)
		}
		epoch += 1 << 50
		if err := b.Commit(ctx, store.Batch{Epoch: epoch, Writes: []store.Write{{Key: []byte("a"), Value: []byte("2")}}}); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.Follow(ctx, func(context.Context) (uint64, error) { return epoch, nil })
	}()
	for {
		n, err := b.Versions(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if n == 1 {
			break
		}
	}
	stop()
	<-ended
}

// TestRetire: only what has not changed is retired.
func TestRetire(t *testing.T) {
	ctx := context.Background()
	b := open(t, settings(shared(t).URL(t), "one"))
	for epoch := uint64(0); epoch < 2; epoch++ {
		if err := b.Prepare(ctx, epoch); err != nil {
			t.Fatal(err)
		}
		if err := b.Commit(ctx, store.Batch{Epoch: epoch + 1, Writes: []store.Write{{Key: []byte("a"), Value: []byte("1")}}, Seq: epoch + 1, Frame: []byte("frame")}); err != nil {
			t.Fatal(err)
		}
	}
	mark := map[string][]byte{"moved": []byte("x")}
	for _, at := range [][2]uint64{{1, 2}, {2, 1}, {3, 2}} {
		if err := b.Retire(ctx, at[0], at[1], mark); !errors.Is(err, postgres.ErrChanged) {
			t.Errorf("Retire at %d: %v", at, err)
		}
	}
	if meta, err := b.Meta(ctx); err != nil || len(meta) != 0 {
		t.Errorf("the database says %q, %v", meta, err)
	}
	if err := b.Retire(ctx, 2, 2, mark); err != nil {
		t.Error(err)
	}
	if meta, err := b.Meta(ctx); err != nil || string(meta["moved"]) != "x" {
		t.Errorf("the database says %q, %v", meta, err)
	}
}

func TestPlace(t *testing.T) {
	for url, want := range map[string]string{
		"postgres://kms:secret@db.example.com/keys?sslmode=verify-full":            "database keys on db.example.com",
		"postgres://kms:secret@a:5433,b/keys?sslmode=verify-full&search_path=test": "database keys on a:5433, b (search_path test)",
		"postgres:///keys?host=/run/postgresql&user=kms":                           "database keys on /run/postgresql",
		"postgres://kms:secret@127.0.0.1:5433":                                     "database kms on 127.0.0.1:5433",
	} {
		got := postgres.Config{URL: url}.Place()
		if got != want || strings.Contains(got, "secret") {
			t.Errorf("%s is the %q, not the %q", url, got, want)
		}
	}
}
