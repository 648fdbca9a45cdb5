package wire

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/strongroom/strongroom/internal/awserr"
)

// maxParams bounds the parameters of a form. The largest valid request, fifty
// tags and as many transitive keys beside the rest, has fewer than two hundred.
const maxParams = 2000

// Form is the parsed body of a request in the query protocol:
//
//	Action=AssumeRole&Version=2011-06-15&Tags.member.1.Key=team&…
//
// A name that comes twice, a broken percent escape and bytes that are not UTF-8
// are refused, since two readers of such a form may disagree on what it says.
//
// The first error sticks, and [Form.Close] returns it: a SerializationException,
// which the query protocol spells MalformedInput.
type Form struct {
	params []param // sorted by name
	err    *awserr.Error
}

type param struct{ name, value string }

// ReadForm parses body, of which it keeps nothing.
func ReadForm(body []byte) *Form {
	f := new(Form)
	rest := string(body)
	for rest != "" && f.err == nil {
		var pair string
		pair, rest, _ = strings.Cut(rest, "&")
		if pair == "" {
			continue
		}
		if len(f.params) == maxParams {
			f.fail("The form has too many parameters")
			break
		}
		name, value, _ := strings.Cut(pair, "=")
		f.params = append(f.params, param{f.unescape(name), f.unescape(value)})
	}
	slices.SortFunc(f.params, func(a, b param) int { return cmp.Compare(a.name, b.name) })
	for i := 1; i < len(f.params); i++ {
		if f.params[i].name == f.params[i-1].name {
			f.fail("A parameter is given twice")
		}
	}
	return f
}

func (f *Form) fail(message string) {
	if f.err == nil {
		f.err = awserr.New("SerializationException", message)
	}
}

// Close returns the first error.
func (f *Form) Close() error {
	if f.err != nil {
		return f.err
	}
	return nil
}

func (f *Form) unescape(s string) string {
	if strings.IndexByte(s, '%') >= 0 || strings.IndexByte(s, '+') >= 0 {
		out := make([]byte, 0, len(s))
		for i := 0; i < len(s); i++ {
			switch c := s[i]; c {
			case '+':
				out = append(out, ' ')
			case '%':
				if i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2]) {
					f.fail("A percent escape is malformed")
					return ""
				}
				out = append(out, unhex(s[i+1])<<4|unhex(s[i+2]))
				i += 2
			default:
				out = append(out, c)
			}
		}
		s = string(out)
	}
	if !utf8.ValidString(s) {
		f.fail("A parameter is not valid UTF-8")
		return ""
	}
	return s
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

// find returns where name is or would be.
func (f *Form) find(name string) (int, bool) {
	return slices.BinarySearchFunc(f.params, name, func(p param, name string) int { return cmp.Compare(p.name, name) })
}

// Value returns the value of the parameter, and whether it came.
func (f *Form) Value(name string) (string, bool) {
	i, ok := f.find(name)
	if !ok {
		return "", false
	}
	return f.params[i].value, true
}

// Text returns the value of a member that is a string, and whether it came.
func (f *Form) Text(name string) (string, bool) {
	value, ok := f.Value(name)
	if !ok && f.Struct(name) {
		f.fail("Start of structure or map found where not expected.")
	}
	return value, ok
}

// Int32 reads a whole number of 32 bits.
func (f *Form) Int32(name string) (int32, bool) {
	text, ok := f.Text(name)
	if !ok {
		return 0, false
	}
	v, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		f.fail("A number is not an integer of 32 bits")
		return 0, false
	}
	return int32(v), true
}

// Bool reads "true" or "false".
func (f *Form) Bool(name string) (value, ok bool) {
	text, ok := f.Text(name)
	if !ok {
		return false, false
	}
	if text != "true" && text != "false" {
		f.fail("A boolean is neither true nor false")
		return false, false
	}
	return text == "true", true
}

// Time reads a date and time of ISO 8601 as RFC 3339 writes it.
func (f *Form) Time(name string) (time.Time, bool) {
	text, ok := f.Text(name)
	if !ok {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		f.fail("A timestamp is not of the form 2006-01-02T15:04:05Z")
		return time.Time{}, false
	}
	return t.UTC(), true
}

// Struct reports whether any parameter belongs to the structure with that name.
func (f *Form) Struct(name string) bool {
	if value, _ := f.Value(name); value != "" {
		f.fail("A value was found where a structure was expected")
	}
	i, _ := f.find(name + ".")
	return i < len(f.params) && strings.HasPrefix(f.params[i].name, name+".")
}

// List returns the names of the elements of a list in their numbers' order:
// "Tags.member.1", "Tags.member.2"; nil when there is no such list. The numbers
// may leave gaps. "Tags=" alone is an empty list.
func (f *Form) List(name string) []string {
	prefix := name + ".member."
	i, _ := f.find(prefix)
	var numbers []int
	for ; i < len(f.params) && strings.HasPrefix(f.params[i].name, prefix); i++ {
		digits, _, _ := strings.Cut(f.params[i].name[len(prefix):], ".")
		n, err := strconv.Atoi(digits)
		if err != nil || n < 1 || digits[0] == '0' || digits[0] == '+' {
			f.fail("An element of a list has no number")
			return nil
		}
		numbers = append(numbers, n)
	}
	value, empty := f.Value(name)
	if value != "" || empty && numbers != nil || !empty && numbers == nil && f.Struct(name) {
		f.fail("A list is malformed")
		return nil
	}
	if numbers == nil && !empty {
		return nil
	}
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	names := make([]string, len(numbers))
	for i, n := range numbers {
		names[i] = prefix + strconv.Itoa(n)
	}
	return names
}
