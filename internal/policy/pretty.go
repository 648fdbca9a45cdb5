package policy

import "strings"

// Pretty returns the document as AWS KMS writes key policies: two-space
// indents, " : " between name and value, arrays of strings on one line, members
// in the order in which they came.
//
// As there, equivalent forms become one: Statement is an array, other arrays of
// one value are the value alone, Principal "*" is {"AWS":"*"}, an account's 12
// digits are its root's ARN, and values of conditions are strings.
func (d *Document) Pretty() string {
	n, err := parseJSON(d.text)
	if err != nil {
		// Parse has read the same text.
		return d.text
	}
	w := prettyWriter{}
	normalizeDocument(&n)
	w.value(&n, 0)
	return w.String()
}

// normalizeDocument brings a document that Parse has accepted into the form
// that Pretty describes.
func normalizeDocument(n *node) {
	for i := range n.members {
		if n.members[i].name != "Statement" {
			continue
		}
		v := &n.members[i].value
		if v.kind == objectNode {
			*v = node{kind: arrayNode, items: []node{*v}}
		}
		for j := range v.items {
			for k := range v.items[j].members {
				normalizeElement(&v.items[j].members[k])
			}
		}
	}
}

func normalizeElement(m *member) {
	switch m.name {
	case "Principal", "NotPrincipal":
		if m.value.kind == stringNode {
			m.value = node{kind: objectNode, members: []member{{"AWS", m.value}}}
		}
		for i := range m.value.members {
			p := &m.value.members[i]
			if p.name == "AWS" {
				rootARN(&p.value)
				for j := range p.value.items {
					rootARN(&p.value.items[j])
				}
			}
			unwrap(&p.value)
		}
	case "Condition":
		for i := range m.value.members {
			keys := m.value.members[i].value.members
			for j := range keys {
				asString(&keys[j].value)
				for k := range keys[j].value.items {
					asString(&keys[j].value.items[k])
				}
				unwrap(&keys[j].value)
			}
		}
	default:
		unwrap(&m.value)
	}
}

// rootARN turns an account's 12 digits into its root's ARN.
func rootARN(n *node) {
	if n.kind == stringNode && isAccount(n.text) {
		n.text = "arn:aws:iam::" + n.text + ":root"
	}
}

// asString turns a number or a boolean into a string.
func asString(n *node) {
	if n.kind == numberNode || n.kind == boolNode {
		n.kind = stringNode
	}
}

// unwrap turns an array of one value into the value.
func unwrap(n *node) {
	if n.kind == arrayNode && len(n.items) == 1 {
		*n = n.items[0]
	}
}

type prettyWriter struct{ strings.Builder }

func (w *prettyWriter) value(n *node, indent int) {
	switch n.kind {
	case objectNode:
		w.object(n, indent)
	case arrayNode:
		w.WriteString("[ ")
		for i := range n.items {
			if i > 0 {
				w.WriteString(", ")
			}
			w.value(&n.items[i], indent)
		}
		w.WriteString(" ]")
	default: // numbers and booleans have become strings
		w.quoted(n.text)
	}
}

func (w *prettyWriter) object(n *node, indent int) {
	if len(n.members) == 0 {
		w.WriteString("{ }")
		return
	}
	w.WriteByte('{')
	for i := range n.members {
		if i > 0 {
			w.WriteByte(',')
		}
		w.line(indent + 1)
		w.quoted(n.members[i].name)
		w.WriteString(" : ")
		w.value(&n.members[i].value, indent+1)
	}
	w.line(indent)
	w.WriteByte('}')
}

func (w *prettyWriter) line(indent int) {
	w.WriteByte('\n')
	for range indent {
		w.WriteString("  ")
	}
}

// quoted writes a JSON string, escaping only what has to be.
func (w *prettyWriter) quoted(s string) {
	const hex = "0123456789ABCDEF"
	w.WriteByte('"')
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			w.WriteByte('\\')
			w.WriteByte(c)
		case c >= 0x20:
			w.WriteByte(c)
		default:
			if j := strings.IndexByte("\b\f\n\r\t", c); j >= 0 {
				w.WriteByte('\\')
				w.WriteByte("bfnrt"[j])
			} else {
				w.WriteString(`\u00`)
				w.WriteByte(hex[c>>4])
				w.WriteByte(hex[c&15])
			}
		}
	}
	w.WriteByte('"')
}
