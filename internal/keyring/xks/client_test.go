package xks

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/keyring/software"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/sigv4"
	"github.com/strongroom/strongroom/internal/wire"
	"github.com/strongroom/strongroom/internal/xksapi"
)

const (
	accessKeyID = "HGIE2BUAFNDMBCMSQVWL"
	secretKey   = "VU6W2byoiBrhDqNGbx703oL0syCAmhlQgwNUT123456"
	keyID       = "1234abcd-12ab-34cd-56ef-1234567890ab"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func newRing(t *testing.T) *software.Ring {
	t.Helper()
	root, err := seal.CreateFileRoot(filepath.Join(t.TempDir(), "root.key"), nil)
	if err != nil {
		t.Fatal(err)
	}
	domain, _, err := seal.Create(t.Context(), root, "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := software.New(software.Config{Domain: domain})
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// stand is a client and the proxy that it talks to, whose answers a test may
// change. The proxy verifies signatures, and encrypts by keeping what it was sent.
type stand struct {
	t      *testing.T
	client *Client
	config Config
	clock  *clock.Fake
	key    keyring.KeyRef
	proxy  *httptest.Server
	target Target

	mu    sync.Mutex
	tls   *tls.Config // the proxy's side of TLS, if it is not the usual one
	kept  map[string]kept
	paths []string
	// answer, if set, answers in the proxy's place.
	answer func(w http.ResponseWriter, r *http.Request, body []byte)
	// change, if set, changes an answer of the proxy.
	change func(e *xksapi.Encrypted)
	dials  atomic.Int32
}

type kept struct {
	plaintext, aad []byte
}

func newStand(t *testing.T) *stand {
	t.Helper()
	s := &stand{t: t, clock: clock.NewFake(now), kept: map[string]kept{}}
	s.proxy = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.proxy.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.proxy.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.tls, nil
	}}
	s.proxy.StartTLS()
	t.Cleanup(s.proxy.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.proxy.Certificate())
	ring := newRing(t)
	material, err := ring.Generate(t.Context(), keyID, keyring.SymmetricDefault)
	if err != nil {
		t.Fatal(err)
	}
	s.key = keyring.KeyRef{KeyID: keyID, Current: material}
	s.config = Config{
		Inner: ring, Clock: s.clock, Roots: roots,
		Routes: map[string]string{"example.com": s.proxy.Listener.Addr().String()},
		Dial: func(ctx context.Context, address string, public bool) (net.Conn, error) {
			s.dials.Add(1)
			return dialMachine(ctx, address, public)
		},
	}
	s.renew()
	s.target = Target{
		Endpoint: Endpoint{Host: "example.com", Path: "/a/kms/xks/v1", Region: "eu-west-1", Credential: Credential{accessKeyID, secretKey}},
		KeyID:    "external-key_1.a",
		Metadata: xksapi.Metadata{PrincipalARN: "arn:aws:iam::111122223333:user/alice", KeyARN: "arn:aws:kms:k", Operation: "Encrypt", RequestID: "id-1"},
	}
	return s
}

// renew makes the client anew from the stand's config.
func (s *stand) renew() {
	s.t.Helper()
	c, err := New(s.config)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	s.client = c
}

func (s *stand) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paths = append(s.paths, r.URL.Path)
	if s.answer != nil {
		s.answer(w, r, body)
		return
	}
	if err := verify(r, body); err != nil {
		refuse(w, xksapi.AuthenticationFailed)
		return
	}
	in, err := xksapi.ParseRequest(body)
	if err != nil {
		refuse(w, xksapi.Validation)
		return
	}
	switch {
	case strings.HasSuffix(r.URL.Path, "/health"):
		_, _ = w.Write((&xksapi.Health{FleetSize: 1, Managers: []xksapi.Manager{{Status: xksapi.Active}}}).AppendJSON(nil))
	case strings.HasSuffix(r.URL.Path, "/metadata"):
		_, _ = w.Write(xksapi.AES256(true).AppendJSON(nil))
	case strings.HasSuffix(r.URL.Path, "/encrypt") && in.CheckEncrypt() == nil:
		e := &xksapi.Encrypted{Ciphertext: bytes.Repeat([]byte{byte(len(s.kept))}, len(in.Plaintext)), IV: make([]byte, 16), Tag: make([]byte, 16), CiphertextMetadata: []byte("v1")}
		s.kept[string(e.Ciphertext)] = kept{in.Plaintext, in.AAD}
		if s.change != nil {
			s.change(e)
		}
		_, _ = w.Write(e.AppendJSON(nil, in.AAD, in.Integrity))
	case strings.HasSuffix(r.URL.Path, "/decrypt") && in.CheckDecrypt() == nil:
		k, ok := s.kept[string(in.Ciphertext)]
		if !ok || !bytes.Equal(k.aad, in.AAD) || string(in.CiphertextMetadata) != "v1" {
			refuse(w, xksapi.InvalidCiphertext)
			return
		}
		_, _ = w.Write(xksapi.AppendDecrypted(nil, k.plaintext))
	default:
		refuse(w, xksapi.Validation)
	}
}

