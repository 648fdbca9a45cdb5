package admin

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// shortPath reaches the socket through a descriptor of its folder. Changing the
// working directory would do too, but it belongs to the whole process.
func shortPath(dir string) (path string, release func(), err error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	release = func() { _ = unix.Close(fd) }
	short := fmt.Sprintf("/proc/self/fd/%d", fd)
	// Without /proc, connecting would fail as if there were no server.
	if _, err := os.Stat(short); err != nil {
		release()
		return "", nil, tooLong(dir, err)
	}
	return filepath.Join(short, SocketName), release, nil
}

// peerOf asks the kernel who is at the other end.
func peerOf(c net.Conn) (uid uint32, pid int32, err error) {
	conn, ok := c.(*net.UnixConn)
	if !ok {
		return 0, 0, errors.New("not a connection over a Unix socket")
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, 0, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, 0, err
	}
	if credErr != nil {
		return 0, 0, credErr
	}
	return cred.Uid, cred.Pid, nil
}
