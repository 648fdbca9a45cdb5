package policy

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// This file is a second evaluator, written from the specification alone and
// without a thought for speed: encoding/json maps for documents, recursion for
// wildcards, floats of any size for numbers. The engine must agree with it.

type naiveSource struct {
	kind Kind
	text string
}

type naivePolicies struct {
	control, identity, session []naiveSource // nil: none limits
	boundary, resource         *naiveSource
	grantees                   []string
}

// naiveToken is one character of a pattern; fixed ones came out of a variable.
type naiveToken struct {
	char      rune
	star, any bool
	fixed     bool
}

// naiveTokens expands variables, if the version has them, and marks wildcards.
func naiveTokens(s string, variables, wild bool, ctx MapContext) ([]naiveToken, bool) {
	var out []naiveToken
	runes := []rune(s)
	for i := 0; i < len(runes); i++ {
		if variables && runes[i] == '$' && i+1 < len(runes) && runes[i+1] == '{' {
			j := i + 2
			for runes[j] != '}' {
				j++
			}
			name := string(runes[i+2 : j])
			value, ok := naiveVariable(name, ctx)
			if !ok {
				return nil, false
			}
			for _, c := range value {
				out = append(out, naiveToken{char: c, fixed: true})
			}
			i = j
			continue
		}
		t := naiveToken{char: runes[i]}
		t.star = wild && runes[i] == '*'
		t.any = wild && runes[i] == '?'
		out = append(out, t)
	}
	return out, true
}

func naiveVariable(name string, ctx MapContext) (string, bool) {
	if name == "*" || name == "?" || name == "$" {
		return name, true
	}
	key, def, hasDefault := strings.Cut(name, ", ")
	values := ctx[strings.ToLower(key)]
	if len(values) == 1 {
		return values[0], true
	}
	if len(values) == 0 && hasDefault {
		return strings.Trim(def, "'"), true
	}
	return "", false
}

func naiveGlob(p []naiveToken, s []rune) bool {
	if len(p) == 0 {
		return len(s) == 0
	}
	if p[0].star {
		return naiveGlob(p[1:], s) || len(s) > 0 && naiveGlob(p, s[1:])
	}
	return len(s) > 0 && (p[0].any || p[0].char == s[0]) && naiveGlob(p[1:], s[1:])
}

func naiveText(p []naiveToken) string {
	var b strings.Builder
	for _, t := range p {
		b.WriteRune(t.char)
	}
	return b.String()
}

func naiveList(v any) []string {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		var out []string
		for _, e := range v {
			out = append(out, naiveList(e)...)
		}
		return out
	case bool:
		return []string{strconv.FormatBool(v)}
	case json.Number:
		return []string{v.String()}
	}
	return []string{v.(string)}
}

// naiveForms are the ways in which a statement names a principal.
type naiveForms struct{ direct, role, account bool }

func (f naiveForms) any() bool { return f.direct || f.role || f.account }

func naiveNames(element any, p Principal) naiveForms {
	f := naiveForms{}
	if element == "*" {
		f.direct = true
		return f
	}
	m := element.(map[string]any)
	for _, name := range naiveList(m["AWS"]) {
		g := naiveNamesOne(name, p)
		f.direct, f.role, f.account = f.direct || g.direct, f.role || g.role, f.account || g.account
	}
	f.direct = f.direct || p.Type == Service && slices.Contains(naiveList(m["Service"]), p.Service)
	f.direct = f.direct || p.Type == WebIdentity && slices.Contains(naiveList(m["Federated"]), p.Provider)
	return f
}

func naiveNamesOne(name string, p Principal) naiveForms {
	iam := p.Type == Root || p.Type == User || p.Type == AssumedRole || p.Type == FederatedUser
	switch {
	case name == "*":
		return naiveForms{direct: true}
	case !iam:
		return naiveForms{}
	case name == p.Account || strings.HasSuffix(name, ":iam::"+p.Account+":root"):
		return naiveForms{account: true}
	case p.Type != Root && name == p.ARN, (p.Type == User || p.Type == AssumedRole) && name == p.ID:
		return naiveForms{direct: true}
	case p.Type == AssumedRole && (name == p.RoleARN || name == strings.Split(p.ID, ":")[0]):
		return naiveForms{role: true}
	}
	return naiveForms{}
}

