package gateway

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/authz"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/deadline"
	"github.com/strongroom/strongroom/internal/operation"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/sigv4"
	"github.com/strongroom/strongroom/internal/sigv4/sigv4test"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/storetest"
	"github.com/strongroom/strongroom/internal/wire"
)

const (
	accessKey = "AKIAEXAMPLE"
	secretKey = "a secret access key"
	canary    = "canary-plaintext-0451"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// input is what the operations of these tests take: any text.
type input struct{ text string }

func (in *input) Validate() error {
	if in.text == "invalid" {
		return awserr.Validation("1 validation error detected")
	}
	return nil
}

// harness is a gateway over two services whose operations do what a test says.
type harness struct {
	t       *testing.T
	gateway *Gateway
	store   *store.Store
	gate    *storetest.Gate
	journal *recorder
	clock   *clock.Fake
	log     *bytes.Buffer
	// act is what every operation does.
	act func(ctx context.Context, call *authz.Call, in *input) (any, error)
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	h := &harness{t: t, journal: &recorder{}, clock: clock.NewFake(now), log: &bytes.Buffer{}, gate: storetest.NewGate(storetest.Memory(t))}
	h.store = storetest.OpenConfig(t, store.Config{Backend: h.gate, Journal: h.journal, Fatal: func(error) {}})
	h.act = func(_ context.Context, call *authz.Call, _ *input) (any, error) {
		call.NeedsNoPermission()
		return "done", nil
	}
	row := func(name string) operation.Row {
		return operation.Row{
			Name: name, Action: "json:" + name, ReadOnly: name == "Read", BodyLimit: map[string]int{"Who": 1024}[name] + 64,
			Decode: func(body []byte) (any, error) {
				in := &input{string(body)}
				return in, in.Validate()
			},
			Invoke: func(ctx context.Context, call *authz.Call, in any) (any, error) { return h.act(ctx, call, in.(*input)) },
			Encode: func(dst []byte, out any) []byte { return append(dst, fmt.Sprintf("%q", out)...) },
			AuditRequest: func(dst []byte, in any) []byte {
				return append(dst, fmt.Sprintf(`{"length":%d}`, len(in.(*input).text))...)
			},
			AuditResponse: func(dst []byte, _ any) []byte { return append(dst, "null"...) },
		}
	}
	open := row("Open")
	open.Unsigned = true
	h.gateway = New(Config{
		Services: []*operation.Service{
			{Name: "json", EventSource: "json.amazonaws.com", Protocol: wire.AWSJSON11, TargetPrefix: "Json.v1", Operations: []operation.Row{row("Read"), row("Write")}},
			{Name: "sts", EventSource: "sts.amazonaws.com", Protocol: wire.AWSQuery, Version: "2011-06-15", XMLNamespace: "https://ns/", Operations: []operation.Row{open, row("Who")}},
		},
		Regions: []string{"eu-west-1"}, Authenticator: &Strict{Credentials: h, Clock: h.clock}, Directory: h,
		Store: h.store, Clock: h.clock, Rand: rand.Reader, Log: slog.New(slog.NewTextHandler(h.log, nil)),
	})
	return h
}

func (h *harness) SigningKey(_ context.Context, id, token string, scope sigv4.Scope) (*sigv4.Key, authz.Principal, error) {
	if id != accessKey || token != "" {
		return nil, authz.Principal{}, ErrUnknownKey
	}
	return sigv4.SigningKey(secretKey, scope), authz.Principal{AccessKeyID: id, Principal: policy.Principal{
		Type: policy.Root, Account: "111122223333", ARN: "arn:aws:iam::111122223333:root", ID: "111122223333"}}, nil
}

func (h *harness) Policies(context.Context, *authz.Principal, *policy.Policies) error { return nil }

type recorder struct {
	mu      sync.Mutex
	seq     uint64
	records []string
}

func (r *recorder) Frame(records [][]byte) (uint64, []byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seq++
	for _, record := range records {
		r.records = append(r.records, string(record))
	}
	return r.seq, []byte{1}, nil
}

// taken returns the records since the last call, decoded.
func (h *harness) taken() []map[string]any {
	h.t.Helper()
	h.journal.mu.Lock()
	defer h.journal.mu.Unlock()
	var all []map[string]any
	for _, text := range h.journal.records {
		var r map[string]any
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			h.t.Fatalf("%v: %s", err, text)
		}
		all = append(all, r)
	}
	h.journal.records = nil
	return all
}

