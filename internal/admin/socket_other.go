//go:build !linux

package admin

import (
	"errors"
	"net"
)

func shortPath(dir string) (path string, release func(), err error) {
	return "", nil, tooLong(dir, errors.ErrUnsupported)
}

// peerOf knows nobody, so that nobody is answered: only Linux is built for yet.
func peerOf(net.Conn) (uid uint32, pid int32, err error) {
	return 0, 0, errors.ErrUnsupported
}
