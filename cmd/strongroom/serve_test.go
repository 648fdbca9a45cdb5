package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/strongroom/strongroom/internal/server"
)

// scripted is a server that does as a test says.
type scripted struct {
	first    bool
	notices  []string
	stopped  chan error // what Wait returns
	shutdown func(context.Context) error
	reloaded chan struct{} // one for each Reload
}

func (*scripted) URL() string             { return "https://[::1]:4566" }
func (s *scripted) FirstStart() bool      { return s.first }
func (*scripted) CredentialsFile() string { return "/srv/it's here/credentials" }
func (s *scripted) Notices() []string     { return s.notices }
func (s *scripted) Reload()               { s.reloaded <- struct{}{} }
func (s *scripted) Wait() error           { return <-s.stopped }
func (s *scripted) Shutdown(ctx context.Context) error {
	err := s.shutdown(ctx)
	s.stopped <- err
	return err
}

func newScripted() *scripted {
	return &scripted{stopped: make(chan error, 1), reloaded: make(chan struct{}, 2), shutdown: func(context.Context) error { return nil }}
}

func (s *session) serves(as *scripted) *session {
	s.start = func(context.Context, server.Config) (running, error) { return as, nil }
	return s
}

// signalsWhenReady sends a signal when the ready line has been printed.
func (s *session) signalsWhenReady(signal os.Signal) *session {
	s.stdout = writerFunc(func(b []byte) (int, error) {
		defer func() { s.sent <- signal }()
		return s.out.Write(b)
	})
	return s
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

const (
	ready = "strongroom: ready on https://[::1]:4566\n"
	use   = `export AWS_SHARED_CREDENTIALS_FILE='/srv/it'\''s here/credentials' AWS_ENDPOINT_URL=https://[::1]:4566`
)

func TestReadyLine(t *testing.T) {
	for _, first := range []bool{true, false} {
		server := newScripted()
		server.first, server.notices = first, []string{"everyone can read this", "and that"}
		s := newSession().serves(server).signalsWhenReady(syscall.SIGTERM)
		if code := run([]string{"serve"}, s.app); code != 0 {
			t.Errorf("exits with %d", code)
		}
		if s.out.String() != ready {
			t.Errorf("stdout is %q, want the ready line alone", &s.out)
		}
		for _, part := range []string{"strongroom: WARNING: everyone can read this\n", "strongroom: WARNING: and that\n", "    " + use + "\n    aws kms list-keys\n"} {
			if !strings.Contains(s.err.String(), part) {
				t.Errorf("%q is not in: %s", part, &s.err)
			}
		}
		if strings.Contains(s.err.String(), "first start") != first {
			t.Errorf("first start %v: %s", first, &s.err)
		}
	}
}

func TestJSONLogIsNothingButJSON(t *testing.T) {
	server := newScripted()
	server.first, server.notices = true, []string{"everyone can read this"}
	s := newSession().serves(server).signalsWhenReady(os.Interrupt)
	if code := run([]string{"serve", "--log-format", "json"}, s.app); code != 0 || s.out.String() != ready {
		t.Errorf("exits with %d, says %q", code, &s.out)
	}
	var said []string
	for line := range strings.Lines(s.err.String()) {
		var entry struct{ Level, Msg, Run string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Errorf("%q: %v", line, err)
		}
		said = append(said, entry.Level+" "+entry.Msg+" "+entry.Run)
	}
	for _, want := range []string{"WARN everyone can read this ", "INFO use it with the AWS CLI " + use} {
		if !strings.Contains(strings.Join(said, "\n"), want) {
			t.Errorf("%q was not said: %q", want, said)
		}
	}
}

func TestLogLevel(t *testing.T) {
	s := newSession().serves(newScripted()).signalsWhenReady(os.Interrupt)
	run([]string{"serve", "--log-level", "warn"}, s.app)
	if strings.Contains(s.err.String(), "stopping") {
		t.Errorf("an info line at level warn: %s", &s.err)
	}
}

func TestSignals(t *testing.T) {
	block := make(chan struct{})
	defer close(block)
	tests := []struct {
		name   string
		signal bool // when ready
		start  func(s *session, server *scripted) func(context.Context, server.Config) (running, error)
		change func(s *session, server *scripted)
		code   int
		stdout string
		says   string
	}{
		{name: "one", signal: true, code: 0, stdout: ready},
		{name: "second while it finishes", signal: true, code: 1, stdout: ready, says: "second signal",
			change: func(s *session, server *scripted) {
				server.shutdown = func(context.Context) error { s.sent <- os.Interrupt; <-block; return nil }
			}},
		{name: "the first again while it finishes", signal: true, code: 0, stdout: ready,
			change: func(s *session, server *scripted) {
				server.shutdown = func(context.Context) error {
					for range cap(s.sent) + 1 { // so that one has been taken
						s.sent <- syscall.SIGTERM
					}
					return nil
				}
			}},
		{name: "does not finish", signal: true, code: 1, stdout: ready, says: "did not finish within 25s",
			change: func(_ *session, server *scripted) {
				server.shutdown = func(context.Context) error { return context.DeadlineExceeded }
			}},
		{name: "fails to stop", signal: true, code: 1, stdout: ready, says: "disk gone",
			change: func(_ *session, server *scripted) {
				server.shutdown = func(context.Context) error { return errors.New("disk gone") }
			}},
		{name: "stops by itself", code: 1, stdout: ready, says: "cannot go on: fsync failed",
			change: func(_ *session, server *scripted) { server.stopped <- errors.New("fsync failed") }},
		{name: "stops by itself without a reason", code: 1, stdout: ready, says: "cannot go on",
			change: func(_ *session, server *scripted) { server.stopped <- nil }},
		{name: "during the start, which stops", code: 0,
			start: func(s *session, _ *scripted) func(context.Context, server.Config) (running, error) {
				return func(ctx context.Context, _ server.Config) (running, error) {
					s.sent <- os.Interrupt
					<-ctx.Done()
					return nil, ctx.Err()
				}
			}},
		{name: "during the start, which ends", code: 0,
			start: func(s *session, scripted *scripted) func(context.Context, server.Config) (running, error) {
				return func(ctx context.Context, _ server.Config) (running, error) {
					s.sent <- os.Interrupt
					<-ctx.Done()
					return scripted, nil
				}
			}},
		{name: "during the start, which fails", code: 1, says: "no such folder",
			start: func(s *session, _ *scripted) func(context.Context, server.Config) (running, error) {
				return func(ctx context.Context, _ server.Config) (running, error) {
					s.sent <- os.Interrupt
					<-ctx.Done()
					return nil, errors.New("no such folder")
				}
			}},
		{name: "the same twice during the start", code: 0,
			start: func(s *session, _ *scripted) func(context.Context, server.Config) (running, error) {
				return func(ctx context.Context, _ server.Config) (running, error) {
					for range cap(s.sent) + 2 { // so that two have been taken
						s.sent <- syscall.SIGTERM
					}
					<-ctx.Done()
					return nil, ctx.Err()
				}
			}},
		{name: "two during the start", code: 1, says: "second signal",
			start: func(s *session, _ *scripted) func(context.Context, server.Config) (running, error) {
				return func(context.Context, server.Config) (running, error) {
					s.sent <- os.Interrupt
					s.sent <- os.Interrupt
					<-block
					return nil, errors.New("never")
				}
			}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			scripted := newScripted()
			s := newSession().serves(scripted)
			if test.start != nil {
				s.start = test.start(s, scripted)
			}
			if test.change != nil {
				test.change(s, scripted)
			}
			if test.signal {
				s.signalsWhenReady(syscall.SIGTERM)
			}
			if code := run([]string{"serve"}, s.app); code != test.code {
				t.Errorf("exits with %d, want %d", code, test.code)
			}
			if s.out.String() != test.stdout {
				t.Errorf("stdout is %q, want %q", &s.out, test.stdout)
			}
			if !strings.Contains(s.err.String(), test.says) {
				t.Errorf("%q is not in: %s", test.says, &s.err)
			}
		})
	}
}

