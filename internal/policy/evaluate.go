package policy

import "strings"

// Evaluate decides. An explicit Deny in any policy ends it; otherwise the kinds
// of policy are combined as the IAM User Guide's "Policy evaluation logic" and
// the KMS Developer Guide's "Key policies in AWS KMS" say:
//
//   - The service control policies, if any, must allow.
//   - Within an account, a resource policy that names the principal itself (or
//     everyone) is enough by itself; one that names its role is, as far as the
//     permissions boundary and the session policies allow too. Otherwise the
//     identity policies must allow, within boundary and session policies.
//   - A key or trust policy must admit the principal in any case: identity
//     policies count only where it names the principal's account.
//   - Across accounts the resource's policy must admit the principal, and its
//     own identity policies must allow.
//   - A grant admits its grantee as a statement of the key policy would.
//   - The root user needs no identity policy. Services, anonymous callers and
//     web identities have none and need the resource's policy alone.
//
// It allocates nothing but what the Context does and what policy variables and
// long '?' patterns need.
func Evaluate(r *Request, p *Policies) Decision {
	var buffer [64]byte
	ev := evaluation{request: r, bounded: p.Boundary != nil}
	ev.lowered, ev.service, ev.name = lowerAction(buffer[:0], r.Action)

	var control, resource, identity, boundary, session findings
	ev.scanAll(p.ServiceControl, false, &control)
	if p.Resource != nil {
		ev.scan(p.Resource, true, &resource)
	}
	ev.scanAll(p.Identity, false, &identity)
	if p.Boundary != nil {
		ev.scan(p.Boundary, false, &boundary)
	}
	ev.scanAll(p.Session, false, &session)
	var d Decision
	for _, f := range [...]*findings{&control, &resource, &identity, &boundary, &session} {
		if f.denied {
			d.Reason, d.Kind = ExplicitDeny, f.deny.source.Document.kind
			d.add(f.deny)
			return d
		}
	}
	for i := range p.Grants {
		g := &p.Grants[i]
		resource.allow(g.admits(&r.Principal), hit{grant: g})
	}
	if d.Kind = d.combine(r, p, &control, &resource, &identity, &boundary, &session); d.Kind != 0 {
		d.Reason = ImplicitDeny
	} else {
		d.Allowed, d.Reason = true, Allowed
	}
	return d
}

// combine decides where nothing is denied explicitly. It returns the kind of
// policy that had to allow and does not; 0 when the request is allowed.
func (d *Decision) combine(r *Request, p *Policies, control, resource, identity, boundary, session *findings) Kind {
	resourceKind, delegating := resourceKind(p.Resource)
	admitted := resource.admitted
	switch r.Principal.Type {
	case Root, User, AssumedRole, FederatedUser:
	default:
		if admitted&admitsDirectly == 0 {
			return resourceKind
		}
		d.addBest(resource)
		return 0
	}
	if p.ServiceControl != nil && control.admitted == 0 {
		return ServiceControlPolicy
	}
	d.addBest(control)

	foreign := r.ResourceAccount != "" && r.ResourceAccount != r.Principal.Account
	if (foreign || delegating) && admitted == 0 {
		return resourceKind
	}
	d.addBest(resource)
	if !foreign && admitted&admitsDirectly != 0 {
		return 0
	}
	if foreign || admitted&admitsRole == 0 {
		if identity.admitted == 0 && r.Principal.Type != Root {
			return IdentityPolicy
		}
		d.addBest(identity)
	}
	if p.Boundary != nil {
		if boundary.admitted == 0 {
			return BoundaryPolicy
		}
		d.addBest(boundary)
	}
	if p.Session != nil {
		if session.admitted == 0 {
			return SessionPolicy
		}
		d.addBest(session)
	}
	return 0
}

// resourceKind returns the kind to name when the resource's policy does not
// allow, and whether identity policies count only where it delegates: for key
// and trust policies, and for what should be one and is not.
func resourceKind(source *Source) (kind Kind, delegating bool) {
	switch {
	case source == nil:
		return ResourcePolicy, false
	case source.Document == nil || !source.Document.kind.namesPrincipals():
		return ResourcePolicy, true
	}
	kind = source.Document.kind
	return kind, kind != ResourcePolicy
}

// hit is a statement, or a grant, that applies.
type hit struct {
	source *Source
	index  int
	grant  *Grant
}

// findings are what the policies of one kind say to a request.
type findings struct {
	denied   bool
	deny     hit
	admitted admission
	// account, role and direct are the first Allow of each admission.
	account, role, direct hit
}

// allow notes an Allow. Only the first of each admission is kept.
func (f *findings) allow(a admission, h hit) {
	news := a &^ f.admitted
	f.admitted |= a
	if news&admitsAccount != 0 {
		f.account = h
	}
	if news&admitsRole != 0 {
		f.role = h
	}
	if news&admitsDirectly != 0 {
		f.direct = h
	}
}

// evaluation is one run of Evaluate. It stays on the stack.
type evaluation struct {
	request *Request
	bounded bool
	// lowered is the action in lower case, service what stands before its colon
	// and name what stands behind it.
	lowered, service []byte
	name             string
	// recent are the condition keys that were asked for last: the policies of
	// one principal ask for few.
	recent [4]answer
	next   int
}

// answer is what the context said to a condition key.
type answer struct {
	key    string
	values []string
}

