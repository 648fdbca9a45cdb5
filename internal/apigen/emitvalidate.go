package main

import (
	"fmt"
	"strings"

	"github.com/strongroom/strongroom/internal/apigen/model"
)

// rules are the constraints that requests are checked against, by their shapes.
type rules struct {
	names    []string // of shapes with a Text, sorted
	patterns map[string]*javaPattern
	ranges   []string
}

// rules gathers what the requests' members need.
func (s *service) rules() (*rules, error) {
	texts, ranges := map[string]bool{}, map[string]bool{}
	r := &rules{patterns: map[string]*javaPattern{}}
	seen := map[*structure]bool{}
	var walk func(*structure) error
	var visit func(*field) error
	visit = func(f *field) error {
		switch f.Kind {
		case kindString, kindEnum:
			if f.constrained() {
				texts[f.Name0] = true
			}
			if f.Shape.Pattern != "" {
				p, err := parsePattern(f.Shape.Pattern)
				if err != nil {
					return fmt.Errorf("%s: %w", f.Name0, err)
				}
				r.patterns[f.Name0] = p
			}
		case kindInt:
			if f.Shape.Min != nil || f.Shape.Max != nil {
				ranges[f.Name0] = true
			}
		}
		if f.Struct != nil {
			return walk(f.Struct)
		}
		if f.Element != nil {
			return visit(f.Element)
		}
		return nil
	}
	walk = func(st *structure) error {
		if seen[st] {
			return nil
		}
		seen[st] = true
		for _, f := range st.Fields {
			if err := visit(f); err != nil {
				return err
			}
		}
		return nil
	}
	for _, o := range s.Operations {
		if err := walk(o.In); err != nil {
			return nil, err
		}
	}
	r.names, r.ranges = model.SortedKeys(texts), model.SortedKeys(ranges)
	return r, nil
}

// constrained reports whether a string can break a rule once it is there.
func (f *field) constrained() bool {
	s := f.Shape
	return s.Enum != nil || s.Pattern != "" || s.Max != nil || s.Min != nil && *s.Min > 0
}

func (s *service) ruleTables(w *writer, r *rules) {
	w.p("// The constraints of the model, by its shapes' names.")
	w.p("var (")
	for _, name := range r.names {
		shape := s.Shapes[name]
		parts := []string{"Length: " + lengthOf(shape)}
		if p := r.patterns[name]; p != nil {
			parts = append(parts, "Pattern: "+patternLiteral(p))
		}
		if shape.Enum != nil {
			quoted := make([]string, len(shape.EnumText))
			for i, v := range shape.EnumText {
				quoted[i] = fmt.Sprintf("%q", v)
			}
			parts = append(parts, "Values: []string{"+strings.Join(quoted, ", ")+"}")
		}
		if shape.Sensitive {
			parts = append(parts, "Sensitive: true")
		}
		w.p("%s = wire.Text{%s}", ruleName(name), strings.Join(parts, ", "))
	}
	for _, name := range r.ranges {
		shape := s.Shapes[name]
		var parts []string
		if shape.Min != nil {
			parts = append(parts, fmt.Sprintf("Min: %d, HasMin: true", *shape.Min))
		}
		if shape.Max != nil {
			parts = append(parts, fmt.Sprintf("Max: %d, HasMax: true", *shape.Max))
		}
		w.p("%s = wire.Range{%s}", ruleName(name), strings.Join(parts, ", "))
	}
	w.p(")\n")
}

func ruleName(shape string) string { return "rule" + upperFirst(shape) }

func lengthOf(s *model.Shape) string {
	lo, hi := int64(-1), int64(-1)
	if s.Min != nil {
		lo = *s.Min
	}
	if s.Max != nil {
		hi = *s.Max
	}
	return fmt.Sprintf("wire.Length{Min: %d, Max: %d}", lo, hi)
}

func patternLiteral(p *javaPattern) string {
	s := fmt.Sprintf("&wire.Pattern{Text: %s, Expr: %s", goQuote(p.Text), goQuote(p.Go))
	if p.Class {
		s += fmt.Sprintf(", Class: true, ASCII: [2]uint64{%#x, %#x}, MinRunes: %d", p.ASCII[0], p.ASCII[1], p.MinRunes)
	}
	return s + "}"
}

func goQuote(s string) string {
	if strings.ContainsRune(s, '`') {
		return fmt.Sprintf("%q", s)
	}
	return "`" + s + "`"
}

// validators writes Validate for every input and validate for what it holds.
func (s *service) validators(w *writer, r *rules) {
	for _, o := range s.Operations {
		w.p("// Validate returns the ValidationException of what the model refuses in the")
		w.p("// request, or nil. Requests from the wire have been validated already.")
		w.p("func (in *%s) Validate() error {", o.In.GoName)
		if s.checked(o.In) {
			w.p("var c wire.Violations")
			w.p("in.validate(&c, nil)")
			w.p("return c.Err()\n}\n")
			s.validator(w, o.In)
		} else {
			w.p("return nil\n}\n")
		}
	}
	for _, st := range s.Structs {
		if st.Decoded && s.checked(st) {
			s.validator(w, st)
		}
	}
}

