package policy

import (
	"strings"
	"unicode/utf8"
)

// anyChar stands for a '?' in a segment. It is no Unicode character.
const anyChar rune = -1

// partKind says what a piece of a pattern is.
type partKind uint8

const (
	literalPart  partKind = iota // text, taken as it is
	starPart                     // any number of characters, none included
	anyPart                      // exactly one character
	variablePart                 // the value of the condition key text
)

// part is a piece of a pattern, in order.
type part struct {
	kind partKind
	text string
	// def is what a variable without a value stands for, if hasDef.
	def    string
	hasDef bool
}

// wildcards splits a text at its wildcards.
func wildcards(parts []part, s string) []part {
	for s != "" {
		i := strings.IndexAny(s, "*?")
		if i < 0 {
			return append(parts, part{kind: literalPart, text: s})
		}
		if i > 0 {
			parts = append(parts, part{kind: literalPart, text: s[:i]})
		}
		kind := starPart
		if s[i] == '?' {
			kind = anyPart
		}
		parts = append(parts, part{kind: kind})
		s = s[i+1:]
	}
	return parts
}

// pattern is a compiled wildcard pattern over Unicode text. A pattern is the
// segments between its stars: the first and the last are anchored, and each
// between them is looked for at the leftmost place after the one before, which
// is enough to decide and never has to be taken back.
type pattern struct {
	// segments has one more element than the pattern has runs of stars; one
	// element means no star.
	segments []segment
	// least is the shortest text, in bytes, that can match.
	least int
}

// segment is a run of literal characters and '?'.
type segment struct {
	// text is the segment when it holds no '?'.
	text string
	// chars is the segment, with anyChar for '?', when it holds one.
	chars []rune
	// table finds a long segment with '?'.
	table *shiftTable
}

// longSegment is the length in characters from which a segment with '?' is
// found by bits, 64 places at a time, instead of place by place.
const longSegment = 16

// compilePattern compiles literal and wildcard parts.
func compilePattern(parts []part) pattern {
	p := pattern{}
	var text strings.Builder
	var chars []rune // nil until the segment holds a '?'
	flush := func() {
		s := segment{}
		if chars == nil {
			s.text = text.String()
			p.least += len(s.text)
		} else {
			s.chars = chars
			p.least += len(chars)
			if len(chars) >= longSegment {
				s.table = newShiftTable(chars)
			}
		}
		p.segments = append(p.segments, s)
		text.Reset()
		chars = nil
	}
	star := false
	for _, q := range parts {
		switch q.kind {
		case starPart:
			if !star {
				flush()
			}
		case anyPart:
			if chars == nil {
				chars = append([]rune(text.String()), anyChar)
				text.Reset()
			} else {
				chars = append(chars, anyChar)
			}
		default:
			if q.text == "" {
				continue
			}
			if chars == nil {
				text.WriteString(q.text)
			} else {
				chars = append(chars, []rune(q.text)...)
			}
		}
		star = q.kind == starPart
	}
	flush()
	return p
}

// literal returns the one text that matches, if there is only one.
func (p *pattern) literal() (string, bool) {
	if len(p.segments) == 1 && p.segments[0].chars == nil {
		return p.segments[0].text, true
	}
	return "", false
}

// matchesAll reports whether every text matches.
func (p *pattern) matchesAll() bool { return p.least == 0 && len(p.segments) == 2 }

// match reports whether the whole text matches. Its work is bounded by the
// text's length for each segment: see matchCounting.
func (p *pattern) match(text string) bool {
	work := 0
	return p.matchCounting(text, &work)
}

// matchCounting is match; it adds to work about how many characters it looked
// at, so that a test can hold it to its bound: at most longSegment times the
// length of the text over all segments, and for segments with '?' that are
// longer, a 64th of the product of the lengths.
func (p *pattern) matchCounting(text string, work *int) bool {
	*work++
	if len(text) < p.least {
		return false
	}
	first := &p.segments[0]
	n := first.matchAt(text, work)
	if n < 0 {
		return false
	}
	text = text[n:]
	if len(p.segments) == 1 {
		return text == ""
	}
	// The last segment is cut off before those between are looked for, so that
	// they cannot eat into it.
	last := &p.segments[len(p.segments)-1]
	n = last.matchEnd(text, work)
	if n < 0 {
		return false
	}
	text = text[:n]
	for i := 1; i < len(p.segments)-1; i++ {
		n = p.segments[i].find(text, work)
		if n < 0 {
			return false
		}
		text = text[n:]
	}
	return true
}

