package seal

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/strongroom/strongroom/internal/secret"
)

// TestChanges is a life of random rotations and changes of roots. After each step
// every root of the new slots opens every version, none of the others opens
// anything, and until the step the old slots go on opening: a process that is
// killed before or after it has stored them finds a domain key that opens.
func TestChanges(t *testing.T) {
	pool := []Root{mustFileRoot(t), mustFileRoot(t), mustPassphraseRoot(t, phrase), mustFileRoot(t)}
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		domain, stored, err := Create(ctx, pool[0], "deployment-1", nil)
		if err != nil {
			t.Fatal(err)
		}
		var keys []secret.Bytes // of each version
		roots := pool[:1]
		box, err := domain.Box(LabelSigV4Secrets)
		if err != nil {
			t.Fatal(err)
		}
		var sealed [][]byte
		for range rapid.IntRange(0, 6).Draw(t, "steps") {
			rotate := rapid.Bool().Draw(t, "rotate")
			chosen := rapid.SliceOfNDistinct(rapid.SampledFrom([]int{0, 1, 2, 3}), 1, 3, rapid.ID).Draw(t, "roots")
			next := make([]Root, len(chosen))
			for i, n := range chosen {
				next[i] = pool[n]
			}
			secretBytes, err := box.Seal(rand.Reader, secret.Bytes("x"), nil)
			if err != nil {
				t.Fatal(err)
			}
			sealed = append(sealed, secretBytes)
			version := domain.Current()
			change, err := domain.Prepare(ctx, next, rotate, nil)
			if err != nil {
				t.Fatal(err)
			}
			if domain.Current() != version {
				t.Fatal("a change that was prepared is in effect")
			}
			opens(t, roots, pool, stored, version)
			stored, roots = change.Slots, next
			change.Apply()
			if rotate {
				version++
			}
			if domain.Current() != version {
				t.Fatalf("version %d, want %d", domain.Current(), version)
			}
			for _, opened := range opens(t, roots, pool, stored, version) {
				for i, known := range keys {
					if key, err := opened.Derive(uint32(i+1), LabelRecords); err != nil || !key.Equal(known) {
						t.Fatalf("version %d has changed: %v", i+1, err)
					}
				}
				b, err := opened.Box(LabelSigV4Secrets)
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range sealed {
					if _, err := b.Open(s, nil); err != nil {
						t.Fatal(err)
					}
				}
			}
			keys = keys[:0]
			for v := range domain.Current() {
				key, err := domain.Derive(v+1, LabelRecords)
				if err != nil {
					t.Fatal(err)
				}
				if slices.ContainsFunc(keys, func(k secret.Bytes) bool { return k.Equal(key) }) {
					t.Fatal("two versions are one")
				}
				keys = append(keys, key)
			}
		}
	})
}

// opens checks that slots open with each of roots and with no other of the pool.
func opens(t *rapid.T, roots, pool []Root, slots []byte, version uint32) (opened []*Domain) {
	info, err := Read(slots)
	if err != nil || len(info.Roots) != len(roots) || info.Current != version {
		t.Fatalf("Read = %+v, %v", info, err)
	}
	for _, r := range pool {
		d, err := Open(context.Background(), r, slots)
		switch {
		case !slices.Contains(roots, r):
			if !errors.Is(err, ErrWrongRoot) {
				t.Fatalf("%s has no slot: %v", r.Describe(), err)
			}
		case err != nil || d.Current() != version:
			t.Fatalf("%s: %v, %v", r.Describe(), d, err)
		default:
			if err := d.Proves(context.Background(), r); err != nil {
				t.Fatal(err)
			}
			opened = append(opened, d)
		}
	}
	return opened
}

// forgetful wraps what it does not unwrap.
type forgetful struct{ *FileRoot }

func (r forgetful) ID() string { return "file:forgetful" }
func (r forgetful) Unwrap(context.Context, []byte, Place) (secret.Bytes, error) {
	return nil, ErrUnwrap
}

// TestASlotIsTriedBeforeItIsTrusted also holds that a failed change changes nothing.
func TestASlotIsTriedBeforeItIsTrusted(t *testing.T) {
	ctx := context.Background()
	root := mustFileRoot(t)
	d, slots := mustCreate(t, root, "d")
	for name, roots := range map[string][]Root{
		"a root that does not unwrap": {root, forgetful{root}},
		"no root":                     {},
		"a root twice":                {root, root},
		"a root that is away":         {root, deafRoot{Root: root, id: "file:0", err: errors.New("away")}},
	} {
		if c, err := d.Prepare(ctx, roots, true, nil); err == nil {
			t.Errorf("%s gives %s", name, c.Slots)
		}
	}
	c, err := d.Prepare(ctx, []Root{root}, false, nil)
	if err != nil || !bytes.Equal(c.Slots, slots) || d.Current() != 1 {
		t.Errorf("the same again: %v, %v", d, err)
	}
}

// TestParametersAreAuthentic: cheaper parameters than were written are refused,
// also by a root that does not need them.
func TestParametersAreAuthentic(t *testing.T) {
	ctx := context.Background()
	file, word := mustFileRoot(t), mustPassphraseRoot(t, phrase)
	d, _ := mustCreate(t, file, "d")
	c, err := d.Prepare(ctx, []Root{file, word}, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range c.Slots {
		changed := bytes.Clone(c.Slots)
		changed[i] ^= 1
		if _, err := Open(ctx, file, changed); err == nil {
			t.Fatalf("byte %d changed: opened", i)
		}
	}
}
