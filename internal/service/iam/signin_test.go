package iam

import (
	"errors"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
)

const goodPassword = "Correct-Horse-1"

// signer is a service with a user who has a password.
type signer struct {
	*Service
	t  *testing.T
	at time.Time
}

func newSigner(t *testing.T) *signer {
	t.Helper()
	s, _ := newService(t)
	g := &signer{Service: s, t: t, at: start}
	g.update(func(tx *store.Tx) error {
		return identityRecords.Put(tx, scopeOf(account), "AIDAALICE", identityRecord{Kind: userKind, Name: "alice", Path: "/", ID: "AIDAALICE", Created: start})
	})
	sealed, err := s.newPassword(t.Context(), &authz.Call{Principal: authz.Principal{Principal: policy.Principal{Account: account}}}, "AIDAALICE", goodPassword)
	if err != nil {
		t.Fatal(err)
	}
	record := loginProfileRecord{Created: start}
	record.set(sealed, start)
	g.put(record)
	return g
}

func (g *signer) update(fn func(tx *store.Tx) error) {
	g.t.Helper()
	if err := g.Store.Update(g.t.Context(), fn); err != nil {
		g.t.Fatal(err)
	}
}

func (g *signer) put(record loginProfileRecord) {
	g.t.Helper()
	g.update(func(tx *store.Tx) error {
		return loginProfileRecords.Put(tx, scopeOf(account), "AIDAALICE", record)
	})
}

func (g *signer) profile() (record loginProfileRecord) {
	g.t.Helper()
	err := g.Store.View(g.t.Context(), func(r store.Reader) (err error) {
		record, err = loginProfileRecords.Get(r, scopeOf(account), "AIDAALICE")
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return record
}

// signIn wants that error.
func (g *signer) signIn(name string, text secret.String, want error) *PasswordSignIn {
	g.t.Helper()
	in, err := g.SignInByPassword(g.t.Context(), account, name, text, g.at)
	if !errors.Is(err, want) || want == nil && err != nil {
		g.t.Errorf("%s with %q: %v, want %v", name, string(text), err, want)
	}
	return in
}

func TestSignInByPassword(t *testing.T) {
	g := newSigner(t)
	in := g.signIn("alice", goodPassword, nil)
	if in.Principal.Type != policy.User || in.Principal.ARN != "arn:aws:iam::"+account+":user/alice" || in.Principal.ID != "AIDAALICE" || in.MustChange || len(in.Devices) != 0 {
		t.Errorf("signed in as %+v", in)
	}
	if !g.profile().Used.IsZero() {
		t.Error("a sign-in is noted before it is made")
	}
	g.update(in.Note)
	if got := g.profile().Used; !got.Equal(g.at) {
		t.Errorf("noted at %v", got)
	}
	g.signIn("bob", goodPassword, ErrSignIn)
	g.signIn("alice", "Correct-Horse-2", ErrSignIn)
	g.signIn("alice", "", ErrSignIn)

	// A password that is changed before the sign-in is made opens nothing.
	record := g.profile()
	record.Changed = record.Changed.Add(time.Second)
	g.put(record)
	if err := g.Store.Update(t.Context(), in.Note); !errors.Is(err, ErrSignIn) {
		t.Errorf("after a change: %v", err)
	}
	record.Reset = true
	g.put(record)
	if in := g.signIn("alice", goodPassword, nil); !in.MustChange {
		t.Error("a password that must be changed need not be")
	}
	g.update(func(tx *store.Tx) error {
		return mfaRecords.Put(tx, scopeOf(account), "phone", mfaRecord{Name: "phone", Path: "/", ID: "X", User: "AIDAALICE"})
	})
	if in := g.signIn("alice", goodPassword, nil); len(in.Devices) != 1 || in.Devices[0] != "arn:aws:iam::"+account+":mfa/phone" {
		t.Errorf("the devices are %v", in.Devices)
	}
}

// TestGuessedPasswords: after five wrong ones in a row the right one opens nothing
// either, for a while.
func TestGuessedPasswords(t *testing.T) {
	g := newSigner(t)
	for range freeGuesses {
		g.signIn("alice", "Wrong-Horse-1", ErrSignIn)
	}
	g.signIn("alice", goodPassword, ErrSignIn)
	g.at = g.at.Add(firstPause)
	g.signIn("alice", goodPassword, nil)
}

func TestExpiredPasswords(t *testing.T) {
	g := newSigner(t)
	age, hard := int32(90), true
	set := func(p passwordPolicy) {
		g.update(func(tx *store.Tx) error {
			return settingsRecords.Put(tx, scopeOf(account), settingsID, settingsRecord{Passwords: &p})
		})
	}
	set(passwordPolicy{MinimumLength: 6, MaxAge: &age})
	g.at = start.AddDate(0, 0, 90).Add(-time.Second)
	if g.signIn("alice", goodPassword, nil).MustChange {
		t.Error("a password expires early")
	}
	g.at = g.at.Add(time.Second)
	if !g.signIn("alice", goodPassword, nil).MustChange {
		t.Error("a password does not expire")
	}
	set(passwordPolicy{MinimumLength: 6, MaxAge: &age, HardExpiry: &hard})
	g.signIn("alice", goodPassword, ErrPasswordExpired)
	g.signIn("alice", "Wrong-Horse-1", ErrSignIn)
}

// TestHashesAreBound: a hash opens nothing as another user's.
func TestHashesAreBound(t *testing.T) {
	g := newSigner(t)
	if _, err := g.matches(t.Context(), account, "AIDABOB", g.profile().Hash, goodPassword); err == nil {
		t.Error("alice's hash is bob's, too")
	}
}

func TestPasswordPolicies(t *testing.T) {
	owner := accountRecord{Name: "Payments-Account-1", Email: "Root-1@example.com"}
	strict := &passwordPolicy{MinimumLength: 10, Symbols: true, Numbers: true, Uppercase: true, Lowercase: true}
	for _, test := range []struct {
		p    *passwordPolicy
		text string
		good bool
	}{
		{nil, "Abcdefg1", true}, {nil, "Abcdef1", false}, {nil, "abcdefg1", false}, {nil, "abcdef-1", true}, {nil, "ABCDEFGH", false},
		{nil, owner.Name, false}, {nil, owner.Email, false}, {nil, "Pay-Alias1", false}, {nil, "Äbcdefg1", false}, {nil, "Äbcdefg1X", true},
		{strict, "Abcdefgh1-", true}, {strict, "Abcdefg1-", false}, {strict, "abcdefgh1-", false}, {strict, "ABCDEFGH1-", false},
		{strict, "Abcdefghi-", false}, {strict, "Abcdefghi1", false}, {strict, "Abcdefgh1~", false},
		{&passwordPolicy{MinimumLength: 6}, "aaaaaa", true}, {&passwordPolicy{MinimumLength: 6}, "aaaaa", false},
	} {
		if why := test.p.against(test.text, owner, "Pay-Alias1"); (why == "") != test.good {
			t.Errorf("%q under %+v: %q", test.text, test.p, why)
		}
	}
}
