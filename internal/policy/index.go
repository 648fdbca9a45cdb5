package policy

import "strings"

// index finds the statements of a document that may apply to an action, so that
// a decision over many policies does not look at each of their statements.
type index struct {
	// exact are the statements that name an action without wildcards, by the
	// action in lower case.
	exact map[string]*bucket
	// services are the patterns of statements, by the service before the colon.
	services map[string][]patternBucket
	// rest are the statements that name every action or use NotAction.
	rest []int
}

// patternBucket holds the statements that list one action pattern of a service.
type patternBucket struct {
	pattern string // what stands behind the colon
	bucket
}

// bucket holds statements that share an action.
type bucket struct {
	// byResource are those that name few resources, none with wildcards.
	byResource map[string][]int
	// byValue are those of the others that want one of few values of a condition
	// key: of many such, most are passed over by one look.
	byValue []valueIndex
	others  []int
}

// valueIndex holds statements by a value that a condition key must have.
type valueIndex struct {
	key        string
	statements map[string][]int
}

// fewResources is how many resources a statement may name and still be indexed
// by them: it bounds the index by the length of the document.
const fewResources = 4

func (b *bucket) add(s *statement, i int) {
	if !s.resources.exactOnly() || len(s.resources.exact.list) > fewResources {
		if c := s.selective(); c != nil {
			b.addByValue(c, i)
		} else {
			b.others = append(b.others, i)
		}
		return
	}
	if b.byResource == nil {
		b.byResource = make(map[string][]int)
	}
	for _, r := range s.resources.exact.list {
		b.byResource[r] = append(b.byResource[r], i)
	}
}

// selective returns a condition that holds only for a request in which its key has
// one of few values; nil if there is none.
func (s *statement) selective() *condition {
	for i := range s.conditions {
		c := &s.conditions[i]
		if c.kind == stringEquals && !c.negated && !c.ifExists && !c.absent && c.quantifier != forAllValues &&
			len(c.values) == 0 && len(c.exact.list) > 0 && len(c.exact.list) <= fewResources {
			return c
		}
	}
	return nil
}

func (b *bucket) addByValue(c *condition, i int) {
	at := -1
	for j := range b.byValue {
		if b.byValue[j].key == c.key {
			at = j
		}
	}
	if at < 0 {
		at = len(b.byValue)
		b.byValue = append(b.byValue, valueIndex{c.key, make(map[string][]int)})
	}
	for _, v := range c.exact.list {
		b.byValue[at].statements[v] = append(b.byValue[at].statements[v], i)
	}
}

func newIndex(statements []statement) index {
	x := index{exact: make(map[string]*bucket), services: make(map[string][]patternBucket)}
	seen := make(map[string]int)
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
			if x.exact[a] == nil {
				x.exact[a] = &bucket{}
			}
			x.exact[a].add(s, i)
		}
		for _, p := range s.actions.patterns {
			x.addPattern(p, s, i, seen)
		}
	}
	return x
}

// addPattern adds a statement under a pattern; seen says where in its service's
// list each pattern stands.
func (x *index) addPattern(pattern string, s *statement, i int, seen map[string]int) {
	service, name, _ := strings.Cut(pattern, ":")
	at, ok := seen[pattern]
	if !ok {
		at = len(x.services[service])
		seen[pattern] = at
		x.services[service] = append(x.services[service], patternBucket{pattern: name})
	}
	x.services[service][at].add(s, i)
}
