package xksproxy

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/keyring"
	"github.com/strongroom/strongroom/internal/keyring/software"
	"github.com/strongroom/strongroom/internal/seal"
	"github.com/strongroom/strongroom/internal/sigv4/sigv4test"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/storetest"
	"github.com/strongroom/strongroom/internal/wire"
	"github.com/strongroom/strongroom/internal/xksapi"
)

const (
	account = "111122223333"
	region  = "eu-west-1"
	keyA    = "1234abcd-12ab-34cd-56ef-1234567890ab"
	keyB    = "1234abcd-12ab-34cd-56ef-1234567890ac"
	alice   = "arn:aws:iam::999988887777:user/alice"
	kmsKey  = "arn:aws:kms:eu-west-1:999988887777:key/1234abcd-12ab-34cd-56ef-1234567890ad"
)

// m is a JSON object.
type m = map[string]any

type harness struct {
	t       testing.TB
	clock   *clock.Fake
	service *Service
	journal *recorder
	log     bytes.Buffer

	mu   sync.Mutex
	keys map[string]keyring.KeyRef
	off  map[string]bool
	ring *software.Ring

	name       string
	credential Credential
	// inside, if set, runs while a key is looked up.
	inside func()
}

func newHarness(t testing.TB) *harness {
	t.Helper()
	h := &harness{t: t, clock: clock.NewFake(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)), journal: &recorder{}, keys: map[string]keyring.KeyRef{}, off: map[string]bool{}}
	records := storetest.OpenConfig(t, store.Config{
		Backend: storetest.Conflicting(storetest.Memory(t)), Journal: h.journal,
		Fatal: func(err error) { t.Errorf("the store failed: %v", err) },
	})
	trust, err := seal.CreateFileRoot(filepath.Join(t.TempDir(), "root.key"), nil)
	if err != nil {
		t.Fatal(err)
	}
	domain, _, err := seal.Create(t.Context(), trust, "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	if h.ring, err = software.New(software.Config{Domain: domain}); err != nil {
		t.Fatal(err)
	}
	box, err := domain.Box(seal.LabelProxyCredentials)
	if err != nil {
		t.Fatal(err)
	}
	h.rotate(keyA)
	h.rotate(keyB)
	h.service, err = New(Config{
		Store: records, Keys: h, Cipher: h.ring, Secrets: box, Clock: h.clock, SignatureClock: h.clock, Rand: rand.Reader,
		Log: slog.New(slog.NewTextHandler(&h.log, nil)), Model: "Strongroom test",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.service.Close)
	return h
}

