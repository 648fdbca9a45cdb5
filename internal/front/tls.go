package front

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
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
// while the server runs. It is safe for concurrent use.
type Certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	tried   [2]fs.FileInfo // the files as they were when they were last read
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
	current, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("front: certificate %s with key %s: %w", certFile, keyFile, err)
	}
	c.current, c.tried = &current, seen
	return c, nil
}

// get returns the certificate for a handshake. It reads the files again when either
// has changed; while they cannot be used (one is replaced and the other not yet),
// the certificate from before stays.
func (c *Certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen, err := c.stat()
	if err != nil || same(seen[0], c.tried[0]) && same(seen[1], c.tried[1]) {
		return c.current, nil
	}
	c.tried = seen
	next, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		c.log.Warn("the new certificate cannot be used; the one from before stays",
			"certificate", c.certFile, "key", c.keyFile, "err", err)
		return c.current, nil
	}
	c.current = &next
	c.log.Info("certificate reloaded", "certificate", c.certFile, "notAfter", next.Leaf.NotAfter)
	return c.current, nil
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
