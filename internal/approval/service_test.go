package approval

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/approval/approvaltest"
	"github.com/strongroom/strongroom/internal/clock"
	"github.com/strongroom/strongroom/internal/secret"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/storetest"
)

// journal keeps the events that were recorded.
type journal struct {
	mu      sync.Mutex
	seq     uint64
	records []string
}

func (j *journal) Frame(records [][]byte) (uint64, []byte, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seq++
	for _, r := range records {
		j.records = append(j.records, string(r))
	}
	return j.seq, []byte{1}, nil
}

func (j *journal) events() (names []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, r := range j.records {
		name, _, _ := strings.Cut(r, " ")
		names = append(names, name)
	}
	return names
}

type harness struct {
	*Service
	t       *testing.T
	clock   *clock.Fake
	journal *journal
	people  map[string]*approvaltest.Operator
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	h := &harness{t: t, clock: clock.NewFake(time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)), journal: &journal{}, people: map[string]*approvaltest.Operator{}}
	s := storetest.OpenConfig(t, store.Config{
		Backend: storetest.Conflicting(storetest.Memory(t)), Journal: h.journal,
		Fatal: func(err error) { t.Errorf("the store failed: %v", err) },
	})
	h.Service = New(Config{
		Store: s, Clock: h.clock, Rand: rand.Reader, Deployment: "deployment-1", Key: make(secret.Bytes, 32), UID: 7,
		Record: func(event string, params map[string]string) ([]byte, error) {
			text, err := json.Marshal(params)
			return []byte(event + " " + string(text)), err
		},
	})
	for _, name := range []string{"alice", "bob", "carol"} {
		h.people[name] = approvaltest.New(t)
	}
	return h
}

func (h *harness) keys(names ...string) map[string]string {
	keys := map[string]string{}
	for _, name := range names {
		keys[name] = h.people[name].PublicKey
	}
	return keys
}

