package policy

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

var pairs = flag.Int("policy.pairs", 10_000, "random (policies, request) pairs to compare with the naive evaluator")
var firstSeed = flag.Uint64("policy.seed", 1, "seed of the first set of policies")

// requestsPerSet is how many requests are put to one random set of policies.
const requestsPerSet = 10

// generator draws policies and requests from a small world, so that they meet.
type generator struct{ *rand.Rand }

func newGenerator(seed uint64) generator { return generator{rand.New(rand.NewPCG(seed, 0))} }

func pick[T any](g generator, from ...T) T { return from[g.IntN(len(from))] }

// chance is true once in n times.
func (g generator) chance(n int) bool { return g.IntN(n) == 0 }

const (
	accountA = "111111111111"
	accountB = "222222222222"
)

var worldPrincipals = []Principal{
	{Type: Root, Account: accountA, ARN: "arn:aws:iam::111111111111:root", ID: accountA},
	{Type: Root, Account: accountB, ARN: "arn:aws:iam::222222222222:root", ID: accountB},
	{Type: User, Account: accountA, ARN: "arn:aws:iam::111111111111:user/alice", ID: "AIDAAAAAAAAAAAAAAAAA"},
	{Type: User, Account: accountB, ARN: "arn:aws:iam::222222222222:user/x/bob", ID: "AIDABBBBBBBBBBBBBBBB"},
	{Type: AssumedRole, Account: accountA, ARN: "arn:aws:sts::111111111111:assumed-role/app/s1", RoleARN: "arn:aws:iam::111111111111:role/p/app", ID: "AROAAAAAAAAAAAAAAAAA:s1"},
	{Type: AssumedRole, Account: accountB, ARN: "arn:aws:sts::222222222222:assumed-role/app/s1", RoleARN: "arn:aws:iam::222222222222:role/app", ID: "AROABBBBBBBBBBBBBBBB:s1"},
	{Type: FederatedUser, Account: accountA, ARN: "arn:aws:sts::111111111111:federated-user/fay", ID: "111111111111:fay"},
	{Type: Service, Service: "logs.us-east-1.amazonaws.com"},
	{Type: WebIdentity, Provider: "accounts.google.com"},
	{Type: Anonymous},
}

var (
	worldActions     = []string{"kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey", "s3:GetObject", "KMS:encrypt"}
	worldActionNames = []string{"*", "kms:*", "kms:Enc*", "KMS:ENCRYPT", "kms:?ncrypt", "kms:*crypt", "kms:*e*r*", "s3:*", "kms:Decrypt", "kms:generatedatakey", "kms:D*t*", "s3:GetObject"}
	worldResources   = []string{"*", "arn:aws:kms:us-east-1:111111111111:key/k1", "arn:aws:kms:us-east-1:111111111111:key/k*", "arn:aws:kms:eu-west-1:222222222222:key/é1", "arn:aws:s3:::bucket/a/b"}
	worldPatterns    = []string{"*", "arn:aws:kms:us-east-1:111111111111:key/k1", "arn:aws:kms:*:111111111111:key/*", "arn:aws:kms:*:*:key/?1", "arn:aws:kms:*",
		"arn:aws:kms:us-east-1:111111111111:key/${aws:PrincipalTag/key}", "arn:aws:kms:us-east-1:111111111111:key/${aws:username, 'k1'}", "arn:aws:kms:us-east-1:111111111111:key/k${*}",
		"arn:aws:s3:::bucket/*/?", "arn:aws:s3:::bucket/${AWS:UserName}/b", "arn:aws:k*:us-*-1:*:*/?*"}
	worldNames = []string{"*", accountA, accountB, "arn:aws:iam::111111111111:root", "arn:aws:iam::111111111111:user/alice", "arn:aws:iam::222222222222:user/x/bob",
		"arn:aws:iam::111111111111:role/p/app", "arn:aws:iam::222222222222:role/app", "arn:aws:sts::111111111111:assumed-role/app/s1", "arn:aws:sts::222222222222:assumed-role/app/s1",
		"arn:aws:sts::111111111111:federated-user/fay", "AIDAAAAAAAAAAAAAAAAA", "AROAAAAAAAAAAAAAAAAA", "AROABBBBBBBBBBBBBBBB", "AROAAAAAAAAAAAAAAAAA:s1", "AROABBBBBBBBBBBBBBBB:s2"}
	worldKeys = []string{"aws:PrincipalTag/team", "aws:SourceIp", "kms:EncryptionContext:Project", "aws:TagKeys", "aws:CurrentTime", "kms:RotationPeriodInDays", "aws:SecureTransport", "aws:PrincipalArn", "AWS:UserName"}
	// worldValues are what requests and policies hold, by the kind of operator.
	worldValues = map[string][]string{
		"String":  {"blue", "Blue", "b?ue", "*", "b*e", "", "k1", "$", "${aws:username}", "${aws:PrincipalTag/team}", "${aws:TagKeys, 'blue'}", "${?}${$}", "é", "ÉÉ", "é?"},
		"Numeric": {"1", "01.50", "1.5", "-2", "90", "365", "123456789012345678901234567890", "0", "-0.0"},
		"Date":    {"2026-01-02T03:04:05Z", "2026-01-02T03:04Z", "2026-01-02", "2026-01", "2026", "1767323045", "2026-01-02T05:04:05+02:00", "0"},
		"Bool":    {"true", "false", "TRUE", "${aws:SecureTransport}"},
		"Binary":  {"YQ==", "YWI=", ""},
		"Ip":      {"192.0.2.1", "192.0.2.0/24", "192.0.2.7/25", "2001:db8::1", "2001:DB8::/32", "0.0.0.0/0", "::ffff:192.0.2.1"},
		"Arn":     {"arn:aws:iam::111111111111:user/alice", "arn:aws:iam::*:user/*", "arn:*:iam::1111111111?1:*", "arn:aws:iam::111111111111:user/${aws:username}", "arn:aws:iam::${aws:PrincipalTag/team}:user/alice", "*", "arn:aws:sns:us-east-1:1:a:b"},
	}
)

