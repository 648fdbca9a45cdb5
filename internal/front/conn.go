package front

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

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
	tls      *wire.TLS // nil for plain HTTP
	in       *bufio.Reader

	busy   atomic.Bool // from a request's first byte to the end of its answer
	mu     sync.Mutex  // held while a request begins, and by endIdle
	woken  bool        // endIdle has set a deadline
	begun  time.Time   // when the first request began: with the connection; zero after it
	linger bool        // the client sends on; see close

	readBy, writeBy time.Time // the deadlines that are set
}

func newConn(s *Server, raw net.Conn) *conn {
	return &conn{Conn: raw, raw: raw, server: s, remote: addrPort(raw)}
}

// open makes the connection ready for its first request: over TLS, by a handshake.
// It reports whether there can be one.
func (c *conn) open() bool {
	cfg := &c.server.cfg
	c.begun = time.Now()
	if c.readUntil(c.begun.Add(cfg.ReadTimeout)) != nil {
		return false
	}
	if cfg.TLS != nil {
		t := tls.Server(c.raw, cfg.TLS)
		if c.writeUntil(c.readBy) != nil || t.Handshake() != nil {
			return false
		}
		state := t.ConnectionState()
		c.Conn = t
		c.tls = &wire.TLS{
			Version:     versionName(state.Version),
			CipherSuite: tls.CipherSuiteName(state.CipherSuite),
			ServerName:  state.ServerName,
		}
	}
	c.in = bufio.NewReaderSize(c, cfg.MaxHeaderBytes)
	return true
}

// Read implements [net.Conn].
func (c *conn) Read(p []byte) (int, error) {
	if !c.busy.Load() && c.server.stopping.Load() {
		return 0, io.EOF
	}
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.begin()
	}
	return n, err
}

// begin says that a request is under way.
func (c *conn) begin() {
	if c.busy.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy.Store(true)
	if c.woken {
		c.woken = false
		_ = c.raw.SetReadDeadline(c.readBy)
	}
}

// endIdle wakes a connection that waits for a request; Read does the rest. Ending
// the wait instead of the connection loses no request whose bytes have arrived
// just now: it takes the deadline back.
func (c *conn) endIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.busy.Load() {
		c.woken = true
		_ = c.raw.SetReadDeadline(time.Unix(1, 0))
	}
}

func (c *conn) readUntil(t time.Time) error {
	c.readBy = t
	return c.raw.SetReadDeadline(t)
}

func (c *conn) writeUntil(t time.Time) error {
	c.writeBy = t
	return c.raw.SetWriteDeadline(t)
}

// inTime reports whether a deadline that is set does for a wait of length d from now:
// to set one costs more than many a request, so that one that ends up to a quarter
// of d early is left as it is.
func inTime(set, now time.Time, d time.Duration) bool {
	left := set.Sub(now)
	return left <= d && left >= d-d/4
}

// idle bounds the wait for the next request.
func (c *conn) idle(now time.Time) error {
	if d := c.server.cfg.IdleTimeout; !inTime(c.readBy, now, d) {
		return c.readUntil(now.Add(d))
	}
	return nil
}

// write sends an answer.
func (c *conn) write(answer []byte, now time.Time) error {
	if d := c.server.cfg.WriteTimeout; !inTime(c.writeBy, now, d) {
		if err := c.writeUntil(now.Add(d)); err != nil {
			return err
		}
	}
	_, err := c.Conn.Write(answer)
	return err
}

// close ends the connection. After a refusal it first ends its own side and reads on
// for a while: to close a connection with bytes unread resets it, and the client
// would lose the answer that says why.
func (c *conn) close() {
	if !c.linger {
		_ = c.Conn.Close() // over TLS it says goodbye first (RFC 8446, section 6.1)
		return
	}
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		if half.CloseWrite() == nil && c.raw.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
			c.endWrite()
			buf := make([]byte, 4<<10)
			_, _ = io.CopyBuffer(onlyWriter{io.Discard}, onlyReader{io.LimitReader(c.raw, lingerBytes)}, buf)
		}
	}
	_ = c.raw.Close()
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
