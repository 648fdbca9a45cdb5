package kms

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	api "github.com/strongroom/strongroom/api/kms"
	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/gateway"
	"github.com/strongroom/strongroom/internal/keyring/pkcs11"
	"github.com/strongroom/strongroom/internal/keyring/software"
	"github.com/strongroom/strongroom/internal/operation"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/seal"
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
)

// m is a JSON object.
type m = map[string]any

// caller is who makes a call: the name is the access key id.
type caller string

const (
	root        caller = "ROOT"    // the root of account
	user        caller = "USER"    // a user of account
	otherUser   caller = "BOB"     // another one
	foreignRoot caller = "FOREIGN" // the root of other
	foreignUser caller = "FUSER"   // a user of other
)

const userARN = "arn:aws:iam::" + account + ":user/alice"

var principals = map[caller]authz.Principal{
	root:        rootOf(account),
	foreignRoot: rootOf(other),
	user:        userOf(account, "alice"),
	otherUser:   userOf(account, "bob"),
	foreignUser: userOf(other, "eve"),
}

func rootOf(account string) authz.Principal {
	return authz.Principal{Principal: policy.Principal{
		Type: policy.Root, Account: account, ARN: "arn:aws:iam::" + account + ":root", ID: account,
	}}
}

func userOf(account, name string) authz.Principal {
	return authz.Principal{UserName: name, Principal: policy.Principal{
		Type: policy.User, Account: account, ARN: "arn:aws:iam::" + account + ":user/" + name, ID: "AIDA" + strings.ToUpper(name) + "EXAMPLE0000",
	}}
}

