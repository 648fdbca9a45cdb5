package seal

import (
	"context"
	"errors"
	"testing"
)

// TestAdopt: a process takes over the keyslots that another has stored, when they are
// the same domain key further on, and no others.
func TestAdopt(t *testing.T) {
	ctx := context.Background()
	root, other := mustFileRoot(t), mustFileRoot(t)
	one, slots := mustCreate(t, root, "d")
	two, err := Open(ctx, root, slots)
	if err != nil {
		t.Fatal(err)
	}
	first, err := one.Prepare(ctx, []Root{root, other}, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	next, err := Open(ctx, other, first.Slots)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(two.MayBecome(next), two.MayBecome(first.Opened())); err != nil || two.Current() != 1 {
		t.Fatalf("version %d, %v", two.Current(), err)
	}
	if err := two.Adopt(next); err != nil || two.Current() != 2 || len(two.Info().Roots) != 2 {
		t.Fatalf("%v, %v", two, err)
	}
	first.Apply()
	for v := range uint32(2) {
		a, errA := one.Derive(v+1, LabelRecords)
		b, errB := two.Derive(v+1, LabelRecords)
		if errA != nil || errB != nil || !a.Equal(b) {
			t.Errorf("version %d: %v, %v", v+1, errA, errB)
		}
	}

	back, err := Open(ctx, root, slots)
	if err != nil {
		t.Fatal(err)
	}
	foreign, _ := mustCreate(t, root, "e")
	twin, _ := mustCreate(t, root, "d")
	forked, err := twin.Prepare(ctx, []Root{root}, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, d := range map[string]*Domain{"older slots": back, "another deployment": foreign, "other keys": forked.Opened()} {
		if err := two.Adopt(d); !errors.Is(err, ErrSlotsCorrupt) || two.Current() != 2 {
			t.Errorf("%s: version %d, %v", name, two.Current(), err)
		}
	}
}

// TestAnUnknownVersionIsLookedFor: who meets a version that another process has made is
// given it, and who asks for one that is older or nowhere is refused.
func TestAnUnknownVersionIsLookedFor(t *testing.T) {
	ctx := context.Background()
	root := mustFileRoot(t)
	one, slots := mustCreate(t, root, "d")
	two, err := Open(ctx, root, slots)
	if err != nil {
		t.Fatal(err)
	}
	change, err := one.Prepare(ctx, []Root{root}, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	change.Apply()
	var asked []uint32
	two.OnUnknown(func(version uint32) {
		asked = append(asked, version)
		if err := two.Adopt(change.Opened()); err != nil {
			t.Error(err)
		}
	})
	want, err := one.Derive(2, LabelRecords)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := two.Derive(2, LabelRecords); err != nil || !got.Equal(want) {
		t.Errorf("the version that another has made: %v", err)
	}
	if _, err := two.Derive(0, LabelRecords); !errors.Is(err, ErrUnknownVersion) || len(asked) != 1 {
		t.Errorf("version 0: %v, %d looked", err, len(asked))
	}
	if _, err := two.Derive(9, LabelRecords); !errors.Is(err, ErrUnknownVersion) || len(asked) != 2 {
		t.Errorf("a version that is nowhere: %v, %d looked", err, len(asked))
	}
}
