package policy

// manyStrings is the size from which a stringSet looks up by hash; below it,
// comparing one by one is faster.
const manyStrings = 8

// stringSet is a set of texts that is written once and then only read.
type stringSet struct {
	list []string
	hash map[string]struct{}
}

// add adds a text; it returns false if the set had it already.
func (s *stringSet) add(t string) bool {
	if s.contains(t) {
		return false
	}
	s.list = append(s.list, t)
	if len(s.list) < manyStrings {
		return true
	}
	if s.hash == nil {
		s.hash = make(map[string]struct{})
		for _, l := range s.list {
			s.hash[l] = struct{}{}
		}
	}
	s.hash[t] = struct{}{}
	return true
}

func (s *stringSet) contains(t string) bool {
	if s.hash != nil {
		_, ok := s.hash[t]
		return ok
	}
	for _, l := range s.list {
		if l == t {
			return true
		}
	}
	return false
}

// containsBytes is contains for a text that is not yet a string. It allocates
// nothing.
func (s *stringSet) containsBytes(t []byte) bool {
	if s.hash != nil {
		_, ok := s.hash[string(t)]
		return ok
	}
	for _, l := range s.list {
		if l == string(t) {
			return true
		}
	}
	return false
}