func valueKind(op string) string {
	for _, k := range []string{"String", "Numeric", "Date", "Bool", "Binary", "Arn"} {
		if strings.HasPrefix(op, k) {
			return k
		}
	}
	return "Ip"
}

var operatorNames = func() []string {
	var names []string
	for name := range operators {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}()

func (g generator) some(n int, from []string) any {
	if g.chance(2) {
		return pick(g, from...)
	}
	list := make([]any, 1+g.IntN(n))
	for i := range list {
		list[i] = pick(g, from...)
	}
	return list
}

// condition draws a Condition. Without variables, "${aws:SecureTransport}" is no
// boolean.
func (g generator) condition(variables bool) map[string]any {
	c := map[string]any{}
	for range 1 + g.IntN(2) {
		base := pick(g, operatorNames...)
		op, key := base, pick(g, worldKeys...)
		var values any
		if base == "Null" {
			values = pick[any](g, "true", false, []any{"true", true}, []any{"False", "true"})
		} else {
			if g.chance(3) {
				op += "IfExists"
			}
			op = pick(g, "", "", "ForAllValues:", "ForAnyValue:") + op
			if strings.HasPrefix(op, "ForAllValues:") && strings.HasPrefix(key, "kms:EncryptionContext") {
				key = "aws:TagKeys"
			}
			from := worldValues[valueKind(base)]
			if base == "Bool" && !variables {
				from = from[:3]
			}
			values = g.some(3, from)
		}
		c[op] = map[string]any{key: values}
	}
	return c
}

func (g generator) principals() any {
	if g.chance(6) {
		return "*"
	}
	m := map[string]any{"AWS": g.some(4, worldNames)}
	if g.chance(4) {
		m["Service"] = "logs.us-east-1.amazonaws.com"
	}
	return m
}

func (g generator) statement(kind Kind, variables bool) map[string]any {
	s := map[string]any{"Effect": pick(g, "Allow", "Allow", "Allow", "Deny")}
	s[pick(g, "Action", "Action", "Action", "NotAction")] = g.some(3, worldActionNames)
	if kind != TrustPolicy {
		s[pick(g, "Resource", "Resource", "Resource", "NotResource")] = g.some(3, worldPatterns)
	}
	if g.chance(2) {
		s["Condition"] = g.condition(variables)
	}
	if kind.namesPrincipals() {
		s["Principal"] = g.principals()
		if kind != TrustPolicy && s["Effect"] == "Deny" && g.chance(2) {
			s["NotPrincipal"] = s["Principal"]
			delete(s, "Principal")
		}
		if kind == TrustPolicy && g.chance(3) {
			s["Principal"] = map[string]any{"Federated": "accounts.google.com"}
		}
	}
	if kind == KeyPolicy && g.chance(20) {
		delete(s, pick(g, "Action", "Resource"))
		if s["Action"] == nil {
			delete(s, "NotAction")
		}
	}
	return s
}

func (g generator) document(kind Kind) naiveSource {
	doc := map[string]any{}
	switch g.IntN(6) {
	case 0:
		doc["Version"] = "2008-10-17"
	case 1:
	default:
		doc["Version"] = "2012-10-17"
	}
	list := make([]any, 1+g.IntN(3))
	for i := range list {
		list[i] = g.statement(kind, doc["Version"] == "2012-10-17")
	}
	doc["Statement"] = list
	if len(list) == 1 && g.chance(2) {
		doc["Statement"] = list[0]
	}
	text, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	return naiveSource{kind, string(text)}
}

func (g generator) documents(kind Kind, most int) []naiveSource {
	list := make([]naiveSource, g.IntN(most+1))
	for i := range list {
		list[i] = g.document(kind)
	}
	return list
}

func (g generator) policies() *naivePolicies {
	p := &naivePolicies{identity: g.documents(IdentityPolicy, 3)}
	if g.chance(4) {
		p.control = g.documents(ServiceControlPolicy, 2)
	}
	if g.chance(4) {
		p.session = g.documents(SessionPolicy, 2)
	}
	if g.chance(4) {
		d := g.document(BoundaryPolicy)
		p.boundary = &d
	}
	if !g.chance(5) {
		d := g.document(pick(g, ResourcePolicy, KeyPolicy, KeyPolicy, TrustPolicy))
		p.resource = &d
	}
	for g.chance(4) {
		p.grantees = append(p.grantees, pick(g, append(worldNames[1:11:11], "logs.us-east-1.amazonaws.com")...))
	}
	return p
}

func (g generator) request() *Request {
	ctx := MapContext{}
	for _, key := range append([]string{"aws:PrincipalTag/key"}, worldKeys...) {
		if g.chance(2) {
			continue
		}
		values := []string{}
		for range pick(g, 0, 1, 1, 1, 1, 2, 3) {
			kind := pick(g, "String", "Numeric", "Date", "Bool", "Binary", "Ip", "Arn")
			values = append(values, pick(g, worldValues[kind]...))
		}
		ctx[strings.ToLower(key)] = values
	}
	return &Request{
		Principal:       pick(g, worldPrincipals...),
		Action:          pick(g, worldActions...),
		Resource:        pick(g, worldResources...),
		ResourceAccount: pick(g, accountA, accountA, accountB, ""),
		Context:         ctx,
	}
}

// compile parses what the naive evaluator reads as text.
func (p *naivePolicies) compile(t testing.TB) *Policies {
	t.Helper()
	one := func(s naiveSource) Source { return Source{Name: s.text, Document: mustParse(t, s.kind, s.text)} }
	all := func(list []naiveSource) []Source {
		if list == nil {
			return nil
		}
		out := make([]Source, len(list))
		for i := range list {
			out[i] = one(list[i])
		}
		return out
	}
	out := &Policies{ServiceControl: all(p.control), Identity: all(p.identity), Session: all(p.session)}
	if p.boundary != nil {
		s := one(*p.boundary)
		out.Boundary = &s
	}
	if p.resource != nil {
		s := one(*p.resource)
		out.Resource = &s
	}
	for i, g := range p.grantees {
		out.Grants = append(out.Grants, Grant{ID: fmt.Sprint(i), Grantee: g})
	}
	return out
}

func (p *naivePolicies) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "control %v\nidentity %v\nsession %v\ngrants %v\n", p.control, p.identity, p.session, p.grantees)
	if p.boundary != nil {
		fmt.Fprintln(&b, "boundary", p.boundary.text)
	}
	if p.resource != nil {
		fmt.Fprintln(&b, "resource", p.resource.kind, p.resource.text)
	}
	return b.String()
}

