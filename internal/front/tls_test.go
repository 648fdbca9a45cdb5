package front

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/wire"
)

// pair makes a certificate of its own for localhost, and its key, in PEM.
func pair(t *testing.T, serial int64) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

// replace puts a file in another's place, as tools that renew certificates do.
func replace(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := os.WriteFile(file+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// startTLS serves over TLS and returns what the log gets.
func startTLS(t *testing.T, handler Handler) (addr, certFile, keyFile string, c *Certificate, log *logged) {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	cert, key := pair(t, 1)
	replace(t, certFile, cert)
	replace(t, keyFile, key)
	log = new(logged)
	var err error
	c, err = LoadCertificate(certFile, keyFile, log.logger())
	if err != nil {
		t.Fatal(err)
	}
	addr, _ = start(t, Config{Handler: handler, TLS: TLSConfig(c)})
	return addr, certFile, keyFile, c, log
}

// sendTLS is send over TLS. The certificates are the test's own, made just now.
func sendTLS(t *testing.T, addr string, cfg *tls.Config, raw string) (string, tls.ConnectionState, error) {
	t.Helper()
	cfg.ServerName, cfg.InsecureSkipVerify = "localhost", true
	c := tls.Client(dial(t, addr), cfg)
	if err := c.Handshake(); err != nil {
		return "", tls.ConnectionState{}, err
	}
	if _, err := io.WriteString(c, raw); err != nil {
		return "", tls.ConnectionState{}, err
	}
	answer, err := io.ReadAll(c)
	return string(answer), c.ConnectionState(), err
}

const simple = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

func TestTLSFacts(t *testing.T) {
	addr, _, _, _, _ := startTLS(t, func(_ context.Context, req *wire.Request, resp *wire.Response) {
		resp.Status, resp.Body = 200, fmt.Appendf(nil, "%+v", *req.TLS)
	})
	for _, tt := range []struct {
		max  uint16
		want string
	}{
		{tls.VersionTLS13, "{Version:TLSv1.3 CipherSuite:TLS_AES_128_GCM_SHA256 ServerName:localhost}"},
		{tls.VersionTLS12, "{Version:TLSv1.2 CipherSuite:TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 ServerName:localhost}"},
	} {
		answer, state, err := sendTLS(t, addr, &tls.Config{MaxVersion: tt.max, NextProtos: []string{"h2", "http/1.1"}}, simple)
		if err != nil || !strings.HasSuffix(answer, tt.want) || state.NegotiatedProtocol != "http/1.1" {
			t.Errorf("got %q with %q, %v", answer, state.NegotiatedProtocol, err)
		}
	}
}

func TestTLSFloor(t *testing.T) {
	addr, _, _, _, _ := startTLS(t, unwanted(t))
	for name, cfg := range map[string]*tls.Config{
		"TLS 1.1":             {MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
		"TLS 1.2 with CBC":    {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}},
		"only HTTP/2":         {NextProtos: []string{"h2"}},
		"TLS 1.2, no secrecy": {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}},
	} {
		if answer, _, err := sendTLS(t, addr, cfg, simple); err == nil {
			t.Errorf("%s: got %q", name, answer)
		}
	}
	if answer := send(t, addr, simple); strings.Contains(answer, "HTTP/1.1 200") {
		t.Errorf("plain HTTP: got %q", answer)
	}
}

// TestGoodbyeOverTLS: a connection that the server ends says so, or its client could not
// tell the end of an answer from one that was cut.
func TestGoodbyeOverTLS(t *testing.T) {
	addr, _, _, _, _ := startTLS(t, ok)
	answer, _, err := sendTLS(t, addr, &tls.Config{}, simple)
	if err != nil { // io.ErrUnexpectedEOF without close_notify
		t.Error(err)
	}
	wantStatus(t, answer, 200)
}

func TestRefusalOverTLS(t *testing.T) {
	addr, _, _, _, _ := startTLS(t, unwanted(t))
	answer, _, err := sendTLS(t, addr, &tls.Config{}, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n"+strings.Repeat("a", 3000000))
	if err != nil {
		t.Fatal(err)
	}
	wantStatus(t, answer, 413)
}

func TestCertificateReload(t *testing.T) {
	addr, certFile, keyFile, certificate, log := startTLS(t, ok)
	wantSerial := func(serial int64, when string) {
		t.Helper()
		certificate.Reload()
		_, state, err := sendTLS(t, addr, &tls.Config{}, simple)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if got := state.PeerCertificates[0].SerialNumber.Int64(); got != serial {
			t.Errorf("%s: certificate %d, want %d", when, got, serial)
		}
	}
	wantSerial(1, "at first")
	cert, key := pair(t, 2)
	replace(t, certFile, cert)
	wantSerial(1, "with the new certificate and the old key")
	wantSerial(1, "and again")
	if n := strings.Count(log.String(), "cannot be used"); n != 1 {
		t.Errorf("%d warnings:\n%s", n, log)
	}
	replace(t, keyFile, key)
	wantSerial(2, "with both")
	replace(t, certFile, []byte("not a certificate"))
	wantSerial(2, "with a certificate that is none")
	if err := os.Remove(certFile); err != nil {
		t.Fatal(err)
	}
	wantSerial(2, "with no certificate")
	cert, key = pair(t, 3)
	replace(t, keyFile, key)
	replace(t, certFile, cert)
	wantSerial(3, "with both again")
}

func TestLoadCertificateFails(t *testing.T) {
	dir := t.TempDir()
	cert, _ := pair(t, 1)
	_, key := pair(t, 2)
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if _, err := LoadCertificate(certFile, keyFile, nil); err == nil || !strings.Contains(err.Error(), "cert.pem") || !strings.Contains(err.Error(), "key.pem") {
		t.Errorf("no files: %v", err)
	}
	replace(t, certFile, cert)
	replace(t, keyFile, key)
	if _, err := LoadCertificate(certFile, keyFile, nil); err == nil {
		t.Error("a key of another certificate is accepted")
	}
}

func TestWeakCertificatesAreRefused(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	strong, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		leaf x509.Certificate
		want string
	}{
		"a short key":     {x509.Certificate{PublicKey: &weak.PublicKey, SignatureAlgorithm: x509.SHA256WithRSA}, "1024 bits"},
		"SHA-1":           {x509.Certificate{PublicKey: &strong.PublicKey, SignatureAlgorithm: x509.SHA1WithRSA}, "SHA1-RSA"},
		"MD5":             {x509.Certificate{PublicKey: &strong.PublicKey, SignatureAlgorithm: x509.MD5WithRSA}, "MD5-RSA"},
		"nothing wrong":   {x509.Certificate{PublicKey: &strong.PublicKey, SignatureAlgorithm: x509.SHA256WithRSA}, ""},
		"another kind":    {x509.Certificate{PublicKey: &ecdsa.PublicKey{}, SignatureAlgorithm: x509.ECDSAWithSHA256}, ""},
		"ECDSA and SHA-1": {x509.Certificate{PublicKey: &ecdsa.PublicKey{}, SignatureAlgorithm: x509.ECDSAWithSHA1}, "ECDSA-SHA1"},
	} {
		err := CheckCertificate(&c.leaf)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestHandshakes has every suite of TLS 1.2 that is offered, and TLS 1.3.
func TestHandshakes(t *testing.T) {
	addr, _, _, certificate, _ := startTLS(t, ok)
	for _, suite := range TLSConfig(certificate).CipherSuites {
		if !strings.Contains(tls.CipherSuiteName(suite), "_ECDSA_") {
			continue // the certificate's key is of the other kind
		}
		_, state, err := sendTLS(t, addr, &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite}}, simple)
		if err != nil || state.Version != tls.VersionTLS12 || state.CipherSuite != suite {
			t.Errorf("%s: %v", tls.CipherSuiteName(suite), err)
		}
	}
	_, state, err := sendTLS(t, addr, &tls.Config{}, simple)
	if err != nil || state.Version != tls.VersionTLS13 || state.CurveID != tls.X25519MLKEM768 {
		t.Errorf("without limits: %s with %s: %v", tls.VersionName(state.Version), state.CurveID, err)
	}
}
