package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/strongroom/strongroom/internal/admin"
)

type accessCmd struct {
	Explain explainCmd `cmd:"" help:"Say whether a principal can do something, why, and what would have to change."`
	WhoCan  whoCanCmd  `cmd:"" name:"who-can" help:"Find every principal that can do something."`
	Lint    lintCmd    `cmd:"" help:"Say what is probably not meant in a policy."`
}

// requestFlags are what a request that is asked about would hold.
type requestFlags struct {
	Region            string            `placeholder:"REGION" help:"Where a key without an ARN is. Default: the server's first region."`
	Context           map[string]string `mapsep:"none" placeholder:"KEY=VALUE" help:"A condition key of the request, such as aws:SourceIp=192.0.2.7; several values with | between them."`
	EncryptionContext map[string]string `mapsep:"none" placeholder:"KEY=VALUE" help:"A pair of the request's encryption context."`
}

func (f requestFlags) question() admin.Question {
	q := admin.Question{Region: f.Region, EncryptionContext: f.EncryptionContext}
	for key, value := range f.Context {
		if q.Context == nil {
			q.Context = map[string][]string{}
		}
		q.Context[key] = strings.Split(value, "|")
	}
	return q
}

type explainCmd struct {
	folder       `embed:""`
	jsonFlag     `embed:""`
	requestFlags `embed:""`

	SessionPolicy     string   `placeholder:"FILE" help:"A policy that limits the session in which a role or a federated user asks; - for standard input."`
	SessionPolicyArns []string `name:"session-policy-arn" sep:"none" placeholder:"ARN" help:"A managed policy that does."`
	Issuer            string   `placeholder:"ARN" help:"The user that a federated user has its rights from. Default: the account's root."`

	Principal string `arg:"" help:"The ARN of a user, a role, a role's session, a federated user or a root; a root also by its account's 12 digits."`
	Action    string `arg:"" help:"What it would do: kms:Decrypt, or Decrypt."`
	Resource  string `arg:"" optional:"" default:"*" help:"On what: a key's id, ARN or alias, or another ARN. Default: ${default}."`
}

func (explainCmd) Help() string {
	return `The answer is the decision that a call would get, by the same engine: of a call that is made now, over TLS and not through another service. Other condition keys are missing unless they are given.

Examples:

    strongroom access explain arn:aws:iam::000000000000:user/alice Decrypt alias/payroll
    strongroom access explain arn:aws:iam::000000000000:role/app kms:Decrypt alias/payroll --encryption-context tenant=a --context aws:SourceIp=192.0.2.7
    strongroom access explain arn:aws:iam::000000000000:role/app Decrypt alias/payroll --session-policy policy.json`
}

// Run implements the command.
func (c *explainCmd) Run(a *app) error {
	limit, err := c.sessionPolicy()
	if err != nil {
		return err
	}
	return c.withOperator(a, func(ctx context.Context, o admin.Operator, _ admin.Peer) error {
		q := c.question()
		q.SessionPolicy, q.SessionPolicyARNs, q.Issuer = limit, c.SessionPolicyArns, c.Issuer
		q.Principal, q.Action, q.Resource = c.Principal, c.Action, c.Resource
		e, err := o.Explain(ctx, q)
		if err != nil {
			return err
		}
		return c.print(a, e, func() string { return describeExplanation(&e) })
	})
}

// sessionPolicy reads the policy that the command line names.
func (c *explainCmd) sessionPolicy() (string, error) {
	if c.SessionPolicy == "" {
		return "", nil
	}
	text, err := readPolicy(c.SessionPolicy)
	return string(text), err
}

func describeExplanation(e *admin.Explanation) string {
	var text strings.Builder
	decision := map[string]string{"allowed": "ALLOWED", "explicitDeny": "DENIED", "implicitDeny": "NOT ALLOWED"}[e.Decision]
	fmt.Fprintf(&text, "%s: %s\n%s on %s: %s.\n", decision, e.Principal, e.Action, e.Resource, e.Because)
	for _, note := range e.Notes {
		fmt.Fprintf(&text, "Note: %s.\n", note)
	}
	if len(e.Statements) > 0 {
		text.WriteString("\nStatements about this action:\n")
	}
	for _, s := range e.Statements {
		name := fmt.Sprintf("statement %d", s.Index)
		if s.Sid != "" {
			name = fmt.Sprintf("statement %q", s.Sid)
		}
		if s.Kind == "grant" {
			fmt.Fprintf(&text, "  %-5s  grant %s: ", s.Effect, s.Policy)
		} else {
			fmt.Fprintf(&text, "  %-5s  %s of %s (%s): ", s.Effect, name, s.Policy, s.Kind)
		}
		if s.Applies {
			text.WriteString("applies\n")
		} else {
			fmt.Fprintf(&text, "does not apply, because of %s\n", strings.Join(s.Failed, "; "))
		}
	}
	if len(e.Missing) > 0 {
		fmt.Fprintf(&text, "\nThe decision may depend on what was not given: %s\n", strings.Join(e.Missing, ", "))
	}
	if len(e.Change) > 0 {
		text.WriteString("\nTo change it:\n")
		for _, change := range e.Change {
			fmt.Fprintf(&text, "  - %s\n", change)
		}
	}
	return inShort(text.String(), e.Resource)
}

// inShort leaves out whose policy it is where there is one key.
func inShort(text, resource string) string {
	return strings.ReplaceAll(text, "key policy of "+resource, "the key policy")
}

type whoCanCmd struct {
	folder       `embed:""`
	jsonFlag     `embed:""`
	requestFlags `embed:""`

	Action   string `arg:"" help:"What they would do: kms:Decrypt, or Decrypt."`
	Resource string `arg:"" help:"On what: a key's id, ARN or alias, or another ARN."`
}

func (whoCanCmd) Help() string {
	return `Roots, users, roles (in a session without policies of its own) and grantees, of every account. "may" stands before those for whom it depends on condition keys that were not given.

Examples:

    strongroom access who-can Decrypt alias/payroll
    strongroom access who-can kms:PutKeyPolicy alias/payroll --json`
}

// Run implements the command.
func (c *whoCanCmd) Run(a *app) error {
	return c.withOperator(a, func(ctx context.Context, o admin.Operator, _ admin.Peer) error {
		q := c.question()
		q.Action, q.Resource = c.Action, c.Resource
		h, err := o.WhoCan(ctx, q)
		if err != nil {
			return err
		}
		return c.print(a, h, func() string { return describeHolders(&h) })
	})
}

func describeHolders(h *admin.Holders) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s on %s:\n", h.Action, h.Resource)
	for _, p := range h.Principals {
		word := "can"
		if !p.Certain {
			word = "may"
		}
		by := "as the root of its account"
		if len(p.By) > 0 {
			by = "by " + strings.Join(p.By, ", ")
		}
		fmt.Fprintf(&text, "  %s  %s, %s\n", word, p.Principal, by)
	}
	if len(h.Principals) == 0 {
		text.WriteString("  nobody\n")
	}
	if h.More {
		text.WriteString("There are more grants than were looked at.\n")
	}
	for _, note := range h.Notes {
		fmt.Fprintf(&text, "Note: %s.\n", note)
	}
	return inShort(text.String(), h.Resource)
}
