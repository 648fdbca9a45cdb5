package load

import (
	"context"
	"crypto/tls"
	"net"
	"time"
)

// Conn is one keep-alive connection.
type Conn struct {
	conn net.Conn
	text []byte // what has come of an answer
}

// Dial opens a connection to addr; over TLS unless config is nil.
func Dial(ctx context.Context, addr string, config *tls.Config) (*Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if config != nil {
		secured := tls.Client(conn, config)
		if err := secured.HandshakeContext(ctx); err != nil {
			_ = conn.Close() // the handshake's error says more
			return nil, err
		}
		conn = secured
	}
	return &Conn{conn: conn, text: make([]byte, 0, 16<<10)}, nil
}

// Call sends a request and returns the answer's header and body, which are good
// until the next call. An answer other than 200 is an error.
func (c *Conn) Call(request []byte) ([]byte, error) {
	if err := c.conn.SetDeadline(time.Now().Add(silence)); err != nil {
		return nil, err
	}
	if _, err := c.conn.Write(request); err != nil {
		return nil, err
	}
	c.text = c.text[:0]
	for {
		if len(c.text) == cap(c.text) {
			c.text = append(c.text, 0)[:len(c.text)]
		}
		n, err := c.conn.Read(c.text[len(c.text):cap(c.text)])
		c.text = c.text[:len(c.text)+n]
		size, wrong := answer(c.text)
		if wrong != nil {
			return nil, wrong
		}
		if size > 0 && len(c.text) >= size {
			return c.text[:size], nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// Close ends the connection.
func (c *Conn) Close() error { return c.conn.Close() }
