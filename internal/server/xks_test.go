package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/admin"
)

// selfSigned writes a certificate for name that is its own authority.
func selfSigned(t *testing.T, name string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

func xksConfig(t *testing.T) Config {
	t.Helper()
	return Config{
		DataDir: filepath.Join(t.TempDir(), "data"), Listen: "127.0.0.1:0", Account: "000000000000", Regions: []string{"us-east-1"},
		Seal: "file", Store: "pebble", Dev: true, Log: slog.New(slog.DiscardHandler),
	}
}

func TestXKSSettings(t *testing.T) {
	cert, key := selfSigned(t, "proxy.example.com")
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		setting string
		change  func(*Config)
	}{
		{"", func(c *Config) {}},
		{"", func(c *Config) { c.XKSListen, c.XKSTLSCert, c.XKSTLSKey = "0.0.0.0:8443", cert, key }},
		{"", func(c *Config) {
			c.XKSRoutes, c.XKSCA = []string{"a.example.com=10.0.0.1:8443", " b.example.com=[::1]:1"}, cert
		}},
		{"xks-tls-cert", func(c *Config) { c.XKSListen = "127.0.0.1:0" }},
		{"xks-tls-key", func(c *Config) { c.XKSListen, c.XKSTLSCert = "127.0.0.1:0", cert }},
		{"xks-tls-cert", func(c *Config) { c.XKSListen, c.XKSTLSKey = "127.0.0.1:0", key }},
		{"xks-tls-cert", func(c *Config) { c.XKSListen, c.XKSTLSCert, c.XKSTLSKey = "127.0.0.1:0", key, cert }},
		{"xks-listen", func(c *Config) { c.XKSTLSCert, c.XKSTLSKey = cert, key }},
		{"xks-listen", func(c *Config) { c.XKSListen, c.XKSTLSCert, c.XKSTLSKey = "somewhere", cert, key }},
		{"xks-client-ca", func(c *Config) {
			c.XKSListen, c.XKSTLSCert, c.XKSTLSKey, c.XKSClientNames = "127.0.0.1:0", cert, key, []string{"x"}
		}},
		{"xks-client-ca", func(c *Config) {
			c.XKSListen, c.XKSTLSCert, c.XKSTLSKey, c.XKSClientCA = "127.0.0.1:0", cert, key, empty
		}},
		{"xks-ca", func(c *Config) { c.XKSCA = empty + ".none" }},
		{"xks-cert", func(c *Config) { c.XKSKey = key }},
		{"xks-route", func(c *Config) { c.XKSRoutes = []string{"proxy.example.com"} }},
		{"xks-route", func(c *Config) { c.XKSRoutes = []string{"proxy.example.com=10.0.0.1"} }},
		{"xks-route", func(c *Config) { c.XKSRoutes = []string{"=10.0.0.1:1"} }},
		{"xks-route", func(c *Config) { c.XKSRoutes = []string{"a.b=10.0.0.1:1", "A.b=10.0.0.1:2"} }},
	} {
		cfg := xksConfig(t)
		c.change(&cfg)
		err := cfg.Validate()
		var refused *SettingError
		if c.setting == "" && err != nil || c.setting != "" && (!errors.As(err, &refused) || refused.Setting != c.setting) {
			t.Errorf("%+v: %v, want a refusal of %q", cfg, err, c.setting)
		}
	}
}

// TestXKSListener: mutual TLS ends the handshake for whoever has no certificate, or
// one with another name.
func TestXKSListener(t *testing.T) {
	cert, key := selfSigned(t, "proxy.example.com")
	clientCert, clientKey := selfSigned(t, "cks.kms.eu-west-1.amazonaws.com")
	get := func(names []string, show bool) (int, error) {
		cfg := xksConfig(t)
		cfg.XKSListen, cfg.XKSTLSCert, cfg.XKSTLSKey, cfg.XKSClientCA, cfg.XKSClientNames = "127.0.0.1:0", cert, key, clientCert, names
		s, err := Start(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := s.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
		}()
		roots := x509.NewCertPool()
		if _, err := readAuthorities("test", cert, roots); err != nil {
			t.Fatal(err)
		}
		config := &tls.Config{RootCAs: roots, ServerName: "proxy.example.com"}
		if show {
			pair, err := tls.LoadX509KeyPair(clientCert, clientKey)
			if err != nil {
				t.Fatal(err)
			}
			config.Certificates = []tls.Certificate{pair}
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
		defer client.CloseIdleConnections()
		resp, err := client.Get("https://" + s.XKSAddr().String() + "/healthz")
		if err != nil {
			return 0, err
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode, resp.Body.Close()
	}
	for _, names := range [][]string{nil, {"other", "cks.kms.eu-west-1.amazonaws.com"}} {
		if status, err := get(names, true); err != nil || status != http.StatusOK {
			t.Errorf("with a certificate, names %v: %d, %v", names, status, err)
		}
	}
	if status, err := get(nil, false); err == nil {
		t.Errorf("without a certificate: %d", status)
	}
	if status, err := get([]string{"cks.kms.us-east-1.amazonaws.com"}, true); err == nil {
		t.Errorf("with another name: %d", status)
	}
}

func TestXKSAddressTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg := xksConfig(t)
	cert, key := selfSigned(t, "proxy.example.com")
	cfg.XKSListen, cfg.XKSTLSCert, cfg.XKSTLSKey = taken.Addr().String(), cert, key
	var refused *Problem
	if _, err := Start(t.Context(), cfg); !errors.As(err, &refused) || !strings.Contains(refused.Hint(), "--xks-listen") {
		t.Errorf("%v", err)
	}
	// What was opened is closed: the folder can be had again.
	cfg.XKSListen = "127.0.0.1:0"
	s, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestManageXKS(t *testing.T) {
	s, err := Start(t.Context(), xksConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Shutdown(context.Background()) }()
	if s.XKSAddr() != nil {
		t.Error("it listens without having been asked to")
	}
	client, err := admin.Connect(s.cfg.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	var refused *admin.Error
	for _, verb := range []string{"create", "show", "keys", "allow", "add-credential", "remove-credential", "kill", "revive", "delete"} {
		_, err := client.XKS(t.Context(), admin.XKSRequest{Verb: verb, Store: "pay", Keys: []string{"none"}, Rules: &admin.XKSRules{TrustKMS: true}})
		if !errors.As(err, &refused) || refused.Hint() == "" {
			t.Errorf("%s: %v", verb, err)
		}
	}
	reply, err := client.XKS(t.Context(), admin.XKSRequest{Verb: "list"})
	if err != nil || len(reply.Stores) != 0 {
		t.Errorf("%+v, %v", reply, err)
	}
}
