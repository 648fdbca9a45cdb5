package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/deadline"
	"github.com/strongroom/strongroom/internal/gateway"
	"github.com/strongroom/strongroom/internal/service/iam"
	"github.com/strongroom/strongroom/internal/service/kms"
	"github.com/strongroom/strongroom/internal/sigv4"
	"github.com/strongroom/strongroom/internal/wire"
)

// The credentials of a dev server's root.
const (
	devAccessKey = "test"
	devSecret    = "test"
)

// lenient is the Authenticator of dev servers: test/test is the account's root,
// and a 12-digit access key id with any secret is the root of that account. It
// exists nowhere else.
type lenient struct {
	strict             gateway.Authenticator
	clock              clock.Clock
	partition, account string
}

func (a *lenient) Authenticate(ctx context.Context, req *wire.Request, s *sigv4.Signature) (authz.Principal, error) {
	switch {
	case s.AccessKeyID == devAccessKey:
		if err := s.Verify(req, sigv4.SigningKey(devSecret, s.Scope), a.clock.Now(), sigv4.Options{}); err != nil {
			return authz.Principal{}, err
		}
		return iam.Root(a.partition, a.account, devAccessKey), nil
	case isAccount(s.AccessKeyID):
		// The account outlives the request, whose bytes the access key id is of.
		account := strings.Clone(s.AccessKeyID)
		return iam.Root(a.partition, account, account), nil
	}
	return a.strict.Authenticate(ctx, req, s)
}

// devTools are the endpoints under /_strongroom/dev/.
type devTools struct {
	clock  *clock.Shifted
	reset  func(context.Context) error
	faults atomic.Pointer[[]fault]
}

const devPath = "/_strongroom/dev/"

// serve answers the three endpoints. A web page can reach none of them: its
// requests carry an Origin, cannot carry the header without asking first, and
// name a host of their own.
func (d *devTools) serve(req *wire.Request, resp *wire.Response) bool {
	name, ok := strings.CutPrefix(req.Target, devPath)
	if !ok {
		return false
	}
	if err := fromTool(req); err != nil {
		devAnswer(resp, http.StatusForbidden, err)
		return true
	}
	if req.Method != http.MethodPost {
		devAnswer(resp, http.StatusMethodNotAllowed, errors.New("want POST"))
		return true
	}
	var err error
	switch name {
	case "reset":
		err = d.reset(context.Background())
		if err == nil {
			d.clock.Reset()
			d.faults.Store(nil)
		}
	case "clock":
		err = d.moveClock(req.Body)
	case "faults":
		err = d.setFaults(req.Body)
	default:
		devAnswer(resp, http.StatusNotFound, fmt.Errorf("no such endpoint: %s (there are reset, clock and faults)", devPath+name))
		return true
	}
	if err != nil {
		devAnswer(resp, http.StatusBadRequest, err)
		return true
	}
	resp.Status = http.StatusOK
	resp.ContentType = "application/json"
	resp.Body = []byte(`{"now":"` + d.clock.Now().Format(time.RFC3339Nano) + "\"}\n")
	return true
}

func devAnswer(resp *wire.Response, status int, err error) {
	resp.Status = status
	resp.ContentType = "application/json"
	resp.Body, _ = json.Marshal(map[string]string{"error": err.Error()})
	resp.Body = append(resp.Body, '\n')
}

// fromTool refuses what a browser could have been made to send.
func fromTool(req *wire.Request) error {
	if v, n := req.Header("X-Strongroom-Dev"); n != 1 || v != "1" {
		return errors.New("the header X-Strongroom-Dev: 1 is missing")
	}
	if _, n := req.Header("Origin"); n > 0 {
		return errors.New("requests with an Origin are refused")
	}
	host, _ := req.Header("Host")
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if ip := net.ParseIP(host); ip == nil && host != "localhost" {
		return fmt.Errorf("the host %q is refused; use an IP address or localhost", host)
	}
	return nil
}

