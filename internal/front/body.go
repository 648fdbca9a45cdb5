package front

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http/httputil"
	"slices"
	"time"

	"github.com/strongroom/strongroom/internal/wire"
)

// smallBody is how much of a body every request may hold; what is beyond it counts
// against Config.MaxBodyMemory. No request of a KMS client comes near it.
const smallBody = 64 << 10

// firstBody is how much room a body is given before any of it has arrived.
const firstBody = 8 << 10

// readBody reads the body of a request whose head has just been parsed, and takes both
// out of the connection's buffer. What has arrived with its head, as short bodies do,
// stays where it is.
func (s *Server) readBody(c *conn, x *exchange, head []byte, f framing) error {
	whole := len(head) + f.length
	if !f.chunked && whole <= c.in.Buffered() {
		b, _ := c.in.Peek(whole)
		x.req.Body = b[len(head):]
		_, _ = c.in.Discard(whole)
		return nil
	}
	// What is read on goes over the head's bytes.
	x.head = append(x.head[:0], head...)
	if _, refused := parseHead(&x.req, x.head, s.limits()); refused != nil {
		return refused
	}
	_, _ = c.in.Discard(len(head))
	if f.expect && c.in.Buffered() == 0 {
		if err := c.write(goOn, time.Now()); err != nil {
			return errEnded
		}
	}
	if err := c.hurry(); err != nil {
		return err
	}
	var err error
	if f.chunked {
		if x.req.Body, err = s.collect(x, httputil.NewChunkedReader(c.in)); err == nil {
			err = c.skipTrailer()
		}
	} else {
		x.req.Body, err = s.collect(x, io.LimitReader(c.in, int64(f.length)))
		// A body cut short must not pass for a whole one.
		if err == nil && len(x.req.Body) != f.length {
			err = errUnreadable
		}
	}
	return err
}

var goOn = []byte("HTTP/1.1 100 Continue\r\n\r\n")

// collect reads a body to its end. Its room grows with what arrives and not with what
// is announced: otherwise a thousand clients that announce a long body and send nothing
// would take a gigabyte.
func (s *Server) collect(x *exchange, body io.Reader) ([]byte, error) {
	buf := x.body[:0]
	defer func() { x.body = buf }()
	for {
		if len(buf) == cap(buf) {
			// One byte more than is allowed, to see that there is more.
			room := min(max(firstBody, 2*cap(buf)), s.cfg.MaxBodyBytes+1)
			if room > smallBody && !s.reserve(x, room) {
				return nil, errBusy
			}
			buf = slices.Grow(buf, room-len(buf))[:len(buf):room]
		}
		n, err := body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case len(buf) > s.cfg.MaxBodyBytes:
			return nil, errBody
		case err == io.EOF:
			return buf, nil
		case err != nil:
			return nil, readError(err)
		}
	}
}

// skipTrailer reads over the trailer of a body in chunks, up to and with the empty line
// that ends it.
func (c *conn) skipTrailer() error {
	for size := 0; ; {
		line, err := c.in.ReadSlice('\n')
		if size += len(line); size > c.in.Size() || errors.Is(err, bufio.ErrBufferFull) {
			return errHeaderBytes
		}
		switch {
		case err != nil:
			return readError(err)
		case !bytes.HasSuffix(line, lineEnd):
			return errLineEnd
		case len(line) == len(lineEnd):
			return nil
		}
		h, refused := parseLine(line[:len(line)-len(lineEnd)])
		if refused != nil {
			return refused
		}
		for _, name := range []string{"Host", "Content-Length", "Transfer-Encoding"} {
			if wire.EqualFold(h.Name, name) {
				return errTrailer
			}
		}
	}
}

// reserve counts room for a long body, and reports whether there is that much left.
func (s *Server) reserve(x *exchange, room int) bool {
	more := int64(room) - x.reserved
	if s.bodies.Add(more) > int64(s.cfg.MaxBodyMemory) {
		s.bodies.Add(-more)
		return false
	}
	x.reserved += more
	return true
}

// releaseBody gives back what reserve took.
func (s *Server) releaseBody(x *exchange) {
	s.bodies.Add(-x.reserved)
	x.reserved = 0
	if cap(x.body) > smallBody {
		x.body = nil
	}
}
