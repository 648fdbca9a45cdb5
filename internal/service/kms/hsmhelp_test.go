package kms

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/hsm"
	"github.com/strongroom/strongroom/internal/hsm/hsmtest"
	"github.com/strongroom/strongroom/internal/store"
)

const (
	clusterID     = "cluster-abcdefghijk"
	otherCluster  = "cluster-bcdefghijkl"
	absentCluster = "cluster-aaaaaaaaaaa"
	hsmPassword   = "kmsuser-secret"
)

// fakeClusters has one cluster of two HSMs, in zones of their own, and another that
// nothing is wrong with either; their HSMs are tokens in memory.
type fakeClusters struct {
	mu       sync.Mutex
	clusters map[string]*Cluster
	tokens   map[string]*hsmtest.Token // by the label, which is the HSM's id
	reports  map[string]string
	opened   map[string]int
	// fail is what logging in to an HSM comes to, by its id.
	fail map[string]error
}

func newFakeClusters() *fakeClusters {
	c := &fakeClusters{clusters: map[string]*Cluster{}, tokens: map[string]*hsmtest.Token{}, reports: map[string]string{}, opened: map[string]int{}, fail: map[string]error{}}
	for id, hsms := range map[string][]string{clusterID: {"hsm-a", "hsm-b"}, otherCluster: {"hsm-c", "hsm-d"}} {
		one := &Cluster{ID: id, Active: true, Anchor: []byte{}, Version: 1}
		for i, name := range hsms {
			c.tokens[name] = hsmtest.NewToken(name, hsmPassword)
			one.HSMs = append(one.HSMs, ClusterHSM{ID: name, Zone: region + string(rune('a'+i)), Module: "/m.so", Token: hsm.Token{Label: name}})
		}
		c.clusters[id] = one
	}
	return c
}

func (c *fakeClusters) Cluster(_ context.Context, in, at, id string) (*Cluster, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if one := c.clusters[id]; one != nil && in == account && at == region {
		return one, nil
	}
	return nil, store.ErrNotFound
}

func (c *fakeClusters) Report(id, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reports[id] = why
}

func (c *fakeClusters) open(ctx context.Context, cfg hsm.Config) (hsm.Slot, error) {
	c.mu.Lock()
	id := cfg.Token.Label
	token, fail := c.tokens[id], c.fail[id]
	c.opened[id]++
	c.mu.Unlock()
	if fail != nil {
		return nil, fail
	}
	return hsmtest.Tokens{token}.Open(ctx, cfg)
}

// edit changes a cluster.
func (c *fakeClusters) edit(id string, change func(*Cluster)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := *c.clusters[id]
	next.HSMs = append([]ClusterHSM(nil), next.HSMs...)
	next.Version++
	change(&next)
	c.clusters[id] = &next
}

func (c *fakeClusters) remove(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.clusters, id)
}

func (c *fakeClusters) failing(id string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail[id] = err
}

func (c *fakeClusters) logins(id string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.opened[id]
}

func (c *fakeClusters) report(id string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reports[id]
}

// anchor is a certificate in PEM.
var anchor = sync.OnceValues(func() (string, []byte) { return newAnchor("owner") })

func newAnchor(name string) (text string, der []byte) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0)}
	if der, err = x509.CreateCertificate(rand.Reader, template, template, key.Public(), key); err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), der
}

// sampleClusterStore is the input of CreateCustomKeyStore for a key store of that name,
// of the cluster.
func (h *harness) sampleClusterStore(name string) m {
	text, der := anchor()
	for _, id := range []string{clusterID, otherCluster} {
		if _, err := h.clusters.Cluster(h.t.Context(), account, region, id); err == nil {
			h.clusters.edit(id, func(c *Cluster) { c.Anchor = der })
		}
	}
	return m{"CustomKeyStoreName": name, "CloudHsmClusterId": clusterID, "KeyStorePassword": hsmPassword, "TrustAnchorCertificate": text}
}

// clusterStore makes a key store of the cluster, which is not connected.
func (h *harness) clusterStore(name string) string {
	h.t.Helper()
	return h.ok(root, "CreateCustomKeyStore", h.sampleClusterStore(name))["CustomKeyStoreId"].(string)
}

// loggedIn makes a key store of the cluster and connects it.
func (h *harness) loggedIn() string {
	h.t.Helper()
	id := h.clusterStore("hsm")
	h.connect(id)
	return id
}

func clusterKey(store string) m { return m{"Origin": "AWS_CLOUDHSM", "CustomKeyStoreId": store} }

func (h *harness) token(id string) *hsmtest.Token { return h.clusters.tokens[id] }

// holding wants both HSMs of the cluster to hold n keys.
func (h *harness) holding(n int) {
	h.t.Helper()
	for _, id := range []string{"hsm-a", "hsm-b"} {
		if got := h.token(id).Len(); got != n {
			h.t.Errorf("%s holds %d keys, want %d", id, got, n)
		}
	}
}

// strangeAnchor is a trust anchor that is no cluster's.
func strangeAnchor(t *testing.T) string {
	t.Helper()
	text, _ := newAnchor("stranger")
	return text
}
