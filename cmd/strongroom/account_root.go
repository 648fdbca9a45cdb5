package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/strongroom/strongroom/internal/admin"
)

type accountRootCmd struct {
	Rotate  rootRotateCmd  `cmd:"" help:"Give the root a new access key in place of those that it has."`
	Disable rootDisableCmd `cmd:"" help:"Let the root sign in no longer."`
	Enable  rootEnableCmd  `cmd:"" help:"Let the root sign in again."`
}

type rootRotateCmd struct {
	folder   `embed:""`
	jsonFlag `embed:""`

	ID   string `arg:"" help:"The account, 12 digits."`
	Keep bool   `help:"Leave the keys that there are in force, until the next rotation without this flag."`
}

func (rootRotateCmd) Help() string {
	return `The new access key is written to the account's credentials file in the data folder. Those that there were open nothing any more when this command is done; with --keep they go on, so that what uses them can change first. Sessions of the root end by their own time: "account root disable" ends them at once.

Examples:

    strongroom account root rotate 000000000000
    strongroom account root rotate 000000000000 --keep`
}

// Run implements the command.
func (c *rootRotateCmd) Run(a *app) error {
	return c.withOperator(a, func(ctx context.Context, o admin.Operator, by admin.Peer) error {
		account, err := o.RotateRoot(ctx, by, admin.RootRotation{Account: c.ID, Keep: c.Keep})
		if err != nil {
			return err
		}
		return c.print(a, account, func() string {
			text := fmt.Sprintf("The root of account %s has a new access key.\n%s", account.ID, c.handedOut(account))
			if n := len(account.Root.AccessKeys); n > 1 {
				text += fmt.Sprintf("The other key is still in force. To end it: strongroom account root rotate %s\n", account.ID)
			}
			if !account.Root.Enabled {
				text += fmt.Sprintf("The root is disabled: the key opens nothing before: strongroom account root enable %s\n", account.ID)
			}
			return text
		})
	})
}

type rootDisableCmd struct {
	folder   `embed:""`
	jsonFlag `embed:""`

	ID      string `arg:"" help:"The account, 12 digits."`
	LockOut bool   `help:"Do it even though nobody else can sign in to the account."`
}

func (rootDisableCmd) Help() string {
	return `Neither the access keys of the root nor its sessions open anything when this command is done. It says who can still sign in, and is refused when nobody can. Whoever may use the data folder can enable the root again. A dev server goes on to take the credentials that it gives to everybody.

Example:

    strongroom account root disable 000000000000`
}

// Run implements the command.
func (c *rootDisableCmd) Run(a *app) error {
	return c.withOperator(a, func(ctx context.Context, o admin.Operator, by admin.Peer) error {
		account, err := o.SwitchRoot(ctx, by, admin.RootSwitch{Account: c.ID, LockOut: c.LockOut})
		if err != nil {
			return err
		}
		return c.print(a, account, func() string {
			var text strings.Builder
			fmt.Fprintf(&text, "The root of account %s can no longer sign in, and its sessions have ended.\n%s", account.ID, whoSignsIn(account))
			administrators := 0
			for _, u := range account.Users {
				if u.Administrator {
					administrators++
				}
			}
			if administrators == 0 && !account.More {
				text.WriteString("None of them may manage users and their policies: nobody inside the account can give rights.\n")
			}
			fmt.Fprintf(&text, "To undo it: strongroom account root enable %s\n", account.ID)
			return text.String()
		})
	})
}

type rootEnableCmd struct {
	folder   `embed:""`
	jsonFlag `embed:""`

	ID string `arg:"" help:"The account, 12 digits."`
}

func (rootEnableCmd) Help() string {
	return `Example:

    strongroom account root enable 000000000000`
}

// Run implements the command.
func (c *rootEnableCmd) Run(a *app) error {
	return c.withOperator(a, func(ctx context.Context, o admin.Operator, by admin.Peer) error {
		account, err := o.SwitchRoot(ctx, by, admin.RootSwitch{Account: c.ID, Enabled: true})
		if err != nil {
			return err
		}
		return c.print(a, account, func() string {
			text := fmt.Sprintf("The root of account %s can sign in again.\n", account.ID)
			if rootState(account.Root) != "enabled" {
				text += fmt.Sprintf("It has no active access key. For a new one: strongroom account root rotate %s\n", account.ID)
			}
			return text
		})
	})
}