func (h *harness) serve(req *wire.Request) *wire.Response {
	resp := &wire.Response{}
	h.gateway.Serve(context.Background(), req, resp)
	return resp
}

// jsonRequest is a request that is not signed yet.
func jsonRequest(target, body string) *wire.Request {
	return &wire.Request{Method: "POST", Target: "/", Body: []byte(body), Remote: netip.MustParseAddrPort("[::ffff:192.0.2.7]:9"), Headers: []wire.Header{
		{Name: "Host", Value: "localhost"}, {Name: "User-Agent", Value: "agent"}, {Name: "X-Amz-Target", Value: target}}}
}

func queryRequest(form string) *wire.Request {
	return &wire.Request{Method: "POST", Target: "/", Body: []byte(form), Headers: []wire.Header{{Name: "Host", Value: "localhost"}}}
}

func signed(req *wire.Request, service, region string) *wire.Request {
	sigv4test.Signer{AccessKeyID: accessKey, SecretKey: secretKey, Region: region, Service: service}.Sign(req, now)
	return req
}

func (h *harness) call(name, body string) *wire.Response {
	return h.serve(signed(jsonRequest("Json.v1."+name, body), "json", "eu-west-1"))
}

func header(resp *wire.Response, name string) string {
	for _, x := range resp.Headers {
		if strings.EqualFold(x.Name, name) {
			return x.Value
		}
	}
	return ""
}

