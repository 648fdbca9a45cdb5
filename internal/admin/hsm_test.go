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

func TestHSMSlots(t *testing.T) {
	dir := t.TempDir()
	var events []AdminEvent
	var asked []HSMSlotRequest
	number := uint64(3)
	reply := HSMSlotReply{Slots: []HSMSlot{{Name: "rack-1", Module: "/m.so", SlotID: &number, Zone: "us-east-1a", Account: "111122223333", Cluster: "c", HSM: "h"}}}
	var refused error
	server, err := Listen(Config{
		SocketDir: dir, Log: slog.New(slog.DiscardHandler), Clock: clock.NewFake(epoch), Audit: &fakeSource{}, Operator: fakeOperator{},
		HSMSlots: func(_ context.Context, in HSMSlotRequest) (HSMSlotReply, error) {
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
	add := HSMSlotRequest{Verb: "add", Slot: HSMSlot{Name: "rack-1", Module: "/m.so", SlotID: &number, Zone: "us-east-1a"}}
	got, err := client.HSMSlots(t.Context(), add)
	if err != nil || !reflect.DeepEqual(got, reply) || !reflect.DeepEqual(asked, []HSMSlotRequest{add}) {
		t.Errorf("%+v, %v; it was asked %+v", got, err, asked)
	}
	if _, err := client.HSMSlots(t.Context(), HSMSlotRequest{Verb: "list"}); err != nil {
		t.Fatal(err)
	}
	if len(events) != 2 || events[0].Name != "HsmSlotAdd" || events[0].ReadOnly || events[1].Name != "HsmSlotList" || !events[1].ReadOnly ||
		!reflect.DeepEqual(events[0].Params, map[string]string{"name": "rack-1", "module": "/m.so", "slotId": "3", "zone": "us-east-1a"}) {
		t.Errorf("the events are %+v", events)
	}
	refused = hinted{errors.New("there is no slot")}
	var e *Error
	if _, err := client.HSMSlots(t.Context(), HSMSlotRequest{Verb: "remove"}); !errors.As(err, &e) || e.Message != "there is no slot" || e.Hint() != "look there" {
		t.Errorf("%v", err)
	}
	if _, err := client.HSMSlots(t.Context(), HSMSlotRequest{Verb: "open"}); err == nil || !strings.Contains(err.Error(), `"open"`) || len(events) != 3 {
		t.Errorf("an unknown verb: %v, %d events", err, len(events))
	}
}
