package attestation

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// ParseRoots reads the certificates of trusted roots in PEM. Each must be able to
// begin a chain; a file with anything else in it is refused.
func ParseRoots(text []byte) ([]*x509.Certificate, error) {
	var roots []*x509.Certificate
	for len(bytes.TrimSpace(text)) > 0 {
		block, rest := pem.Decode(text)
		if block == nil {
			return nil, errors.New("something in it is not PEM")
		}
		if block.Type != "CERTIFICATE" {
			return nil, errors.New("it has a PEM block that is no certificate")
		}
		root, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(roots)+1, err)
		}
		if !root.BasicConstraintsValid || !root.IsCA || root.KeyUsage&x509.KeyUsageCertSign == 0 || root.CheckSignatureFrom(root) != nil {
			return nil, fmt.Errorf("certificate %d (%s) is not a root: it must be signed by itself and may issue certificates", len(roots)+1, root.Subject)
		}
		roots = append(roots, root)
		text = rest
	}
	if len(roots) == 0 {
		return nil, errors.New("there is no certificate in it")
	}
	return roots, nil
}

// IsNitroRoot reports whether a root has the subject that AWS gives the roots of its
// Nitro attestation PKI: CN=<partition>.nitro-enclaves, C=US, O=Amazon, OU=AWS. That
// tells a root that was meant for tests from AWS's, and is no proof of the latter.
func IsNitroRoot(root *x509.Certificate) bool {
	s := root.Subject
	is := func(values []string, want string) bool { return len(values) == 1 && values[0] == want }
	partition, ok := strings.CutSuffix(s.CommonName, ".nitro-enclaves")
	return ok && partition != "" && is(s.Country, "US") && is(s.Organization, "Amazon") && is(s.OrganizationalUnit, "AWS")
}

// Fingerprint is the SHA-256 of a certificate, as AWS publishes its root's.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	pairs := make([]string, len(sum))
	for i := range sum {
		pairs[i] = strings.ToUpper(hex.EncodeToString(sum[i : i+1]))
	}
	return strings.Join(pairs, ":")
}
