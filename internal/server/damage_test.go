package server

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/seal"
)

// clear tells whether an error says to a person what is wrong and what to do.
func clearRefusal(err error) bool {
	var hinter interface{ Hint() string }
	return errors.As(err, &hinter) && hinter.Hint() != "" && err.Error() != ""
}

// TestDamagedMeta flips every byte of what the store keeps unsealed of a folder, cuts it
// at every length and leaves it out: the folder opens with the same keys, or is refused
// with what to do.
func TestDamagedMeta(t *testing.T) {
	cfg := config(t, filepath.Join(t.TempDir(), "data"))
	s := mustStart(t, cfg)
	o := &operator{s}
	if _, err := o.RotateDomainKey(t.Context(), someone); err != nil {
		t.Fatal(err)
	}
	if _, err := o.InitRecovery(t.Context(), someone, admin.NewRecovery{Needed: 2, Shares: 3}); err != nil {
		t.Fatal(err)
	}
	mustStop(t, s)
	f, err := openExisting(t.Context(), cfg.folder())
	if err != nil {
		t.Fatal(err)
	}
	defer f.backend.Close()
	meta, err := f.backend.Meta(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want, err := f.domain.Derive(2, seal.LabelRecords)
	if err != nil {
		t.Fatal(err)
	}
	opened := map[string]int{}
	try := func(name, damage string, value []byte) {
		t.Helper()
		damaged := maps.Clone(meta)
		if damaged[name] = value; value == nil {
			delete(damaged, name)
		}
		again := &folder{dir: f.dir, backend: f.backend, mode: modeProduction}
		err := again.open(t.Context(), &cfg, damaged)
		if err != nil {
			if !clearRefusal(err) {
				t.Errorf("%s %s: %v", name, damage, err)
			}
			return
		}
		opened[name]++
		if is, err := again.domain.Derive(2, seal.LabelRecords); err != nil || !is.Equal(want) {
			t.Errorf("%s %s: opened with other keys, %v", name, damage, err)
		}
	}
	for name, value := range meta {
		for i := range value {
			flipped := bytes.Clone(value)
			flipped[i] ^= 1 << (i % 8)
			try(name, fmt.Sprintf("byte %d", i), flipped)
		}
		for n := 0; n < len(value); n += 1 + len(value)/64 {
			try(name, fmt.Sprintf("cut to %d", n), value[:n:n])
		}
		try(name, "left out", nil)
		try(name, "doubled", slices.Concat(value, value))
	}
	for _, name := range []string{metaSlots, metaMode, metaAccount} {
		if opened[name] > 0 {
			t.Errorf("%d kinds of damage to %s make no difference", opened[name], name)
		}
	}
	// Nothing was changed by the tries.
	if is, err := f.backend.Meta(t.Context()); err != nil || !maps.EqualFunc(is, meta, bytes.Equal) {
		t.Errorf("the store's unsealed part was changed: %v", err)
	}
}

// positions are every byte of a small file, and some of a large one.
func positions(size int) (all []int) {
	const most = 12
	step := 1
	if size > 32 {
		step = size/most + 1
	}
	for i := 0; i < size; i += step {
		all = append(all, i)
	}
	return append(all, size-1)
}

// TestDamagedFiles damages each file of a stopped folder. The folder then opens with all
// that it holds, or is refused; with the file as it was it opens again, so that neither
// the damage nor the refused start has destroyed anything.
func TestDamagedFiles(t *testing.T) {
	cfg := config(t, filepath.Join(t.TempDir(), "data"))
	cfg.Log = slog.New(slog.DiscardHandler)
	s := mustStart(t, cfg)
	id, key := keysIn(t, s, credentialsFile)
	for i := range 3 {
		if _, err := (&operator{s}).CreateAccount(t.Context(), someone, admin.NewAccount{ID: fmt.Sprintf("%012d", i+1)}); err != nil {
			t.Fatal(err)
		}
	}
	if status := listKeys(t, s, id, key); status != 200 {
		t.Fatalf("answered %d", status)
	}
	mustStop(t, s)

	var names []string
	whole := map[string][]byte{}
	err := filepath.WalkDir(cfg.DataDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(cfg.DataDir, path)
		if err == nil {
			whole[name], err = os.ReadFile(path)
		}
		names = append(names, name)
		return err
	})
	if err != nil || len(names) < 6 {
		t.Fatalf("%v, %v", names, err)
	}
	dir := filepath.Join(t.TempDir(), "copy")
	lay := func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, whole[name], 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	in := cfg.folder()
	in.Dir = dir
	// opens says whether the folder does, with everything in it.
	opens := func(what string) error {
		o, err := OpenOperator(t.Context(), in)
		if err != nil {
			return err
		}
		accounts, err := o.Accounts(t.Context())
		if err == nil && len(accounts) != 4 {
			t.Errorf("%s: %d accounts are left of 4", what, len(accounts))
		}
		return errors.Join(err, o.Close())
	}
	tries, refusals := 0, 0
	for _, name := range names {
		text := whole[name]
		if len(text) == 0 {
			continue
		}
		damages := map[string][]byte{"removed": nil, "emptied": {}, "cut": text[:len(text)/2], "longer": append(bytes.Clone(text), 0)}
		for _, i := range positions(len(text)) {
			flipped := bytes.Clone(text)
			flipped[i] ^= 0x10
			damages[fmt.Sprintf("byte %d of %d", i, len(text))] = flipped
		}
		isStore := strings.HasPrefix(name, storeFolder)
		for damage, damaged := range damages {
			what := name + " " + damage
			tries++
			lay()
			path := filepath.Join(dir, name)
			if damaged == nil {
				err = os.Remove(path)
			} else {
				err = os.WriteFile(path, damaged, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			err := opens(what)
			if err == nil {
				continue
			}
			refusals++
			if !isStore && !clearRefusal(err) {
				t.Errorf("%s: %v", what, err)
			}
			if isStore && (len(damaged) != len(text) || strings.HasSuffix(name, ".log")) {
				// Pebble cannot tell this from a crash: it has gone on without what was
				// lost, and is no place to put an old file back into.
				continue
			}
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := opens(what); err != nil {
				t.Errorf("%s: the refused start has destroyed something: %v", what, err)
			}
		}
	}
	t.Logf("%d files, %d kinds of damage, %d refused", len(names), tries, refusals)
	if refusals < 32 {
		t.Errorf("only %d of %d were refused: every byte of the root counts", refusals, tries)
	}
}
