package wire

import (
	"bytes"
	"strconv"

	"github.com/strongroom/strongroom/internal/awserr"
)

// maxDepth is how deep the bodies of requests may nest. No operation's input goes
// deeper than five.
const maxDepth = 32

// JSON reads one JSON body for generated decoders, without reflection and nearly
// without allocating. It is stricter than encoding/json: a member that comes
// twice, bytes that are not UTF-8, half of a surrogate pair, base64 that is not
// canonical, anything after the value and more than 32 levels are errors, also
// inside of members that no decoder knows.
//
// The first error sticks: from then on every method returns a zero value, and
// [JSON.Close] returns the error, a SerializationException. Errors tell what is
// wrong and where, never what was sent.
type JSON struct {
	data  []byte
	pos   int
	depth int
	// begun has a bit for each open container, set once it has an element.
	begun uint64
	err   *awserr.Error

	key     []byte
	scratch []byte // holds the last string that had escapes
	// unknown are the names of skipped members by the depth of their object, to
	// find those that come twice; nil until the first.
	unknown *[maxDepth + 1]nameSet

	room []byte // see ReadJSONInto
}

// ReadJSON begins to read body, which must stay unchanged until Close. An empty
// body reads as {}.
func ReadJSON(body []byte) JSON {
	if len(body) == 0 {
		body = []byte("{}")
	}
	return JSON{data: body}
}

// Room is memory for the small blobs of an input: beside it, they need none of their
// own.
type Room [192]byte

// ReadJSONInto is ReadJSON with room for blobs, which is theirs as long as they are used.
func ReadJSONInto(room *Room, body []byte) JSON {
	d := ReadJSON(body)
	d.room = room[:]
	return d
}

// Close returns the first error, or one if something follows the value.
func (d *JSON) Close() error {
	d.space()
	if d.err == nil && d.pos != len(d.data) {
		d.fail("Unexpected data after the request's value")
	}
	if d.err != nil {
		return d.err
	}
	return nil
}

func (d *JSON) fail(message string) {
	d.failExactly(message + " (at byte " + strconv.Itoa(d.pos) + ")")
}

// failExactly fails with a text that is AWS's own, to which nothing is added.
func (d *JSON) failExactly(message string) {
	if d.err == nil {
		d.err = awserr.New("SerializationException", message)
	}
}

func (d *JSON) space() {
	for d.pos < len(d.data) {
		switch d.data[d.pos] {
		case ' ', '\t', '\n', '\r':
			d.pos++
		default:
			return
		}
	}
}

// peek returns the next byte that is not white space, 0 at the end or after an
// error.
func (d *JSON) peek() byte {
	d.space()
	if d.err != nil || d.pos == len(d.data) {
		return 0
	}
	return d.data[d.pos]
}

// mismatch fails with AWS's words for a value of the wrong type.
func (d *JSON) mismatch(wanted string) {
	switch c := d.peek(); {
	case d.err != nil:
	case d.pos == len(d.data):
		d.fail("Unexpected end of the request")
	case c == '{':
		d.failExactly("Start of structure or map found where not expected.")
	case c == '[':
		d.failExactly("Start of list found where not expected.")
	case c == '"':
		d.failExactly("STRING_VALUE can not be converted to " + wanted)
	case c == 't':
		d.failExactly("TRUE_VALUE can not be converted to " + wanted)
	case c == 'f':
		d.failExactly("FALSE_VALUE can not be converted to " + wanted)
	case c == 'n':
		d.failExactly("NULL_VALUE can not be converted to " + wanted)
	case c == '-' || c >= '0' && c <= '9':
		d.failExactly("NUMBER_VALUE can not be converted to " + wanted)
	default:
		d.fail("Unexpected character")
	}
}

// Object enters an object: call Next until it is false.
func (d *JSON) Object() {
	if d.open('{', "a Structure") && d.unknown != nil {
		d.unknown[d.depth] = nameSet{}
	}
}

// Array enters a list: call Element until it is false.
func (d *JSON) Array() { d.open('[', "a List") }

func (d *JSON) open(c byte, wanted string) bool {
	if d.peek() != c {
		d.mismatch(wanted)
		return false
	}
	if d.depth == maxDepth {
		d.fail("The request nests too deeply")
		return false
	}
	d.pos++
	d.depth++
	d.begun &^= 1 << d.depth
	return true
}

// more steps over the comma before the next element, or out of the container.
func (d *JSON) more(end byte) bool {
	c := d.peek()
	if d.err != nil {
		return false
	}
	if c == end {
		d.pos++
		d.depth--
		return false
	}
	bit := uint64(1) << d.depth
	if d.begun&bit != 0 {
		if c != ',' {
			d.unexpected("Expected a comma or the end of a structure or list")
			return false
		}
		d.pos++
		if d.peek() == end {
			d.fail("Unexpected comma")
			return false
		}
	}
	d.begun |= bit
	return d.err == nil
}

