package api_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/apigen/model"
	"github.com/strongroom/strongroom/internal/awserr"
	"github.com/strongroom/strongroom/internal/operation"
	"github.com/strongroom/strongroom/internal/wire"
)

func lower(s string) string { return strings.ToLower(s[:1]) + s[1:] }

// TestEveryConstraint breaks each constraint of each member of each operation, one
// at a time, and wants AWS's text for it.
func TestEveryConstraint(t *testing.T) {
	for _, e := range edges(t) {
		for op := range e.Operations {
			row := e.table.Lookup(op)
			for _, all := range []bool{true, false} {
				if _, err := row.Decode(e.body(e.input(t, op, all))); err != nil {
					t.Fatalf("%s (all members: %v): %v", op, all, err)
				}
			}
			e.violations(t, op, e.input(t, op, true), func(v violation) {
				in, err := row.Decode(e.body(v.input))
				if err == nil {
					t.Errorf("%s: %s = %.80v was taken: %+v\nwant %s", op, v.member, v.value, in, v.message)
				} else if err.Error() != "ValidationException: "+v.message {
					t.Errorf("%s: %s = %.80v\ngot  %.400s\nwant %.400s", op, v.member, v.value, err, v.message)
				}
			})
		}
	}
}

// violation is a request with one broken constraint.
type violation struct {
	// input is the request; it is changed back afterwards.
	input map[string]any
	// within is the member of the request that holds what is broken; member and
	// value are what that is.
	within, member string
	value          any
	// message is what AWS's ValidationException says.
	message string
}

// violations calls try with root, a valid request of the operation, once for each
// constraint of each of its members, broken.
func (e *edge) violations(t *testing.T, op string, root map[string]any, try func(violation)) {
	shape := e.Operations[op].Input
	if shape == "" {
		return
	}
	w := &walker{T: t, edge: e, op: op, root: root, judge: try}
	w.structure(shape, "", func() map[string]any { return w.root })
	if w.broken == 0 && len(e.Shapes[shape].Members) > 0 && e.name == "kms" {
		t.Errorf("%s: nothing to break", op)
	}
}

type walker struct {
	*testing.T
	*edge
	op     string
	root   map[string]any
	within string
	broken int
	judge  func(violation)
}

// try puts a broken value in a member's place.
func (w *walker) try(at func() map[string]any, member string, value any, clauses ...string) {
	w.Helper()
	w.broken++
	parent := at()
	before, had := parent[member]
	if value == absent {
		delete(parent, member)
	} else {
		parent[member] = value
	}
	message := fmt.Sprint(len(clauses)) + " validation errors detected: " + strings.Join(clauses, "; ")
	if len(clauses) == 1 {
		message = "1 validation error detected: " + clauses[0]
	}
	w.judge(violation{w.root, w.within, member, value, message})
	if had {
		parent[member] = before
	} else {
		delete(parent, member)
	}
}

var absent = new(int)

func (w *walker) structure(shape, path string, at func() map[string]any) {
	for _, m := range w.Shapes[shape].Members {
		if path == "" {
			w.within = m.Name
		}
		w.member(m, path+lower(m.Name), at)
	}
}

func clause(value, path, constraint string) string {
	if value != "" {
		value += " "
	}
	return "Value " + value + "at '" + path + "' failed to satisfy constraint: " + constraint
}

func (w *walker) member(m *model.Member, path string, at func() map[string]any) {
	s := w.Shapes[m.Shape]
	if m.Required {
		null := clause("null", path, "Member must not be null")
		w.try(at, m.Name, absent, null)
		if w.table.Protocol == wire.AWSJSON11 {
			w.try(at, m.Name, nil, null)
		}
	}
	switch s.Type {
	case "string":
		for _, bad := range w.badStrings(s) {
			w.try(at, m.Name, bad, w.stringClauses(s, path, bad)...)
		}
	case "integer":
		if s.Max != nil {
			w.try(at, m.Name, float64(*s.Max+1), clause(fmt.Sprintf("'%d'", *s.Max+1), path, fmt.Sprintf("Member must have value less than or equal to %d", *s.Max)))
		}
		if s.Min != nil {
			w.try(at, m.Name, float64(*s.Min-1), clause(fmt.Sprintf("'%d'", *s.Min-1), path, fmt.Sprintf("Member must have value greater than or equal to %d", *s.Min)))
		}
	case "blob":
		if s.Max != nil {
			w.try(at, m.Name, make([]byte, *s.Max+1), clause("", path, fmt.Sprintf("Member must have length less than or equal to %d", *s.Max)))
		}
		if s.Min != nil && *s.Min > 0 {
			w.try(at, m.Name, make([]byte, *s.Min-1), clause("", path, fmt.Sprintf("Member must have length greater than or equal to %d", *s.Min)))
		}
	case "structure":
		w.structure(m.Shape, path+".", func() map[string]any { return at()[m.Name].(map[string]any) })
	case "list":
		w.list(m, s, path, at)
	}
}