func refuse(w http.ResponseWriter, name xksapi.Name) {
	e := xksapi.Refuse(name, "a text of the proxy's own")
	w.WriteHeader(e.Status())
	_, _ = w.Write(e.AppendJSON(nil))
}

// verify checks a request's signature with the project's own verifier.
func verify(r *http.Request, body []byte) error {
	req := &wire.Request{Method: r.Method, Target: r.URL.RequestURI(), Body: body, Headers: []wire.Header{{Name: "Host", Value: r.Host}}}
	for name, values := range r.Header {
		for _, value := range values {
			req.Headers = append(req.Headers, wire.Header{Name: name, Value: value})
		}
	}
	s, err := sigv4.Parse(req)
	if err != nil {
		return err
	}
	if s.AccessKeyID != accessKeyID || s.Scope.Service != "kms-xks-proxy" || s.Scope.Region != "eu-west-1" {
		return errors.New("another scope")
	}
	return s.Verify(req, sigv4.SigningKey(secretKey, s.Scope), now, sigv4.Options{})
}

var someContext = map[string]string{"tenant": "acme-of-the-test"}

func (s *stand) encrypt(plaintext string) ([]byte, error) {
	return s.client.Encrypt(context.Background(), &s.target, s.key, secret.Bytes(plaintext), someContext)
}

func (s *stand) decrypt(blob []byte, c map[string]string) (secret.Bytes, error) {
	return s.client.Decrypt(context.Background(), &s.target, s.key, blob, c)
}

func TestTheFourOperations(t *testing.T) {
	s := newStand(t)
	if h, err := s.client.Health(t.Context(), &s.target.Endpoint, s.target.Metadata); err != nil || !h.Serves() {
		t.Fatalf("Health: %+v, %v", h, err)
	}
	if m, err := s.client.KeyMetadata(t.Context(), &s.target); err != nil || !m.Suits() {
		t.Fatalf("KeyMetadata: %+v, %v", m, err)
	}
	for _, plaintext := range []string{"x", strings.Repeat("y", 4096)} {
		blob, err := s.encrypt(plaintext)
		if err != nil || len(blob) > 6144 {
			t.Fatalf("Encrypt: %d bytes, %v", len(blob), err)
		}
		got, err := s.decrypt(blob, someContext)
		if err != nil || string(got) != plaintext {
			t.Fatalf("Decrypt: %d bytes, %v", len(got), err)
		}
		var refused *xksapi.Error
		if _, err := s.decrypt(blob, nil); !errors.As(err, &refused) || refused.Name != xksapi.InvalidCiphertext {
			t.Errorf("another context: %v", err)
		}
	}
	if n := s.dials.Load(); n != 1 {
		t.Errorf("%d connections for requests one after the other", n)
	}
	if want := "/a/kms/xks/v1/keys/external-key_1.a/encrypt"; s.paths[2] != want {
		t.Errorf("the path is %s, want %s", s.paths[2], want)
	}
	// The proxy saw neither plaintext nor context.
	for _, k := range s.kept {
		if bytes.Contains(k.plaintext, bytes.Repeat([]byte("y"), 16)) || bytes.Contains(k.aad, []byte(someContext["tenant"])) {
			t.Error("the proxy saw what it is not to see")
		}
	}
}

