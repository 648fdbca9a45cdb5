// Package postgrestest starts a real PostgreSQL for a test or for the bench: a cluster
// of its own, in a folder of its own, that listens on a socket in it and nowhere else.
package postgrestest

import (
	"bufio"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// Server is a running PostgreSQL.
type Server struct {
	bin, dir string
	settings []string
	ready    string // what it logs when it can be used
	as       *syscall.SysProcAttr
	process  *exec.Cmd
	ended    chan struct{} // closed when the process has ended
	schemas  atomic.Int64
}

// What PostgreSQL logs when it can be used, and as a standby.
const (
	ready        = "database system is ready to accept connections"
	readyStandby = "database system is ready to accept read-only connections"
)

// Start starts a server that ends with the test. settings are lines of its
// configuration, as "fsync=off". Without PostgreSQL on this machine the test is
// skipped; in CI it fails.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	s := startIn(t, settings...)
	t.Cleanup(func() { _ = s.Remove() })
	return s
}

func startIn(t testing.TB, settings ...string) *Server {
	t.Helper()
	s, err := Launch("", settings...)
	if errors.Is(err, ErrMissing) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	must(t, err)
	return s
}

// ErrMissing says that this machine has no PostgreSQL.
var ErrMissing = errors.New("PostgreSQL's initdb is not here; to have it: .ci/install-tools, or apt-get install postgresql")

// Launch is Start for what is no test, with the server's folder made in a folder, or
// where the system keeps temporary files if that is empty: a deep one is too long for
// a socket's path. Remove ends it. Errors: ErrMissing, and what PostgreSQL says.
func Launch(in string, settings ...string) (_ *Server, err error) {
	bin := find()
	if bin == "" {
		return nil, ErrMissing
	}
	s, err := newServer(in, bin, ready, settings)
	if err != nil {
		return nil, err
	}
	if err = s.run("initdb", "-D", s.data(), "-U", "strongroom", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"); err == nil {
		err = s.restart()
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	return s, nil
}

func newServer(in, bin, ready string, settings []string) (*Server, error) {
	dir, err := os.MkdirTemp(in, "pg")
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, dir: dir, settings: settings, as: &syscall.SysProcAttr{}, ready: ready}
	if err := s.become(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

// run runs one of PostgreSQL's programs as the server's user.
func (s *Server) run(program string, args ...string) error {
	cmd := exec.Command(filepath.Join(s.bin, program), args...)
	cmd.SysProcAttr, cmd.Dir = s.as, s.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", program, err, out)
	}
	return nil
}

// Remove ends the server, and removes what it has on disk.
func (s *Server) Remove() error {
	s.Kill()
	return os.RemoveAll(s.dir)
}

// Shared returns a function like Start for tests that need no server of their own: it
// starts one, whose settings are for speed, when a test first asks. stop ends it, after
// the last test.
func Shared() (start func(testing.TB) *Server, stop func()) {
	var mu sync.Mutex
	var shared *Server
	start = func(t testing.TB) *Server {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if shared == nil {
			shared = startIn(t, "fsync=off", "autovacuum=off") // tests count transactions
		}
		return shared
	}
	return start, func() {
		if shared != nil {
			_ = shared.Remove()
		}
	}
}

// find returns the folder of PostgreSQL's programs. Debian keeps them off the PATH.
func find() string {
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil { // the others are beside it
			return filepath.Dir(path)
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is well-formed
	if len(found) == 0 {
		return ""
	}
	slices.Sort(found)
	return filepath.Dir(found[len(found)-1])
}

// become gives the folder to a user that PostgreSQL consents to run as: root it
// refuses.
func (s *Server) become() error {
	if os.Getuid() != 0 {
		return nil
	}
	who, err := user.Lookup("postgres")
	if err != nil {
		who, err = user.Lookup("nobody")
	}
	if err != nil {
		return err
	}
	uid, err := strconv.ParseUint(who.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(who.Gid, 10, 32)
	if err != nil {
		return err
	}
	s.as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(s.dir, int(uid), int(gid))
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// Restart starts the server after a Kill.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	must(t, s.restart())
}

func (s *Server) restart() error {
	args := []string{"-D", s.data(), "-k", s.dir, "-c", "listen_addresses=", "-c", "max_connections=200", "-c", "shared_buffers=16MB"}
	for _, setting := range s.settings {
		args = append(args, "-c", setting)
	}
	s.process = exec.Command(filepath.Join(s.bin, "postgres"), args...)
	s.process.SysProcAttr, s.process.Dir = s.as, s.dir
	log, err := s.process.StderrPipe()
	if err != nil {
		return err
	}
	if err := s.process.Start(); err != nil {
		return err
	}
	s.ended = make(chan struct{})
	started, mark := make(chan bool, 1), s.ready
	var said []string
	go func() {
		defer close(s.ended)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			if strings.Contains(lines.Text(), mark) {
				started <- true
			} else if len(started) == 0 {
				said = append(said, lines.Text())
			}
		}
		_ = s.process.Wait() // it is killed
		select {
		case started <- false:
		default:
		}
	}()
	if !<-started {
		return fmt.Errorf("PostgreSQL does not start:\n%s", strings.Join(said, "\n"))
	}
	return nil
}

// Kill ends the server and all of its processes at once, as a crash does.
func (s *Server) Kill() {
	s.signal(syscall.SIGSTOP) // so that it makes no more of them
	s.killAll()
	<-s.ended
}

// killAll kills the children first: those of a parent that is gone can't be found.
func (s *Server) killAll() {
	select {
	case <-s.ended:
		return
	default:
	}
	for _, pid := range s.children() {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
	}
	_ = syscall.Kill(s.process.Process.Pid, syscall.SIGKILL)
}

// Pause stops all of the server's processes, until Resume: it answers nobody.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume lets a paused server go on.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

// signal sends to the server and to its processes, each of which has a group of its
// own. Those that have ended are left out.
func (s *Server) signal(what syscall.Signal) {
	parent := s.process.Process.Pid
	select {
	case <-s.ended:
		return
	default:
	}
	_ = syscall.Kill(parent, what) // it may be ending
	for _, pid := range s.children() {
		_ = syscall.Kill(pid, what) // it may be ending
	}
}

// Processes are the ids of the server's processes, its first one among them.
func (s *Server) Processes() []int { return append(s.children(), s.process.Process.Pid) }

func (s *Server) children() (pids []int) {
	parent := s.process.Process.Pid
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", parent, parent))
	if err != nil {
		return nil // it has ended, and its processes are about to
	}
	for _, child := range strings.Fields(string(children)) {
		if pid, err := strconv.Atoi(child); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// URL returns where a new, empty schema of the server's is.
func (s *Server) URL(t testing.TB) string {
	t.Helper()
	at, err := s.NewURL()
	must(t, err)
	return at
}

// NewURL is URL for what is no test.
func (s *Server) NewURL() (string, error) {
	name := fmt.Sprint("test", s.schemas.Add(1))
	plain := "postgres:///postgres?" + url.Values{"host": {s.dir}, "user": {"strongroom"}}.Encode()
	return plain + "&search_path=" + name, s.exec("CREATE SCHEMA " + name)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
