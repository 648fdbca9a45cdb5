package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/strongroom/strongroom/internal/server"
)

type storeCmd struct {
	Copy    storeCopyCmd    `cmd:"" help:"Move a deployment from its data folder to a database, or back."`
	Reclaim storeReclaimCmd `cmd:"" help:"Serve again from where a deployment was moved away, as it was then."`
}

type storeCopyCmd struct {
	folder   `embed:""`
	jsonFlag `embed:""`

	To       string   `required:"" placeholder:"WHERE" help:"What is to hold the records: pebble, in the data folder, or a database, as for --store, which says what holds them now."`
	LostNode []string `sep:"none" placeholder:"NAME" help:"A node of the database whose disk is lost, with the last of its audit records; once for each."`
}

func (storeCopyCmd) Help() string {
	return `Records, keyslots and audit trail, while nobody serves from them. Everything is read back and compared, record by record, before the copy counts; then no server starts on the old place any more, and the audit trail goes on in the new one. Whatever interrupts it: run it again. Until all is compared the old place is as it was, and can be served.

The root stays what it is. From a folder, the folder becomes that of the database's first node, and keeps its old store under another name. From a database, --data names the folder of a node, or a new one with the root alone.

Leave the password out of the URL, which lists of processes show: it is taken from ~/.pgpass, the file that PGPASSFILE names, or PGPASSWORD.

Examples:

    strongroom store copy --data /srv/strongroom --to postgres://strongroom@db.example.com/strongroom?sslmode=verify-full
    STRONGROOM_STORE=postgres://strongroom@db.example.com/strongroom?sslmode=verify-full strongroom store copy --data /srv/strongroom --to pebble`
}

// Run implements the command.
func (c *storeCopyCmd) Run(a *app) error {
	progress := newProgress(a, "")
	done, err := a.copyStore(context.Background(), server.CopyConfig{
		From: c.asServer(a), To: c.To, Lost: c.LostNode, Log: slog.Default(),
		Progress: func(doing string, done, total uint64) {
			progress.what = doing
			progress.show(done, total)
		},
	})
	progress.done()
	if err != nil {
		return a.origins.explain(err)
	}
	return c.print(a, done, func() string { return c.describe(done) })
}

func (c *storeCopyCmd) describe(done server.Copied) string {
	var text strings.Builder
	fmt.Fprintf(&text, "deployment %s\nwas moved from %s to %s.\n", done.Deployment, done.From, done.To)
	if done.Finished {
		text.WriteString("An earlier run of this command had compared everything, and was interrupted; what was left is done.\n")
	} else {
		fmt.Fprintf(&text, "%s, and %s in %s of the audit trail, were read back and are the same.\n",
			count(done.Records, "stored record"), count(done.AuditRecords, "record"), count(done.Frames, "frame"))
	}
	if done.Kept != "" {
		fmt.Fprintf(&text, "The folder's store is kept as it was in %s. Remove it when there is a backup of the database.\nTo serve, with the same root and settings:\n    STRONGROOM_STORE=… strongroom serve --data %s\n", done.Kept, shellQuote(c.Data))
	} else {
		fmt.Fprintf(&text, "No node starts on the database any more. Drop it when there is a backup of the folder.\nTo serve, with the same root and settings, without --store:\n    strongroom serve --data %s\n", shellQuote(c.Data))
	}
	return text.String()
}

// rollbackFlags are of commands that go back to an earlier state.
type rollbackFlags struct {
	Request  string   `placeholder:"FILE" help:"Where to write what two operators must sign, if the deployment has a two-person rule for restores."`
	Approval []string `sep:"none" placeholder:"FILE" help:"An operator's signature of that; once for each."`
}

// read returns the signatures.
func (f rollbackFlags) read() (approvals [][]byte, err error) {
	for _, path := range f.Approval {
		signature, err := readSmall(path)
		if err != nil {
			return nil, err
		}
		approvals = append(approvals, []byte(signature))
	}
	return approvals, nil
}

// write writes what is to be signed, when err says that it is missing.
func (f rollbackFlags) write(err error) error {
	if missing := new(server.ApprovalMissing); errors.As(err, &missing) && f.Request != "" {
		if err := os.WriteFile(f.Request, []byte(missing.Text), 0o600); err != nil {
			return &problem{what: err.Error()}
		}
	}
	return err
}

type storeReclaimCmd struct {
	folder        `embed:""`
	rollbackFlags `embed:""`
	jsonFlag      `embed:""`

	AllowUndoneRevocations bool `help:"Leave keys in the states that they had. Keys that were disabled since, and whatever else was taken away since, are then in force again at once."`
}

func (storeReclaimCmd) Help() string {
	return `For when the place that a deployment was moved to is lost, or never came to be served. It goes back to the time of the move: what was done since, there, is not here. Therefore keys that were enabled come back disabled, as after a restore. To come back with everything, copy it back instead: strongroom store copy.

Make sure that nobody serves from the other place any more: there would be two of this deployment.

Examples:

    strongroom store reclaim --data /srv/strongroom
    STRONGROOM_STORE=postgres://… strongroom store reclaim --data /srv/node`
}

// Run implements the command.
func (c *storeReclaimCmd) Run(a *app) error {
	approvals, err := c.read()
	if err != nil {
		return err
	}
	done, err := a.reclaim(context.Background(), server.ReclaimConfig{
		In: c.asServer(a), KeepKeys: c.AllowUndoneRevocations, Approvals: approvals, Log: slog.Default(),
	})
	if err := c.write(err); err != nil {
		return a.origins.explain(err)
	}
	return c.print(a, done, func() string {
		text := fmt.Sprintf("deployment %s\nwas moved to %s on %s, and is served from here again, as it was then.\n", done.Deployment, done.MovedTo, done.Moved.Format(time.RFC3339))
		if done.KeysDisabled > 0 {
			text += fmt.Sprintf("%s came back disabled. To use one again: aws kms enable-key --key-id KEY\n", count(uint64(done.KeysDisabled), "key"))
		}
		return text + "Identities, policies, grants and access keys are those of that time: look at what was taken away since. Nobody may serve from the other place any more.\n"
	})
}
