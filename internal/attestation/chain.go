package attestation

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"time"
)

// signer verifies the certificates of a statement and returns the key that its
// document must be signed with: AWS's specification, §3.2.3 and §3.2.4.
//
// The bundle is [root, intermediate 1, …, intermediate n], and the certificate is
// the last one's child. What follows holds the chain to that order by names alone
// before any signature is checked: every link has one candidate.
func (v *Verifier) signer(s *statement, now time.Time) (*ecdsa.PublicKey, *Error) {
	root := v.root(s.bundle[0])
	if root == nil {
		return nil, refuse("its certificates do not begin at a trusted root")
	}
	chain := []*x509.Certificate{root}
	for _, der := range append(s.bundle[1:len(s.bundle):len(s.bundle)], s.certificate) {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, refuse("a certificate in it is malformed")
		}
		if !bytes.Equal(c.RawIssuer, chain[len(chain)-1].RawSubject) {
			return nil, refuse("its certificates are not a chain in order")
		}
		for _, above := range chain {
			if bytes.Equal(c.RawSubject, above.RawSubject) {
				return nil, refuse("two certificates in it have the same subject")
			}
		}
		chain = append(chain, c)
	}
	leaf, above := chain[len(chain)-1], chain[:len(chain)-1]
	for _, c := range above {
		if !c.BasicConstraintsValid || !c.IsCA || c.KeyUsage&x509.KeyUsageCertSign == 0 {
			return nil, refuse("a certificate in its cabundle may not issue certificates")
		}
	}
	if leaf.IsCA || leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return nil, refuse("its certificate may not sign documents")
	}
	for _, c := range chain {
		if now.Before(c.NotBefore) || now.After(c.NotAfter) {
			return nil, refuse("a certificate in it has expired or is not yet valid")
		}
	}
	// Signatures from the root down: whoever cannot have a child of the root signed
	// ends here after one check. What else a path must be, lengths and critical
	// extensions, the standard library says.
	options := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(),
		CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	options.Roots.AddCert(root)
	if chain[1].CheckSignatureFrom(root) != nil {
		return nil, errPath
	}
	for _, c := range above[1:] {
		options.Intermediates.AddCert(c)
	}
	if _, err := leaf.Verify(options); err != nil {
		return nil, errPath
	}
	key, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P384() {
		return nil, refuse("its certificate is not for a key on the curve P-384")
	}
	return key, nil
}

var errPath = refuse("its certificates do not lead to a trusted root")

// root returns the trusted root with that encoding; nil if there is none.
func (v *Verifier) root(der []byte) *x509.Certificate {
	for _, root := range v.roots {
		if bytes.Equal(root.Raw, der) {
			return root
		}
	}
	return nil
}