func (w *walker) list(m *model.Member, s *model.Shape, path string, at func() map[string]any) {
	element := w.Shapes[s.Member]
	shown := func(list []any) string {
		if element.Type != "string" || element.Sensitive {
			return ""
		}
		var texts []string
		for _, x := range list {
			texts = append(texts, x.(string))
		}
		return "'[" + strings.Join(texts, ", ") + "]'"
	}
	if s.Max != nil {
		long := slices.Repeat([]any{w.sample(w, s.Member)}, int(*s.Max)+1)
		w.try(at, m.Name, long, clause(shown(long), path, fmt.Sprintf("Member must have length less than or equal to %d", *s.Max)))
	}
	if s.Min != nil && *s.Min > 0 {
		w.try(at, m.Name, []any{}, clause(shown([]any{}), path, fmt.Sprintf("Member must have length greater than or equal to %d", *s.Min)))
	}
	if element.Type == "structure" {
		for i := range 2 {
			w.structure(s.Member, fmt.Sprintf("%s.%d.member.", path, i+1), func() map[string]any {
				return at()[m.Name].([]any)[i].(map[string]any)
			})
		}
		return
	}
	for _, bad := range w.badStrings(element) {
		list := []any{w.sample(w, s.Member), bad}
		var all []string
		if element.Max != nil {
			all = append(all, fmt.Sprintf("Member must have length less than or equal to %d", *element.Max))
		}
		if element.Min != nil {
			all = append(all, fmt.Sprintf("Member must have length greater than or equal to %d", *element.Min))
		}
		if element.Pattern != "" {
			all = append(all, "Member must satisfy regular expression pattern: "+element.Pattern)
		}
		if element.Enum != nil {
			all = append(all, "Member must satisfy enum value set: ["+strings.Join(element.EnumText, ", ")+"]")
		}
		w.try(at, m.Name, list, clause(shown(list), path, "Member must satisfy constraint: ["+strings.Join(all, ", ")+"]"))
	}
}

// badStrings are values that break one constraint each, or more.
func (w *walker) badStrings(s *model.Shape) []string {
	var bad []string
	if s.Max != nil {
		base := "x"
		if s.Pattern != "" {
			base = patterns[s.Pattern].sample
		}
		last := base[len(base)-1:]
		if last[0] >= 0x80 {
			last = "a"
		}
		bad = append(bad, base+strings.Repeat(last, int(*s.Max)+1-len([]rune(base))))
	}
	if s.Min != nil && *s.Min > 0 {
		base := strings.Repeat("x", int(*s.Min))
		if s.Pattern != "" {
			base = padded(patterns[s.Pattern].sample, s)
		}
		bad = append(bad, base[:*s.Min-1])
		if *s.Min > 1 {
			bad = append(bad, "")
		}
	}
	if s.Pattern != "" {
		sample := padded(patterns[s.Pattern].sample, s)
		for _, broken := range []string{sample[:len(sample)-1] + "\x00", sample + "\n", "😀" + sample[1:]} {
			if !patterns[s.Pattern].re.MatchString(broken) {
				bad = append(bad, broken)
			}
		}
	}
	if s.Enum != nil {
		bad = append(bad, "WRONG", "", s.Enum[0]+" ", strings.ToLower(s.Enum[0]))
		if strings.ToLower(s.Enum[0]) == s.Enum[0] {
			bad = bad[:len(bad)-1]
		}
	}
	return bad
}