func TestRouting(t *testing.T) {
	const who = "Action=Who&Version=2011-06-15"
	get := func(target string) *wire.Request {
		req := queryRequest("")
		req.Method, req.Target = "GET", target
		return req
	}
	method := func(req *wire.Request, m string) *wire.Request {
		req.Method = m
		return req
	}
	twice := jsonRequest("Json.v1.Read", "x")
	twice.Headers = append(twice.Headers, wire.Header{Name: "X-Amz-Target", Value: "Json.v1.Write"})
	wrong := signed(jsonRequest("Json.v1.Read", "x"), "json", "eu-west-1")
	wrong.Body = []byte("y")
	foreign := jsonRequest("Json.v1.Read", "x")
	sigv4test.Signer{AccessKeyID: "AKIANOBODY", SecretKey: secretKey, Region: "eu-west-1", Service: "json"}.Sign(foreign, now)
	old := jsonRequest("Json.v1.Read", "x")
	sigv4test.Signer{AccessKeyID: accessKey, SecretKey: secretKey, Region: "eu-west-1", Service: "json"}.Sign(old, now.Add(-6*time.Minute))
	presigned := get("/?" + who)
	sigv4test.Signer{AccessKeyID: accessKey, SecretKey: secretKey, Region: "us-east-1", Service: "sts"}.Presign(presigned, now, time.Minute)

	unknownJSON := `{"__type":"UnknownOperationException"}`
	tests := []struct {
		name   string
		req    *wire.Request
		status int
		body   string // a part of it
	}{
		{"json", signed(jsonRequest("Json.v1.Read", "x"), "json", "eu-west-1"), 200, `"done"`},
		{"query", signed(queryRequest(who), "sts", "eu-west-1"), 200, `<WhoResponse xmlns="https://ns/">`},
		{"query, members in another order", signed(queryRequest("X=1&Version=2011-06-15&Action=Who"), "sts", "eu-west-1"), 200, `"done"`},
		{"query, global region", signed(queryRequest(who), "sts", "us-east-1"), 200, `"done"`},
		{"query, GET", signed(get("/?"+who), "sts", "eu-west-1"), 200, `"done"`},
		{"query, presigned", presigned, 200, `"done"`},
		{"another method", signed(method(queryRequest(who), "PUT"), "sts", "eu-west-1"), 400, "<Code>InvalidAction</Code>"},
		{"json, GET", signed(method(jsonRequest("Json.v1.Read", ""), "GET"), "json", "eu-west-1"), 400, unknownJSON},
		{"unknown operation", signed(jsonRequest("Json.v1.Nothing", "x"), "json", "eu-west-1"), 400, unknownJSON},
		{"operation of another case", signed(jsonRequest("Json.v1.read", "x"), "json", "eu-west-1"), 400, unknownJSON},
		{"unknown prefix", signed(jsonRequest("Other.Read", "x"), "json", "eu-west-1"), 400, unknownJSON},
		{"no prefix", signed(jsonRequest("Read", "x"), "json", "eu-west-1"), 400, unknownJSON},
		{"two targets", signed(twice, "json", "eu-west-1"), 400, `"__type":"InvalidSignatureException"`},
		{"no target", signed(queryRequest("x"), "json", "eu-west-1"), 400, unknownJSON},
		{"unknown service", signed(queryRequest("x"), "s3", "eu-west-1"), 400, unknownJSON},
		{"query, unknown action", signed(queryRequest("Action=Nothing&Version=2011-06-15"), "sts", "eu-west-1"), 400, "<Code>InvalidAction</Code>"},
		{"query, another version", signed(queryRequest("Action=Who&Version=2000-01-01"), "sts", "eu-west-1"), 400, "<Code>InvalidAction</Code>"},
		{"scope and target disagree", signed(jsonRequest("Json.v1.Read", "x"), "sts", "eu-west-1"), 400, `{"__type":"InvalidSignatureException","message":"Credential should be scoped to correct service: 'json'."}`},
		{"scope and action disagree", signed(queryRequest(who), "json", "eu-west-1"), 403, "Credential should be scoped to correct service: 'sts'."},
		{"another region", signed(jsonRequest("Json.v1.Read", "x"), "json", "us-east-1"), 400, `"message":"Credential should be scoped to a valid region."`},
		{"unsigned", jsonRequest("Json.v1.Read", "x"), 400, `"__type":"MissingAuthenticationTokenException"`},
		{"unsigned query", queryRequest(who), 403, "<Code>MissingAuthenticationToken</Code>"},
		{"unsigned, for nobody", queryRequest(""), 400, `"__type":"MissingAuthenticationTokenException"`},
		{"changed body", wrong, 400, `"__type":"InvalidSignatureException"`},
		{"unknown key", foreign, 400, `{"__type":"UnrecognizedClientException","message":"The security token included in the request is invalid."}`},
		{"old", old, 400, "Signature expired"},
	}
	for _, test := range tests {
		h := newHarness(t)
		resp := h.serve(test.req)
		if resp.Status != test.status || !strings.Contains(string(resp.Body), test.body) {
			t.Errorf("%s: %d %s, want %d … %s …", test.name, resp.Status, resp.Body, test.status, test.body)
		}
		id := header(resp, "x-amzn-RequestId")
		if len(id) != 36 {
			t.Errorf("%s: request id %q", test.name, id)
		}
		if strings.HasPrefix(string(resp.Body), "<") && !strings.Contains(string(resp.Body), "<RequestId>"+id+"</RequestId>") {
			t.Errorf("%s: another request id in the body", test.name)
		}
		// What was refused before it was known who asks, or for what, is not recorded.
		if records := h.taken(); (len(records) == 1) != (test.status == 200) {
			t.Errorf("%s: %d records", test.name, len(records))
		}
	}
}

