package policy

import "strings"

// template parses a text that may hold policy variables ("${aws:username}",
// "${key, 'default'}", "${*}", "${?}", "${$}") and, if wild, wildcards. The
// reason is empty when the text is well formed.
func template(s string, wild bool) (parts []part, reason string) {
	plain := func(t string) {
		switch {
		case wild:
			parts = wildcards(parts, t)
		case t != "":
			parts = append(parts, part{kind: literalPart, text: t})
		}
	}
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			plain(s)
			return parts, ""
		}
		plain(s[:i])
		s = s[i+2:]
		end := variableEnd(s)
		if end < 0 {
			return nil, "a policy variable is not closed"
		}
		p, reason := variable(s[:end])
		if reason != "" {
			return nil, reason
		}
		parts = append(parts, p)
		s = s[end+1:]
	}
}

// variableEnd returns the index of the brace that closes a variable, which is
// the first one outside a quoted default.
func variableEnd(s string) int {
	quoted := false
	for i := range len(s) {
		switch s[i] {
		case '\'':
			quoted = !quoted
		case '}':
			if !quoted {
				return i
			}
		}
	}
	return -1
}

// variable parses what stands between the braces.
func variable(s string) (part, string) {
	if s == "*" || s == "?" || s == "$" {
		return part{kind: literalPart, text: s}, ""
	}
	p := part{kind: variablePart}
	name, rest, found := strings.Cut(s, ",")
	if found {
		rest = strings.Trim(rest, " ")
		if len(rest) < 2 || rest[0] != '\'' || rest[len(rest)-1] != '\'' || strings.Count(rest, "'") != 2 {
			return part{}, "the default of policy variable " + quote(s) + " is not in single quotes"
		}
		p.def, p.hasDef = rest[1:len(rest)-1], true
	}
	name = strings.Trim(name, " ")
	if !validKey(name) || strings.ContainsAny(name, "${'") {
		return part{}, "policy variable " + quote(s) + " names no condition key"
	}
	p.text = strings.ToLower(name)
	return p, ""
}

// hasVariable reports whether parts need a request to be complete.
func hasVariable(parts []part) bool {
	for i := range parts {
		if parts[i].kind == variablePart {
			return true
		}
	}
	return false
}

// resolve replaces variables by their values, which become literal text: a
// wildcard that comes from the request matches only itself. ok is false if a
// variable has no value, or several, and no default.
func resolve(parts []part, ctx Context) (resolved []part, ok bool) {
	resolved = make([]part, len(parts))
	for i, p := range parts {
		if p.kind != variablePart {
			resolved[i] = p
			continue
		}
		var values []string
		if ctx != nil {
			if given, ok := ctx.Values(p.text); ok {
				values = given
			}
		}
		switch {
		case len(values) == 1:
			resolved[i] = part{kind: literalPart, text: values[0]}
		case len(values) == 0 && p.hasDef:
			resolved[i] = part{kind: literalPart, text: p.def}
		default:
			return nil, false
		}
	}
	return resolved, true
}

// join returns the text of literal parts.
func join(parts []part) string {
	if len(parts) == 1 {
		return parts[0].text
	}
	var b strings.Builder
	for i := range parts {
		b.WriteString(parts[i].text)
	}
	return b.String()
}

// validKey reports whether s has the form of a condition key: a service prefix, or
// the host and path of an identity provider, a colon and a name.
func validKey(s string) bool {
	prefix, name, found := strings.Cut(s, ":")
	return found && validKeyPrefix(prefix) && name != ""
}

// validKeyPrefix reports whether s can stand before the colon of a condition key.
func validKeyPrefix(s string) bool {
	for i := range len(s) {
		c := lower(s[i])
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("-._~/", c) >= 0) {
			return false
		}
	}
	return s != ""
}

// validService reports whether s has the form of a service prefix: letters,
// digits and hyphens.
func validService(s string) bool {
	for i := range len(s) {
		c := lower(s[i])
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-') {
			return false
		}
	}
	return s != ""
}
