package server

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/seal/recovery"
	"github.com/strongroom/strongroom/internal/secret"
)

// storedSlots is the stored form of keyslots, as package seal describes it.
type storedSlots struct {
	Format     int    `json:"format"`
	Deployment string `json:"deployment"`
	Current    uint32 `json:"current"`
	Roots      []struct {
		ID         string `json:"id"`
		Parameters []byte `json:"parameters"`
	} `json:"roots,omitempty"`
	Versions []storedVersion `json:"versions"`
	MAC      []byte          `json:"mac"`
}

type storedVersion struct {
	Version uint32       `json:"version"`
	Slots   []storedSlot `json:"slots"`
}

type storedSlot struct {
	Root    string `json:"root"`
	Wrapped []byte `json:"wrapped"`
}

// forge makes a version of the domain key that the forger knows, with a slot for the
// recovery key, whose public half lies in the folder; the newest one, or one in its place.
func forge(t *testing.T, text []byte, version func(*storedSlots) uint32) []byte {
	t.Helper()
	var s storedSlots
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	public, err := recovery.Open(seal.RootInfo{ID: s.Roots[0].ID, Kind: seal.KindRecovery, Parameters: s.Roots[0].Parameters})
	if err != nil {
		t.Fatal(err)
	}
	known := secret.Bytes(strings.Repeat("k", 32))
	s.Current = version(&s)
	wrapped, err := public.Wrap(t.Context(), known, seal.Place{Deployment: s.Deployment, Version: s.Current})
	if err != nil {
		t.Fatal(err)
	}
	s.Versions = append(s.Versions[:s.Current-1], storedVersion{s.Current, []storedSlot{{public.ID(), wrapped}}})
	s.MAC = nil
	body, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	key, err := hkdf.Key(sha256.New, known, []byte("strongroom/seal/domain/v1"), "keyslots", 32)
	if err != nil {
		t.Fatal(err)
	}
	h := hmac.New(sha256.New, key)
	h.Write(body)
	s.MAC = h.Sum(nil)
	if body, err = json.Marshal(s); err != nil {
		t.Fatal(err)
	}
	return body
}

// TestRecoveryRefusesAForgedVersion: who writes the folder adds a version of the domain
// key, or puts one in the place of the newest, and takes the root away, so that shares
// must open it. What the deployment made itself they open, whenever it was killed.
func TestRecoveryRefusesAForgedVersion(t *testing.T) {
	t.Parallel()
	cfg := config(t, filepath.Join(t.TempDir(), "data"))
	s := mustStart(t, cfg)
	made, err := (&operator{s}).InitRecovery(t.Context(), someone, admin.NewRecovery{Needed: 2, Shares: 3})
	if err != nil {
		t.Fatal(err)
	}
	in := cfg.folder()
	opens := func() error {
		r, err := OpenRecovered(t.Context(), in, made.Texts[:2])
		if err == nil {
			err = r.Close()
		}
		return err
	}
	forged := func(version func(*storedSlots) uint32) {
		t.Helper()
		f, meta, err := openDescribed(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		text := forge(t, meta[metaSlots], version)
		if err := f.backend.SetMeta(t.Context(), map[string][]byte{metaSlots: text}); err != nil {
			t.Fatal(err)
		}
		if err := f.close(); err != nil {
			t.Fatal(err)
		}
		if err := opens(); !errors.Is(err, seal.ErrSlotsCorrupt) || !strings.Contains(err.Error(), "does not know version") {
			t.Errorf("shares open a version that somebody has added: %v", err)
		}
		if f, _, err = openDescribed(t.Context(), in); err == nil {
			err = errors.Join(f.backend.SetMeta(t.Context(), map[string][]byte{metaSlots: meta[metaSlots]}), f.close())
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := opens(); err != nil {
			t.Errorf("shares do not open what the deployment has made: %v", err)
		}
	}
	next := func(s *storedSlots) uint32 { return s.Current + 1 }
	same := func(s *storedSlots) uint32 { return s.Current }
	mustStop(t, s)
	forged(next)

	// A rotation that is killed after each of its writes.
	for writes, finished := 0, false; !finished; writes++ {
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
		backend.limit(writes)
		_, failure := o.RotateDomainKey(t.Context(), someone)
		backend.limit(0)
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		if err := opens(); err != nil {
			t.Errorf("after %d writes of a rotation: %v", writes, err)
		}
		if finished = failure == nil; writes > 10 {
			t.Fatal("it never ends")
		}
	}
	forged(same)
	forged(next)
	if err := os.Remove(filepath.Join(cfg.DataDir, rootFile)); err != nil {
		t.Fatal(err)
	}
	if err := opens(); err != nil {
		t.Error(err)
	}
}
