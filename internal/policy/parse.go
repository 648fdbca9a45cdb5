package policy

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// variableVersion is the version of the language that has policy variables; a
// document without a version is of the older one.
const (
	variableVersion = "2012-10-17"
	olderVersion    = "2008-10-17"
)

// parser compiles the JSON of one document.
type parser struct {
	kind      Kind
	variables bool
	// statement is the index of the one being parsed.
	statement  int
	principals []PrincipalRef
	named      stringSet // form and name of those in principals
}

// Parse checks a document of that kind and compiles it. The error is a
// *[SyntaxError]. It keeps no reference to text.
func Parse(text []byte, kind Kind) (*Document, error) {
	return ParseLimited(text, kind, Limits{})
}

// ParseLimited is [Parse] with limits; beyond them the error's Problem is
// [TooLarge].
func ParseLimited(text []byte, kind Kind, limits Limits) (*Document, error) {
	if kind < IdentityPolicy || kind > ServiceControlPolicy {
		return nil, &SyntaxError{Reason: "no kind of document"}
	}
	most := MaxBytes
	if limits.Bytes > 0 {
		most = min(most, limits.Bytes)
	}
	if len(text) > most {
		return nil, &SyntaxError{Reason: "the document is too long", Problem: TooLarge}
	}
	s := string(text)
	if limits.Characters > 0 && characters(s) > limits.Characters {
		return nil, &SyntaxError{Reason: "the document is too long", Problem: TooLarge}
	}
	root, err := parseJSON(s)
	if err != nil {
		return nil, err
	}
	p := parser{kind: kind}
	d, err := p.document(root)
	if err != nil {
		return nil, err
	}
	d.text = s
	return d, nil
}

func (p *parser) document(n node) (*Document, *SyntaxError) {
	top := &path{}
	if n.kind != objectNode {
		return nil, top.errorf(Malformed, "the document must be an object, not %s", n.kind)
	}
	var statements *node
	for i := range n.members {
		m := &n.members[i]
		at := top.member(m.name)
		switch m.name {
		case "Version":
			if m.value.kind != stringNode || m.value.text != variableVersion && m.value.text != olderVersion {
				return nil, at.errorf(Malformed, "must be %q or %q", variableVersion, olderVersion)
			}
			p.variables = m.value.text == variableVersion
		case "Id":
			if m.value.kind != stringNode {
				return nil, at.errorf(Malformed, "must be a string, not %s", m.value.kind)
			}
		case "Statement":
			statements = &m.value
		default:
			return nil, at.errorf(Malformed, "unknown member")
		}
	}
	if statements == nil {
		return nil, top.errorf(Malformed, "the document has no Statement")
	}
	at := top.member("Statement")
	items, err := list(statements, objectNode, &at)
	if err != nil {
		return nil, err
	}
	d := &Document{kind: p.kind, statements: make([]statement, len(items))}
	var sids stringSet
	for i := range items {
		place := at.item(i)
		p.statement = i
		s, err := p.parseStatement(&items[i], &place)
		if err != nil {
			return nil, err
		}
		if s.sid != "" && !sids.add(s.sid) {
			place := place.member("Sid")
			return nil, place.errorf(Malformed, "duplicate Sid %s", quote(s.sid))
		}
		d.statements[i] = s
	}
	d.principals, d.variables = p.principals, p.variables
	d.index = newIndex(d.statements)
	return d, nil
}

// list returns the items of an array of one kind of value, or a single value of
// that kind as its own list. An empty array is refused.
func list(n *node, kind nodeKind, at *path) ([]node, *SyntaxError) {
	if n.kind == kind {
		return []node{*n}, nil
	}
	if n.kind != arrayNode {
		return nil, at.errorf(Malformed, "must be %s or an array, not %s", kind, n.kind)
	}
	if len(n.items) == 0 {
		return nil, at.errorf(Malformed, "is empty")
	}
	for i := range n.items {
		if n.items[i].kind != kind {
			place := at.item(i)
			return nil, place.errorf(Malformed, "must be %s, not %s", kind, n.items[i].kind)
		}
	}
	return n.items, nil
}

// elements are the members of one statement.
type elements struct {
	sid, effect, principal, notPrincipal, action, notAction, resource, notResource, condition *node
}

func (e *elements) slot(name string) **node {
	switch name {
	case "Sid":
		return &e.sid
	case "Effect":
		return &e.effect
	case "Principal":
		return &e.principal
	case "NotPrincipal":
		return &e.notPrincipal
	case "Action":
		return &e.action
	case "NotAction":
		return &e.notAction
	case "Resource":
		return &e.resource
	case "NotResource":
		return &e.notResource
	case "Condition":
		return &e.condition
	}
	return nil
}

