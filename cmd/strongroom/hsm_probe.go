package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/strongroom/strongroom/internal/hsm"
)

// probeTime is how long a probe may take.
const probeTime = 2 * time.Minute

type hsmProbeCmd struct {
	jsonFlag `embed:""`

	Module      string  `required:"" placeholder:"FILE" help:"The vendor's PKCS #11 library."`
	TokenLabel  string  `placeholder:"LABEL" help:"The token to look at closely, by its label."`
	TokenSerial string  `placeholder:"NUMBER" help:"The same, by its serial number."`
	Slot        *uint64 `placeholder:"N" help:"The same, by its slot. Some modules number slots anew at each start."`
	PINFile     string  `name:"pin-file" placeholder:"FILE" help:"A file that holds the PIN of the token's user. With it, the token is tried: keys are made, used and deleted again."`
}

func (hsmProbeCmd) Help() string {
	return `Without a token it lists those that there are. With one it says which mechanisms it has and which of them Strongroom uses, and with a PIN it tries them. The library is loaded into a process of its own.

Examples:

    strongroom hsm probe --module /usr/lib/softhsm/libsofthsm2.so
    strongroom hsm probe --module /usr/lib/softhsm/libsofthsm2.so --token-label kms --pin-file pin`
}

// Run implements the command.
func (c *hsmProbeCmd) Run(a *app) error {
	module, err := filepath.Abs(c.Module)
	if err != nil {
		return err
	}
	cfg := hsm.Config{
		Module: module, Helper: helperCommand(),
		Token: hsm.Token{Label: c.TokenLabel, Serial: c.TokenSerial, Slot: c.Slot},
	}
	if c.PINFile != "" {
		if cfg.Token == (hsm.Token{}) {
			return &problem{what: "a PIN is of no use without a token", hint: "name one with --token-label; to list them, leave --pin-file out"}
		}
		cfg.PIN = hsm.PINFile(c.PINFile)
	}
	ctx, cancel := context.WithTimeout(context.Background(), probeTime)
	defer cancel()
	report, err := hsm.ProbeModule(ctx, cfg)
	if err != nil {
		return explainHSM(err, module)
	}
	if err := c.print(a, report, func() string { return describeProbe(report) }); err != nil {
		return err
	}
	if c.PINFile != "" && !report.Usable() {
		return &problem{what: "Strongroom cannot keep keys in this token", hint: "look at what is missing above"}
	}
	return nil
}

// explainHSM says of an error of a module what to do about it.
func explainHSM(err error, module string) error {
	hint := ""
	switch {
	case errors.Is(err, hsm.ErrNoModule):
		hint = "the library's path is in its vendor's documents; to see what it needs itself: ldd " + module
	case errors.Is(err, hsm.ErrNoToken):
		hint = "to list the tokens that there are: strongroom hsm probe --module " + module
	case errors.Is(err, hsm.ErrUnavailable):
		hint = "does the library find its own configuration? Its variables are handed on to it, but for those that begin with STRONGROOM_ or AWS_"
	}
	return &problem{what: strings.ReplaceAll(err.Error(), "hsm: ", ""), hint: hint}
}

func describeProbe(r hsm.Report) string {
	var text strings.Builder
	fmt.Fprintf(&text, "module %s\n  %s, version %s, by %s; Cryptoki %s\n", r.Module, r.Library, r.LibraryVersion, r.LibraryMaker, r.CryptokiVersion)
	fmt.Fprintf(&text, "%d slots with a token\n", len(r.Slots))
	for _, s := range r.Slots {
		fmt.Fprintf(&text, "  slot %d: ", s.Slot)
		switch {
		case !s.Initialised:
			fmt.Fprintf(&text, "a token that is not initialised (%s)\n", s.TokenModel)
		default:
			fmt.Fprintf(&text, "%q, serial number %s, %s by %s%s\n", s.TokenLabel, s.TokenSerial, s.TokenModel, s.TokenMaker, pinNotes(s))
		}
	}
	if r.Token == nil {
		return text.String() + "To look at one closely: strongroom hsm probe --module " + r.Module + " --token-label LABEL --pin-file FILE\n"
	}
	sessions := "any number of sessions"
	if r.Token.MaxSessions > 0 {
		sessions = fmt.Sprintf("%d sessions at most", r.Token.MaxSessions)
	}
	fmt.Fprintf(&text, "the token in slot %d: %s, %d mechanisms\n", r.Token.Slot, sessions, len(r.Token.Mechanisms))
	var others []string
	numbers := 0
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, m := range r.Token.Mechanisms {
		if m.UsedFor == "" {
			if strings.HasPrefix(m.Name, "CKM_") {
				others = append(others, m.Name)
			} else {
				numbers++ // --json lists them
			}
			continue
		}
		fmt.Fprintf(table, "  %s\tkey sizes %d to %d\t%s\n", m.Name, m.MinKeySize, m.MaxKeySize, m.UsedFor)
	}
	_ = table.Flush() // into memory
	if len(others) > 0 {
		fmt.Fprintf(&text, "  not used: %s, and %d others\n", strings.Join(others, " "), numbers)
	}
	table = tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, c := range r.Checks {
		fmt.Fprintf(table, "%s\t%s\t%s\n", c.Result, c.Name, strings.ReplaceAll(c.Detail, "hsm: ", ""))
	}
	_ = table.Flush()
	if r.Usable() {
		text.WriteString("Strongroom can keep keys in this token, as far as it was tried.\n")
	}
	return text.String()
}

// pinNotes are what there is to say of a token's PIN.
func pinNotes(s hsm.SlotReport) string {
	switch {
	case !s.UserPIN:
		return "; its user has no PIN yet"
	case s.PINLocked:
		return "; its PIN is locked"
	case s.PINFinalTry:
		return "; one more wrong PIN locks it"
	case s.PINLow:
		return "; wrong PINs were tried"
	}
	return ""
}
