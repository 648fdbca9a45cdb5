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

// TestSharesAreShownWhenTheyAreInForce: when the record of their making fails, or the
// process dies behind it, whoever asked for shares has those that open.
func TestSharesAreShownWhenTheyAreInForce(t *testing.T) {
	t.Parallel()
	cfg := config(t, filepath.Join(t.TempDir(), "data"))
	mustStop(t, mustStart(t, cfg))
	in := cfg.folder()
	shown := 0
	for writes, finished := 0, false; !finished; writes++ {
		if writes > 10 {
			t.Fatal("it never ends")
		}
		f, err := openExisting(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		backend := &dying{Backend: f.backend, left: -1}
		f.backend = backend
		o, err := newOperator(t.Context(), in, f)
		if err != nil {
			t.Fatal(err)
		}
		was := o.domain.Info()
		backend.limit(writes)
		made, failure := o.InitRecovery(t.Context(), someone, admin.NewRecovery{Needed: 2, Shares: 2, Replace: true})
		finished = failure == nil && made.Problem == ""
		backend.limit(0)
		inForce := len(o.domain.Info().Roots) == 2 && o.domain.Info().Roots[1].ID != was.Roots[len(was.Roots)-1].ID
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		if inForce != (len(made.Texts) > 0) {
			t.Errorf("after %d writes there is a new recovery key: %v, and its shares are shown: %v", writes, inForce, len(made.Texts) > 0)
		}
		if len(made.Texts) == 0 {
			continue
		}
		shown++
		r, err := OpenRecovered(t.Context(), in, made.Texts)
		if err != nil {
			t.Fatalf("after %d writes: %v", writes, err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if shown < 2 {
		t.Error("no write fails behind the one that puts the shares in force")
	}
}
