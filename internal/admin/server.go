// Package admin is how the command line asks a running server: HTTP over a Unix
// socket in the data folder.
//
// The threat is another user of the machine. The folder is its owner's alone, and
// so is the socket; beyond that the kernel says who is at the other end of each
// connection (SO_PEERCRED), and nobody is answered but the server's own user and
// root, who could read the data folder anyway. Every request is handed to
// Config.Record, which must have put it on stable storage before the answer
// starts; what changes something makes its record together with its effect. Against root, or against a process that runs as the same user, this
// package is no protection.
//
// Answers are streams of lines. One that breaks off is never taken for a whole
// one: its end is a trailer that only a finished answer carries.
package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/strongroom/strongroom/internal/clock"
)

// Config is what the admin channel needs. Every field must be set unless it says what
// nil means.
type Config struct {
	// SocketDir is the data folder. The server must hold it alone: a socket that
	// is already there is taken for a dead server's and replaced.
	SocketDir string
	Log       *slog.Logger
	Clock     clock.Clock
	Audit     Source
	Operator  Operator
	// Buckets is where trails may go; if nil, nothing is answered about them.
	Buckets Buckets
	// XKS answers about stores that are offered; if nil, none can be.
	XKS XKS
	// HSMSlots answers about the slots that HSMs of clusters are made of; if nil,
	// there are none.
	HSMSlots HSMSlots
	// Seals is the deployment's seal; if nil, nothing is answered about it.
	Seals Seals
	// Doctor looks at the installation; if nil, nothing is answered about it.
	Doctor Doctor
	// Backups takes backups; if nil, none is answered.
	Backups Backups
	// Retention removes audit records; if nil, nothing does when it is asked.
	Retention Retention
	// Approvals is the two-person rule; if nil, nothing is answered about it.
	Approvals Approvals
	// Record makes an audit record of a request. Only when it has returned nil,
	// with the record on stable storage, does the answer start.
	Record func(context.Context, AdminEvent) error
}

// maxRequests bounds how many requests are under way at once; followers count.
const maxRequests = 64

// Server answers on the socket.
type Server struct {
	cfg      Config
	listener *net.UnixListener
	http     *http.Server
	slots    chan struct{}
	// stopping ends when Shutdown begins: whoever follows is let go then.
	stopping context.Context
	stop     context.CancelFunc
	done     chan struct{}
}

// Listen makes the socket, with mode 0600, and answers on it until Shutdown.
func Listen(cfg Config) (*Server, error) {
	if cfg.SocketDir == "" || cfg.Log == nil || cfg.Clock == nil || cfg.Audit == nil || cfg.Operator == nil || cfg.Record == nil {
		return nil, errors.New("admin: a field of the Config is not set")
	}
	listener, err := listenSocket(cfg.SocketDir)
	if err != nil {
		return nil, fmt.Errorf("make the admin socket: %w", err)
	}
	s := &Server{cfg: cfg, listener: listener, slots: make(chan struct{}, maxRequests), done: make(chan struct{})}
	s.stopping, s.stop = context.WithCancel(context.Background())
	s.http = &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(cfg.Log.Handler(), slog.LevelWarn),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, peerKey{}, c)
		},
		// No write timeout: a person behind a pager may take all day, and Source
		// promises to hold nothing meanwhile. No read timeout: net/http would end
		// the context of an answer that takes longer.
	}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			cfg.Log.Error("the admin socket has failed", "error", err)
		}
	}()
	return s, nil
}

// Shutdown lets followers go, finishes every other answer that is under way, and
// removes the socket. When ctx ends first, it breaks the answers off and returns
// ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop()
	err := s.http.Shutdown(ctx)
	if err != nil {
		_ = s.http.Close()
	}
	<-s.done
	return errors.Join(err, removeSocket(s.cfg.SocketDir))
}
