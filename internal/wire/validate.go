package wire

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/strongroom/strongroom/internal/awserr"
)

// Violations collects the constraints of a service's model that one request
// breaks, in the order of the model's members, and words them as AWS does:
//
//	2 validation errors detected: Value '' at 'keyId' failed to satisfy
//	constraint: Member must have length greater than or equal to 1; Value null
//	at 'plaintext' failed to satisfy constraint: Member must not be null
//
// A string's length is its number of Unicode code points, as the length trait of
// AWS's model language (Smithy 2.0, constraint traits) counts it; a blob's is its
// number of bytes before base64. Sensitive values are never shown: their clauses
// have the form that AWS uses for blobs, "Value at 'plaintext' failed to …".
//
// The zero value is ready. Nothing is allocated until a constraint is broken.
type Violations struct {
	clauses []string
}

// maxClauses bounds the work for, and the answer to, one request: a list of a
// hundred thousand bad tags is refused as well by its first hundred errors.
const maxClauses = 100

// Err returns nil, or the ValidationException that names every clause.
func (c *Violations) Err() error {
	if len(c.clauses) == 0 {
		return nil
	}
	head := " validation errors detected: "
	if len(c.clauses) == 1 {
		head = " validation error detected: "
	}
	return awserr.Validation(strconv.Itoa(len(c.clauses)) + head + strings.Join(c.clauses, "; "))
}

// Path is where a member stands: nil at the top, else the element of a list or
// the structure around it.
type Path struct {
	Parent *Path
	// Name is the member's, in lower camel case.
	Name string
	// Index counts the elements of a list from 1; 0 stands for a structure.
	Index int
}

func (p *Path) append(b []byte) []byte {
	if p == nil {
		return b
	}
	b = append(p.Parent.append(b), p.Name...)
	if p.Index > 0 {
		b = append(b, '.')
		b = strconv.AppendInt(b, int64(p.Index), 10)
		b = append(b, ".member"...)
	}
	return append(b, '.')
}

// Full reports whether no further clause will be taken, so that loops may end.
func (c *Violations) Full() bool { return len(c.clauses) >= maxClauses }

func (c *Violations) add(p *Path, name, value, clause string) {
	if c.Full() {
		return
	}
	b := make([]byte, 0, 96+len(value)+len(clause))
	b = append(b, "Value "...)
	b = append(b, value...)
	if value != "" {
		b = append(b, ' ')
	}
	b = append(b, "at '"...)
	b = append(p.append(b), name...)
	b = append(b, "' failed to satisfy constraint: "...)
	b = append(b, clause...)
	c.clauses = append(c.clauses, string(b))
}

// Given returns given, and takes down a missing required member when it is false.
func (c *Violations) Given(p *Path, name string, given bool) bool {
	if !given {
		c.add(p, name, "null", notNull)
	}
	return given
}

// Length bounds a string's code points, a blob's bytes or a list's elements.
// -1 stands for no bound.
type Length struct{ Min, Max int }

// Range bounds a number where HasMin and HasMax say so.
type Range struct {
	Min, Max       int64
	HasMin, HasMax bool
}

// Text is what a model asks of a string.
type Text struct {
	Length
	// Pattern is nil for none.
	Pattern *Pattern
	// Values are those of an enum, in the order in which AWS's texts list them;
	// nil for none.
	Values []string
	// Sensitive keeps the value out of clauses.
	Sensitive bool
}

// Pattern is a regular expression that must match the whole value.
type Pattern struct {
	// Text is the expression as the model writes it and as clauses show it.
	Text string
	// Expr is the same in Go's syntax, anchored at both ends.
	Expr string
	// Class is set when the pattern is a single repeated character class. ASCII
	// then has a bit for each of its characters below 128, MinRunes is how many
	// there must be, and values of ASCII alone are checked without Expr.
	Class    bool
	ASCII    [2]uint64
	MinRunes int

	once     sync.Once
	compiled *regexp.Regexp
}

func (t *Pattern) match(s string) bool {
	if t.Class {
		ascii := true
		for i := 0; i < len(s); i++ {
			b := s[i]
			if b >= utf8.RuneSelf {
				ascii = false
				break
			}
			if t.ASCII[b>>6]&(1<<(b&63)) == 0 {
				return false
			}
		}
		if ascii {
			return len(s) >= t.MinRunes
		}
	}
	t.once.Do(func() { t.compiled = regexp.MustCompile(t.Expr) })
	return t.compiled.MatchString(s)
}

const notNull = "Member must not be null"

func atMost(n int) string {
	return "Member must have length less than or equal to " + strconv.Itoa(n)
}

func atLeast(n int) string {
	return "Member must have length greater than or equal to " + strconv.Itoa(n)
}

func oneOf(values []string) string {
	return "Member must satisfy enum value set: [" + strings.Join(values, ", ") + "]"
}