func (d *JSON) unexpected(message string) {
	if d.pos == len(d.data) {
		message = "Unexpected end of the request"
	}
	d.fail(message)
}

// Next moves to the next member and reads its name, or leaves the object.
func (d *JSON) Next() bool {
	if !d.more('}') {
		return false
	}
	if d.peek() != '"' {
		d.unexpected("Expected the name of a member")
		return false
	}
	d.key = d.Text()
	if d.peek() != ':' {
		d.unexpected("Expected a colon after the name of a member")
		return false
	}
	d.pos++
	return true
}

// Key is the name that Next read. It is valid until the next string is read.
func (d *JSON) Key() []byte { return d.key }

// Member takes down that the member with this bit came, and reports whether it
// has a value: null stands for absent. It fails if the member came before.
func (d *JSON) Member(seen *uint64, bit uint64) bool {
	if *seen&bit != 0 {
		d.duplicate()
		return false
	}
	*seen |= bit
	return !d.null()
}

func (d *JSON) duplicate() { d.fail("A member is given twice") }

// null steps over a null, and reports whether there was one.
func (d *JSON) null() bool {
	if d.peek() != 'n' {
		return false
	}
	return d.literal("null")
}

func (d *JSON) literal(word string) bool {
	if !bytes.HasPrefix(d.data[d.pos:], []byte(word)) {
		d.fail("Unexpected character")
		return false
	}
	d.pos += len(word)
	return true
}

// Element moves to the next element, or leaves the list. A null in a list is an
// error.
func (d *JSON) Element() bool {
	if !d.more(']') {
		return false
	}
	if d.peek() == 'n' {
		d.fail("Null found in a list where a value was expected")
		return false
	}
	return true
}

// Unknown skips the value of a member that the decoder does not know. It is
// parsed as strictly as the rest.
func (d *JSON) Unknown() {
	if d.unknown == nil {
		d.unknown = new([maxDepth + 1]nameSet)
	}
	if !d.unknown[d.depth].add(d.key) {
		d.duplicate()
		return
	}
	d.skip()
}

func (d *JSON) skip() {
	switch c := d.peek(); c {
	case '{':
		for d.Object(); d.Next(); {
			d.Unknown()
		}
	case '[':
		for d.Array(); d.more(']'); {
			d.skip()
		}
	case '"':
		d.Text()
	case 't':
		d.literal("true")
	case 'f':
		d.literal("false")
	case 'n':
		d.literal("null")
	default:
		if c != '-' && (c < '0' || c > '9') {
			d.unexpected("Unexpected character")
			return
		}
		d.number()
	}
}

// StringMap reads an object whose values are strings. Names that come twice are
// errors.
func (d *JSON) StringMap() map[string]string {
	m := make(map[string]string)
	d.Object()
	for d.Next() {
		key := string(d.key)
		if _, twice := m[key]; twice {
			d.duplicate()
			return nil
		}
		if d.peek() == 'n' {
			d.fail("Null found in a map where a value was expected")
			return nil
		}
		m[key] = string(d.Text())
	}
	return m
}

// StringLists reads an object whose values are lists of strings. Names that come
// twice are errors.
func (d *JSON) StringLists() map[string][]string {
	m := make(map[string][]string)
	d.Object()
	for d.Next() {
		key := string(d.key)
		if _, twice := m[key]; twice {
			d.duplicate()
			return nil
		}
		if d.peek() == 'n' {
			d.fail("Null found in a map where a value was expected")
			return nil
		}
		list := []string{}
		for d.Array(); d.Element(); {
			list = append(list, string(d.Text()))
		}
		m[key] = list
	}
	return m
}

// nameSet finds names that come twice. Few are compared one by one; a map takes
// over where that would grow with the square of their number.
type nameSet struct {
	few  [][]byte
	many map[string]struct{}
}

func (s *nameSet) add(name []byte) bool {
	if s.many != nil {
		if _, twice := s.many[string(name)]; twice {
			return false
		}
		s.many[string(name)] = struct{}{}
		return true
	}
	for _, n := range s.few {
		if string(n) == string(name) {
			return false
		}
	}
	s.few = append(s.few, append([]byte(nil), name...))
	if len(s.few) == 16 {
		s.many = make(map[string]struct{}, 32)
		for _, n := range s.few {
			s.many[string(n)] = struct{}{}
		}
	}
	return true
}
