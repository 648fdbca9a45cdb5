package policy

import "strings"

// resourceTexts are the Resource and NotResource of each statement as written.
func (d *Document) resourceTexts() [][]string {
	all := make([][]string, len(d.statements))
	root, err := parseJSON(d.text)
	if err != nil {
		return all // The text was parsed before: this cannot be.
	}
	for _, m := range root.members {
		if m.name != "Statement" {
			continue
		}
		items := []node{m.value}
		if m.value.kind == arrayNode {
			items = m.value.items
		}
		for i := range items {
			for _, e := range items[i].members {
				if e.name != "Resource" && e.name != "NotResource" {
					continue
				}
				values := []node{e.value}
				if e.value.kind == arrayNode {
					values = e.value.items
				}
				for _, v := range values {
					all[i] = append(all[i], v.text)
				}
			}
		}
	}
	return all
}

// resourcesOf looks at the resources of a statement.
func (l *linter) resourcesOf(s *statement, resources []string, at *path) {
	place := at.member("Resource")
	if s.resources.not {
		place = at.member("NotResource")
		if !s.deny {
			l.add(place.String(), "an Allow with NotResource allows everything else, of all accounts and of those to come")
		}
	}
	for _, r := range resources {
		if r == "*" {
			continue
		}
		if l.kind == KeyPolicy {
			l.add(place.String(), quote(r)+": in a key policy the resource is \"*\", which is the key itself; with another one the statement may have no effect")
		}
		if problem := kmsARN(r); problem != "" {
			l.add(place.String(), quote(r)+" "+problem)
		} else if strings.Contains(r, ":alias/") && !s.actions.every && !s.actions.not && !l.forAliases(&s.actions) {
			l.add(place.String(), quote(r)+": the ARN of an alias is a resource of the alias operations alone; to allow the use of a key by its alias there are kms:RequestAlias and kms:ResourceAliases")
		}
	}
}

// forAliases tells whether one of the actions is done on an alias.
func (l *linter) forAliases(s *actionSet) bool {
	for _, a := range []string{"kms:CreateAlias", "kms:DeleteAlias", "kms:UpdateAlias"} {
		if s.contains(a, []byte(strings.ToLower(a))) {
			return true
		}
	}
	return false
}

// kmsARN says what keeps an ARN of KMS from ever being that of a key or alias.
func kmsARN(arn string) string {
	parts, ok := splitARN(arn)
	if !ok || parts[2] != "kms" {
		return ""
	}
	wild := func(s string) bool { return strings.ContainsAny(s, "*?$") }
	switch {
	case parts[3] == "":
		return "names no Region: no key has such an ARN"
	case parts[4] == "" || !wild(parts[4]) && !isAccount(parts[4]):
		return "names no account of 12 digits: no key has such an ARN"
	case !wild(parts[5]) || strings.IndexAny(parts[5], "*?$") > strings.IndexByte(parts[5], '/') && strings.Contains(parts[5], "/"):
		if kind, name, _ := strings.Cut(parts[5], "/"); kind != "key" && kind != "alias" || name == "" {
			return "is the ARN of neither a key (key/…) nor an alias (alias/…)"
		}
	}
	return ""
}