// farthest is how far the clock may be moved. Durations end at 292 years.
const (
	year     = 365 * 24 * time.Hour
	farthest = 100 * year
)

func (d *devTools) moveClock(body []byte) error {
	var in struct {
		Advance string `json:"advance"`
	}
	if err := strictJSON(body, &in); err != nil {
		return err
	}
	by, err := time.ParseDuration(in.Advance)
	if err != nil {
		return fmt.Errorf("advance: want a duration such as \"24h\": %w", err)
	}
	if moved := d.clock.Now().Add(by).Sub(machineClock.Now()); by.Abs() > farthest || moved.Abs() > farthest {
		return fmt.Errorf("advance: want at most %d years away from the machine's clock", farthest/year)
	}
	d.clock.Advance(by)
	return nil
}

// fault is something to go wrong before calls of an operation run.
type fault struct {
	// Operation is the operation's name; empty for every operation.
	Operation string `json:"operation"`
	// Error is the code to answer, such as ThrottlingException; empty for none.
	Error string `json:"error"`
	// Message goes with Error.
	Message string `json:"message"`
	// Status is the HTTP status of Error; 0 means 400.
	Status int `json:"status"`
	// Latency delays the call, such as "100ms".
	Latency string `json:"latency"`
	// Rate is the share of calls that it befalls, above 0 and up to 1; 0 means 1.
	Rate float64 `json:"rate"`
	// Count is for how many calls it lasts; 0 means until it is taken away.
	Count int64 `json:"count"`

	latency time.Duration
	left    *atomic.Int64
}

// longestLatency leaves a delayed call time to succeed before its deadline.
const longestLatency = deadline.Waiting - time.Second

// setFaults replaces the faults; an empty list takes them away.
func (d *devTools) setFaults(body []byte) error {
	var in struct {
		Faults []fault `json:"faults"`
	}
	if err := strictJSON(body, &in); err != nil {
		return err
	}
	for i := range in.Faults {
		f := &in.Faults[i]
		var err error
		if f.Latency != "" {
			if f.latency, err = time.ParseDuration(f.Latency); err != nil || f.latency < 0 || f.latency > longestLatency {
				return fmt.Errorf("faults[%d].latency: want a duration of at most %s", i, longestLatency)
			}
		}
		switch {
		case f.Rate < 0 || f.Rate > 1:
			return fmt.Errorf("faults[%d].rate: want a number above 0 and up to 1", i)
		case f.Count < 0:
			return fmt.Errorf("faults[%d].count: want 0 or more", i)
		case f.Status != 0 && (f.Status < 400 || f.Status > 599):
			return fmt.Errorf("faults[%d].status: want 400 to 599", i)
		case f.Error == "" && f.latency == 0:
			return fmt.Errorf("faults[%d]: want an error or a latency", i)
		}
		if f.Error == kms.ThrottlingCode && f.Message == "" {
			f.Message = kms.ThrottlingMessage
		}
		if f.Count > 0 {
			f.left = new(atomic.Int64)
			f.left.Store(f.Count)
		}
	}
	d.faults.Store(&in.Faults)
	return nil
}

// disturb is the gateway's Disturb.
func (d *devTools) disturb(ctx context.Context, call *authz.Call) error {
	faults := d.faults.Load()
	if faults == nil {
		return nil
	}
	for i := range *faults {
		f := &(*faults)[i]
		if f.Operation != "" && f.Operation != call.Operation ||
			f.Rate > 0 && rand.Float64() >= f.Rate ||
			f.left != nil && f.left.Add(-1) < 0 {
			continue
		}
		if f.latency > 0 {
			timer := time.NewTimer(f.latency)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
			}
		}
		if f.Error != "" {
			e := awserr.New(f.Error, f.Message)
			if f.Status != 0 {
				e.Status = f.Status
			}
			return e
		}
	}
	return nil
}

func strictJSON(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("the body: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("the body: more than one JSON value")
	}
	return nil
}

func isAccount(s string) bool {
	if len(s) != 12 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
