package index

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/journal"
)

// retain removes the frames below a number, up to one with a checkpoint, and returns
// the first that is left. frames says whether the journal loses them already.
func (r *rig) retain(below uint64, frames bool) uint64 {
	r.t.Helper()
	ctx := context.Background()
	removal, err := r.config.Reader.Removable(ctx, journal.RemovalConfig{
		PublicKeys: []ed25519.PublicKey{signer.Public().(ed25519.PublicKey)}, Before: r.clock.Now().Add(time.Hour), Below: below, Enough: all,
	}, func([]byte) error { return nil })
	if err != nil || removal == nil {
		r.t.Fatal(removal, err)
	}
	record := r.event("RemoveAuditRecords", "nobody", "none")
	if err := r.writer.Announce(removal, record.AppendJSON(nil)); err != nil {
		r.t.Fatal(err)
	}
	r.commit(record)
	if frames {
		r.stream.mu.Lock()
		defer r.stream.mu.Unlock()
		n := removal.Last + 1 - r.stream.first
		r.stream.first, r.stream.frames = removal.Last+1, r.stream.frames[n:]
	}
	return removal.Last + 1
}

// TestRemovedRecordsAreNotFound removes the front of a journal step by step, and asks
// the index that was told, one that was not told yet, and one that a process makes
// from what is left.
func TestRemovedRecordsAreNotFound(t *testing.T) {
	for _, told := range []bool{true, false} {
		r := newRig(t, 6)
		var firsts []uint64 // number of the first record in each frame, from frame 1
		n := uint64(1)
		for i := range 40 {
			firsts = append(firsts, n)
			n += 2
			r.commit(r.event("Encrypt", "alice", "k"), r.event("Encrypt", "alice", fmt.Sprint("k", i)))
			r.clock.Advance(time.Second) // so that each frame has a checkpoint
		}
		for _, below := range []uint64{2, 3, 9, 20, 20 + 3, 41} {
			r.find(inScope(Name, keyARN("k")), true, 1) // which takes in what there is
			first := r.retain(below, told || below != 9)
			if told {
				if err := r.index.Forget(context.Background(), first); err != nil {
					t.Fatal(err)
				}
			} else if below == 9 {
				// The process ended before the frames went.
				r.stream.mu.Lock()
				r.stream.frames = r.stream.frames[first-r.stream.first:]
				r.stream.first = first
				r.stream.mu.Unlock()
			}
			for _, again := range []bool{false, true} {
				if again {
					r.start()
				}
				var want []uint64
				for i := first; i <= 40; i++ {
					want = append(want, firsts[i-1])
				}
				if got := r.find(inScope(Name, keyARN("k")), false, all); !slices.Equal(got, want) {
					t.Fatalf("told %v, behind frame %d, started anew %v: found %v, want %v", told, first-1, again, got, want)
				}
				slices.Reverse(want)
				if got := r.find(inScope(Name, keyARN("k")), true, all); !slices.Equal(got, want) {
					t.Fatalf("told %v, behind frame %d, newest first: found %v, want %v", told, first-1, got, want)
				}
			}
		}
		files, err := os.ReadDir(r.config.Dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if f.Name() < segmentName(30) {
				t.Errorf("told %v: %s is still there", told, f.Name())
			}
		}
		// An index that is made anew from what is left numbers records as before.
		if err := os.RemoveAll(r.config.Dir); err != nil {
			t.Fatal(err)
		}
		r.start()
		if got, want := r.find(inScope(EventName, "RemoveAuditRecords"), false, all), r.number("RemoveAuditRecords"); !slices.Equal(got, want) {
			t.Errorf("made anew: found %v, want %v", got, want)
		}
	}
}

// number returns the numbers of the records of an operation that the journal has.
func (r *rig) number(operation string) (numbers []uint64) {
	r.t.Helper()
	err := r.config.Reader.Batches(context.Background(), r.stream.first, func(b journal.Batch) error {
		for i, record := range b.Records {
			if slices.Contains(newHasher(r.config.TermKey).read(record).shape.fingerprints, newHasher(r.config.TermKey).of(inScope(EventName, operation).Terms[0])) {
				numbers = append(numbers, b.First+uint64(i))
			}
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return numbers
}

// TestTheFirstSegmentWasLost: what a lost first segment held is indexed again.
func TestTheFirstSegmentWasLost(t *testing.T) {
	r := newRig(t, 4)
	for range 12 {
		r.commit(r.event("Encrypt", "alice", "k"))
	}
	want := r.find(inScope(Name, keyARN("k")), false, all)
	if err := os.Remove(r.index.segments[0].path); err != nil {
		t.Fatal(err)
	}
	r.start()
	if got := r.find(inScope(Name, keyARN("k")), false, all); len(want) != 12 || !slices.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
}

// TestForgetWhatWasNeverTakenIn removes frames that the index has not read.
func TestForgetWhatWasNeverTakenIn(t *testing.T) {
	r := newRig(t, 4)
	for range 20 {
		r.commit(r.event("Encrypt", "alice", "k"))
		r.clock.Advance(time.Second)
	}
	first := r.retain(11, true)
	if err := r.index.Forget(context.Background(), first); err != nil {
		t.Fatal(err)
	}
	if got := r.find(inScope(Name, keyARN("k")), false, all); len(got) != 10 || got[0] != 11 || r.index.Indexed() != 22 {
		t.Errorf("found %v, indexed up to %d", got, r.index.Indexed())
	}
}
