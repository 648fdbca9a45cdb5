package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestServiceTellsItsManager listens as systemd does.
func TestServiceTellsItsManager(t *testing.T) {
	for name, socket := range map[string]string{
		"a path":        filepath.Join(t.TempDir(), "notify"),
		"abstract name": fmt.Sprintf("@strongroom-test-%d-%s", os.Getpid(), t.Name()),
	} {
		t.Run(name, func(t *testing.T) {
			manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
			if err != nil {
				t.Fatal(err)
			}
			defer manager.Close()
			as := newScripted()
			s := newSession().serves(as).signalsWhenReady(syscall.SIGTERM)
			s.env = []string{"NOTIFY_SOCKET=" + socket}
			as.shutdown = func(context.Context) error { return nil }
			if code := run([]string{"serve"}, s.app); code != 0 {
				t.Fatalf("exit code %d: %s", code, s.err.String())
			}
			for _, want := range []string{"READY=1\nSTATUS=serving on https://[::1]:4566", "STOPPING=1"} {
				buf := make([]byte, 1000)
				n, err := manager.Read(buf)
				if err != nil || string(buf[:n]) != want {
					t.Errorf("told %q, %v; want %q", buf[:n], err, want)
				}
			}
		})
	}
	if err := notify([]string{"NOTIFY_SOCKET=", "HOME=/"}, "READY=1"); err != nil {
		t.Errorf("without a manager: %v", err)
	}
}

// TestAManagerThatIsGone does not keep the server from serving.
func TestAManagerThatIsGone(t *testing.T) {
	s := newSession().serves(newScripted()).signalsWhenReady(syscall.SIGTERM)
	s.env = []string{"NOTIFY_SOCKET=" + filepath.Join(t.TempDir(), "none")}
	if code := run([]string{"serve"}, s.app); code != 0 {
		t.Errorf("exit code %d: %s", code, s.err.String())
	}
}
