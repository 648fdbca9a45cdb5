package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// SocketName is the socket's name in the data folder.
const SocketName = "admin.sock"

// maxSocketPath is the longest path that a Unix socket's address holds: 107 bytes
// and a NUL on Linux, 103 elsewhere, the smaller of which costs nothing.
const maxSocketPath = 103

// listenSocket makes the socket in dir.
func listenSocket(dir string) (*net.UnixListener, error) {
	path := filepath.Join(dir, SocketName)
	if err := removeSocket(dir); err != nil {
		return nil, err
	}
	addr, release, err := socketAddress(dir)
	if err != nil {
		return nil, err
	}
	defer release()
	listener, err := net.ListenUnix("unix", addr)
	if err != nil {
		return nil, err
	}
	// The address may be a short stand-in for the path, so that closing must not
	// unlink it; removeSocket does.
	listener.SetUnlinkOnClose(false)
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, listener.Close(), removeSocket(dir))
	}
	return listener, nil
}

// removeSocket removes the socket in dir, if there is one, and nothing else.
func removeSocket(dir string) error {
	path := filepath.Join(dir, SocketName)
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is in the way: it is not a socket", path)
	}
	return os.Remove(path)
}

// dialSocket connects to the socket in dir. It returns ErrNotRunning when nobody
// listens there.
func dialSocket(dir string) (net.Conn, error) {
	addr, release, err := socketAddress(dir)
	if err != nil {
		return nil, err
	}
	defer release()
	conn, err := net.DialUnix("unix", nil, addr)
	if err != nil {
		return nil, dialError(dir, err)
	}
	return conn, nil
}

func dialError(dir string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED):
		return ErrNotRunning
	case errors.Is(err, fs.ErrPermission):
		return &Error{
			Message: fmt.Sprintf("the server on %s belongs to another user: permission denied", dir),
			Advice:  "ask as the user that the server runs as, or as root",
		}
	}
	return fmt.Errorf("ask the server on %s: %w", dir, err)
}

// socketAddress returns an address for the socket in dir that fits into a socket
// address however long dir is, and holds until release is called.
func socketAddress(dir string) (addr *net.UnixAddr, release func(), err error) {
	path := filepath.Join(dir, SocketName)
	release = func() {}
	if len(path) > maxSocketPath {
		if path, release, err = shortPath(dir); err != nil {
			return nil, nil, err
		}
	}
	return &net.UnixAddr{Name: path, Net: "unix"}, release, nil
}

// tooLong is the error when a long path has no short stand-in.
func tooLong(dir string, cause error) error {
	return &Error{
		Message: fmt.Sprintf("the path of the admin socket in %s is %d bytes long; the system takes %d: %v",
			dir, len(filepath.Join(dir, SocketName)), maxSocketPath, cause),
		Advice: "use a data folder with a shorter path, or reach this one through a symbolic link",
	}
}
