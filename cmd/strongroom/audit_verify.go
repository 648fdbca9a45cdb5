package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/strongroom/strongroom/internal/admin"
)

type verifyCmd struct {
	folder `embed:""`

	File       string `arg:"" optional:"" help:"An export to check, instead of the data folder."`
	PublicKey  string `placeholder:"FILE" help:"The public key that signed the checkpoints, PEM. Default: the data folder's."`
	Checkpoint string `placeholder:"FILE" help:"A later checkpoint that was kept elsewhere: a trail that ends before it has been cut."`
	JSON       bool   `help:"Print the report as one JSON object. It holds the newest checkpoint, to keep elsewhere."`
}

func (verifyCmd) Help() string {
	return `Exits with 0 only when nothing is missing or changed, and names the first bad record otherwise. Of a data folder it checks the stored keys, policies and identities too: none may have been changed, removed or put back behind the server's back.

Examples:

    strongroom audit verify
    strongroom audit verify audit.jsonl --public-key audit.pem
    strongroom audit verify --checkpoint checkpoint.txt --json`
}

// maxProof is the longest public key or checkpoint, in bytes.
const maxProof = 64 << 10

// Run implements the command.
func (c *verifyCmd) Run(a *app) error {
	var opts admin.VerifyOptions
	var err error
	if opts.PublicKey, err = readProof("--public-key", c.PublicKey); err != nil {
		return err
	}
	if opts.Checkpoint, err = readProof("--checkpoint", c.Checkpoint); err != nil {
		return err
	}
	var report admin.Report
	if c.File != "" {
		report, err = c.verifyFile(a, opts)
	} else {
		progress := newProgress(a, "records checked")
		err = c.withTrail(a, func(ctx context.Context, trail admin.Source, _ bool) (err error) {
			report, err = trail.Verify(ctx, opts, func(p admin.Progress) { progress.show(p.Done, p.Total) })
			return err
		})
		progress.done()
	}
	if err != nil {
		return err
	}
	return c.print(a, report)
}

func readProof(flag, path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	defer file.Close()
	proof, err := io.ReadAll(io.LimitReader(file, maxProof+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	// An empty file must not count as one that was not given.
	if len(proof) == 0 || len(proof) > maxProof {
		return nil, &problem{what: fmt.Sprintf("%s: %s has no such thing in it: it is empty, or longer than %d bytes", flag, path, maxProof)}
	}
	return proof, nil
}

func (c *verifyCmd) verifyFile(a *app, opts admin.VerifyOptions) (admin.Report, error) {
	file, err := os.Open(c.File)
	if err != nil {
		return admin.Report{}, fmt.Errorf("the export: %w", err)
	}
	defer file.Close()
	return a.verifyExport(context.Background(), c.Data, file, opts)
}

// print says what was found. A trail that is not whole is an error of this
// command.
func (c *verifyCmd) print(a *app, report admin.Report) error {
	if c.JSON {
		if err := json.NewEncoder(a.stdout).Encode(report); err != nil {
			return err
		}
	}
	if fault := report.Fault; fault != nil {
		what := "the audit trail is not whole: "
		if fault.Record != 0 {
			what += fmt.Sprintf("record %d ", fault.Record)
			if fault.EventID != "" {
				what += fmt.Sprintf("(eventID %s) ", fault.EventID)
			}
		}
		hint := "keep the data folder as it is, and compare it with an export or a backup"
		if c.File != "" {
			hint = "keep the file as it is, and see whether the trail itself is whole: strongroom audit verify --data " + shellQuote(c.Data)
		}
		return &problem{what: what + fault.Problem, hint: hint}
	}
	if len(report.Changed) > 0 {
		return &problem{
			what: "the audit trail is whole, but the records are not those that the server left: " + strings.Join(report.Changed, "; "),
			hint: "keep the data folder as it is; docs/operations.md says what to do under \"Changed records\"",
		}
	}
	if c.JSON {
		return nil
	}
	_, err := fmt.Fprintf(a.stdout, "%s in %s, with %s: nothing is missing or changed.\n",
		count(report.Records, "record"), count(report.Frames, "frame"), count(report.Checkpoints, "checkpoint"))
	if err == nil && report.Stored > 0 {
		_, err = fmt.Fprintf(a.stdout, "%s in the database: all as they were left.\n", count(report.Stored, "record"))
	}
	if err == nil && report.Removed > 0 {
		_, err = fmt.Fprintf(a.stdout, "The %s before them were removed by retention, as the trail says itself.\n", count(report.Removed, "record"))
	}
	if err == nil && report.Unanchored > 0 {
		_, err = fmt.Fprintf(a.stdout, "No checkpoint signs for the last %s yet: a cut there could not be found.\n", count(report.Unanchored, "record"))
	}
	return err
}

// count is a number of things, in words.
func count(n uint64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
