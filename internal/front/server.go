// Package front is the HTTP server for the AWS wire: HTTP/1.1 (RFC 9112), with or
// without TLS, which hands each request to one handler in the bytes that it came in. It
// reads a request once and copies none of it that has arrived in one piece; that, and
// that nobody else's reading of a request stands before ours, is why it is no library.
//
// # The threat
//
// Whoever can reach the port. Signatures are checked above this package over the
// raw request, so every reading of it that a proxy, a library or a client might
// have besides ours is a way around them. The front therefore refuses, from the
// raw header bytes, what has more than one reading: Content-Length together with
// Transfer-Encoding, either of them twice or not in its plainest form, folded
// headers, line breaks that are no CRLF and other control characters in headers,
// white space before a colon, request targets that are not a path, no Host or two,
// versions other than HTTP/1.0 and 1.1. A refused request ends its connection,
// because nobody can tell where the next one would begin.
//
// Memory is bounded by MaxBodyMemory for bodies beyond 64 KiB, and for each
// connection by 64 KiB, if it sends a body of that length, and about twice
// MaxHeaderBytes; time by the timeouts, which count from a request's first byte, so
// that sending slowly gains nothing. A panic in the handler ends one request and
// not the process.
//
// # What it leaves
//
// It does not authenticate, route or render the errors of any protocol. Trailers
// of chunked bodies are read and dropped. An empty line before a request is accepted
// (RFC 9112, section 2.2). A client that goes away is only noticed when the answer is
// written. Deadlines that are far away are left alone: one may end a wait up to a
// quarter of its timeout early.
package front

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strongroom/strongroom/internal/wire"
)

// Handler answers one request by filling in resp.
//
// The request, its strings and its body are valid until the handler returns and
// must not be changed; so is resp. What resp.Body points to, on the other hand, is
// written after that: it must not be part of the request, nor be changed any more.
// Every answer needs a Status; Date, Content-Length and Connection are the front's.
//
// ctx ends when [Server.Shutdown] has run out of patience. It does not end when
// the client goes away.
type Handler func(ctx context.Context, req *wire.Request, resp *wire.Response)

// Config is what a [Server] needs.
type Config struct {
	// Handler must be set. It is called from many goroutines.
	Handler Handler
	// TLS is the server's side of TLS, as [TLSConfig] makes it; if nil, the server
	// speaks plain HTTP.
	TLS *tls.Config
	// Log receives what no answer can say; if nil, nothing is logged. No part of
	// a body or a header is ever logged.
	Log *slog.Logger
	// MaxBodyBytes is the longest body; if 0, 1 MiB.
	MaxBodyBytes int
	// MaxBodyMemory is how many bytes all bodies beyond 64 KiB may take at one time;
	// if 0, 256 MiB. What does not fit is answered with 503.
	MaxBodyMemory int
	// MaxHeaderBytes is the longest request line with its headers; if 0, 16 KiB.
	MaxHeaderBytes int
	// MaxHeaders is the largest number of header lines; if 0, 100.
	MaxHeaders int
	// ReadTimeout bounds a TLS handshake, and the time from a request's first byte
	// to its last; on a new connection it counts from the start. If 0, 30 s.
	ReadTimeout time.Duration
	// WriteTimeout bounds the writing of an answer; if 0, 30 s.
	WriteTimeout time.Duration
	// IdleTimeout is how long a connection may wait for its next request; if 0,
	// 2 minutes.
	IdleTimeout time.Duration
	// MaxConns is the largest number of open connections; if 0, 4096. Those beyond
	// it are closed at once.
	MaxConns int
	// MaxConnsPerIP is the same for one peer: an IPv4 address or an IPv6 /64. If
	// 0, MaxConns.
	MaxConnsPerIP int
}

