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
	"time"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/journal"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/store/postgres"
)

func tail(t *testing.T, reader *journal.Reader) (lines []string) {
	t.Helper()
	err := reader.Tail(t.Context(), admin.MaxTail, func(e journal.Entry) error {
		lines = append(lines, string(e.Record))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// TestTheDomainKeyRotatesUnderSeveralNodes: when a rotation is acknowledged every node
// seals under the new version, and what one has sealed the others open at once; calls to
// all of them go on meanwhile.
func TestTheDomainKeyRotatesUnderSeveralNodes(t *testing.T) {
	t.Parallel()
	n := startNodes(t, 3, 20*time.Second)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range n.servers {
		wg.Go(func() {
			for ctx.Err() == nil {
				if status := n.call(i); status != 200 {
					t.Errorf("node %d answers %d", i, status)
				}
			}
		})
	}
	for i := range 6 {
		by := i % len(n.servers)
		if shown, err := (&operator{n.servers[by]}).RotateDomainKey(t.Context(), someone); err != nil || shown.Version != uint32(i+2) {
			t.Fatalf("node %d: %+v, %v", by, shown, err)
		}
		for j, s := range n.servers {
			if v := s.domain.Current(); v != uint32(i+2) {
				t.Errorf("after rotation %d was acknowledged node %d seals under version %d", i+1, j, v)
			}
		}
		account := fmt.Sprintf("%012d", i+1)
		n.createAccount(by, account)
		for j, s := range n.servers {
			if a, err := (&operator{s}).Account(t.Context(), account); err != nil || len(a.Root.AccessKeys) != 1 {
				t.Errorf("node %d: %+v, %v", j, a, err)
			}
		}
	}
	stop()
	wg.Wait()

	// Two at once: each is made, or refused with nothing changed.
	var done [2]error
	for i := range done {
		wg.Go(func() { _, done[i] = (&operator{n.servers[i]}).RotateDomainKey(t.Context(), someone) })
	}
	wg.Wait()
	want := 7
	for _, err := range done {
		if err == nil {
			want++
		}
	}
	if want == 7 {
		t.Errorf("neither of two is made: %v", done)
	}
	for j, s := range n.servers {
		n.follows("the last version on every node", func() bool { return s.domain.Current() >= uint32(want) })
		if v := s.domain.Current(); v != uint32(want) {
			t.Errorf("node %d is at version %d, want %d", j, v, want)
		}
	}
	if got := n.records("RotateDomainKey"); got != want-1 {
		t.Errorf("%d records of %d rotations", got, want-1)
	}
	for i, s := range n.servers[1:] {
		mustStop(t, s)
		again := mustStart(t, s.cfg)
		if got := again.domain.Current(); got != uint32(want) {
			t.Errorf("after a restart node %d is at version %d", i+1, got)
		}
	}
	trail, err := newTrail(n.servers[0].folder)
	if err != nil {
		t.Fatal(err)
	}
	report, err := trail.Verify(t.Context(), admin.VerifyOptions{}, nil)
	if err != nil || report.Fault != nil {
		t.Errorf("%+v, %v", report, err)
	}
}

// TestTheRecoveryKeyOfSeveralNodes is made on one node, proved on another and replaced
// on a third.
func TestTheRecoveryKeyOfSeveralNodes(t *testing.T) {
	t.Parallel()
	n := startNodes(t, 3, 20*time.Second)
	made, err := (&operator{n.servers[1]}).InitRecovery(t.Context(), someone, admin.NewRecovery{Needed: 2, Shares: 3})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&operator{n.servers[2]}).VerifyRecovery(t.Context(), someone, admin.RecoveryProof{Texts: made.Texts[1:]}); err != nil {
		t.Errorf("on another node: %v", err)
	}
	if _, err := (&operator{n.servers[2]}).RotateDomainKey(t.Context(), someone); err != nil {
		t.Fatal(err)
	}
	again, err := (&operator{n.servers[0]}).InitRecovery(t.Context(), someone, admin.NewRecovery{Needed: 3, Shares: 3, Replace: true})
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range n.servers {
		o := &operator{s}
		if _, err := o.VerifyRecovery(t.Context(), someone, admin.RecoveryProof{Texts: made.Texts}); err == nil {
			t.Errorf("node %d takes shares that were replaced", i)
		}
		if _, err := o.VerifyRecovery(t.Context(), someone, admin.RecoveryProof{Texts: again.Texts}); err != nil {
			t.Errorf("node %d: %v", i, err)
		}
	}
}

// TestAnotherRootOfSeveralNodes: a root that a machine does not have is found before
// anything is changed.
func TestAnotherRootOfSeveralNodes(t *testing.T) {
	t.Parallel()
	n := startNodes(t, 2, 20*time.Second)
	passphrase := filepath.Join(t.TempDir(), "passphrase")
	if err := os.WriteFile(passphrase, []byte(testPassphrase+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	third := n.start(filepath.Join(t.TempDir(), "data"), func(cfg *Config) { cfg.Root.PassphraseFile = passphrase })
	was := n.servers[0].folder.currentRoot().ID()
	unchanged := func() {
		t.Helper()
		for i, s := range n.servers {
			if info := s.domain.Info(); info.Roots[0].ID != was || len(info.Roots) != 1 {
				t.Errorf("node %d: %+v", i, info)
			}
		}
		if meta, err := third.folder.backend.Meta(t.Context()); err != nil || meta[metaOffer] != nil || meta[metaPending] != nil {
			t.Errorf("something is left: %v", err)
		}
	}
	refusedBy := func(err error, dirs ...string) {
		t.Helper()
		if err == nil {
			t.Fatal("a root that some nodes do not have is in force")
		}
		for _, dir := range dirs {
			if !strings.Contains(err.Error(), dir) {
				t.Errorf("%q does not name %s", err, dir)
			}
		}
		unchanged()
	}

	// A file that the others do not have, or one of them does not.
	o := &operator{n.servers[0]}
	_, err := o.MigrateSeal(t.Context(), someone, admin.NewSeal{Kind: "file"})
	refusedBy(err, n.servers[1].cfg.DataDir, third.cfg.DataDir)
	n.copyRoot(0, rootFile+nextRoot, n.servers[1].cfg.DataDir)
	_, err = o.MigrateSeal(t.Context(), someone, admin.NewSeal{Kind: "file"})
	refusedBy(err, third.cfg.DataDir)
	if strings.Contains(err.Error(), n.servers[1].cfg.DataDir) {
		t.Errorf("%q names a node that has the root", err)
	}
	n.copyRoot(0, rootFile+nextRoot, third.cfg.DataDir)
	shown, err := o.MigrateSeal(t.Context(), someone, admin.NewSeal{Kind: "file"})
	if err != nil || len(shown.Roots) != 1 || shown.Roots[0].ID == was {
		t.Fatalf("%+v, %v", shown, err)
	}
	was = shown.Roots[0].ID
	unchanged()
	for i, s := range n.servers {
		path := filepath.Join(s.cfg.DataDir, rootFile)
		root, err := seal.OpenFileRoot(path, nil)
		if err != nil || root.ID() != was {
			t.Errorf("node %d has another root file: %v", i, err)
		}
		if _, err := os.Stat(path + nextRoot); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("node %d: %v", i, err)
		}
		if shown, err := (&operator{s}).Seal(t.Context()); err != nil || shown.Roots[0].Problem != "" || shown.Roots[0].Where != "the file "+path {
			t.Errorf("node %d: %+v, %v", i, shown, err)
		}
	}

	// A passphrase that one node alone can read.
	_, err = o.MigrateSeal(t.Context(), someone, admin.NewSeal{Kind: "passphrase", Passphrase: []byte(testPassphrase)})
	refusedBy(err, n.servers[1].cfg.DataDir)
	mustStop(t, n.servers[1])
	n.servers[1].cfg.Root.PassphraseFile = passphrase
	n.servers[1] = mustStart(t, n.servers[1].cfg)
	if _, err = o.MigrateSeal(t.Context(), someone, admin.NewSeal{Kind: "passphrase", Passphrase: []byte(testPassphrase)}); err != nil {
		t.Fatal(err)
	}
	if n.records("MigrateSeal") != 2 {
		t.Errorf("%d records of 2 migrations", n.records("MigrateSeal"))
	}
	if shown, err := (&operator{third}).RotateDomainKey(t.Context(), someone); err != nil || shown.Version != 2 || shown.Roots[0].Kind != "passphrase" {
		t.Errorf("%+v, %v", shown, err)
	}
	mustStop(t, third)
	if _, err := Start(t.Context(), third.cfg); !errors.Is(err, seal.ErrWrongRoot) {
		t.Errorf("a start by the old settings: %v", err)
	}
	third.cfg.Seal = "passphrase"
	mustStart(t, third.cfg)
}

// TestANodeThatEndsInTheMiddle: what it had begun comes to nothing or to its end, and is
// recorded once.
func TestANodeThatEndsInTheMiddle(t *testing.T) {
	t.Parallel()
	n := startNodes(t, 3, 20*time.Second)
	o := &operator{n.servers[0]}
	record, _, err := o.record(t.Context(), someone, "RotateDomainKey", nil)
	if err != nil {
		t.Fatal(err)
	}

	// Before the slots are stored, and with answers of somebody who is not a node.
	ended, end := context.WithCancel(t.Context())
	end()
	if err := o.putSlotsOf(ended, newSlots{root: o.folder.currentRoot(), rotate: true, record: record}); err == nil {
		t.Error("a change that nobody waits for is made")
	}
	junk := map[string][]byte{metaOffer: []byte("junk"), metaAnswer + n.servers[1].folder.backend.(*postgres.Backend).Self().ID: []byte("junk")}
	if err := o.folder.backend.SetMeta(t.Context(), junk); err != nil {
		t.Fatal(err)
	}
	if shown, err := (&operator{n.servers[1]}).RotateDomainKey(t.Context(), someone); err != nil || shown.Version != 2 {
		t.Errorf("%+v, %v", shown, err)
	}

	// After they are stored: the others go by them, and one of them records it.
	if err := o.putSlotsOf(t.Context(), newSlots{root: o.folder.currentRoot(), rotate: true, record: record}); err != nil {
		t.Fatal(err)
	}
	for _, s := range n.servers {
		n.follows("the version of a node that ended", func() bool { return s.domain.Current() == 3 })
	}
	var wg sync.WaitGroup
	for _, s := range n.servers {
		wg.Go(func() {
			if err := s.recordPending(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	meta, err := o.folder.backend.Meta(t.Context())
	if err != nil || meta[metaPending] != nil || meta[metaOffer] != nil {
		t.Errorf("something is left: %v", err)
	}
	if got := n.records("RotateDomainKey"); got != 2 {
		t.Errorf("%d records of 2 rotations", got)
	}

	// A root file that was not put in its place: the next start does it.
	last := n.servers[2]
	mustStop(t, last)
	if _, err := o.MigrateSeal(t.Context(), someone, admin.NewSeal{Kind: "file"}); err == nil {
		t.Fatal("node 1 does not have the root")
	}
	n.copyRoot(0, rootFile+nextRoot, n.servers[1].cfg.DataDir)
	n.copyRoot(0, rootFile+nextRoot, last.cfg.DataDir)
	if _, err := o.MigrateSeal(t.Context(), someone, admin.NewSeal{Kind: "file"}); err != nil {
		t.Fatal(err)
	}
	mustStart(t, last.cfg)
	if _, err := os.Stat(filepath.Join(last.cfg.DataDir, rootFile+nextRoot)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the next root file: %v", err)
	}
}

// TestANodeThatWasAway comes back after its lease has run out and the seal has changed:
// with a version that it learns of by itself, or to its end when it has not the root.
func TestANodeThatWasAway(t *testing.T) {
	t.Parallel()
	n := startNodes(t, 2, 6*time.Second)
	away := n.servers[1]
	o := &operator{n.servers[0]}
	away.unfollow() // it hears nothing, and its lease runs out
	if shown, err := o.RotateDomainKey(t.Context(), someone); err != nil || shown.Version != 2 {
		t.Fatalf("%+v, %v", shown, err)
	}
	if away.domain.Current() != 1 || away.takesCalls(t.Context()) == nil {
		t.Errorf("it is at version %d and answers", away.domain.Current())
	}
	n.createAccount(0, "000000000001")
	hang := resume(t, away)
	n.follows("a node that is back", func() bool { return away.takesCalls(t.Context()) == nil })
	if a, err := (&operator{away}).Account(t.Context(), "000000000001"); err != nil || away.domain.Current() != 2 {
		t.Errorf("version %d, %+v, %v", away.domain.Current(), a, err)
	}
	n.createAccount(1, "000000000002")

	hang()
	if _, err := o.MigrateSeal(t.Context(), someone, admin.NewSeal{Kind: "passphrase", Passphrase: []byte(testPassphrase)}); err != nil {
		t.Fatal(err)
	}
	resume(t, away)
	<-away.stopped
	if err := away.Wait(); !errors.Is(err, seal.ErrWrongRoot) {
		t.Errorf("a node without the root ends with %v", err)
	}
}

// resume lets a node hear of the others again; hang ends it.
func resume(t *testing.T, s *Server) (hang func()) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	shared := s.folder.backend.(*postgres.Backend)
	unwatch := s.followSlots(ctx, shared)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		shared.Follow(ctx, func(renewal context.Context) (uint64, error) { return s.refresh(renewal, ctx) })
	}()
	hang = sync.OnceFunc(func() { unwatch(); stop(); <-ended })
	t.Cleanup(hang)
	return hang
}

// TestSlotsThatWereReplaced: a node that looks at the keyslots while it stores others
// takes none for those in force that it has just replaced, which would end it.
func TestSlotsThatWereReplaced(t *testing.T) {
	t.Parallel()
	n := startNodes(t, 1, 20*time.Second)
	s := n.servers[0]
	shared := s.folder.backend.(*postgres.Backend)
	looking, stop := context.WithCancel(t.Context())
	var looks sync.WaitGroup
	for range 4 {
		looks.Go(func() {
			for looking.Err() == nil {
				s.lookForVersion(looking, shared, 0)
			}
		})
	}
	for i := range 20 {
		if shown, err := (&operator{s}).RotateDomainKey(t.Context(), someone); err != nil || int(shown.Version) != i+2 {
			t.Errorf("rotation %d: version %d, %v", i+1, shown.Version, err)
			break
		}
	}
	stop()
	looks.Wait()
	select {
	case cause := <-s.slots.ended:
		t.Error(cause)
	case <-s.stopped:
		t.Error(s.Wait())
	default:
	}
}
