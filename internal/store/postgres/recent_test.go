package postgres

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
)

// TestRecentShowsNoOtherEpoch compares what is shown with every state that there was, by
// a node that commits, that is told of others' commits late, and that reads at epochs
// old and new.
func TestRecentShowsNoOtherEpoch(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 5))
	hits := 0
	for range 100 {
		var r recent
		states := []map[string][]byte{{}} // by epoch
		r.begin(0)
		told := uint64(0)
		for range 300 {
			newest := uint64(len(states) - 1)
			key := fmt.Sprint("k", rng.IntN(6))
			switch rng.IntN(5) {
			case 0, 1: // a commit, of this node only if it has been told of all before
				next := maps.Clone(states[newest])
				var keys, values [][]byte
				for range 1 + rng.IntN(3) {
					key, value := fmt.Sprint("k", rng.IntN(6)), fmt.Append(nil, rng.IntN(100))
					if rng.IntN(3) == 0 {
						value = nil
						delete(next, key)
					} else {
						next[key] = value
					}
					keys, values = append(keys, []byte(key)), append(values, value)
				}
				states = append(states, next)
				if told == newest && rng.IntN(2) == 0 {
					told = newest + 1
					r.wrote(newest, told, keys, values)
				}
			case 2: // news of others' commits
				upTo := told + rng.Uint64N(newest-told+1)
				var keys [][]byte
				now := map[string]held{}
				take := rng.IntN(2) == 0
				for epoch := told + 1; epoch <= upTo; epoch++ {
					for i := range 6 {
						key := fmt.Sprint("k", i)
						if !bytes.Equal(states[epoch][key], states[epoch-1][key]) {
							keys = append(keys, []byte(key))
							if take {
								now[key] = held{states[epoch][key], epoch}
							}
						}
					}
				}
				r.changed(told, upTo, keys, now)
				told = upTo
			case 3: // a question that was answered, perhaps long ago
				epoch := rng.Uint64N(newest + 1)
				r.read([]byte(key), states[epoch][key], epoch)
			case 4:
				epoch := rng.Uint64N(newest + 1)
				got, ok := r.get([]byte(key), epoch)
				if !ok {
					continue
				}
				if hits++; !bytes.Equal(got, states[epoch][key]) || (got == nil) != (states[epoch][key] == nil) {
					t.Fatalf("%s at epoch %d is shown as %q, and was %q", key, epoch, got, states[epoch][key])
				}
			}
		}
	}
	if hits < 300 {
		t.Errorf("only %d times something was shown", hits)
	}
}

// FuzzParseProof: what is heard is a proof that says itself again, or none.
func FuzzParseProof(f *testing.F) {
	f.Add(proof{"node-1", make([]byte, commitID), 7}.String())
	f.Add("")
	f.Add("a b c")
	f.Add("node-1 00112233445566778899aabbccddee 7")
	f.Fuzz(func(t *testing.T, text string) {
		p, ok := parseProof(text)
		if !ok {
			if p.node != "" || p.id != nil || p.epoch != 0 {
				t.Errorf("%q is no proof, and makes %v", text, p)
			}
			return
		}
		again, ok := parseProof(p.String())
		if !ok || again.String() != p.String() {
			t.Errorf("%q makes %v, and that %v", text, p, again)
		}
	})
}

// TestRecentIsBounded: more than the bound is not held, and what is held is counted.
func TestRecentIsBounded(t *testing.T) {
	var r recent
	r.begin(1)
	value := make([]byte, 64<<10)
	for i := range 1000 {
		r.read(fmt.Append(nil, i), value, 1)
	}
	r.read([]byte("large"), make([]byte, recentBytes), 1)
	size := 0
	for key, h := range r.since {
		size += heldSize + len(key) + len(h.value)
	}
	if size != r.bytes || size > recentBytes || size < recentBytes/2 {
		t.Errorf("%d bytes are held, %d counted, of %d", size, r.bytes, recentBytes)
	}
	if _, ok := r.get([]byte("large"), 1); ok {
		t.Error("what is larger than the bound is held")
	}
}
