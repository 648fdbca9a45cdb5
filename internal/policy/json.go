package policy

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how deep arrays and objects may nest. The grammar needs 6:
// document, Statement, statement, Condition, operator, values.
const maxDepth = 10

// nodeKind is the type of a JSON value.
type nodeKind uint8

const (
	objectNode nodeKind = iota
	arrayNode
	stringNode
	numberNode
	boolNode
	nullNode
)

func (k nodeKind) String() string {
	return [...]string{"an object", "an array", "a string", "a number", "a boolean", "null"}[k]
}

// node is a JSON value with the order of its members kept. text is a string's
// decoded value, or a number, boolean or null as it was written.
type node struct {
	kind    nodeKind
	text    string
	members []member
	items   []node
	// start and end are where an object or array stands in the text, in bytes.
	start, end int
}

type member struct {
	name  string
	value node
}

// path is a place in a document. Paths live on the stack and are only turned
// into text for an error.
type path struct {
	parent *path
	name   string
	index  int // counts when name is empty
}

func (p *path) member(name string) path {
	if name == "" {
		name = `""`
	}
	return path{parent: p, name: name}
}

func (p *path) item(i int) path { return path{parent: p, index: i} }

// maxPathName is how much of a member's name a path shows: names are the
// document's and may be as long as it.
const maxPathName = 128

func (p *path) String() string {
	if p == nil || p.parent == nil {
		return ""
	}
	s := p.parent.String()
	if p.name == "" {
		return s + "[" + strconv.Itoa(p.index) + "]"
	}
	if s != "" {
		s += "."
	}
	return s + clip(p.name, maxPathName)
}

// errorf returns the error that refuses the document at p.
func (p *path) errorf(problem Problem, format string, args ...any) *SyntaxError {
	return &SyntaxError{Path: p.String(), Reason: fmt.Sprintf(format, args...), Problem: problem}
}

// clip cuts s to at most n bytes, at the start of a character.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// quote shows a piece of the document in an error.
func quote(s string) string { return strconv.Quote(clip(s, 64)) }

// parseJSON reads exactly one JSON value (RFC 8259), strictly: no byte order
// mark, no trailing data, valid UTF-8, no lone surrogates, no duplicate members.
func parseJSON(text string) (node, *SyntaxError) {
	if !utf8.ValidString(text) {
		return node{}, &SyntaxError{Reason: "the document is not valid UTF-8"}
	}
	r := reader{text: text}
	root := path{}
	n, err := r.value(&root, 0)
	if err != nil {
		return node{}, err
	}
	r.space()
	if r.pos != len(text) {
		return node{}, r.errorf("data after the end of the document")
	}
	return n, nil
}

type reader struct {
	text string
	pos  int
}

func (r *reader) errorf(format string, args ...any) *SyntaxError {
	return &SyntaxError{Reason: fmt.Sprintf("not valid JSON at byte %d: ", r.pos) + fmt.Sprintf(format, args...)}
}

func (r *reader) space() {
	for r.pos < len(r.text) {
		switch r.text[r.pos] {
		case ' ', '\t', '\n', '\r':
			r.pos++
		default:
			return
		}
	}
}

// next skips white space and returns the byte after it, 0 at the end.
func (r *reader) next() byte {
	r.space()
	if r.pos == len(r.text) {
		return 0
	}
	return r.text[r.pos]
}

func (r *reader) value(at *path, depth int) (node, *SyntaxError) {
	switch c := r.next(); {
	case c == '{' || c == '[':
		if depth == maxDepth {
			return node{}, at.errorf(Malformed, "nested deeper than %d levels", maxDepth)
		}
		if c == '{' {
			return r.object(at, depth+1)
		}
		return r.array(at, depth+1)
	case c == '"':
		s, err := r.string()
		return node{kind: stringNode, text: s}, err
	case c == '-' || c >= '0' && c <= '9':
		s, err := r.number()
		return node{kind: numberNode, text: s}, err
	case c == 0 && r.pos == len(r.text):
		return node{}, r.errorf("the document ends too early")
	}
	for _, w := range [...]struct {
		word string
		kind nodeKind
	}{{"true", boolNode}, {"false", boolNode}, {"null", nullNode}} {
		if strings.HasPrefix(r.text[r.pos:], w.word) {
			r.pos += len(w.word)
			return node{kind: w.kind, text: w.word}, nil
		}
	}
	return node{}, r.errorf("no value begins here")
}

func (r *reader) object(at *path, depth int) (node, *SyntaxError) {
	n := node{kind: objectNode, start: r.pos}
	var names stringSet
	r.pos++
	if r.next() == '}' {
		r.pos++
		n.end = r.pos
		return n, nil
	}
	for {
		if r.next() != '"' {
			return node{}, r.errorf("a member's name was expected")
		}
		name, err := r.string()
		if err != nil {
			return node{}, err
		}
		if !names.add(name) {
			return node{}, at.errorf(Malformed, "duplicate member %s", quote(name))
		}
		if r.next() != ':' {
			return node{}, r.errorf("a colon was expected")
		}
		r.pos++
		place := at.member(name)
		v, err := r.value(&place, depth)
		if err != nil {
			return node{}, err
		}
		n.members = append(n.members, member{name, v})
		switch r.next() {
		case ',':
			r.pos++
		case '}':
			r.pos++
			n.end = r.pos
			return n, nil
		default:
			return node{}, r.errorf("a comma or a closing brace was expected")
		}
	}
}

