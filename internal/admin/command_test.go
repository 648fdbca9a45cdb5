package admin

import (
	"context"
	"errors"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
)

// fakeOperator answers with what it is asked.
type fakeOperator struct{ Operator }

type hinted struct{ error }

func (hinted) Hint() string { return "look there" }

func (fakeOperator) CreateAccount(_ context.Context, by Peer, in NewAccount) (Account, error) {
	if in.ID == "" {
		return Account{}, hinted{errors.New("no id")}
	}
	if by.UID != uint32(os.Geteuid()) || by.PID != int32(os.Getpid()) {
		return Account{}, errors.New("another process asks")
	}
	return Account{ID: in.ID, Name: in.Name, Email: in.Email, Created: epoch, File: "f"}, nil
}

func (fakeOperator) Accounts(context.Context) ([]Account, error) {
	return []Account{{ID: "1"}, {ID: "2"}}, nil
}

func (fakeOperator) Account(_ context.Context, id string) (Account, error) {
	return Account{ID: id, Users: []SignIn{{Name: "n", ARN: "a", Administrator: true}}, More: true}, nil
}

func (fakeOperator) RotateRoot(_ context.Context, _ Peer, in RootRotation) (Account, error) {
	return Account{ID: in.Account, Root: Root{AccessKeys: []AccessKey{{ID: "k", Active: in.Keep, Created: epoch}}}}, nil
}

func (fakeOperator) SwitchRoot(_ context.Context, _ Peer, in RootSwitch) (Account, error) {
	return Account{ID: in.Account, Root: Root{Enabled: in.Enabled}, More: in.LockOut}, nil
}

func (fakeOperator) Explain(_ context.Context, q Question) (Explanation, error) {
	return Explanation{Principal: q.Principal, Action: q.Action, Resource: q.Context["k"][0], Decision: q.EncryptionContext["a"], Statements: []ExplainedStatement{{Policy: q.Region}}}, nil
}

func (fakeOperator) WhoCan(_ context.Context, q Question) (Holders, error) {
	return Holders{Action: q.Action, Principals: []Holder{{Principal: q.Resource, Certain: true, By: []string{"b"}}}}, nil
}

func TestCommands(t *testing.T) {
	var events []AdminEvent
	_, client := start(t, t.TempDir(), &fakeSource{}, func(e AdminEvent) error { events = append(events, e); return nil })
	ctx, o := t.Context(), fakeOperator{}
	self := Peer{UID: uint32(os.Geteuid()), PID: int32(os.Getpid())}
	for name, run := range map[string]func(Operator) (any, error){
		"create":   func(o Operator) (any, error) { return o.CreateAccount(ctx, self, NewAccount{"1", "é", "a@b"}) },
		"accounts": func(o Operator) (any, error) { return o.Accounts(ctx) },
		"account":  func(o Operator) (any, error) { return o.Account(ctx, "1") },
		"rotate":   func(o Operator) (any, error) { return o.RotateRoot(ctx, self, RootRotation{"1", true}) },
		"explain": func(o Operator) (any, error) {
			return o.Explain(ctx, Question{Principal: "p", Action: "a:b", Resource: "r", Region: "e", Context: map[string][]string{"k": {"v", "w"}}, EncryptionContext: map[string]string{"a": "b"}})
		},
		"who-can": func(o Operator) (any, error) { return o.WhoCan(ctx, Question{Action: "a:b", Resource: "r"}) },
		"switch":  func(o Operator) (any, error) { return o.SwitchRoot(ctx, self, RootSwitch{"1", true, true}) },
	} {
		want, err := run(o)
		if err != nil {
			t.Fatal(name, err)
		}
		if got, err := run(client); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v; want %+v", name, got, err, want)
		}
	}
	// What changes something makes its record by itself.
	recorded := map[string]bool{}
	for _, e := range events {
		recorded[e.Name] = e.ReadOnly
	}
	if want := map[string]bool{"ListAccounts": true, "GetAccount": true, "ExplainAccess": true, "ListPrincipalsWithAccess": true}; !reflect.DeepEqual(recorded, want) {
		t.Errorf("recorded before the answer: %v", recorded)
	}
	_, err := client.CreateAccount(ctx, self, NewAccount{})
	var refused *Error
	if !errors.As(err, &refused) || refused.Message != "no id" || refused.Advice != "look there" {
		t.Errorf("a refusal arrives as %v", err)
	}
}

// TestUnrecordedCommandsAreNotAnswered: what cannot be recorded is not told.
func TestUnrecordedCommandsAreNotAnswered(t *testing.T) {
	_, client := start(t, t.TempDir(), &fakeSource{}, func(AdminEvent) error { return errors.New("disk full") })
	if _, err := client.Accounts(t.Context()); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("got %v", err)
	}
}

func TestHostileCommands(t *testing.T) {
	_, client := start(t, t.TempDir(), &fakeSource{}, ignore)
	for _, body := range []string{"", "null x", "[]", `{"id":1}`, `{"other":"1"}`, `{"id":"` + strings.Repeat("1", maxCommand) + `"}`} {
		err := client.ask(t.Context(), http.MethodPost, showAccountRoute, nil, []byte(body), func([]byte) error { return nil })
		if err == nil || !strings.Contains(err.Error(), "what the command sends") {
			t.Errorf("%.40q: %v", body, err)
		}
	}
}
