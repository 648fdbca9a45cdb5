package cloudhsm

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	api "github.com/strongroom/strongroom/api/cloudhsm"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/gateway"
	"github.com/strongroom/strongroom/internal/operation"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/sigv4"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/storetest"
	"github.com/strongroom/strongroom/internal/wire"
)

const (
	account = "111122223333"
	other   = "444455556666"
	region  = "us-east-1"
	second  = "eu-west-1"
	module  = "/usr/lib/softhsm/libsofthsm2.so"
	subnetA = "subnet-0123456a"
	subnetB = "subnet-0123456b"
	absent  = "cluster-aaaaaaaaaaa"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// m is a JSON object.
type m = map[string]any

// caller is who makes a call: the access key id.
type caller string

const (
	root        caller = "ROOT"
	user        caller = "USER"
	foreignRoot caller = "FOREIGN"
)

var principals = map[caller]authz.Principal{
	root:        {Principal: policy.Principal{Type: policy.Root, Account: account, ARN: "arn:aws:iam::" + account + ":root", ID: account}},
	foreignRoot: {Principal: policy.Principal{Type: policy.Root, Account: other, ARN: "arn:aws:iam::" + other + ":root", ID: other}},
	user:        {UserName: "alice", Principal: policy.Principal{Type: policy.User, Account: account, ARN: "arn:aws:iam::" + account + ":user/alice", ID: "AIDAALICEEXAMPLE0000"}},
}

// harness is the service behind the real gateway, over a store in memory that runs
// every Update twice. Only signatures are not checked.
type harness struct {
	t       *testing.T
	service *Service
	gateway *gateway.Gateway
	region  string
	allowed string // an identity policy of user
	log     bytes.Buffer

	mu      sync.Mutex
	seq     uint64
	records []m
}

func newHarness(t *testing.T) *harness {
	h := &harness{t: t, region: region}
	records := storetest.OpenConfig(t, store.Config{Backend: storetest.Conflicting(storetest.Memory(t)), Journal: h, Fatal: func(err error) { t.Error(err) }})
	regions := []string{region, second}
	fake := clock.NewFake(now)
	h.service = New(Config{Store: records, Account: account, Regions: regions, Clock: fake, Rand: rand.Reader, MarkerKey: make(secret.Bytes, 32)})
	t.Cleanup(h.service.Close)
	h.gateway = gateway.New(gateway.Config{
		Services: []*operation.Service{api.Table(h.service)}, Regions: regions, Authenticator: h, Directory: h,
		Store: records, Clock: fake, Rand: rand.Reader, Log: slog.New(slog.NewTextHandler(&h.log, nil)),
	})
	return h
}

// Frame keeps the records that the store makes durable.
func (h *harness) Frame(records [][]byte) (uint64, []byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seq++
	for _, text := range records {
		var record m
		if err := json.Unmarshal(text, &record); err != nil {
			return 0, nil, err
		}
		h.records = append(h.records, record)
	}
	return h.seq, []byte{1}, nil
}

// taken returns the records since the last call of it.
func (h *harness) taken() []m {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.records
	h.records = nil
	return all
}

func (h *harness) Authenticate(_ context.Context, _ *wire.Request, s *sigv4.Signature) (authz.Principal, error) {
	p, ok := principals[caller(s.AccessKeyID)]
	if !ok {
		return p, errors.New("no such caller")
	}
	return p, nil
}

func (h *harness) Policies(_ context.Context, p *authz.Principal, set *policy.Policies) error {
	if p.UserName == "" || h.allowed == "" {
		return nil
	}
	document, err := policy.Parse([]byte(h.allowed), policy.IdentityPolicy)
	set.Identity = []policy.Source{{Name: "identity policy", Document: document}}
	return err
}

// send makes a call and returns the status, the error's code and message, and the
// answer.
func (h *harness) send(who caller, name string, in m) (status int, failure string, out m) {
	h.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		h.t.Fatal(err)
	}
	req := &wire.Request{
		Method: "POST", Target: "/", Body: body, Remote: netip.MustParseAddrPort("192.0.2.7:4711"),
		Headers: []wire.Header{
			{Name: "Host", Value: "localhost"}, {Name: "Content-Type", Value: wire.ContentTypeJSON11},
			{Name: "X-Amz-Target", Value: "BaldrApiService." + name}, {Name: "X-Amz-Date", Value: "20260102T030405Z"},
			{Name: "Authorization", Value: "AWS4-HMAC-SHA256 Credential=" + string(who) + "/20260102/" + h.region + "/cloudhsm/aws4_request, " +
				"SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=" + strings.Repeat("0", 64)},
		},
	}
	var resp wire.Response
	h.gateway.Serve(context.Background(), req, &resp)
	if err := json.Unmarshal(resp.Body, &out); err != nil {
		h.t.Fatalf("%v: %s", err, resp.Body)
	}
	if resp.Status != 200 {
		failure = fmt.Sprint(out["__type"], ": ", out["message"])
	}
	return resp.Status, failure, out
}

