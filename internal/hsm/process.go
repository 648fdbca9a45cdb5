package hsm

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a helper as the server has it.
type process struct {
	to   io.Writer // requests
	from io.Reader // answers
	kill func()
	// wait returns when the helper is gone, and what it said of its end, in a few
	// words: empty for one that was killed.
	wait func() string
}

// The helper's ends of the pipes, as file descriptors.
const (
	requestsFD = 3
	answersFD  = 4
)

// spawn starts a helper.
func spawn(c Config) (*process, error) {
	if len(c.Helper) == 0 {
		return nil, errors.New("this program has no helper process")
	}
	requests, to, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	from, answers, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, requests.Close(), to.Close())
	}
	said := &lastWords{}
	cmd := exec.Command(c.Helper[0], c.Helper[1:]...)
	cmd.Env = c.inEnv(os.Environ())
	cmd.Dir = "/"
	cmd.ExtraFiles = []*os.File{requests, answers}
	cmd.Stderr = said
	cmd.WaitDelay = time.Second // what a library has started may keep stderr open
	err = cmd.Start()
	closed := errors.Join(requests.Close(), answers.Close())
	if err != nil {
		return nil, errors.Join(err, closed, to.Close(), from.Close())
	}
	return &process{
		to: to, from: from,
		kill: func() { _ = cmd.Process.Kill() }, // it may have ended already
		wait: sync.OnceValue(func() string {
			err := cmd.Wait()
			_, _ = to.Close(), from.Close() // nothing is left to be written
			var exit *exec.ExitError
			if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				return strings.TrimSuffix(exit.Error()+", "+said.text(), ", ")
			}
			return ""
		}),
	}, nil
}

// lastWords keeps the beginning of what a helper says on stderr.
type lastWords struct {
	mu   sync.Mutex
	kept []byte
}

// maxWords is how much of it is kept.
const maxWords = 4096

// Write implements io.Writer.
func (l *lastWords) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = append(l.kept, p[:min(len(p), maxWords-len(l.kept))]...)
	return len(p), nil
}

// text is the first line that this program or Go's runtime has written. What a
// library prints may hold anything, the PIN too.
func (l *lastWords) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(string(l.kept)) {
		for _, ours := range []string{"strongroom: ", "fatal error: ", "SIG"} {
			if strings.HasPrefix(line, ours) {
				return clean([]byte(strings.TrimSpace(line)))
			}
		}
	}
	return ""
}

// ServeProcess is [Serve] for the process that a Client starts. It returns when the
// process is to end. Signals that are sent to the server's whole group do not end
// it before the server.
func ServeProcess(library Library) error {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	// Only non-blocking files do without a thread for each read.
	for _, fd := range []int{requestsFD, answersFD} {
		var is syscall.Stat_t
		if err := syscall.Fstat(fd, &is); err != nil || is.Mode&syscall.S_IFMT != syscall.S_IFIFO || syscall.SetNonblock(fd, true) != nil {
			return errors.New("this is started by the server, not by hand")
		}
	}
	in, out := os.NewFile(requestsFD, "requests"), os.NewFile(answersFD, "answers")
	err := Serve(in, out, library)
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
