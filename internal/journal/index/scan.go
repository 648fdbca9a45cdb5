package index

import (
	"bytes"
	"encoding/json"
)

// scanner reads the members that are indexed out of a record, and steps over the
// others, nearly without allocating: every record of a busy server passes here.
// It is no judge of JSON: records come from the journal, whose writer made them.
// Of anything else it reads something or nothing, and ends.
type scanner struct {
	b   []byte
	pos int
}

// object calls fn with the name of each member of an object; fn reads or skips
// its value. It reports whether there was an object and all of it could be read.
func (s *scanner) object(fn func(name []byte) bool) bool {
	return s.each('{', '}', func() bool {
		name, ok := s.text()
		return ok && s.take(':') && fn(name)
	})
}

// array calls fn for each element.
func (s *scanner) array(fn func() bool) bool { return s.each('[', ']', fn) }

func (s *scanner) each(first, last byte, fn func() bool) bool {
	if !s.take(first) {
		s.skip()
		return true // null: nothing to read
	}
	if s.take(last) {
		return true
	}
	for {
		if !fn() {
			return false
		}
		if s.take(last) {
			return true
		}
		if !s.take(',') {
			return false
		}
	}
}

// take steps over c if it is next.
func (s *scanner) take(c byte) bool {
	for s.pos < len(s.b) && s.b[s.pos] == ' ' {
		s.pos++
	}
	if s.pos < len(s.b) && s.b[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

// text reads a string. What it returns is over the record's bytes unless there
// were escapes.
func (s *scanner) text() ([]byte, bool) {
	if !s.take('"') {
		return nil, false
	}
	start := s.pos
	n := bytes.IndexByte(s.b[start:], '"')
	if n < 0 {
		return nil, false
	}
	if bytes.IndexByte(s.b[start:start+n], '\\') < 0 {
		s.pos = start + n + 1
		return s.b[start : start+n], true
	}
	if !s.endString() {
		return nil, false
	}
	var out string
	if json.Unmarshal(s.b[start-1:s.pos], &out) != nil {
		return nil, false
	}
	return []byte(out), true
}

// endString steps behind the end of the string that pos is in.
func (s *scanner) endString() bool {
	for {
		n := bytes.IndexByte(s.b[s.pos:], '"')
		if n < 0 {
			s.pos = len(s.b)
			return false
		}
		end := s.pos + n
		backslashes := end
		for backslashes > s.pos && s.b[backslashes-1] == '\\' {
			backslashes--
		}
		s.pos = end + 1
		if (end-backslashes)%2 == 0 {
			return true
		}
	}
}

// skip steps over a value.
func (s *scanner) skip() bool {
	depth := 0
	for s.pos < len(s.b) {
		switch c := s.b[s.pos]; c {
		case '"':
			s.pos++
			if !s.endString() {
				return false
			}
			if depth == 0 {
				return true
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return true // the end of what the value, a bare word, stands in
			}
			if depth--; depth == 0 {
				s.pos++
				return true
			}
		case ',':
			if depth == 0 {
				return true
			}
		}
		s.pos++
	}
	return false
}
