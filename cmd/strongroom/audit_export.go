package main

import (
	"bufio"
	"context"
	"errors"

	"github.com/strongroom/strongroom/internal/admin"
)

type exportCmd struct {
	folder      `embed:""`
	filterFlags `embed:""`
}

func (exportCmd) Help() string {
	return `One JSON record a line on stdout, the oldest first. What proves each record goes with it, filtered or not: "strongroom audit verify FILE" checks it elsewhere. An export that ends with an error is not whole.

Examples:

    strongroom audit export > audit.jsonl
    strongroom audit export --since 24h --error any > denied.jsonl`
}

// Run implements the command.
func (c *exportCmd) Run(a *app) error {
	filter, err := c.filter(a.now())
	if err != nil {
		return err
	}
	out := bufio.NewWriter(a.stdout)
	progress := newProgress(a, "records")
	// What goes to a terminal shows how far it has come by itself.
	progress.off = progress.off || a.stdoutIsTerminal
	var records uint64
	err = c.withTrail(a, func(ctx context.Context, trail admin.Source, _ bool) error {
		return trail.Export(ctx, filter, func(line []byte) error {
			records++
			progress.show(records, 0)
			return writeLine(out, line)
		})
	})
	progress.done()
	return errors.Join(err, out.Flush())
}
