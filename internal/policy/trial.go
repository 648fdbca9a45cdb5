package policy

import "strconv"

// Trial is what one statement, or grant, says to a request and why.
type Trial struct {
	StatementRef
	// Applies says that the statement applies: its principals, its resources and all
	// of its conditions match.
	Applies bool
	// Failed are the parts that do not match, as "the principal", "the resource" or
	// the place of a condition with what the request has.
	Failed []string
	// Conditional says that nothing failed but conditions.
	Conditional bool
}

// Trials returns, in the order of [Explain], every statement whose action matches
// the request, and every grant to its principal.
func Trials(r *Request, p *Policies) []Trial {
	ev := evaluation{request: r, bounded: p.Boundary != nil}
	ev.lowered, ev.service, ev.name = lowerAction(nil, r.Action)
	var trials []Trial
	each := func(sources ...Source) {
		for i := range sources {
			if d := sources[i].Document; d != nil {
				for j := range d.statements {
					if s := &d.statements[j]; !s.inert && s.actions.contains(r.Action, ev.lowered) {
						trials = append(trials, ev.try(&sources[i], j))
					}
				}
			}
		}
	}
	each(p.ServiceControl...)
	if p.Resource != nil {
		each(*p.Resource)
	}
	for i := range p.Grants {
		if p.Grants[i].admits(&r.Principal) != 0 {
			h := hit{grant: &p.Grants[i]}
			trials = append(trials, Trial{StatementRef: h.ref(), Applies: true})
		}
	}
	each(p.Identity...)
	if p.Boundary != nil {
		each(*p.Boundary)
	}
	each(p.Session...)
	return trials
}

// try looks at one statement whose action matches.
func (ev *evaluation) try(source *Source, i int) Trial {
	h := hit{source: source, index: i}
	t := Trial{StatementRef: h.ref(), Applies: ev.applies(&source.Document.statements[i]) != 0}
	if t.Applies {
		return t
	}
	r, s := ev.request, &source.Document.statements[i]
	bare := *s
	bare.conditions = nil
	t.Conditional = ev.applies(&bare) != 0
	if !t.Conditional {
		bare.resources = resourceSet{every: true}
		if ev.applies(&bare) == 0 {
			t.Failed = append(t.Failed, "the principal")
		}
		if !s.resources.contains(r.Resource, r.Context, s.deny) {
			t.Failed = append(t.Failed, "the resource")
		}
	}
	for j := range s.conditions {
		c := &s.conditions[j]
		var values []string
		if !c.absent {
			values = ev.values(c.key)
		}
		if !c.holds(values, r.Context, s.deny) {
			t.Failed = append(t.Failed, c.at+", "+has(values))
		}
	}
	return t
}

// maxShown is how many values of a key are shown.
const maxShown = 3

// has says what a request has for a condition key.
func has(values []string) string {
	if len(values) == 0 {
		return "which the request does not have"
	}
	text := "of which the request has "
	for i, v := range values {
		switch {
		case i == maxShown:
			return text + " and " + strconv.Itoa(len(values)-maxShown) + " more"
		case i > 0:
			text += ", "
		}
		text += quote(v)
	}
	return text
}

// Possible reports whether the request could be allowed if the condition keys that
// it does not have, and that unknown says may be in a request, came out well: the
// conditions of an Allow on them would hold and those of a Deny would not.
func Possible(r *Request, p *Policies, unknown func(key string) bool) bool {
	return p.bent(r, unknown, true)
}

// Certain reports whether the request is allowed however those condition keys come
// out: the conditions of an Allow on them would not hold, and those of a Deny would.
func Certain(r *Request, p *Policies, unknown func(key string) bool) bool {
	return p.bent(r, unknown, false)
}

// bent decides with every unknown condition bent towards an Allow, or against it.
func (p *Policies) bent(r *Request, unknown func(string) bool, towards bool) bool {
	bend := func(sources []Source) []Source {
		if sources == nil {
			return nil
		}
		bent := make([]Source, len(sources))
		for i := range sources {
			bent[i] = Source{Name: sources[i].Name, Document: sources[i].Document.bent(r, unknown, towards)}
		}
		return bent
	}
	all := Policies{ServiceControl: bend(p.ServiceControl), Identity: bend(p.Identity), Session: bend(p.Session), Grants: p.Grants}
	if p.Resource != nil {
		all.Resource = &bend([]Source{*p.Resource})[0]
	}
	if p.Boundary != nil {
		all.Boundary = &bend([]Source{*p.Boundary})[0]
	}
	d := Evaluate(r, &all)
	return d.Allowed
}

// bent returns the document as it stands if the conditions on unknown keys come out
// for an Allow, or against it: statements without those conditions, or none at all.
func (d *Document) bent(r *Request, unknown func(string) bool, towards bool) *Document {
	if d == nil {
		return nil
	}
	open := func(c *condition) bool {
		if c.absent || !unknown(c.key) {
			return false
		}
		if r.Context == nil {
			return true
		}
		values, _ := r.Context.Values(c.key)
		return len(values) == 0
	}
	bent := &Document{kind: d.kind, text: d.text, variables: d.variables}
	for _, s := range d.statements {
		var closed []condition
		for i := range s.conditions {
			if !open(&s.conditions[i]) {
				closed = append(closed, s.conditions[i])
			}
		}
		if len(closed) < len(s.conditions) && s.deny == towards {
			s.inert = true
		}
		s.conditions = closed
		bent.statements = append(bent.statements, s)
	}
	bent.index = newIndex(bent.statements)
	return bent
}
