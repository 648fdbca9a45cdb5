package server

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/approval"
	"github.com/strongroom/strongroom/internal/clock"
)

// TestTwoPeopleForARestore: the rule that a backup holds is asked when it is restored.
func TestTwoPeopleForARestore(t *testing.T) {
	ctx := t.Context()
	// The text is that of a day, which must not end meanwhile.
	was := machineClock
	machineClock = clock.NewFake(machineClock.Now())
	t.Cleanup(func() { machineClock = was }) // when the servers have stopped
	cfg := config(t, filepath.Join(t.TempDir(), "data"))
	s := mustStart(t, cfg)
	o := &operator{s}
	p := newPeople(t, "alice", "bob", "carol")
	shares, err := o.InitRecovery(ctx, someone, admin.NewRecovery{Needed: 2, Shares: 3})
	if err != nil {
		t.Fatal(err)
	}
	rule := admin.TwoPeople{On: true, Operators: p.keys(), For: []string{"restore"}}
	_, err = o.SetTwoPeople(ctx, someone, rule)
	waits(t, err)
	p.approve(t, o, "alice", "bob")
	if _, err := o.SetTwoPeople(ctx, someone, rule); err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := s.CreateBackup(ctx, &file); err != nil {
		t.Fatal(err)
	}
	backup := filepath.Join(t.TempDir(), "backup")
	if err := os.WriteFile(backup, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	mustStop(t, s)

	to := filepath.Join(t.TempDir(), "restored")
	restore := RestoreConfig{
		BackupFile: BackupFile{Path: backup, In: Folder{Dir: to, Seal: "file", Root: RootSettings{File: filepath.Join(cfg.DataDir, rootFile)}}},
		Log:        slog.New(slog.DiscardHandler),
	}
	text := ""
	refused := func(approvals ...[]byte) {
		t.Helper()
		restore.Approvals = approvals
		_, err := Restore(ctx, restore)
		var missing *ApprovalMissing
		if !errors.As(err, &missing) || missing.Hint() == "" || !strings.Contains(missing.Text, "RestoreBackup") || !strings.Contains(missing.Text, to) {
			t.Fatalf("%v", err)
		}
		if _, err := os.Stat(filepath.Join(to, storeFolder)); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("a refused restore leaves a deployment: %v", err)
		}
		text = missing.Text
	}
	sign := func(name string) []byte { return p[name].Sign(approval.Namespace, text) }
	refused()
	alice, carol := sign("alice"), sign("carol")
	refused(alice)
	refused(alice, alice)
	refused(alice, p["bob"].Sign(approval.Namespace, text+"\n"))
	restore.KeepKeys = true // is another restore
	refused(alice, carol)
	restore.KeepKeys = false
	restore.Approvals = [][]byte{alice, carol}
	if _, err := Restore(ctx, restore); err != nil {
		t.Fatal(err)
	}
	in := cfg.folder()
	in.Dir = to
	if n := count(t, in, `approvedBy":"alice,carol`); n != 1 {
		t.Errorf("%d records say who approved", n)
	}
	// The holders of shares are several people.
	restore.In.Dir, restore.Shares, restore.Approvals = filepath.Join(t.TempDir(), "shares"), shares.Texts[1:], nil
	restore.In.Root.File = ""
	if _, err := Restore(ctx, restore); err != nil {
		t.Error(err)
	}
}