// TestALyingProxy changes answers: none is believed.
func TestALyingProxy(t *testing.T) {
	s := newStand(t)
	for what, change := range map[string]func(e *xksapi.Encrypted){
		"a longer ciphertext":  func(e *xksapi.Encrypted) { e.Ciphertext = append(e.Ciphertext, 0) },
		"a shorter ciphertext": func(e *xksapi.Encrypted) { e.Ciphertext = e.Ciphertext[1:] },
		"metadata of 21 bytes": func(e *xksapi.Encrypted) { e.CiphertextMetadata = make([]byte, 21) },
		"an IV of 13 bytes":    func(e *xksapi.Encrypted) { e.IV = make([]byte, 13) },
		"a tag of 12 bytes":    func(e *xksapi.Encrypted) { e.Tag = make([]byte, 12) },
	} {
		s.change = change
		if _, err := s.encrypt("hello"); !errors.Is(err, xksapi.ErrMalformed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	s.change = nil
	blob, err := s.encrypt("hello")
	if err != nil {
		t.Fatal(err)
	}
	for text, k := range s.kept {
		k.plaintext = bytes.Repeat([]byte{1}, len(k.plaintext))
		s.kept[text] = k
	}
	if got, err := s.decrypt(blob, someContext); !errors.Is(err, ErrInner) || got != nil {
		t.Errorf("another plaintext: %v", err)
	}
	for text, k := range s.kept {
		k.plaintext = append(k.plaintext, 0)
		s.kept[text] = k
	}
	if got, err := s.decrypt(blob, someContext); !errors.Is(err, xksapi.ErrMalformed) || got != nil {
		t.Errorf("a longer plaintext: %v", err)
	}
	asked := len(s.paths)
	for at := range blob[:70] {
		blob[at] ^= 1
		if _, err := s.decrypt(blob, someContext); err == nil {
			t.Errorf("byte %d changed: it opens", at)
		}
		blob[at] ^= 1
	}
	if _, err := s.decrypt(blob[:100], someContext); !errors.Is(err, keyring.ErrInvalidCiphertext) {
		t.Errorf("cut: %v", err)
	}
	if len(s.paths) == asked {
		t.Error("the proxy was not asked at all")
	}
}

func TestRefusalsAndAnswersThatAreNone(t *testing.T) {
	s := newStand(t)
	for _, name := range []xksapi.Name{
		xksapi.Validation, xksapi.InvalidState, xksapi.InvalidCiphertext, xksapi.InvalidKeyUsage, xksapi.AuthenticationFailed, xksapi.AccessDenied,
		xksapi.KeyNotFound, xksapi.InvalidURIPath, xksapi.Throttling, xksapi.Unsupported, xksapi.DependencyTimeout, xksapi.Internal,
	} {
		s.answer = func(w http.ResponseWriter, _ *http.Request, _ []byte) { refuse(w, name) }
		var refused *xksapi.Error
		if _, err := s.encrypt("hello"); !errors.As(err, &refused) || refused.Name != name || strings.Contains(err.Error(), "own") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for what, answer := range map[string]func(w http.ResponseWriter, r *http.Request, _ []byte){
		"no JSON":         func(w http.ResponseWriter, _ *http.Request, _ []byte) { _, _ = io.WriteString(w, "<html>") },
		"an empty answer": func(http.ResponseWriter, *http.Request, []byte) {},
		"an error page": func(w http.ResponseWriter, _ *http.Request, _ []byte) {
			http.Error(w, "bad gateway", http.StatusBadGateway)
		},
		"a redirect": func(w http.ResponseWriter, r *http.Request, _ []byte) {
			http.Redirect(w, r, "https://169.254.169.254/", http.StatusTemporaryRedirect)
		},
		"201": func(w http.ResponseWriter, _ *http.Request, _ []byte) { w.WriteHeader(http.StatusCreated) },
		"no end of it": func(w http.ResponseWriter, _ *http.Request, _ []byte) {
			_, _ = w.Write(bytes.Repeat([]byte(" "), maxAnswer+1))
		},
	} {
		s.answer = answer
		if _, err := s.encrypt("hello"); !errors.Is(err, xksapi.ErrMalformed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	s.answer = func(http.ResponseWriter, *http.Request, []byte) { panic(http.ErrAbortHandler) }
	if _, err := s.encrypt("hello"); !errors.Is(err, ErrUnreachable) {
		t.Errorf("a broken connection: %v", err)
	}
}

// TestAConnectionThatWasClosed: one that was used before is no reason to fail.
func TestAConnectionThatWasClosed(t *testing.T) {
	s := newStand(t)
	if _, err := s.encrypt("hello"); err != nil {
		t.Fatal(err)
	}
	s.answer = func(_ http.ResponseWriter, r *http.Request, _ []byte) {
		s.answer = nil // with s.mu held
		if r.Header["X-Idempotency-Key"] != nil {
			t.Error("a header that is not for the proxy")
		}
		panic(http.ErrAbortHandler)
	}
	if _, err := s.encrypt("hello"); err != nil {
		t.Error(err)
	}
	if n := s.dials.Load(); n != 2 {
		t.Errorf("%d connections", n)
	}
}

// TestSlowProxy answers after 300 ms by the injected clock.
func TestSlowProxy(t *testing.T) {
	s := newStand(t)
	asked, over := make(chan struct{}), make(chan struct{})
	s.answer = func(http.ResponseWriter, *http.Request, []byte) { close(asked); <-over }
	go func() {
		<-asked
		s.clock.Advance(249 * time.Millisecond)
		s.clock.Advance(51 * time.Millisecond)
	}()
	_, err := s.encrypt("hello")
	close(over)
	if !errors.Is(err, ErrTimeout) {
		t.Errorf("%v", err)
	}
}

func TestNoConnectionInTime(t *testing.T) {
	s := newStand(t)
	dialling := make(chan struct{}, 1)
	s.config.Dial = func(ctx context.Context, _ string, _ bool) (net.Conn, error) {
		dialling <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	s.renew()
	go func() {
		<-dialling
		s.clock.Advance(Limit)
	}()
	if _, err := s.encrypt("hello"); !errors.Is(err, ErrUnreachable) {
		t.Errorf("%v", err)
	}
}

// TestHandshakesAreBounded: however many requests want a connection, a few are made at
// a time, so that those are made within the limit.
func TestHandshakesAreBounded(t *testing.T) {
	s := newStand(t)
	var now, most atomic.Int32
	dialling := make(chan struct{}, 10*maxHandshakes)
	s.config.Dial = func(ctx context.Context, _ string, _ bool) (net.Conn, error) {
		for n := now.Add(1); ; {
			if m := most.Load(); n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		defer now.Add(-1)
		dialling <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	s.renew()
	var all sync.WaitGroup
	for range 3 * maxHandshakes {
		all.Go(func() {
			if _, err := s.encrypt("hello"); !errors.Is(err, ErrUnreachable) && !errors.Is(err, ErrTimeout) {
				t.Errorf("%v", err)
			}
		})
	}
	for range maxHandshakes {
		<-dialling
	}
	ended := make(chan struct{})
	go func() { all.Wait(); close(ended) }()
	for waiting := true; waiting; {
		select {
		case <-ended:
			waiting = false
		default:
			s.clock.Advance(Limit) // whoever began meanwhile ends too
			runtime.Gosched()
		}
	}
	if n := most.Load(); n != maxHandshakes {
		t.Errorf("%d connections were being made at once, want %d", n, maxHandshakes)
	}
}

func TestTheCallerGivesUp(t *testing.T) {
	s := newStand(t)
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{})
	s.answer = func(http.ResponseWriter, *http.Request, []byte) { cancel(); <-over }
	_, err := s.client.Encrypt(ctx, &s.target, s.key, secret.Bytes("hello"), nil)
	close(over)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestTLSIsVerified(t *testing.T) {
	s := newStand(t)
	want := func(what string, kind error) {
		t.Helper()
		s.renew()
		if _, err := s.encrypt("hello"); !errors.Is(err, kind) {
			t.Errorf("%s: %v", what, err)
		}
	}
	s.target.Endpoint.Host = "proxy.example.net"
	s.config.Routes["proxy.example.net"] = s.proxy.Listener.Addr().String()
	want("a certificate of another host", ErrTLS)
	s.target.Endpoint.Host = "example.com"
	trusted := s.config.Roots
	s.config.Roots = x509.NewCertPool()
	want("an authority that is not trusted", ErrTLS)
	s.config.Roots = trusted
	serving := func(c *tls.Config) {
		s.mu.Lock()
		defer s.mu.Unlock()
		c.Certificates = s.proxy.TLS.Certificates
		s.tls = c
	}
	serving(&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	want("TLS 1.1", ErrTLS)
	serving(&tls.Config{ClientAuth: tls.RequireAnyClientCert})
	want("no client certificate", ErrTLS)
	s.config.Certificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &s.proxy.TLS.Certificates[0], nil }
	s.renew()
	if _, err := s.encrypt("hello"); err != nil {
		t.Errorf("with a client certificate: %v", err)
	}
}

func TestRoutes(t *testing.T) {
	s := newStand(t)
	s.target.Endpoint.Service = "com.amazonaws.vpce.eu-west-1.vpce-svc-0123456789abcdef0"
	if _, err := s.encrypt("hello"); !errors.Is(err, ErrNoService) {
		t.Errorf("a service without a route: %v", err)
	}
	s.config.Routes = map[string]string{s.target.Endpoint.Service: s.proxy.Listener.Addr().String()}
	s.renew()
	if _, err := s.encrypt("hello"); err != nil {
		t.Errorf("a service with a route: %v", err)
	}
	// The connection that was made for the service is not there for the host.
	s.config.Dial = func(_ context.Context, address string, public bool) (net.Conn, error) {
		if address == "example.com:443" && public {
			return nil, errors.New("looked up")
		}
		return net.Dial("tcp", address)
	}
	s.renew()
	if _, err := s.encrypt("hello"); err != nil {
		t.Fatal(err)
	}
	s.target.Endpoint.Service = ""
	if _, err := s.encrypt("hello"); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "looked up") {
		t.Errorf("the host: %v", err)
	}
}

func TestOnlyPublicAddresses(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if conn, err := dialMachine(t.Context(), l.Addr().String(), true); err == nil {
		_ = conn.Close()
		t.Error("a connection to loopback")
	}
	conn, err := dialMachine(t.Context(), l.Addr().String(), false)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}
