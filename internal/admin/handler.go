package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
)

// The trailer that ends a stream: "complete", or an Error as JSON in ASCII.
const (
	outcomeTrailer = "Strongroom-Outcome"
	complete       = "complete"
)

type peerKey struct{}

// emitter writes lines of an answer; the first starts it.
type emitter func(line []byte) error

// request is one that was let in: what it asks, parsed, and how it is answered.
type request struct {
	event string
	// follow lets the answer go on until the server stops; flush sends each line
	// at once.
	follow, flush bool
	// writes says that the server is changed by it.
	writes bool

	params map[string]string
	answer func(ctx context.Context, emit emitter) error
	// ask answers one value instead, and may refuse.
	ask func(ctx context.Context) (any, error)
	// act is ask for what changes something, which makes its record by itself: with
	// its effect, in one commit.
	act func(ctx context.Context, by Peer) (any, error)
}

// handler routes. Each row parses a request without running it.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	routes := map[string]func(*http.Request) (request, error){
		"GET /v1/audit/tail":    s.parseTail,
		"GET /v1/audit/search":  s.parseSearch,
		"GET /v1/audit/export":  s.parseExport,
		"GET /v1/audit/report":  s.parseKeyReport,
		"POST /v1/audit/verify": s.parseVerify,
		"POST /v1/xks":          s.parseXKS,
		"POST /v1/hsm/slots":    s.parseHSMSlots,
	}
	if s.cfg.Buckets != nil {
		routes["PUT /v1/trail/buckets"] = s.parsePutBucket
		routes["DELETE /v1/trail/buckets"] = s.parseRemoveBucket
		routes["GET /v1/trail/buckets"] = s.parseListBuckets
	}
	if s.cfg.Backups != nil {
		routes["GET /v1/backup"] = s.parseBackup
	}
	for route, parse := range routes {
		mux.HandleFunc(route, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, parse) })
	}
	for route, parse := range s.commandRows() {
		mux.HandleFunc("POST "+route, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, parse) })
	}
	return mux
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, parse func(*http.Request) (request, error)) {
	conn, _ := r.Context().Value(peerKey{}).(net.Conn)
	uid, pid, err := peerOf(conn)
	if err != nil {
		s.cfg.Log.Error("cannot tell who asks on the admin socket", "error", err)
		refuse(w, http.StatusForbidden, errors.New("the system does not say who is asking"))
		return
	}
	if !admitted(uid, uint32(os.Geteuid())) {
		s.cfg.Log.Warn("another user asked on the admin socket", "uid", uid, "pid", pid)
		refuse(w, http.StatusForbidden, fmt.Errorf("user %d may not ask this server: only the user it runs as, and root", uid))
		return
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		refuse(w, http.StatusServiceUnavailable, fmt.Errorf("%d commands are asking this server already", maxRequests))
		return
	}
	req, err := parse(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	if req.act != nil {
		// A change that has begun is finished, also when nobody waits for it.
		out, err := req.act(context.WithoutCancel(r.Context()), Peer{UID: uid, PID: pid})
		s.answer(w, r, out, err)
		return
	}
	event := AdminEvent{Name: req.event, Peer: Peer{UID: uid, PID: pid}, Time: s.cfg.Clock.Now(), ReadOnly: !req.writes, Params: req.params}
	if err := s.cfg.Record(r.Context(), event); err != nil {
		s.cfg.Log.Error("a request on the admin socket could not be recorded, and was refused", "event", req.event, "error", err)
		refuse(w, http.StatusInternalServerError, fmt.Errorf("the request could not be recorded, so it is not answered: %w", err))
		return
	}
	if req.ask != nil {
		out, err := req.ask(r.Context())
		s.answer(w, r, out, err)
		return
	}
	s.stream(w, r, req)
}

// answer writes the one value that a command answers, or why it is refused.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, out any, err error) {
	if err != nil {
		refuse(w, http.StatusConflict, err)
		return
	}
	s.stream(w, r, request{answer: func(_ context.Context, emit emitter) error { return emitJSON(emit, out) }})
}

// admitted says who is answered: the user that the server runs as, and root.
func admitted(peer, own uint32) bool { return peer == own || peer == 0 }

var errStopping = errors.New("the server is stopping")

