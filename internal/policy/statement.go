package policy

import "strings"

// statement is one compiled statement. What a decision looks at stands first.
type statement struct {
	deny bool
	// inert: a key policy's statement without Action or Resource, which AWS KMS
	// accepts and which has no effect.
	inert bool
	// principals is nil in kinds of policy that name none.
	principals *principalSet
	resources  resourceSet
	conditions []condition
	actions    actionSet
	sid        string
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

// exactOnly reports whether the set is a list of resources without wildcards.
func (s *resourceSet) exactOnly() bool {
	return !s.not && !s.every && len(s.patterns) == 0 && len(s.templates) == 0
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
