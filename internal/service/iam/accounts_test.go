package iam

import (
	"errors"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/gateway"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/store"
)

var someRecord = []byte(`{"eventName":"X"}`)

func mustAccount(t *testing.T, s *Service, id string) AccessKey {
	t.Helper()
	key, err := s.NewRootKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.CreateAccount(t.Context(), Account{ID: id, Name: "n", Email: "a@b"}, key, someRecord); err != nil {
		t.Fatal(err)
	}
	return key
}

func signsIn(t *testing.T, s *Service, id, token string) bool {
	t.Helper()
	_, _, err := s.SigningKey(t.Context(), id, token, scope)
	if err != nil && !errors.Is(err, gateway.ErrUnknownKey) {
		t.Fatal(err)
	}
	return err == nil
}

func TestAccounts(t *testing.T) {
	s, again := newService(t)
	first, second := mustAccount(t, s, "111122223333"), mustAccount(t, s, "444455556666")
	if err := s.CreateAccount(t.Context(), Account{ID: "111122223333"}, second, someRecord); !errors.Is(err, ErrAccountExists) {
		t.Errorf("a second account with one id: %v", err)
	}
	for _, s := range []*Service{s, again()} {
		if err := s.EnsureAccount(t.Context(), "111122223333"); err != nil {
			t.Error(err)
		}
		all, err := s.Accounts(t.Context())
		if err != nil || len(all) != 2 || all[0].ID != "111122223333" || all[1].ID != "444455556666" {
			t.Fatalf("%+v, %v", all, err)
		}
		a := all[0]
		if a.Name != "n" || a.Email != "a@b" || a.RootDisabled || len(a.RootKeys) != 1 || a.RootKeys[0].ID != first.ID || !a.RootKeys[0].Active {
			t.Errorf("%+v", a)
		}
		for id, account := range map[string]string{first.ID: "111122223333", second.ID: "444455556666"} {
			_, who, err := s.SigningKey(t.Context(), id, "", scope)
			if err != nil || who.Account != account || who.Type != policy.Root {
				t.Errorf("%s: %+v, %v", id, who, err)
			}
		}
	}
	for _, id := range []string{"777788889999", "", "x", string(make([]byte, 5000))} {
		if _, err := s.Account(t.Context(), id); !errors.Is(err, ErrNoAccount) {
			t.Errorf("%q: %v", id, err)
		}
		if err := s.RotateRoot(t.Context(), id, first, false, someRecord); !errors.Is(err, ErrNoAccount) {
			t.Errorf("%q: %v", id, err)
		}
		if err := s.SwitchRoot(t.Context(), id, false, someRecord); !errors.Is(err, ErrNoAccount) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestRotateRoot(t *testing.T) {
	s, _ := newService(t)
	old, other := mustAccount(t, s, account), mustAccount(t, s, "444455556666")
	rotate := func(keep bool) (AccessKey, error) {
		key, err := s.NewRootKey()
		if err != nil {
			t.Fatal(err)
		}
		return key, s.RotateRoot(t.Context(), account, key, keep, someRecord)
	}
	kept, err := rotate(true)
	if err != nil || !signsIn(t, s, old.ID, "") || !signsIn(t, s, kept.ID, "") {
		t.Fatalf("with keep: %v", err)
	}
	if refused, err := rotate(true); !errors.Is(err, ErrRootKeys) || signsIn(t, s, refused.ID, "") {
		t.Errorf("a third key: %v", err)
	}
	last, err := rotate(false)
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]bool{old.ID: false, kept.ID: false, last.ID: true, other.ID: true} {
		if got := signsIn(t, s, id, ""); got != want {
			t.Errorf("%s signs in: %v", id, got)
		}
	}
}

// TestDisabledRoot: neither keys nor sessions of a disabled root open anything;
// users, and roots of other accounts, go on.
func TestDisabledRoot(t *testing.T) {
	s, _ := newService(t)
	key, other := mustAccount(t, s, account), mustAccount(t, s, "444455556666")
	user := identityRecord{Kind: userKind, Name: "u", Path: "/", ID: "AIDAEXAMPLEEXAMPLE", Created: time.Unix(0, 0)}
	record, err := s.rootKey(account, AccessKey{ID: "AKIAUSER", Secret: "s"})
	if err != nil {
		t.Fatal(err)
	}
	record.User = user.ID
	err = s.Store.Update(t.Context(), func(tx *store.Tx) error {
		return errors.Join(identityRecords.Put(tx, scopeOf(account), user.ID, user), accessKeyRecords.Put(tx, store.Deployment, "AKIAUSER", record))
	})
	if err != nil {
		t.Fatal(err)
	}
	session := func(spec authz.SessionSpec) authz.Credentials {
		spec.Account, spec.Expires = account, s.Clock.Now().Add(time.Hour)
		c, err := s.IssueSession(spec)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	ofRoot := session(authz.SessionSpec{Type: policy.Root})
	federated := session(authz.SessionSpec{Type: policy.FederatedUser, Name: "f"})
	ofUser := session(authz.SessionSpec{Type: policy.User, ID: user.ID})
	for _, enabled := range []bool{true, false, true} {
		if err := s.SwitchRoot(t.Context(), account, enabled, someRecord); err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct {
			what, id, token string
			want            bool
		}{
			{"the root", key.ID, "", enabled},
			{"a session of the root", ofRoot.AccessKeyID, string(ofRoot.Token), enabled},
			{"a federated user of the root", federated.AccessKeyID, string(federated.Token), enabled},
			{"a user", "AKIAUSER", "", true},
			{"a session of a user", ofUser.AccessKeyID, string(ofUser.Token), true},
			{"another account's root", other.ID, "", true},
		} {
			if got := signsIn(t, s, test.id, test.token); got != test.want {
				t.Errorf("root enabled %v: %s signs in: %v", enabled, test.what, got)
			}
		}
	}
	users, more, err := s.SignIns(t.Context(), account, 10)
	if err != nil || more || len(users) != 1 || users[0].Name != "u" || users[0].Administrator {
		t.Errorf("%+v, %v, %v", users, more, err)
	}
	if users, more, err = s.SignIns(t.Context(), account, 0); err != nil || !more || len(users) != 0 {
		t.Errorf("%+v, %v, %v", users, more, err)
	}
	user.Attached = []string{"arn:aws:iam::aws:policy/AdministratorAccess"}
	err = s.Store.Update(t.Context(), func(tx *store.Tx) error { return identityRecords.Put(tx, scopeOf(account), user.ID, user) })
	if err != nil {
		t.Fatal(err)
	}
	if users, _, err = s.SignIns(t.Context(), account, 10); err != nil || !users[0].Administrator {
		t.Errorf("with AdministratorAccess: %+v, %v", users, err)
	}
}
