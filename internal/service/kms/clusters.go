package kms

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/hsm"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
)

// Clusters are the CloudHSM clusters that key stores can be made of.
type Clusters interface {
	// Cluster returns a cluster of an account, which is shared and must not be changed.
	// It is asked for each use of a key. Error: store.ErrNotFound.
	Cluster(ctx context.Context, account, region, id string) (*Cluster, error)
	// Report tells that an HSM was not heard to answer, and why; "" that it was.
	Report(hsm, why string)
}

// Cluster is a CloudHSM cluster.
type Cluster struct {
	ID string
	// Active says that it is initialised.
	Active bool
	// Anchor is the certificate that its own is signed with, DER.
	Anchor []byte
	HSMs   []ClusterHSM
	// Version changes whenever anything else does.
	Version uint64
}

// ClusterHSM is an HSM of a cluster.
type ClusterHSM struct {
	// ID is unique, and never another HSM's.
	ID     string
	Zone   string
	Module string
	Token  hsm.Token
}

// zones is in how many Availability Zones the HSMs are for which there is a slot.
func zones(hsms []ClusterHSM, has func(id string) bool) int {
	seen := map[string]bool{}
	for _, h := range hsms {
		if has(h.ID) {
			seen[h.Zone] = true
		}
	}
	return len(seen)
}

const (
	fewHSMs       = "The AWS CloudHSM cluster must contain at least two active HSMs, each in a different Availability Zone."
	noHSM         = "The AWS CloudHSM cluster must contain at least one active HSM."
	someHSMsAway  = "The AWS CloudHSM cluster must contain at least two active HSMs, each in a different Availability Zone, and every one of its HSMs must answer, so that the key is made in all of them."
	notLoggedIn   = "This KMS key is in a custom key store that is not connected to its AWS CloudHSM cluster. Connect the custom key store and try the request again."
	clusterAway   = "AWS KMS cannot communicate with your AWS CloudHSM cluster. This might be a transient network issue. If you see this error repeatedly, verify that the HSMs of the cluster are active."
	lostInCluster = "The key material of this KMS key is not in your AWS CloudHSM cluster."
)

// clusterFor returns a cluster that a key store can be made of: one that is active and
// has two HSMs that do not fail together.
func (s *Service) clusterFor(ctx context.Context, call *authz.Call, id string) (*Cluster, error) {
	missing := api.CloudHsmClusterNotFoundException("Cluster with id " + id + " not found.")
	if s.Clusters == nil {
		return nil, missing
	}
	c, err := s.Clusters.Cluster(ctx, call.Principal.Account, call.Region, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, missing
	case err != nil:
		return nil, err
	case !c.Active:
		return nil, errNotActive(id)
	case zones(c.HSMs, func(string) bool { return true }) < 2:
		return nil, api.CloudHsmClusterInvalidConfigurationException(fewHSMs)
	}
	return c, nil
}

func errNotActive(id string) error {
	return api.CloudHsmClusterNotActiveException("The AWS CloudHSM cluster " + id + " is not active. Initialize and activate the cluster and try the request again.")
}

// checkAnchor tells whether a text is the cluster's trust anchor, in PEM.
func checkAnchor(c *Cluster, text string) error {
	raw := bytes.TrimSpace([]byte(text))
	block, rest := pem.Decode(raw)
	if block != nil && len(bytes.TrimSpace(rest)) == 0 && bytes.HasPrefix(raw, []byte("-----BEGIN CERTIFICATE-----")) {
		if given, err := x509.ParseCertificate(block.Bytes); err == nil && bytes.Equal(given.Raw, c.Anchor) {
			return nil
		}
	}
	return api.IncorrectTrustAnchorException("The trust anchor certificate in the request is not the trust anchor certificate of the cluster " + c.ID + ".")
}

// setPassword seals the password of kmsuser into a record that has its id.
func (s *Service) setPassword(r *keyStoreRecord, password secret.String) (err error) {
	r.Password, err = s.KeyStoreSecrets.Seal(s.Rand, secret.Bytes(password), r.passwordBinding())
	return err
}

// password opens the password of kmsuser. The caller wipes it.
func (s *Service) password(r *keyStoreRecord) (secret.Bytes, error) {
	return s.KeyStoreSecrets.Open(r.Password, r.passwordBinding())
}

// newClusterStore makes what CreateCustomKeyStore asks for, of a cluster.
func (s *Service) newClusterStore(ctx context.Context, call *authz.Call, in *api.CreateCustomKeyStoreInput, record *keyStoreRecord) error {
	c, err := s.clusterFor(ctx, call, in.CloudHsmClusterId)
	if err != nil {
		return err
	}
	if err := checkAnchor(c, in.TrustAnchorCertificate); err != nil {
		return err
	}
	record.Cluster, record.Anchor = c.ID, in.TrustAnchorCertificate
	return s.setPassword(record, in.KeyStorePassword)
}

// updateClusterStore makes a record what an update asks for. A key store stays with
// its cluster: there are no backups that another could have been made of.
func (s *Service) updateClusterStore(ctx context.Context, call *authz.Call, in *api.UpdateCustomKeyStoreInput, r *keyStoreRecord) error {
	unwanted := map[string]bool{
		"XksProxyUriEndpoint": in.XksProxyUriEndpoint != "", "XksProxyUriPath": in.XksProxyUriPath != "", "XksProxyConnectivity": in.XksProxyConnectivity != "",
		"XksProxyVpcEndpointServiceName": in.XksProxyVpcEndpointServiceName != "", "XksProxyVpcEndpointServiceOwner": in.XksProxyVpcEndpointServiceOwner != "",
		"XksProxyAuthenticationCredential": in.XksProxyAuthenticationCredential != nil,
	}
	if name := firstMember(unwanted, true); name != "" {
		return errNotFor(name, api.CustomKeyStoreTypeAwsCloudhsm)
	}
	if r.State != api.ConnectionStateTypeDisconnected {
		return errConnection(r, call.Operation)
	}
	if in.CloudHsmClusterId != "" {
		c, err := s.clusterFor(ctx, call, in.CloudHsmClusterId)
		if err != nil {
			return err
		}
		if c.ID != r.Cluster {
			return api.CloudHsmClusterNotRelatedException("The cluster " + c.ID + " does not share a backup history with the cluster " + r.Cluster + " of the custom key store.")
		}
	}
	if in.NewCustomKeyStoreName != "" {
		r.Name = in.NewCustomKeyStoreName
	}
	if in.KeyStorePassword != "" {
		if err := s.setPassword(r, in.KeyStorePassword); err != nil {
			return err
		}
	}
	return s.Store.View(ctx, func(reader store.Reader) error { return fits(reader, r, r.ID) })
}

// checkCluster refuses to connect to a cluster that is not active or has no HSM. One
// that is gone is found out by the connection.
func (s *Service) checkCluster(ctx context.Context, r *keyStoreRecord) error {
	c, err := s.Clusters.Cluster(ctx, r.Account, r.Region, r.Cluster)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		return err
	case !c.Active:
		return errNotActive(c.ID)
	case len(c.HSMs) == 0:
		return api.CloudHsmClusterInvalidConfigurationException(noHSM)
	}
	return nil
}