func TestRecords(t *testing.T) {
	h := newHarness(t)
	req := jsonRequest("Json.v1.Read", "text")
	req.TLS = &wire.TLS{Version: "TLSv1.3", CipherSuite: "TLS_AES_128_GCM_SHA256", ServerName: "kms.example"}
	h.act = func(_ context.Context, call *authz.Call, _ *input) (any, error) {
		call.NeedsNoPermission()
		call.Audit.Resource("111122223333", "T", "arn")
		call.Audit.SetRequest("id", "1")
		call.Audit.SetRequestObject("tags", []authz.Field{{Name: "k", Value: "v"}})
		call.Audit.SetRequestList("keys", []string{"k", `"l"`})
		call.Audit.SetResponse("a", `"quoted"`)
		call.Audit.SetAdditional("b", "2")
		call.Audit.SetAdditionalObject("c", []authz.Field{{Name: "d", Value: "3"}, {Name: "e", Value: `"4"`}})
		return "done", nil
	}
	resp := h.serve(signed(req, "json", "eu-west-1"))
	got := h.taken()
	if len(got) != 1 {
		t.Fatalf("%d records", len(got))
	}
	eventID, _ := got[0]["eventID"].(string)
	text, err := json.Marshal(got[0])
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]any
	err = json.Unmarshal([]byte(`{"eventVersion":"1.11","userIdentity":{"type":"Root","principalId":"111122223333","arn":"arn:aws:iam::111122223333:root",
		"accountId":"111122223333","accessKeyId":"AKIAEXAMPLE"},"eventTime":"2026-01-02T03:04:05Z","eventSource":"json.amazonaws.com","eventName":"Read",
		"awsRegion":"eu-west-1","sourceIPAddress":"192.0.2.7","userAgent":"agent","requestParameters":{"length":4,"id":"1","tags":{"k":"v"},"keys":["k","\"l\""]},"responseElements":{"a":"\"quoted\""},
		"additionalEventData":{"b":"2","c":{"d":"3","e":"\"4\""}},"readOnly":true,"resources":[{"accountId":"111122223333","type":"T","ARN":"arn"}],"eventType":"AwsApiCall",
		"managementEvent":true,"recipientAccountId":"111122223333","eventCategory":"Management","tlsDetails":{"tlsVersion":"TLSv1.3",
		"cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"kms.example"}}`), &want)
	if err != nil {
		t.Fatal(err)
	}
	want["requestID"], want["eventID"] = header(resp, "x-amzn-RequestId"), eventID
	wantText, _ := json.Marshal(want)
	if len(eventID) != 36 || !bytes.Equal(text, wantText) {
		t.Errorf("\n%s\nwant\n%s", text, wantText)
	}
}

// TestOutcomes: for each way in which a call can end, what is answered, what the
// one record of it says, and what stands in the log.
func TestOutcomes(t *testing.T) {
	things := store.NewCollection[map[string]int]("gateway-test", 1)
	in := store.Scope{Account: "111122223333", Region: "eu-west-1"}
	refused := awserr.New("SomeException", "some message")
	commit := func(h *harness, call *authz.Call) (any, error) {
		return authz.Commit(h.t.Context(), call, h.store, func(tx *store.Tx) (any, error) {
			call.Audit.SetResponse("from", "commit")
			return "done", things.Put(tx, in, "a", map[string]int{"n": 1})
		})
	}
	const failure = "The request processing has failed because of an unknown error, exception or failure."
	tests := []struct {
		name    string
		body    string
		act     func(h *harness, call *authz.Call) (any, error)
		status  int
		code    string
		message string
		log     string
	}{
		{"success", "x", func(_ *harness, call *authz.Call) (any, error) { call.NeedsNoPermission(); return "done", nil }, 200, "", "", ""},
		{"success with an effect", "x", func(h *harness, call *authz.Call) (any, error) { call.NeedsNoPermission(); return commit(h, call) }, 200, "", "", ""},
		{"refusal", "x", func(*harness, *authz.Call) (any, error) { return nil, refused }, 400, "SomeException", "some message", ""},
		{"wrapped refusal", "x", func(*harness, *authz.Call) (any, error) { return nil, fmt.Errorf("about: %w", refused) }, 400, "SomeException", "some message", ""},
		{"validation", "invalid", nil, 400, "ValidationException", "1 validation error detected", ""},
		{"too large", strings.Repeat("x", 65), nil, 413, "RequestEntityTooLargeException", "The request is larger than the operation takes.", ""},
		{"failure", "x", func(*harness, *authz.Call) (any, error) { return nil, errors.New("disk on fire") }, 500, "InternalFailure", failure, "disk on fire"},
		{"not asked", "x", func(*harness, *authz.Call) (any, error) { return canary, nil }, 500, "InternalFailure", failure, "has not asked for permission"},
		{"effect without asking", "x", func(h *harness, call *authz.Call) (any, error) { return commit(h, call) }, 500, "InternalFailure", failure, "has not asked for permission"},
		{"panic", "x", func(*harness, *authz.Call) (any, error) { panic(canary) }, 500, "InternalFailure", failure, "panic"},
		{"runtime panic", "x", func(_ *harness, call *authz.Call) (any, error) {
			return []string{}[call.Time.Second()-now.Second()], nil
		}, 500, "InternalFailure", failure, "index out of range"},
	}
	for _, test := range tests {
		h := newHarness(t)
		h.act = func(_ context.Context, call *authz.Call, _ *input) (any, error) { return test.act(h, call) }
		resp := h.call("Write", test.body)
		if resp.Status != test.status || header(resp, "x-amzn-ErrorType") != test.code {
			t.Errorf("%s: %d %s", test.name, resp.Status, resp.Body)
		}
		records := h.taken()
		if len(records) != 1 {
			t.Errorf("%s: %d records, want 1", test.name, len(records))
			continue
		}
		code, _ := records[0]["errorCode"].(string)
		message, _ := records[0]["errorMessage"].(string)
		if code != test.code || message != test.message || records[0]["requestID"] != header(resp, "x-amzn-RequestId") {
			t.Errorf("%s: recorded as %q %q", test.name, code, message)
		}
		if (records[0]["responseElements"] != nil) != (test.name == "success with an effect") {
			t.Errorf("%s: responseElements %v", test.name, records[0]["responseElements"])
		}
		if params := records[0]["requestParameters"]; (params == nil) != (test.act == nil) {
			t.Errorf("%s: requestParameters %v", test.name, params)
		}
		if log := h.log.String(); test.log == "" && log != "" || !strings.Contains(log, test.log) || test.log != "" && !strings.Contains(log, header(resp, "x-amzn-RequestId")) {
			t.Errorf("%s: the log says %q, want … %s …", test.name, log, test.log)
		}
		if all := fmt.Sprint(h.log, records, string(resp.Body)); strings.Contains(all, canary) {
			t.Errorf("%s: the canary got out: %s", test.name, all)
		}
		if test.status == 413 && !resp.Close {
			t.Error("the connection stays open with the rest of the body on it")
		}
		err := h.store.View(t.Context(), func(r store.Reader) error { _, err := things.Get(r, in, "a"); return err })
		if made := err == nil; made != (test.name == "success with an effect") {
			t.Errorf("%s: an effect: %v", test.name, made)
		}
	}
}