func (r *reader) array(at *path, depth int) (node, *SyntaxError) {
	n := node{kind: arrayNode, start: r.pos}
	r.pos++
	if r.next() == ']' {
		r.pos++
		n.end = r.pos
		return n, nil
	}
	for {
		place := at.item(len(n.items))
		v, err := r.value(&place, depth)
		if err != nil {
			return node{}, err
		}
		n.items = append(n.items, v)
		switch r.next() {
		case ',':
			r.pos++
		case ']':
			r.pos++
			n.end = r.pos
			return n, nil
		default:
			return node{}, r.errorf("a comma or a closing bracket was expected")
		}
	}
}

// string reads a string; r stands on its opening quote.
func (r *reader) string() (string, *SyntaxError) {
	r.pos++
	start := r.pos
	for r.pos < len(r.text) {
		switch c := r.text[r.pos]; {
		case c == '"':
			s := r.text[start:r.pos]
			r.pos++
			return s, nil
		case c == '\\':
			return r.escaped(start)
		case c < 0x20:
			return "", r.errorf("a control character stands in a string")
		}
		r.pos++
	}
	return "", r.errorf("a string does not end")
}

// escaped reads a string that holds an escape; r stands on the first.
func (r *reader) escaped(start int) (string, *SyntaxError) {
	b := []byte(r.text[start:r.pos])
	for r.pos < len(r.text) {
		c := r.text[r.pos]
		switch {
		case c == '"':
			r.pos++
			return string(b), nil
		case c < 0x20:
			return "", r.errorf("a control character stands in a string")
		case c != '\\':
			b = append(b, c)
			r.pos++
			continue
		}
		if r.pos+1 == len(r.text) {
			break
		}
		if i := strings.IndexByte(`"\/bfnrt`, r.text[r.pos+1]); i >= 0 {
			b = append(b, "\"\\/\b\f\n\r\t"[i])
			r.pos += 2
			continue
		}
		u, ok := r.unicode(r.pos)
		if !ok {
			return "", r.errorf("an unknown escape")
		}
		width := 6
		if utf16.IsSurrogate(u) {
			low, ok := r.unicode(r.pos + 6)
			u = utf16.DecodeRune(u, low)
			if !ok || u == utf8.RuneError {
				return "", r.errorf("a lone surrogate")
			}
			width = 12
		}
		b = utf8.AppendRune(b, u)
		r.pos += width
	}
	return "", r.errorf("a string does not end")
}

// unicode reads the \uXXXX at pos.
func (r *reader) unicode(pos int) (rune, bool) {
	if pos+6 > len(r.text) || r.text[pos] != '\\' || r.text[pos+1] != 'u' {
		return 0, false
	}
	var u rune
	for _, c := range []byte(r.text[pos+2 : pos+6]) {
		switch {
		case c >= '0' && c <= '9':
			u = u<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			u = u<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return u, true
}

func (r *reader) number() (string, *SyntaxError) {
	start := r.pos
	digits := func() int {
		n := 0
		for r.pos < len(r.text) && r.text[r.pos] >= '0' && r.text[r.pos] <= '9' {
			r.pos++
			n++
		}
		return n
	}
	accept := func(set string) bool {
		if r.pos < len(r.text) && strings.IndexByte(set, r.text[r.pos]) >= 0 {
			r.pos++
			return true
		}
		return false
	}
	accept("-")
	first := r.pos
	if n := digits(); n == 0 || n > 1 && r.text[first] == '0' {
		return "", r.errorf("a malformed number")
	}
	if accept(".") && digits() == 0 {
		return "", r.errorf("a malformed number")
	}
	if accept("eE") {
		accept("+-")
		if digits() == 0 {
			return "", r.errorf("a malformed number")
		}
	}
	return r.text[start:r.pos], nil
}

// characters counts a document's Unicode characters without the white space
// outside its strings, as IAM's quotas do. It needs no valid JSON.
func characters(text string) int {
	n, inString := 0, false
	for i, c := range text {
		switch {
		case c == '"' && !(inString && escapedAt(text, i)):
			inString = !inString
		case !inString && (c == ' ' || c == '\t' || c == '\n' || c == '\r'):
			continue
		}
		n++
	}
	return n
}

// escapedAt reports whether an odd number of backslashes stands before i.
func escapedAt(text string, i int) bool {
	n := 0
	for i > n && text[i-n-1] == '\\' {
		n++
	}
	return n%2 == 1
}