func (w *walker) stringClauses(s *model.Shape, path, value string) []string {
	shown := "'" + value + "'"
	if s.Sensitive {
		shown = ""
	}
	var clauses []string
	n := int64(len([]rune(value)))
	if s.Max != nil && n > *s.Max {
		clauses = append(clauses, clause(shown, path, fmt.Sprintf("Member must have length less than or equal to %d", *s.Max)))
	}
	if s.Min != nil && n < *s.Min {
		clauses = append(clauses, clause(shown, path, fmt.Sprintf("Member must have length greater than or equal to %d", *s.Min)))
	}
	if s.Pattern != "" && !patterns[s.Pattern].re.MatchString(value) {
		clauses = append(clauses, clause(shown, path, "Member must satisfy regular expression pattern: "+s.Pattern))
	}
	if s.Enum != nil && !slices.Contains(s.Enum, value) {
		clauses = append(clauses, clause(shown, path, "Member must satisfy enum value set: ["+strings.Join(s.EnumText, ", ")+"]"))
	}
	return clauses
}

// TestAllMissing wants every missing member named, in the model's order.
func TestAllMissing(t *testing.T) {
	for _, e := range edges(t) {
		for op, o := range e.Operations {
			var clauses []string
			if o.Input != "" {
				for _, m := range e.Shapes[o.Input].Members {
					if m.Required {
						clauses = append(clauses, clause("null", lower(m.Name), "Member must not be null"))
					}
				}
			}
			_, err := e.table.Lookup(op).Decode(nil)
			if len(clauses) == 0 {
				if err != nil {
					t.Errorf("%s refuses an empty body: %v", op, err)
				}
				continue
			}
			plural := map[bool]string{true: "errors", false: "error"}[len(clauses) > 1]
			want := fmt.Sprintf("ValidationException: %d validation %s detected: %s", len(clauses), plural, strings.Join(clauses, "; "))
			if err == nil || err.Error() != want {
				t.Errorf("%s\ngot  %v\nwant %s", op, err, want)
			}
		}
	}
}

// TestTables holds the tables against the models.
func TestTables(t *testing.T) {
	for _, e := range edges(t) {
		if !slices.IsSortedFunc(e.table.Operations, func(a, b operation.Row) int { return strings.Compare(a.Name, b.Name) }) {
			t.Errorf("%s: the operations are not sorted", e.name)
		}
		var names []string
		for _, row := range e.table.Operations {
			names = append(names, row.Name)
			o := e.Operations[row.Name]
			if o == nil || row.Action != e.name+":"+row.Name || row.ReadOnly != *o.ReadOnly || row.Unsigned != o.Unsigned || row.BodyLimit < 256<<10 {
				t.Errorf("%+v does not fit the model", row)
				continue
			}
			if limit := len(e.body(e.longest(t, row.Name))); limit > row.BodyLimit {
				t.Errorf("%s takes %d bytes, but its limit is %d", row.Name, limit, row.BodyLimit)
			}
			in, err := row.Decode(e.body(e.input(t, row.Name, true)))
			if err != nil {
				t.Fatal(err)
			}
			out, err := row.Invoke(t.Context(), nil, in)
			if out != nil || awserr.Code(err) != "UnsupportedOperationException" || !strings.Contains(err.Error(), e.name+":"+row.Name) {
				t.Errorf("%s: %v, %v", row.Name, out, err)
			}
		}
		if want := slices.Sorted(maps.Keys(e.Operations)); !slices.Equal(names, want) {
			t.Errorf("%s has %v; want %v", e.name, names, want)
		}
		if want := map[string]int{"cloudhsm": 18, "cloudtrail": 60, "iam": 176, "kms": 56, "sts": 11}[e.name]; len(names) != want {
			t.Errorf("%s has %d operations; want %d", e.name, len(names), want)
		}
	}
}

// longest is a valid request with all bounded strings at their longest, each
// character escaped where JSON allows.
func (e *edge) longest(t testing.TB, op string) map[string]any {
	in := e.input(t, op, true)
	if shape := e.Operations[op].Input; shape != "" {
		for _, m := range e.Shapes[shape].Members {
			if s := e.Shapes[m.Shape]; s.Type == "string" && s.Enum == nil && s.Pattern == "" && s.Max != nil {
				in[m.Name] = strings.Repeat("\x01", int(*s.Max))
			} else if s.Type == "blob" && s.Max != nil {
				in[m.Name] = make([]byte, *s.Max)
			}
		}
	}
	return in
}
