package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/seal/tpm/tpmtest"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
)

var errKilled = errors.New("killed")

// dying is a backend that takes no writes after some, as if the process had been
// killed then.
type dying struct {
	store.Backend
	mu   sync.Mutex
	left int
}

// limit lets so many more writes through.
func (d *dying) limit(writes int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left = writes
}

func (d *dying) live() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left == 0 {
		return errKilled
	}
	d.left--
	return nil
}

func (d *dying) SetMeta(ctx context.Context, changes map[string][]byte) error {
	if err := d.live(); err != nil {
		return err
	}
	return d.Backend.SetMeta(ctx, changes)
}

func (d *dying) Prepare(ctx context.Context, base uint64) error {
	if err := d.live(); err != nil {
		return err
	}
	return d.Backend.Prepare(ctx, base)
}

const testPassphrase = "correct horse battery staple"

func asked(text string) RootSettings {
	return RootSettings{Ask: func(bool) (secret.Bytes, error) { return secret.Bytes(text), nil }}
}

// count returns how many records of an event there are.
func count(t *testing.T, in Folder, event string) (n int) {
	t.Helper()
	trail, err := OpenAudit(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	defer trail.Close()
	err = trail.Tail(t.Context(), admin.MaxTail, false, func(line []byte) error {
		if strings.Contains(string(line), `"`+event+`"`) && !strings.Contains(string(line), "errorCode") {
			n++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestChangesOfTheSealSurviveAKill ends each change after each of its writes. The
// folder then opens with the old root or the new one, with the old settings or the
// new; a change that is in effect is recorded, one that is not can be made again.
func TestChangesOfTheSealSurviveAKill(t *testing.T) {
	tpm := tpmtest.Start(t)
	for _, c := range []struct {
		name, event string
		change      func(context.Context, *operator) error
		after       string // the kind
		root        RootSettings
		inForce     func(is seal.Info, was string) bool
	}{
		{"rotate", "RotateDomainKey", func(ctx context.Context, o *operator) error {
			_, err := o.RotateDomainKey(ctx, someone)
			return err
		}, "file", RootSettings{}, func(is seal.Info, _ string) bool { return is.Current == 2 }},
		{"another kind", "MigrateSeal", func(ctx context.Context, o *operator) error {
			_, err := o.MigrateSeal(ctx, someone, admin.NewSeal{Kind: "passphrase", Passphrase: []byte(testPassphrase)})
			return err
		}, "passphrase", asked(testPassphrase), func(is seal.Info, _ string) bool { return is.Roots[0].Kind == seal.KindPassphrase }},
		{"a TPM", "MigrateSeal", func(ctx context.Context, o *operator) error {
			_, err := o.MigrateSeal(ctx, someone, admin.NewSeal{Kind: "tpm", TPMDevice: tpm.Path, TPMPCRs: "7"})
			return err
		}, "tpm", RootSettings{TPM: TPMSettings{Device: tpm.Path}}, func(is seal.Info, _ string) bool { return is.Roots[0].Kind == seal.KindTPM }},
		{"another file", "MigrateSeal", func(ctx context.Context, o *operator) error {
			_, err := o.MigrateSeal(ctx, someone, admin.NewSeal{Kind: "file"})
			return err
		}, "file", RootSettings{}, func(is seal.Info, was string) bool { return len(is.Roots) == 1 && is.Roots[0].ID != was }},
		{"recovery key", "InitRecovery", func(ctx context.Context, o *operator) error {
			_, err := o.InitRecovery(ctx, someone, admin.NewRecovery{Needed: 2, Shares: 3})
			return err
		}, "file", RootSettings{}, func(is seal.Info, _ string) bool { return len(is.Roots) == 2 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			for writes, finished := 0, false; !finished; writes++ {
				if writes > 20 {
					t.Fatal("it never ends")
				}
				finished = killedAfter(t, writes, c.event, Folder{Seal: c.after, Root: c.root}, c.change, c.inForce)
			}
		})
	}
}

func killedAfter(t *testing.T, writes int, event string, after Folder, change func(context.Context, *operator) error, inForce func(seal.Info, string) bool) (finished bool) {
	t.Helper()
	cfg := config(t, filepath.Join(t.TempDir(), "data"))
	s := mustStart(t, cfg)
	id, key := keysIn(t, s, credentialsFile)
	mustStop(t, s)

	in := cfg.folder()
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
	was := f.domain.Info().Roots[0].ID
	failure := change(t.Context(), o)
	backend.limit(0)
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}

	effect, opened := false, false
	after.Dir = in.Dir
	for _, with := range []Folder{in, after} {
		f, err := openExisting(t.Context(), with)
		if err != nil {
			if !errors.Is(err, seal.ErrWrongRoot) {
				t.Errorf("after %d writes: %v", writes, err)
			}
			continue
		}
		effect = inForce(f.domain.Info(), was)
		if err := f.backend.Close(); err != nil {
			t.Fatal(err)
		}
		cfg.Seal, cfg.Root, opened = with.Seal, with.Root, true
	}
	if !opened {
		t.Fatalf("after %d writes nothing opens the folder", writes)
	}
	again := mustStart(t, cfg)
	if status := listKeys(t, again, id, key); status != 200 {
		t.Errorf("after %d writes a call is answered %d", writes, status)
	}
	mustStop(t, again)
	if n := count(t, cfg.folder(), event); n > 1 || effect != (n > 0) || failure == nil && !effect {
		t.Errorf("after %d writes: %d records, in effect %t, %v", writes, n, effect, failure)
	}
	return failure == nil
}

// TestRotationUnderLoad: calls go on while the domain key rotates, and all that
// they were answered is there afterwards.
func TestRotationUnderLoad(t *testing.T) {
	cfg := config(t, filepath.Join(t.TempDir(), "data"))
	s := mustStart(t, cfg)
	id, key := keysIn(t, s, credentialsFile)
	o := &operator{s}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 25 {
				if status := listKeys(t, s, id, key); status != 200 {
					t.Errorf("a call is answered %d", status)
				}
			}
		})
	}
	for i := range 8 {
		status, err := o.RotateDomainKey(t.Context(), someone)
		if err != nil || status.Version != uint32(i+2) {
			t.Fatalf("%+v, %v", status, err)
		}
		if _, err := o.CreateAccount(t.Context(), someone, admin.NewAccount{ID: fmt.Sprintf("%012d", i+1)}); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	mustStop(t, s)
	trail, err := OpenAudit(t.Context(), cfg.folder())
	if err != nil {
		t.Fatal(err)
	}
	report, err := trail.Verify(t.Context(), admin.VerifyOptions{}, nil)
	if err != nil || report.Fault != nil || report.Records < 108 {
		t.Errorf("%+v, %v", report, err)
	}
	if err := trail.Close(); err != nil {
		t.Fatal(err)
	}
	again := mustStart(t, cfg)
	if accounts, err := (&operator{again}).Accounts(t.Context()); err != nil || len(accounts) != 9 {
		t.Errorf("%d accounts, %v", len(accounts), err)
	}
}

// TestAnOldRootIsNotTakenForANewOne: a root file that a deployment was migrated
// away from does not come back by itself.
func TestAnOldRootIsNotTakenForANewOne(t *testing.T) {
	cfg := config(t, filepath.Join(t.TempDir(), "data"))
	s := mustStart(t, cfg)
	o := &operator{s}
	if _, err := o.MigrateSeal(t.Context(), someone, admin.NewSeal{Kind: "passphrase", Passphrase: []byte("short")}); err == nil {
		t.Error("a short passphrase is taken")
	}
	if _, err := o.MigrateSeal(t.Context(), someone, admin.NewSeal{Kind: "hourglass"}); err == nil {
		t.Error("a kind that there is not is taken")
	}
	if _, err := o.MigrateSeal(t.Context(), someone, admin.NewSeal{Kind: "aws-kms", KMSKey: "k", KMSEndpoint: "https://user:hunter2@kms.example.com"}); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("credentials in a URL: %v", err)
	}
	if _, err := o.MigrateSeal(t.Context(), someone, admin.NewSeal{Kind: "passphrase", Passphrase: []byte(testPassphrase)}); err != nil {
		t.Fatal(err)
	}
	if _, err := o.MigrateSeal(t.Context(), someone, admin.NewSeal{Kind: "file"}); !errors.Is(err, seal.ErrRootExists) {
		t.Errorf("the old root file: %v", err)
	}
	path := filepath.Join(cfg.DataDir, rootFile)
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	status, err := o.MigrateSeal(t.Context(), someone, admin.NewSeal{Kind: "file"})
	if err != nil || len(status.Roots) != 1 || status.Roots[0].Where != "the file "+path {
		t.Fatalf("%+v, %v", status, err)
	}
	if made, err := os.ReadFile(path); err != nil || string(made) == string(old) {
		t.Errorf("the old root is the new one: %v", err)
	}
	mustStop(t, s)
	mustStart(t, cfg)
}
