package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
)

// HSMSlot is a token that CloudHSM clusters can be given as an HSM.
type HSMSlot struct {
	// Name is what the operator calls it.
	Name string `json:"name"`
	// Module is the absolute path of the PKCS #11 library. TokenLabel, TokenSerial and
	// SlotID find the token; those that are set must all fit, and one must be.
	Module      string  `json:"module,omitempty"`
	TokenLabel  string  `json:"tokenLabel,omitempty"`
	TokenSerial string  `json:"tokenSerial,omitempty"`
	SlotID      *uint64 `json:"slotId,omitempty"`
	// Zone is the Availability Zone that it is in. Account is who may have it; if
	// empty, the server's.
	Zone    string `json:"zone,omitempty"`
	Account string `json:"account,omitempty"`
	// Cluster and HSM say what it is now, if it is in a cluster.
	Cluster string `json:"cluster,omitempty"`
	HSM     string `json:"hsm,omitempty"`
}

// HSMSlotRequest asks for something of the slots.
type HSMSlotRequest struct {
	// Verb is one of those in hsmSlotVerbs.
	Verb string `json:"verb"`
	// Slot is the new slot, or the name of one.
	Slot HSMSlot `json:"slot"`
}

// HSMSlotReply has the slots that were asked for.
type HSMSlotReply struct {
	Slots []HSMSlot `json:"slots"`
}

// HSMSlots answers requests about slots.
type HSMSlots func(ctx context.Context, in HSMSlotRequest) (HSMSlotReply, error)

// hsmSlotVerbs are what can be asked for, and whether it changes anything.
var hsmSlotVerbs = map[string]bool{"list": false, "add": true, "remove": true}

// maxHSMSlotBody bounds a request about slots, in bytes.
const maxHSMSlotBody = 64 << 10

func (s *Server) parseHSMSlots(r *http.Request) (request, error) {
	if _, err := parseQuery(r); err != nil {
		return request{}, err
	}
	if s.cfg.HSMSlots == nil {
		return request{}, errors.New("this server has no HSM clusters")
	}
	var in HSMSlotRequest
	decoder := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxHSMSlotBody))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&in); err != nil {
		return request{}, fmt.Errorf("the request: %w", err)
	}
	change, known := hsmSlotVerbs[in.Verb]
	if !known {
		return request{}, fmt.Errorf("this server does not know %q; is the command of another version?", in.Verb)
	}
	params := map[string]string{
		"name": in.Slot.Name, "module": in.Slot.Module, "tokenLabel": in.Slot.TokenLabel, "tokenSerial": in.Slot.TokenSerial,
		"zone": in.Slot.Zone, "account": in.Slot.Account,
	}
	if in.Slot.SlotID != nil {
		params["slotId"] = strconv.FormatUint(*in.Slot.SlotID, 10)
	}
	for name, value := range params {
		if value == "" {
			delete(params, name)
		}
	}
	return request{
		event: "HsmSlot" + camel(in.Verb), writes: change, params: params,
		answer: func(ctx context.Context, emit emitter) error {
			reply, err := s.cfg.HSMSlots(ctx, in)
			if err != nil {
				return err
			}
			return emitJSON(emit, reply)
		},
	}, nil
}

// HSMSlots asks a running server about the slots.
func (c *Client) HSMSlots(ctx context.Context, in HSMSlotRequest) (HSMSlotReply, error) {
	var reply *HSMSlotReply
	body, err := json.Marshal(in)
	if err != nil {
		return HSMSlotReply{}, err
	}
	err = c.ask(ctx, http.MethodPost, "/v1/hsm/slots", nil, body, func(line []byte) error {
		reply = &HSMSlotReply{}
		return json.Unmarshal(line, reply)
	})
	if err == nil && reply == nil {
		err = errors.New("the server's answer is empty")
	}
	if err != nil {
		return HSMSlotReply{}, err
	}
	return *reply, nil
}
