package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/strongroom/strongroom/internal/server"
)

type lintCmd struct {
	jsonFlag `embed:""`

	File string `arg:"" help:"The policy, JSON; - for standard input."`
	Kind string `enum:"auto,key,identity,trust,resource" default:"auto" placeholder:"KIND" help:"What the policy is for: key, identity, trust or resource. Default: seen by its elements."`
}

func (lintCmd) Help() string {
	return `Actions that do not exist, condition keys that no request for the actions has, misspelt ARNs, an Allow for everyone, and the like. It asks no server, and exits with 0 only when it has found nothing.

Examples:

    strongroom access lint key-policy.json
    strongroom access lint --kind identity policy.json`
}

// maxLinted is the longest policy, in bytes.
const maxLinted = 1 << 20

// Run implements the command.
func (c *lintCmd) Run(a *app) error {
	text, err := readPolicy(c.File)
	if err != nil {
		return err
	}
	findings, err := server.LintPolicy(text, c.Kind)
	if err != nil {
		return &problem{what: fmt.Sprintf("%s: %v", c.File, err), hint: "AWS refuses such a policy, and so does Strongroom"}
	}
	err = c.print(a, findings, func() string {
		var out strings.Builder
		for _, f := range findings {
			place := f.Path
			if place == "" {
				place = "the document"
			}
			fmt.Fprintf(&out, "%s: %s: %s\n", c.File, place, f.Text)
		}
		if len(findings) == 0 {
			fmt.Fprintf(&out, "%s: nothing found\n", c.File)
		}
		return out.String()
	})
	if err == nil && len(findings) > 0 {
		err = &problem{what: count(uint64(len(findings)), "finding") + " in " + c.File}
	}
	return err
}

// readPolicy reads a policy from a file; "-" is standard input.
func readPolicy(path string) ([]byte, error) {
	file := os.Stdin
	if path != "-" {
		var err error
		if file, err = os.Open(path); err != nil {
			return nil, fmt.Errorf("the policy: %w", err)
		}
	}
	text, err := io.ReadAll(io.LimitReader(file, maxLinted+1))
	if path != "-" {
		err = errors.Join(err, file.Close())
	}
	if err == nil && len(text) > maxLinted {
		err = &problem{what: fmt.Sprintf("%s is longer than %d bytes: it must be something else", path, maxLinted)}
	}
	return text, err
}
