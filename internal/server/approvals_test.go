package server

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/approval"
	"github.com/strongroom/strongroom/internal/approval/approvaltest"
)

// people are operators with their keys.
type people map[string]*approvaltest.Operator

func newPeople(t *testing.T, names ...string) people {
	t.Helper()
	p := people{}
	for _, name := range names {
		p[name] = approvaltest.New(t)
	}
	return p
}

func (p people) keys() map[string]string {
	keys := map[string]string{}
	for name, o := range p {
		keys[name] = o.PublicKey
	}
	return keys
}

// approve has these operators approve the one request that waits.
func (p people) approve(t *testing.T, o admin.Approvals, names ...string) {
	t.Helper()
	requests, err := o.Requests(t.Context())
	if err != nil || len(requests) != 1 {
		t.Fatalf("%+v, %v", requests, err)
	}
	for _, name := range names {
		if _, err := o.Approve(t.Context(), someone, admin.Signature{Request: requests[0].ID, Signature: string(p[name].Sign(approval.Namespace, requests[0].Text))}); err != nil {
			t.Fatal(err)
		}
	}
}

func waits(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, approval.ErrWaiting) {
		t.Errorf("%v; want it to wait for approval", err)
	}
}

// TestTwoPeopleForTheRoot: one person alone changes no root and makes no shares, on a
// running server and on a stopped folder.
func TestTwoPeopleForTheRoot(t *testing.T) {
	ctx := t.Context()
	cfg := config(t, filepath.Join(t.TempDir(), "data"))
	s := mustStart(t, cfg)
	o := &operator{s}
	p := newPeople(t, "alice", "bob", "carol")
	if _, err := o.SetTwoPeople(ctx, someone, admin.TwoPeople{On: true, Operators: map[string]string{"alice": p["alice"].PublicKey}, For: []string{"root"}}); err == nil {
		t.Error("a rule of one")
	}
	rule := admin.TwoPeople{On: true, Operators: p.keys(), For: []string{"root"}}
	_, err := o.SetTwoPeople(ctx, someone, rule)
	waits(t, err)
	p.approve(t, o, "alice", "bob")
	if is, err := o.SetTwoPeople(ctx, someone, rule); err != nil || !is.On || len(is.Operators) != 3 {
		t.Fatalf("%+v, %v", is, err)
	}
	// What the rule does not cover goes on unattended.
	if _, err := o.RotateDomainKey(ctx, someone); err != nil {
		t.Error(err)
	}
	in := admin.NewSeal{Kind: "passphrase", Passphrase: []byte(testPassphrase)}
	_, err = o.MigrateSeal(ctx, someone, in)
	waits(t, err)
	p.approve(t, o, "carol")
	_, err = o.MigrateSeal(ctx, someone, in)
	waits(t, err)
	_, err = o.SetTwoPeople(ctx, someone, admin.TwoPeople{})
	waits(t, err)
	_, err = o.InitRecovery(ctx, someone, admin.NewRecovery{Needed: 2, Shares: 3})
	waits(t, err)
	mustStop(t, s)

	// The same on the stopped folder, where the requests still wait.
	offline, err := OpenOperator(ctx, cfg.folder())
	if err != nil {
		t.Fatal(err)
	}
	_, err = offline.MigrateSeal(ctx, someone, in)
	waits(t, err)
	requests, err := offline.Requests(ctx)
	if err != nil || len(requests) != 3 {
		t.Fatalf("%+v, %v", requests, err)
	}
	for _, r := range requests {
		if r.Action != "MigrateSeal" {
			if _, err := offline.Withdraw(ctx, someone, admin.RequestName{ID: r.ID}); err != nil {
				t.Fatal(err)
			}
		}
	}
	p.approve(t, offline, "bob")
	other := in
	other.Passphrase = []byte(testPassphrase + "!")
	_, err = offline.MigrateSeal(ctx, someone, other)
	waits(t, err)
	if is, err := offline.MigrateSeal(ctx, someone, in); err != nil || is.Roots[0].Kind != "passphrase" {
		t.Fatalf("%+v, %v", is, err)
	}
	// The approval is spent: back and forth needs another.
	_, err = offline.MigrateSeal(ctx, someone, in)
	waits(t, err)
	if err := offline.Close(); err != nil {
		t.Fatal(err)
	}
	cfg.Seal, cfg.Root = "passphrase", asked(testPassphrase)
	for event, n := range map[string]int{"MigrateSeal": 1, "SetTwoPersonRule": 1, "ApproveRequest": 4, "RequestApproval": 6, "WithdrawRequest": 2} {
		// Requests have the names of what they ask for in their parameters.
		if got := count(t, cfg.folder(), `eventName":"`+event); got != n {
			t.Errorf("%d records of %s, want %d", got, event, n)
		}
	}
	trail, err := OpenAudit(ctx, cfg.folder())
	if err != nil {
		t.Fatal(err)
	}
	defer trail.Close()
	approved := false
	err = trail.Tail(ctx, admin.MaxTail, false, func(line []byte) error {
		approved = approved || strings.Contains(string(line), `"MigrateSeal"`) && strings.Contains(string(line), `"approvedBy":"bob,carol"`)
		if strings.Contains(string(line), testPassphrase) {
			t.Error("a passphrase is in the trail")
		}
		return nil
	})
	if err != nil || !approved {
		t.Errorf("the trail does not say who approved: %v", err)
	}
}

// TestSharesEndTheRule: operators who have lost their keys.
func TestSharesEndTheRule(t *testing.T) {
	ctx := t.Context()
	cfg := config(t, filepath.Join(t.TempDir(), "data"))
	s := mustStart(t, cfg)
	o := &operator{s}
	p := newPeople(t, "alice", "bob")
	shares, err := o.InitRecovery(ctx, someone, admin.NewRecovery{Needed: 2, Shares: 3})
	if err != nil {
		t.Fatal(err)
	}
	rule := admin.TwoPeople{On: true, Operators: p.keys(), For: []string{"root", "deletion"}}
	_, err = o.SetTwoPeople(ctx, someone, rule)
	waits(t, err)
	p.approve(t, o, "alice", "bob")
	if _, err := o.SetTwoPeople(ctx, someone, rule); err != nil {
		t.Fatal(err)
	}
	mustStop(t, s)
	in := cfg.folder()
	in.Seal, in.Root = "passphrase", asked(testPassphrase)
	r, err := OpenRecovered(ctx, in, shares.Texts[:2])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Reseal(ctx, someone); err != nil {
		t.Error(err)
	}
	if err := r.EndTwoPeople(ctx, someone); err != nil {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	offline, err := OpenOperator(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	defer offline.Close()
	if is, err := offline.TwoPeople(ctx); err != nil || is.On {
		t.Errorf("%+v, %v", is, err)
	}
}