// checked reports whether anything in a structure can break a rule.
func (s *service) checked(st *structure) bool {
	for _, f := range st.Fields {
		if f.Required || f.checks() || f.Struct != nil && s.checked(f.Struct) {
			return true
		}
	}
	return false
}

// checks reports whether a field that is there can break a rule of its own.
func (f *field) checks() bool {
	s := f.Shape
	switch f.Kind {
	case kindString, kindEnum:
		return f.constrained()
	case kindInt:
		return s.Min != nil || s.Max != nil
	case kindBlob:
		return s.Min != nil && *s.Min > 0 || s.Max != nil
	case kindList:
		return s.Min != nil && *s.Min > 0 || s.Max != nil || f.Struct == nil && f.Element.constrained()
	case kindMap:
		return f.Element.Kind != kindList && f.Element.constrained() // lists of plain strings alone
	}
	return false
}

func (s *service) validator(w *writer, st *structure) {
	w.p("func (v *%s) validate(c *wire.Violations, p *wire.Path) {", st.GoName)
	for _, f := range st.Fields {
		inner := s.innerChecks(f)
		given := f.given()
		switch {
		case f.Required && len(inner) > 0:
			w.p("if c.Given(p, %q, %s) {", f.Path, given)
			s.lines(w, inner)
			w.p("}")
		case f.Required:
			w.p("c.Given(p, %q, %s)", f.Path, given)
		case len(inner) > 0:
			w.p("if %s {", given)
			s.lines(w, inner)
			w.p("}")
		}
	}
	w.p("}\n")
}

func (s *service) lines(w *writer, lines []string) {
	for _, l := range lines {
		w.p("%s", l)
	}
}

// given is the Go expression for "this member was sent".
func (f *field) given() string {
	v := "v." + f.Name
	switch f.Kind {
	case kindString, kindEnum:
		switch {
		case f.Pointer():
			return v + " != nil"
		case f.Kind == kindString && emptyIsValid(f.Shape):
			return fmt.Sprintf("v.odd&%d == 0", f.Odd)
		default:
			return fmt.Sprintf(`%s != "" || v.odd&%d != 0`, v, f.Odd)
		}
	case kindInt, kindBool, kindTime:
		if f.Pointer() {
			return v + " != nil"
		}
		if f.Odd != 0 {
			return fmt.Sprintf("v.odd&%d == 0", f.Odd)
		}
		return "true"
	}
	return v + " != nil"
}

// innerChecks are the statements that check a member that was sent.
func (s *service) innerChecks(f *field) []string {
	v := "v." + f.Name
	if f.Pointer() && f.Kind != kindStruct {
		v = "*" + v
	}
	switch f.Kind {
	case kindString, kindEnum:
		if f.constrained() {
			if f.Type != "string" && f.Type != "*string" {
				v = "string(" + v + ")"
			}
			return []string{fmt.Sprintf("c.String(p, %q, %s, &%s)", f.Path, v, ruleName(f.Name0))}
		}
	case kindInt:
		if f.checks() {
			return []string{fmt.Sprintf("c.Int(p, %q, int64(%s), &%s)", f.Path, v, ruleName(f.Name0))}
		}
	case kindBlob:
		if f.checks() {
			return []string{fmt.Sprintf("c.Blob(p, %q, len(%s), %s)", f.Path, v, lengthOf(f.Shape))}
		}
	case kindStruct:
		if s.checked(f.Struct) {
			return []string{fmt.Sprintf("%s.validate(c, &wire.Path{Parent: p, Name: %q})", v, f.Path)}
		}
	case kindList:
		if f.Struct == nil {
			if f.checks() {
				return []string{fmt.Sprintf("wire.StringList(c, p, %q, %s, %s, %s)", f.Path, v, lengthOf(f.Shape), s.ruleRef(f.Element))}
			}
			return nil
		}
		var lines []string
		if f.checks() {
			lines = append(lines, fmt.Sprintf("c.List(p, %q, len(%s), %s)", f.Path, v, lengthOf(f.Shape)))
		}
		if s.checked(f.Struct) {
			lines = append(lines,
				fmt.Sprintf("for i := 0; i < len(%s) && !c.Full(); i++ {", v),
				fmt.Sprintf("%s[i].validate(c, &wire.Path{Parent: p, Name: %q, Index: i + 1})", v, f.Path),
				"}")
		}
		return lines
	case kindMap:
		if f.checks() {
			return []string{fmt.Sprintf("wire.StringMap(c, p, %q, %s, &wire.Text{Length: %s}, %s)",
				f.Path, v, lengthOf(s.Shapes[f.Shape.Key]), s.ruleRef(f.Element))}
		}
	}
	return nil
}

func (s *service) ruleRef(f *field) string {
	if !f.constrained() {
		return "&wire.Text{Length: wire.Length{Min: -1, Max: -1}}"
	}
	return "&" + ruleName(f.Name0)
}
