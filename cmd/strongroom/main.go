// Command strongroom is the daemon and the command line of Strongroom.
//
// It parses, checks and speaks with people; what serves is wired together in
// package server, so that the public test kit starts the same thing.
//
// It exits with 0 when it has done what it was asked, 2 when the command line
// cannot be understood, and 1 for everything else.
package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/server"
)

func main() {
	if err := harden(); err != nil {
		report(os.Stderr, &problem{what: "cannot protect the memory of this process: " + err.Error()})
		os.Exit(1)
	}
	os.Exit(run(os.Args[1:], ofProcess()))
}

// ofProcess is the outside of this process, and the real server.
func ofProcess() *app {
	return &app{
		stdout: os.Stdout, stderr: os.Stderr, env: os.Environ(), now: time.Now,
		stdoutIsTerminal: isTerminal(os.Stdout), stderrIsTerminal: isTerminal(os.Stderr),
		stdin: os.Stdin, hidden: hidden(),
		signals: func() <-chan os.Signal {
			// A reader of the log that has gone away must not take the server along.
			signal.Ignore(syscall.SIGPIPE)
			c := make(chan os.Signal, 2)
			signal.Notify(c, os.Interrupt, syscall.SIGTERM)
			return c
		},
		hangups: func() <-chan os.Signal {
			c := make(chan os.Signal, 1)
			signal.Notify(c, syscall.SIGHUP)
			return c
		},
		lockMemory: lockMemory,
		start: func(ctx context.Context, cfg server.Config) (running, error) {
			s, err := server.Start(ctx, cfg)
			if err != nil {
				return nil, err // A nil *Server would be a running server.
			}
			return s, nil
		},
		openAudit: func(ctx context.Context, in server.Folder) (offlineAudit, error) {
			return server.OpenAudit(ctx, in)
		},
		verifyExport: server.VerifyExport,
		openRecovered: func(ctx context.Context, in server.Folder, shares []string) (server.Recovered, error) {
			return server.OpenRecovered(ctx, in, shares)
		},
		readPassphrase: server.ReadPassphrase,
		examineFolder:  server.ExamineFolder,
		openOperator: func(ctx context.Context, in server.Folder) (server.Operator, error) {
			return server.OpenOperator(ctx, in)
		},
		openBackups: func(ctx context.Context, in server.Folder) (server.BackupOperator, error) {
			return server.OpenBackups(ctx, in)
		},
		verifyBackup: server.VerifyBackup,
		restore:      server.Restore,
		copyStore:    server.CopyStore,
		reclaim:      server.Reclaim,
	}
}

// isTerminal tells whether a person is likely to read f. It takes /dev/null for a
// terminal too, which nobody sees.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// app is what the commands need of the outside. Every field must be set but
// those that tell of terminals.
type app struct {
	stdout, stderr                     io.Writer
	stdoutIsTerminal, stderrIsTerminal bool
	stdin                              io.Reader
	// hidden reads a line from the terminal without showing it; nil without one.
	hidden func() (secret.Bytes, error)
	env    []string
	now    func() time.Time
	// signals starts to deliver SIGINT and SIGTERM, instead of their ending the
	// process; hangups does so for SIGHUP.
	signals, hangups func() <-chan os.Signal
	// lockMemory keeps the memory of this process out of swap.
	lockMemory func() error

	start          func(context.Context, server.Config) (running, error)
	openAudit      func(ctx context.Context, in server.Folder) (offlineAudit, error)
	verifyExport   func(ctx context.Context, dir string, export io.Reader, opts admin.VerifyOptions) (admin.Report, error)
	openRecovered  func(ctx context.Context, in server.Folder, shares []string) (server.Recovered, error)
	readPassphrase func(path string) (secret.Bytes, error)
	examineFolder  func(dir string) []admin.Finding
	openOperator   func(ctx context.Context, in server.Folder) (server.Operator, error)
	openBackups    func(ctx context.Context, in server.Folder) (server.BackupOperator, error)
	verifyBackup   func(ctx context.Context, in server.BackupFile) (server.BackupInfo, error)
	restore        func(ctx context.Context, cfg server.RestoreConfig) (server.Restored, error)
	copyStore      func(ctx context.Context, cfg server.CopyConfig) (server.Copied, error)
	reclaim        func(ctx context.Context, cfg server.ReclaimConfig) (server.Reclaimed, error)

	// origins says where each setting of this run has come from.
	origins origins
}

