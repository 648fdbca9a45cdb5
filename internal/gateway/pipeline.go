package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/metrics"
	"github.com/strongroom/strongroom/internal/operation"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/wire"
)

// newCall makes the call of a request, of whose strings it keeps none.
func (x *exchange) newCall(g *Gateway, req *wire.Request, row *operation.Row, who authz.Principal, requestID string) *authz.Call {
	region := g.Regions[0]
	if s := x.routed.signature(); s != nil {
		region = g.region(s.Scope.Region)
	}
	x.call = authz.Call{
		RequestID: requestID,
		Service:   x.routed.service.Name,
		Operation: row.Name,
		Action:    row.Action,
		Principal: who,
		Partition: authz.PartitionOf(region),
		Region:    region,
		Time:      g.Clock.Now(),
		SourceIP:  req.Remote.Addr().Unmap(),
		UserAgent: x.agent,
		TLS:       req.TLS,
		Audit:     authz.Audit{Resources: x.resources[:0]},
	}
	return &x.call
}

// region returns the same name, which is known to be right, as a string that lasts.
func (g *Gateway) region(name string) string {
	if i := slices.Index(g.Regions, name); i >= 0 {
		return g.Regions[i]
	}
	return strings.Clone(name)
}

// pipe is what one call borrows from the gateway.
type pipe struct {
	authz.Directory
	gateway *Gateway
	service *operation.Service
	row     *operation.Row
	in      any
	eventID [16]byte
}

func (p *pipe) Record(call *authz.Call, out any) []byte {
	d := drafts.Get().(*draft)
	defer d.release()
	return bytes.Clone(p.gateway.record(d, p, call, out, nil))
}

func (p *pipe) RecordFor(call *authz.Call, out any, account string) []byte {
	d := drafts.Get().(*draft)
	defer d.release()
	return p.gateway.recordFor(d, account, p, call, out, nil)
}

// serve takes an authenticated call through the pipeline: input decodes and
// validates, the handler authorises and acts, and the record is durable before
// serve returns.
func (g *Gateway) serve(ctx context.Context, x *exchange, call *authz.Call, s *operation.Service, row *operation.Row, input func() (any, error)) (any, error) {
	p := &x.pipe
	*p = pipe{Directory: g.Directory, gateway: g, service: s, row: row, eventID: x.ids.event()}
	call.Attach(p)
	out, err := g.act(ctx, call, p, input)
	ctx = call.Context(ctx)
	if call.Recorded() {
		// The effect and its record are durable: nothing may turn the answer into
		// a refusal any more.
		if err != nil {
			g.Log.Error("a handler failed after its commit", "requestId", call.RequestID, "operation", row.Name, "error", err)
		}
		return out, err
	}
	if call.Principal.Type == policy.Anonymous {
		// Who asks is not known, and records are not for whoever can reach the port.
		if err == nil {
			return nil, authz.ErrUnasked
		}
		g.refusals.count(awserr.Code(err))
		return nil, err
	}
	if errors.Is(err, store.ErrUnknown) {
		// If the commit did happen, it holds the record of a success. A second
		// record would contradict it.
		return nil, err
	}
	refusal := asRefusal(err)
	d := drafts.Get().(*draft)
	recordErr := g.Store.Append(ctx, g.record(d, p, call, out, refusal), g.shared(d, p, call, out, refusal)...)
	d.release()
	if recordErr != nil {
		return nil, unrecorded(recordErr, err)
	}
	return out, err
}

// act runs the call. A panic becomes a failure like any other, so that it is
// recorded and answered; the process goes on, as no lock or transaction outlives
// the handler.
func (g *Gateway) act(ctx context.Context, call *authz.Call, p *pipe, input func() (any, error)) (out any, err error) {
	defer func() {
		if v := recover(); v != nil {
			out, err = nil, &panicked{v, debug.Stack()}
		}
	}()
	in, err := input()
	if err != nil {
		return nil, err
	}
	p.in = in
	if g.Throttle != nil {
		if err := g.Throttle(call, in); err != nil {
			return nil, err
		}
	}
	if g.Disturb != nil {
		if err := g.Disturb(ctx, call); err != nil {
			return nil, err
		}
	}
	out, err = p.row.Invoke(ctx, call, in)
	if err != nil {
		return nil, err
	}
	if !call.Authorized() {
		return nil, authz.ErrUnasked
	}
	return out, nil
}

