package binary

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// readyMark is in the line that a server prints on stdout when it can serve:
// "strongroom: ready on http://127.0.0.1:4566".
const readyMark = ": ready on "

// Config says how a server is to run.
type Config struct {
	// Path of the executable; must be set.
	Path string
	// Data is the data folder; must be set unless Bare is.
	Data string
	// Listen is the address; if empty, a free port on loopback.
	Listen string
	// Args are added to "serve --data … --listen …".
	Args []string
	// Bare leaves "serve --data … --listen …" out, for a server that is not
	// strongroom but says that it is ready in the same way.
	Bare bool
	// Env is added to [Environment].
	Env []string
}

// Server is a running server.
type Server struct {
	// URL is what the ready line named, such as http://127.0.0.1:40123; empty
	// until [Server.Ready] has returned nil.
	URL string
	// Data is the data folder.
	Data string

	path   string
	pid    int
	ready  chan string   // the URL, once; closed when stdout ends
	exited chan struct{} // closed when the process is gone
	state  *os.ProcessState

	mu     sync.Mutex
	output bytes.Buffer // stdout and stderr, line by line as they came
}

// Limits of the waits. They are for a machine under load: a test that runs into
// one has found something.
const (
	readyWithin = 60 * time.Second
	stopWithin  = 60 * time.Second
)

// Launch starts a server and returns at once. Follow with [Server.Ready] and, in
// the end, [Server.Stop] or [Server.Kill].
func Launch(cfg Config) (*Server, error) {
	listen := cfg.Listen
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	args := []string{"serve", "--data", cfg.Data, "--listen", listen}
	if cfg.Bare {
		args = nil
	}
	cmd := exec.Command(cfg.Path, append(args, cfg.Args...)...)
	cmd.Env = Environment(cfg.Env...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	s := &Server{Data: cfg.Data, path: cfg.Path, ready: make(chan string, 1), exited: make(chan struct{})}
	var streams sync.WaitGroup
	streams.Go(func() { defer close(s.ready); s.collect(stdout, true) })
	streams.Go(func() { s.collect(stderr, false) })
	wait, err := start(cmd)
	if err != nil {
		return nil, err
	}
	s.pid = cmd.Process.Pid
	go func() {
		streams.Wait() // Wait closes the pipes: not before they are read to the end
		s.state = wait()
		close(s.exited)
	}()
	return s, nil
}

// Start launches a server and waits until it is ready. A server that never gets
// there is killed, and the error holds what it said.
func Start(cfg Config) (*Server, error) {
	s, err := Launch(cfg)
	if err != nil {
		return nil, err
	}
	if err := s.Ready(); err != nil {
		s.Kill()
		return nil, err
	}
	return s, nil
}

// Ready waits for the ready line.
func (s *Server) Ready() error {
	if s.URL != "" {
		return nil
	}
	select {
	case url, ok := <-s.ready:
		if !ok {
			<-s.exited
			return fmt.Errorf("the server ended (%s) before it was ready; it said:\n%s", s.state, s.Output())
		}
		s.URL = url
		return nil
	case <-time.After(readyWithin):
		return fmt.Errorf("the server was not ready within %s; it said:\n%s", readyWithin, s.Output())
	}
}

// collect reads one stream to its end.
func (s *Server) collect(stream io.Reader, stdout bool) {
	found := false
	lines := bufio.NewReader(stream)
	for {
		line, err := lines.ReadString('\n')
		s.mu.Lock()
		s.output.WriteString(line)
		s.mu.Unlock()
		if _, url, ok := strings.Cut(line, readyMark); ok && stdout && !found {
			found = true
			s.ready <- strings.TrimSpace(url)
		}
		if err != nil {
			return
		}
	}
}

// Addr returns host:port of URL.
func (s *Server) Addr() string {
	_, addr, _ := strings.Cut(s.URL, "://")
	return strings.TrimSuffix(addr, "/")
}

// Output returns what the server has written to stdout and stderr so far.
func (s *Server) Output() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.output.String()
}

// Kill ends the process with SIGKILL and waits until it is gone.
func (s *Server) Kill() {
	s.signal(syscall.SIGKILL)
	<-s.exited
}

// Pause stops the process in its tracks, as a machine that is suspended, and returns when
// no thread of it runs any more (Linux).
func (s *Server) Pause() error {
	s.signal(syscall.SIGSTOP)
	return Until("the server is stopped", stopWithin, func() (bool, error) {
		stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.pid))
		if err != nil || len(stats) == 0 {
			return false, fmt.Errorf("the threads of process %d cannot be seen: %v", s.pid, err)
		}
		for _, path := range stats {
			text, err := os.ReadFile(path)
			if err != nil {
				return false, nil // the thread has ended
			}
			// The state follows the name, which is in parentheses (proc_pid_stat(5)).
			if after := text[bytes.LastIndexByte(text, ')')+1:]; !bytes.HasPrefix(after, []byte(" T")) {
				return false, nil
			}
		}
		return true, nil
	})
}

// Resume lets a paused process go on.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

// Stop asks the process with SIGTERM to finish what is under way and end. It is
// an error when it ends with a code other than 0, or not within a minute; then
// it is killed.
func (s *Server) Stop() error {
	s.signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(stopWithin):
		s.Kill()
		return fmt.Errorf("the server had not ended %s after SIGTERM; it said:\n%s", stopWithin, s.Output())
	}
	if !s.state.Success() {
		return fmt.Errorf("the server ended with %s; it said:\n%s", s.state, s.Output())
	}
	return nil
}

// Exited is closed when the process is gone.
func (s *Server) Exited() <-chan struct{} { return s.exited }

// signal sends sig unless the process is gone.
func (s *Server) signal(sig syscall.Signal) {
	select {
	case <-s.exited: // the process id may belong to someone else by now
	default:
		_ = syscall.Kill(s.pid, sig)
	}
}

// Audit runs "strongroom audit verb --data DIR" with further arguments.
func (s *Server) Audit(verb string, args ...string) (*Result, error) {
	return Run(s.path, append([]string{"audit", verb, "--data", s.Data}, args...)...)
}

// PID returns the process's id.
func (s *Server) PID() int { return s.pid }

// Memory is what a process has in memory, in bytes.
type Memory struct {
	// Resident is all of it, Peak its highest value so far.
	Resident, Peak int64
	// Anonymous is what of it is the process's own: neither the executable's file nor
	// any other's.
	Anonymous int64
}

// Memory returns what /proc/PID/status says of the process.
func (s *Server) Memory() (m Memory, err error) {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(s.pid) + "/status")
	if err != nil {
		return Memory{}, err
	}
	for name, value := range map[string]*int64{"VmRSS": &m.Resident, "VmHWM": &m.Peak, "RssAnon": &m.Anonymous} {
		_, rest, _ := strings.Cut(string(status), "\n"+name+":")
		line, _, _ := strings.Cut(rest, "\n")
		kilobytes, _ := strings.CutSuffix(strings.TrimSpace(line), " kB")
		n, err := strconv.ParseInt(kilobytes, 10, 64)
		if err != nil {
			return Memory{}, fmt.Errorf("/proc/%d/status: %s: %w", s.pid, name, err)
		}
		*value = n << 10
	}
	return m, nil
}