// TestRecordsSpellErrorsAsTheAnswer: a caller finds the code that it was shown.
func TestRecordsSpellErrorsAsTheAnswer(t *testing.T) {
	h := newHarness(t)
	h.act = func(context.Context, *authz.Call, *input) (any, error) {
		return nil, awserr.New("AccessDeniedException", "no")
	}
	for _, test := range []struct {
		request *wire.Request
		code    string
	}{
		{signed(queryRequest("Action=Who&Version=2011-06-15"), "sts", "eu-west-1"), "AccessDenied"},
		{signed(jsonRequest("Json.v1.Read", "x"), "json", "eu-west-1"), "AccessDeniedException"},
	} {
		resp := h.serve(test.request)
		records := h.taken()
		if !strings.Contains(string(resp.Body), test.code) || len(records) != 1 || records[0]["errorCode"] != test.code {
			t.Errorf("%s: answered %s, recorded %v", test.code, resp.Body, records)
		}
	}
}

// TestNoAnswerWithoutRecord: when the record cannot be made durable, neither a
// success nor a refusal is answered.
func TestNoAnswerWithoutRecord(t *testing.T) {
	for _, refusing := range []bool{false, true} {
		for _, reason := range []error{store.ErrFull, errors.New("some reason")} {
			h := newHarness(t)
			h.gate.Refuse(reason)
			h.act = func(_ context.Context, call *authz.Call, _ *input) (any, error) {
				call.NeedsNoPermission()
				if refusing {
					return nil, awserr.New("SomeException", "")
				}
				return canary, nil
			}
			resp := h.call("Read", "x")
			status, code := 500, "InternalFailure"
			if errors.Is(reason, store.ErrFull) {
				status, code = 503, "ServiceUnavailableException"
			}
			if resp.Status != status || header(resp, "x-amzn-ErrorType") != code || strings.Contains(string(resp.Body), canary) {
				t.Errorf("%v, %v: %d %s", refusing, reason, resp.Status, resp.Body)
			}
			if n := len(h.taken()); n != 0 {
				t.Errorf("%d records", n)
			}
		}
	}
}

