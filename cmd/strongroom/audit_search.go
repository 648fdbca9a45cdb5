package main

import (
	"bufio"
	"context"
	"errors"

	"github.com/strongroom/strongroom/internal/admin"
)

type searchCmd struct {
	folder      `embed:""`
	formatFlag  `embed:""`
	filterFlags `embed:""`
}

func (searchCmd) Help() string {
	return `Several flags must all match. The oldest record comes first.

Examples:

    strongroom audit search --key alias/payroll --since 7d
    strongroom audit search --operation Decrypt --error any
    strongroom audit search --principal alice --since 2026-01-31 --until 2026-02-01`
}

// Run implements the command.
func (c *searchCmd) Run(a *app) error {
	filter, err := c.filter(a.now())
	if err != nil {
		return err
	}
	if filter == (admin.Filter{}) {
		return &problem{what: "nothing to search for", hint: "name one of --key, --principal, --operation, --since, --until, --error; for every record: strongroom audit export"}
	}
	out := bufio.NewWriter(a.stdout)
	err = c.withTrail(a, func(ctx context.Context, trail admin.Source, _ bool) error {
		return trail.Search(ctx, filter, c.printer(out, a.stdoutIsTerminal))
	})
	return errors.Join(err, out.Flush())
}
