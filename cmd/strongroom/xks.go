package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/strongroom/strongroom/internal/admin"
)

// xksCmd are the commands about stores that are offered to another KMS. All ask a
// running server.
type xksCmd struct {
	Create           xksCreateCmd           `cmd:"" help:"Make a store, and show its credential once."`
	List             xksListCmd             `cmd:"" help:"Show every store."`
	Show             xksShowCmd             `cmd:"" help:"Show one store."`
	Keys             xksKeysCmd             `cmd:"" help:"Replace the keys that a store offers."`
	Allow            xksAllowCmd            `cmd:"" help:"Replace the rules on who may use a store."`
	AddCredential    xksAddCredentialCmd    `cmd:"" help:"Give a store one more credential, and show it once."`
	RemoveCredential xksRemoveCredentialCmd `cmd:"" help:"Take a credential away."`
	Kill             xksKillCmd             `cmd:"" help:"Switch a store off, at once."`
	Revive           xksReviveCmd           `cmd:"" help:"Switch a store on again."`
	Delete           xksDeleteCmd           `cmd:"" help:"Forget a store that was killed. Its keys stay."`
}

// xksTarget names the folder of the server, and the store.
type xksTarget struct {
	folder `embed:""`
	JSON   bool   `name:"json" help:"Print JSON."`
	Store  string `arg:"" help:"The store's name."`
}

// xksRuleFlags say who may use a store.
type xksRuleFlags struct {
	AllowPrincipal   []string `sep:"," placeholder:"ARN" help:"Who may use it, by the ARN that the other KMS states. * stands for anything, here and below."`
	AllowKMSKey      []string `name:"allow-kms-key" sep:"," placeholder:"ARN" help:"For which KMS keys."`
	AllowOperation   []string `sep:"," placeholder:"NAME" help:"In which operations of the other KMS: Encrypt, Decrypt, GenerateDataKey, CreateKey, …"`
	AllowService     []string `sep:"," placeholder:"HOST" help:"Through which services; - for none."`
	AllowVPC         []string `name:"allow-vpc" sep:"," placeholder:"ID" help:"From which VPCs."`
	AllowVPCEndpoint []string `name:"allow-vpc-endpoint" sep:"," placeholder:"ID" help:"From which VPC endpoints."`
	TrustKMS         bool     `name:"trust-kms" help:"Let the policies of the other KMS decide who may use it."`
}

func (f *xksRuleFlags) rules() *admin.XKSRules {
	return &admin.XKSRules{
		Principals: f.AllowPrincipal, KMSKeys: f.AllowKMSKey, Operations: f.AllowOperation, Services: f.AllowService,
		VPCs: f.AllowVPC, VPCEndpoints: f.AllowVPCEndpoint, TrustKMS: f.TrustKMS,
	}
}

type xksCreateCmd struct {
	xksTarget    `embed:""`
	Key          []string `sep:"," required:"" placeholder:"ID" help:"The ids of the keys to offer."`
	KeyAccount   string   `placeholder:"ID" help:"The account of the keys. Default: the server's."`
	KeyRegion    string   `placeholder:"NAME" help:"Their region. Default: the server's first."`
	xksRuleFlags `embed:""`
}

func (xksCreateCmd) Help() string {
	return `The other KMS is told the path and the credential, which is shown here and nowhere again, and the id of each key as the external key's id.

Examples:

    strongroom xks create payments --key 1234abcd-12ab-34cd-56ef-1234567890ab --allow-principal 'arn:aws:iam::111122223333:*'
    strongroom xks create everything --key ID1,ID2 --trust-kms`
}

func (xksAllowCmd) Help() string {
	return `A request has to pass every kind of rule that is given, and one pattern of each.

Examples:

    strongroom xks allow payments --allow-principal 'arn:aws:iam::111122223333:role/*' --allow-operation Decrypt
    strongroom xks allow payments --trust-kms`
}

type xksListCmd struct {
	folder `embed:""`
	JSON   bool `name:"json" help:"Print JSON."`
}

type (
	xksShowCmd struct {
		xksTarget `embed:""`
	}
	xksKeysCmd struct {
		xksTarget `embed:""`
		Key       []string `sep:"," required:"" placeholder:"ID" help:"The ids of all keys to offer from now on."`
	}
	xksAllowCmd struct {
		xksTarget    `embed:""`
		xksRuleFlags `embed:""`
	}
	xksAddCredentialCmd struct {
		xksTarget `embed:""`
	}
	xksRemoveCredentialCmd struct {
		xksTarget   `embed:""`
		AccessKeyID string `arg:"" name:"access-key-id" help:"The credential's access key id."`
	}
	xksKillCmd struct {
		xksTarget `embed:""`
	}
	xksReviveCmd struct {
		xksTarget `embed:""`
	}
	xksDeleteCmd struct {
		xksTarget `embed:""`
	}
)

func (xksListCmd) Help() string { return xksExamples("list", "list --json") }
func (xksShowCmd) Help() string { return xksExamples("show payments") }
func (xksKeysCmd) Help() string { return xksExamples("keys payments --key ID1,ID2") }
func (xksAddCredentialCmd) Help() string {
	return "The credentials that the store has stay good until they are removed, so that the other KMS can change over.\n\n" + xksExamples("add-credential payments")
}
func (xksRemoveCredentialCmd) Help() string {
	return xksExamples("remove-credential payments HGIE2BUAFNDMBCMSQVWLABCD")
}
func (xksKillCmd) Help() string {
	return "When the command has returned, no request is answered any more.\n\n" + xksExamples("kill payments")
}
func (xksReviveCmd) Help() string { return xksExamples("revive payments") }
func (xksDeleteCmd) Help() string { return xksExamples("delete payments") }

