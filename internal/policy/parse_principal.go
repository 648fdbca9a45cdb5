package policy

// principalMembers are the members of a Principal object.
var principalMembers = map[string]PrincipalForm{
	"AWS":           0, // told by ParsePrincipal
	"Service":       ServiceForm,
	"Federated":     FederatedForm,
	"CanonicalUser": CanonicalUserForm,
}

// namesPrincipals reports whether documents of the kind hold Principal.
func (k Kind) namesPrincipals() bool {
	return k == ResourcePolicy || k == KeyPolicy || k == TrustPolicy
}

// parsePrincipals compiles Principal or NotPrincipal.
func (p *parser) parsePrincipals(s *statement, e *elements, at *path) *SyntaxError {
	n, name := e.principal, "Principal"
	switch {
	case e.principal != nil && e.notPrincipal != nil:
		return at.errorf(Malformed, "has both Principal and NotPrincipal")
	case e.notPrincipal != nil:
		n, name = e.notPrincipal, "NotPrincipal"
	}
	place := at.member(name)
	switch {
	case n == nil && p.kind.namesPrincipals():
		return at.errorf(NoPrincipal, "names no principal")
	case n == nil:
		return nil
	case !p.kind.namesPrincipals():
		return place.errorf(Malformed, "is no element of this kind of policy")
	case n == e.notPrincipal && p.kind == TrustPolicy:
		return place.errorf(Malformed, "is no element of a trust policy")
	case n == e.notPrincipal && !s.deny:
		return place.errorf(Malformed, "NotPrincipal with Allow is not supported")
	}
	s.principals = &principalSet{not: n == e.notPrincipal}
	if n.kind == stringNode {
		if n.text != "*" {
			return place.errorf(InvalidPrincipal, `must be "*" or an object`)
		}
		p.addPrincipal(s.principals, PrincipalRef{Form: EveryoneForm, Name: "*"})
		return nil
	}
	if n.kind != objectNode {
		return place.errorf(Malformed, `must be "*" or an object, not %s`, n.kind)
	}
	if len(n.members) == 0 {
		return place.errorf(NoPrincipal, "names no principal")
	}
	for i := range n.members {
		m := &n.members[i]
		place := place.member(m.name)
		form, known := principalMembers[m.name]
		if !known {
			return place.errorf(Malformed, "unknown member")
		}
		if m.value.kind == arrayNode && len(m.value.items) == 0 {
			return place.errorf(NoPrincipal, "names no principal")
		}
		items, err := list(&m.value, stringNode, &place)
		if err != nil {
			return err
		}
		for _, item := range items {
			ref, ok := p.principal(form, item.text)
			if !ok {
				return place.errorf(InvalidPrincipal, "%s is no principal that this policy can name", quote(item.text))
			}
			p.addPrincipal(s.principals, ref)
		}
	}
	return nil
}

// principal checks one principal. Key policies take AWS principals and
// services, trust policies identity providers as well.
func (p *parser) principal(form PrincipalForm, name string) (PrincipalRef, bool) {
	ref := PrincipalRef{Form: form, Name: name}
	switch form {
	case ServiceForm:
		return ref, isServicePrincipal(name)
	case FederatedForm:
		return ref, p.kind != KeyPolicy && isFederated(name)
	case CanonicalUserForm:
		return ref, p.kind == ResourcePolicy && name != "" && validService(name)
	}
	return ParsePrincipal(name)
}

func (p *parser) addPrincipal(set *principalSet, ref PrincipalRef) {
	set.add(ref)
	if !p.named.add(string(rune(ref.Form)) + ref.Name) {
		return
	}
	ref.Statement = p.statement
	p.principals = append(p.principals, ref)
}
