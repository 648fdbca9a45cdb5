package store

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestLayerIsASortedMap(t *testing.T) {
	key := rapid.SampledFrom([]string{"", "a", "a\x00", "b", "c", "d", "e"})
	rapid.Check(t, func(t *rapid.T) {
		var l layer
		model := map[string]uint64{}
		for epoch := uint64(1); epoch < 30; epoch++ {
			k := key.Draw(t, "key")
			l.put(k, entry{epoch: epoch})
			model[k] = epoch
			if rapid.IntRange(0, 9).Draw(t, "drop") == 0 {
				upTo := rapid.Uint64Range(0, epoch).Draw(t, "up to")
				l.drop(upTo)
				maps.DeleteFunc(model, func(_ string, e uint64) bool { return e <= upTo })
			}
			from, to := key.Draw(t, "from"), key.Draw(t, "to")
			var want []string
			for _, k := range slices.Sorted(maps.Keys(model)) {
				if from <= k && k < to {
					want = append(want, k)
				}
			}
			if got := l.within(from, to); !slices.Equal(got, want) {
				t.Fatalf("within(%q, %q) = %q, want %q", from, to, got, want)
			}
			for k, e := range model {
				if got, ok := l.get(k); !ok || got.epoch != e {
					t.Fatalf("get(%q) = %v, %v", k, got, ok)
				}
			}
			if l.empty() != (len(model) == 0) || len(l.entries) != len(model) {
				t.Fatalf("%d entries, want %d", len(l.entries), len(model))
			}
		}
	})
}
