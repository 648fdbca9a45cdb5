package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/server"
)

type recoveryCmd struct {
	Init   recoveryInitCmd   `cmd:"" help:"Make a recovery key, and show its shares once."`
	Verify recoveryVerifyCmd `cmd:"" help:"Check that shares open every key."`
	Open   recoveryOpenCmd   `cmd:"" help:"Open a stopped folder with shares, and give it a new root."`
}

type recoveryInitCmd struct {
	folder   `embed:""`
	jsonFlag `embed:""`

	Shares  int  `default:"5" placeholder:"N" help:"How many shares are made. Default: ${default}."`
	Needed  int  `default:"3" placeholder:"K" help:"How many of them open. Default: ${default}."`
	Replace bool `help:"End the recovery key that there is, and its shares with it."`
}

func (recoveryInitCmd) Help() string {
	return `Any K of the N shares open everything, without the root and without each other's help; fewer say nothing. They are printed once and kept nowhere: give each to another person, on paper, and check them afterwards. Printing to a terminal may leave them in its history. They stay good when the domain key rotates and when the root changes.

Examples:

    strongroom recovery init
    strongroom recovery init --shares 7 --needed 4 --replace`
}

// Run implements the command.
func (c *recoveryInitCmd) Run(a *app) error {
	return c.withSeals(a, func(ctx context.Context, s admin.Seals, by admin.Peer) error {
		made, err := s.InitRecovery(ctx, by, admin.NewRecovery{Needed: c.Needed, Shares: c.Shares, Replace: c.Replace})
		if err != nil {
			return err
		}
		return c.print(a, made, func() string {
			var text strings.Builder
			fmt.Fprintf(&text, "# Any %d of these %d shares open the keys of deployment %s.\n# They are shown this once. Keep each with another person.\n",
				made.Recovery.Needed, made.Recovery.Shares, made.Deployment)
			for i, share := range made.Texts {
				fmt.Fprintf(&text, "\n# share %d of %d, set %s\n%s\n", i+1, made.Recovery.Shares, made.Recovery.Set, share)
			}
			if made.Problem != "" {
				fmt.Fprintf(&text, "\n# These shares are in force. What went wrong afterwards: %s\n", strings.ReplaceAll(made.Problem, "\n", "\n# "))
			}
			text.WriteString("\n# Check them as they were written down: strongroom recovery verify\n")
			return text.String()
		})
	})
}

// sharesFlag says where shares come from.
type sharesFlag struct {
	SharesFile []string `sep:"none" placeholder:"FILE" help:"A file of shares, one a line; may be given more than once. Default: questions, or stdin."`
}

// maxSharesText bounds a file of shares, in bytes.
const maxSharesText = 64 << 10

// read returns the shares that are given.
func (f sharesFlag) read(a *app) ([]string, error) {
	var shares []string
	for _, path := range f.SharesFile {
		file, err := os.Open(path)
		if err != nil {
			return nil, &problem{what: fmt.Sprintf("the shares: %v", err)}
		}
		some, err := shareLines(file)
		if err := errors.Join(err, file.Close()); err != nil {
			return nil, &problem{what: fmt.Sprintf("the shares in %s: %v", path, err)}
		}
		shares = append(shares, some...)
	}
	if len(f.SharesFile) > 0 {
		return shares, nil
	}
	if a.hidden == nil {
		return shareLines(a.stdin)
	}
	for {
		share, err := a.askHidden(fmt.Sprintf("Share %d (empty when there are no more): ", len(shares)+1))
		if err != nil {
			return nil, err
		}
		if strings.TrimSpace(string(share)) == "" {
			return shares, nil
		}
		if err := server.CheckShare(string(share)); err != nil {
			report(a.stderr, err)
			continue
		}
		shares = append(shares, string(share))
	}
}

