package server

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/seal"
)

// TestRecoverySurvivesAKill loses the root, and ends the recovery after each of its
// writes. The new root then opens the folder, or the shares still do.
func TestRecoverySurvivesAKill(t *testing.T) {
	for writes, finished := 0, false; !finished; writes++ {
		if writes > 10 {
			t.Fatal("it never ends")
		}
		finished = recoveryKilledAfter(t, writes)
	}
}

func recoveryKilledAfter(t *testing.T, writes int) (finished bool) {
	t.Helper()
	cfg := config(t, filepath.Join(t.TempDir(), "data"))
	path := filepath.Join(cfg.DataDir, rootFile)
	s := mustStart(t, cfg)
	id, key := keysIn(t, s, credentialsFile)
	made, err := (&operator{s}).InitRecovery(t.Context(), someone, admin.NewRecovery{Needed: 2, Shares: 3})
	if err != nil {
		t.Fatal(err)
	}
	mustStop(t, s)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}

	in := cfg.folder()
	backend := &dying{left: -1}
	f, err := openWith(t.Context(), in, unsealWith(t.Context(), made.Texts[1:]))
	if err != nil {
		t.Fatal(err)
	}
	backend.Backend, f.backend = f.backend, backend
	o, err := newOperator(t.Context(), in, f)
	if err != nil {
		t.Fatal(err)
	}
	backend.limit(writes)
	_, failure := (&recovered{o, in}).Reseal(t.Context(), someone)
	backend.limit(0)
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}

	f, err = openExisting(t.Context(), in)
	switch {
	case err == nil:
		if err := f.backend.Close(); err != nil {
			t.Fatal(err)
		}
	case !errors.Is(err, seal.ErrWrongRoot) || failure == nil:
		t.Fatalf("after %d writes: %v, %v", writes, err, failure)
	default: // the new root is there and has no slots yet
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		r, err := OpenRecovered(t.Context(), in, made.Texts[:2])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Reseal(t.Context(), someone); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	again := mustStart(t, cfg)
	if status := listKeys(t, again, id, key); status != 200 {
		t.Errorf("after %d writes a call is answered %d", writes, status)
	}
	mustStop(t, again)
	if n := count(t, in, "RecoverSeal"); n < 1 || n > 2 {
		t.Errorf("after %d writes: %d records", writes, n)
	}
	return failure == nil
}

// TestRecoveryWithoutAKey: a deployment that never made one says so.
func TestRecoveryWithoutAKey(t *testing.T) {
	cfg := config(t, filepath.Join(t.TempDir(), "data"))
	mustStop(t, mustStart(t, cfg))
	if _, err := OpenRecovered(t.Context(), cfg.folder(), nil); err == nil || err.Error() != "this deployment has no recovery key" {
		t.Errorf("%v", err)
	}
	s := mustStart(t, cfg)
	if _, err := OpenRecovered(t.Context(), cfg.folder(), nil); err == nil {
		t.Error("the folder of a running server was opened")
	}
	if _, err := (&operator{s}).VerifyRecovery(t.Context(), someone, admin.RecoveryProof{Texts: make([]string, 33)}); err == nil {
		t.Error("33 shares are taken")
	}
}
