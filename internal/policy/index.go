package policy

import "strings"

// index finds the statements of a document that may apply to an action, so that
// a decision over many policies does not look at each of their statements.
type index struct {
	// exact are the statements that name an action without wildcards, by the
	// action in lower case.
	exact map[string][]int
	// services are the patterns of statements, by the service before the colon.
	services map[string][]patternRef
	// rest are the statements that name every action or use NotAction.
	rest []int
}

type patternRef struct {
	pattern   string
	statement int
}

func newIndex(statements []statement) index {
	x := index{exact: make(map[string][]int), services: make(map[string][]patternRef)}
	for i := range statements {
		s := &statements[i]
		switch {
		case s.inert:
			continue
		case s.actions.every || s.actions.not:
			x.rest = append(x.rest, i)
			continue
		}
		for _, a := range s.actions.exact.list {
			x.exact[a] = append(x.exact[a], i)
		}
		for _, p := range s.actions.patterns {
			service, _, _ := strings.Cut(p, ":")
			x.services[service] = append(x.services[service], patternRef{p, i})
		}
	}
	return x
}