func (c Config) withDefaults() (Config, error) {
	if c.Handler == nil {
		return c, errors.New("front: Config.Handler must be set")
	}
	for _, limit := range []struct {
		name     string
		value    *int
		standard int
	}{
		{"MaxBodyBytes", &c.MaxBodyBytes, 1 << 20},
		{"MaxBodyMemory", &c.MaxBodyMemory, 256 << 20},
		{"MaxHeaderBytes", &c.MaxHeaderBytes, 16 << 10},
		{"MaxHeaders", &c.MaxHeaders, 100},
		{"MaxConns", &c.MaxConns, 4096},
		{"MaxConnsPerIP", &c.MaxConnsPerIP, 0},
	} {
		if *limit.value < 0 {
			return c, errors.New("front: Config." + limit.name + " must not be negative")
		}
		if *limit.value == 0 {
			*limit.value = limit.standard
		}
	}
	if c.MaxConnsPerIP == 0 {
		c.MaxConnsPerIP = c.MaxConns
	}
	for _, timeout := range []struct {
		name     string
		value    *time.Duration
		standard time.Duration
	}{
		{"ReadTimeout", &c.ReadTimeout, 30 * time.Second},
		{"WriteTimeout", &c.WriteTimeout, 30 * time.Second},
		{"IdleTimeout", &c.IdleTimeout, 2 * time.Minute},
	} {
		if *timeout.value < 0 {
			return c, errors.New("front: Config." + timeout.name + " must not be negative")
		}
		if *timeout.value == 0 {
			*timeout.value = timeout.standard
		}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// Server serves the AWS wire. Make one with [New].
type Server struct {
	cfg       Config
	exchanges sync.Pool    // of *exchange
	bodies    atomic.Int64 // bytes reserved of MaxBodyMemory
	dated     atomic.Pointer[dated]

	ctx      context.Context // handed to handlers
	cancel   context.CancelFunc
	stopping atomic.Bool

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	perPeer   map[netip.Addr]int
	full      bool          // the log knows that MaxConns is reached
	drained   chan struct{} // closed when the last connection ends after Shutdown
}

// New returns a server that is not serving yet.
func New(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{
		cfg:       cfg,
		listeners: map[net.Listener]struct{}{},
		conns:     map[*conn]struct{}{},
		perPeer:   map[netip.Addr]int{},
		drained:   make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.exchanges.New = func() any { return &exchange{room: make([]byte, 0, usualBody)} }
	return s, nil
}

// Serve accepts connections on ln until [Server.Shutdown], and then returns nil. It
// closes ln. It may be called for several listeners at once.
func (s *Server) Serve(ln net.Listener) error {
	defer ln.Close()
	s.mu.Lock()
	if s.stopping.Load() {
		s.mu.Unlock()
		return nil
	}
	s.listeners[ln] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.listeners, ln)
	}()
	pause := time.Duration(0)
	for {
		raw, err := ln.Accept()
		if s.stopping.Load() {
			if err == nil {
				raw.Close()
			}
			return nil
		}
		var temporary interface{ Temporary() bool }
		switch {
		case err == nil:
			pause = 0
			s.admit(raw)
		case errors.As(err, &temporary) && temporary.Temporary():
			// Out of file descriptors, or the peer was gone already.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.cfg.Log.Warn("cannot accept a connection", "err", err, "pause", pause)
			timer := time.NewTimer(pause)
			select {
			case <-timer.C:
			case <-s.ctx.Done():
			}
			timer.Stop()
		default:
			return err
		}
	}
}

// admit serves a connection if there is room for it, and closes it otherwise.
func (s *Server) admit(raw net.Conn) {
	c := newConn(s, raw)
	peer := c.peer()
	s.mu.Lock()
	room := len(s.conns) < s.cfg.MaxConns
	if room && !s.stopping.Load() && s.perPeer[peer] < s.cfg.MaxConnsPerIP {
		s.conns[c] = struct{}{}
		s.perPeer[peer]++
		s.mu.Unlock()
		go s.serveConn(c)
		return
	}
	tell := !room && !s.full
	s.full = s.full || !room
	s.mu.Unlock()
	raw.Close()
	if tell {
		s.cfg.Log.Warn("connections are being closed: all that are allowed are open", "max", s.cfg.MaxConns)
	} else {
		s.cfg.Log.Debug("connection closed: no room", "remote", c.remote)
	}
}

// Connections returns how many connections are open.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// release forgets a connection that has ended.
func (s *Server) release(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	peer := c.peer()
	if s.perPeer[peer]--; s.perPeer[peer] == 0 {
		delete(s.perPeer, peer)
	}
	if len(s.conns) < s.cfg.MaxConns/2 {
		s.full = false
	}
	if len(s.conns) == 0 && s.stopping.Load() {
		s.closeDrainedLocked()
	}
}

func (s *Server) closeDrainedLocked() {
	select {
	case <-s.drained:
	default:
		close(s.drained)
	}
}

func (s *Server) serveConn(c *conn) {
	defer s.release(c)
	defer c.close()
	defer func() {
		// The handler's panics do not come this far: this one is the front's own.
		if p := recover(); p != nil {
			s.cfg.Log.Error("panic while reading a request", "panic", panicText(p), "remote", c.remote, "stack", string(debug.Stack()))
		}
	}()
	if !c.open() {
		return
	}
	for s.exchange(c) {
	}
}

// Shutdown stops accepting, ends idle connections, and waits for the requests that
// are under way to be answered. When ctx ends first it closes what is left, ends
// the handlers' context and returns ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.stopping.Store(true)
	for ln := range s.listeners {
		ln.Close()
	}
	for c := range s.conns {
		c.endIdle()
	}
	if len(s.conns) == 0 {
		s.closeDrainedLocked()
	}
	s.mu.Unlock()
	defer s.cancel()
	select {
	case <-s.drained:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.raw.Close()
	}
	return ctx.Err()
}
