package oidc

import (
	"context"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

const (
	// fetchTime bounds a fetch, discovery and keys together. It is less than a call
	// may take, so that whoever waits learns what it waited for.
	fetchTime = 3 * time.Second
	// maxDocument is the longest answer that is read, in bytes.
	maxDocument = 512 << 10
	maxHeaders  = 16 << 10
)

// fetch asks an issuer for its keys.
func (v *Verifier) fetch(ctx context.Context, issuer *Issuer) ([]jose.JSONWebKey, error) {
	ctx, cancel := context.WithTimeout(ctx, v.fetchTime)
	defer cancel()
	client := v.client(issuer.Thumbprints, nil)
	defer client.CloseIdleConnections()
	at, err := discover(ctx, client, issuer.URL)
	if err != nil {
		return nil, err
	}
	body, err := get(ctx, client, at)
	if err != nil {
		return nil, err
	}
	return parseKeys(body)
}

// Thumbprint returns the SHA-1 digest, in lower-case hex, of the last certificate
// that the host of the issuer's keys sends: that of its top intermediate authority
// (IAM User Guide, "Obtain the thumbprint for an OpenID Connect identity
// provider"). A host that no root vouches for is not believed: ErrCertificate; one
// that does not answer as an issuer is ErrUnreachable.
func (v *Verifier) Thumbprint(ctx context.Context, issuer string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, v.fetchTime)
	defer cancel()
	var last string
	client := v.client(nil, func(chain []*x509.Certificate) { last = thumbprint(chain[len(chain)-1]) })
	defer client.CloseIdleConnections()
	at, err := discover(ctx, client, issuer)
	if err == nil {
		_, err = get(ctx, client, at)
	}
	switch {
	case errors.Is(err, ErrCertificate):
		return "", err
	case err != nil:
		return "", fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return last, nil
}

// discover returns where an issuer publishes its keys (OpenID Connect Discovery
// §4).
func discover(ctx context.Context, client *http.Client, issuer string) (string, error) {
	body, err := get(ctx, client, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return "", err
	}
	var document struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(body, &document); err != nil {
		return "", errors.New("the discovery document is no JSON object")
	}
	if document.Issuer != issuer {
		return "", errors.New("the discovery document is of another issuer")
	}
	if _, err := parseURL(document.Keys); err != nil {
		return "", fmt.Errorf("jwks_uri: %w", err)
	}
	return document.Keys, nil
}

// parseURL reads a URL that may be asked: https, with a host and nothing that says
// who asks.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Opaque != "" || u.Fragment != "" {
		return nil, errors.New("not an https URL")
	}
	return u, nil
}

// get returns the body of a successful answer.
func get(ctx context.Context, client *http.Client, at string) ([]byte, error) {
	u, err := parseURL(at)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "strongroom")
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered with status %d", at, resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxDocument {
		return nil, fmt.Errorf("%s answered with more than %d bytes", at, maxDocument)
	}
	return body, nil
}

// client returns an HTTP client that speaks TLS with whom the roots or the
// thumbprints vouch for, and follows no redirect. seen is told the chain of each
// connection; it may be nil.
func (v *Verifier) client(thumbprints []string, seen func(chain []*x509.Certificate)) *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxHeaders,
			DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				host, _, err := net.SplitHostPort(address)
				if err != nil {
					return nil, err
				}
				raw, err := v.cfg.Dial(ctx, network, address)
				if err != nil {
					return nil, err
				}
				conn := tls.Client(raw, &tls.Config{
					ServerName: host,
					MinVersion: tls.VersionTLS12,
					// The chain is verified below: crypto/tls knows roots, and no
					// thumbprints.
					InsecureSkipVerify: true,
					VerifyConnection: func(state tls.ConnectionState) error {
						if err := v.trusted(state.PeerCertificates, host, thumbprints); err != nil {
							return err
						}
						if seen != nil {
							seen(state.PeerCertificates)
						}
						return nil
					},
				})
				if err := conn.HandshakeContext(ctx); err != nil {
					return nil, errors.Join(err, raw.Close())
				}
				return conn, nil
			},
		},
	}
}

// trusted verifies the chain that a host sends: up to a root or, failing that, up to
// a certificate in it whose thumbprint was registered. The host's name and the dates
// must be right in both cases.
func (v *Verifier) trusted(chain []*x509.Certificate, host string, thumbprints []string) error {
	options := x509.VerifyOptions{DNSName: host, Roots: v.cfg.Roots, Intermediates: x509.NewCertPool(), CurrentTime: v.cfg.Clock.Now()}
	for _, c := range chain[1:] {
		options.Intermediates.AddCert(c)
	}
	_, err := chain[0].Verify(options)
	if err == nil {
		return nil
	}
	anchors := x509.NewCertPool()
	for _, c := range chain {
		if slices.Contains(thumbprints, thumbprint(c)) {
			anchors.AddCert(c)
		}
	}
	options.Roots = anchors
	if _, err := chain[0].Verify(options); err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrCertificate, err)
}

// thumbprint is a certificate's SHA-1 digest, which is how AWS names it. Finding
// another certificate with the digest of a given one is beyond SHA-1's weakness,
// which is that two can be made together.
func thumbprint(c *x509.Certificate) string {
	digest := sha1.Sum(c.Raw)
	return hex.EncodeToString(digest[:])
}

// refuseLinkLocal keeps an issuer's URL from being used to reach what only this
// machine can: the metadata service of a cloud.
func refuseLinkLocal(_ context.Context, _, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	ip := at.Addr().Unmap()
	if ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() {
		return fmt.Errorf("%s is not an address that issuers have", ip)
	}
	return nil
}
