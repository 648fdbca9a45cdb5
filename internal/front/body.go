package front

import (
	"io"
	"slices"

	"github.com/valyala/fasthttp"
)

// smallBody is how much of a body every request may hold; what is beyond it counts
// against Config.MaxBodyMemory. No request of a KMS client comes near it.
const smallBody = 64 << 10

// firstBody is how much room a body is given before any of it has arrived. fasthttp
// has as much of it in hand when the handler is called.
const firstBody = 8 << 10

// readBody reads the body of a request into x. Its room grows with what arrives and
// not with what is announced: otherwise a thousand clients that announce a long body
// and send nothing would take a gigabyte.
func (s *Server) readBody(ctx *fasthttp.RequestCtx, x *exchange) *refusal {
	stream := ctx.Request.BodyStream()
	if stream == nil {
		return nil
	}
	c, _ := describe(ctx.Conn())
	buf := x.body[:0]
	defer func() { x.body = buf }()
	for {
		if len(buf) == cap(buf) {
			// One byte more than is allowed, to see that there is more.
			room := min(max(firstBody, 2*cap(buf)), s.cfg.MaxBodyBytes+1)
			if room > smallBody && !s.reserve(x, room) {
				return errBusy
			}
			buf = slices.Grow(buf, room-len(buf))[:len(buf):room]
		}
		n, err := stream.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case len(buf) > s.cfg.MaxBodyBytes:
			return errBody
		case err == io.EOF:
			// The stream ends in the same way when the body does and when the
			// connection does; a body cut short must not pass for a whole one.
			if n := ctx.Request.Header.ContentLength(); c.ended.Load() || n >= 0 && n != len(buf) {
				return errUnreadable
			}
			x.req.Body = buf
			return nil
		case isTimeout(err):
			return errTimeout
		case err != nil:
			return errUnreadable
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