// running is a server that can serve.
type running interface {
	URL() string
	FirstStart() bool
	CredentialsFile() string
	Notices() []string
	Reload()
	Wait() error
	Shutdown(context.Context) error
}

// offlineAudit is the audit trail of a stopped server.
type offlineAudit interface {
	admin.Source
	io.Closer
}

// commands is the command line; a Help method of a command is its long text.
type commands struct {
	Serve     serveCmd     `cmd:"" help:"Start the server."`
	Access    accessCmd    `cmd:"" help:"Ask who can do what, and look at policies."`
	Account   accountCmd   `cmd:"" help:"Make accounts, and keep the credentials of their roots."`
	Approval  approvalCmd  `cmd:"" help:"Approve what two people are needed for."`
	Audit     auditCmd     `cmd:"" help:"Read and check the audit trail."`
	Backup    backupCmd    `cmd:"" help:"Back a deployment up, and restore it."`
	Doctor    doctorCmd    `cmd:"" help:"Check an installation, and say what to do."`
	HSM       hsmCmd       `cmd:"" name:"hsm" help:"Look at hardware security modules."`
	Key       keyCmd       `cmd:"" help:"Let a key be deleted earlier."`
	Recovery  recoveryCmd  `cmd:"" help:"Make, check and use the shares that open the keys when the root is gone."`
	Seal      sealCmd      `cmd:"" help:"Say what opens the keys, and change it."`
	Store     storeCmd     `cmd:"" help:"Move a deployment between its data folder and a database."`
	Trail     trailCmd     `cmd:"" help:"Say where the audit trail may be delivered to, and check what was."`
	TwoPeople twoPeopleCmd `cmd:"" help:"Say for what two people are needed, and who they may be."`
	XKS       xksCmd       `cmd:"" name:"xks" help:"Offer keys to another KMS as an external key store."`
	Version   versionCmd   `cmd:"" help:"Say which build this is."`
}

type auditCmd struct {
	Tail   tailCmd   `cmd:"" help:"Print the newest records."`
	Search searchCmd `cmd:"" help:"Print the records of a key, a caller, an operation, a time or an error."`
	Export exportCmd `cmd:"" help:"Print every record, with what proves it."`
	Verify verifyCmd `cmd:"" help:"Check that no record is missing or changed."`
	Retain retainCmd `cmd:"" help:"Remove old records, which the trail then says itself."`
	Report reportCmd `cmd:"" help:"List keys that are unused, not rotated, or used while they are about to be deleted."`
}

const about = `An open KMS that speaks AWS's wire, with keys that stay yours.

To start:

    strongroom serve
    strongroom serve --dev`

// newParser returns the parser of a fresh command line. helped is set when it has
// printed a help text.
func newParser(a *app, helped *bool) (*kong.Kong, error) {
	return kong.New(&commands{},
		kong.Name("strongroom"),
		kong.Description(about),
		kong.Writers(a.stdout, a.stderr),
		kong.Exit(func(int) { *helped = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, WrapUpperBound: 100, NoAppDescFormat: true}),
		kong.ValueFormatter(describe),
		kong.Bind(a),
	)
}

// run runs one command line and returns the process's exit code.
func run(args []string, a *app) int {
	helped := false
	parser, err := newParser(a, &helped)
	if err != nil {
		report(a.stderr, err)
		return 1
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	ctx, err := parser.Parse(args)
	if helped {
		return 0
	}
	if err != nil {
		report(a.stderr, usageProblem(err))
		return 2
	}
	if err := a.settle(ctx); err != nil {
		report(a.stderr, err)
		return 1
	}
	if err := ctx.Run(); err != nil {
		report(a.stderr, err)
		return 1
	}
	return 0
}

// usageProblem is what the parser has refused, with the command that explains.
func usageProblem(err error) error {
	hint := "strongroom --help"
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil {
		if selected := parse.Context.Selected(); selected != nil {
			hint = selected.FullPath() + " --help"
		}
	}
	return &problem{what: strings.TrimSuffix(err.Error(), "\n"), hint: hint}
}