// TestAgainstNaive compares the engine with the naive evaluator on random
// policies and requests. The long run is
//
//	go test ./internal/policy -run TestAgainstNaive -timeout 1h -args -policy.pairs=1000000
func TestAgainstNaive(t *testing.T) {
	outcomes := map[string]int{}
	for n := range *pairs / requestsPerSet {
		seed := *firstSeed + uint64(n)
		g := newGenerator(seed)
		naive := g.policies()
		compiled := naive.compile(t)
		for range requestsPerSet {
			r := g.request()
			got := Evaluate(r, compiled)
			allowed, kind, explicit := naiveEvaluate(r, naive)
			if got.Allowed != allowed || got.Kind != kind || (got.Reason == ExplicitDeny) != explicit {
				t.Fatalf("seed %d:\nrequest %+v\n%vengine: %v, naive: allowed %v, kind %v, explicit %v", seed, r, naive, describe(got), allowed, kind, explicit)
			}
			explained, refs := Explain(r, compiled)
			if explained != got {
				t.Fatalf("seed %d: Explain decides %v, Evaluate %v", seed, describe(explained), describe(got))
			}
			for _, m := range got.Matched() {
				if !slices.Contains(refs, m) {
					t.Fatalf("seed %d: %+v decided but is not among the statements that apply: %+v", seed, m, refs)
				}
			}
			outcomes[fmt.Sprint(allowed, kind, explicit)]++
		}
	}
	t.Log("outcomes (allowed, kind, explicit):", outcomes)
	// The comparison is worth little if the random world never allows.
	if len(outcomes) < 12 && *pairs >= 10_000 {
		t.Errorf("only %d different outcomes: %v", len(outcomes), outcomes)
	}
}

func describe(d Decision) string {
	return fmt.Sprintf("allowed %v, reason %v, kind %v, matched %+v", d.Allowed, d.Reason, d.Kind, d.Matched())
}
