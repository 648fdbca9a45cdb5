package policy

import (
	"slices"
	"strings"
)

// Reaches reports whether an Allow of the document is about actions of a service,
// named as actions name it ("kms"), whatever its resources and conditions and
// whatever denies them.
func (d *Document) Reaches(service string) bool {
	prefix := strings.ToLower(service) + ":"
	for i := range d.statements {
		s := &d.statements[i]
		if s.deny || s.inert {
			continue
		}
		a := &s.actions
		if a.not {
			if !a.every && !slices.ContainsFunc(a.patterns, func(p string) bool { return strings.Trim(strings.TrimPrefix(p, prefix), "*") == "" }) {
				return true
			}
			continue
		}
		about := func(action string) bool { return strings.HasPrefix(action, prefix) }
		if a.every || slices.ContainsFunc(a.exact.list, about) || slices.ContainsFunc(a.patterns, about) {
			return true
		}
	}
	return false
}
