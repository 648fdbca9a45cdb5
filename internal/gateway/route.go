package gateway

import (
	"errors"
	"strings"

	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/operation"
	"github.com/strongroom/strongroom/internal/sigv4"
	"github.com/strongroom/strongroom/internal/wire"
)

// routed is where a request goes. What could be found out stands in it even when
// routing fails, so that the refusal is rendered in the protocol that the client
// speaks.
type routed struct {
	service   *operation.Service
	protocol  wire.Protocol
	namespace string
	operation string
	// body is what the operation's decoder takes.
	body []byte
	// signed is false for an unsigned request to an operation that takes them.
	signed bool
	scheme sigv4.Signature
}

// signature returns nil for an unsigned request.
func (r *routed) signature() *sigv4.Signature {
	if !r.signed {
		return nil
	}
	return &r.scheme
}

type router struct {
	bySigningName map[string]*operation.Service
	byTarget      map[string]*operation.Service
	byVersion     map[string]*operation.Service
}

func newRouter(services []*operation.Service) router {
	r := router{
		bySigningName: map[string]*operation.Service{},
		byTarget:      map[string]*operation.Service{},
		byVersion:     map[string]*operation.Service{},
	}
	for _, s := range services {
		r.bySigningName[s.Name] = s
		if s.Protocol == wire.AWSJSON11 {
			r.byTarget[s.TargetPrefix] = s
		} else {
			r.byVersion[s.Version] = s
		}
	}
	return r
}

var (
	errUnknownOperation = awserr.New("UnknownOperationException", "")
	errUnknownPath      = &awserr.Error{Code: "UnknownOperationException", Status: 404}
	errWrongService     = "Credential should be scoped to correct service: '%s'."
	errTooLarge         = &awserr.Error{Code: "RequestEntityTooLargeException", Message: "The request is larger than the operation takes.", Status: 413}
)

// route finds the service and the operation: by the signing name in the
// credential scope, else by the prefix of X-Amz-Target, else by Action and
// Version (access.md §1). A request whose signature names one service and whose
// target another is refused.
func (rt *router) route(req *wire.Request, r *routed) error {
	r.protocol = wire.AWSJSON11
	target, targets := req.Header("X-Amz-Target")
	prefix, name := "", target
	if i := strings.LastIndexByte(target, '.'); i >= 0 {
		prefix, name = target[:i], target[i+1:]
	}
	addressed := rt.byTarget[prefix]
	var query *operation.Service
	if targets == 0 {
		r.body = queryBody(req)
		action, version := queryAction(r.body)
		if query = rt.byVersion[version]; query != nil {
			addressed, name = query, action
		}
	}
	if addressed != nil {
		r.to(addressed)
	}

	signature := &r.scheme
	err := signature.Parse(req)
	if err != nil && !(errors.Is(err, sigv4.ErrMissing) && takesUnsigned(addressed, name)) {
		return err
	}
	// The services' only path. Signatures are made over the normalised path, so
	// "//" would verify as well.
	if path, _, _ := strings.Cut(req.Target, "?"); path != "/" {
		return errUnknownPath
	}
	if err != nil {
		return r.unsigned(req, name)
	}
	r.signed = true
	if s := rt.bySigningName[signature.Scope.Service]; s != nil && addressed == nil {
		r.to(s)
	}
	switch {
	case r.service == nil:
		return errUnknownOperation
	case r.service.Name != signature.Scope.Service:
		return awserr.Newf("InvalidSignatureException", errWrongService, r.service.Name)
	case targets > 1, addressed == nil:
		return errUnknownOperation
	}
	if r.protocol == wire.AWSJSON11 {
		if req.Method != "POST" {
			return errUnknownOperation
		}
		r.body = req.Body
	} else if req.Method != "POST" && req.Method != "GET" {
		return errUnknownOperation
	}
	r.operation = name
	return nil
}

// takesUnsigned reports whether an operation is called without a signature: by whom
// it is, its handler finds out.
func takesUnsigned(s *operation.Service, name string) bool {
	if s == nil {
		return false
	}
	row := s.Lookup(name)
	return row != nil && row.Unsigned
}

// unsigned routes a request without a signature; only query services have
// operations that take one.
func (r *routed) unsigned(req *wire.Request, name string) error {
	if r.protocol != wire.AWSQuery || req.Method != "POST" && req.Method != "GET" {
		return errUnknownOperation
	}
	r.operation = name
	return nil
}

func (r *routed) to(s *operation.Service) {
	r.service, r.protocol, r.namespace = s, s.Protocol, s.XMLNamespace
}

// queryBody returns the form of a query-protocol request: the body of a POST, the
// query string of a GET.
func queryBody(req *wire.Request) []byte {
	if req.Method == "GET" {
		_, query, _ := strings.Cut(req.Target, "?")
		return []byte(query)
	}
	return req.Body
}

// queryAction finds Action and Version in a form without decoding the rest: both
// are plain words that nobody escapes.
func queryAction(form []byte) (action, version string) {
	for rest := string(form); rest != ""; {
		var pair string
		pair, rest, _ = strings.Cut(rest, "&")
		if v, ok := strings.CutPrefix(pair, "Action="); ok && action == "" {
			action = v
		}
		if v, ok := strings.CutPrefix(pair, "Version="); ok && version == "" {
			version = v
		}
	}
	return action, version
}
