package policy

import "strings"

// MapContext is a Context of fixed values, for simulation and tests. Its keys
// are lower case: [NewMapContext] makes them so.
type MapContext map[string][]string

// NewMapContext returns a copy of values with its keys in lower case.
func NewMapContext(values map[string][]string) MapContext {
	m := make(MapContext, len(values))
	for k, v := range values {
		m[strings.ToLower(k)] = v
	}
	return m
}

// Values implements [Context].
func (m MapContext) Values(key string) ([]string, bool) {
	v, ok := m[key]
	return v, ok
}
