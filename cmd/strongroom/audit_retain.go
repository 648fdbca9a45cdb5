package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/strongroom/strongroom/internal/admin"
)

type retainCmd struct {
	folder   `embed:""`
	jsonFlag `embed:""`

	Days   int    `required:"" placeholder:"DAYS" help:"Keep the records of so many days, 90 at least."`
	Reason string `placeholder:"TEXT" help:"Why; it stands in the audit trail."`
}

func (retainCmd) Help() string {
	return `Removes older records from the trail of a running server, for good. Each stretch is verified before it goes, and the trail says, signed, what went: "audit verify" and exports still show that nothing else is missing. What a trail or a log shipper has not delivered yet stays, and so does the last use of each key.

"strongroom serve --audit-retention DAYS" does the same all the time.

Examples:

    strongroom audit retain --days 365
    strongroom audit retain --days 90 --reason ticket-4711`
}

// Run implements the command.
func (c *retainCmd) Run(a *app) error {
	if err := c.exists(); err != nil {
		return err
	}
	client, err := admin.Connect(c.Data)
	if errors.Is(err, admin.ErrNotRunning) {
		return &problem{
			what: "no server is running on " + c.Data + ", and only it knows what trails and log shippers still have to deliver",
			hint: "start it: strongroom serve --data " + shellQuote(c.Data),
		}
	}
	if err != nil {
		return err
	}
	removed, err := client.RemoveRecords(context.Background(), admin.Peer{}, admin.Removal{Days: c.Days, Reason: c.Reason})
	if err != nil {
		return err
	}
	return c.print(a, removed, func() string {
		if removed.Records == 0 {
			return fmt.Sprintf("No record is older than %s and needed by nobody: nothing was removed.\n", count(uint64(c.Days), "day"))
		}
		return fmt.Sprintf("%s removed, in frames %d to %d.\n", count(removed.Records, "record"), removed.FirstFrame, removed.LastFrame)
	})
}