// harness is the service behind the real gateway, over a store in memory that
// runs every Update twice. Only signatures are not checked.
type harness struct {
	t       *testing.T
	clock   *clock.Fake
	store   *store.Store
	service *Service
	gateway *gateway.Gateway
	config  Config
	journal *recorder
	// identity are the identity policies of callers, by ARN.
	identity map[string]string
	outside  *outsideKeys
	clusters *fakeClusters
	log      *bytes.Buffer
	// before, if set, runs in the pipeline before an operation does.
	before func(call *authz.Call)
	region string
	ctx    context.Context // of calls
	// services are beside KMS behind the gateway.
	services []*operation.Service
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	h := &harness{t: t, clock: clock.NewFake(time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)), journal: &recorder{},
		identity: map[string]string{}, log: &bytes.Buffer{}, region: region, ctx: context.Background()}
	h.store = storetest.OpenConfig(t, store.Config{
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
	ring, err := software.New(software.Config{Domain: domain})
	if err != nil {
		t.Fatal(err)
	}
	box, err := domain.Box(seal.LabelKeyStoreSecrets)
	if err != nil {
		t.Fatal(err)
	}
	h.outside = &outsideKeys{inner: ring}
	inside, err := pkcs11.New(ring)
	if err != nil {
		t.Fatal(err)
	}
	h.clusters = newFakeClusters()
	h.config = Config{
		ExternalKeys: h.outside, KeyStoreSecrets: box, Clusters: h.clusters, HSMKeys: inside, OpenHSM: h.clusters.open,
		Store: h.store, Keyring: ring, Principals: known{}, Uses: h.journal, Clock: h.clock, Rand: rand.Reader,
		Regions: []string{region, second}, MarkerKey: make(secret.Bytes, 32), GrantTokenKey: make(secret.Bytes, 32),
		Log: slog.New(slog.NewTextHandler(h.log, nil)),
	}
	h.start()
	t.Cleanup(func() { h.service.Close() })
	return h
}

// start makes the service and the gateway, as a process does.
func (h *harness) start() {
	h.service = New(h.config)
	h.gateway = gateway.New(gateway.Config{
		Services: append([]*operation.Service{api.Table(h.service)}, h.services...), Regions: h.config.Regions, Authenticator: h, Directory: h,
		Store: h.store, Clock: h.clock, Rand: rand.Reader, Log: h.config.Log,
		Disturb: func(_ context.Context, call *authz.Call) error {
			if h.before != nil {
				h.before(call)
			}
			return nil
		},
	})
}

// restart ends the service and makes it anew over the same store.
func (h *harness) restart() {
	h.service.Close()
	h.start()
}

func (h *harness) Authenticate(_ context.Context, _ *wire.Request, s *sigv4.Signature) (authz.Principal, error) {
	p, ok := principals[caller(s.AccessKeyID)]
	if !ok {
		return p, errors.New("no such caller")
	}
	p.AccessKeyID = s.AccessKeyID
	return p, nil
}

func (h *harness) Policies(_ context.Context, p *authz.Principal, set *policy.Policies) error {
	if text := h.identity[p.ARN]; text != "" {
		document, err := policy.Parse([]byte(text), policy.IdentityPolicy)
		if err != nil {
			return err
		}
		set.Identity = []policy.Source{{Name: "identity policy", Document: document}}
	}
	return nil
}

// known is what policies may name: accounts, and the users of this file.
type known struct{}

func (known) Exists(_ context.Context, p policy.PrincipalRef) (bool, error) {
	if p.Form != policy.UserForm {
		return true, nil
	}
	for _, who := range principals {
		if who.ARN == p.Name {
			return true, nil
		}
	}
	return false, nil
}

// recorder is a journal that keeps the records it was given.
type recorder struct {
	mu      sync.Mutex
	seq     uint64
	records [][]byte
	uses    map[string]Use // by key ARN
}

// LastUse answers what a test has said.
func (r *recorder) LastUse(_ context.Context, keyARN string) (Use, bool, error) {
	use, ok := r.uses[keyARN]
	return use, ok, nil
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

// taken returns the records since the last call of it.
func (r *recorder) taken(t *testing.T) []m {
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

// answer is what the wire answers to a call.
type answer struct {
	status  int
	body    m
	code    string
	message string
	// bare says that the body of an error has no message at all.
	bare bool
}

// send makes a call and returns its answer.
func (h *harness) send(who caller, name string, in m) answer {
	return h.post(who, "kms", "TrentService."+name, in)
}

// post makes a call to any service.
func (h *harness) post(who caller, service, target string, in m) answer {
	body, err := json.Marshal(in)
	if err != nil {
		panic(err)
	}
	req := &wire.Request{
		Method: "POST", Target: "/", Body: body,
		Remote: netip.MustParseAddrPort("192.0.2.7:4711"),
		Headers: []wire.Header{
			{Name: "Host", Value: "localhost"},
			{Name: "Content-Type", Value: wire.ContentTypeJSON11},
			{Name: "X-Amz-Target", Value: target},
			{Name: "X-Amz-Date", Value: "20260102T030405Z"},
			{Name: "Authorization", Value: "AWS4-HMAC-SHA256 Credential=" + string(who) + "/20260102/" + h.region + "/" + service + "/aws4_request, " +
				"SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=" + strings.Repeat("0", 64)},
		},
	}
	var resp wire.Response
	h.gateway.Serve(h.ctx, req, &resp)
	a := answer{status: resp.Status}
	if len(resp.Body) > 0 {
		if err := json.Unmarshal(resp.Body, &a.body); err != nil {
			panic(fmt.Sprintf("%v: %s", err, resp.Body))
		}
	}
	if a.status != 200 {
		a.code, _ = a.body["__type"].(string)
		message, has := a.body["message"].(string)
		a.message, a.bare = message, !has
	}
	return a
}

// ok makes a call that must succeed, and returns its output.
func (h *harness) ok(who caller, name string, in m) m {
	h.t.Helper()
	a := h.send(who, name, in)
	if a.status != 200 {
		h.t.Fatalf("%s as %s: %d %s: %s\nlog: %s", name, who, a.status, a.code, a.message, h.log)
	}
	return a.body
}

// fails makes a call that must be refused with that code and message; "" is no
// message at all.
func (h *harness) fails(who caller, name string, in m, code, message string) {
	h.t.Helper()
	a := h.send(who, name, in)
	if a.code != code || a.message != message || a.bare != (message == "") {
		h.t.Errorf("%s as %s: %d %s: %q\nwant %s: %q", name, who, a.status, a.code, a.message, code, message)
	}
}

// key makes a key and returns its metadata.
func (h *harness) key(in m) m {
	h.t.Helper()
	return h.ok(root, "CreateKey", in)["KeyMetadata"].(m)
}

// keyID makes a key without parameters and returns its id and ARN.
func (h *harness) keyID() (id, arn string) {
	h.t.Helper()
	k := h.key(m{})
	return k["KeyId"].(string), k["Arn"].(string)
}

// setState gives a key any state, also those that no operation leads to yet.
func (h *harness) setState(id string, state State) {
	h.t.Helper()
	err := h.store.Update(h.t.Context(), func(tx *store.Tx) error {
		in := scope(account, region)
		record, err := keyRecords.Get(tx, in, id)
		if err != nil {
			return err
		}
		record.State = state
		record.DeletionDate = nil
		return keyRecords.Put(tx, in, id, record)
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// only returns the one record that was made since the last look.
func (h *harness) only() m {
	h.t.Helper()
	records := h.journal.taken(h.t)
	if len(records) != 1 {
		h.t.Fatalf("%d records, want 1: %v", len(records), records)
	}
	return records[0]
}

// resources are the ARNs of a record, in its order.
func resources(record m) []string {
	var arns []string
	list, _ := record["resources"].([]any)
	for _, r := range list {
		arns = append(arns, r.(m)["ARN"].(string))
	}
	return arns
}

// keyPolicy returns a key policy that lets the account administer the key, and
// the statements.
func keyPolicy(statements ...m) string {
	all := []m{{"Effect": "Allow", "Principal": m{"AWS": "arn:aws:iam::" + account + ":root"}, "Action": "kms:*", "Resource": "*"}}
	return jsonText(m{"Version": "2012-10-17", "Statement": slices.Concat(all, statements)})
}

func jsonText(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func allow(principal string, actions any, condition m) m {
	s := m{"Effect": "Allow", "Principal": m{"AWS": principal}, "Action": actions, "Resource": "*"}
	if condition != nil {
		s["Condition"] = condition
	}
	return s
}
