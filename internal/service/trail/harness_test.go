package trail

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	api "github.com/strongroom/strongroom/api/cloudtrail"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/delivery"
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
	home    = "us-east-1"
	second  = "eu-west-1"
	bucket  = "audit-bucket"
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

// buckets knows one bucket and has nothing delivered to it.
type buckets struct {
	status delivery.Status
	keys   []delivery.PublicKey
}

func (b *buckets) HasBucket(_ context.Context, name string) (bool, error) { return name == bucket, nil }
func (b *buckets) Status(context.Context, *delivery.Trail) (delivery.Status, error) {
	return b.status, nil
}
func (b *buckets) PublicKeys(_ context.Context, region string) ([]delivery.PublicKey, error) {
	if region == home {
		return b.keys, nil
	}
	return nil, nil
}

// harness is the service behind the real gateway, over a store in memory that runs
// every Update twice. Only signatures are not checked.
type harness struct {
	t       *testing.T
	gateway *gateway.Gateway
	store   *store.Store
	clock   *clock.Fake
	buckets *buckets
	allowed string // an identity policy of user
	log     bytes.Buffer

	mu      sync.Mutex
	seq     uint64
	records []m
}

// keyring knows keys by what KMS says of them.
type keyring map[string]error

func (k keyring) Try(_ context.Context, t *delivery.Trail, key string) (string, error) {
	err, known := k[key]
	if !known {
		err = awserr.New("NotFoundException", "no such key")
	}
	return "arn:aws:kms:" + t.Region + ":" + t.Account + ":key/of-" + key, err
}

func newHarness(t *testing.T) *harness {
	h := &harness{t: t, clock: clock.NewFake(now), buckets: &buckets{}}
	h.store = storetest.OpenConfig(t, store.Config{Backend: storetest.Conflicting(storetest.Memory(t)), Journal: h, Fatal: func(err error) { t.Error(err) }})
	regions := []string{home, second}
	service := New(Config{
		Store: h.store, Clock: h.clock, Rand: rand.Reader, Regions: regions, MarkerKey: make(secret.Bytes, 32), Deliveries: h.buckets,
		Keys: keyring{
			"good": nil, "other": nil, "disabled": awserr.New("DisabledException", ""), "denied": awserr.New("AccessDeniedException", ""),
			"malformed": awserr.New("ValidationException", ""), "rsa": awserr.New("InvalidKeyUsageException", "not for that"), "broken": awserr.Internal(),
		},
	})
	h.gateway = gateway.New(gateway.Config{
		Services: []*operation.Service{api.Table(service)}, Regions: regions, Authenticator: h, Directory: h,
		Store: h.store, Clock: h.clock, Rand: rand.Reader, Log: slog.New(slog.NewTextHandler(&h.log, nil)),
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

// send makes a call in a region and returns the status, the error's code and
// message, and the answer.
func (h *harness) send(who caller, region, name string, in m) (status int, failure string, out m) {
	h.t.Helper()
	if in == nil {
		in = m{}
	}
	body, err := json.Marshal(in)
	if err != nil {
		h.t.Fatal(err)
	}
	req := &wire.Request{
		Method: "POST", Target: "/", Body: body, Remote: netip.MustParseAddrPort("192.0.2.7:4711"),
		Headers: []wire.Header{
			{Name: "Host", Value: "localhost"}, {Name: "Content-Type", Value: wire.ContentTypeJSON11},
			{Name: "X-Amz-Target", Value: "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101." + name},
			{Name: "X-Amz-Date", Value: "20260102T030405Z"},
			{Name: "Authorization", Value: "AWS4-HMAC-SHA256 Credential=" + string(who) + "/20260102/" + region + "/cloudtrail/aws4_request, " +
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
	return h.okIn(who, home, name, in)
}

func (h *harness) okIn(who caller, region, name string, in m) m {
	h.t.Helper()
	status, failure, out := h.send(who, region, name, in)
	if status != 200 {
		h.t.Fatalf("%s: %s\n%s", name, failure, h.log.String())
	}
	return out
}

// fails makes a call whose error is to be, or to begin with, want.
func (h *harness) fails(who caller, name string, in m, want string) {
	h.t.Helper()
	h.failsIn(who, home, name, in, want)
}

func (h *harness) failsIn(who caller, region, name string, in m, want string) {
	h.t.Helper()
	if status, failure, _ := h.send(who, region, name, in); status != 400 || !strings.HasPrefix(failure, want) {
		h.t.Errorf("%s %v: %d %s\nwant %s", name, in, status, failure, want)
	}
}

// last is the newest record.
func (h *harness) last() m {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.records[len(h.records)-1]
}

func arn(region, name string) string {
	return "arn:aws:cloudtrail:" + region + ":" + account + ":trail/" + name
}
