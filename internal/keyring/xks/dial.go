package xks

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// dialMachine connects over the machine's network. Whether an address is public is
// looked at when it is connected to, so that a name cannot change its mind between
// two lookups.
func dialMachine(ctx context.Context, address string, mustBePublic bool) (net.Conn, error) {
	d := net.Dialer{}
	if mustBePublic {
		d.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil || !public(to.Addr()) {
				return fmt.Errorf("the address %s is not a public one; a route can be configured for it", address)
			}
			return nil
		}
	}
	return d.DialContext(ctx, "tcp", address)
}
