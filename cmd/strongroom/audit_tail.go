package main

import (
	"context"

	"github.com/strongroom/strongroom/internal/admin"
)

type tailCmd struct {
	folder     `embed:""`
	formatFlag `embed:""`

	Number int  `short:"n" default:"10" placeholder:"N" help:"How many records. Default: ${default}."`
	Follow bool `short:"f" help:"Go on with each record that is made. Only with a running server."`
}

func (tailCmd) Help() string {
	return `A running server is asked over its socket and makes a record of that; of a stopped one, the data folder is read.

Examples:

    strongroom audit tail
    strongroom audit tail -n 100 --data /srv/strongroom
    strongroom audit tail -f --format json`
}

// Run implements the command.
func (c *tailCmd) Run(a *app) error {
	if c.Number < 0 || c.Number > admin.MaxTail {
		return &problem{what: "-n is a number from 0 to 100000", hint: "for every record: strongroom audit export"}
	}
	return c.withTrail(a, func(ctx context.Context, trail admin.Source, live bool) error {
		if c.Follow && !live {
			return &problem{what: "no server is running on " + c.Data + ", so that there is nothing to follow", hint: "leave -f out to see its last records"}
		}
		return trail.Tail(ctx, c.Number, c.Follow, c.printer(a.stdout, a.stdoutIsTerminal))
	})
}