// panicked is the failure of a handler that panicked. It shows what the runtime
// found; any other value may hold what is secret, and shows its type alone.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string {
	if e, ok := p.value.(runtime.Error); ok {
		return fmt.Sprintf("gateway: panic in the handler: %v\n%s", e, p.stack)
	}
	return fmt.Sprintf("gateway: panic in the handler: %T\n%s", p.value, p.stack)
}

// Invoke makes a call of one service on another, for the caller of parent: it is
// validated, authorised and recorded like any other, with the calling service in
// kms:ViaService and aws:CalledVia. What that call works counts for what parent may wait.
// Never from inside a commit.
func (g *Gateway) Invoke(ctx context.Context, parent *authz.Call, service, name string, in any) (any, error) {
	return g.invoke(ctx, service, name, in, parent.Derive)
}

// InvokeOwn is Invoke for a service that calls in its own name: the policies of what
// it calls on must admit the service itself.
func (g *Gateway) InvokeOwn(ctx context.Context, own authz.OwnCall, service, name string, in any) (any, error) {
	return g.invoke(ctx, service, name, in, func(service, operation, action, requestID string) *authz.Call {
		return own.Call(service, operation, action, requestID, g.Clock.Now())
	})
}

func (g *Gateway) invoke(ctx context.Context, service, name string, in any, newCall func(service, operation, action, requestID string) *authz.Call) (any, error) {
	s := g.routes.bySigningName[service]
	if s == nil {
		return nil, fmt.Errorf("gateway: no service %q", service)
	}
	row := s.Lookup(name)
	if row == nil {
		return nil, fmt.Errorf("gateway: %s has no operation %q", service, name)
	}
	x := &exchange{}
	if err := x.ids.draw(g.Rand); err != nil {
		return nil, fmt.Errorf("gateway: no randomness for a request id: %w", err)
	}
	begun := metrics.Start()
	out, err := g.serve(ctx, x, newCall(s.Name, row.Name, row.Action, x.ids.request().String()), s, row, func() (any, error) {
		if v, ok := in.(interface{ Validate() error }); ok {
			if err := v.Validate(); err != nil {
				return nil, err
			}
		}
		return in, nil
	})
	g.meters[row].Ended(begun, outcomeOf(err))
	return out, err
}

// asRefusal is the error that the record shows.
func asRefusal(err error) *awserr.Error {
	if err == nil {
		return nil
	}
	var refusal *awserr.Error
	if errors.As(err, &refusal) {
		return refusal
	}
	return publicError(err)
}

// publicError is what a caller learns of an error that has no code of its own.
// All of them may be retried.
func publicError(err error) *awserr.Error {
	if unavailable(err) {
		return &awserr.Error{
			Code:    "ServiceUnavailableException",
			Message: "The service cannot make this request durable at the moment. Retry it.",
			Status:  http.StatusServiceUnavailable,
			Fault:   awserr.Server,
		}
	}
	return awserr.Internal()
}

// unavailable tells whether a call failed because nothing can be made durable at
// the moment, or because the wait for that took longer than a call may.
func unavailable(err error) bool {
	for _, reason := range []error{store.ErrFull, store.ErrUnavailable, store.ErrStopped, store.ErrUnknown, context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}

// unrecorded is the failure of a call whose record could not be made durable. What
// the call itself came to is kept for the log and loses its code: an answer without
// a record is none.
func unrecorded(recordErr, err error) error {
	if err == nil || err.Error() == recordErr.Error() {
		return recordErr
	}
	return errors.Join(recordErr, errors.New(err.Error()))
}
