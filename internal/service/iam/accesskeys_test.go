package iam

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/gateway"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/sigv4"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/storetest"
)

const account = "111122223333"

var scope = sigv4.Scope{Date: "20260102", Region: "us-east-1", Service: "kms"}

func newService(t *testing.T) (*Service, func() *Service) {
	t.Helper()
	trust, err := seal.CreateFileRoot(filepath.Join(t.TempDir(), "root.key"), nil)
	if err != nil {
		t.Fatal(err)
	}
	domain, _, err := seal.Create(t.Context(), trust, "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	box, err := domain.Box(seal.LabelSigV4Secrets)
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := domain.Box(seal.LabelSessionTokens)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Store: storetest.New(t), Secrets: box, Tokens: tokens, Partition: "aws", Clock: clock.NewFake(time.Unix(0, 0)), Rand: rand.Reader}
	again := func() *Service {
		s := New(cfg)
		t.Cleanup(s.Close)
		return s
	}
	return again(), again
}

func mustKey(t *testing.T, s *Service) AccessKey {
	t.Helper()
	key, err := s.NewRootKey()
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, s, key)
	return key
}

// mustPut gives the root a key without those that rotations make beside it.
func mustPut(t *testing.T, s *Service, key AccessKey) {
	t.Helper()
	record, err := s.rootKey(account, key)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Store.Update(t.Context(), func(tx *store.Tx) error {
		return accessKeyRecords.Put(tx, store.Deployment, key.ID, record)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func change(t *testing.T, s *Service, id string, edit func(*accessKeyRecord)) {
	t.Helper()
	err := s.Store.Update(t.Context(), func(tx *store.Tx) error {
		record, err := accessKeyRecords.Get(tx, store.Deployment, id)
		if err != nil {
			return err
		}
		edit(&record)
		return accessKeyRecords.Put(tx, store.Deployment, id, record)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRootKeys(t *testing.T) {
	s, again := newService(t)
	if has, err := s.HasRootKeys(t.Context(), account); has || err != nil {
		t.Fatal(has, err)
	}
	key := mustKey(t, s)
	if !regexp.MustCompile(`^AKIA[A-Z2-7]{16}$`).MatchString(key.ID) || !regexp.MustCompile(`^[A-Za-z0-9+/]{40}$`).MatchString(string(key.Secret)) {
		t.Errorf("%s, a secret of %d characters", key.ID, len(key.Secret))
	}
	for _, s := range []*Service{s, again()} {
		if has, err := s.HasRootKeys(t.Context(), account); !has || err != nil {
			t.Error(has, err)
		}
		if has, err := s.HasRootKeys(t.Context(), "444455556666"); has || err != nil {
			t.Error(has, err)
		}
		for range 2 {
			got, who, err := s.SigningKey(t.Context(), key.ID, "", scope)
			if err != nil || !got.Equal(sigv4.SigningKey(key.Secret, scope)) {
				t.Fatalf("another signing key, %v", err)
			}
			if !reflect.DeepEqual(who, Root("aws", account, key.ID)) || who.ARN != "arn:aws:iam::111122223333:root" || who.Type != policy.Root {
				t.Errorf("%+v", who)
			}
		}
	}
	// What is stored does not show the secret.
	err := s.Store.View(t.Context(), func(r store.Reader) error {
		record, err := accessKeyRecords.Get(r, store.Deployment, key.ID)
		if err != nil {
			return err
		}
		text, err := json.Marshal(record)
		if bytes.Contains(record.Secret, []byte(key.Secret)) || strings.Contains(string(text), string(key.Secret)) {
			t.Error("the secret is stored in the clear")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestUnknownKeys(t *testing.T) {
	s, _ := newService(t)
	key := mustKey(t, s)
	for _, test := range []struct{ id, token string }{
		{"AKIANOBODY", ""}, {"", ""}, {strings.Repeat("A", 5000), ""}, {"\x00", ""}, {strings.ToLower(key.ID), ""}, {key.ID, "a session token"},
	} {
		if k, _, err := s.SigningKey(t.Context(), test.id, test.token, scope); err != gateway.ErrUnknownKey || k != nil {
			t.Errorf("%.20q with %q: %v", test.id, test.token, err)
		}
	}
}

// TestKeyChanges: an inactive key is unknown at once, and a replaced secret is the
// one that holds, whatever was cached.
func TestKeyChanges(t *testing.T) {
	s, _ := newService(t)
	key := mustKey(t, s)
	get := func() (*sigv4.Key, error) {
		k, _, err := s.SigningKey(t.Context(), key.ID, "", scope)
		return k, err
	}
	if _, err := get(); err != nil {
		t.Fatal(err)
	}
	change(t, s, key.ID, func(r *accessKeyRecord) { r.Active = false })
	if _, err := get(); err != gateway.ErrUnknownKey {
		t.Errorf("inactive: %v", err)
	}
	change(t, s, key.ID, func(r *accessKeyRecord) { r.Active = true })
	if _, err := get(); err != nil {
		t.Errorf("active again: %v", err)
	}
	replaced := AccessKey{ID: key.ID, Secret: "another secret"}
	mustPut(t, s, replaced)
	if k, err := get(); err != nil || !k.Equal(sigv4.SigningKey(replaced.Secret, scope)) {
		t.Errorf("the old signing key is still there, %v", err)
	}
	err := s.Store.Update(t.Context(), func(tx *store.Tx) error { return accessKeyRecords.Delete(tx, store.Deployment, key.ID) })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := get(); err != gateway.ErrUnknownKey {
		t.Errorf("deleted: %v", err)
	}
}

// TestSecretsAreBound: a sealed secret under another account or access key id does
// not open, and is no unknown key either.
func TestSecretsAreBound(t *testing.T) {
	s, _ := newService(t)
	one, two := mustKey(t, s), mustKey(t, s)
	var sealed []byte
	change(t, s, one.ID, func(r *accessKeyRecord) { sealed, r.Account = r.Secret, "444455556666" })
	change(t, s, two.ID, func(r *accessKeyRecord) { r.Secret = sealed })
	for _, id := range []string{one.ID, two.ID} {
		k, _, err := s.SigningKey(t.Context(), id, "", scope)
		if !errors.Is(err, seal.ErrBox) || k != nil {
			t.Errorf("%v", err)
		}
		if strings.Contains(err.Error(), string(one.Secret)) {
			t.Error("the error shows the secret")
		}
	}
}

func TestExists(t *testing.T) {
	s, _ := newService(t)
	if err := s.EnsureAccount(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	for _, other := range []bool{false, true} {
		s.AnyAccount = other
		ref := policy.PrincipalRef{Form: policy.AccountForm, Name: "444455556666", Account: "444455556666"}
		if got, err := s.Exists(t.Context(), ref); got != other || err != nil {
			t.Errorf("an account that was never made, any account %v: %v, %v", other, got, err)
		}
	}
	s.AnyAccount = false
	for _, test := range []struct {
		form policy.PrincipalForm
		name string
		want bool
	}{
		{policy.EveryoneForm, "*", true}, {policy.AccountForm, "111122223333", true},
		{policy.ServiceForm, "logs.us-east-1.amazonaws.com", true},
		{policy.UserForm, "arn:aws:iam::111122223333:user/nobody", false},
		{policy.RoleForm, "arn:aws:iam::111122223333:role/none", false},
		{policy.SessionForm, "arn:aws:sts::111122223333:assumed-role/none/s", false},
		{policy.SessionForm, "", false},
		{policy.UniqueIDForm, "AIDAEXAMPLE", false}, {policy.FederatedForm, "example.com", false},
		{policy.CanonicalUserForm, "0", false},
	} {
		ref := policy.PrincipalRef{Form: test.form, Name: test.name, Account: "111122223333"}
		if got, err := s.Exists(t.Context(), ref); got != test.want || err != nil {
			t.Errorf("%s: %v, %v", test.name, got, err)
		}
	}
}
