package front

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// TLSConfig returns the server's side of TLS: version 1.3, or 1.2 with forward
// secrecy and authenticated encryption. HTTP/1.1 is the only protocol on offer.
func TLSConfig(c *Certificate) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		// These are for TLS 1.2; the suites of 1.3 are all of this kind.
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
			tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		NextProtos:     []string{"http/1.1"},
		GetCertificate: c.get,
	}
}

// Certificate is a certificate with its key in two files, which may be replaced
// while the server runs: Reload then reads them again. It is safe for concurrent use.
type Certificate struct {
	certFile, keyFile string
	log               *slog.Logger
	current           atomic.Pointer[tls.Certificate]

	mu    sync.Mutex
	tried [2]fs.FileInfo // the files as they were when they were last read
}

// LoadCertificate reads a PEM certificate, with its chain, and its PEM key. If log
// is nil, nothing is logged.
func LoadCertificate(certFile, keyFile string, log *slog.Logger) (*Certificate, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log}
	seen, err := c.stat()
	if err != nil {
		return nil, fmt.Errorf("front: %w", err)
	}
	current, err := readPair(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	c.tried = seen
	c.current.Store(current)
	return c, nil
}

func readPair(certFile, keyFile string) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("front: certificate %s with key %s: %w", certFile, keyFile, err)
	}
	if err := CheckCertificate(pair.Leaf); err != nil {
		return nil, fmt.Errorf("front: certificate %s: %w", certFile, err)
	}
	return &pair, nil
}

// CheckCertificate refuses a certificate whose key no client of today would trust: RSA
// of less than 2048 bits, or a signature with MD5 or SHA-1. A certificate that signs
// itself is trusted for its key alone.
func CheckCertificate(leaf *x509.Certificate) error {
	if key, ok := leaf.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < 2048 {
		return fmt.Errorf("its RSA key has %d bits; 2048 are the least", key.N.BitLen())
	}
	switch leaf.SignatureAlgorithm {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		return fmt.Errorf("it is signed with %s, which can be forged", leaf.SignatureAlgorithm)
	}
	return nil
}

// get returns the certificate for a handshake. It touches no disk.
func (c *Certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.current.Load(), nil
}

// NotAfter is when the certificate expires.
func (c *Certificate) NotAfter() time.Time { return c.current.Load().Leaf.NotAfter }

// Reload reads the files again when either has changed. While they cannot be used (one
// is replaced and the other not yet), the certificate from before stays.
func (c *Certificate) Reload() {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen, err := c.stat()
	if err != nil || same(seen[0], c.tried[0]) && same(seen[1], c.tried[1]) {
		return
	}
	c.tried = seen
	next, err := readPair(c.certFile, c.keyFile)
	if err != nil {
		c.log.Warn("the new certificate cannot be used; the one from before stays", "error", err)
		return
	}
	c.current.Store(next)
	c.log.Info("certificate reloaded", "certificate", c.certFile, "notAfter", next.Leaf.NotAfter)
}

func (c *Certificate) stat() (seen [2]fs.FileInfo, err error) {
	var err2 error
	seen[0], err = os.Stat(c.certFile)
	seen[1], err2 = os.Stat(c.keyFile)
	return seen, errors.Join(err, err2)
}

// same reports whether a file is as it was: not replaced, not written to.
func same(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// versionName spells a version of TLS as CloudTrail does.
func versionName(v uint16) string {
	switch v {
	case tls.VersionTLS13:
		return "TLSv1.3"
	case tls.VersionTLS12:
		return "TLSv1.2"
	}
	return tls.VersionName(v)
}
