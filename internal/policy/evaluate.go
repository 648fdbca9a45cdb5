package policy

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
	ev.lowered, ev.service = lowerAction(buffer[:0], r.Action)

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
	for _, f := range [...]*findings{&control, &resource, &identity, &boundary, &session} {
		if f.denied {
			d := Decision{Reason: ExplicitDeny, Kind: f.deny.Kind}
			d.add(&f.deny)
			return d
		}
	}
	for i := range p.Grants {
		g := &p.Grants[i]
		resource.allow(g.admits(&r.Principal), StatementRef{Kind: GrantPolicy, Source: g.ID})
	}
	return combine(r, p, &control, &resource, &identity, &boundary, &session)
}

// combine decides where nothing is denied explicitly.
func combine(r *Request, p *Policies, control, resource, identity, boundary, session *findings) Decision {
	resourceKind := ResourcePolicy
	if p.Resource != nil && p.Resource.Document != nil {
		resourceKind = p.Resource.Document.kind
	}
	admitted := resource.admitted
	d := Decision{}
	switch r.Principal.Type {
	case Root, User, AssumedRole, FederatedUser:
	default:
		if admitted&admitsDirectly == 0 {
			return d.deny(resourceKind)
		}
		d.addBest(resource)
		return d.allow()
	}
	if p.ServiceControl != nil && control.admitted == 0 {
		return d.deny(ServiceControlPolicy)
	}
	d.addBest(control)

	foreign := r.ResourceAccount != "" && r.ResourceAccount != r.Principal.Account
	delegating := resourceKind == KeyPolicy || resourceKind == TrustPolicy
	if (foreign || delegating) && admitted == 0 {
		return d.deny(resourceKind)
	}
	d.addBest(resource)
	if !foreign && admitted&admitsDirectly != 0 {
		return d.allow()
	}
	if foreign || admitted&admitsRole == 0 {
		if identity.admitted == 0 && r.Principal.Type != Root {
			return d.deny(IdentityPolicy)
		}
		d.addBest(identity)
	}
	if p.Boundary != nil {
		if boundary.admitted == 0 {
			return d.deny(BoundaryPolicy)
		}
		d.addBest(boundary)
	}
	if p.Session != nil {
		if session.admitted == 0 {
			return d.deny(SessionPolicy)
		}
		d.addBest(session)
	}
	return d.allow()
}

// findings are what the policies of one kind say to a request.
type findings struct {
	denied   bool
	deny     StatementRef
	admitted admission
	// account, role and direct are the first Allow of each admission.
	account, role, direct StatementRef
}

// allow notes an Allow. Only the first of each admission is kept.
func (f *findings) allow(a admission, ref StatementRef) {
	news := a &^ f.admitted
	f.admitted |= a
	if news&admitsAccount != 0 {
		f.account = ref
	}
	if news&admitsRole != 0 {
		f.role = ref
	}
	if news&admitsDirectly != 0 {
		f.direct = ref
	}
}

// evaluation is one run of Evaluate. It stays on the stack.
type evaluation struct {
	request *Request
	bounded bool
	// lowered is the action in lower case, service what stands before its colon.
	lowered, service []byte
}

// lowerAction appends an action in lower case to buffer; service is nil if the
// action has no colon.
func lowerAction(buffer []byte, action string) (lowered, service []byte) {
	for i := range len(action) {
		if action[i] == ':' && service == nil {
			service = buffer[:i:i]
		}
		buffer = append(buffer, lower(action[i]))
	}
	if service != nil {
		// The buffer may have moved.
		service = buffer[:len(service)]
	}
	return buffer, service
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
	for _, i := range d.index.exact[string(ev.lowered)] {
		if ev.judge(source, i, allows, f) {
			return
		}
	}
	for _, ref := range d.index.services[string(ev.service)] {
		if matchAction(ref.pattern, ev.request.Action) && ev.judge(source, ref.statement, allows, f) {
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

// judge adds what one statement says whose action matches. It returns true when
// the statement denies and no other matters.
func (ev *evaluation) judge(source *Source, i int, allows bool, f *findings) bool {
	s := &source.Document.statements[i]
	if !s.deny && (!allows || f.admitted&admitsDirectly != 0) {
		return false
	}
	a := s.applies(ev.request, ev.bounded)
	if a == 0 {
		return false
	}
	ref := StatementRef{Kind: source.Document.kind, Source: source.Name, Index: i, Sid: s.sid, Deny: s.deny}
	if s.deny {
		f.denied, f.deny = true, ref
		return true
	}
	f.allow(a, ref)
	return false
}

// Explain is Evaluate with every statement and grant that applies to the
// request, whether or not it changed the decision, in the order service
// control, resource, grants, identity, boundary, session.
func Explain(r *Request, p *Policies) (Decision, []StatementRef) {
	ev := evaluation{request: r, bounded: p.Boundary != nil}
	ev.lowered, ev.service = lowerAction(nil, r.Action)
	var refs []StatementRef
	refs = ev.explain(refs, p.ServiceControl)
	if p.Resource != nil {
		refs = ev.explain(refs, []Source{*p.Resource})
	}
	for i := range p.Grants {
		if p.Grants[i].admits(&r.Principal) != 0 {
			refs = append(refs, StatementRef{Kind: GrantPolicy, Source: p.Grants[i].ID})
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
			if s.inert || !s.actions.contains(ev.request.Action, ev.lowered) || s.applies(ev.request, ev.bounded) == 0 {
				continue
			}
			refs = append(refs, StatementRef{Kind: source.Document.kind, Source: source.Name, Index: i, Sid: s.sid, Deny: s.deny})
		}
	}
	return refs
}
