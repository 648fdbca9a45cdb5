package main

import (
	"net"
	"strings"
)

// notify tells systemd how far a service is, if systemd has started it (sd_notify(3)):
// it has put the name of a socket into the environment, where "@" begins an abstract
// name. A manager that has gone away is nobody's trouble.
func notify(env []string, state string) error {
	for _, entry := range env {
		name, ok := strings.CutPrefix(entry, "NOTIFY_SOCKET=")
		if !ok || name == "" {
			continue
		}
		conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Write([]byte(state))
		return err
	}
	return nil
}
