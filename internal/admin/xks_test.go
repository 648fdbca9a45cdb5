package admin

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/clock"
)

func TestXKS(t *testing.T) {
	dir := t.TempDir()
	var events []AdminEvent
	var asked []XKSRequest
	reply := XKSReply{
		Stores:     []XKSStore{{Name: "pay", Path: "/pay/kms/xks/v1", Keys: []string{"k"}, Rules: XKSRules{Principals: []string{"arn:*"}}, Credentials: []string{"A"}, Created: epoch}},
		Credential: &XKSCredential{AccessKeyID: "A", SecretAccessKey: "very secret"},
	}
	var refused error
	server, err := Listen(Config{
		SocketDir: dir, Log: slog.New(slog.DiscardHandler), Clock: clock.NewFake(epoch), Audit: &fakeSource{}, Operator: fakeOperator{},
		XKS: func(_ context.Context, in XKSRequest) (XKSReply, error) {
			asked = append(asked, in)
			return reply, refused
		},
		Record: func(_ context.Context, e AdminEvent) error {
			events = append(events, e)
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown(context.Background()) })
	client, err := Connect(dir)
	if err != nil {
		t.Fatal(err)
	}
	create := XKSRequest{Verb: "create", Store: "pay", Keys: []string{"k", "l"}, Rules: &XKSRules{TrustKMS: true}}
	got, err := client.XKS(t.Context(), create)
	if err != nil || !reflect.DeepEqual(got, reply) || !reflect.DeepEqual(asked, []XKSRequest{create}) {
		t.Errorf("%+v, %v; it was asked %+v", got, err, asked)
	}
	if _, err := client.XKS(t.Context(), XKSRequest{Verb: "list"}); err != nil {
		t.Fatal(err)
	}
	if len(events) != 2 || events[0].Name != "XksCreate" || events[0].ReadOnly || events[1].Name != "XksList" || !events[1].ReadOnly ||
		!reflect.DeepEqual(events[0].Params, map[string]string{"store": "pay", "keys": "k,l", "rules": `{"trustKms":true}`}) {
		t.Errorf("the events are %+v", events)
	}
	refused = hinted{errors.New("there is no store")}
	var e *Error
	if _, err := client.XKS(t.Context(), XKSRequest{Verb: "remove-credential"}); !errors.As(err, &e) || e.Message != "there is no store" || e.Hint() != "look there" {
		t.Errorf("%v", err)
	}
	if name := events[2].Name; name != "XksRemoveCredential" {
		t.Errorf("the event is %s", name)
	}
	if _, err := client.XKS(t.Context(), XKSRequest{Verb: "open"}); err == nil || !strings.Contains(err.Error(), `"open"`) || len(events) != 3 {
		t.Errorf("an unknown verb: %v, %d events", err, len(events))
	}
}
