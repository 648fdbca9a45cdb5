// Package gateway is the one way in: every call, from the wire or from one
// service to another, goes through the same pipeline.
//
//	route → authenticate → decode and validate → authorise → act → record → answer
//
// What it promises: no handler runs for a request whose signature does not hold;
// no answer of an operation leaves before its audit record is on stable storage;
// no handler answers without having asked for permission. What was refused before
// it was known who asks is counted, not recorded, so that nobody can fill the
// disk from outside.
package gateway

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"

	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/journal"
	"github.com/strongroom/strongroom/internal/metrics"
	"github.com/strongroom/strongroom/internal/operation"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/wire"
)

// Records takes audit records, as [store.Store.Append] does.
type Records interface {
	Append(ctx context.Context, record []byte, more ...[]byte) error
}

// Config is what the gateway needs.
type Config struct {
	// Services are the tables that it serves; at least one.
	Services []*operation.Service
	// Regions are those of the deployment; a credential scope names one of them.
	Regions []string
	// Authenticator must be set.
	Authenticator Authenticator
	// Directory must be set.
	Directory authz.Directory
	// Store must be set: records of calls that change nothing are appended to it.
	Store Records
	// Clock must be set: what calls and records are dated by.
	Clock clock.Clock
	// Rand must be set: request ids and event ids come from it.
	Rand io.Reader
	// Log must be set.
	Log *slog.Logger
	// Ready tells whether the server can serve; if nil, it always can.
	Ready func(ctx context.Context) error
	// Warnings are what is wrong beside the answering of calls, for /readyz to show to
	// anybody; if nil, there are none.
	Warnings func() []string
	// Local answers requests for paths under /_strongroom/, which are no AWS
	// calls; if nil, there are none.
	Local func(req *wire.Request, resp *wire.Response) bool
	// Throttle refuses a call that comes too soon, once its input is known and before
	// it runs; if nil, none does.
	Throttle func(call *authz.Call, in any) error
	// Disturb may delay a call or fail it before it runs; if nil, none is. Only
	// dev servers set it.
	Disturb func(ctx context.Context, call *authz.Call) error
	// Calls counts calls; if nil, nothing does.
	Calls *metrics.Calls
}

// Gateway serves the AWS wire. It is safe for concurrent use.
type Gateway struct {
	Config
	routes   router
	refusals refusals
	outage   outage
	meters   map[*operation.Row]*metrics.Operation // of all operations; never changed
}

// New returns a gateway.
func New(cfg Config) *Gateway {
	return &Gateway{Config: cfg, routes: newRouter(cfg.Services), meters: newMeters(cfg.Calls, cfg.Services),
		refusals: refusals{log: cfg.Log, clock: cfg.Clock, calls: cfg.Calls}, outage: outage{log: cfg.Log, clock: cfg.Clock}}
}

// Serve answers one request.
func (g *Gateway) Serve(ctx context.Context, req *wire.Request, resp *wire.Response) {
	if g.serveLocal(ctx, req, resp) {
		return
	}
	arrived := metrics.Start()
	x := &exchange{}
	r := &x.routed
	if err := x.ids.draw(g.Rand); err != nil {
		g.Log.Error("no randomness for a request id", "error", err)
		resp.Status = http.StatusInternalServerError
		return
	}
	id := x.takeTexts(req)
	resp.Headers = append(resp.Headers, wire.Header{Name: "x-amzn-RequestId", Value: id})

	if err := g.routes.route(req, r); err != nil {
		g.refuse(resp, r, id, err)
		return
	}
	identity, err := g.authenticate(ctx, req, r)
	if err != nil {
		g.refuse(resp, r, id, err)
		return
	}
	row := r.service.Lookup(r.operation)
	if row == nil {
		g.refuse(resp, r, id, errUnknownOperation)
		return
	}
	call := x.newCall(g, req, row, identity, id)
	out, err := g.serve(ctx, x, call, r.service, row, func() (any, error) { return g.decode(row, r.body) })
	if err != nil {
		g.render(resp, r, id, err)
	} else {
		resp.Status = http.StatusOK
		resp.ContentType, resp.Body = g.encode(resp.Room, r.service, row, id, out)
	}
	g.meters[row].Ended(arrived, outcomeOf(err))
}

// decode parses and validates a body.
func (g *Gateway) decode(row *operation.Row, body []byte) (any, error) {
	if len(body) > row.BodyLimit {
		return nil, errTooLarge
	}
	return row.Decode(body)
}

func (g *Gateway) encode(room []byte, s *operation.Service, row *operation.Row, requestID string, out any) (contentType string, body []byte) {
	body = row.Encode(room, out)
	if s.Protocol == wire.AWSQuery {
		body = wire.AppendQueryAnswer(nil, row.Name, s.XMLNamespace, requestID, body)
	}
	return s.Protocol.ContentType(), body
}

// exchange is all that belongs to one request, which is allocated at once.
type exchange struct {
	ids    ids
	routed routed
	call   authz.Call
	pipe   pipe
	agent  string

	resources [2]authz.Resource // room for those of most calls
}

// takeTexts returns the request id, and keeps the user agent: the strings of a request
// end with it, and the call's record may outlive it. Both share their memory.
func (x *exchange) takeTexts(req *wire.Request) (requestID string) {
	const size = 36
	agent, _ := req.Header("User-Agent")
	var room [256]byte
	text := string(append(x.ids.request().Append(room[:0]), agent...))
	x.agent = text[size:]
	return text[:size]
}

// ids are those of one call, the request's and the event's: random UUIDs (RFC 9562 §5.4).
type ids [32]byte

// draw draws both at once, as each draw has a cost of its own.
func (i *ids) draw(rand io.Reader) error {
	_, err := io.ReadFull(rand, i[:])
	return err
}

func (i *ids) request() journal.UUID { return journal.NewUUID([16]byte(i[:16])) }

func (i *ids) event() [16]byte { return [16]byte(i[16:]) }

// serveLocal answers what is no AWS call: health, and what Config.Local does.
func (g *Gateway) serveLocal(ctx context.Context, req *wire.Request, resp *wire.Response) bool {
	switch req.Target {
	case "/healthz":
		if req.Method != http.MethodGet && req.Method != http.MethodHead {
			return false
		}
		plain(resp, http.StatusOK, "ok\n")
		return true
	case "/readyz":
		if req.Method != http.MethodGet && req.Method != http.MethodHead {
			return false
		}
		if g.Ready != nil {
			if err := g.Ready(ctx); err != nil {
				plain(resp, http.StatusServiceUnavailable, "not ready: "+readyText(err)+"\n")
				return true
			}
		}
		text := "ok\n"
		if g.Warnings != nil {
			for _, warning := range g.Warnings() {
				text += "warning: " + warning + "\n"
			}
		}
		plain(resp, http.StatusOK, text)
		return true
	}
	return g.Local != nil && g.Local(req, resp)
}

// ErrDiskHangs is what Config.Ready returns while the disk does not answer.
var ErrDiskHangs = errors.New("gateway: the disk does not answer")

// readyText says no more to strangers than which of the known conditions holds.
func readyText(err error) string {
	switch {
	case errors.Is(err, store.ErrFull):
		return "not enough free space"
	case errors.Is(err, store.ErrStopped):
		return "the store has stopped"
	case errors.Is(err, ErrDiskHangs):
		return "the disk does not answer"
	case errors.Is(err, store.ErrUnavailable):
		return "the database is not available"
	}
	return "see the log"
}

func plain(resp *wire.Response, status int, text string) {
	resp.Status = status
	resp.ContentType = "text/plain; charset=utf-8"
	resp.Body = []byte(text)
}
