package cloudhsm

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"

	api "github.com/strongroom/strongroom/api/cloudhsm"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/store"
)

// certificateRequest makes a cluster's certificate request, PEM. Nobody needs its
// private key: HSMs are not spoken to over TLS.
func (s *Service) certificateRequest(cluster string) (string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), s.Rand)
	if err != nil {
		return "", err
	}
	der, err := x509.CreateCertificateRequest(s.Rand, &x509.CertificateRequest{Subject: pkix.Name{CommonName: cluster}}, key)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), nil
}

// InitializeCluster makes a cluster its owner's: it takes the certificate that
// answers the cluster's request, and the one that signed it.
func (s *Service) InitializeCluster(ctx context.Context, call *authz.Call, in *api.InitializeClusterInput) (*api.InitializeClusterOutput, error) {
	r, err := s.read(ctx, call, in.ClusterId, nil)
	if err != nil {
		return nil, err
	}
	certificate, anchor, err := checkCertificates(r, in.SignedCert, in.TrustAnchor)
	if err != nil {
		return nil, err
	}
	return commit(ctx, s, call, r, func(_ *store.Tx, r *clusterRecord) (*api.InitializeClusterOutput, error) {
		if r.Certificate != "" {
			return nil, errInitialized(r.ID)
		}
		r.Certificate, r.Anchor = certificate, anchor
		return &api.InitializeClusterOutput{
			State: api.ClusterStateInitializeInProgress, StateMessage: "The cluster is being initialized.",
		}, nil
	})
}

func errInitialized(id string) error {
	return api.CloudHsmInvalidRequestException("Cluster " + id + " is initialized already.")
}

// checkCertificates returns the two certificates in PEM of one form, if the first
// answers the cluster's request and the second has signed it.
func checkCertificates(r *clusterRecord, signed, trusted string) (certificate, anchor string, err error) {
	switch {
	case r.Certificate != "":
		return "", "", errInitialized(r.ID)
	case r.Request == "":
		return "", "", api.CloudHsmInvalidRequestException("Cluster " + r.ID + " has no certificate signing request yet: create its first HSM.")
	}
	leaf, err := parseCertificate(signed)
	if err != nil {
		return "", "", api.CloudHsmInvalidRequestException("SignedCert is not valid: " + err.Error() + ".")
	}
	issuer, err := parseCertificate(trusted)
	if err != nil {
		return "", "", api.CloudHsmInvalidRequestException("TrustAnchor is not valid: " + err.Error() + ".")
	}
	block, _ := pem.Decode([]byte(r.Request))
	if block == nil {
		return "", "", errors.New("cloudhsm: the stored certificate request of " + r.ID + " is none")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return "", "", err
	}
	if key, ok := request.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !key.Equal(leaf.PublicKey) {
		return "", "", api.CloudHsmInvalidRequestException("SignedCert does not have the public key of the cluster's certificate signing request.")
	}
	// Not CheckSignatureFrom: openssl x509 -req makes certificates without
	// extensions, and so does who follows AWS's guide.
	if !bytes.Equal(leaf.RawIssuer, issuer.RawSubject) || issuer.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature) != nil {
		return "", "", api.CloudHsmInvalidRequestException("SignedCert is not signed by TrustAnchor.")
	}
	return encode(leaf), encode(issuer), nil
}

func encode(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

// parseCertificate reads one certificate in PEM, with nothing around it but white
// space.
func parseCertificate(text string) (*x509.Certificate, error) {
	raw := bytes.TrimSpace([]byte(text))
	block, rest := pem.Decode(raw)
	if block == nil || !bytes.HasPrefix(raw, []byte("-----BEGIN CERTIFICATE-----")) || block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("it must be one certificate in PEM")
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, errors.New("it is not an X.509 certificate")
	}
	return c, nil
}
