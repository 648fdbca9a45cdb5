package policy

import "strings"

// statement is one compiled statement.
type statement struct {
	sid  string
	deny bool
	// inert: a key policy's statement without Action or Resource, which AWS KMS
	// accepts and which has no effect.
	inert bool
	// principals is nil in kinds of policy that name none.
	principals *principalSet
	actions    actionSet
	resources  resourceSet
	conditions []condition
}

// actionSet is a compiled Action or NotAction element.
type actionSet struct {
	not bool
	// every: the element lists "*".
	every bool
	// exact are actions without wildcards and patterns those with, both in lower
	// case.
	exact    stringSet
	patterns []string
}

func (s *actionSet) add(action string) {
	action = strings.ToLower(action)
	switch {
	case action == "*":
		s.every = true
	case strings.ContainsAny(action, "*?"):
		s.patterns = append(s.patterns, action)
	default:
		s.exact.add(action)
	}
}

// contains reports whether the set applies to an action, given as it is and in
// lower case.
func (s *actionSet) contains(action string, lowered []byte) bool {
	if s.every || s.exact.containsBytes(lowered) {
		return !s.not
	}
	for _, p := range s.patterns {
		if matchAction(p, action) {
			return !s.not
		}
	}
	return s.not
}

// resourceSet is a compiled Resource or NotResource element.
type resourceSet struct {
	not bool
	// every: the element lists "*", or the kind of policy has no resources.
	every     bool
	exact     stringSet
	patterns  []pattern
	templates [][]part
}

func (s *resourceSet) add(parts []part) {
	if hasVariable(parts) {
		s.templates = append(s.templates, parts)
		return
	}
	p := compilePattern(parts)
	if p.matchesAll() {
		s.every = true
	} else if text, ok := p.literal(); ok {
		s.exact.add(text)
	} else {
		s.patterns = append(s.patterns, p)
	}
}

// contains reports whether the set applies to a resource. What a variable
// without a value would have matched is unknown: it matches nothing, and under
// NotResource an Allow then does not apply, since it would grant everything.
func (s *resourceSet) contains(resource string, ctx Context, deny bool) bool {
	if s.every || s.exact.contains(resource) {
		return !s.not
	}
	for i := range s.patterns {
		if s.patterns[i].match(resource) {
			return !s.not
		}
	}
	judged := true
	for _, t := range s.templates {
		parts, ok := resolve(t, ctx)
		if !ok {
			judged = false
			continue
		}
		p := compilePattern(parts)
		if p.match(resource) {
			return !s.not
		}
	}
	return s.not && (judged || deny)
}

// applies reports whether the statement applies to a request whose action is
// known to match, and how it admits the principal: admitsDirectly in kinds of
// policy without principals.
func (s *statement) applies(r *Request, bounded bool) admission {
	a := admitsDirectly
	if set := s.principals; set != nil {
		if set.not {
			// AWS applies a Deny with NotPrincipal to every user and role that
			// has a permissions boundary, listed or not (IAM User Guide,
			// "Permissions boundaries for IAM entities").
			if !bounded && set.exempts(&r.Principal) {
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
		if !s.conditions[i].holds(r.Context, s.deny) {
			return 0
		}
	}
	return a
}
