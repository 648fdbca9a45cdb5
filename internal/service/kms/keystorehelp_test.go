package kms

import (
	"bytes"
	"context"
	"crypto/sha256"
	"slices"
	"sync"

	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/keyring/xks"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/xksapi"
)

// outsideKeys stands for the proxies of external key stores: the outer layer is
// the body backwards, with a digest for a tag.
type outsideKeys struct {
	inner keyring.Layered

	mu sync.Mutex
	// fail, if set, is what every request comes to.
	fail error
	// unfit says that external keys are no AES-256 keys; down, that no manager serves.
	unfit, down bool
	// asked are the requests, without those for health.
	asked  []xks.Target
	health []xks.Endpoint
}

func (o *outsideKeys) ask(t *xks.Target) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = append(o.asked, *t)
	return o.fail
}

func (o *outsideKeys) failing(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fail = err
}

func (o *outsideKeys) last() xks.Target {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.asked[len(o.asked)-1]
}

func (o *outsideKeys) Health(_ context.Context, at *xks.Endpoint, _ xksapi.Metadata) (*xksapi.Health, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.health = append(o.health, *at)
	h := &xksapi.Health{Managers: []xksapi.Manager{{Status: xksapi.Degraded}}}
	if o.down {
		h.Managers[0].Status = xksapi.Unavailable
	}
	return h, o.fail
}

func (o *outsideKeys) KeyMetadata(_ context.Context, t *xks.Target) (*xksapi.KeyMetadata, error) {
	return xksapi.AES256(!o.unfit), o.ask(t)
}

func proxyTag(t *xks.Target, aad, body []byte) []byte {
	sum := sha256.Sum256(slices.Concat([]byte(t.KeyID), aad, body))
	return sum[:16]
}

func (o *outsideKeys) Encrypt(ctx context.Context, t *xks.Target, key keyring.KeyRef, plaintext secret.Bytes, c map[string]string) ([]byte, error) {
	if err := o.ask(t); err != nil {
		return nil, err
	}
	header, body, err := o.inner.EncryptInner(ctx, keyring.SuiteExternal, key, plaintext, c)
	if err != nil {
		return nil, err
	}
	aad, err := keyring.ExternalAAD(header, c)
	if err != nil {
		return nil, err
	}
	slices.Reverse(body)
	return keyring.AppendExternal(header, keyring.Detached{IV: make([]byte, 12), Ciphertext: body, Tag: proxyTag(t, aad, body)})
}

func (o *outsideKeys) Decrypt(ctx context.Context, t *xks.Target, key keyring.KeyRef, blob []byte, c map[string]string) (secret.Bytes, error) {
	if err := o.ask(t); err != nil {
		return nil, err
	}
	header, d, err := keyring.SplitExternal(blob)
	if err != nil {
		return nil, err
	}
	aad, err := keyring.ExternalAAD(header, c)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(d.Tag, proxyTag(t, aad, d.Ciphertext)) {
		return nil, xksapi.Refuse(xksapi.InvalidCiphertext, "")
	}
	body := bytes.Clone(d.Ciphertext)
	slices.Reverse(body)
	return o.inner.DecryptInner(ctx, key, header, body, c)
}

const (
	storeAccessKey = "HGIE2BUAFNDMBCMSQVWL"
	storeSecret    = "VU6W2byoiBrhDqNGbx703oL0syCAmhlQgwNUT123456"
)

// sampleKeyStore is the input of CreateCustomKeyStore for an external key store of
// that name, whose proxy has a path of that name.
func sampleKeyStore(name string) m {
	return m{
		"CustomKeyStoreName": name, "CustomKeyStoreType": "EXTERNAL_KEY_STORE",
		"XksProxyUriEndpoint": "https://proxy.example.com", "XksProxyUriPath": "/" + name + "/kms/xks/v1",
		"XksProxyConnectivity":             "PUBLIC_ENDPOINT",
		"XksProxyAuthenticationCredential": m{"AccessKeyId": storeAccessKey, "RawSecretAccessKey": storeSecret},
	}
}

// keyStore makes a key store and returns its id.
func (h *harness) keyStore(name string) string {
	h.t.Helper()
	return h.ok(root, "CreateCustomKeyStore", sampleKeyStore(name))["CustomKeyStoreId"].(string)
}

// connectedStore makes a key store and connects it.
func (h *harness) connectedStore(name string) string {
	h.t.Helper()
	id := h.keyStore(name)
	h.connect(id)
	return id
}

func (h *harness) connect(id string) {
	h.t.Helper()
	h.ok(root, "ConnectCustomKeyStore", m{"CustomKeyStoreId": id})
	h.work()
	if state := h.storeEntry(id)["ConnectionState"]; state != "CONNECTED" {
		h.t.Fatalf("the key store is %v", state)
	}
}

func (h *harness) storeEntry(id string) m {
	h.t.Helper()
	return h.ok(root, "DescribeCustomKeyStores", m{"CustomKeyStoreId": id})["CustomKeyStores"].([]any)[0].(m)
}

// storeKey makes a key in a key store and returns its metadata.
func (h *harness) storeKey(store, external string) m {
	h.t.Helper()
	return h.key(m{"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": store, "XksKeyId": external})
}
