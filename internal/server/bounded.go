package server

import (
	"cmp"
	"context"

	"github.com/strongroom/strongroom/internal/deadline"
	"github.com/strongroom/strongroom/internal/front"
	"github.com/strongroom/strongroom/internal/wire"
)

// bounded gives handler's calls a deadline. The front's context, which ends with
// the server, is the parent.
func (s *Server) bounded(handler front.Handler) front.Handler {
	calls := deadline.NewCalls(machineClock, cmp.Or(s.cfg.patience, deadline.Waiting))
	return func(ctx context.Context, req *wire.Request, resp *wire.Response) {
		handler(calls.Context(ctx), req, resp)
	}
}
