package front

import (
	"bytes"
	"errors"
	"time"

	"github.com/strongroom/strongroom/internal/wire"
)

var (
	lineEnd = []byte("\r\n")
	headEnd = []byte("\r\n\r\n")
)

// errEnded is what nextHead returns when a connection ends, or has waited for long
// enough, before a request has begun.
var errEnded = errors.New("front: the connection has ended")

// nextHead waits for the head of the next request, up to and with the empty line that
// ends it. It points into the connection's buffer, and leaves it there.
func (c *conn) nextHead() ([]byte, error) {
	if _, err := c.in.Peek(1); err != nil {
		return nil, errEnded
	}
	c.begin() // a pipelined request comes without a Read
	for skipped := false; ; {
		b, _ := c.in.Peek(c.in.Buffered())
		if !skipped && bytes.HasPrefix(b, lineEnd) {
			// Some clients end a body with an empty line too many (RFC 9112, section 2.2).
			skipped = true
			b = b[len(lineEnd):]
			_, _ = c.in.Discard(len(lineEnd))
			if len(b) == 0 {
				// The request has not begun: what came belongs to the one before.
				c.busy.Store(false)
				if _, err := c.in.Peek(1); err != nil {
					return nil, errEnded
				}
				c.begin()
				continue
			}
		}
		if end := bytes.Index(b, headEnd); end >= 0 {
			return b[:end+len(headEnd)], nil
		}
		if refused := hopeless(b); refused != nil {
			return nil, refused
		}
		if len(b) == c.in.Size() {
			return nil, errHeaderBytes
		}
		if err := c.more(len(b) + 1); err != nil {
			return nil, err
		}
	}
}

// more waits until n bytes of a request are in the buffer. n is at most its size.
func (c *conn) more(n int) error {
	if err := c.hurry(); err != nil {
		return err
	}
	_, err := c.in.Peek(n)
	return readError(err)
}

// hurry bounds the rest of a request that has begun: all of it, however many reads it
// comes in. The first of a connection has been bounded since that was accepted.
func (c *conn) hurry() error {
	if c.begun.IsZero() {
		c.begun = time.Now()
		if c.readUntil(c.begun.Add(c.server.cfg.ReadTimeout)) != nil {
			return errUnreadable
		}
	}
	return nil
}

// readError is what is wrong with a request that could not be read to its end.
func readError(err error) error {
	switch {
	case err == nil:
		return nil
	case isTimeout(err):
		return errTimeout
	}
	return errUnreadable
}

// hopeless reports what is wrong already with a head that has not come to its end, so
// that whoever speaks another protocol need not wait for an answer.
func hopeless(b []byte) error {
	first := true
	for {
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			return nil
		}
		if end == 0 || b[end-1] != '\r' {
			return errLineEnd
		}
		if first {
			if _, _, refused := parseRequestLine(b[:end-1]); refused != nil {
				return refused
			}
			first = false
		}
		b = b[end+1:]
	}
}

// parseHead reads a head into req, whose strings are over its bytes then.
func parseHead(req *wire.Request, head []byte, l limits) (framing, *refusal) {
	end := bytes.Index(head, lineEnd)
	if end < 0 {
		return framing{}, errLineEnd
	}
	target, http10, refused := parseRequestLine(head[:end])
	if refused != nil {
		return framing{}, refused
	}
	req.Method, req.Target = target.method, target.target
	l.http10 = http10
	var f framing
	req.Headers, f, refused = parseHeaders(req.Headers[:0], head[end+len(lineEnd):], l)
	return f, refused
}

// requestLine is what stands before the version in a request's first line.
type requestLine struct{ method, target string }

// parseRequestLine reads "METHOD target HTTP/1.x" (RFC 9112, section 3), with one
// space between and a path as target.
func parseRequestLine(line []byte) (r requestLine, http10 bool, refused *refusal) {
	method, rest, found := bytes.Cut(line, []byte{' '})
	if !found || len(method) == 0 {
		return r, false, errUnreadable
	}
	for _, b := range method {
		if !tokens[b] {
			return r, false, errUnreadable
		}
	}
	target, version, found := bytes.Cut(rest, []byte{' '})
	if !found {
		return r, false, errVersion
	}
	if len(target) == 0 || target[0] != '/' {
		return r, false, errTarget
	}
	for _, b := range target {
		if b <= ' ' || b == 0x7f {
			return r, false, errTarget
		}
	}
	switch string(version) {
	case "HTTP/1.1":
	case "HTTP/1.0":
		http10 = true
	default:
		return r, false, errVersion
	}
	return requestLine{view(method), view(target)}, http10, nil
}
