package policy

import (
	"encoding/base64"
	"strings"
)

// conditions compiles a Condition element.
func (p *parser) conditions(n node, at *path) ([]condition, *SyntaxError) {
	if n.kind != objectNode {
		return nil, at.errorf(Malformed, "must be an object, not %s", n.kind)
	}
	var all []condition
	for _, m := range n.members {
		place := at.member(m.name)
		c, err := parseOperator(m.name, &place)
		if err != nil {
			return nil, err
		}
		if m.value.kind != objectNode {
			return nil, place.errorf(Malformed, "must be an object, not %s", m.value.kind)
		}
		if len(m.value.members) == 0 {
			return nil, place.errorf(Malformed, "names no condition key")
		}
		for _, k := range m.value.members {
			place := place.member(k.name)
			c := c
			if err := p.condition(&c, k.name, k.value, &place); err != nil {
				return nil, err
			}
			all = append(all, c)
		}
	}
	return all, nil
}

// parseOperator reads an operator with its qualifiers.
func parseOperator(name string, at *path) (condition, *SyntaxError) {
	c := condition{}
	base := name
	if rest, ok := strings.CutPrefix(base, "ForAllValues:"); ok {
		base, c.quantifier = rest, forAllValues
	} else if rest, ok := strings.CutPrefix(base, "ForAnyValue:"); ok {
		base, c.quantifier = rest, forAnyValue
	}
	base, c.ifExists = strings.CutSuffix(base, "IfExists")
	op, ok := operators[base]
	if !ok {
		return c, at.errorf(Malformed, "unknown condition operator %s", quote(name))
	}
	if op.kind == nullOperator && base != name {
		return c, at.errorf(Malformed, "Null takes neither IfExists nor a set operator")
	}
	c.operator = op
	return c, nil
}

// condition compiles one key of an operator.
func (p *parser) condition(c *condition, key string, n node, at *path) *SyntaxError {
	if !validKey(key) {
		return at.errorf(Malformed, "condition key %s has not the form service:name", quote(key))
	}
	c.key = strings.ToLower(key)
	c.at = at.String()
	// KMS Developer Guide, "kms:ResourceAliases": IAM policies only.
	c.absent = p.kind == KeyPolicy && c.key == "kms:resourcealiases"
	if c.quantifier == forAllValues && (strings.HasPrefix(c.key, "kms:encryptioncontext:") || strings.HasPrefix(c.key, "aws:requesttag/")) {
		return at.errorf(OverlyPermissiveCondition, "ForAllValues on %s, which a request without the key satisfies", quote(key))
	}
	items := []node{n}
	if n.kind == arrayNode {
		items = n.items
	}
	if len(items) == 0 {
		return at.errorf(Malformed, "lists no value")
	}
	for i, item := range items {
		place := at
		if n.kind == arrayNode {
			p := at.item(i)
			place = &p
		}
		switch item.kind {
		case stringNode, numberNode, boolNode:
		default:
			return place.errorf(Malformed, "must be a string, a number or a boolean, not %s", item.kind)
		}
		if c.kind == nullOperator {
			b, ok := parseBool(item.text)
			if !ok {
				return place.errorf(Malformed, "%s is neither true nor false", quote(item.text))
			}
			c.null, c.notNull = c.null || b, c.notNull || !b
			continue
		}
		if c.kind == stringEquals {
			if parts, reason := p.template(item.text, false); reason == "" && !hasVariable(parts) {
				c.exact.add(join(parts))
				continue
			}
		}
		m, reason := p.matcher(c.operator, item.text)
		if reason != "" {
			return place.errorf(Malformed, "%s", reason)
		}
		c.values = append(c.values, m)
	}
	return nil
}

// matcher compiles one value of an operator; the reason says why the value is not
// of the operator's type, and is empty if it is.
func (p *parser) matcher(op operator, s string) (m matcher, reason string) {
	switch op.kind {
	case stringEquals, stringEqualsIgnoreCase, stringLike, boolOperator:
		return p.textMatcher(op.kind, s)
	case arnLike:
		return p.arnMatcher(s)
	case numericOperator:
		d, ok := parseDecimal(s)
		if !ok {
			return nil, quote(s) + " is not a decimal number"
		}
		return &number{op.compare, d}, ""
	case dateOperator:
		t, ok := parseDate(s)
		if !ok {
			return nil, quote(s) + " is neither an ISO 8601 date nor an epoch"
		}
		return &date{op.compare, t}, ""
	case binaryEquals:
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return nil, quote(s) + " is not base64"
		}
		return binary(b), ""
	default: // ipAddress
		prefix, ok := parsePrefix(s)
		if !ok {
			return nil, quote(s) + " is neither an IP address nor a CIDR block"
		}
		n := network(prefix)
		return &n, ""
	}
}

// textMatcher compiles a value of an operator that takes variables.
func (p *parser) textMatcher(kind operatorKind, s string) (matcher, string) {
	parts, reason := p.template(s, kind == stringLike)
	if reason != "" {
		return nil, reason
	}
	variable := hasVariable(parts)
	switch {
	case kind == stringEqualsIgnoreCase && !variable:
		return foldedText(join(parts)), ""
	case kind == stringEquals || kind == stringEqualsIgnoreCase:
		return textTemplate{parts: parts, fold: kind == stringEqualsIgnoreCase}, ""
	case kind == stringLike && !variable:
		return &likeText{compilePattern(parts)}, ""
	case kind == stringLike:
		return likeTemplate(parts), ""
	case variable:
		return booleanTemplate(parts), ""
	}
	b, ok := parseBool(join(parts))
	if !ok {
		return nil, quote(s) + " is neither true nor false"
	}
	return boolean(b), ""
}

// arnMatcher compiles a value of an ARN operator, part by part: a value that
// replaces a variable cannot move a colon.
func (p *parser) arnMatcher(s string) (matcher, string) {
	if p.variables {
		if _, reason := template(s, true); reason != "" {
			return nil, reason
		}
	}
	pieces, ok := p.splitARNTemplate(s)
	if !ok {
		return noARN{}, ""
	}
	var t arnTemplate
	var a arn
	variable := false
	for i, piece := range pieces {
		t[i], _ = p.template(piece, true)
		variable = variable || hasVariable(t[i])
	}
	if variable {
		return &t, ""
	}
	for i := range t {
		a[i] = compilePattern(t[i])
	}
	return &a, ""
}

// splitARNTemplate is splitARN for a text whose variables hold colons of their
// own. The text is a well-formed template.
func (p *parser) splitARNTemplate(s string) (parts [arnParts]string, ok bool) {
	if !p.variables {
		return splitARN(s)
	}
	n, start := 0, 0
	for i := 0; i < len(s) && n < arnParts-1; i++ {
		switch {
		case strings.HasPrefix(s[i:], "${"):
			i += 2 + variableEnd(s[i+2:])
		case s[i] == ':':
			parts[n] = s[start:i]
			n++
			start = i + 1
		}
	}
	parts[n] = s[start:]
	return parts, n == arnParts-1
}

// template parses a text where variables may stand; in documents of a version
// without variables they are plain text.
func (p *parser) template(s string, wild bool) ([]part, string) {
	switch {
	case p.variables:
		return template(s, wild)
	case wild:
		return wildcards(nil, s), ""
	}
	return []part{{kind: literalPart, text: s}}, ""
}