// TestUnknownOutcome: a commit whose answer was lost gets no second record, which
// would contradict the one that it holds if it did happen.
func TestUnknownOutcome(t *testing.T) {
	h := newHarness(t)
	h.act = func(context.Context, *authz.Call, *input) (any, error) {
		return nil, fmt.Errorf("%w: stopped waiting", store.ErrUnknown)
	}
	resp := h.call("Write", "x")
	if resp.Status != 503 || header(resp, "x-amzn-ErrorType") != "ServiceUnavailableException" {
		t.Errorf("%d %s", resp.Status, resp.Body)
	}
	if records := h.taken(); len(records) != 0 {
		t.Errorf("recorded: %v", records)
	}
}

func TestInvoke(t *testing.T) {
	h := newHarness(t)
	parent := &authz.Call{RequestID: "parent", Service: "sts", Operation: "Who", Region: "eu-west-1", Time: now, UserAgent: "agent",
		Principal: authz.Principal{Principal: policy.Principal{Type: policy.Root, Account: "111122223333", ARN: "arn"}}}
	var seen *authz.Call
	h.act = func(_ context.Context, call *authz.Call, in *input) (any, error) {
		seen = call
		call.NeedsNoPermission()
		return in.text, nil
	}
	const host = "sts.eu-west-1.amazonaws.com"
	out, err := h.gateway.Invoke(t.Context(), parent, "json", "Write", &input{"x"})
	if err != nil || out != "x" {
		t.Fatal(out, err)
	}
	if !slices.Equal(seen.Via, []string{host}) || seen.Action != "json:Write" || seen.RequestID == "parent" {
		t.Errorf("%+v", seen)
	}
	r := h.taken()
	if len(r) != 1 || r[0]["sourceIPAddress"] != host || r[0]["userAgent"] != host || r[0]["userIdentity"].(map[string]any)["invokedBy"] != host || r[0]["requestID"] != seen.RequestID {
		t.Errorf("records: %v", r)
	}
	if _, err := h.gateway.Invoke(t.Context(), parent, "json", "Write", &input{"invalid"}); awserr.Code(err) != "ValidationException" {
		t.Errorf("invalid: %v", err)
	}
	if r := h.taken(); len(r) != 1 || r[0]["errorCode"] != "ValidationException" {
		t.Errorf("records: %v", r)
	}
	h.act = func(context.Context, *authz.Call, *input) (any, error) { return "x", nil }
	if _, err := h.gateway.Invoke(t.Context(), parent, "json", "Write", &input{"x"}); !errors.Is(err, authz.ErrUnasked) {
		t.Errorf("not asked: %v", err)
	}
	for _, name := range [][2]string{{"json", "Nothing"}, {"s3", "Write"}} {
		if _, err := h.gateway.Invoke(t.Context(), parent, name[0], name[1], &input{}); err == nil {
			t.Errorf("%v: no error", name)
		}
	}
	if parent.Authorized() || parent.Recorded() {
		t.Error("the parent took over what the derived call did")
	}
}

// TestAfterTheDeadline: a call that has waited too long is answered with 503, and
// the log says so once a minute.
func TestAfterTheDeadline(t *testing.T) {
	h := newHarness(t)
	ended, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	for range 100 {
		var resp wire.Response
		h.gateway.Serve(ended, signed(jsonRequest("Json.v1.Read", "x"), "json", "eu-west-1"), &resp)
		if resp.Status != 503 || !strings.Contains(string(resp.Body), "ServiceUnavailableException") {
			t.Fatalf("%d %s", resp.Status, resp.Body)
		}
	}
	if text := h.log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "deadline exceeded") {
		t.Errorf("the log: %s", text)
	}
	h.clock.Advance(time.Minute)
	var resp wire.Response
	h.gateway.Serve(ended, signed(jsonRequest("Json.v1.Read", "x"), "json", "eu-west-1"), &resp)
	if text := h.log.String(); strings.Count(text, "\n") != 2 || !strings.Contains(text, "calls=100") {
		t.Errorf("the log a minute later: %s", text)
	}
}

// TestAfterWork: what a call works does not count for what it waits. It is answered and
// recorded, however it ends.
func TestAfterWork(t *testing.T) {
	for name, test := range map[string]struct {
		end    func() error
		status int
	}{
		"success": {func() error { return nil }, 200},
		"failure": {func() error { return awserr.Validation("no") }, 400},
		"panic":   {func() error { panic("no") }, 500},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			h.act = func(ctx context.Context, call *authz.Call, _ *input) (any, error) {
				call.NeedsNoPermission()
				return "done", call.Work(ctx, func(context.Context) error {
					<-ctx.Done()
					return test.end()
				})
			}
			ctx := deadline.NewCalls(clock.System(), 3*time.Second).Context(t.Context())
			var resp wire.Response
			h.gateway.Serve(ctx, signed(jsonRequest("Json.v1.Read", "x"), "json", "eu-west-1"), &resp)
			if records := len(h.taken()); ctx.Err() == nil || resp.Status != test.status || records != 1 {
				t.Errorf("%d %s, %d records", resp.Status, resp.Body, records)
			}
		})
	}
}