// withStore makes the store "pay" that offers keyA to alice's account.
func withStore(t testing.TB) *harness {
	t.Helper()
	h := newHarness(t)
	h.name = "pay"
	var err error
	_, h.credential, err = h.service.Create(t.Context(), Offer{Name: "pay", Account: account, Region: region, Keys: []string{keyA},
		Rules: Rules{Principals: []string{"arn:aws:iam::999988887777:*"}}})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// OfferedKey implements Keys.
func (h *harness) OfferedKey(_ context.Context, inAccount, inRegion, id string) (keyring.KeyRef, string, bool, error) {
	h.mu.Lock()
	ref, ok := h.keys[id]
	off, inside := h.off[id], h.inside
	h.mu.Unlock()
	if inside != nil {
		inside()
	}
	if !ok || inAccount != account || inRegion != region {
		return ref, "", false, store.ErrNotFound
	}
	return ref, "arn:aws:kms:" + region + ":" + account + ":key/" + id, !off, nil
}

// rotate gives a key new material.
func (h *harness) rotate(id string) {
	h.t.Helper()
	material, err := h.ring.Generate(h.t.Context(), id, keyring.SymmetricDefault)
	if err != nil {
		h.t.Fatal(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	next := keyring.KeyRef{KeyID: id, Current: material}
	if old, ok := h.keys[id]; ok {
		next.Older = append(next.Older, old.Current)
		next.Older = append(next.Older, old.Older...)
	}
	h.keys[id] = next
}

// recorder is a journal that keeps the records it was given.
type recorder struct {
	mu      sync.Mutex
	seq     uint64
	records [][]byte
}

func (r *recorder) Frame(records [][]byte) (uint64, []byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seq++
	for _, record := range records {
		r.records = append(r.records, bytes.Clone(record))
	}
	return r.seq, []byte{1}, nil
}

func (r *recorder) taken(t testing.TB) []m {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []m
	for _, text := range r.records {
		var record m
		if err := json.Unmarshal(text, &record); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		all = append(all, record)
	}
	r.records = nil
	return all
}

// answer is what the proxy answered.
type answer struct {
	status int
	body   m
	name   string // errorName
	raw    string
}

// request makes an unsigned request for a path below the store's API.
func (h *harness) request(path string, body any) *wire.Request {
	text, ok := body.(string)
	if !ok {
		encoded, err := json.Marshal(body)
		if err != nil {
			h.t.Fatal(err)
		}
		text = string(encoded)
	}
	return &wire.Request{
		Method: "POST", Target: "/" + h.name + apiPath + path, Body: []byte(text), Remote: netip.MustParseAddrPort("192.0.2.7:4711"),
		Headers: []wire.Header{{Name: "Host", Value: "proxy.example.com"}},
	}
}

func (h *harness) signer() sigv4test.Signer {
	return sigv4test.Signer{AccessKeyID: h.credential.AccessKeyID, SecretKey: string(h.credential.Secret), Region: region, Service: "kms-xks-proxy"}
}

func (h *harness) serve(req *wire.Request) answer {
	h.t.Helper()
	var resp wire.Response
	h.service.Serve(context.Background(), req, &resp)
	a := answer{status: resp.Status, raw: string(resp.Body)}
	if resp.ContentType == "application/json" {
		if err := json.Unmarshal(resp.Body, &a.body); err != nil {
			h.t.Fatalf("%v: %s", err, resp.Body)
		}
		a.name, _ = a.body["errorName"].(string)
	}
	return a
}

// send signs a request and serves it.
func (h *harness) send(path string, body any) answer {
	h.t.Helper()
	req := h.request(path, body)
	h.signer().Sign(req, h.clock.Now())
	return h.serve(req)
}

// ok sends a request that must succeed.
func (h *harness) ok(path string, body any) m {
	h.t.Helper()
	a := h.send(path, body)
	if a.status != 200 {
		h.t.Fatalf("%s: %d %s\n%s", path, a.status, a.raw, h.log.String())
	}
	return a.body
}

// fails sends a request that must be refused.
func (h *harness) fails(path string, body any, want xksapi.Name) {
	h.t.Helper()
	if a := h.send(path, body); a.name != string(want) || a.status != xksapi.Refuse(want, "").Status() {
		h.t.Errorf("%s: %d %s, want %s", path, a.status, a.raw, want)
	}
}

func metadata(operation string) m {
	return m{"awsPrincipalArn": alice, "kmsKeyArn": kmsKey, "kmsOperation": operation, "kmsRequestId": "4112f4d6-db54-4af4-ae30-c55a22a8dfae"}
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func encryption(plaintext string) m {
	return m{"requestMetadata": metadata("GenerateDataKey"), "plaintext": b64(plaintext), "additionalAuthenticatedData": b64("aad"),
		"encryptionAlgorithm": "AES_GCM", "ciphertextDataIntegrityValueAlgorithm": "SHA_256"}
}

// decryption is the request that opens what an encryption answered.
func decryption(encrypted m) m {
	return m{"requestMetadata": metadata("Decrypt"), "ciphertext": encrypted["ciphertext"], "ciphertextMetadata": encrypted["ciphertextMetadata"],
		"initializationVector": encrypted["initializationVector"], "authenticationTag": encrypted["authenticationTag"],
		"additionalAuthenticatedData": b64("aad"), "encryptionAlgorithm": "AES_GCM"}
}

func with(in, more m) m {
	out := m{}
	for k, v := range in {
		out[k] = v
	}
	for k, v := range more {
		if v == nil {
			delete(out, k)
		} else {
			out[k] = v
		}
	}
	return out
}

const keyPath = "/keys/" + keyA
