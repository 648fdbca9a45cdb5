package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/strongroom/strongroom/internal/admin"
	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/server"
)

// TestMain makes this test binary a strongroom too: the real command line over a
// server and a trail of the test's own, whose records stand in DIR/trail.jsonl.
func TestMain(m *testing.M) {
	if err := os.Setenv("GORACE", raceOptions); err != nil {
		panic(err)
	}
	testscript.Main(m, map[string]func(){
		"strongroom": func() {
			if err := harden(); err != nil {
				panic(err)
			}
			a := ofProcess()
			a.start, a.openAudit, a.verifyExport, a.openOperator = startFake, openFakeTrail, verifyFakeExport, openFakeOperator
			os.Exit(run(os.Args[1:], a))
		},
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", Setup: func(env *testscript.Env) error {
		env.Setenv("GORACE", raceOptions)
		return nil
	}})
}

// raceOptions keep a process that was built with the race detector from waiting
// for a second before it exits.
const raceOptions = "atexit_sleep_ms=0"

// fakeServer listens, and answers on the admin socket.
type fakeServer struct {
	cfg      server.Config
	first    bool
	listener net.Listener
	admin    *admin.Server
	stopped  chan struct{}
}

func startFake(_ context.Context, cfg server.Config) (running, error) {
	_, err := os.Stat(cfg.DataDir)
	s := &fakeServer{cfg: cfg, first: os.IsNotExist(err), stopped: make(chan struct{})}
	if s.listener, err = net.Listen("tcp", cfg.Listen); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, err
	}
	s.admin, err = admin.Listen(admin.Config{
		SocketDir: cfg.DataDir, Log: cfg.Log, Clock: clock.System(), Audit: fakeTrail{cfg.DataDir}, Operator: fakeOperator{},
		Record: func(context.Context, admin.AdminEvent) error { return nil },
	})
	return s, err
}

func (s *fakeServer) URL() string             { return "http://" + s.listener.Addr().String() }
func (s *fakeServer) FirstStart() bool        { return s.first }
func (s *fakeServer) CredentialsFile() string { return filepath.Join(s.cfg.DataDir, "credentials") }

func (s *fakeServer) Notices() []string {
	if s.cfg.Dev {
		return []string{"this is a dev server: its credentials are test/test"}
	}
	return nil
}

func (s *fakeServer) Reload() {}

func (s *fakeServer) Wait() error {
	<-s.stopped
	return nil
}

func (s *fakeServer) Shutdown(ctx context.Context) error {
	defer close(s.stopped)
	return errors.Join(s.admin.Shutdown(ctx), s.listener.Close())
}

// fakeOperator has one account.
type fakeOperator struct {
	admin.Operator
	admin.Seals
	admin.Approvals
	admin.Doctor
}

func openFakeOperator(context.Context, server.Folder) (server.Operator, error) {
	return fakeOperator{}, nil
}

func (fakeOperator) Close() error { return nil }

func (fakeOperator) Accounts(context.Context) ([]admin.Account, error) {
	return []admin.Account{{ID: "000000000000", Name: "a\x1b[2Jb"}}, nil
}

// fakeTrail is the trail of a data folder, and its own export.
type fakeTrail struct{ dir string }

func openFakeTrail(_ context.Context, in server.Folder) (offlineAudit, error) {
	dir := in.Dir
	if _, err := os.Stat(filepath.Join(dir, "trail.jsonl")); err != nil {
		return nil, &problem{what: dir + " is not a data folder of Strongroom", hint: "name another one"}
	}
	return fakeTrail{dir}, nil
}

func (fakeTrail) Close() error { return nil }

func (f fakeTrail) lines() ([]string, error) {
	text, err := os.ReadFile(filepath.Join(f.dir, "trail.jsonl"))
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n"), err
}

