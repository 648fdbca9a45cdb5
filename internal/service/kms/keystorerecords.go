package kms

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"time"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/keyring/xks"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/xksapi"
)

// ExternalKeys uses keys behind the proxies of external key stores; *xks.Client
// is one, whose errors these methods have.
type ExternalKeys interface {
	Health(ctx context.Context, at *xks.Endpoint, m xksapi.Metadata) (*xksapi.Health, error)
	KeyMetadata(ctx context.Context, t *xks.Target) (*xksapi.KeyMetadata, error)
	Encrypt(ctx context.Context, t *xks.Target, key keyring.KeyRef, plaintext secret.Bytes, encryptionContext map[string]string) ([]byte, error)
	Decrypt(ctx context.Context, t *xks.Target, key keyring.KeyRef, blob []byte, encryptionContext map[string]string) (secret.Bytes, error)
}

// Sealer keeps small secrets that stand in records; *seal.Box is one.
type Sealer interface {
	Seal(rand io.Reader, plaintext secret.Bytes, binding []byte) ([]byte, error)
	Open(sealed, binding []byte) (secret.Bytes, error)
}

// keyStoreRecord is a custom key store (kms.md §16): one of a CloudHSM cluster if it
// has a Cluster, and an external one otherwise.
type keyStoreRecord struct {
	Account string                  `json:"account"`
	Region  string                  `json:"region"`
	ID      string                  `json:"id"`
	Name    string                  `json:"name"`
	Created time.Time               `json:"created"`
	State   api.ConnectionStateType `json:"state"`
	// Failure is why State is FAILED.
	Failure api.ConnectionErrorCodeType `json:"failure,omitempty"`
	// Asked is when the connection was asked for that is being made.
	Asked *time.Time  `json:"asked,omitempty"`
	Proxy proxyRecord `json:"proxy"`
	// Cluster is the CloudHSM cluster's id, Anchor its trust anchor as it was given,
	// and Password that of kmsuser, sealed and bound to the store.
	Cluster  string `json:"cluster,omitempty"`
	Anchor   string `json:"anchor,omitempty"`
	Password []byte `json:"password,omitempty"`
}

// kind is the type that answers show.
func (r *keyStoreRecord) kind() api.CustomKeyStoreType {
	if r.Cluster != "" {
		return api.CustomKeyStoreTypeAwsCloudhsm
	}
	return api.CustomKeyStoreTypeExternalKeyStore
}

// proxyRecord says how the proxy of an external key store is reached.
type proxyRecord struct {
	Connectivity api.XksProxyConnectivityType `json:"connectivity"`
	// Endpoint is as it was given, Host what it names.
	Endpoint     string `json:"endpoint"`
	Host         string `json:"host"`
	Path         string `json:"path"`
	Service      string `json:"service,omitempty"`
	ServiceOwner string `json:"serviceOwner,omitempty"`
	AccessKeyID  string `json:"accessKeyId"`
	// Secret is sealed and bound to the store and the access key id.
	Secret []byte `json:"secret"`
}

// externalKeyRecord says which KMS key an external key belongs to. Its id is the
// key store's, a slash, and the external key's. A key in a CloudHSM cluster has one
// too, under its own id, so that its key store is known to have keys.
type externalKeyRecord struct {
	Key string `json:"key"`
}

const byName = "by-name"

const keyStoreCollection = "kms-key-store"

var (
	keyStoreRecords = store.NewCollection(keyStoreCollection, 2, store.Index[keyStoreRecord]{
		Name:   byName,
		Values: func(_ string, r keyStoreRecord) []string { return []string{r.Name} },
	})
	externalKeyRecords = store.NewCollection[externalKeyRecord]("kms-external-key", 1)
)

func externalKeyID(store, external string) string { return store + "/" + external }

// heldAs is the id under which a key's store holds it.
func (r *keyRecord) heldAs() string {
	if r.Cluster != "" {
		return externalKeyID(r.Store, r.ID)
	}
	return externalKeyID(r.Store, r.ExternalKey)
}

// keyStore is a custom key store as calls use it, with the version of its record.
type keyStore struct {
	keyStoreRecord
	Version uint64
}

func cachedKeyStore(_ store.Scope, item store.Item[keyStoreRecord]) (*keyStore, error) {
	return &keyStore{item.Value, item.Version}, nil
}

func errNoKeyStore(idOrName string) error {
	return api.CustomKeyStoreNotFoundException("Custom key store " + idOrName + " does not exist.")
}

// findKeyStore returns a key store of the caller's account.
func (s *Service) findKeyStore(ctx context.Context, call *authz.Call, id string) (*keyStore, error) {
	ks, err := s.keyStores.Get(ctx, scope(call.Principal.Account, call.Region), id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, errNoKeyStore(id)
	}
	return ks, err
}

// newKeyStoreID returns cks- and 17 random hex digits.
func (s *Service) newKeyStoreID() (string, error) {
	var b [9]byte
	if _, err := io.ReadFull(s.Rand, b[:]); err != nil {
		return "", err
	}
	return "cks-" + hex.EncodeToString(b[:])[:17], nil
}

// secretBinding is what the secret of a credential is bound to.
func (r *keyStoreRecord) secretBinding() []byte {
	return []byte(r.Account + "/" + r.Region + "/" + r.ID + "/" + r.Proxy.AccessKeyID)
}

// passwordBinding is what the password of kmsuser is bound to.
func (r *keyStoreRecord) passwordBinding() []byte {
	return []byte(r.Account + "/" + r.Region + "/" + r.ID + "/kmsuser")
}

// endpoint opens the credential, for as long as a request takes.
func (s *Service) endpoint(r *keyStoreRecord) (xks.Endpoint, error) {
	opened, err := s.KeyStoreSecrets.Open(r.Proxy.Secret, r.secretBinding())
	if err != nil {
		return xks.Endpoint{}, err
	}
	defer opened.Wipe()
	return xks.Endpoint{
		Host: r.Proxy.Host, Path: r.Proxy.Path, Service: r.Proxy.Service, Region: r.Region,
		Credential: xks.Credential{AccessKeyID: r.Proxy.AccessKeyID, Secret: secret.String(opened)},
	}, nil
}

// listEntry is how DescribeCustomKeyStores shows the store.
func (r *keyStoreRecord) listEntry() api.CustomKeyStoresListEntry {
	created := r.Created
	entry := api.CustomKeyStoresListEntry{
		CustomKeyStoreId: r.ID, CustomKeyStoreName: r.Name, CustomKeyStoreType: r.kind(),
		ConnectionState: r.State, ConnectionErrorCode: r.Failure, CreationDate: &created,
		CloudHsmClusterId: r.Cluster, TrustAnchorCertificate: r.Anchor,
	}
	if r.Cluster == "" {
		entry.XksProxyConfiguration = &api.XksProxyConfigurationType{
			Connectivity: r.Proxy.Connectivity, AccessKeyId: secret.String(r.Proxy.AccessKeyID),
			UriEndpoint: r.Proxy.Endpoint, UriPath: r.Proxy.Path,
			VpcEndpointServiceName: r.Proxy.Service, VpcEndpointServiceOwner: r.Proxy.ServiceOwner,
		}
	}
	return entry
}
