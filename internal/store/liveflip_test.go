package store_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/storetest"
)

// TestEveryByteOfEveryRecord flips each byte of each stored value in turn, that of
// the live set included, and swaps each value with the next: a check must notice.
func TestEveryByteOfEveryRecord(t *testing.T) {
	b := storetest.Memory(t)
	s := openLive(t, b, nil)
	for i := range 3 {
		put(t, s, fmt.Sprint(i), thing{Name: "x", Owner: "me"})
	}
	signed := s.LiveState()
	must(t, s.Close())
	noticed := func(what string, writes ...store.Write) {
		t.Helper()
		commitRaw(t, b, writes...)
		report, err := store.CheckLive(t.Context(), b, new(storetest.Sealer), liveKey, signed)
		if err != nil || len(report.Findings) == 0 {
			t.Errorf("%s: %v, %v", what, report, err)
		}
	}
	all := stored(t, b)
	for i, w := range all {
		step := 1
		if len(w.Value) > 1000 { // the live set itself: one value, sealed as a whole
			step = 97
		}
		for at := 0; at < len(w.Value); at += step {
			flipped := bytes.Clone(w.Value)
			flipped[at] ^= 1
			noticed(fmt.Sprintf("byte %d of %q", at, w.Key), store.Write{Key: w.Key, Value: flipped})
		}
		next := all[(i+1)%len(all)]
		noticed(fmt.Sprintf("%q swapped", w.Key), store.Write{Key: w.Key, Value: next.Value}, store.Write{Key: next.Key, Value: w.Value})
		commitRaw(t, b, w, next)
	}
	if report, err := store.CheckLive(t.Context(), b, new(storetest.Sealer), liveKey, signed); err != nil || report.Err() != nil {
		t.Errorf("with everything undone: %v, %v", report, err)
	}
}
