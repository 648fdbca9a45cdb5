package front

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/strongroom/strongroom/internal/wire"
)

// requestIDHeader is the one header of an answer that outlives a panic.
const requestIDHeader = "x-amzn-RequestId"

// exchange is the room for one request and its answer, used again and again.
type exchange struct {
	req      wire.Request
	resp     wire.Response
	body     []byte
	reserved int64 // of Config.MaxBodyMemory
}

// putExchange lets go of everything that belongs to a request.
func (s *Server) putExchange(x *exchange) {
	s.releaseBody(x)
	requested, answered := x.req.Headers, x.resp.Headers
	clear(requested)
	clear(answered)
	x.req = wire.Request{Headers: requested[:0]}
	x.resp = wire.Response{Headers: answered[:0]}
	s.exchanges.Put(x)
}

// readHead fills in all of the request but the body from what fasthttp holds,
// without copying it.
func (x *exchange) readHead(ctx *fasthttp.RequestCtx, cfg *Config) *refusal {
	h := &ctx.Request.Header
	version := h.Protocol()
	l := limits{headers: cfg.MaxHeaders, body: cfg.MaxBodyBytes, http10: string(version) == "HTTP/1.0"}
	if !l.http10 && string(version) != "HTTP/1.1" {
		return errVersion
	}
	target := h.RequestURI()
	if len(target) == 0 || target[0] != '/' {
		return errTarget
	}
	var refused *refusal
	if x.req.Headers, refused = parseHeaders(x.req.Headers, h.RawHeaders(), l); refused != nil {
		return refused
	}
	c, tls := describe(ctx.Conn())
	x.req.Method = view(h.Method())
	x.req.Target = view(target)
	x.req.Remote = c.remote
	x.req.TLS = tls
	return nil
}

// write hands the answer to fasthttp, which sends it after the handler.
func (x *exchange) write(ctx *fasthttp.RequestCtx) {
	out := &ctx.Response
	out.SetStatusCode(x.resp.Status)
	if x.resp.ContentType != "" {
		out.Header.SetContentType(x.resp.ContentType)
	}
	for _, h := range x.resp.Headers {
		out.Header.Add(h.Name, h.Value)
	}
	out.SetBodyRaw(x.resp.Body)
	if x.resp.Close {
		ctx.SetConnectionClose()
	}
}

// handle is called by fasthttp with a request whose head it could read.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	c, _ := describe(ctx.Conn())
	c.busy.Store(true) // a pipelined request comes without a Read
	x := s.exchanges.Get().(*exchange)
	defer s.putExchange(x)
	refused := x.readHead(ctx, &s.cfg)
	if refused == nil {
		refused = s.readBody(ctx, x)
	}
	if refused != nil {
		s.refuse(ctx, refused)
		return
	}
	s.call(x)
	x.write(ctx)
	if s.stopping.Load() {
		ctx.SetConnectionClose()
	}
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
		x.resp = wire.Response{Status: fasthttp.StatusInternalServerError, ContentType: plainText,
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

// refuse answers instead of the handler, and ends the connection.
func (s *Server) refuse(ctx *fasthttp.RequestCtx, r *refusal) {
	c, _ := describe(ctx.Conn())
	c.linger.Store(true)
	s.cfg.Log.Debug("request refused", "status", r.status, "reason", r.reason, "remote", c.remote)
	ctx.Response.SetStatusCode(r.status)
	ctx.Response.Header.SetContentType(plainText)
	ctx.Response.SetBodyString(r.reason + "\n")
	ctx.SetConnectionClose()
}

// expect decides, before the body is read, whether a client that waits for "100
// Continue" may send it.
func (s *Server) expect(ctx *fasthttp.RequestCtx) int {
	x := s.exchanges.Get().(*exchange)
	defer s.putExchange(x)
	if refused := x.readHead(ctx, &s.cfg); refused != nil {
		s.refuse(ctx, refused)
		return refused.status
	}
	return fasthttp.StatusContinue
}

// unreadable is called by fasthttp with a request that it could not read.
func (s *Server) unreadable(ctx *fasthttp.RequestCtx, err error) {
	c, _ := describe(ctx.Conn())
	if !c.heard.Load() {
		// Nothing was ever sent: there is nothing to answer.
		_ = c.Close()
		return
	}
	var small *fasthttp.ErrSmallBuffer
	switch {
	case errors.As(err, &small):
		s.refuse(ctx, errHeaderBytes)
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		s.refuse(ctx, errBody)
	case isTimeout(err):
		s.refuse(ctx, errTimeout)
	default:
		s.refuse(ctx, errUnreadable)
	}
}
