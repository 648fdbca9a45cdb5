package policy

// RenamePrincipals returns the document with other names for its AWS principals:
// name gets each, as [ParsePrincipal] reads it, and returns what takes its place,
// which may be the same name. The error is that of [Parse] if a new name has none
// of the forms.
//
// So a service can keep a policy with the unique ids of the users and roles that
// existed when it was written, and show their ARNs: who is deleted and made anew
// under the same name is someone else (IAM User Guide, "AWS JSON policy elements:
// Principal").
func (d *Document) RenamePrincipals(name func(PrincipalRef) string) (*Document, error) {
	n, err := parseJSON(d.text)
	if err != nil {
		return nil, err
	}
	normalizeDocument(&n)
	for _, m := range n.members {
		if m.name != "Statement" {
			continue
		}
		for i := range m.value.items {
			renameStatement(&m.value.items[i], i, name)
		}
	}
	w := prettyWriter{}
	w.value(&n, 0)
	return Parse([]byte(w.String()), d.kind)
}

// renameStatement renames the principals of one normalised statement.
func renameStatement(n *node, statement int, name func(PrincipalRef) string) {
	for _, element := range n.members {
		if element.name != "Principal" && element.name != "NotPrincipal" {
			continue
		}
		for i := range element.value.members {
			m := &element.value.members[i]
			if m.name != "AWS" {
				continue
			}
			list := m.value.items
			if m.value.kind == stringNode {
				list = []node{m.value}
			}
			for j := range list {
				ref, _ := ParsePrincipal(list[j].text)
				ref.Statement = statement
				list[j].text = name(ref)
			}
			if m.value.kind == stringNode {
				m.value = list[0]
			}
		}
	}
}
