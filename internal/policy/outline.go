package policy

import "strings"

// Position is a place in a document's text. Line and Column count from 1; columns
// are Unicode characters.
type Position struct{ Line, Column int }

// StatementOutline is what a statement's text says about itself, for answers that
// point at it.
type StatementOutline struct {
	// Start and End are the positions that IAM's policy simulator gives a statement:
	// that behind what opens it, a bracket, a brace, or the end of the statement
	// before it in a list; and that behind its closing brace.
	Start, End Position
	// Text is the statement as it was written.
	Text string
	// Keys are the condition keys that it mentions, in conditions and in policy
	// variables, as they are spelt, each once.
	Keys []string
}

// Outline reads the document's text again and returns an outline of each statement.
func (d *Document) Outline() []StatementOutline {
	root, err := parseJSON(d.text)
	if err != nil {
		return nil // The text was parsed before: this cannot be.
	}
	for i := range root.members {
		if root.members[i].name == "Statement" {
			return d.outline(&root.members[i].value)
		}
	}
	return nil
}

func (d *Document) outline(n *node) []StatementOutline {
	items, before := []node{*n}, n.start+1
	if n.kind == arrayNode {
		items = n.items
	}
	at := cursor{text: d.text, place: Position{1, 1}}
	all := make([]StatementOutline, len(items))
	for i := range items {
		s := &items[i]
		all[i].Start = at.to(before)
		all[i].End = at.to(s.end)
		all[i].Text = d.text[s.start:s.end]
		var keys keySet
		d.keysOf(s, &keys)
		all[i].Keys = keys.list
		before = s.end
	}
	return all
}

// keysOf adds the condition keys that a statement mentions.
func (d *Document) keysOf(n *node, keys *keySet) {
	for _, element := range n.members {
		switch element.name {
		case "Resource", "NotResource":
			d.variablesOf(&element.value, keys)
		case "Condition":
			for _, operator := range element.value.members {
				for _, k := range operator.value.members {
					keys.add(k.name)
					d.variablesOf(&k.value, keys)
				}
			}
		}
	}
}

// variablesOf adds the condition keys of the policy variables in a string or in
// those of a list.
func (d *Document) variablesOf(n *node, keys *keySet) {
	for i := range n.items {
		d.variablesOf(&n.items[i], keys)
	}
	if n.kind != stringNode || !d.variables {
		return
	}
	for rest := n.text; ; {
		i := strings.Index(rest, "${")
		if i < 0 {
			return
		}
		rest = rest[i+2:]
		end := variableEnd(rest)
		if end < 0 {
			return
		}
		name, _, _ := strings.Cut(rest[:end], ",")
		if name = strings.Trim(name, " "); validKey(name) {
			keys.add(name)
		}
		rest = rest[end+1:]
	}
}

// keySet is a set of condition keys, which are equal whatever their case.
type keySet struct {
	list []string // as they were spelt first
	seen map[string]struct{}
}

func (s *keySet) add(name string) {
	lowered := strings.ToLower(name)
	if _, known := s.seen[lowered]; known {
		return
	}
	if s.seen == nil {
		s.seen = map[string]struct{}{}
	}
	s.seen[lowered] = struct{}{}
	s.list = append(s.list, name)
}

// cursor turns growing offsets into positions.
type cursor struct {
	text   string
	offset int
	place  Position
}

func (c *cursor) to(offset int) Position {
	for _, r := range c.text[c.offset:offset] {
		c.place.Column++
		if r == '\n' {
			c.place.Line, c.place.Column = c.place.Line+1, 1
		}
	}
	c.offset = offset
	return c.place
}

// Mentions returns the condition keys that the statements mention whose action and
// resource match the request, whatever their principals and conditions: those that
// a decision may depend on. Keys are spelt as in the documents, each once. outline is
// [Document.Outline], which the caller may keep the results of.
func Mentions(r *Request, p *Policies, outline func(*Document) []StatementOutline) []string {
	ev := evaluation{request: r}
	ev.lowered, ev.service, ev.name = lowerAction(nil, r.Action)
	var keys keySet
	sources := append(append(append([]Source(nil), p.ServiceControl...), p.Identity...), p.Session...)
	for _, one := range []*Source{p.Resource, p.Boundary} {
		if one != nil {
			sources = append(sources, *one)
		}
	}
	for _, source := range sources {
		if source.Document == nil {
			continue
		}
		for i := range source.Document.statements {
			s := &source.Document.statements[i]
			// A resource with a variable whose value is missing may match.
			if s.inert || !s.actions.contains(r.Action, ev.lowered) || len(s.resources.templates) == 0 && !s.resources.contains(r.Resource, r.Context, s.deny) {
				continue
			}
			if len(s.conditions) == 0 && len(s.resources.templates) == 0 {
				continue
			}
			for _, key := range outline(source.Document)[i].Keys {
				keys.add(key)
			}
		}
	}
	return keys.list
}