func TestAServerThatCannotSayItIsReadyStops(t *testing.T) {
	scripted := newScripted()
	s := newSession().serves(scripted)
	s.stdout = writerFunc(func([]byte) (int, error) { return 0, errors.New("broken pipe") })
	if code := run([]string{"serve"}, s.app); code != 1 || !strings.Contains(s.err.String(), "broken pipe") {
		t.Errorf("exits with %d: %s", code, &s.err)
	}
	if len(scripted.stopped) != 1 {
		t.Error("it was not shut down")
	}
}

func TestShellQuote(t *testing.T) {
	for _, word := range []string{"", "plain/-_.:@,1", "two words", "it's", "$(rm -rf x)", "a\nb", "`x`", `\`, "é", "~", "a=b"} {
		out, err := exec.Command("sh", "-c", "printf %s "+shellQuote(word)).Output()
		if err != nil || string(out) != word {
			t.Errorf("%q quoted is %s, which a shell takes for %q, %v", word, shellQuote(word), out, err)
		}
	}
}

// TestProcess runs the command as people do: a server in one process, the audit
// trail read in others through its socket, SIGTERM at the end.
func TestProcess(t *testing.T) {
	// A name too long for a socket's address is reached through /proc, which a
	// process that is not dumpable must still be allowed.
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 120))
	serve := exec.Command("strongroom", "serve", "--data", dir, "--listen", "127.0.0.1:0", "--dev")
	var stderr bytes.Buffer
	serve.Stderr = &stderr
	stdout, err := serve.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = serve.Process.Kill() }()
	lines := bufio.NewReader(stdout)
	line, err := lines.ReadString('\n')
	if err != nil || !regexp.MustCompile(`^strongroom: ready on http://127\.0\.0\.1:\d+\n$`).MatchString(line) {
		t.Fatalf("the ready line is %q, %v", line, err)
	}
	records := `{"eventName":"Encrypt"}` + "\n" + `{"eventName":"Decrypt"}` + "\n"
	if err := os.WriteFile(filepath.Join(dir, "trail.jsonl"), []byte(records), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"tail -n 1":                  `{"eventName":"Decrypt"}` + "\n",
		"search --operation encrypt": `{"eventName":"Encrypt"}` + "\n",
		"export":                     records,
		"verify":                     "2 records in 1 frame, with 1 checkpoint: nothing is missing or changed.\nNo checkpoint signs for the last 1 record yet: a cut there could not be found.\n",
	} {
		audit := exec.Command("strongroom", append([]string{"audit"}, strings.Fields(args+" --data "+dir)...)...)
		out, err := audit.Output()
		if err != nil || string(out) != want {
			t.Errorf("audit %s says %q, %v", args, out, err)
		}
	}
	follow := exec.Command("strongroom", "audit", "tail", "-f", "--data", dir)
	var followErr bytes.Buffer
	follow.Stderr = &followErr
	followed, err := follow.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(followed).ReadString('\n'); err != nil || line != `{"eventName":"Encrypt"}`+"\n" {
		t.Errorf("tail -f says %q, %v", line, err)
	}

	if err := serve.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if rest, err := lines.ReadString(0); rest != "" {
		t.Errorf("after the ready line stdout has %q, %v", rest, err)
	}
	if err := serve.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v; %s", err, &stderr)
	}
	for _, part := range []string{"strongroom: WARNING: this is a dev server", "first start", "aws kms list-keys", "stopped"} {
		if !strings.Contains(stderr.String(), part) {
			t.Errorf("%q is not in: %s", part, &stderr)
		}
	}
	if err := follow.Wait(); err == nil || !strings.Contains(followErr.String(), "the server is stopping") {
		t.Errorf("tail -f ends with %v: %s", err, &followErr)
	}
}

// TestHangupsReload: the server goes on.
func TestHangupsReload(t *testing.T) {
	as := newScripted()
	s := newSession().serves(as)
	s.hungUp <- syscall.SIGHUP
	go func() {
		<-as.reloaded
		s.hungUp <- syscall.SIGHUP
		<-as.reloaded
		s.sent <- syscall.SIGTERM
	}()
	if code := run([]string{"serve"}, s.app); code != 0 {
		t.Errorf("exit code %d: %s", code, s.err.String())
	}
}
