package xks

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/metrics"
	"github.com/strongroom/strongroom/internal/xksapi"
)

// Errors of a request to a proxy. What a proxy refuses is an *[xksapi.Error], and
// an answer that is not to be understood [xksapi.ErrMalformed].
var (
	// ErrUnreachable says that there is no connection to the proxy: no such name,
	// no answer, or an address that we do not connect to.
	ErrUnreachable = errors.New("xks: the proxy cannot be reached")
	// ErrTLS says that the TLS handshake failed, as for a certificate that is not
	// the host's or is not trusted.
	ErrTLS = errors.New("xks: no TLS connection to the proxy")
	// ErrTimeout says that the proxy did not answer within the limit.
	ErrTimeout = errors.New("xks: the proxy did not answer in time")
	// ErrNoService says that no VPC endpoint service of that name is configured.
	ErrNoService = errors.New("xks: no such VPC endpoint service")
	// ErrInner says that the proxy opened the outer layer to something that the
	// inner layer does not open.
	ErrInner = errors.New("xks: what the proxy decrypted does not open")
)

// Limit is how long a proxy may take (specification, "KMS Considerations").
const Limit = 250 * time.Millisecond

// Config is what a Client needs.
type Config struct {
	// Inner must be set: it makes the inner layer.
	Inner keyring.Layered
	// Clock must be set: it tells when the limit is over and dates signatures.
	Clock clock.Clock
	// Routes say where to connect to, as host:port, for a host or for the name of a
	// VPC endpoint service. A host without a route is looked up, and has to be
	// public.
	Routes map[string]string
	// Roots are the certificate authorities that a proxy's certificate is verified
	// with; if nil, the system's.
	Roots *x509.CertPool
	// Certificate is what we show to a proxy that asks; if nil, none.
	Certificate func(*tls.CertificateRequestInfo) (*tls.Certificate, error)
	// Dial connects to host:port; public says that it must be at a public address.
	// If nil, the machine's network does.
	Dial func(ctx context.Context, address string, public bool) (net.Conn, error)
	// Requests counts what proxies are asked; if nil, nothing does.
	Requests *metrics.Proxies
}

// Client asks proxies. It is safe for concurrent use.
type Client struct {
	cfg Config

	mu    sync.Mutex
	pools map[pool]*http.Transport
}

// pool keeps connections apart that must not be shared.
type pool struct{ host, service string }

const (
	maxPools = 4096
	maxIdle  = 64
	// maxHandshakes is how many connections to a proxy are made at once. Where more
	// are wanted than the processors can make within the limit, none would be: each
	// would be given up, and its work be for nothing.
	maxHandshakes = 16
	// maxAnswer is the longest answer that is read, in bytes.
	maxAnswer = 64 << 10
)

// New returns a Client. Close releases its connections.
func New(cfg Config) (*Client, error) {
	if cfg.Inner == nil || cfg.Clock == nil {
		return nil, errors.New("xks: Config.Inner and Config.Clock must be set")
	}
	if cfg.Dial == nil {
		cfg.Dial = dialMachine
	}
	return &Client{cfg: cfg, pools: map[pool]*http.Transport{}}, nil
}

// Close closes idle connections.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p, t := range c.pools {
		t.CloseIdleConnections()
		delete(c.pools, p)
	}
}

// transport returns the connections to an endpoint.
func (c *Client) transport(at *Endpoint) (*http.Transport, error) {
	p := pool{at.Host, at.Service}
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.pools[p]; t != nil {
		return t, nil
	}
	route, routed := c.cfg.Routes[at.Host]
	if at.Service != "" {
		if route, routed = c.cfg.Routes[at.Service]; !routed {
			return nil, ErrNoService
		}
	}
	if !routed {
		route = net.JoinHostPort(at.Host, "443")
	}
	config := &tls.Config{
		ServerName: at.Host, RootCAs: c.cfg.Roots, Time: c.cfg.Clock.Now,
		GetClientCertificate: c.cfg.Certificate,
		MinVersion:           tls.VersionTLS12,
		// Those of TLS 1.2 that the specification has.
		CipherSuites:       []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384},
		ClientSessionCache: tls.NewLRUClientSessionCache(0),
	}
	places := make(chan struct{}, maxHandshakes)
	t := &http.Transport{
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return c.connect(ctx, places, route, !routed, config)
		},
		DisableCompression:     true,
		MaxIdleConnsPerHost:    maxIdle,
		MaxConnsPerHost:        4 * maxIdle,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 16 << 10,
	}
	if len(c.pools) >= maxPools {
		for old, t := range c.pools { // any: it costs a handshake
			t.CloseIdleConnections()
			delete(c.pools, old)
			break
		}
	}
	c.pools[p] = t
	return t, nil
}

