// Package postgrestest starts a real PostgreSQL for a test: a cluster of its own, in
// a folder of the test's, that listens on a socket in it and nowhere else.
package postgrestest

import (
	"bufio"
	"context"
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

	"github.com/jackc/pgx/v5"
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
	t.Cleanup(func() {
		s.Kill()
		_ = os.RemoveAll(s.dir)
	})
	return s
}

func startIn(t testing.TB, settings ...string) *Server {
	t.Helper()
	bin := find()
	if bin == "" {
		const missing = "PostgreSQL's initdb is not here; to run this test: .ci/install-tools, or apt-get install postgresql"
		if os.Getenv("CI") != "" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	// The folder of the test's may be too deep for a socket's path.
	dir, err := os.MkdirTemp("", "pg")
	must(t, err)
	s := &Server{bin: bin, dir: dir, settings: settings, as: &syscall.SysProcAttr{}, ready: ready}
	s.become(t)
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", s.data(), "-U", "strongroom", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")
	initdb.SysProcAttr, initdb.Dir = s.as, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	s.Restart(t)
	return s
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
			shared = startIn(t, "fsync=off")
		}
		return shared
	}
	return start, func() {
		if shared != nil {
			shared.Kill()
			_ = os.RemoveAll(shared.dir)
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
func (s *Server) become(t testing.TB) {
	if os.Getuid() != 0 {
		return
	}
	who, err := user.Lookup("postgres")
	if err != nil {
		who, err = user.Lookup("nobody")
	}
	must(t, err)
	uid, err := strconv.ParseUint(who.Uid, 10, 32)
	must(t, err)
	gid, err := strconv.ParseUint(who.Gid, 10, 32)
	must(t, err)
	must(t, os.Chown(s.dir, int(uid), int(gid)))
	s.as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// Restart starts the server after a Kill.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	args := []string{"-D", s.data(), "-k", s.dir, "-c", "listen_addresses=", "-c", "max_connections=200", "-c", "shared_buffers=16MB"}
	for _, setting := range s.settings {
		args = append(args, "-c", setting)
	}
	s.process = exec.Command(filepath.Join(s.bin, "postgres"), args...)
	s.process.SysProcAttr, s.process.Dir = s.as, s.dir
	log, err := s.process.StderrPipe()
	must(t, err)
	must(t, s.process.Start())
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
		t.Fatalf("PostgreSQL does not start:\n%s", strings.Join(said, "\n"))
	}
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
	name := fmt.Sprint("test", s.schemas.Add(1))
	plain := "postgres:///postgres?" + url.Values{"host": {s.dir}, "user": {"strongroom"}}.Encode()
	conn, err := pgx.Connect(context.Background(), plain)
	must(t, err)
	_, err = conn.Exec(context.Background(), "CREATE SCHEMA "+name)
	must(t, err)
	must(t, conn.Close(context.Background()))
	return plain + "&search_path=" + name
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
