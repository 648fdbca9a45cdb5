package postgrestest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Standby starts another server that follows s, and returns when every commit of s
// waits for it. It ends with the test.
func (s *Server) Standby(t testing.TB) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "pg")
	must(t, err)
	b := &Server{bin: s.bin, dir: dir, settings: s.settings, as: &syscall.SysProcAttr{}, ready: readyStandby}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	b.become(t)
	copying := exec.Command(filepath.Join(s.bin, "pg_basebackup"), "-h", s.dir, "-U", "strongroom", "-D", b.data(), "--checkpoint=fast", "--no-sync", "--write-recovery-conf")
	copying.SysProcAttr, copying.Dir = b.as, dir
	if out, err := copying.CombinedOutput(); err != nil {
		t.Fatalf("pg_basebackup: %v\n%s", err, out)
	}
	b.Restart(t)
	t.Cleanup(b.Kill)
	// Whoever sets this waits until a standby has it.
	s.Exec(t, `ALTER SYSTEM SET synchronous_standby_names = '*'`, `SELECT pg_reload_conf()`, `CREATE TABLE IF NOT EXISTS replicated ()`, `DROP TABLE replicated`)
	return b
}

// Promote makes a standby whose primary is gone the primary. Its commits wait for a
// standby of its own.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	s.ready = ready
	s.Exec(t, `ALTER SYSTEM SET synchronous_standby_names = '*'`, `SELECT pg_reload_conf()`, `SELECT pg_promote()`)
}

// Exec runs statements, each in a transaction of its own.
func (s *Server) Exec(t testing.TB, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), s.Address())
	must(t, err)
	for _, statement := range statements {
		if _, err := conn.Exec(context.Background(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	must(t, conn.Close(context.Background()))
}

// Address is where the server's own database is, for its superuser.
func (s *Server) Address() string {
	return fmt.Sprintf("host=%s user=strongroom dbname=postgres", s.dir)
}

// Socket is the path of the socket that the server listens on.
func (s *Server) Socket() string { return filepath.Join(s.dir, ".s.PGSQL.5432") }