// values returns the values of a condition key; none if the request has no such
// key.
func (ev *evaluation) values(key string) []string {
	for i := range ev.recent {
		if ev.recent[i].key == key {
			return ev.recent[i].values
		}
	}
	if ev.request.Context == nil {
		return nil
	}
	values, ok := ev.request.Context.Values(key)
	if !ok {
		values = nil
	}
	ev.recent[ev.next] = answer{key, values}
	ev.next = (ev.next + 1) % len(ev.recent)
	return values
}

// applies reports whether a statement applies whose action is known to match,
// and how it admits the principal: admitsDirectly in kinds of policy without
// principals.
func (ev *evaluation) applies(s *statement) admission {
	r := ev.request
	a := admitsDirectly
	if set := s.principals; set != nil {
		if set.not {
			// AWS applies a Deny with NotPrincipal to every user and role that
			// has a permissions boundary, listed or not (IAM User Guide,
			// "Permissions boundaries for IAM entities").
			if !ev.bounded && set.exempts(&r.Principal) {
				return 0
			}
		} else if a = set.admits(&r.Principal); a == 0 {
			return 0
		}
	}
	if !s.resources.contains(r.Resource, r.Context, s.deny) {
		return 0
	}
	for i := range s.conditions {
		c := &s.conditions[i]
		var values []string
		if !c.absent {
			values = ev.values(c.key)
		}
		if !c.holds(values, r.Context, s.deny) {
			return 0
		}
	}
	return a
}

// lowerAction appends an action in lower case to buffer. The service is what
// stands before the colon, and nil if there is none; name is what stands behind
// it, as it was.
func lowerAction(buffer []byte, action string) (lowered, service []byte, name string) {
	lowered = append(buffer, action...)
	for i, c := range lowered {
		lowered[i] = lower(c)
	}
	if colon := strings.IndexByte(action, ':'); colon >= 0 {
		return lowered, lowered[:colon], action[colon+1:]
	}
	return lowered, nil, ""
}

func (ev *evaluation) scanAll(sources []Source, principals bool, f *findings) {
	for i := range sources {
		ev.scan(&sources[i], principals, f)
		if f.denied {
			return
		}
	}
}

// scan adds what one document says. principals says whether documents in this
// place name principals: the Allow of one of the other sort has no effect.
func (ev *evaluation) scan(source *Source, principals bool, f *findings) {
	d := source.Document
	if d == nil {
		return
	}
	allows := d.kind.namesPrincipals() == principals
	if b := d.index.exact[string(ev.lowered)]; b != nil && ev.scanBucket(source, b, allows, f) {
		return
	}
	patterns := d.index.services[string(ev.service)]
	for i := range patterns {
		b := &patterns[i]
		if (b.pattern == "*" || matchAction(b.pattern, ev.name)) && ev.scanBucket(source, &b.bucket, allows, f) {
			return
		}
	}
	for _, i := range d.index.rest {
		set := &d.statements[i].actions
		if (!set.not || set.contains(ev.request.Action, ev.lowered)) && ev.judge(source, i, allows, f) {
			return
		}
	}
}

// scanBucket judges the statements of a bucket whose action matches. It returns
// true when one denies and no other matters.
func (ev *evaluation) scanBucket(source *Source, b *bucket, allows bool, f *findings) bool {
	if b.byResource != nil {
		for _, i := range b.byResource[ev.request.Resource] {
			if ev.judge(source, i, allows, f) {
				return true
			}
		}
	}
	for j := range b.byValue {
		x := &b.byValue[j]
		for _, v := range ev.values(x.key) {
			for _, i := range x.statements[v] {
				if ev.judge(source, i, allows, f) {
					return true
				}
			}
		}
	}
	for _, i := range b.others {
		if ev.judge(source, i, allows, f) {
			return true
		}
	}
	return false
}

// judge adds what one statement says whose action matches. It returns true when
// the statement denies.
func (ev *evaluation) judge(source *Source, i int, allows bool, f *findings) bool {
	s := &source.Document.statements[i]
	if !s.deny && (!allows || f.admitted&admitsDirectly != 0) {
		return false
	}
	a := ev.applies(s)
	switch {
	case a == 0:
		return false
	case s.deny:
		f.denied, f.deny = true, hit{source: source, index: i}
		return true
	}
	f.allow(a, hit{source: source, index: i})
	return false
}

// Explain is Evaluate with every statement and grant that applies to the
// request, whether or not it changed the decision, in the order service
// control, resource, grants, identity, boundary, session.
func Explain(r *Request, p *Policies) (Decision, []StatementRef) {
	ev := evaluation{request: r, bounded: p.Boundary != nil}
	ev.lowered, ev.service, ev.name = lowerAction(nil, r.Action)
	var refs []StatementRef
	refs = ev.explain(refs, p.ServiceControl)
	if p.Resource != nil {
		refs = ev.explain(refs, []Source{*p.Resource})
	}
	for i := range p.Grants {
		if p.Grants[i].admits(&r.Principal) != 0 {
			h := hit{grant: &p.Grants[i]}
			refs = append(refs, h.ref())
		}
	}
	refs = ev.explain(refs, p.Identity)
	if p.Boundary != nil {
		refs = ev.explain(refs, []Source{*p.Boundary})
	}
	refs = ev.explain(refs, p.Session)
	return Evaluate(r, p), refs
}

func (ev *evaluation) explain(refs []StatementRef, sources []Source) []StatementRef {
	for _, source := range sources {
		if source.Document == nil {
			continue
		}
		for i := range source.Document.statements {
			s := &source.Document.statements[i]
			if !s.inert && s.actions.contains(ev.request.Action, ev.lowered) && ev.applies(s) != 0 {
				h := hit{source: &source, index: i}
				refs = append(refs, h.ref())
			}
		}
	}
	return refs
}
