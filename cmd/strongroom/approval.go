package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/strongroom/strongroom/internal/admin"
)

// withApprovals runs use on the two-person rule of the folder: through the server that
// runs on it, or on the folder itself when none does.
func (f folder) withApprovals(a *app, use func(ctx context.Context, s admin.Approvals, by admin.Peer) error) error {
	return f.withSeals(a, func(ctx context.Context, s admin.Seals, by admin.Peer) error {
		rule, ok := s.(admin.Approvals)
		if !ok {
			return errors.New("no two-person rule is kept there")
		}
		return use(ctx, rule, by)
	})
}

// maxSmallFile bounds what is read of a public key or a signature, in bytes.
const maxSmallFile = 16 << 10

// readSmall reads a public key or a signature.
func readSmall(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", &problem{what: err.Error()}
	}
	text, err := io.ReadAll(io.LimitReader(file, maxSmallFile+1))
	if err := errors.Join(err, file.Close()); err != nil {
		return "", &problem{what: fmt.Sprintf("%s: %v", path, err)}
	}
	if len(text) > maxSmallFile {
		return "", &problem{what: path + " is too long to be a key or a signature"}
	}
	return string(text), nil
}

type twoPeopleCmd struct {
	Status twoPeopleStatusCmd `cmd:"" help:"Show the rule."`
	On     twoPeopleOnCmd     `cmd:"" help:"Put a rule in force, or another one in its place."`
	Off    twoPeopleOffCmd    `cmd:"" help:"End the rule."`
}

func describeTwoPeople(rule admin.TwoPeople) string {
	if !rule.On {
		return "There is no two-person rule: who may use the server's user may change everything alone.\n"
	}
	var text strings.Builder
	fmt.Fprintf(&text, "Two people are needed for: %s\n", strings.Join(rule.For, ", "))
	for _, name := range slices.Sorted(maps.Keys(rule.Operators)) {
		fmt.Fprintf(&text, "operator %s: %s\n", name, rule.Operators[name])
	}
	return text.String()
}

type twoPeopleStatusCmd struct {
	folder   `embed:""`
	jsonFlag `embed:""`
}

func (twoPeopleStatusCmd) Help() string {
	return `Example:

    strongroom two-people status`
}

// Run implements the command.
func (c *twoPeopleStatusCmd) Run(a *app) error {
	return c.withApprovals(a, func(ctx context.Context, s admin.Approvals, _ admin.Peer) error {
		rule, err := s.TwoPeople(ctx)
		if err != nil {
			return err
		}
		return c.print(a, rule, func() string { return describeTwoPeople(rule) })
	})
}

type twoPeopleOnCmd struct {
	folder   `embed:""`
	jsonFlag `embed:""`

	Operator map[string]string `required:"" placeholder:"NAME=FILE" help:"An operator, and the file of an SSH public key; once for each."`
	For      []string          `default:"root,restore,deletion" sep:"," placeholder:"A,B" help:"What two of them must approve: root (another root, recovery shares), restore (of a backup), deletion (of a key in less than 30 days). Default: ${default}."`
}

func (twoPeopleOnCmd) Help() string {
	return `Two of the operators then sign each such change with their SSH keys, which stay where they are: on their own machines, or in hardware. A first rule must be approved by two of those that it names; another rule, or none, by two of those that it had.

Name three or more: with two, a key that is lost leaves recovery shares as the only way out (strongroom recovery open --end-two-people).

Example:

    strongroom two-people on --operator alice=alice.pub --operator bob=bob.pub --operator carol=carol.pub`
}

// Run implements the command.
func (c *twoPeopleOnCmd) Run(a *app) error {
	in := admin.TwoPeople{On: true, Operators: map[string]string{}, For: c.For}
	for name, path := range c.Operator {
		key, err := readSmall(path)
		if err != nil {
			return err
		}
		in.Operators[name] = key
	}
	return setTwoPeople(a, c.folder, c.jsonFlag, in)
}

type twoPeopleOffCmd struct {
	folder   `embed:""`
	jsonFlag `embed:""`
}

func (twoPeopleOffCmd) Help() string {
	return `Two operators must approve it.

Example:

    strongroom two-people off`
}

// Run implements the command.
func (c *twoPeopleOffCmd) Run(a *app) error {
	return setTwoPeople(a, c.folder, c.jsonFlag, admin.TwoPeople{})
}

func setTwoPeople(a *app, f folder, j jsonFlag, in admin.TwoPeople) error {
	return f.withApprovals(a, func(ctx context.Context, s admin.Approvals, by admin.Peer) error {
		rule, err := s.SetTwoPeople(ctx, by, in)
		if err != nil {
			return err
		}
		return j.print(a, rule, func() string { return describeTwoPeople(rule) })
	})
}

type approvalCmd struct {
	List     approvalListCmd     `cmd:"" help:"List what waits for approval."`
	Show     approvalShowCmd     `cmd:"" help:"Print what is to be signed."`
	Add      approvalAddCmd      `cmd:"" help:"Add an operator's signature."`
	Withdraw approvalWithdrawCmd `cmd:"" help:"End a request."`
}

