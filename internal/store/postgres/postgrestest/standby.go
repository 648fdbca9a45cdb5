package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Standby starts another server that follows s, and returns when every commit of s
// waits for it. It ends with the test.
func (s *Server) Standby(t testing.TB) *Server {
	t.Helper()
	b, err := s.LaunchStandby("")
	must(t, err)
	t.Cleanup(func() { _ = b.Remove() })
	return b
}

// LaunchStandby is Standby for what is no test; in is as for Launch, and Remove ends it.
func (s *Server) LaunchStandby(in string) (*Server, error) {
	b, err := newServer(in, s.bin, readyStandby, s.settings)
	if err != nil {
		return nil, err
	}
	err = b.run("pg_basebackup", "-h", s.dir, "-U", "strongroom", "-D", b.data(), "--checkpoint=fast", "--no-sync", "--write-recovery-conf")
	if err == nil {
		err = b.restart()
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(b.dir))
	}
	// Whoever sets this waits until a standby has it.
	err = s.exec(`ALTER SYSTEM SET synchronous_standby_names = '*'`, `SELECT pg_reload_conf()`, `CREATE TABLE IF NOT EXISTS replicated ()`, `DROP TABLE replicated`)
	if err != nil {
		return nil, errors.Join(err, b.Remove())
	}
	return b, nil
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
	must(t, s.exec(statements...))
}

func (s *Server) exec(statements ...string) (err error) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, s.Address())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// Address is where the server's own database is, for its superuser.
func (s *Server) Address() string {
	return fmt.Sprintf("host=%s user=strongroom dbname=postgres", s.dir)
}

// Socket is the path of the socket that the server listens on.
func (s *Server) Socket() string { return filepath.Join(s.dir, ".s.PGSQL.5432") }
