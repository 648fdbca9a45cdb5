package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/strongroom/strongroom/internal/admin"
)

type doctorCmd struct {
	serveCmd `embed:""` // the settings of the server that is checked
	jsonFlag `embed:""`

	Quick bool `help:"Leave out what reads the whole audit trail and every key."`
}

func (doctorCmd) Help() string {
	return `Looks at the settings, the data folder, its disk, the clock, the limits, the root, the audit trail and the keys, and says what to do about what it finds. It asks the server that runs on the folder, or opens the folder itself when none does; give it the settings that the server has, best with --config.

It exits with 1 when something is wrong, and with 0 when things are fine or only doubtful.

Example:

    strongroom doctor --config /etc/strongroom/strongroom.conf --data /var/lib/strongroom`
}

// diagnosis is everything that was found.
type diagnosis struct {
	Version  string          `json:"version"`
	Running  bool            `json:"running"`
	Findings []admin.Finding `json:"findings"`
	Doubtful int             `json:"doubtful"`
	Wrong    int             `json:"wrong"`
}

func (d *diagnosis) add(found ...admin.Finding) {
	for _, f := range found {
		switch f.Level {
		case admin.Doubtful:
			d.Doubtful++
		case admin.Wrong:
			d.Wrong++
		}
		d.Findings = append(d.Findings, f)
	}
}

// wrong adds an error that ended a check.
func (d *diagnosis) wrong(check string, err error) {
	d.add(admin.Finding{Check: check, Level: admin.Wrong, Text: err.Error(), Advice: hintFor(err)})
}

// Run implements the command.
func (c *doctorCmd) Run(a *app) error {
	d := &diagnosis{Version: thisBuild().Version}
	c.settings(a, d)
	if err := c.exists(); err != nil {
		d.wrong("files", err)
	} else {
		c.deployment(a, d)
	}
	if err := c.print(a, d, d.text); err != nil {
		return err
	}
	if d.Wrong > 0 {
		return &problem{what: fmt.Sprintf("%s wrong", areOrIs(d.Wrong)), hint: "each finding says what to do; docs/operations.md has more"}
	}
	return nil
}

func areOrIs(n int) string {
	if n == 1 {
		return "1 thing is"
	}
	return fmt.Sprintf("%d things are", n)
}

// settings checks what the server would be started with.
func (c *doctorCmd) settings(a *app, d *diagnosis) {
	cfg := c.config(slog.New(slog.DiscardHandler))
	cfg.Stdout = a.stdout
	cfg.Root.Ask = a.passphrase(c.Seal, c.SealPassphraseFile)
	if err := cfg.Validate(); err != nil {
		d.wrong("settings", a.origins.explain(err))
		return
	}
	d.add(admin.Finding{Check: "settings", Level: admin.Fine, Text: "the settings can be used"})
}

// deployment asks the server, or the folder.
func (c *doctorCmd) deployment(a *app, d *diagnosis) {
	ctx := context.Background()
	client, err := admin.Connect(c.Data)
	if err == nil {
		d.Running = true
		c.examine(ctx, client, d)
		if !c.Quick {
			c.trail(ctx, a, client, d)
		}
		return
	}
	if !errors.Is(err, admin.ErrNotRunning) {
		d.wrong("server", err)
		return
	}
	d.add(admin.Finding{Check: "server", Level: admin.Fine, Text: "no server runs on the folder; what only a server knows is left out"})
	o, err := a.openOperator(ctx, c.asServer(a))
	if err != nil {
		d.wrong("data folder", err)
		d.add(a.examineFolder(c.Data)...)
		return
	}
	c.examine(ctx, o, d)
	if err := o.Close(); err != nil {
		d.wrong("data folder", err)
		return
	}
	if c.Quick {
		return
	}
	trail, err := a.openAudit(ctx, c.asServer(a))
	if err != nil {
		d.wrong("audit trail", err)
		return
	}
	c.trail(ctx, a, trail, d)
	if err := trail.Close(); err != nil {
		d.wrong("audit trail", err)
	}
}

func (c *doctorCmd) examine(ctx context.Context, of admin.Doctor, d *diagnosis) {
	found, err := of.Examine(ctx)
	d.add(found...)
	if err != nil {
		d.wrong("data folder", err)
	}
}

// unusedDays is how long a key was not used that somebody should look at.
const unusedDays = 365

// trail verifies the audit trail and looks through the keys.
func (c *doctorCmd) trail(ctx context.Context, a *app, trail admin.Source, d *diagnosis) {
	progress := newProgress(a, "records checked")
	report, err := trail.Verify(ctx, admin.VerifyOptions{}, func(p admin.Progress) { progress.show(p.Done, p.Total) })
	progress.done()
	const keep = "keep the data folder as it is; strongroom audit verify says more"
	switch {
	case err != nil:
		d.wrong("audit trail", err)
	case report.Fault != nil:
		d.add(admin.Finding{Check: "audit trail", Level: admin.Wrong, Text: "the audit trail is not whole: " + report.Fault.Problem, Advice: keep})
	default:
		d.add(admin.Finding{Check: "audit trail", Level: admin.Fine, Text: fmt.Sprintf("%s up to the last checkpoint, nothing missing or changed", count(report.Records-report.Unanchored, "record"))})
	}
	if err == nil && len(report.Changed) > 0 {
		d.add(admin.Finding{Check: "records", Level: admin.Wrong, Text: "records are not those that the server left: " + strings.Join(report.Changed, "; "), Advice: keep})
	}
	found := map[string]int{}
	err = trail.KeyReport(ctx, unusedDays, func(line []byte) error { return countFindings(found, line) })
	if err != nil {
		d.wrong("keys", err)
		return
	}
	d.add(keyFindings(found)...)
}

// text is what people read: what is wrong first.
func (d *diagnosis) text() string {
	var text strings.Builder
	for _, level := range []admin.Level{admin.Wrong, admin.Doubtful, admin.Fine} {
		for _, f := range d.Findings {
			if f.Level != level {
				continue
			}
			fmt.Fprintf(&text, "%-9s %s: %s\n", level, f.Check, f.Text)
			if f.Advice != "" && level != admin.Fine {
				for line := range strings.Lines(f.Advice) {
					fmt.Fprintf(&text, "%-9s %s\n", "", strings.TrimRight(line, "\n"))
				}
			}
		}
	}
	return text.String()
}