// TestRefusalsAreSaidTogether: once a minute, whatever the number.
func TestRefusalsAreSaidTogether(t *testing.T) {
	h := newHarness(t)
	lines := func() int { return strings.Count(h.log.String(), "\n") }
	for range 100 {
		h.serve(jsonRequest("Json.v1.Read", "x"))
	}
	if lines() != 1 {
		t.Errorf("%d lines for 100 refusals in no time", lines())
	}
	h.clock.Advance(time.Minute)
	h.serve(signed(jsonRequest("Json.v1.Read", "x"), "json", "mars-1"))
	if lines() != 2 || !strings.Contains(h.log.String(), "refused.MissingAuthenticationTokenException=99") || !strings.Contains(h.log.String(), "refused.InvalidSignatureException=1") {
		t.Errorf("%s", h.log)
	}
}

func TestHealth(t *testing.T) {
	h := newHarness(t)
	var ready error
	h.gateway.Ready = func(context.Context) error { return ready }
	for _, test := range []struct {
		method, target string
		ready          error
		status         int
		body           string
	}{
		{"GET", "/healthz", nil, 200, "ok\n"}, {"HEAD", "/readyz", nil, 200, "ok\n"}, {"GET", "/readyz", nil, 200, "ok\n"},
		{"GET", "/readyz", store.ErrFull, 503, "not ready: not enough free space\n"},
		{"GET", "/readyz", errors.New(canary), 503, "not ready: see the log\n"},
		{"GET", "/healthz", errors.New(canary), 200, "ok\n"},
	} {
		ready = test.ready
		resp := h.serve(&wire.Request{Method: test.method, Target: test.target})
		if resp.Status != test.status || string(resp.Body) != test.body {
			t.Errorf("%s %s: %d %q", test.method, test.target, resp.Status, resp.Body)
		}
	}
	ready = nil
	h.gateway.Warnings = func() []string { return []string{"one", "two"} }
	if resp := h.serve(&wire.Request{Method: "GET", Target: "/readyz"}); resp.Status != 200 || string(resp.Body) != "ok\nwarning: one\nwarning: two\n" {
		t.Errorf("with warnings: %d %q", resp.Status, resp.Body)
	}
	if resp := h.serve(&wire.Request{Method: "POST", Target: "/healthz"}); resp.Status != 400 {
		t.Errorf("POST /healthz: %d", resp.Status)
	}
}

func FuzzRoute(f *testing.F) {
	f.Add("POST", "/", "Json.v1.Read", "", "Action=Who&Version=2011-06-15")
	f.Add("GET", "/?Action=Who&Version=2011-06-15", "", "AWS4-HMAC-SHA256 Credential=A/20260102/us-east-1/sts/aws4_request, SignedHeaders=host, Signature=00", "")
	f.Add("POST", "/?"+url.Values{"X-Amz-Credential": {"a/b/c/d/e"}}.Encode(), ".", "", "Version=&Action=&&=")
	routes := newRouter([]*operation.Service{{Name: "json", TargetPrefix: "Json.v1"}, {Name: "sts", Protocol: wire.AWSQuery, Version: "2011-06-15"}})
	f.Fuzz(func(t *testing.T, method, target, amzTarget, authorization, body string) {
		req := &wire.Request{Method: method, Target: "/" + target, Body: []byte(body)}
		for _, x := range []wire.Header{{Name: "X-Amz-Target", Value: amzTarget}, {Name: "Authorization", Value: authorization}} {
			if x.Value != "" {
				req.Headers = append(req.Headers, x)
			}
		}
		var r routed
		if err := routes.route(req, &r); err == nil && (r.service == nil || r.signature() == nil) {
			t.Errorf("routed to %v with the signature %v", r.service, r.signature())
		}
	})
}
