package admin

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLongPaths(t *testing.T) {
	for _, length := range []int{0, 90, 93, 94, 100, 150, 240, 700} {
		dir := t.TempDir()
		for len(dir) < length {
			dir = filepath.Join(dir, strings.Repeat("d", min(length-len(dir), 200)))
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		source := &fakeSource{lines: []string{`{}`}}
		server, client := start(t, dir, source, ignore)
		var got []string
		if err := client.Export(context.Background(), Filter{}, collect(&got)); err != nil || len(got) != 1 {
			t.Errorf("%d bytes: got %q, %v", len(dir), got, err)
		}
		info, err := os.Lstat(filepath.Join(dir, SocketName))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%d bytes: the socket has mode %s", len(dir), info.Mode())
		}
		if err := server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(filepath.Join(dir, SocketName)); !os.IsNotExist(err) {
			t.Errorf("%d bytes: the socket is still there: %v", len(dir), err)
		}
	}
}

func TestDeadSocketIsReplaced(t *testing.T) {
	dir := t.TempDir()
	dead, err := listenSocket(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Connect(dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("a dead socket: got %v, want ErrNotRunning", err)
	}
	live, err := listenSocket(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	if _, err := Connect(dir); err != nil {
		t.Error(err)
	}
}

func TestOtherFilesAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, SocketName)
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listenSocket(dir); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("got %v", err)
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != "mine" {
		t.Errorf("the file is %q, %v", content, err)
	}
}

func TestNoFolder(t *testing.T) {
	for _, dir := range []string{filepath.Join(t.TempDir(), "none"), filepath.Join(t.TempDir(), strings.Repeat("n", 200))} {
		if _, err := Connect(dir); !errors.Is(err, ErrNotRunning) && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v", err)
		}
		if _, err := listenSocket(dir); err == nil {
			t.Error("a socket was made in a folder that is not there")
		}
	}
}

func TestForeignServerIsNamed(t *testing.T) {
	err := dialError("dir", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", os.ErrPermission)})
	var answer *Error
	if !errors.As(err, &answer) || !strings.Contains(answer.Message, "another user") || answer.Hint() == "" {
		t.Errorf("got %v", err)
	}
}

func TestTooLongSaysWhatToDo(t *testing.T) {
	err := tooLong(strings.Repeat("d", 200), errors.ErrUnsupported)
	var answer *Error
	if !errors.As(err, &answer) || !strings.Contains(answer.Message, "211 bytes") || !strings.Contains(answer.Hint(), "symbolic link") {
		t.Errorf("got %v", err)
	}
}