func (f fakeTrail) Tail(ctx context.Context, n int, follow bool, emit func([]byte) error) error {
	lines, err := f.lines()
	if err != nil {
		return err
	}
	for _, line := range lines[max(0, len(lines)-n):] {
		if err := emit([]byte(line)); err != nil {
			return err
		}
	}
	if follow {
		<-ctx.Done()
	}
	return ctx.Err()
}

func (f fakeTrail) Search(_ context.Context, filter admin.Filter, emit func([]byte) error) error {
	lines, err := f.lines()
	if err != nil {
		return err
	}
	for _, line := range lines {
		match, err := filter.Match([]byte(line))
		if err == nil && match {
			err = emit([]byte(line))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (f fakeTrail) Export(ctx context.Context, filter admin.Filter, emit func([]byte) error) error {
	return f.Search(ctx, filter, emit)
}

func (f fakeTrail) KeyReport(_ context.Context, days int, emit func([]byte) error) error {
	at := time.Date(2025, 12, 24, 18, 0, 0, 0, time.UTC)
	due := at.AddDate(0, 3, 0)
	for _, finding := range []admin.KeyFinding{
		{Key: "arn:k1", State: "Enabled", Created: at, Findings: []string{admin.FindingUnused, admin.FindingNoRotation}},
		{
			Key: "arn:k2", State: "PendingDeletion", Created: at, Deletion: &due, RefusedUses: days,
			LastUse: &admin.KeyUse{Operation: "Decrypt", Time: at, EventID: "e"}, Findings: []string{admin.FindingStillUsed},
		},
	} {
		if err := admin.EmitFinding(emit, finding); err != nil {
			return err
		}
	}
	return nil
}

func (f fakeTrail) Verify(ctx context.Context, opts admin.VerifyOptions, _ func(admin.Progress)) (admin.Report, error) {
	file, err := os.Open(filepath.Join(f.dir, "trail.jsonl"))
	if err != nil {
		return admin.Report{}, err
	}
	defer file.Close()
	return verifyFakeExport(ctx, f.dir, file, opts)
}

// verifyFakeExport takes a record that says "forged" for a changed one, and a
// checkpoint for the eventID of the record that it signs for.
func verifyFakeExport(_ context.Context, _ string, export io.Reader, opts admin.VerifyOptions) (admin.Report, error) {
	report := admin.Report{Frames: 1, Checkpoints: 1, Unanchored: 1, Checkpoint: "newest"}
	wanted := strings.TrimSpace(string(opts.Checkpoint))
	anchored := wanted == ""
	lines := bufio.NewScanner(export)
	for lines.Scan() {
		report.Records++
		if strings.Contains(lines.Text(), "forged") && report.Fault == nil {
			report.Fault = &admin.Fault{Record: report.Records, EventID: "e-2", Problem: "was changed"}
		}
		anchored = anchored || strings.Contains(lines.Text(), fmt.Sprintf(`"eventID":%q`, wanted))
	}
	if !anchored {
		report.Fault = &admin.Fault{Problem: "it ends before the checkpoint"}
	}
	return report, lines.Err()
}

// session is a command line with everything in memory.
type session struct {
	*app
	out, err bytes.Buffer
	sent     chan os.Signal
	hungUp   chan os.Signal
}

func newSession() *session {
	s := &session{sent: make(chan os.Signal, 2), hungUp: make(chan os.Signal, 2)}
	s.app = &app{
		stdout: &s.out, stderr: &s.err,
		now:     func() time.Time { return time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC) },
		signals: func() <-chan os.Signal { return s.sent },
		hangups: func() <-chan os.Signal { return s.hungUp },

		lockMemory: func() error { return nil },
		start:      startFake, openAudit: openFakeTrail, verifyExport: verifyFakeExport,
		openOperator: openFakeOperator,
	}
	return s
}

func TestEveryCommandHasAnExampleThatParses(t *testing.T) {
	s := newSession()
	helped := false
	parser, err := newParser(s.app, &helped)
	if err != nil {
		t.Fatal(err)
	}
	for _, leaf := range parser.Model.Leaves(true) {
		examples := 0
		for line := range strings.Lines(leaf.Detail) {
			command, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "    strongroom ")
			if !ok {
				continue
			}
			examples++
			command, _, _ = strings.Cut(command, " >")
			ctx, err := parser.Parse(strings.Fields(command))
			if err != nil {
				t.Errorf("strongroom %s: %v", command, err)
			} else if ctx.Selected() != leaf {
				t.Errorf("strongroom %s is an example of another command", command)
			}
		}
		if examples == 0 {
			t.Errorf("%s has no example", leaf.FullPath())
		}
	}
}

func TestOddArguments(t *testing.T) {
	for _, args := range [][]string{{""}, {"-"}, {"--"}, {"-="}, {"--="}, {"--=x"}, {"\xff"}, {"serve", "--\x1b[2J"}, {"serve", "--listen"}, {"serve", "--dev=perhaps"}, {"audit", "tail", "-n"}, {"audit", "tail", "-nn"}, {"serve", "@/etc/passwd"}, {strings.Repeat("x", 100_000)}} {
		s := newSession()
		s.start = func(context.Context, server.Config) (running, error) { return nil, errors.New("started") }
		code := run(args, s.app)
		if code != 2 || !strings.HasPrefix(s.err.String(), "strongroom: ") || strings.Contains(s.err.String(), "started") || strings.Contains(s.err.String(), "\x1b") {
			t.Errorf("%.40q exits with %d and says %.200q", args, code, s.err.String())
		}
	}
}

// TestFlagsOfServe holds the contract: these names and these defaults.
func TestFlagsOfServe(t *testing.T) {
	var flags commands
	parser := kong.Must(&flags)
	if _, err := parser.Parse([]string{"serve"}); err != nil {
		t.Fatal(err)
	}
	got := flags.Serve.config(nil)
	want := server.Config{DataDir: "./strongroom-data", CachedKeys: 100_000, Listen: "127.0.0.1:4566", Account: "000000000000", Regions: []string{"us-east-1"}, Seal: "file", Root: server.RootSettings{HSMHelper: helperCommand()}, Store: "pebble", Database: server.DatabaseSettings{Lease: time.Minute}}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("the defaults are %+v, want %+v", got, want)
	}
	if flags.Serve.LogFormat != "text" || flags.Serve.LogLevel != "info" {
		t.Errorf("the log's defaults are %s, %s", flags.Serve.LogFormat, flags.Serve.LogLevel)
	}

	_, err := parser.Parse([]string{
		"serve", "--data", "d", "--listen", "l", "--account", "a", "--regions", "r,s", "--seal", "x", "--store", "y",
		"--tls-cert", "c", "--tls-key", "k", "--attestation-roots", "n", "--saml-audience", "urn:o,https://o/saml", "--dev", "--dev-listen-any", "--insecure-http", "--config", "f", "--log-format", "json", "--log-level", "debug",
	})
	if err != nil {
		t.Fatal(err)
	}
	got = flags.Serve.config(nil)
	want = server.Config{DataDir: "d", CachedKeys: 100_000, Listen: "l", Account: "a", Regions: []string{"r", "s"}, Seal: "x", Root: server.RootSettings{HSMHelper: helperCommand()}, Store: "y", Database: server.DatabaseSettings{Lease: time.Minute}, TLSCert: "c", TLSKey: "k", AttestationRoots: "n", SAMLAudiences: []string{"urn:o", "https://o/saml"}, Dev: true, DevListenAny: true, InsecureHTTP: true}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("the flags give %+v, want %+v", got, want)
	}
	if flags.Serve.Config != "f" || flags.Serve.LogFormat != "json" || flags.Serve.LogLevel != "debug" {
		t.Errorf("the other flags give %+v", flags.Serve)
	}
}