// connect makes a connection within the limit, also when the request that it is
// for has given up and the pool goes on with it. It takes one of the places.
func (c *Client) connect(ctx context.Context, places chan struct{}, address string, public bool, config *tls.Config) (net.Conn, error) {
	ctx, done := c.bounded(ctx)
	defer done()
	select {
	case places <- struct{}{}:
		defer func() { <-places }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: too many connections are being made", ErrUnreachable)
	}
	raw, err := c.cfg.Dial(ctx, address, public)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		kind := ErrTLS
		if ctx.Err() != nil {
			kind = ErrTimeout
		}
		return nil, errors.Join(fmt.Errorf("%w: %w", kind, err), raw.Close())
	}
	return conn, nil
}

// bounded returns a context that ends with the limit.
func (c *Client) bounded(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	wake, stop := c.cfg.Clock.Wake(c.cfg.Clock.Now().Add(Limit))
	go func() {
		defer stop()
		select {
		case <-wake:
			cancel(ErrTimeout)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(context.Canceled) }
}

// post is send, counted.
func (c *Client) post(ctx context.Context, at *Endpoint, path string, body []byte) ([]byte, error) {
	begun := metrics.Start()
	answer, err := c.send(ctx, at, path, body)
	var refused *xksapi.Error
	switch {
	case err == nil:
		c.cfg.Requests.Ended(begun, metrics.Succeeded)
	case errors.As(err, &refused):
		c.cfg.Requests.Ended(begun, metrics.Refused)
	default:
		c.cfg.Requests.Ended(begun, metrics.Failed)
	}
	return answer, err
}

// send sends a signed request and returns the body of its answer, or why there is
// none.
func (c *Client) send(ctx context.Context, at *Endpoint, path string, body []byte) ([]byte, error) {
	transport, err := c.transport(at)
	if err != nil {
		return nil, err
	}
	limited, done := c.bounded(ctx)
	defer done()
	var connected atomic.Bool
	limited = httptrace.WithClientTrace(limited, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	address := url.URL{Scheme: "https", Host: at.Host, Path: at.Path + path}
	req, err := http.NewRequestWithContext(limited, http.MethodPost, address.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "strongroom")
	// Not sent: it tells the transport that a request may be made again on another
	// connection, when the proxy has closed one that was idle.
	req.Header["X-Idempotency-Key"] = []string{}
	sign(req, body, at, c.cfg.Clock.Now())
	// Not http.Client: it would follow redirects.
	resp, err := transport.RoundTrip(req)
	if err == nil {
		defer resp.Body.Close()
		var answer []byte
		if answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1)); err == nil {
			return judge(resp.StatusCode, answer)
		}
	}
	return nil, classify(ctx, limited, connected.Load(), err)
}

// judge tells an answer from a refusal.
func judge(status int, answer []byte) ([]byte, error) {
	if len(answer) > maxAnswer {
		return nil, xksapi.ErrMalformed
	}
	if status == http.StatusOK {
		return answer, nil
	}
	if refused, ok := xksapi.ParseError(status, answer); ok {
		return nil, refused
	}
	return nil, xksapi.ErrMalformed
}

// classify finds one of our errors for what a transport returned.
func classify(ctx, limited context.Context, connected bool, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(context.Cause(limited), ErrTimeout):
		if connected {
			return ErrTimeout
		}
		return fmt.Errorf("%w: no connection in time", ErrUnreachable)
	case errors.Is(err, ErrUnreachable), errors.Is(err, ErrTLS), errors.Is(err, ErrTimeout):
		return err
	case !connected:
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		// An alert: with TLS 1.3 a server refuses our certificate, or that we have
		// none, after the handshake.
		return fmt.Errorf("%w: %w", ErrTLS, err)
	}
	var network net.Error
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &network) {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return fmt.Errorf("%w: %w", xksapi.ErrMalformed, err)
}