func matching(t *Pattern) string {
	return "Member must satisfy regular expression pattern: " + t.Text
}

// tooLong and tooShort count code points only where the bytes leave it open.
func (l Length) tooLong(s string) bool {
	return l.Max >= 0 && len(s) > l.Max && utf8.RuneCountInString(s) > l.Max
}

func (l Length) tooShort(s string) bool {
	return l.Min > 0 && (len(s) < l.Min || len(s) < l.Min*utf8.UTFMax && utf8.RuneCountInString(s) < l.Min)
}

func (t *Text) ok(s string) bool {
	return !t.tooLong(s) && !t.tooShort(s) &&
		(t.Pattern == nil || t.Pattern.match(s)) &&
		(t.Values == nil || slices.Contains(t.Values, s))
}

// all words every constraint, broken or not, as AWS does for the elements of
// lists and maps.
func (t *Text) all() string {
	var all []string
	if t.Max >= 0 {
		all = append(all, atMost(t.Max))
	}
	if t.Min >= 0 {
		all = append(all, atLeast(t.Min))
	}
	if t.Pattern != nil {
		all = append(all, matching(t.Pattern))
	}
	if t.Values != nil {
		all = append(all, oneOf(t.Values))
	}
	return "[" + strings.Join(all, ", ") + "]"
}

// String checks a string or an enum's value.
func (c *Violations) String(p *Path, name, s string, t *Text) {
	if t.ok(s) {
		return
	}
	value := "'" + s + "'"
	if t.Sensitive {
		value = ""
	}
	if t.tooLong(s) {
		c.add(p, name, value, atMost(t.Max))
	}
	if t.tooShort(s) {
		c.add(p, name, value, atLeast(t.Min))
	}
	if t.Pattern != nil && !t.Pattern.match(s) {
		c.add(p, name, value, matching(t.Pattern))
	}
	if t.Values != nil && !slices.Contains(t.Values, s) {
		c.add(p, name, value, oneOf(t.Values))
	}
}

// Blob checks the length of a blob, whose bytes are never shown.
func (c *Violations) Blob(p *Path, name string, n int, l Length) {
	c.length(p, name, "", n, l)
}

// List checks the length of a list whose elements are not shown.
func (c *Violations) List(p *Path, name string, n int, l Length) {
	c.length(p, name, "", n, l)
}

func (c *Violations) length(p *Path, name, value string, n int, l Length) {
	if l.Max >= 0 && n > l.Max {
		c.add(p, name, value, atMost(l.Max))
	}
	if n < l.Min {
		c.add(p, name, value, atLeast(l.Min))
	}
}

// Int checks a number.
func (c *Violations) Int(p *Path, name string, v int64, r *Range) {
	value := func() string { return "'" + strconv.FormatInt(v, 10) + "'" }
	if r.HasMax && v > r.Max {
		c.add(p, name, value(), "Member must have value less than or equal to "+strconv.FormatInt(r.Max, 10))
	}
	if r.HasMin && v < r.Min {
		c.add(p, name, value(), "Member must have value greater than or equal to "+strconv.FormatInt(r.Min, 10))
	}
}

// StringList checks a list of strings or enum values: its length, and its
// elements together, which AWS words as one clause about the list.
func StringList[S ~string](c *Violations, p *Path, name string, list []S, l Length, element *Text) {
	bad := false
	for i := 0; i < len(list) && !bad; i++ {
		bad = !element.ok(string(list[i]))
	}
	if !bad && len(list) >= l.Min && (l.Max < 0 || len(list) <= l.Max) {
		return
	}
	value := ""
	if !element.Sensitive {
		shown := make([]string, len(list))
		for i, s := range list {
			shown[i] = string(s)
		}
		value = "'[" + strings.Join(shown, ", ") + "]'"
	}
	c.length(p, name, value, len(list), l)
	if bad {
		c.add(p, name, value, "Member must satisfy constraint: "+element.all())
	}
}

// StringMap checks the keys and the values of a map of strings. The entries are
// shown in the order of their keys.
func StringMap(c *Violations, p *Path, name string, m map[string]string, key, value *Text) {
	badKey, badValue := false, false
	for k, v := range m {
		badKey = badKey || !key.ok(k)
		badValue = badValue || !value.ok(v)
	}
	if !badKey && !badValue {
		return
	}
	shown := ""
	if !key.Sensitive && !value.Sensitive {
		entries := make([]string, 0, len(m))
		for k, v := range m {
			entries = append(entries, k+"="+v)
		}
		slices.Sort(entries)
		shown = "'{" + strings.Join(entries, ", ") + "}'"
	}
	if badKey {
		c.add(p, name, shown, "Map keys must satisfy constraint: "+key.all())
	}
	if badValue {
		c.add(p, name, shown, "Map value must satisfy constraint: "+value.all())
	}
}