// rule is a new rule of these operators.
func (h *harness) rule(matters string, names ...string) Rule {
	h.t.Helper()
	r, err := NewRule(h.keys(names...), strings.Split(matters, ","), h.clock.Now())
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

// waits returns the request that an act is refused with.
func (h *harness) waits(err error) Request {
	h.t.Helper()
	var w *Waiting
	if !errors.As(err, &w) || w.Hint() == "" {
		h.t.Fatalf("%v; want it to wait", err)
	}
	return w.Request
}

func (h *harness) approve(r Request, names ...string) {
	h.t.Helper()
	for _, name := range names {
		if _, err := h.Approve(h.t.Context(), r.ID, h.people[name].Sign(Namespace, h.Text(r))); err != nil {
			h.t.Fatal(err)
		}
	}
}

// on puts a rule of the three in force.
func (h *harness) on(matters string) {
	h.t.Helper()
	rule := h.rule(matters, "alice", "bob", "carol")
	h.approve(h.waits(h.SetRule(h.t.Context(), rule)), "alice", "carol")
	if err := h.SetRule(h.t.Context(), rule); err != nil {
		h.t.Fatal(err)
	}
}

func migration(to string) Act {
	return Act{Matter: Root, Action: "MigrateSeal", Params: map[string]string{"to": to}, Upon: map[string]string{"roots": "file:1"}, Secret: secret.Bytes("hunter2")}
}

func TestNoRule(t *testing.T) {
	h := newHarness(t)
	grant, err := h.Require(t.Context(), migration("file"))
	if err != nil || grant.Request != "" || grant.Spend(t.Context()) != nil {
		t.Errorf("%+v, %v", grant, err)
	}
	if params := grant.Params(map[string]string{"a": "b"}); len(params) != 1 {
		t.Errorf("%v", params)
	}
	if len(h.journal.events()) != 0 {
		t.Errorf("recorded %v", h.journal.events())
	}
}

func TestTwoPeople(t *testing.T) {
	ctx := t.Context()
	h := newHarness(t)
	h.on("root")
	if _, err := h.Require(ctx, Act{Matter: Deletion, Action: "ShortenKeyDeletion"}); err != nil {
		t.Errorf("what the rule does not cover: %v", err)
	}
	_, err := h.Require(ctx, migration("tpm"))
	r := h.waits(err)
	text := h.Text(r)
	for _, part := range []string{"deployment deployment-1\n", "action     MigrateSeal\n", "parameter  to = \"tpm\"\n", "upon       roots = \"file:1\"\n", "user 7 of the machine", "expires    2026-01-03T03:04:05Z\n", r.Nonce} {
		if !strings.Contains(text, part) {
			t.Errorf("the text lacks %q:\n%s", part, text)
		}
	}
	if _, err := h.Require(ctx, migration("tpm")); h.waits(err).Nonce != r.Nonce {
		t.Error("asked again, it is another request")
	}
	h.approve(r, "alice")
	if _, err := h.Approve(ctx, r.ID, h.people["alice"].Sign(Namespace, text)); err == nil || !strings.Contains(err.Error(), "approved request") {
		t.Errorf("alice twice: %v", err)
	}
	if _, err := h.Require(ctx, migration("tpm")); len(h.waits(err).Approvals) != 1 {
		t.Error("one is enough")
	}
	stranger := approvaltest.New(t)
	for name, signature := range map[string][]byte{
		"a stranger": stranger.Sign(Namespace, text), "another text": h.people["bob"].Sign(Namespace, text+" "),
		"for a file": h.people["bob"].Sign("file", text), "nothing": nil, "garbage": []byte("-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n"),
	} {
		if _, err := h.Approve(ctx, r.ID, signature); err == nil {
			t.Errorf("%s approves", name)
		}
	}
	h.approve(r, "bob")
	for name, other := range map[string]Act{
		"another target": migration("passphrase"),
		"another secret": func() Act { a := migration("tpm"); a.Secret = secret.Bytes("hunter3"); return a }(),
		"another state":  func() Act { a := migration("tpm"); a.Upon = map[string]string{"roots": "file:2"}; return a }(),
		"another action": func() Act { a := migration("tpm"); a.Action = "InitRecovery"; return a }(),
	} {
		if _, err := h.Require(ctx, other); err == nil {
			t.Errorf("the approval is good for %s", name)
		}
	}
	for range 2 { // until it is spent: the act may fail and be tried again
		grant, err := h.Require(ctx, migration("tpm"))
		if err != nil || !slices.Equal(grant.By, []string{"alice", "bob"}) {
			t.Fatalf("%+v, %v", grant, err)
		}
		if params := grant.Params(map[string]string{}); params["approvedBy"] != "alice,bob" || params["request"] != r.ID {
			t.Errorf("%v", params)
		}
	}
	grant, err := h.Require(ctx, migration("tpm"))
	if err != nil {
		t.Fatal(err)
	}
	if err := grant.Spend(ctx); err != nil {
		t.Fatal(err)
	}
	// Once spent, neither the grant nor the signatures are good for it again.
	if err := h.cfg.Store.Update(ctx, grant.SpendIn); !errors.Is(err, ErrWaiting) {
		t.Errorf("spent twice: %v", err)
	}
	_, err = h.Require(ctx, migration("tpm"))
	next := h.waits(err)
	if next.Nonce == r.Nonce || next.ID != r.ID {
		t.Error("the next request is not another one of the same act")
	}
	if _, err := h.Approve(ctx, next.ID, h.people["bob"].Sign(Namespace, text)); err == nil {
		t.Error("an old signature approves a new request")
	}
	records := strings.Join(h.journal.records, "\n")
	if strings.Contains(records, "hunter2") {
		t.Error("the secret is in a record")
	}
	counts := map[string]int{}
	for _, event := range h.journal.events() {
		counts[event]++
	}
	if want := map[string]int{"RequestApproval": 7, "ApproveRequest": 4, "SetTwoPersonRule": 1}; !maps.Equal(counts, want) {
		t.Errorf("recorded %v, want %v", counts, want)
	}
}

func TestRequestsExpireAndAreWithdrawn(t *testing.T) {
	ctx := t.Context()
	h := newHarness(t)
	h.on("root")
	_, err := h.Require(ctx, migration("tpm"))
	r := h.waits(err)
	h.approve(r, "alice", "bob")
	h.clock.Advance(lifetime)
	if all, err := h.Waiting(ctx); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
	if _, err := h.Approve(ctx, r.ID, h.people["carol"].Sign(Namespace, h.Text(r))); err == nil {
		t.Error("a request that has expired is approved")
	}
	_, err = h.Require(ctx, migration("tpm"))
	if h.waits(err).Nonce == r.Nonce {
		t.Error("approvals outlive their request")
	}
	if err := h.Withdraw(ctx, r.ID); err != nil {
		t.Fatal(err)
	}
	if err := h.Withdraw(ctx, r.ID); err == nil {
		t.Error("withdrawn twice")
	}
	for i := range maxWaiting {
		_, err := h.Require(ctx, migration(fmt.Sprint(i)))
		h.waits(err)
	}
	if _, err := h.Require(ctx, migration("one more")); err == nil || !strings.Contains(err.Error(), "requests wait") {
		t.Errorf("more than %d wait: %v", maxWaiting, err)
	}
	h.clock.Advance(lifetime)
	_, err = h.Require(ctx, migration("one more"))
	h.waits(err)
	if all, err := h.Waiting(ctx); err != nil || len(all) != 1 {
		t.Errorf("%d, %v", len(all), err)
	}
}

// TestTheRuleCoversItself: one person can neither end it nor choose the operators, and
// a rule with keys that nobody has is not put in force.
func TestTheRuleCoversItself(t *testing.T) {
	ctx := t.Context()
	h := newHarness(t)
	first := h.rule("restore", "alice", "bob")
	r := h.waits(h.SetRule(ctx, first))
	if rule, err := h.Rule(ctx); err != nil || rule.On() {
		t.Errorf("%+v, %v", rule, err)
	}
	h.approve(r, "alice")
	if _, err := h.Approve(ctx, r.ID, h.people["carol"].Sign(Namespace, h.Text(r))); err == nil {
		t.Error("one who is no operator approves")
	}
	h.approve(r, "bob")
	if err := h.SetRule(ctx, first); err != nil {
		t.Fatal(err)
	}
	if rule, err := h.Rule(ctx); err != nil || !rule.Covers(Restore) || rule.Covers(Root) || !rule.Covers(ofRule) {
		t.Errorf("%+v, %v", rule, err)
	}
	next := h.rule("root,restore", "alice", "carol")
	r = h.waits(h.SetRule(ctx, next))
	if _, err := h.Approve(ctx, r.ID, h.people["carol"].Sign(Namespace, h.Text(r))); err == nil {
		t.Error("one of the new rule approves it")
	}
	h.approve(r, "alice", "bob")
	off := h.waits(h.SetRule(ctx, Rule{})) // asked for under the first rule
	if err := h.SetRule(ctx, next); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Approve(ctx, off.ID, h.people["alice"].Sign(Namespace, h.Text(off))); err == nil {
		t.Error("a request outlives the rule that it was made under")
	}
	off = h.waits(h.SetRule(ctx, Rule{}))
	if _, err := h.Approve(ctx, off.ID, h.people["bob"].Sign(Namespace, h.Text(off))); err == nil {
		t.Error("one of the old rule approves")
	}
	h.approve(off, "alice", "carol")
	if err := h.SetRule(ctx, Rule{}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Require(ctx, migration("file")); err != nil {
		t.Errorf("the rule is ended: %v", err)
	}
	if err := h.SetRule(ctx, Rule{}); err == nil {
		t.Error("ended twice")
	}
	h.on("root")
	if err := h.EndRule(ctx); err != nil {
		t.Fatal(err)
	}
	if rule, err := h.Rule(ctx); err != nil || rule.On() {
		t.Errorf("%+v, %v", rule, err)
	}
}

func TestNewRule(t *testing.T) {
	h := newHarness(t)
	for name, try := range map[string]struct {
		operators map[string]string
		matters   []string
	}{
		"one operator":    {h.keys("alice"), []string{"root"}},
		"one key":         {map[string]string{"a": h.people["alice"].PublicKey, "b": h.people["alice"].PublicKey + " other"}, []string{"root"}},
		"no key":          {map[string]string{"a": h.people["alice"].PublicKey, "b": ""}, []string{"root"}},
		"a name":          {map[string]string{"a": h.people["alice"].PublicKey, "b\nc": h.people["bob"].PublicKey}, []string{"root"}},
		"no matter":       {h.keys("alice", "bob"), nil},
		"another matter":  {h.keys("alice", "bob"), []string{"coffee"}},
		"the rule itself": {h.keys("alice", "bob"), []string{string(ofRule)}},
	} {
		if rule, err := NewRule(try.operators, try.matters, time.Time{}); err == nil {
			t.Errorf("%s: %+v", name, rule)
		}
	}
	rule, err := NewRule(h.keys("carol", "alice", "bob"), []string{"root", "deletion", "root"}, time.Time{})
	if err != nil || !slices.Equal(rule.names(), []string{"alice", "bob", "carol"}) || !slices.Equal(rule.Matters, []Matter{Deletion, Root}) {
		t.Errorf("%+v, %v", rule, err)
	}
}

// TestCheck is for what is done without a server.
func TestCheck(t *testing.T) {
	h := newHarness(t)
	rule := h.rule("restore", "alice", "bob", "carol")
	sign := func(names ...string) (all [][]byte) {
		for _, name := range names {
			all = append(all, h.people[name].Sign(Namespace, "the text"))
		}
		return all
	}
	if by, err := rule.Check([]byte("the text"), sign("carol", "alice")); err != nil || !slices.Equal(by, []string{"carol", "alice"}) {
		t.Errorf("%v, %v", by, err)
	}
	for name, signatures := range map[string][][]byte{"none": nil, "one": sign("alice"), "the same twice": sign("alice", "alice"), "a bad one": append(sign("alice"), []byte("x"))} {
		if by, err := rule.Check([]byte("the text"), signatures); err == nil {
			t.Errorf("%s: %v", name, by)
		}
	}
	if _, err := rule.Check([]byte("another text"), sign("alice", "bob")); err == nil {
		t.Error("another text passes")
	}
}

// TestTextIsUnambiguous: no parameter can look like another line, and no two acts have
// one id.
func TestTextIsUnambiguous(t *testing.T) {
	forged := Request{Action: "MigrateSeal", Params: map[string]string{"to": "file\"\nexpires    never\nparameter  x = \"y"}}
	if text := forged.Text("d"); strings.Count(text, "\n") != 8 {
		t.Errorf("%s", text)
	}
	ids := map[string]Act{}
	key := secret.Bytes(bytes.Repeat([]byte{1}, 32))
	for _, act := range []Act{
		{}, {Action: "a"}, {Matter: "a"}, {Secret: secret.Bytes("a")},
		{Params: map[string]string{"a": "b"}}, {Upon: map[string]string{"a": "b"}}, {Params: map[string]string{"a": "", "b": ""}},
		{Params: map[string]string{"a1:b": ""}}, {Params: map[string]string{"ab": ""}}, {Params: map[string]string{"": "ab"}},
	} {
		id := idOf(key, act)
		if other, taken := ids[id]; taken {
			t.Errorf("%+v and %+v have one id", act, other)
		}
		ids[id] = act
	}
}
