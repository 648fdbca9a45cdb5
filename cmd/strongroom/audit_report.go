package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/strongroom/strongroom/internal/admin"
)

type reportCmd struct {
	folder `embed:""`

	Unused int  `default:"90" placeholder:"DAYS" help:"How long without a use makes a key unused, in days. Default: ${default}."`
	JSON   bool `name:"json" help:"Print one JSON object a line for each key."`
}

func (reportCmd) Help() string {
	return `Lists the keys of all accounts and Regions that somebody should look at:

    unused        neither made nor used in the last DAYS days
    no rotation   could be rotated automatically, and is not
    still used    about to be deleted, and used in the last DAYS days or asked for since

A use is a successful cryptographic operation, as for GetKeyLastUsage.

Examples:

    strongroom audit report
    strongroom audit report --unused 365 --json`
}

// Run implements the command.
func (c *reportCmd) Run(a *app) error {
	if c.Unused < 1 || c.Unused > admin.MaxReportDays {
		return &problem{what: fmt.Sprintf("--unused is a number of days from 1 to %d", admin.MaxReportDays)}
	}
	out := bufio.NewWriter(a.stdout)
	found := map[string]uint64{}
	err := c.withTrail(a, func(ctx context.Context, trail admin.Source, _ bool) error {
		return trail.KeyReport(ctx, c.Unused, func(line []byte) error {
			if c.JSON {
				return writeLine(out, line)
			}
			var f admin.KeyFinding
			if err := json.Unmarshal(line, &f); err != nil {
				return fmt.Errorf("the report has a line that is none: %w", err)
			}
			for _, finding := range f.Findings {
				found[finding]++
			}
			return writeLine(out, []byte(printable(describeFinding(f))))
		})
	})
	if err == nil && !c.JSON {
		_, err = fmt.Fprintf(out, "%s unused for %d days, %d not rotated, %d about to be deleted and still used.\n",
			count(found[admin.FindingUnused], "key"), c.Unused, found[admin.FindingNoRotation], found[admin.FindingStillUsed])
	}
	return errors.Join(err, out.Flush())
}

// describeFinding is a key and why it is in the report, on one line.
func describeFinding(f admin.KeyFinding) string {
	names := map[string]string{
		admin.FindingUnused: "unused", admin.FindingNoRotation: "no rotation", admin.FindingStillUsed: "still used",
	}
	var why []string
	for _, finding := range f.Findings {
		name, known := names[finding]
		if !known {
			name = finding
		}
		why = append(why, name)
	}
	parts := []string{f.Key, f.State, strings.Join(why, ", ")}
	if f.LastUse != nil {
		parts = append(parts, "last use "+f.LastUse.Time.UTC().Format(time.RFC3339)+" "+f.LastUse.Operation)
	} else {
		parts = append(parts, "never used, made "+f.Created.UTC().Format(time.RFC3339))
	}
	if f.Deletion != nil {
		parts = append(parts, "to be deleted "+f.Deletion.UTC().Format(time.RFC3339))
	}
	if f.RefusedUses > 0 {
		more := ""
		if f.RefusedUses >= admin.MaxRefusedUses {
			more = " or more"
		}
		parts = append(parts, count(uint64(f.RefusedUses), "refused use")+more+" since")
	}
	return strings.Join(parts, "  ")
}
