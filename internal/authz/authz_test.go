package authz

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/policy"
	"github.com/strongroom/strongroom/internal/store"
	"github.com/strongroom/strongroom/internal/store/storetest"
	"github.com/strongroom/strongroom/internal/wire"
)

const (
	account = "111122223333"
	other   = "444455556666"
	keyARN  = "arn:aws:kms:us-east-1:111122223333:key/k"
)

// pipeline is a directory of given policies, and makes records that show a call's
// notes.
type pipeline struct {
	set policy.Policies
	err error
}

func (p *pipeline) Policies(_ context.Context, _ *Principal, set *policy.Policies) error {
	set.Identity, set.Boundary, set.Session, set.ServiceControl = p.set.Identity, p.set.Boundary, p.set.Session, p.set.ServiceControl
	return p.err
}

func (p *pipeline) Record(call *Call, out any) []byte {
	text, err := json.Marshal([]any{call.Audit, out})
	if err != nil {
		panic(err)
	}
	return text
}

func (p *pipeline) RecordFor(call *Call, out any, account string) []byte {
	return append([]byte(account+" "), p.Record(call, out)...)
}

func user(account string) Principal {
	return Principal{AccessKeyID: "AKIAEXAMPLE", UserName: "alice", Principal: policy.Principal{
		Type: policy.User, Account: account, ARN: "arn:aws:iam::" + account + ":user/alice", ID: "AIDAEXAMPLE00000000"}}
}

func newCall(p *pipeline, who Principal) *Call {
	c := &Call{RequestID: "r", Service: "kms", Operation: "Encrypt", Action: "kms:Encrypt", Principal: who, Partition: "aws", Region: "us-east-1",
		Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), SourceIP: netip.MustParseAddr("192.0.2.7"), UserAgent: "agent"}
	c.Attach(p)
	return c
}

