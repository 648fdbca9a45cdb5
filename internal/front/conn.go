package front

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/strongroom/strongroom/internal/wire"
)

const (
	// lingerBytes and lingerTime bound what is still read from a client whose
	// request was refused before it was read.
	lingerBytes = 16 << 20
	lingerTime  = 5 * time.Second
)

// conn is one connection. It knows whether a request is under way on it, so that
// Shutdown can tell.
type conn struct {
	net.Conn // raw, or TLS over it
	raw      net.Conn
	server   *Server
	remote   netip.AddrPort

	heard  atomic.Bool // the peer has sent something
	busy   atomic.Bool // from a request's first byte to the end of its answer
	linger atomic.Bool // the request was refused; see Close
	ended  atomic.Bool // a Read has failed
	once   sync.Once
}

// Read implements [net.Conn].
func (c *conn) Read(p []byte) (int, error) {
	if !c.busy.Load() && c.server.stopping.Load() {
		return 0, io.EOF
	}
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.heard.Store(true)
		c.busy.Store(true)
	} else if err != nil {
		c.ended.Store(true)
	}
	return n, err
}

// endIdle wakes a connection that waits for a request; Read does the rest. Ending
// the wait instead of the connection loses no request whose bytes have arrived
// just now.
func (c *conn) endIdle() {
	if !c.busy.Load() {
		_ = c.raw.SetReadDeadline(time.Unix(1, 0))
	}
}

// Close implements [net.Conn]. After a refusal it first ends its own side and reads
// on for a while: to close a connection with bytes unread resets it, and the client
// would lose the answer that says why.
func (c *conn) Close() error {
	var err error
	c.once.Do(func() {
		if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && c.linger.Load() {
			if half.CloseWrite() == nil && c.raw.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
				c.endWrite()
				buf := make([]byte, 4<<10)
				_, _ = io.CopyBuffer(onlyWriter{io.Discard}, onlyReader{io.LimitReader(c.raw, lingerBytes)}, buf)
			}
			err = c.raw.Close()
			return
		}
		err = c.Conn.Close()
	})
	return err
}

// endWrite ends the writing side of the transport below TLS, whose own CloseWrite
// only says so to its peer.
func (c *conn) endWrite() {
	if half, ok := c.raw.(interface{ CloseWrite() error }); ok && c.raw != c.Conn {
		_ = half.CloseWrite()
	}
}

// onlyReader and onlyWriter hide shortcuts that would ignore the buffer.
type onlyReader struct{ io.Reader }
type onlyWriter struct{ io.Writer }

// peer is what MaxConnsPerIP counts by: an IPv4 address, or the /64 that an IPv6
// host can number itself within.
func (c *conn) peer() netip.Addr {
	ip := c.remote.Addr()
	if !ip.Is6() {
		return ip
	}
	prefix, err := ip.Prefix(64)
	if err != nil {
		return ip
	}
	return prefix.Addr()
}

// tlsConn is a conn over TLS; fasthttp knows it by its methods.
type tlsConn struct {
	*conn
	tls   *tls.Conn
	facts *wire.TLS
}

// Handshake runs the TLS handshake.
func (c *tlsConn) Handshake() error { return c.tls.Handshake() }

// ConnectionState describes the TLS connection.
func (c *tlsConn) ConnectionState() tls.ConnectionState { return c.tls.ConnectionState() }

// describe returns what a request says of its connection.
func describe(nc net.Conn) (*conn, *wire.TLS) {
	switch c := nc.(type) {
	case *conn:
		return c, nil
	case *tlsConn:
		if c.facts == nil {
			state := c.tls.ConnectionState()
			c.facts = &wire.TLS{
				Version:     versionName(state.Version),
				CipherSuite: tls.CipherSuiteName(state.CipherSuite),
				ServerName:  state.ServerName,
			}
		}
		return c.conn, c.facts
	}
	panic("front: a connection that Serve did not make")
}

// connState is told by fasthttp that an answer is written and the connection waits.
func (s *Server) connState(nc net.Conn, state fasthttp.ConnState) {
	if state != fasthttp.StateIdle {
		return
	}
	c, _ := describe(nc)
	c.busy.Store(false)
}

// addrPort returns the peer's address; the zero value for a transport without one.
func addrPort(c interface{ RemoteAddr() net.Addr }) netip.AddrPort {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		ap := a.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}

// isTimeout reports whether a read ran into its deadline.
func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}