// xksExamples is the example part of a help text.
func xksExamples(lines ...string) string {
	text := "Examples:\n"
	for _, line := range lines {
		text += "\n    strongroom xks " + line
	}
	return text
}

// Run implements the command.
func (c *xksCreateCmd) Run(a *app) error {
	return c.ask(a, admin.XKSRequest{Verb: "create", Keys: c.Key, Account: c.KeyAccount, Region: c.KeyRegion, Rules: c.rules()})
}

// Run implements the command.
func (c *xksListCmd) Run(a *app) error {
	return askXKS(a, c.Data, c.JSON, admin.XKSRequest{Verb: "list"})
}

// Run implements the command.
func (c *xksShowCmd) Run(a *app) error { return c.ask(a, admin.XKSRequest{Verb: "show"}) }

// Run implements the command.
func (c *xksKeysCmd) Run(a *app) error {
	return c.ask(a, admin.XKSRequest{Verb: "keys", Keys: c.Key})
}

// Run implements the command.
func (c *xksAllowCmd) Run(a *app) error {
	return c.ask(a, admin.XKSRequest{Verb: "allow", Rules: c.rules()})
}

// Run implements the command.
func (c *xksAddCredentialCmd) Run(a *app) error {
	return c.ask(a, admin.XKSRequest{Verb: "add-credential"})
}

// Run implements the command.
func (c *xksRemoveCredentialCmd) Run(a *app) error {
	return c.ask(a, admin.XKSRequest{Verb: "remove-credential", AccessKeyID: c.AccessKeyID})
}

// Run implements the command.
func (c *xksKillCmd) Run(a *app) error { return c.ask(a, admin.XKSRequest{Verb: "kill"}) }

// Run implements the command.
func (c *xksReviveCmd) Run(a *app) error { return c.ask(a, admin.XKSRequest{Verb: "revive"}) }

// Run implements the command.
func (c *xksDeleteCmd) Run(a *app) error { return c.ask(a, admin.XKSRequest{Verb: "delete"}) }

func (t *xksTarget) ask(a *app, in admin.XKSRequest) error {
	in.Store = t.Store
	return askXKS(a, t.Data, t.JSON, in)
}

func askXKS(a *app, dir string, asJSON bool, in admin.XKSRequest) error {
	client, err := admin.Connect(dir)
	if errors.Is(err, admin.ErrNotRunning) {
		return &problem{what: "no server is running on " + dir, hint: "strongroom serve --data " + shellQuote(dir) + "; or name another folder with --data"}
	}
	if err != nil {
		return err
	}
	reply, err := client.XKS(context.Background(), in)
	if err != nil {
		return err
	}
	if asJSON {
		encoder := json.NewEncoder(a.stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(reply)
	}
	return printXKS(a.stdout, &reply)
}

// printXKS prints an answer for a person. A credential comes in the form that the
// AWS console takes as a proxy configuration file.
func printXKS(w io.Writer, reply *admin.XKSReply) error {
	var text strings.Builder
	for i, s := range reply.Stores {
		if i > 0 {
			text.WriteByte('\n')
		}
		state := "in service"
		if s.Killed != nil {
			state = "KILLED at " + s.Killed.UTC().Format("2006-01-02T15:04:05Z")
		}
		fmt.Fprintf(&text, "%s: %s\n", s.Name, state)
		for _, line := range []struct{ name, value string }{
			{"path", s.Path}, {"keys", strings.Join(s.Keys, ", ") + " in " + s.Account + ", " + s.Region}, {"credentials", strings.Join(s.Credentials, ", ")},
			{"principals", strings.Join(s.Rules.Principals, ", ")}, {"KMS keys", strings.Join(s.Rules.KMSKeys, ", ")},
			{"operations", strings.Join(s.Rules.Operations, ", ")}, {"services", strings.Join(s.Rules.Services, ", ")},
			{"VPCs", strings.Join(s.Rules.VPCs, ", ")}, {"VPC endpoints", strings.Join(s.Rules.VPCEndpoints, ", ")},
			{"who may use it", trust(s.Rules.TrustKMS)},
		} {
			if line.value != "" {
				fmt.Fprintf(&text, "    %-15s %s\n", line.name, line.value)
			}
		}
	}
	shown := printable(text.String())
	if c := reply.Credential; c != nil {
		file, err := json.MarshalIndent(map[string]any{
			"XksProxyUriPath":                  reply.Stores[0].Path,
			"XksProxyAuthenticationCredential": map[string]string{"AccessKeyId": c.AccessKeyID, "RawSecretAccessKey": c.SecretAccessKey},
		}, "", "  ")
		if err != nil {
			return err
		}
		shown += "\nThe credential, in the form of a proxy configuration file. It is not shown again:\n\n" + string(file) + "\n"
	}
	_, err := io.WriteString(w, shown)
	return err
}

func trust(kms bool) string {
	if kms {
		return "whom the policies of the other KMS let"
	}
	return ""
}
