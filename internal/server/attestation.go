package server

import (
	"crypto/x509"
	"os"

	"github.com/strongroom/strongroom/internal/attestation"
)

// attestationRoots reads the roots that attestation documents are trusted by; none
// if the setting is empty.
func (c Config) attestationRoots() ([]*x509.Certificate, error) {
	if c.AttestationRoots == "" {
		return nil, nil
	}
	const setting = "attestation-roots"
	text, err := os.ReadFile(c.AttestationRoots)
	if err != nil {
		return nil, unreadable(setting, c.AttestationRoots, err)
	}
	roots, err := attestation.ParseRoots(text)
	if err != nil {
		return nil, refuse(setting, "it is the certificate, in PEM, of AWS's Nitro attestation root, which AWS publishes", "%s is no file of root certificates: %v", c.AttestationRoots, err)
	}
	for _, root := range roots {
		if !c.Dev && !attestation.IsNitroRoot(root) {
			return nil, refuse(setting, "roots of one's own are for tests: add --dev", "%s has a root that is not of AWS's Nitro attestation: %s", c.AttestationRoots, root.Subject)
		}
	}
	return roots, nil
}

func (c Config) checkAttestation() error {
	_, err := c.attestationRoots()
	return err
}

// attestationVerifier is nil without roots. What is trusted is logged with its
// fingerprint, to be held against the one that AWS publishes.
func (s *Server) attestationVerifier() (*attestation.Verifier, error) {
	roots, err := s.cfg.attestationRoots()
	if err != nil || len(roots) == 0 {
		return nil, err
	}
	for _, root := range roots {
		s.cfg.Log.Info("attestation documents under this root are trusted", "subject", root.Subject.String(), "sha256", attestation.Fingerprint(root))
	}
	return attestation.New(roots), nil
}