// naiveApplies says how a statement applies to a request.
func naiveApplies(kind Kind, version any, s map[string]any, r *Request, ctx MapContext, bounded bool) naiveForms {
	none, plain := naiveForms{}, naiveForms{direct: true}
	deny := s["Effect"] == "Deny"
	variables := version == "2012-10-17"

	actions, negatedActions := naiveList(s["Action"]), false
	if s["NotAction"] != nil {
		actions, negatedActions = naiveList(s["NotAction"]), true
	}
	if actions == nil {
		return none
	}
	hit := false
	for _, a := range actions {
		p, _ := naiveTokens(strings.ToLower(a), false, true, nil)
		hit = hit || naiveGlob(p, []rune(strings.ToLower(r.Action)))
	}
	if hit == negatedActions {
		return none
	}

	if kind != TrustPolicy {
		resources, negated := naiveList(s["Resource"]), false
		if s["NotResource"] != nil {
			resources, negated = naiveList(s["NotResource"]), true
		}
		if resources == nil {
			return none
		}
		hit, known := false, true
		for _, a := range resources {
			p, ok := naiveTokens(a, variables, true, ctx)
			known = known && ok
			hit = hit || ok && naiveGlob(p, []rune(r.Resource))
		}
		if hit == negated || negated && !known && !deny {
			return none
		}
	}

	forms := plain
	if e := s["Principal"]; e != nil {
		if forms = naiveNames(e, r.Principal); !forms.any() {
			return none
		}
	}
	if e := s["NotPrincipal"]; e != nil && !bounded {
		f, t := naiveNames(e, r.Principal), r.Principal.Type
		everyone := naiveNames(e, Principal{}).direct
		switch {
		case everyone,
			t == Root && f.account,
			(t == User || t == FederatedUser) && f.direct && f.account,
			t == AssumedRole && f.direct && f.role && f.account,
			(t == Service || t == WebIdentity) && f.direct:
			return none
		}
	}

	condition, _ := s["Condition"].(map[string]any)
	for op, keys := range condition {
		for key, values := range keys.(map[string]any) {
			if !naiveCondition(op, ctx[strings.ToLower(key)], naiveList(values), variables, ctx, deny) {
				return none
			}
		}
	}
	return forms
}

func naiveCondition(op string, have, want []string, variables bool, ctx MapContext, deny bool) bool {
	qualifier, base, found := strings.Cut(op, ":")
	if !found {
		qualifier, base = "", op
	}
	ifExists := strings.HasSuffix(base, "IfExists")
	base = strings.TrimSuffix(base, "IfExists")
	if base == "Null" {
		return slices.ContainsFunc(want, func(w string) bool { return strings.EqualFold(w, strconv.FormatBool(len(have) == 0)) })
	}
	negated := strings.Contains(base, "Not")
	positive := strings.Replace(base, "Not", "", 1)
	if len(have) == 0 {
		return ifExists || qualifier == "ForAllValues" || qualifier == "" && negated
	}
	holds := func(v string) bool {
		matched, unknown := false, false
		for _, w := range want {
			m, ok := naiveCompare(positive, v, w, variables, ctx)
			matched, unknown = matched || m && ok, unknown || !ok
		}
		if negated {
			return !matched && (deny || !unknown)
		}
		return matched
	}
	n := 0
	for _, v := range have {
		if holds(v) {
			n++
		}
	}
	switch {
	case qualifier == "ForAllValues", qualifier == "" && negated:
		return n == len(have)
	}
	return n > 0
}

// naiveCompare compares one value of a request with one of a policy; ok is
// false if they cannot be compared.
func naiveCompare(op, v, w string, variables bool, ctx MapContext) (match, ok bool) {
	order := func(c int) bool {
		switch strings.TrimPrefix(strings.TrimPrefix(op, "Numeric"), "Date") {
		case "LessThan":
			return c < 0
		case "LessThanEquals":
			return c <= 0
		case "GreaterThan":
			return c > 0
		case "GreaterThanEquals":
			return c >= 0
		}
		return c == 0
	}
	switch {
	case op == "StringEquals", op == "StringEqualsIgnoreCase", op == "Bool":
		t, ok := naiveTokens(w, variables, false, ctx)
		if !ok {
			return false, false
		}
		w = naiveText(t)
		if op == "StringEquals" {
			return v == w, true
		}
		if op == "Bool" {
			valid := func(s string) bool { return strings.EqualFold(s, "true") || strings.EqualFold(s, "false") }
			return strings.EqualFold(v, w), valid(v) && valid(w)
		}
		return strings.EqualFold(v, w), true
	case op == "StringLike":
		t, ok := naiveTokens(w, variables, true, ctx)
		return ok && naiveGlob(t, []rune(v)), ok
	case strings.HasPrefix(op, "Numeric"):
		a, ok1 := new(big.Rat).SetString(v)
		b, _ := new(big.Rat).SetString(w)
		return ok1 && order(a.Cmp(b)), ok1
	case strings.HasPrefix(op, "Date"):
		a, ok1 := naiveDate(v)
		b, _ := naiveDate(w)
		return ok1 && order(a.Compare(b)), ok1
	case op == "BinaryEquals":
		a, err := base64.StdEncoding.DecodeString(v)
		b, _ := base64.StdEncoding.DecodeString(w)
		return string(a) == string(b), err == nil
	case op == "IpAddress":
		ip := net.ParseIP(v)
		if !strings.Contains(w, "/") {
			return ip.Equal(net.ParseIP(w)), ip != nil
		}
		_, network, _ := net.ParseCIDR(w)
		return ip != nil && network.Contains(ip), ip != nil
	case op == "ArnEquals", op == "ArnLike":
		t, ok := naiveTokens(w, variables, true, ctx)
		if !ok {
			return false, false
		}
		var pieces [][]naiveToken
		start := 0
		for i, c := range t {
			if c.char == ':' && !c.fixed && len(pieces) < 5 {
				pieces = append(pieces, t[start:i])
				start = i + 1
			}
		}
		pieces = append(pieces, t[start:])
		have := strings.SplitN(v, ":", 6)
		if len(pieces) != 6 || len(have) != 6 {
			return false, true
		}
		for i := range pieces {
			if !naiveGlob(pieces[i], []rune(have[i])) {
				return false, true
			}
		}
		return true, true
	}
	panic(fmt.Sprintf("no operator %q", op))
}

