package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/storetest"
)

// TestAnImageIsOneState: an image that is taken amid updates loads into a store that
// holds what some prefix of them wrote, and its journal exactly their records.
func TestAnImageIsOneState(t *testing.T) {
	b := storetest.Memory(t)
	s := storetest.OpenConfig(t, store.Config{Backend: storetest.Conflicting(b), LiveKey: liveKey})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	const workers = 4
	for w := range workers {
		go func() {
			for i := 0; ctx.Err() == nil; i++ {
				err := s.Update(context.Background(), func(tx *store.Tx) error {
					if err := things.Put(tx, scope, fmt.Sprintf("%d-%d", w, i), thing{Owner: "me"}); err != nil {
						return err
					}
					return tx.Append([]byte(`{}`))
				})
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range 5 {
		loaded := storetest.Memory(t)
		var epoch uint64
		must(t, s.Image(t.Context(), func(i *store.Image) error {
			epoch = i.Epoch
			report, err := i.Check(ctx, liveKey)
			if err != nil || report.Err() != nil {
				t.Errorf("%q, %v", report.Findings, err)
			}
			check := store.NewLiveCheck(new(storetest.Sealer), liveKey)
			var records []store.Write
			var frames []store.Frame
			err = i.Records(ctx, func(key, value []byte) error {
				records = append(records, store.Write{Key: bytes.Clone(key), Value: bytes.Clone(value)})
				return check.Add(key, value)
			})
			if err := errors.Join(err, check.Done(i.Epoch, nil)); err != nil {
				t.Error(err)
			}
			err = errors.Join(err, i.Frames(ctx, func(seq uint64, frame []byte) error {
				frames = append(frames, store.Frame{Seq: seq, Bytes: bytes.Clone(frame)})
				return nil
			}))
			if frames[len(frames)-1].Seq != i.Frame {
				t.Errorf("the last frame is %d, want %d", frames[len(frames)-1].Seq, i.Frame)
			}
			return errors.Join(err, loaded.(store.Loader).Load(ctx, i.Epoch, records, frames))
		}))
		journal, err := storetest.Records(t.Context(), loaded)
		must(t, err)
		found := stored(t, loaded, mark)
		if uint64(len(found)) != epoch || len(journal) != len(found) {
			t.Errorf("epoch %d, %d records, %d records in the journal", epoch, len(found), len(journal))
		}
		const skip = 1 << 32
		again := storetest.OpenConfig(t, store.Config{Backend: loaded, LiveKey: liveKey, SkipEpochs: skip})
		put(t, again, "new", thing{})
		if again.Epoch() != epoch+skip+1 {
			t.Errorf("the epoch behind %d is %d", epoch, again.Epoch())
		}
		if report := check(t, again, again.LiveState()); report.Err() != nil {
			t.Errorf("%q", report.Findings)
		}
	}
	stop()
	for range workers {
		must(t, <-done)
	}
}

func TestALoadLeavesNoGap(t *testing.T) {
	b := storetest.Memory(t).(store.Loader)
	must(t, b.Load(t.Context(), 1, nil, []store.Frame{{Seq: 4, Bytes: []byte("x")}}))
	if err := b.Load(t.Context(), 1, nil, []store.Frame{{Seq: 6, Bytes: []byte("x")}}); err == nil {
		t.Error("frame 6 follows frame 4")
	}
}

// TestAnImageIsOneStateInAQueue: whatever is queued before and behind it, an image is of
// the commit that its checkpoint was made in.
func TestAnImageIsOneStateInAQueue(t *testing.T) {
	gate := storetest.NewGate(storetest.Memory(t))
	s := storetest.OpenConfig(t, store.Config{Backend: gate, LiveKey: liveKey})
	change := func(id string) func() error {
		return func() error {
			return s.Update(context.Background(), func(tx *store.Tx) error {
				return errors.Join(things.Put(tx, scope, id, thing{}), tx.Append([]byte(`{}`)))
			})
		}
	}
	answers := make(chan error, 4)
	<-gate.Arrived() // the commit that began the live set
	gate.Hold()
	go func() { answers <- change("under way")() }()
	<-gate.Arrived()
	var epoch, frame uint64
	var found int
	for i, call := range []func() error{
		change("before"),
		func() error {
			return s.Image(context.Background(), func(i *store.Image) error {
				if epoch, frame = i.Epoch, i.Frame; epoch == 0 {
					return errors.New("the image is of no state")
				}
				report, err := i.Check(context.Background(), liveKey)
				found = int(report.Records)
				return errors.Join(err, report.Err())
			})
		},
		change("behind"),
	} {
		go func() { answers <- call() }()
		queued(s, i+1)
	}
	gate.Release()
	for range 4 {
		must(t, <-answers)
	}
	// The commit under way, the one before, the checkpoint alone, the one behind.
	if last, _, err := gate.LastFrame(t.Context()); err != nil || epoch != 2 || frame != 3 || last != 4 || found != 2 {
		t.Errorf("the image is of epoch %d and frame %d of %d, with %d records, %v", epoch, frame, last, found, err)
	}
}
