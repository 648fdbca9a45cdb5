package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/strongroom/strongroom/internal/admin"
)

type accountCmd struct {
	Create accountCreateCmd `cmd:"" help:"Make an account, with a root and its access key."`
	List   accountListCmd   `cmd:"" help:"List the accounts."`
	Show   accountShowCmd   `cmd:"" help:"Show an account and who can sign in to it."`
	Root   accountRootCmd   `cmd:"" help:"Rotate, disable or enable the credentials of an account's root."`
}

// withOperator runs use on the deployment of the folder: through the server that
// runs on it, or on the folder itself when none does.
func (f folder) withOperator(a *app, use func(ctx context.Context, o admin.Operator, by admin.Peer) error) error {
	ctx := context.Background()
	if err := f.exists(); err != nil {
		return err
	}
	by := admin.Peer{UID: uint32(os.Getuid()), PID: int32(os.Getpid())}
	client, err := admin.Connect(f.Data)
	if err == nil {
		return use(ctx, client, by)
	}
	if !errors.Is(err, admin.ErrNotRunning) {
		return err
	}
	o, err := a.openOperator(ctx, f.asServer(a))
	if err != nil {
		return err
	}
	return errors.Join(use(ctx, o, by), o.Close())
}

// jsonFlag chooses between text for people and one JSON value.
type jsonFlag struct {
	JSON bool `help:"Print JSON."`
}

func (j jsonFlag) print(a *app, value any, text func() string) error {
	if j.JSON {
		encoder := json.NewEncoder(a.stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(value)
	}
	_, err := fmt.Fprint(a.stdout, printable(text()))
	return err
}

type accountCreateCmd struct {
	folder   `embed:""`
	jsonFlag `embed:""`

	ID    string `placeholder:"ID" help:"The account's id, 12 digits. Default: one is drawn."`
	Name  string `placeholder:"NAME" help:"A name for people."`
	Email string `placeholder:"ADDRESS" help:"An e-mail address for people. Nothing is sent to it."`
}

func (accountCreateCmd) Help() string {
	return `The access key of the account's root is written, once, to a file of its own in the data folder that only its owner can read. Move it to whoever needs it: the server does not read it.

Examples:

    strongroom account create --name payments
    strongroom account create --id 111122223333 --email ops@example.com`
}

// Run implements the command.
func (c *accountCreateCmd) Run(a *app) error {
	return c.withOperator(a, func(ctx context.Context, o admin.Operator, by admin.Peer) error {
		account, err := o.CreateAccount(ctx, by, admin.NewAccount{ID: c.ID, Name: c.Name, Email: c.Email})
		if err != nil {
			return err
		}
		return c.print(a, account, func() string {
			return fmt.Sprintf("account %s\n%s", account.ID, c.handedOut(account))
		})
	})
}

// handedOut says where the new access key of a root is.
func (f folder) handedOut(account admin.Account) string {
	return fmt.Sprintf("Its root's access key is in %s.\nTo use it:\n    export AWS_SHARED_CREDENTIALS_FILE=%s\n",
		filepath.Join(f.Data, account.File), shellQuote(absolute(filepath.Join(f.Data, account.File))))
}

type accountListCmd struct {
	folder   `embed:""`
	jsonFlag `embed:""`
}

func (accountListCmd) Help() string {
	return `Examples:

    strongroom account list
    strongroom account list --json`
}

// Run implements the command.
func (c *accountListCmd) Run(a *app) error {
	return c.withOperator(a, func(ctx context.Context, o admin.Operator, _ admin.Peer) error {
		accounts, err := o.Accounts(ctx)
		if err != nil {
			return err
		}
		return c.print(a, accounts, func() string {
			var text strings.Builder
			table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
			for _, account := range accounts {
				fmt.Fprintf(table, "%s\troot %s\t%s\t%s\n", account.ID, rootState(account.Root), orDash(account.Name), orDash(account.Email))
			}
			_ = table.Flush() // A strings.Builder takes everything.
			return text.String()
		})
	})
}

func rootState(r admin.Root) string {
	active := 0
	for _, k := range r.AccessKeys {
		if k.Active {
			active++
		}
	}
	switch {
	case !r.Enabled:
		return "disabled"
	case active == 0:
		return "without a key"
	}
	return "enabled"
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

type accountShowCmd struct {
	folder   `embed:""`
	jsonFlag `embed:""`

	ID string `arg:"" help:"The account, 12 digits."`
}

func (accountShowCmd) Help() string {
	return `Example:

    strongroom account show 000000000000`
}

// Run implements the command.
func (c *accountShowCmd) Run(a *app) error {
	return c.withOperator(a, func(ctx context.Context, o admin.Operator, _ admin.Peer) error {
		account, err := o.Account(ctx, c.ID)
		if err != nil {
			return err
		}
		return c.print(a, account, func() string { return describeAccount(account) })
	})
}

func describeAccount(account admin.Account) string {
	var text strings.Builder
	fmt.Fprintf(&text, "account %s\n", account.ID)
	for _, line := range []struct{ name, value string }{{"name", account.Name}, {"e-mail", account.Email}} {
		if line.value != "" {
			fmt.Fprintf(&text, "%s %s\n", line.name, line.value)
		}
	}
	fmt.Fprintf(&text, "made %s\nroot %s\n", account.Created.UTC().Format(time.RFC3339), rootState(account.Root))
	for _, k := range account.Root.AccessKeys {
		state := "active"
		if !k.Active {
			state = "inactive"
		}
		fmt.Fprintf(&text, "    access key %s, %s, made %s\n", k.ID, state, k.Created.UTC().Format(time.RFC3339))
	}
	text.WriteString(whoSignsIn(account))
	return text.String()
}

// whoSignsIn names the users who can sign in.
func whoSignsIn(account admin.Account) string {
	if len(account.Users) == 0 {
		return "No user has an active access key.\n"
	}
	var text strings.Builder
	text.WriteString("users with an active access key:\n")
	for _, u := range account.Users {
		fmt.Fprintf(&text, "    %s", u.Name)
		if u.Administrator {
			text.WriteString(" (may manage users and their policies)")
		}
		text.WriteByte('\n')
	}
	if account.More {
		text.WriteString("    and others\n")
	}
	return text.String()
}