// shareLines reads one share a line. Empty lines and those that begin with # are
// left out, so that what init prints can be given as it is.
func shareLines(r io.Reader) (shares []string, err error) {
	lines := bufio.NewScanner(io.LimitReader(r, maxSharesText))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line != "" && !strings.HasPrefix(line, "#") {
			shares = append(shares, line)
		}
	}
	return shares, lines.Err()
}

type recoveryVerifyCmd struct {
	folder     `embed:""`
	jsonFlag   `embed:""`
	sharesFlag `embed:""`
}

func (recoveryVerifyCmd) Help() string {
	return `It makes the recovery key of the shares, opens every version of the domain key with it, and changes nothing. A running server is asked over its socket; a stopped folder is opened with the shares alone.

Examples:

    strongroom recovery verify
    strongroom recovery verify --shares-file share-1 --shares-file share-4 --shares-file share-5`
}

// Run implements the command.
func (c *recoveryVerifyCmd) Run(a *app) error {
	if err := c.exists(); err != nil {
		return err
	}
	shares, err := c.read(a)
	if err != nil {
		return err
	}
	proof := admin.RecoveryProof{Texts: shares}
	by := admin.Peer{UID: uint32(os.Getuid()), PID: int32(os.Getpid())}
	said := func(status admin.Seal, err error) error {
		if err != nil {
			return err
		}
		return c.print(a, status, func() string {
			return fmt.Sprintf("These %d shares of set %s open every key, in all %d versions of the domain key.\n", len(shares), status.Recovery.Set, status.Version)
		})
	}
	ctx := context.Background()
	client, err := admin.Connect(c.Data)
	if err == nil {
		return said(client.VerifyRecovery(ctx, by, proof))
	}
	if !errors.Is(err, admin.ErrNotRunning) {
		return err
	}
	return c.withRecovered(ctx, a, shares, func(r server.Recovered) error { return said(r.VerifyRecovery(ctx, by, proof)) })
}

// withRecovered runs use on a stopped folder that shares have opened.
func (f folder) withRecovered(ctx context.Context, a *app, shares []string, use func(server.Recovered) error) error {
	r, err := a.openRecovered(ctx, f.asServer(a), shares)
	if err != nil {
		return err
	}
	return errors.Join(use(r), r.Close())
}

type recoveryOpenCmd struct {
	folder     `embed:""`
	jsonFlag   `embed:""`
	sharesFlag `embed:""`

	EndTwoPeople bool `help:"End the two-person rule too, as when the keys of its operators are lost."`
}

func (recoveryOpenCmd) Help() string {
	return `For a root that is gone. The shares open the folder, and a new root, of the kind that --seal names, takes the place of the old one. The shares stay good. A root.key that does not open the folder is moved away first.

Examples:

    strongroom recovery open
    strongroom recovery open --seal passphrase --seal-passphrase-file new-passphrase --shares-file shares`
}

// Run implements the command.
func (c *recoveryOpenCmd) Run(a *app) error {
	if err := c.exists(); err != nil {
		return err
	}
	if _, err := admin.Connect(c.Data); err == nil {
		return &problem{what: "a server runs on " + c.Data + ", so that its root is not gone", hint: "to change the root: strongroom seal migrate"}
	} else if !errors.Is(err, admin.ErrNotRunning) {
		return err
	}
	shares, err := c.read(a)
	if err != nil {
		return err
	}
	ctx := context.Background()
	return c.withRecovered(ctx, a, shares, func(r server.Recovered) error {
		by := admin.Peer{UID: uint32(os.Getuid()), PID: int32(os.Getpid())}
		status, err := r.Reseal(ctx, by)
		if err == nil && c.EndTwoPeople {
			err = r.EndTwoPeople(ctx, by)
		}
		if err != nil {
			return err
		}
		return c.print(a, status, func() string {
			return describeSeal(status) + "The folder has a new root. Start the server with --seal " + c.Seal + ".\n" +
				"If others may have had the old root: strongroom seal rotate\nIf the shares have been seen together: strongroom recovery init --replace\n"
		})
	})
}