// matchAt returns how many bytes of the text's beginning match, or -1.
func (s *segment) matchAt(text string, work *int) int {
	if s.chars == nil {
		*work += len(s.text)
		if !strings.HasPrefix(text, s.text) {
			return -1
		}
		return len(s.text)
	}
	pos := 0
	for _, want := range s.chars {
		*work++
		if pos == len(text) {
			return -1
		}
		c, size := utf8.DecodeRuneInString(text[pos:])
		if want != anyChar && want != c {
			return -1
		}
		pos += size
	}
	return pos
}

// matchEnd returns where in the text the segment begins that the text ends
// with, or -1.
func (s *segment) matchEnd(text string, work *int) int {
	if s.chars == nil {
		*work += len(s.text)
		if !strings.HasSuffix(text, s.text) {
			return -1
		}
		return len(text) - len(s.text)
	}
	for i := len(s.chars) - 1; i >= 0; i-- {
		*work++
		if text == "" {
			return -1
		}
		c, size := utf8.DecodeLastRuneInString(text)
		if s.chars[i] != anyChar && s.chars[i] != c {
			return -1
		}
		text = text[:len(text)-size]
	}
	return len(text)
}

// find returns where the leftmost occurrence of the segment in the text ends,
// or -1.
func (s *segment) find(text string, work *int) int {
	if s.chars == nil {
		i := strings.Index(text, s.text)
		if i < 0 {
			*work += len(text)
			return -1
		}
		*work += i + len(s.text)
		return i + len(s.text)
	}
	if s.table != nil {
		return s.table.find(text, work)
	}
	for i := range text {
		if n := s.matchAt(text[i:], work); n >= 0 {
			return i + n
		}
	}
	return -1
}

// shiftTable finds a segment by the Shift-And method: bit i of the state says
// that the segment's first i+1 characters end here.
type shiftTable struct {
	words int
	last  uint64 // the segment's last character, in the last word
	any   []uint64
	chars map[rune][]uint64
}

func newShiftTable(chars []rune) *shiftTable {
	t := &shiftTable{words: (len(chars) + 63) / 64, chars: make(map[rune][]uint64)}
	t.last = 1 << uint((len(chars)-1)%64)
	t.any = make([]uint64, t.words)
	for i, c := range chars {
		if c == anyChar {
			t.any[i/64] |= 1 << uint(i%64)
		}
	}
	for i, c := range chars {
		if c == anyChar {
			continue
		}
		mask := t.chars[c]
		if mask == nil {
			mask = append([]uint64(nil), t.any...)
			t.chars[c] = mask
		}
		mask[i/64] |= 1 << uint(i%64)
	}
	return t
}

// find returns where the leftmost occurrence in the text ends, or -1.
func (t *shiftTable) find(text string, work *int) int {
	state := make([]uint64, t.words)
	for i, c := range text {
		mask := t.chars[c]
		if mask == nil {
			mask = t.any
		}
		carry := uint64(1)
		for w := range state {
			next := (state[w]<<1 | carry) & mask[w]
			carry = state[w] >> 63
			state[w] = next
		}
		*work += t.words
		if state[t.words-1]&t.last != 0 {
			_, size := utf8.DecodeRuneInString(text[i:])
			return i + size
		}
	}
	return -1
}

// matchAction reports whether an action matches a pattern in lower case,
// without regard to the case of ASCII letters. Actions are short, so a star is
// tried place by place; only the latest star is ever taken back, which bounds
// the work by the product of the lengths.
func matchAction(pattern, action string) bool {
	p, a := 0, 0
	star, resume := -1, 0
	for a < len(action) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, a
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == lower(action[a])):
			p++
			a++
		case star >= 0:
			resume++
			p, a = star+1, resume
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