func describeRequests(requests []admin.ApprovalRequest) string {
	if len(requests) == 0 {
		return "Nothing waits for approval.\n"
	}
	var text strings.Builder
	for _, r := range requests {
		fmt.Fprintf(&text, "%s  %s  until %s  approved by %d of %d", r.ID, r.Action, r.Expires.Format(time.RFC3339), len(r.ApprovedBy), r.Needed)
		if len(r.ApprovedBy) > 0 {
			fmt.Fprintf(&text, " (%s)", strings.Join(r.ApprovedBy, ", "))
		}
		text.WriteByte('\n')
	}
	return text.String()
}

type approvalListCmd struct {
	folder   `embed:""`
	jsonFlag `embed:""`
}

func (approvalListCmd) Help() string {
	return `Requests wait for a day.

Example:

    strongroom approval list`
}

// Run implements the command.
func (c *approvalListCmd) Run(a *app) error {
	return c.withApprovals(a, func(ctx context.Context, s admin.Approvals, _ admin.Peer) error {
		requests, err := s.Requests(ctx)
		if err != nil {
			return err
		}
		return c.print(a, requests, func() string { return describeRequests(requests) })
	})
}

type approvalShowCmd struct {
	folder   `embed:""`
	jsonFlag `embed:""`

	ID string `arg:"" help:"The request."`
}

func (approvalShowCmd) Help() string {
	return `Read it before you sign it: the signature approves exactly this, once.

Example:

    strongroom approval show 5f0c2a >request.txt
    ssh-keygen -Y sign -n strongroom -f ~/.ssh/id_ed25519 request.txt`
}

// Run implements the command.
func (c *approvalShowCmd) Run(a *app) error {
	return c.withApprovals(a, func(ctx context.Context, s admin.Approvals, _ admin.Peer) error {
		requests, err := s.Requests(ctx)
		if err != nil {
			return err
		}
		for _, r := range requests {
			if r.ID == c.ID {
				return c.print(a, r, func() string { return r.Text })
			}
		}
		return &problem{what: "there is no request " + c.ID + " that waits", hint: "strongroom approval list"}
	})
}

type approvalAddCmd struct {
	folder   `embed:""`
	jsonFlag `embed:""`

	ID        string `arg:"" help:"The request."`
	Signature string `required:"" placeholder:"FILE" help:"What ssh-keygen -Y sign has written."`
}

func (approvalAddCmd) Help() string {
	return `When two have approved, whoever has asked for the change gives the same command again, and it is made.

Example:

    strongroom approval add 5f0c2a --signature request.txt.sig`
}

// Run implements the command.
func (c *approvalAddCmd) Run(a *app) error {
	signature, err := readSmall(c.Signature)
	if err != nil {
		return err
	}
	return c.withApprovals(a, func(ctx context.Context, s admin.Approvals, by admin.Peer) error {
		r, err := s.Approve(ctx, by, admin.Signature{Request: c.ID, Signature: signature})
		if err != nil {
			return err
		}
		return c.print(a, r, func() string {
			text := describeRequests([]admin.ApprovalRequest{r})
			if len(r.ApprovedBy) >= r.Needed {
				text += "It is approved: whoever has asked for it gives the same command again.\n"
			}
			return text
		})
	})
}

type approvalWithdrawCmd struct {
	folder   `embed:""`
	jsonFlag `embed:""`

	ID string `arg:"" help:"The request."`
}

func (approvalWithdrawCmd) Help() string {
	return `Example:

    strongroom approval withdraw 5f0c2a`
}

// Run implements the command.
func (c *approvalWithdrawCmd) Run(a *app) error {
	return c.withApprovals(a, func(ctx context.Context, s admin.Approvals, by admin.Peer) error {
		requests, err := s.Withdraw(ctx, by, admin.RequestName{ID: c.ID})
		if err != nil {
			return err
		}
		return c.print(a, requests, func() string { return describeRequests(requests) })
	})
}

type keyCmd struct {
	ShortenDeletion keyShortenDeletionCmd `cmd:"" help:"Shorten the wait of a key that is to be deleted."`
}

type keyShortenDeletionCmd struct {
	folder   `embed:""`
	jsonFlag `embed:""`

	Key  string `arg:"" help:"The key's ARN."`
	Days int32  `default:"7" placeholder:"N" help:"How many days from now it is to wait, 7 to 29. Default: ${default}."`
}

func (keyShortenDeletionCmd) Help() string {
	return `For a deployment whose two-person rule covers deletion: callers of the API cannot choose a wait of less than 30 days there, and two operators can shorten it afterwards.

Example:

    strongroom key shorten-deletion arn:aws:kms:us-east-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab --days 7`
}

// Run implements the command.
func (c *keyShortenDeletionCmd) Run(a *app) error {
	return c.withApprovals(a, func(ctx context.Context, s admin.Approvals, by admin.Peer) error {
		key, err := s.ShortenDeletion(ctx, by, admin.ShorterWait{Key: c.Key, Days: c.Days})
		if err != nil {
			return err
		}
		return c.print(a, key, func() string {
			return fmt.Sprintf("%s will be deleted at %s.\n", key.Key, key.DeletionDate.Format(time.RFC3339))
		})
	})
}