func source(t *testing.T, kind policy.Kind, statement string) policy.Source {
	t.Helper()
	d, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[`+statement+`]}`), kind)
	if err != nil {
		t.Fatal(err)
	}
	return policy.Source{Name: "test", Document: d}
}

const (
	allowAll    = `{"Effect":"Allow","Action":"*","Resource":"*"}`
	allowOther  = `{"Effect":"Allow","Action":"s3:*","Resource":"*"}`
	denyAll     = `{"Effect":"Deny","Action":"*","Resource":"*"}`
	forAccounts = `{"Effect":"Allow","Principal":{"AWS":["111122223333","444455556666"]},"Action":"*","Resource":"*"}`
	forNobody   = `{"Effect":"Allow","Principal":{"AWS":"999988887777"},"Action":"*","Resource":"*"}`
	denied      = `{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}`
)

const unseenTail = "this resource because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access"

// TestDenials holds the wording of kms.md §4 for each policy that can deny, within
// an account and across.
func TestDenials(t *testing.T) {
	onARN := "resource: " + keyARN
	tests := []struct {
		name                                      string
		key, identity, boundary, session, control string
		caller                                    string
		unnamed                                   string
		want                                      string // "" for allowed
	}{
		{name: "all allow", key: forAccounts, identity: allowAll, boundary: allowAll, session: allowAll, control: allowAll, caller: account},
		{name: "no identity policy", key: forAccounts, caller: account, want: onARN + " because no identity-based policy allows the kms:Encrypt action"},
		{name: "explicit identity deny", key: forAccounts, identity: denyAll, caller: account, want: onARN + " with an explicit deny in an identity-based policy"},
		{name: "key policy", key: forNobody, identity: allowAll, caller: account, want: onARN + " because no resource-based policy allows the kms:Encrypt action"},
		{name: "explicit key policy deny", key: denied, identity: allowAll, caller: account, want: onARN + " with an explicit deny in a resource-based policy"},
		{name: "boundary", key: forAccounts, identity: allowAll, boundary: allowOther, caller: account, want: onARN + " because no permissions boundary allows the kms:Encrypt action"},
		{name: "session", key: forAccounts, identity: allowAll, session: allowOther, caller: account, want: onARN + " because no session policy allows the kms:Encrypt action"},
		{name: "explicit session deny", key: forAccounts, identity: allowAll, session: denyAll, caller: account, want: onARN + " with an explicit deny in a session policy"},
		{name: "service control", key: forAccounts, identity: allowAll, control: allowOther, caller: account, want: onARN + " because no service control policy allows the kms:Encrypt action"},
		{name: "unnamed", key: forAccounts, caller: account, unnamed: "the thing", want: "the thing because no identity-based policy allows the kms:Encrypt action"},

		{name: "across: all allow", key: forAccounts, identity: allowAll, caller: other},
		{name: "across: no identity policy", key: forAccounts, caller: other, want: "this resource because no identity-based policy allows the kms:Encrypt action"},
		{name: "across: boundary", key: forAccounts, identity: allowAll, boundary: allowOther, caller: other, want: "this resource because no permissions boundary allows the kms:Encrypt action"},
		{name: "across: session", key: forAccounts, identity: allowAll, session: allowOther, caller: other, want: "this resource because no session policy allows the kms:Encrypt action"},
		{name: "across: not admitted", key: forNobody, identity: allowAll, caller: other, want: unseenTail},
		{name: "across: explicitly denied", key: denied, identity: allowAll, caller: other, want: unseenTail},
		{name: "across: own deny, not admitted", key: forNobody, identity: denyAll, caller: other, want: unseenTail},
		{name: "across: own deny, admitted", key: forAccounts, identity: denyAll, caller: other, want: unseenTail},
		{name: "across: service control, not admitted", key: forNobody, identity: allowAll, control: allowOther, caller: other, want: unseenTail},
		{name: "across: unnamed", key: forNobody, caller: other, unnamed: "the resource associated with this ciphertext",
			want: "the resource associated with this ciphertext" + strings.TrimPrefix(unseenTail, "this resource")},
	}
	for _, test := range tests {
		p := &pipeline{}
		key := source(t, policy.KeyPolicy, test.key)
		if test.identity != "" {
			p.set.Identity = []policy.Source{source(t, policy.IdentityPolicy, test.identity)}
		}
		if test.boundary != "" {
			b := source(t, policy.BoundaryPolicy, test.boundary)
			p.set.Boundary = &b
		}
		if test.session != "" {
			p.set.Session = []policy.Source{source(t, policy.SessionPolicy, test.session)}
		}
		if test.control != "" {
			p.set.ServiceControl = []policy.Source{source(t, policy.ServiceControlPolicy, test.control)}
		}
		call := newCall(p, user(test.caller))
		access := Access{Resource: keyARN, ResourceAccount: account, Policy: &key, Unnamed: test.unnamed}
		could, err := call.Could(t.Context(), access)
		if err != nil || could != (test.want == "") || call.Authorized() {
			t.Errorf("%s: Could: %v, %v; authorized %v", test.name, could, err, call.Authorized())
		}
		err = call.Authorize(t.Context(), access)
		switch {
		case test.want == "":
			if err != nil || !call.Authorized() {
				t.Errorf("%s: %v", test.name, err)
			}
		case !errors.Is(err, ErrDenied) || call.Authorized():
			t.Errorf("%s: %v; authorized %v", test.name, err, call.Authorized())
		default:
			want := "AccessDeniedException: User: " + call.Principal.ARN + " is not authorized to perform: kms:Encrypt on " + test.want
			if err.Error() != want {
				t.Errorf("%s:\n%v\nwant\n%s", test.name, err, want)
			}
		}
	}
}

// TestPoliciesThatCannotBeGathered: not knowing is an error, never a decision.
func TestPoliciesThatCannotBeGathered(t *testing.T) {
	broken := errors.New("the directory is away")
	call := newCall(&pipeline{err: broken}, user(account))
	key := source(t, policy.KeyPolicy, `{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}`)
	access := Access{Resource: keyARN, Policy: &key}
	if err := call.Authorize(t.Context(), access); !errors.Is(err, broken) || awserr.Code(err) != "" || call.Authorized() {
		t.Errorf("%v; authorized %v", err, call.Authorized())
	}
	if could, err := call.Could(t.Context(), access); could || !errors.Is(err, broken) {
		t.Errorf("%v, %v", could, err)
	}
}

func TestNeedsNoPermission(t *testing.T) {
	call := newCall(&pipeline{err: errors.New("not asked")}, user(account))
	if call.NeedsNoPermission(); !call.Authorized() {
		t.Error("not authorized")
	}
}

func TestGlobalConditionKeys(t *testing.T) {
	via := []string{"a.us-east-1.amazonaws.com", "b.us-east-1.amazonaws.com"}
	direct := newCall(&pipeline{}, user(account))
	direct.TLS = &wire.TLS{}
	derived := newCall(&pipeline{}, user(account))
	derived.Via = via
	role := newCall(&pipeline{}, Principal{Principal: policy.Principal{Type: policy.AssumedRole, Account: account,
		ARN: "arn:aws:sts::111122223333:assumed-role/r/s", RoleARN: "arn:aws:iam::111122223333:role/p/r", ID: "AROAEXAMPLE:s"}})
	root := newCall(&pipeline{}, Principal{Principal: policy.Principal{Type: policy.Root, Account: account, ARN: "arn:aws:iam::111122223333:root", ID: account}})
	root.SourceIP, root.UserAgent = netip.Addr{}, ""
	service := newCall(&pipeline{}, Principal{Principal: policy.Principal{Type: policy.Service, Service: "logs.us-east-1.amazonaws.com"}})
	tests := []struct {
		call *Call
		key  string
		want []string // nil for absent
	}{
		{direct, "aws:principalarn", []string{"arn:aws:iam::111122223333:user/alice"}},
		{role, "aws:principalarn", []string{"arn:aws:iam::111122223333:role/p/r"}},
		{direct, "aws:principalaccount", []string{account}},
		{service, "aws:principalaccount", nil},
		{direct, "aws:principaltype", []string{"User"}},
		{root, "aws:principaltype", []string{"Account"}},
		{role, "aws:principaltype", []string{"AssumedRole"}},
		{direct, "aws:principalisawsservice", []string{"false"}},
		{service, "aws:principalisawsservice", []string{"true"}},
		{service, "aws:principalservicename", []string{"logs.us-east-1.amazonaws.com"}},
		{direct, "aws:principalservicename", nil},
		{direct, "aws:userid", []string{"AIDAEXAMPLE00000000"}},
		{role, "aws:userid", []string{"AROAEXAMPLE:s"}},
		{direct, "aws:username", []string{"alice"}},
		{root, "aws:username", nil},
		{direct, "aws:requestedregion", []string{"us-east-1"}},
		{direct, "aws:resourceaccount", []string{other}},
		{direct, "aws:sourceip", []string{"192.0.2.7"}},
		{derived, "aws:sourceip", nil},
		{root, "aws:sourceip", nil},
		{direct, "aws:securetransport", []string{"true"}},
		{derived, "aws:securetransport", []string{"false"}},
		{direct, "aws:currenttime", []string{"2026-01-02T03:04:05Z"}},
		{direct, "aws:epochtime", []string{"1767323045"}},
		{direct, "aws:useragent", []string{"agent"}},
		{root, "aws:useragent", nil},
		{direct, "aws:viaawsservice", []string{"false"}},
		{derived, "aws:viaawsservice", []string{"true"}},
		{direct, "aws:calledvia", nil},
		{derived, "aws:calledvia", []string{"a.amazonaws.com", "b.amazonaws.com"}},
		{direct, "aws:calledviafirst", nil},
		{derived, "aws:calledviafirst", []string{"a.amazonaws.com"}},
		{direct, "aws:calledvialast", nil},
		{derived, "aws:calledvialast", []string{"b.amazonaws.com"}},
		{direct, "aws:multifactorauthpresent", nil},
		{direct, "kms:known", []string{"from the service"}},
		{direct, "aws:resourcetag/a", []string{"from the service"}},
		{direct, "kms:unknown", nil},
	}
	known := policy.MapContext{"kms:known": {"from the service"}, "aws:resourcetag/a": {"from the service"}, "aws:principalarn": {"forged"}}
	for _, test := range tests {
		got, ok := (&callContext{test.call, other, known}).Values(test.key)
		if ok != (test.want != nil) || !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, %v; want %q", test.key, got, ok, test.want)
		}
	}
	if _, ok := (&callContext{direct, other, nil}).Values("kms:known"); ok {
		t.Error("a key without a service")
	}
	if derived.Via[0] != via[0] || via[0] != "a.us-east-1.amazonaws.com" {
		t.Error("aws:CalledVia changed the call")
	}
}

func TestDerive(t *testing.T) {
	parent := newCall(&pipeline{}, user(account))
	parent.Service, parent.Via = "secretsmanager", []string{"x.us-east-1.amazonaws.com"}
	parent.NeedsNoPermission()
	parent.Audit.Resource(account, "T", "arn")
	child := parent.Derive("kms", "Decrypt", "kms:Decrypt", "r2")
	if child.Authorized() || child.Recorded() || len(child.Audit.Resources) != 0 {
		t.Error("the derived call takes over what the parent did")
	}
	if want := []string{"x.us-east-1.amazonaws.com", "secretsmanager.us-east-1.amazonaws.com"}; !slices.Equal(child.Via, want) || len(parent.Via) != 1 {
		t.Errorf("Via %q of a parent's %q", child.Via, parent.Via)
	}
	if child.RequestID != "r2" || !reflect.DeepEqual(child.Principal, parent.Principal) || child.Action != "kms:Decrypt" || !child.Time.Equal(parent.Time) {
		t.Errorf("%+v", child)
	}
}

func TestPartitionOf(t *testing.T) {
	for region, want := range map[string]string{"us-east-1": "aws", "cn-north-1": "aws-cn", "us-gov-west-1": "aws-us-gov", "eu-west-1": "aws"} {
		if got := PartitionOf(region); got != want {
			t.Errorf("%s: %s, want %s", region, got, want)
		}
	}
}

type thing struct {
	N int `json:"n"`
}

var (
	things  = store.NewCollection[thing]("authz-test", 1)
	inScope = store.Scope{Account: account, Region: "us-east-1"}
)

// TestCommitRunsTwiceAndNotesOnce: the function runs at least twice in this store,
// and the record has what its last run noted, once.
func TestCommitRunsTwiceAndNotesOnce(t *testing.T) {
	s, backend := storetest.NewWithBackend(t)
	call := newCall(&pipeline{}, user(account))
	call.NeedsNoPermission()
	call.Audit.Resource(account, "T", "before")
	runs := 0
	out, err := Commit(t.Context(), call, s, func(tx *store.Tx) (int, error) {
		runs++
		call.Audit.Resource(account, "T", "before")
		call.Audit.Resource(account, "T", fmt.Sprint("run ", runs))
		call.Audit.SetRequest("asked", fmt.Sprint(runs))
		call.Audit.SetResponse("run", fmt.Sprint(runs))
		call.Audit.SetAdditional("more", fmt.Sprint(runs))
		return runs, things.Put(tx, inScope, "a", thing{runs})
	})
	if err != nil || runs < 2 || out != runs || !call.Recorded() {
		t.Fatalf("%d, %v after %d runs; recorded %v", out, err, runs, call.Recorded())
	}
	records, err := storetest.Records(t.Context(), backend)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`[{"Resources":[{"Account":"111122223333","Type":"T","ARN":"before"},{"Account":"111122223333","Type":"T","ARN":"run %d"}],`+
		`"Request":[{"Name":"asked","Value":"%d","Members":null,"List":null}],"Response":[{"Name":"run","Value":"%d","Members":null,"List":null}],`+
		`"Additional":[{"Name":"more","Value":"%d","Members":null,"List":null}]},%d]`, runs, runs, runs, runs, runs)
	if len(records) != 1 || records[0] != want {
		t.Errorf("records %q, want %q", records, want)
	}
	if _, err := Commit(t.Context(), call, s, func(*store.Tx) (int, error) { t.Error("ran"); return 0, nil }); !errors.Is(err, ErrCommittedTwice) {
		t.Errorf("a second commit: %v", err)
	}
}

func TestCommitOfAFailure(t *testing.T) {
	s, backend := storetest.NewWithBackend(t)
	call := newCall(&pipeline{}, user(account))
	call.NeedsNoPermission()
	refused := awserr.Validation("no")
	_, err := Commit(t.Context(), call, s, func(tx *store.Tx) (int, error) {
		if err := things.Put(tx, inScope, "a", thing{1}); err != nil {
			return 0, err
		}
		return 7, refused
	})
	if err != error(refused) || call.Recorded() {
		t.Errorf("%v; recorded %v", err, call.Recorded())
	}
	if records, err := storetest.Records(t.Context(), backend); err != nil || len(records) != 0 {
		t.Errorf("records %q, %v", records, err)
	}
	err = s.View(t.Context(), func(r store.Reader) error {
		_, err := things.Get(r, inScope, "a")
		return err
	})
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the write of a failed commit: %v", err)
	}
	// It may try again.
	if _, err := Commit(t.Context(), call, s, func(*store.Tx) (int, error) { return 1, nil }); err != nil || !call.Recorded() {
		t.Errorf("%v; recorded %v", err, call.Recorded())
	}
}

// TestCommitWithoutPermission: no effect for who did not ask.
func TestCommitWithoutPermission(t *testing.T) {
	s := storetest.New(t)
	call := newCall(&pipeline{}, user(account))
	_, err := Commit(t.Context(), call, s, func(*store.Tx) (int, error) { t.Error("ran"); return 0, nil })
	if !errors.Is(err, ErrUnasked) || call.Recorded() {
		t.Errorf("%v; recorded %v", err, call.Recorded())
	}
}

func TestAuditFields(t *testing.T) {
	var a Audit
	a.SetResponse("x", "1")
	a.SetResponse("y", "2")
	a.SetResponse("x", "3")
	if want := []Field{{Name: "x", Value: "3"}, {Name: "y", Value: "2"}}; !reflect.DeepEqual(a.Response, want) {
		t.Errorf("%v, want %v", a.Response, want)
	}
}
