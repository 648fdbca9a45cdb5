package cloudhsm

import (
	"strings"
	"testing"
)

func TestSlotsThatAreRefused(t *testing.T) {
	h := newHarness(t)
	number := uint64(7)
	good := Slot{Name: "rack-1", Device: Device{Module: module, Number: &number}, Zone: region + "a"}
	for _, c := range []struct {
		change func(*Slot)
		want   string
	}{
		{func(s *Slot) { s.Name = "Rack 1" }, "is not the name of a slot"},
		{func(s *Slot) { s.Module = "libsofthsm2.so" }, "is not the absolute path"},
		{func(s *Slot) { s.Module = "/usr/lib/../x.so" }, "is not the absolute path"},
		{func(s *Slot) { s.Module = "/x\n" }, "is not the absolute path"},
		{func(s *Slot) { s.Number = nil }, "nothing says which token"},
		{func(s *Slot) { s.Label = strings.Repeat("x", 33) }, "label has at most 32 bytes"},
		{func(s *Slot) { s.Serial = strings.Repeat("x", 17) }, "serial number at most 16"},
		{func(s *Slot) { s.Label = "\xff" }, "label has at most"},
		{func(s *Slot) { s.Zone = "" }, "is not an Availability Zone"},
		{func(s *Slot) { s.Zone = region }, "is not an Availability Zone"},
		{func(s *Slot) { s.Zone = "mars-east-1a" }, "is not an Availability Zone"},
		{func(s *Slot) { s.Account = "12" }, "is not an account id"},
	} {
		slot := good
		c.change(&slot)
		if _, err := h.service.AddSlot(t.Context(), slot); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %s", slot, err, c.want)
		}
	}
	if s, err := h.service.AddSlot(t.Context(), good); err != nil || s.Account != account {
		t.Fatalf("%+v, %v", s, err)
	}
	if _, err := h.service.AddSlot(t.Context(), good); err == nil || !strings.Contains(err.Error(), "there is a slot rack-1 already") {
		t.Error(err)
	}
	again := uint64(7)
	twin := good
	twin.Name, twin.Number = "rack-2", &again
	if _, err := h.service.AddSlot(t.Context(), twin); err == nil || !strings.Contains(err.Error(), "the slot rack-1 is this token already") {
		t.Error(err)
	}
}

func TestSlotsThatAreTaken(t *testing.T) {
	h := newHarness(t)
	h.slots()
	id := h.cluster()
	hsm := h.hsm(id, "a")
	all, err := h.service.Slots(t.Context())
	if err != nil || len(all) != 2 || all[0].Cluster != id || all[0].HSM != hsm || all[1].HSM != "" {
		t.Fatalf("%+v, %v", all, err)
	}
	err = h.service.RemoveSlot(t.Context(), "slot-a")
	if problem, ok := err.(*Problem); !ok || !strings.Contains(problem.Hint(), "delete-hsm --cluster-id "+id) {
		t.Errorf("%v", err)
	}
	h.ok(root, "DeleteHsm", m{"ClusterId": id, "HsmId": hsm})
	for _, name := range []string{"slot-a", "slot-b"} {
		if err := h.service.RemoveSlot(t.Context(), name); err != nil {
			t.Error(err)
		}
	}
	if err := h.service.RemoveSlot(t.Context(), "slot-a"); err == nil {
		t.Error("removed twice")
	}
}

func TestReset(t *testing.T) {
	h := newHarness(t)
	h.active()
	if err := h.service.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	if list := h.ok(root, "DescribeClusters", m{})["Clusters"].([]any); len(list) != 0 {
		t.Errorf("%v", list)
	}
	if all, err := h.service.Slots(t.Context()); err != nil || len(all) != 2 || all[0].HSM != "" {
		t.Errorf("%+v, %v", all, err)
	}
}
