package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"github.com/strongroom/strongroom/internal/front"
	"github.com/strongroom/strongroom/internal/metrics"
	"github.com/strongroom/strongroom/internal/secret"
)

// metricsTokenFile holds what opens the metrics listener.
const metricsTokenFile = "metrics.token"

// checkMetrics checks the settings of the metrics listener.
func (c Config) checkMetrics() error {
	if err := checkPair("metrics-tls-cert", c.MetricsTLSCert, "metrics-tls-key", c.MetricsTLSKey); err != nil {
		return err
	}
	if c.Metrics == "" {
		if c.MetricsTLSCert != "" || c.MetricsClientCA != "" {
			return refuse("metrics", "give --metrics ADDR too", "there is a certificate or an authority, and nothing to listen on")
		}
		return nil
	}
	loopback, err := loopbackOnly(c.Metrics)
	if err != nil {
		return refuse("metrics", "an address looks like 127.0.0.1:9466, [::1]:9466 or 127.0.0.1:0", "%v", err)
	}
	if !loopback && c.MetricsTLSCert == "" && !c.InsecureHTTP {
		return refuse("metrics", "give --metrics-tls-cert and --metrics-tls-key; or listen on loopback, beside a scraper's agent",
			"%s is not loopback, and plain HTTP would show the token to the network", c.Metrics)
	}
	if c.MetricsClientCA == "" {
		return nil
	}
	if c.MetricsTLSCert == "" {
		return refuse("metrics-tls-cert", "give --metrics-tls-cert and --metrics-tls-key", "client certificates are shown over TLS alone")
	}
	_, err = readAuthorities("metrics-client-ca", c.MetricsClientCA, x509.NewCertPool())
	return err
}

// metricsFront is the metrics listener.
type metricsFront struct {
	server   *metrics.Server
	listener net.Listener
}

// serveMetrics listens, if that is asked for.
func (s *Server) serveMetrics() error {
	if s.cfg.Metrics == "" {
		return nil
	}
	cfg := metrics.ServerConfig{Registry: s.figures, Log: s.cfg.Log}
	var err error
	if s.cfg.MetricsTLSCert != "" {
		if cfg.TLS, err = s.metricsTLS(); err != nil {
			return err
		}
	}
	if s.cfg.MetricsClientCA == "" {
		if cfg.Token, err = metricsToken(s.cfg.DataDir, s.cfg.rand()); err != nil {
			return err
		}
	}
	server, err := metrics.NewServer(cfg)
	if err != nil {
		return err
	}
	listener, err := listen("--metrics", s.cfg.Metrics)
	if err != nil {
		return err
	}
	s.metrics = &metricsFront{server, listener}
	s.cfg.Log.Info("metrics and profiles are served", "address", listener.Addr().String(), "tls", cfg.TLS != nil, "clientCertificates", s.cfg.MetricsClientCA != "")
	go func() {
		if err := server.Serve(listener); err != nil {
			// Nobody's key depends on it.
			s.cfg.Log.Error("metrics are served no more", "error", err)
		}
	}()
	return nil
}

func (s *Server) metricsTLS() (*tls.Config, error) {
	certificate, err := s.certificate("metrics", s.cfg.MetricsTLSCert, s.cfg.MetricsTLSKey)
	if err != nil {
		return nil, err
	}
	config := front.TLSConfig(certificate)
	if s.cfg.MetricsClientCA != "" {
		config.ClientAuth = tls.RequireAndVerifyClientCert
		config.ClientCAs, err = readAuthorities("metrics-client-ca", s.cfg.MetricsClientCA, x509.NewCertPool())
	}
	return config, err
}

func (f *metricsFront) shutdown(ctx context.Context) error {
	if f == nil {
		return nil
	}
	return f.server.Shutdown(ctx)
}

// MetricsAddr is where metrics are served, nil if they are not.
func (s *Server) MetricsAddr() net.Addr {
	if s.metrics == nil {
		return nil
	}
	return s.metrics.listener.Addr()
}

// metricsToken returns the token in the data folder, and makes it where there is none.
func metricsToken(dir string, rand io.Reader) (secret.Bytes, error) {
	path := filepath.Join(dir, metricsTokenFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		var random [32]byte
		if _, err := io.ReadFull(rand, random[:]); err != nil {
			return nil, err
		}
		text = []byte(base64.RawURLEncoding.EncodeToString(random[:]))
		clear(random[:])
		return secret.Bytes(text), writeFile(path, text, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("read the token of the metrics: %w", err)
	}
	for len(text) > 0 && (text[len(text)-1] == '\n' || text[len(text)-1] == '\r') {
		text = text[:len(text)-1]
	}
	const least = 32
	if len(text) < least {
		return nil, problem(fmt.Sprintf("the token in %s has %d characters; %d are the least", path, len(text), least), "Remove the file: the next start makes another.", nil)
	}
	return secret.Bytes(text), nil
}
