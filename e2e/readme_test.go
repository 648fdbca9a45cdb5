package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/strongroom/strongroom/e2e/binary"
)

// stepWithin bounds one command of the README's session.
const stepWithin = 60 * time.Second

// step is a command of a session and the output that the README shows for it.
type step struct {
	command string
	output  string
}

// sessionBlock is a fenced block after the mark that makes it part of the tested
// session.
var sessionBlock = regexp.MustCompile("(?s)<!-- test: session -->\n```console\n(.*?)```")

// sessionOf returns the steps of a document's session: lines that start with "$ "
// are commands, the lines after one are what it prints.
func sessionOf(document string) []step {
	var steps []step
	for _, block := range sessionBlock.FindAllStringSubmatch(document, -1) {
		for line := range strings.Lines(block[1]) {
			if typed, ok := strings.CutPrefix(line, "$ "); ok {
				steps = append(steps, step{command: strings.TrimSpace(typed)})
			} else if len(steps) > 0 {
				steps[len(steps)-1].output += line
			}
		}
	}
	return steps
}

// pattern returns what the output must match: the lines as they stand, where "…"
// is anything, of any length. White space at the ends does not count.
func (s step) pattern() *regexp.Regexp {
	parts := strings.Split(strings.TrimSpace(s.output), "…")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(strings.Trim(parts[i], "\n"))
	}
	return regexp.MustCompile(`(?s)^\s*` + strings.Join(parts, `.*`) + `\s*$`)
}

func TestSessionIsReadFromADocument(t *testing.T) {
	steps := sessionOf("text\n```console\n$ not this\n```\n<!-- test: session -->\n```console\n$ one\n$ two\na…c\nd\n```\n<!-- test: session -->\n```console\n$ three\n…\n```\n")
	if len(steps) != 3 || steps[0].command != "one" || steps[1].command != "two" || steps[1].output != "a…c\nd\n" || steps[2].command != "three" {
		t.Fatalf("%+v", steps)
	}
	for _, one := range []struct {
		step   step
		output string
		want   bool
	}{
		{steps[0], "", true},
		{steps[0], "surprise\n", false},
		{steps[1], "abc\nd\n", true},
		{steps[1], "ac\nd", true},
		{steps[1], "abc\nd\ne\n", false},
		{steps[2], "anything\nat all\n", true},
		{step{output: "…\nready\n"}, "hello\nready\n", true},
		{step{output: "…\nready\n"}, "ready\n", true},
		{step{output: "…\nready\n"}, "hello\n", false},
	} {
		if got := one.step.pattern().MatchString(one.output); got != one.want {
			t.Errorf("%q matches %q: %v", one.step.output, one.output, got)
		}
	}
}

// TestREADME types the README's session into a shell, in a fresh folder, and
// compares what comes out with what the README shows.
func TestREADME(t *testing.T) {
	t.Parallel()
	program(t, "aws", installAWS)
	program(t, "openssl", installOpenSSL)
	document, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	steps := sessionOf(string(document))
	if len(steps) < 10 {
		t.Fatalf("the README's session has %d steps", len(steps))
	}
	addr := freeAddress(t) // the session stops and starts a server on it, as on 4566
	sh := newShell(t, addr)
	for _, s := range steps {
		s.command = strings.ReplaceAll(s.command, "127.0.0.1:4566", addr)
		s.output = strings.ReplaceAll(s.output, "127.0.0.1:4566", addr)
		sh.do(t, s)
	}
}

// shell is a running sh that commands are typed into.
type shell struct {
	typed *os.File
	steps int

	mu   sync.Mutex
	said strings.Builder
}

// Write takes what the shell and its children print.
func (s *shell) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said.Write(text)
}

// newShell starts a shell in a fresh folder that finds the strongroom under test
// on its path. Its whole process group goes away with the test.
func newShell(t *testing.T, addr string) *shell {
	t.Helper()
	home, bin := t.TempDir(), t.TempDir()
	if err := os.Symlink(executable, filepath.Join(bin, "strongroom")); err != nil {
		t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s := &shell{typed: write}
	cmd := exec.Command("sh")
	cmd.Dir = home
	cmd.Env = binary.Environment("HOME="+home, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"),
		"STRONGROOM_LISTEN="+addr, "AWS_PAGER=", "AWS_CONFIG_FILE="+os.DevNull)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = read, s, s
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read.Close()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		write.Close()
		_ = cmd.Wait() // killed: there is nothing to learn
	})
	return s
}

// do types a command, waits until it is done and has printed what the README
// shows, and fails the test when it does not. What a server in the background
// prints comes when it comes: that is why the output is waited for as well.
func (s *shell) do(t *testing.T, one step) {
	t.Helper()
	s.steps++
	mark := fmt.Sprintf("-- step %d ended with ", s.steps)
	s.mu.Lock()
	s.said.Reset()
	s.mu.Unlock()
	if _, err := fmt.Fprintf(s.typed, "%s\necho \"%s$?\"\n", one.command, mark); err != nil {
		t.Fatal(err)
	}
	want := one.pattern()
	var output, status string
	err := binary.Until("the output that the README shows", stepWithin, func() (bool, error) {
		s.mu.Lock()
		said := s.said.String()
		s.mu.Unlock()
		before, after, ended := strings.Cut(said, mark)
		code, rest, complete := strings.Cut(after, "\n")
		output, status = before+rest, code
		return ended && complete && want.MatchString(output), nil
	})
	if err != nil {
		t.Fatalf("$ %s\n%s(status %q)\n%v:\n%s", one.command, output, status, err, one.output)
	}
	if refused := strings.Contains(one.output, "An error occurred"); (status != "0") != refused {
		t.Fatalf("$ %s\n%sended with %s", one.command, output, status)
	}
}
