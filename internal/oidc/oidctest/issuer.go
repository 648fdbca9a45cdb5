// Package oidctest is an OpenID Connect issuer for tests: discovery and keys over
// TLS on loopback, with a certificate of its own that only its thumbprint vouches
// for, and tokens signed as a test wants them.
package oidctest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// Issuer is a running issuer.
type Issuer struct {
	// URL is its name: "https://127.0.0.1:PORT".
	URL string
	// Thumbprint is the SHA-1 digest of its certificate, in lower-case hex.
	Thumbprint string
	// Server is behind it.
	Server *httptest.Server

	tb   testing.TB
	mu   sync.Mutex
	keys []jose.JSONWebKey // with private halves; the last one signs
	// intercept answers in the issuer's place if it returns true.
	intercept func(w http.ResponseWriter, r *http.Request) bool
	asked     map[string]int
}

// Start starts an issuer that signs with ES256, and stops it when the test ends.
func Start(tb testing.TB) *Issuer {
	tb.Helper()
	i := &Issuer{tb: tb, asked: map[string]int{}}
	i.Server = httptest.NewUnstartedServer(http.HandlerFunc(i.serve))
	i.Server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that do not trust it are what tests are about
	i.Server.StartTLS()
	tb.Cleanup(i.Server.Close)
	i.URL = i.Server.URL
	digest := sha1.Sum(i.Server.Certificate().Raw)
	i.Thumbprint = hex.EncodeToString(digest[:])
	i.Rotate(jose.ES256)
	return i
}

// Rotate makes a new key that signs from now on; the earlier ones stay published.
func (i *Issuer) Rotate(algorithm jose.SignatureAlgorithm) {
	i.tb.Helper()
	var key crypto.Signer
	var err error
	switch algorithm {
	case jose.ES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.ES384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case jose.ES512:
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	default:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		i.tb.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = append(i.keys, jose.JSONWebKey{Key: key, KeyID: strconv.Itoa(len(i.keys)), Algorithm: string(algorithm), Use: "sig"})
}

// Withdraw publishes the newest key alone from now on.
func (i *Issuer) Withdraw() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = i.keys[len(i.keys)-1:]
}

// Intercept lets f answer requests in the issuer's place if it returns true; nil
// ends that.
func (i *Issuer) Intercept(f func(w http.ResponseWriter, r *http.Request) bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.intercept = f
}

// Asked returns how often a path was asked for.
func (i *Issuer) Asked(path string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked[path]
}

// Paths of what the issuer publishes.
const (
	Discovery = "/.well-known/openid-configuration"
	Keys      = "/keys"
)

func (i *Issuer) serve(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	i.asked[r.URL.Path]++
	intercept := i.intercept
	set := jose.JSONWebKeySet{}
	for _, k := range i.keys {
		set.Keys = append(set.Keys, k.Public())
	}
	i.mu.Unlock()
	if intercept != nil && intercept(w, r) {
		return
	}
	var answer any
	switch r.URL.Path {
	case Discovery:
		answer = map[string]string{"issuer": i.URL, "jwks_uri": i.URL + Keys}
	case Keys:
		answer = set
	default:
		http.NotFound(w, r)
		return
	}
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		i.tb.Error(err)
	}
}

// Token returns a token with those claims, signed with the newest key.
func (i *Issuer) Token(claims map[string]any) string {
	i.tb.Helper()
	text, err := json.Marshal(claims)
	if err != nil {
		i.tb.Fatal(err)
	}
	i.mu.Lock()
	key := i.keys[len(i.keys)-1]
	i.mu.Unlock()
	return i.Sign(text, jose.SigningKey{Algorithm: jose.SignatureAlgorithm(key.Algorithm), Key: key}, nil)
}

// Sign signs any payload with any key.
func (i *Issuer) Sign(payload []byte, key jose.SigningKey, options *jose.SignerOptions) string {
	i.tb.Helper()
	signer, err := jose.NewSigner(key, options)
	if err != nil {
		i.tb.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		i.tb.Fatal(err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		i.tb.Fatal(err)
	}
	return text
}

// Key returns the newest key, with its private half.
func (i *Issuer) Key() jose.JSONWebKey {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.keys[len(i.keys)-1]
}
