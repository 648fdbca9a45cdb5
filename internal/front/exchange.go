package front

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/strongroom/strongroom/internal/wire"
)

// requestIDHeader is the one header of an answer that outlives a panic.
const requestIDHeader = "x-amzn-RequestId"

// exchange is the room for one request and its answer, used again and again.
type exchange struct {
	req      wire.Request
	resp     wire.Response
	head     []byte
	body     []byte
	room     []byte // for the answer's body
	answer   []byte
	reserved int64 // of Config.MaxBodyMemory
}

// putExchange lets go of everything that belongs to a request.
func (s *Server) putExchange(x *exchange) {
	s.releaseBody(x)
	size := len(x.resp.Body)
	requested, answered := x.req.Headers, x.resp.Headers
	clear(requested)
	clear(answered)
	x.req = wire.Request{Headers: requested[:0]}
	x.resp = wire.Response{Headers: answered[:0]}
	// What was asked and answered may be secret.
	clear(x.head)
	clear(x.body)
	clear(x.room[:cap(x.room)])
	if size > cap(x.room) && size <= largeBody {
		x.room = make([]byte, 0, largeBody)
	}
	clear(x.answer)
	if cap(x.answer) > smallBody {
		x.answer = nil
	}
	s.exchanges.Put(x)
}

// Bytes of room: a little more than the bodies of most answers, and, once an answer was
// longer, than those with 4,096 bytes or their ciphertext.
const (
	usualBody = 1 << 10
	largeBody = 8 << 10
)

func (s *Server) limits() limits {
	return limits{headers: s.cfg.MaxHeaders, body: s.cfg.MaxBodyBytes}
}

// exchange waits for a request and answers it. It reports whether there may be another.
func (s *Server) exchange(c *conn) (again bool) {
	head, err := c.nextHead()
	if err != nil {
		s.refuse(c, err)
		return false
	}
	x := s.exchanges.Get().(*exchange)
	defer s.putExchange(x)
	f, refused := parseHead(&x.req, head, s.limits())
	if refused != nil {
		s.refuse(c, refused)
		return false
	}
	if err := s.readBody(c, x, head, f); err != nil {
		s.refuse(c, err)
		return false
	}
	x.req.Remote, x.req.TLS = c.remote, c.tls
	x.resp.Room = x.room
	s.call(x)
	keep := f.keep() && !x.resp.Close && !s.stopping.Load()
	now := time.Now()
	x.answer = appendAnswer(x.answer[:0], &x.resp, s.date(now), x.req.Method == http.MethodHead, &f, keep)
	if c.write(x.answer, now) != nil || !keep {
		c.linger = c.in.Buffered() > 0
		return false
	}
	c.begun = time.Time{}
	c.busy.Store(c.in.Buffered() > 0)
	return c.idle(now) == nil
}

// call runs the handler, and answers for it when it panics.
func (s *Server) call(x *exchange) {
	defer func() {
		p := recover()
		if p == nil && x.resp.Status >= 200 && x.resp.Status <= 599 {
			return
		}
		id := ""
		for _, h := range x.resp.Headers {
			if strings.EqualFold(h.Name, requestIDHeader) {
				id = h.Value
			}
		}
		if p != nil {
			s.cfg.Log.Error("panic in the handler", "panic", panicText(p), "requestId", id,
				"remote", x.req.Remote, "stack", string(debug.Stack()))
		} else {
			s.cfg.Log.Error("the handler gave no status", "status", x.resp.Status, "requestId", id, "remote", x.req.Remote)
		}
		x.resp = wire.Response{Status: http.StatusInternalServerError, ContentType: plainText,
			Headers: x.resp.Headers[:0], Body: []byte("Internal Server Error\n"), Close: true}
		if id != "" {
			x.resp.Headers = append(x.resp.Headers, wire.Header{Name: requestIDHeader, Value: id})
		}
	}()
	s.cfg.Handler(s.ctx, &x.req, &x.resp)
}

// panicText says what a panic was about without what it carries, which may be part
// of a request: only the runtime's own errors are told in full.
func panicText(p any) string {
	var known runtime.Error
	if err, ok := p.(error); ok && errors.As(err, &known) {
		return known.Error()
	}
	return fmt.Sprintf("a %T", p)
}

const plainText = "text/plain; charset=utf-8"

// refuse answers instead of the handler; the connection is to be closed then. Where
// there is no request, there is nothing to answer.
func (s *Server) refuse(c *conn, err error) {
	var r *refusal
	if !errors.As(err, &r) {
		return
	}
	c.linger = true
	s.cfg.Log.Debug("request refused", "status", r.status, "reason", r.reason, "remote", c.remote)
	now := time.Now()
	resp := wire.Response{Status: r.status, ContentType: plainText, Body: []byte(r.reason + "\n")}
	_ = c.write(appendAnswer(nil, &resp, s.date(now), false, &framing{}, false), now)
}
