package metrics

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/strongroom/strongroom/internal/secret"
)

// ServerConfig is what the listener needs.
type ServerConfig struct {
	// Registry and Log must be set.
	Registry *Registry
	Log      *slog.Logger
	// TLS is the server's side of TLS; if nil, plain HTTP is spoken. If it demands
	// client certificates, whoever has one needs no token.
	TLS *tls.Config
	// Token is what a request must bear, "Authorization: Bearer …". It must be set
	// unless TLS demands client certificates.
	Token secret.Bytes
}

// Bounds of the listener. A profile takes 30 seconds unless the request says otherwise.
const (
	maxScrapes     = 4
	scrapeTimeout  = 10 * time.Second
	profileTimeout = 2 * time.Minute
	maxHeaderBytes = 16 << 10
)

// Server shows figures and profiles.
type Server struct {
	http *http.Server
	log  *slog.Logger
}

// NewServer returns a server that does not serve yet.
func NewServer(cfg ServerConfig) (*Server, error) {
	mutual := cfg.TLS != nil && cfg.TLS.ClientAuth == tls.RequireAndVerifyClientCert
	switch {
	case cfg.Registry == nil || cfg.Log == nil:
		return nil, errors.New("metrics: ServerConfig.Registry and ServerConfig.Log must be set")
	case len(cfg.Token) == 0 && !mutual:
		return nil, errors.New("metrics: there is neither a token nor a demand for client certificates")
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(cfg.Registry.registry, promhttp.HandlerOpts{
		ErrorLog: printer{cfg.Log}, ErrorHandling: promhttp.ContinueOnError,
		MaxRequestsInFlight: maxScrapes, Timeout: scrapeTimeout,
	}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	var handler http.Handler = mux
	if !mutual {
		handler = bearing(cfg.Token, mux)
	}
	return &Server{log: cfg.Log, http: &http.Server{
		Handler: handler, TLSConfig: cfg.TLS, MaxHeaderBytes: maxHeaderBytes,
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: profileTimeout, IdleTimeout: 2 * time.Minute,
		// Handshakes that fail, above all: whoever reaches the port can make them fail.
		ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
		// HTTP/1.1 is all that a scraper needs.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}}, nil
}

// bearing lets through what bears the token. Digests are compared, so that the time
// says nothing of the token's length either.
func bearing(token secret.Bytes, next http.Handler) http.Handler {
	want := sha256.Sum256(token)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		got := sha256.Sum256([]byte(given))
		if !ok || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="strongroom metrics"`)
			http.Error(w, "this wants the token that lies in the data folder: Authorization: Bearer TOKEN", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Serve answers on listener, which it closes, until Shutdown, and returns nil then.
func (s *Server) Serve(listener net.Listener) error {
	var err error
	if s.http.TLSConfig != nil {
		err = s.http.ServeTLS(listener, "", "")
	} else {
		err = s.http.Serve(listener)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("metrics: %w", err)
}

// Shutdown ends the server. A scrape that is under way is let finish while ctx lasts.
func (s *Server) Shutdown(ctx context.Context) error {
	if s.http.Shutdown(ctx) != nil {
		return s.http.Close()
	}
	return nil
}

// printer lets promhttp log.
type printer struct{ log *slog.Logger }

func (p printer) Println(v ...any) {
	p.log.Warn("metrics could not be gathered", "error", strings.TrimSpace(fmt.Sprintln(v...)))
}