func (h *harness) ok(who caller, name string, in m) m {
	h.t.Helper()
	status, failure, out := h.send(who, name, in)
	if status != 200 {
		h.t.Fatalf("%s: %s\n%s", name, failure, h.log.String())
	}
	return out
}

// fails makes a call whose error is to be, or to begin with, want.
func (h *harness) fails(who caller, name string, in m, want string) {
	h.t.Helper()
	if status, failure, _ := h.send(who, name, in); status != 400 || !strings.HasPrefix(failure, want) {
		h.t.Errorf("%s %v: %d %s\nwant %s", name, in, status, failure, want)
	}
}

// slots makes two tokens known, in two zones.
func (h *harness) slots() {
	h.t.Helper()
	for _, letter := range []string{"a", "b"} {
		h.slot("slot-"+letter, region+letter)
	}
}

func (h *harness) slot(name, zone string) {
	h.t.Helper()
	if _, err := h.service.AddSlot(h.t.Context(), Slot{Name: name, Device: Device{Module: module, Label: name}, Zone: zone}); err != nil {
		h.t.Fatal(err)
	}
}

// cluster makes a cluster with subnets in two zones and returns its id.
func (h *harness) cluster() string {
	h.t.Helper()
	out := h.ok(root, "CreateCluster", m{"HsmType": "hsm1.medium", "SubnetIds": []string{subnetA, subnetB}})
	return out["Cluster"].(m)["ClusterId"].(string)
}

func (h *harness) hsm(cluster, letter string) string {
	h.t.Helper()
	return h.ok(root, "CreateHsm", m{"ClusterId": cluster, "AvailabilityZone": region + letter})["Hsm"].(m)["HsmId"].(string)
}

func (h *harness) describe(cluster string) m {
	h.t.Helper()
	list := h.ok(root, "DescribeClusters", m{"Filters": m{"clusterIds": []string{cluster}}})["Clusters"].([]any)
	if len(list) != 1 {
		h.t.Fatalf("%d clusters have the id %s", len(list), cluster)
	}
	return list[0].(m)
}

// authority signs certificate requests.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  string
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: now, NotAfter: now.AddDate(10, 0, 0), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{key, cert, encode(cert)}
}

// sign answers a certificate request in PEM.
func (a *authority) sign(t *testing.T, request string) string {
	t.Helper()
	block, _ := pem.Decode([]byte(request))
	if block == nil {
		t.Fatalf("no request: %q", request)
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if err := csr.CheckSignature(); err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: csr.Subject, NotBefore: now, NotAfter: now.AddDate(10, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, csr.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return encode(cert)
}

// active makes a cluster of two HSMs that an authority's certificate initialised.
func (h *harness) active() (cluster string, ca *authority) {
	h.t.Helper()
	h.slots()
	cluster = h.cluster()
	h.hsm(cluster, "a")
	h.hsm(cluster, "b")
	ca = newAuthority(h.t, "owner")
	h.ok(root, "InitializeCluster", m{"ClusterId": cluster, "SignedCert": ca.sign(h.t, h.request(cluster)), "TrustAnchor": ca.pem})
	return cluster, ca
}

func (h *harness) request(cluster string) string {
	h.t.Helper()
	csr, _ := h.describe(cluster)["Certificates"].(m)["ClusterCsr"].(string)
	return csr
}
