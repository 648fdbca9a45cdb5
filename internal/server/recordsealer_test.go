package server

import (
	"crypto/rand"
	"errors"
	"path/filepath"
	"testing"

	"github.com/strongroom/strongroom/internal/seal"
)

// TestRecordSealerDerivesOnce: each version's key is the domain key's own, of a
// version that comes later too, and is not derived again.
func TestRecordSealerDerivesOnce(t *testing.T) {
	root, err := seal.CreateFileRoot(filepath.Join(t.TempDir(), "root.key"), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	domain, _, err := seal.Create(t.Context(), root, "test", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r := newRecordSealer(domain)
	check := func(version uint32) {
		t.Helper()
		want, err := domain.Derive(version, seal.LabelRecords)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if got, err := r.Key(version); err != nil || !got.Equal(want) {
				t.Errorf("version %d: %v, or another key", version, err)
			}
		}
		if n := testing.AllocsPerRun(10, func() { _, _ = r.Key(version) }); n != 0 {
			t.Errorf("version %d: %v allocations to hand out a key that is there", version, n)
		}
	}
	check(1)
	if _, err := r.Key(2); !errors.Is(err, seal.ErrUnknownVersion) {
		t.Errorf("a version that is not there: %v", err)
	}
	change, err := domain.Prepare(t.Context(), []seal.Root{root}, true, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	change.Apply()
	if r.Current() != 2 {
		t.Fatalf("the current version is %d", r.Current())
	}
	check(2)
	check(1)
}
