package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/strongroom/strongroom/internal/server"
)

// advised is an error with a hint, as the server's are.
type advised struct{ what, hint string }

func (e advised) Error() string { return e.what }
func (e advised) Hint() string  { return e.hint }

func TestWhatTheServerRefusesIsSaidWithItsHint(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"folder not ours", advised{"./x is not empty and not a data folder of Strongroom", "choose another folder with --data"},
			"strongroom: ./x is not empty and not a data folder of Strongroom\nhint: choose another folder with --data\n"},
		{"permissions", advised{"./x can be read by others (mode 0755)", "chmod 700 ./x"},
			"strongroom: ./x can be read by others (mode 0755)\nhint: chmod 700 ./x\n"},
		{"seal file missing", advised{"the root of the keys is missing: ./x/root", "put it back from where you keep it: no key opens without it"},
			"strongroom: the root of the keys is missing: ./x/root\nhint: put it back from where you keep it: no key opens without it\n"},
		{"second process", advised{"another process, 12, has ./x", "stop it first: kill 12"},
			"strongroom: another process, 12, has ./x\nhint: stop it first: kill 12\n"},
		{"dev folder", advised{"./x was made by a dev server", "start it with --dev"},
			"strongroom: ./x was made by a dev server\nhint: start it with --dev\n"},
		{"production folder", advised{"./x was not made by a dev server", "start it without --dev"},
			"strongroom: ./x was not made by a dev server\nhint: start it without --dev\n"},
		{"wrapped", fmt.Errorf("start: %w", advised{"no", "do"}), "strongroom: start: no\nhint: do\n"},
		{"no hint", errors.New("no"), "strongroom: no\n"},
		{"empty hint", advised{"no", ""}, "strongroom: no\n"},
		{"hostile name", advised{"\x1b[2Jx\u202e\u009b1m is bad\r", "\a"}, "strongroom: \ufffd[2Jx\ufffd\ufffd1m is bad\ufffd\nhint: \ufffd\n"},
		{"setting found by the server", &server.SettingError{Setting: "listen", Problem: "bad", Advice: "good"}, "strongroom: --listen: bad\nhint: good\n"},
		{"low port", &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", syscall.EACCES)},
			"strongroom: listen tcp: bind: permission denied\nhint: ports below 1024 want a right of their own (CAP_NET_BIND_SERVICE); take a higher one with --listen\n"},
		{"foreign address", &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", syscall.EADDRNOTAVAIL)},
			"strongroom: listen tcp: bind: cannot assign requested address\nhint: this machine does not have that address (ip addr shows those it has)\n"},
		{"permission without a hint", &fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES},
			"strongroom: open x: permission denied\nhint: this wants the user that owns it (ls -ld shows who that is)\n"},
		{"disk full", &fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC},
			"strongroom: write x: no space left on device\nhint: the disk is full (df -h shows which)\n"},
	}
	for _, test := range tests {
		s := newSession()
		s.start = func(context.Context, server.Config) (running, error) { return nil, test.err }
		if code := run([]string{"serve"}, s.app); code != 1 {
			t.Errorf("%s: exits with %d", test.name, code)
		}
		if got := s.err.String(); got != test.want {
			t.Errorf("%s: says\n%swant\n%s", test.name, got, test.want)
		}
		if s.out.Len() != 0 {
			t.Errorf("%s: says %q on stdout", test.name, &s.out)
		}
	}
}

func TestPortTaken(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	s := newSession()
	if code := run([]string{"serve", "--data", t.TempDir(), "--listen", other.Addr().String()}, s.app); code != 1 {
		t.Errorf("exits with %d", code)
	}
	for _, part := range []string{other.Addr().String(), "address already in use\nhint: ", "--listen 127.0.0.1:0\n"} {
		if !strings.Contains(s.err.String(), part) {
			t.Errorf("%q is not in: %s", part, &s.err)
		}
	}
}
