package server

import (
	"context"
	"fmt"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/service/cloudhsm"
)

// manageHSMSlots answers the command line.
func (s *Server) manageHSMSlots(ctx context.Context, in admin.HSMSlotRequest) (admin.HSMSlotReply, error) {
	reply := admin.HSMSlotReply{Slots: []admin.HSMSlot{}}
	switch in.Verb {
	case "list":
		all, err := s.cloudhsm.Slots(ctx)
		for _, slot := range all {
			reply.Slots = append(reply.Slots, adminSlot(slot))
		}
		return reply, err
	case "add":
		slot, err := s.cloudhsm.AddSlot(ctx, cloudhsm.Slot{
			Name: in.Slot.Name, Zone: in.Slot.Zone, Account: in.Slot.Account,
			Device: cloudhsm.Device{Module: in.Slot.Module, Label: in.Slot.TokenLabel, Serial: in.Slot.TokenSerial, Number: in.Slot.SlotID},
		})
		if err == nil {
			reply.Slots = append(reply.Slots, adminSlot(slot))
		}
		return reply, err
	case "remove":
		return reply, s.cloudhsm.RemoveSlot(ctx, in.Slot.Name)
	default:
		return reply, fmt.Errorf("server: no verb %q", in.Verb)
	}
}

func adminSlot(s cloudhsm.Slot) admin.HSMSlot {
	return admin.HSMSlot{
		Name: s.Name, Module: s.Module, TokenLabel: s.Label, TokenSerial: s.Serial, SlotID: s.Number,
		Zone: s.Zone, Account: s.Account, Cluster: s.Cluster, HSM: s.HSM,
	}
}