func naiveDate(s string) (time.Time, bool) {
	if f, err := strconv.ParseFloat(s, 64); err == nil && (len(s) != 4 || strings.ContainsAny(s, ".-")) {
		return time.UnixMilli(int64(f * 1000)), f < 253402300800
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02", "2006-01", "2006"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// naiveEvaluate returns whether the request is allowed and, if not, the kind of
// policy that decided and whether it did so by an explicit Deny.
func naiveEvaluate(r *Request, p *naivePolicies) (allowed bool, kind Kind, explicit bool) {
	ctx, _ := r.Context.(MapContext)
	var forms [GrantPolicy]naiveForms // by kind
	var denied [GrantPolicy]bool
	look := func(sources ...naiveSource) {
		for _, src := range sources {
			var doc map[string]any
			dec := json.NewDecoder(strings.NewReader(src.text))
			dec.UseNumber()
			if err := dec.Decode(&doc); err != nil {
				panic(err)
			}
			statements, isList := doc["Statement"].([]any)
			if !isList {
				statements = []any{doc["Statement"]}
			}
			for _, s := range statements {
				s := s.(map[string]any)
				f := naiveApplies(src.kind, doc["Version"], s, r, ctx, p.boundary != nil)
				if s["Effect"] == "Deny" {
					denied[src.kind] = denied[src.kind] || f.any()
					continue
				}
				g := &forms[src.kind]
				g.direct, g.role, g.account = g.direct || f.direct, g.role || f.role, g.account || f.account
			}
		}
	}
	look(p.control...)
	look(p.identity...)
	look(p.session...)
	resourceKind := ResourcePolicy
	if p.boundary != nil {
		look(*p.boundary)
	}
	if p.resource != nil {
		resourceKind = p.resource.kind
		look(*p.resource)
	}
	for _, k := range []Kind{ServiceControlPolicy, ResourcePolicy, KeyPolicy, TrustPolicy, IdentityPolicy, BoundaryPolicy, SessionPolicy} {
		if denied[k] {
			return false, k, true
		}
	}
	res := forms[resourceKind]
	for _, g := range p.grantees {
		f := naiveNamesOne(g, r.Principal)
		f.direct = f.direct || r.Principal.Type == Service && g == r.Principal.Service
		res.direct, res.role, res.account = res.direct || f.direct, res.role || f.role, res.account || f.account
	}

	controlOK := p.control == nil || forms[ServiceControlPolicy].any()
	identityOK := r.Principal.Type == Root || forms[IdentityPolicy].any()
	boundaryOK := p.boundary == nil || forms[BoundaryPolicy].any()
	sessionOK := p.session == nil || forms[SessionPolicy].any()
	chain := func(steps ...any) (bool, Kind, bool) {
		for i := 0; i < len(steps); i += 2 {
			if !steps[i].(bool) {
				return false, steps[i+1].(Kind), false
			}
		}
		return true, 0, false
	}
	cross := r.ResourceAccount != "" && r.ResourceAccount != r.Principal.Account
	switch t := r.Principal.Type; {
	case t == Anonymous || t == Service || t == WebIdentity:
		return chain(res.direct, resourceKind)
	case cross:
		return chain(controlOK, ServiceControlPolicy, res.any(), resourceKind, identityOK, IdentityPolicy, boundaryOK, BoundaryPolicy, sessionOK, SessionPolicy)
	case res.direct:
		return chain(controlOK, ServiceControlPolicy)
	case res.role:
		return chain(controlOK, ServiceControlPolicy, boundaryOK, BoundaryPolicy, sessionOK, SessionPolicy)
	case resourceKind == ResourcePolicy:
		return chain(controlOK, ServiceControlPolicy, identityOK, IdentityPolicy, boundaryOK, BoundaryPolicy, sessionOK, SessionPolicy)
	}
	return chain(controlOK, ServiceControlPolicy, res.account, resourceKind, identityOK, IdentityPolicy, boundaryOK, BoundaryPolicy, sessionOK, SessionPolicy)
}