func (p *parser) parseStatement(n *node, at *path) (statement, *SyntaxError) {
	var s statement
	var e elements
	for i := range n.members {
		slot := e.slot(n.members[i].name)
		if slot == nil {
			place := at.member(n.members[i].name)
			return s, place.errorf(Malformed, "unknown member")
		}
		*slot = &n.members[i].value
	}
	steps := [...]func(*statement, *elements, *path) *SyntaxError{
		p.parseEffect, p.parseSid, p.parsePrincipals, p.parseActions, p.parseResources,
	}
	for _, step := range steps {
		if err := step(&s, &e, at); err != nil {
			return s, err
		}
	}
	if e.condition != nil {
		place := at.member("Condition")
		var err *SyntaxError
		if s.conditions, err = p.conditions(*e.condition, &place); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (p *parser) parseEffect(s *statement, e *elements, at *path) *SyntaxError {
	if e.effect == nil {
		return at.errorf(Malformed, "has no Effect")
	}
	if e.effect.kind != stringNode || e.effect.text != "Allow" && e.effect.text != "Deny" {
		place := at.member("Effect")
		return place.errorf(Malformed, `must be "Allow" or "Deny"`)
	}
	s.deny = e.effect.text == "Deny"
	return nil
}

func (p *parser) parseSid(s *statement, e *elements, at *path) *SyntaxError {
	if e.sid == nil {
		return nil
	}
	place := at.member("Sid")
	if e.sid.kind != stringNode {
		return place.errorf(Malformed, "must be a string, not %s", e.sid.kind)
	}
	s.sid = e.sid.text
	for _, c := range s.sid {
		alphanumeric := c < utf8.RuneSelf && (unicode.IsLetter(c) || unicode.IsDigit(c))
		if unicode.IsControl(c) || !alphanumeric && p.kind != ResourcePolicy && p.kind != KeyPolicy {
			return place.errorf(Malformed, "%s holds a character other than letters and digits", quote(s.sid))
		}
	}
	return nil
}

// parseActions compiles Action or NotAction.
func (p *parser) parseActions(s *statement, e *elements, at *path) *SyntaxError {
	n, name := e.action, "Action"
	switch {
	case e.action != nil && e.notAction != nil:
		return at.errorf(Malformed, "has both Action and NotAction")
	case e.notAction != nil:
		n, name = e.notAction, "NotAction"
		s.actions.not = true
	case e.action == nil && p.kind == KeyPolicy:
		s.inert = true
		return nil
	case e.action == nil:
		return at.errorf(Malformed, "has neither Action nor NotAction")
	}
	place := at.member(name)
	items, err := list(n, stringNode, &place)
	if err != nil {
		return err
	}
	for _, item := range items {
		if !validAction(item.text) {
			return place.errorf(Malformed, "%s is neither \"*\" nor of the form service:action", quote(item.text))
		}
		s.actions.add(item.text)
	}
	return nil
}

// validAction reports whether s is "*" or a service prefix without wildcards, a
// colon and a name that may have them.
func validAction(s string) bool {
	if s == "*" {
		return true
	}
	service, name, found := strings.Cut(s, ":")
	for i := range len(name) {
		c := lower(name[i])
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("*?_-.", c) >= 0) {
			return false
		}
	}
	return found && validService(service) && name != ""
}

// parseResources compiles Resource or NotResource.
func (p *parser) parseResources(s *statement, e *elements, at *path) *SyntaxError {
	n, name := e.resource, "Resource"
	if p.kind == TrustPolicy {
		if e.resource != nil || e.notResource != nil {
			return at.errorf(Malformed, "a trust policy has no Resource: the role is the resource")
		}
		s.resources.every = true
		return nil
	}
	switch {
	case e.resource != nil && e.notResource != nil:
		return at.errorf(Malformed, "has both Resource and NotResource")
	case e.notResource != nil:
		n, name = e.notResource, "NotResource"
		s.resources.not = true
	case e.resource == nil && p.kind == KeyPolicy:
		s.inert = true
		return nil
	case e.resource == nil:
		return at.errorf(Malformed, "has neither Resource nor NotResource")
	}
	place := at.member(name)
	items, err := list(n, stringNode, &place)
	if err != nil {
		return err
	}
	for _, item := range items {
		parts, reason := p.template(item.text, true)
		if reason != "" {
			return place.errorf(Malformed, "%s", reason)
		}
		if reason := p.checkResource(item.text); reason != "" {
			return place.errorf(InvalidARN, "%s %s", quote(item.text), reason)
		}
		s.resources.add(parts)
	}
	return nil
}

// checkResource says what is wrong with a resource: it is "*" or an ARN of six
// parts, whose end may be cut short by a star. Variables stand in the last part
// only.
func (p *parser) checkResource(s string) string {
	const form = `is neither "*" nor an ARN`
	if s == "*" {
		return ""
	}
	parts, ok := p.splitARNTemplate(s)
	if parts[0] != "arn" || !ok && !strings.HasSuffix(s, "*") {
		return form
	}
	last := arnParts - 1
	for ; !ok && last > 0 && parts[last] == ""; last-- {
	}
	if last < 2 || parts[2] == "" || !isPartition(parts[1]) && !strings.ContainsAny(parts[1], "*?") {
		return form
	}
	if p.variables && strings.Contains(strings.Join(parts[:arnParts-1], ":"), "${") {
		return "has a policy variable before its last part"
	}
	return ""
}
