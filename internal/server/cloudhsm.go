package server

import (
	"context"
	"fmt"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/hsm"
	"github.com/strongroom/strongroom/internal/service/cloudhsm"
	"github.com/strongroom/strongroom/internal/service/kms"
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

// clusters are the CloudHSM clusters as KMS uses them.
type clusters struct{ *cloudhsm.Service }

// Cluster implements [kms.Clusters].
func (c clusters) Cluster(ctx context.Context, account, region, id string) (*kms.Cluster, error) {
	found, err := c.Service.Cluster(ctx, account, region, id)
	if err != nil {
		return nil, err
	}
	out := &kms.Cluster{ID: found.ID, Active: found.Initialized, Anchor: found.Anchor, Version: found.Version, HSMs: make([]kms.ClusterHSM, len(found.HSMs))}
	for i, h := range found.HSMs {
		out.HSMs[i] = kms.ClusterHSM{
			ID: h.ID, Zone: h.Zone, Module: h.Module, Token: hsm.Token{Label: h.Label, Serial: h.Serial, Slot: h.Number},
		}
	}
	return out, nil
}

// openHSM logs in to an HSM of a cluster, behind a helper process of its own.
func (s *Server) openHSM(ctx context.Context, c hsm.Config) (hsm.Slot, error) {
	c.Helper = s.cfg.Root.HSMHelper
	c.Log = func(event string, err error) {
		if err != nil {
			s.cfg.Log.Warn(event, "module", c.Module, "token", c.Token.String(), "error", err)
			return
		}
		s.cfg.Log.Info(event, "module", c.Module, "token", c.Token.String())
	}
	return hsm.Open(ctx, c)
}