func (s *Server) stream(w http.ResponseWriter, r *http.Request, req request) {
	ctx := r.Context()
	if req.follow {
		followed, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		defer context.AfterFunc(s.stopping, func() { cancel(errStopping) })()
		ctx = followed
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Trailer", outcomeTrailer)
	w.WriteHeader(http.StatusOK)
	control := http.NewResponseController(w)
	if err := control.Flush(); err != nil {
		return // The peer has gone.
	}
	err := req.answer(ctx, func(line []byte) error {
		if _, err := w.Write(line); err != nil {
			return err
		}
		if _, err := w.Write([]byte{'\n'}); err != nil {
			return err
		}
		if req.flush {
			return control.Flush()
		}
		return nil
	})
	if err != nil {
		if context.Cause(ctx) == errStopping {
			err = errStopping
		} else if r.Context().Err() == nil {
			s.cfg.Log.Error("an answer on the admin socket has failed", "event", req.event, "error", err)
		}
		w.Header().Set(outcomeTrailer, string(asJSON(err)))
		return
	}
	w.Header().Set(outcomeTrailer, complete)
}

// refuse answers with an error; nothing has been written before.
func refuse(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(asJSON(err)) // If the peer has gone, there is nobody to tell.
}

// asJSON is err as an [Error] in one line of ASCII, which a header field can hold.
func asJSON(err error) []byte {
	e := Error{Message: err.Error()}
	var hinter interface{ Hint() string }
	if errors.As(err, &hinter) {
		e.Advice = hinter.Hint()
	}
	encoded, jsonErr := json.Marshal(e)
	if jsonErr != nil { // Strings always marshal.
		panic(jsonErr)
	}
	ascii := make([]byte, 0, len(encoded))
	for _, r := range string(encoded) {
		switch {
		case r < 0x7f:
			ascii = append(ascii, byte(r))
		case r <= 0xffff:
			ascii = fmt.Appendf(ascii, `\u%04x`, r)
		default:
			ascii = fmt.Appendf(ascii, `\u%04x\u%04x`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
		}
	}
	return ascii
}

// parseQuery refuses parameters that the request does not take or has twice.
func parseQuery(r *http.Request, known ...string) (url.Values, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	rest := len(values)
	for _, name := range known {
		switch len(values[name]) {
		case 0:
		case 1:
			rest--
		default:
			return nil, fmt.Errorf("%s is given twice", name)
		}
	}
	if rest != 0 {
		return nil, fmt.Errorf("the request has a parameter that this server does not know: %q; is the command of another version?", r.URL.RawQuery)
	}
	return values, nil
}

func (s *Server) parseTail(r *http.Request) (request, error) {
	values, err := parseQuery(r, "n", "follow")
	if err != nil {
		return request{}, err
	}
	n, err := strconv.Atoi(values.Get("n"))
	if err != nil {
		return request{}, fmt.Errorf("n is not a number: %q", values.Get("n"))
	}
	if err := checkTail(n); err != nil {
		return request{}, err
	}
	follow, err := strconv.ParseBool(values.Get("follow"))
	if err != nil {
		return request{}, fmt.Errorf("follow is neither true nor false: %q", values.Get("follow"))
	}
	return request{
		event: "AuditTail", follow: follow, flush: follow,
		params: map[string]string{"n": strconv.Itoa(n), "follow": strconv.FormatBool(follow)},
		answer: func(ctx context.Context, emit emitter) error { return s.cfg.Audit.Tail(ctx, n, follow, emit) },
	}, nil
}

func (s *Server) parseSearch(r *http.Request) (request, error) {
	return parseFiltered(r, "AuditSearch", s.cfg.Audit.Search)
}

func (s *Server) parseExport(r *http.Request) (request, error) {
	return parseFiltered(r, "AuditExport", s.cfg.Audit.Export)
}

func parseFiltered(r *http.Request, event string, run func(context.Context, Filter, func([]byte) error) error) (request, error) {
	values, err := parseQuery(r, filterParams...)
	if err != nil {
		return request{}, err
	}
	filter, err := parseFilter(values)
	if err != nil {
		return request{}, err
	}
	params := map[string]string{}
	for name := range values {
		params[name] = values.Get(name)
	}
	return request{
		event: event, params: params,
		answer: func(ctx context.Context, emit emitter) error { return run(ctx, filter, emit) },
	}, nil
}

// maxVerifyBody bounds a verification's public key and checkpoint together.
const maxVerifyBody = 256 << 10

// verifyLine is a line of a verification's answer: progress, then the report.
type verifyLine struct {
	Progress *Progress `json:"progress,omitempty"`
	Report   *Report   `json:"report,omitempty"`
}

func (s *Server) parseVerify(r *http.Request) (request, error) {
	if _, err := parseQuery(r); err != nil {
		return request{}, err
	}
	var opts VerifyOptions
	decoder := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxVerifyBody))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&opts); err != nil {
		return request{}, fmt.Errorf("the options of the verification: %w", err)
	}
	return request{
		event: "AuditVerify", flush: true,
		params: map[string]string{
			"publicKeyGiven":  strconv.FormatBool(len(opts.PublicKey) > 0),
			"checkpointGiven": strconv.FormatBool(len(opts.Checkpoint) > 0),
		},
		answer: func(ctx context.Context, emit emitter) error {
			progress := func(p Progress) {
				// When the peer has gone, ctx ends too, and with it the verification.
				_ = emitJSON(emit, verifyLine{Progress: &p})
			}
			report, err := s.cfg.Audit.Verify(ctx, opts, progress)
			if err != nil {
				return err
			}
			return emitJSON(emit, verifyLine{Report: &report})
		},
	}, nil
}

func emitJSON(emit emitter, v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return emit(line)
}
