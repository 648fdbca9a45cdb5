package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/strongroom/strongroom/internal/admin"
)

// hsmSlotCmd are the commands about the tokens that CloudHSM clusters are made of. All
// ask a running server.
type hsmSlotCmd struct {
	Add    hsmSlotAddCmd    `cmd:"" help:"Make a token known, so that a cluster can have it as an HSM."`
	List   hsmSlotListCmd   `cmd:"" help:"Show every slot, and which HSM it is."`
	Remove hsmSlotRemoveCmd `cmd:"" help:"Forget a token that is in no cluster. What it holds stays in it."`
}

type hsmSlotAddCmd struct {
	folder `embed:""`

	Name        string  `arg:"" help:"What the slot is called: lower-case letters, digits and dashes."`
	Module      string  `required:"" placeholder:"FILE" help:"The PKCS #11 library."`
	TokenLabel  string  `placeholder:"LABEL" help:"The token's label."`
	TokenSerial string  `placeholder:"NUMBER" help:"The token's serial number."`
	SlotID      *uint64 `name:"slot-id" placeholder:"N" help:"The number of the token's slot. Some libraries number slots anew at each start."`
	Zone        string  `required:"" placeholder:"NAME" help:"The Availability Zone that it stands for: a region of the server and a letter. Give HSMs that can fail together the same one."`
	Account     string  `placeholder:"ID" help:"The account that may have it. Default: the server's."`
}

func (hsmSlotAddCmd) Help() string {
	return `The token must have been initialised, and its user's PIN set, with its maker's tools: that PIN is the password of kmsuser, 7 to 32 characters, which KMS is told when a key store is made. A key store wants two HSMs in different Availability Zones.

Examples:

    strongroom hsm slot add rack-1 --module /usr/lib/softhsm/libsofthsm2.so --token-label rack-1 --zone us-east-1a
    strongroom hsm slot add rack-2 --module /usr/lib/softhsm/libsofthsm2.so --token-label rack-2 --zone us-east-1b
    aws cloudhsmv2 create-hsm --cluster-id CLUSTER-ID --availability-zone us-east-1a`
}

// Run implements the command.
func (c *hsmSlotAddCmd) Run(a *app) error {
	module, err := filepath.Abs(c.Module)
	if err != nil {
		return err
	}
	return askHSMSlots(a, c.Data, false, admin.HSMSlotRequest{Verb: "add", Slot: admin.HSMSlot{
		Name: c.Name, Module: module, TokenLabel: c.TokenLabel, TokenSerial: c.TokenSerial, SlotID: c.SlotID, Zone: c.Zone, Account: c.Account,
	}})
}

type hsmSlotListCmd struct {
	folder `embed:""`
	JSON   bool `name:"json" help:"Print JSON."`
}

func (hsmSlotListCmd) Help() string {
	return "Example:\n\n    strongroom hsm slot list --json"
}

// Run implements the command.
func (c *hsmSlotListCmd) Run(a *app) error {
	return askHSMSlots(a, c.Data, c.JSON, admin.HSMSlotRequest{Verb: "list"})
}

type hsmSlotRemoveCmd struct {
	folder `embed:""`

	Name string `arg:"" help:"The slot's name."`
}

func (hsmSlotRemoveCmd) Help() string {
	return "Example:\n\n    strongroom hsm slot remove rack-1"
}

// Run implements the command.
func (c *hsmSlotRemoveCmd) Run(a *app) error {
	return askHSMSlots(a, c.Data, false, admin.HSMSlotRequest{Verb: "remove", Slot: admin.HSMSlot{Name: c.Name}})
}

func askHSMSlots(a *app, dir string, asJSON bool, in admin.HSMSlotRequest) error {
	client, err := admin.Connect(dir)
	if errors.Is(err, admin.ErrNotRunning) {
		return &problem{what: "no server is running on " + dir, hint: "strongroom serve --data " + shellQuote(dir) + "; or name another folder with --data"}
	}
	if err != nil {
		return err
	}
	reply, err := client.HSMSlots(context.Background(), in)
	if err != nil {
		return err
	}
	if asJSON {
		encoder := json.NewEncoder(a.stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(reply)
	}
	return printHSMSlots(a.stdout, reply.Slots)
}

// printHSMSlots prints slots for a person, one a line.
func printHSMSlots(w io.Writer, slots []admin.HSMSlot) error {
	var text strings.Builder
	for _, s := range slots {
		token := ""
		for _, part := range []struct{ name, value string }{{"label", s.TokenLabel}, {"serial", s.TokenSerial}} {
			if part.value != "" {
				token += " " + part.name + " " + part.value
			}
		}
		if s.SlotID != nil {
			token += fmt.Sprintf(" slot %d", *s.SlotID)
		}
		use := "free"
		if s.HSM != "" {
			use = s.HSM + " of " + s.Cluster
		}
		fmt.Fprintf(&text, "%s  %s  account %s  %s%s  %s\n", s.Name, s.Zone, s.Account, s.Module, token, use)
	}
	_, err := io.WriteString(w, printable(text.String()))
	return err
}
