package main

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/strongroom/strongroom/internal/apigen/model"
)

// A service is a model resolved into what the generated package is made of.
type service struct {
	*model.Model
	Name       string // of the package and of the signing name: "kms"
	Operations []*operation
	Structs    []*structure // sorted by name, without inputs and outputs
	Enums      []*enum      // sorted by name
	Errors     []*exception // sorted by name
}

type operation struct {
	*model.Operation
	Name string
	// In and Out are never nil: an operation without either has an empty one.
	In, Out   *structure
	HasOutput bool
	BodyLimit int
}

type structure struct {
	GoName string
	Doc    string
	Fields []*field
	// Decoded, Encoded and Audited say what code the structure needs: it is part
	// of an input, of an output, or of a record.
	Decoded, Encoded, Audited bool
}

// HasOdd reports whether values need to remember how they came: see field.Odd.
func (s *structure) HasOdd() bool {
	return s.Decoded && slices.ContainsFunc(s.Fields, func(f *field) bool { return f.Odd != 0 })
}

// A field is one member. Exactly one of the kinds that Kind names is meant.
type field struct {
	Name     string // in Go
	Wire     string // on the wire
	Path     string // in validation texts and audit records: lower camel case
	Required bool
	Kind     kind
	Shape    *model.Shape
	Name0    string     // the shape's name
	Type     string     // in Go
	Struct   *structure // of a structure, or of a list of structures
	Element  *field     // of a list or map of anything else
	// Odd is this field's bit in the structure's odd, for a member whose Go value
	// cannot tell how it came: a string was sent as "" where "" means absent, or
	// a member was not sent where the zero value is a valid one.
	Odd uint64
	// Sensitive members never reach a text or a record.
	Sensitive bool
}

type kind int

const (
	kindString kind = iota
	kindEnum
	kindBlob
	kindInt
	kindBool
	kindTime
	kindStruct
	kindList
	kindMap
)

// Pointer reports whether the field's Go type is a pointer, nil for absent.
func (f *field) Pointer() bool { return strings.HasPrefix(f.Type, "*") }

type enum struct {
	Name    string
	Values  []enumValue
	Decoded bool
	text    []string
}

type enumValue struct{ Go, Wire string }

type exception struct {
	Name      string
	Server    bool
	Status    int
	QueryCode string
}

type resolver struct {
	*service
	structs map[string]*structure
	enums   map[string]*enum
	err     error
}

// resolve checks a model and works out the Go side of it.
func resolve(name string, m *model.Model) (*service, error) {
	r := &resolver{
		service: &service{Model: m, Name: name},
		structs: map[string]*structure{}, enums: map[string]*enum{},
	}
	if m.Service.Protocol != "json" && m.Service.Protocol != "query" {
		return nil, fmt.Errorf("%s: protocol %q is not one of json and query", name, m.Service.Protocol)
	}
	names := map[string]bool{}
	for _, opName := range model.SortedKeys(m.Operations) {
		op := m.Operations[opName]
		o := &operation{Operation: op, Name: opName, HasOutput: op.Output != ""}
		o.In = r.top(opName, "Input", op.Input)
		o.Out = r.top(opName, "Output", op.Output)
		if o.Action == "" {
			o.Action = name + ":" + opName
		}
		r.markDecoded(o.In)
		r.markEncoded(o.Out)
		r.auditTop(o.In, op.Audit.Request)
		r.auditTop(o.Out, op.Audit.Response)
		o.BodyLimit = bodyLimit(o.In)
		r.Operations = append(r.Operations, o)
		for _, e := range op.Errors {
			names[e] = true
		}
	}
	for _, name := range model.SortedKeys(names) {
		r.exception(name)
	}
	for _, name := range model.SortedKeys(r.structs) {
		r.Structs = append(r.Structs, r.structs[name])
	}
	for _, name := range model.SortedKeys(r.enums) {
		r.Enums = append(r.Enums, r.enums[name])
	}
	r.assignOdd()
	if m.Service.Protocol == "query" {
		r.checkQuery()
	} else {
		r.checkJSON()
	}
	if r.err != nil {
		return nil, fmt.Errorf("%s: %w", name, r.err)
	}
	return r.service, nil
}

func (r *resolver) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

func (r *resolver) exception(name string) {
	s := r.Shapes[name]
	if s == nil || s.Error == nil {
		r.fail("%s is not an exception", name)
		return
	}
	e := &exception{Name: name, Server: s.Error.Fault == "server", Status: s.Error.Status, QueryCode: s.Error.Code}
	if e.Status == 0 {
		e.Status = 400
		if e.Server {
			e.Status = 500
		}
	}
	r.Errors = append(r.Errors, e)
}

// top makes an operation's own input or output structure.
func (r *resolver) top(op, suffix, shape string) *structure {
	what := map[string]string{"Input": "request", "Output": "answer"}[suffix]
	s := &structure{GoName: op + suffix, Doc: fmt.Sprintf("%s%s is the %s of %s.", op, suffix, what, op)}
	if shape != "" {
		s.Fields = r.fields(shape, suffix == "Input")
	}
	return s
}

func (r *resolver) fields(shape string, input bool) []*field {
	s := r.Shapes[shape]
	if s == nil || s.Type != "structure" {
		r.fail("%s is not a structure", shape)
		return nil
	}
	if len(s.Members) > 64 {
		r.fail("%s has more members than a word has bits", shape)
	}
	var fields []*field
	for _, m := range s.Members {
		if m.LocationName != "" || m.TimestampFormat != "" {
			r.fail("%s.%s: no code for locationName and timestampFormat is written yet", shape, m.Name)
		}
		fields = append(fields, r.field(m, input))
	}
	return fields
}

func (r *resolver) field(m *model.Member, input bool) *field {
	s := r.Shapes[m.Shape]
	if s == nil {
		r.fail("no shape %s", m.Shape)
		return &field{Shape: &model.Shape{}}
	}
	f := &field{
		Name: upperFirst(m.Name), Wire: m.Name, Path: lowerFirst(m.Name),
		Required: m.Required, Shape: s, Name0: m.Shape, Sensitive: s.Sensitive,
	}
	optional := ""
	if !m.Required {
		optional = "*"
	}
	switch s.Type {
	case "string":
		if s.Enum != nil {
			f.Kind = kindEnum
			f.Type = r.enum(m.Shape).Name
			break
		}
		f.Kind = kindString
		f.Type = "string"
		if s.Sensitive {
			f.Type = "secret.String"
		}
		// An answer's member without a stated minimum is not answered as "".
		if !m.Required && (emptyIsValid(s) && (input || s.Min != nil) || m.EmptyValid) {
			f.Type = "*" + f.Type
		}
	case "blob":
		f.Kind = kindBlob
		f.Type = "[]byte"
		if s.Sensitive {
			f.Type = "secret.Bytes"
		}
	case "integer":
		f.Kind = kindInt
		f.Type = optional + "int32"
	case "boolean":
		f.Kind = kindBool
		f.Type = optional + "bool"
		if s.ZeroIsAbsent {
			f.Type = "bool"
		}
	case "timestamp":
		f.Kind = kindTime
		f.Type = optional + "time.Time"
	case "structure":
		f.Kind = kindStruct
		f.Struct = r.structure(m.Shape, input)
		f.Type = "*" + f.Struct.GoName
	case "list":
		f.Kind = kindList
		if s.Flattened {
			r.fail("%s: no code for flattened lists is written yet", m.Shape)
		}
		f.Element = r.field(&model.Member{Name: "member", Shape: s.Member, Required: true}, input)
		f.Struct = f.Element.Struct
		switch f.Element.Kind {
		case kindStruct:
			f.Type = "[]" + f.Struct.GoName
		case kindString, kindEnum:
			f.Type = "[]" + f.Element.Type
		default:
			r.fail("%s: no code for lists of %s is written yet", m.Shape, r.Shapes[s.Member].Type)
		}
	case "map":
		f.Kind = kindMap
		f.Element = r.field(&model.Member{Name: "value", Shape: s.Value, Required: true}, input)
		if k := r.Shapes[s.Key]; k == nil || k.Type != "string" || f.Element.Sensitive ||
			f.Element.Kind != kindString && f.Element.Kind != kindEnum && f.Element.Kind != kindInt && !f.Element.plainList() {
			r.fail("%s: no code for maps other than of strings, lists of plain strings and numbers is written yet", m.Shape)
		}
		f.Type = "map[string]" + f.Element.Type
	default:
		r.fail("%s: no code for the type %q is written yet", m.Shape, s.Type)
	}
	return f
}

func emptyIsValid(s *model.Shape) bool { return s.Enum == nil && (s.Min == nil || *s.Min == 0) }

// structure returns a named structure, made once. One that both requests and
// answers carry is made as for requests.
func (r *resolver) structure(shape string, input bool) *structure {
	if s := r.structs[shape]; s != nil {
		if !input || s.Decoded {
			return s
		}
	}
	s := r.structs[shape]
	if s == nil {
		name := upperFirst(shape)
		s = &structure{GoName: name, Doc: fmt.Sprintf("%s is a part of requests and answers.", name)}
		r.structs[shape] = s
	}
	s.Decoded = s.Decoded || input
	s.Fields = r.fields(shape, s.Decoded)
	return s
}

func (r *resolver) enum(shape string) *enum {
	if e := r.enums[shape]; e != nil {
		return e
	}
	e := &enum{Name: upperFirst(shape), text: r.Shapes[shape].EnumText}
	for _, v := range r.Shapes[shape].Enum {
		e.Values = append(e.Values, enumValue{Go: e.Name + enumSuffix(v), Wire: v})
	}
	r.enums[shape] = e
	return e
}

func (r *resolver) markDecoded(s *structure) {
	s.Decoded = true
	for _, f := range s.Fields {
		if f.Struct != nil {
			r.markDecoded(f.Struct)
		}
		if f.Kind == kindEnum {
			r.enum(f.Name0).Decoded = true
		} else if f.Element != nil && f.Element.Kind == kindEnum {
			r.enum(f.Element.Name0).Decoded = true
		}
	}
}

func (r *resolver) markEncoded(s *structure) {
	s.Encoded = true
	for _, f := range s.Fields {
		if f.Struct != nil {
			r.markEncoded(f.Struct)
		}
	}
}

// auditTop checks an operation's list of logged members.
func (r *resolver) auditTop(s *structure, members []string) {
	for _, name := range members {
		i := slices.IndexFunc(s.Fields, func(f *field) bool { return f.Wire == name })
		if i < 0 {
			r.fail("audit: %s has no member %s", s.GoName, name)
			return
		}
		f := s.Fields[i]
		if !f.auditable() {
			r.fail("audit: %s.%s is sensitive, a blob or a map of a kind without code and must not be listed", s.GoName, name)
		}
		if f.Struct != nil {
			markAudited(f.Struct)
		}
	}
}

func markAudited(s *structure) {
	s.Audited = true
	for _, f := range s.Fields {
		if f.Struct != nil {
			markAudited(f.Struct)
		}
	}
}

// auditable reports whether a record may show the field. Within a listed
// structure the members that it may not show are left out.
func (f *field) auditable() bool {
	return f.Kind != kindBlob && !f.Sensitive && !f.oddMap() && (f.Element == nil || f.Element.Kind == kindStruct || f.Element.auditable())
}

// oddMap reports whether the field is a map that JSON has no code for.
func (f *field) oddMap() bool {
	return f.Kind == kindMap && f.Type != "map[string]string" && f.Type != "map[string][]string"
}

// plainList reports whether the field is a list of strings without constraints.
func (f *field) plainList() bool {
	return f.Kind == kindList && f.Type == "[]string" && f.Shape.Min == nil && f.Shape.Max == nil && !f.Element.constrained()
}

// assignOdd gives a bit to every field of a request that needs one.
func (r *resolver) assignOdd() {
	all := slices.Clone(r.Structs)
	for _, o := range r.Operations {
		all = append(all, o.In)
	}
	for _, s := range all {
		if !s.Decoded {
			continue
		}
		bit := uint64(1)
		for _, f := range s.Fields {
			odd := false
			switch f.Kind {
			case kindString, kindEnum:
				odd = !f.Pointer()
			case kindInt, kindBool, kindTime:
				odd = f.Required
			}
			if odd {
				f.Odd = bit
				bit <<= 1
			}
		}
	}
}

// checkQuery fails on what the query protocol's codec has no code for.
func (r *resolver) checkQuery() {
	r.each(func(s *structure, f *field) {
		if s.Decoded && (f.Kind == kindBlob || f.Kind == kindMap) {
			r.fail("%s.%s: no code for the type %q in requests of the query protocol is written yet", s.GoName, f.Name, f.Shape.Type)
		}
	})
}

// checkJSON fails on what the JSON codec has no code for.
func (r *resolver) checkJSON() {
	r.each(func(s *structure, f *field) {
		if f.oddMap() {
			r.fail("%s.%s: no code for maps other than of plain strings and lists of them in JSON is written yet", s.GoName, f.Name)
		}
	})
}

func (r *resolver) each(check func(*structure, *field)) {
	all := slices.Clone(r.Structs)
	for _, o := range r.Operations {
		all = append(all, o.In, o.Out)
	}
	for _, s := range all {
		for _, f := range s.Fields {
			check(s, f)
		}
	}
}

// bodyLimit is the longest body that a valid request can have, rounded up, and
// never so short that an overlong member would not be answered by its name.
func bodyLimit(s *structure) int {
	const least, unit = 256 << 10, 64 << 10
	n := (maxBody(s) + unit - 1) / unit * unit
	return max(n, least)
}

// unbounded is what a member without a maximum is given.
const unbounded = 64 << 10

func maxBody(s *structure) int {
	n := 2
	for _, f := range s.Fields {
		n += len(f.Wire) + 64 // name, punctuation, white space
		switch f.Kind {
		case kindString:
			n += textLimit(f.Shape)
		case kindBlob:
			if f.Shape.Max != nil {
				n += int(*f.Shape.Max)*4/3 + 4
			} else {
				n += unbounded
			}
		case kindStruct:
			n += maxBody(f.Struct)
		case kindList:
			each := 64
			if f.Struct != nil {
				each = maxBody(f.Struct)
			} else if f.Element.Kind == kindString {
				each = textLimit(f.Element.Shape)
			}
			if f.Shape.Max != nil {
				n += each * int(*f.Shape.Max)
			} else {
				n += max(unbounded, each)
			}
		case kindMap:
			n += unbounded
		}
	}
	return n
}

// textLimit allows twelve bytes a character: two escaped surrogates in JSON, four
// percent escapes in a form.
func textLimit(s *model.Shape) int {
	if s.Max == nil {
		return unbounded
	}
	return int(*s.Max) * 12
}

func upperFirst(s string) string { return string(unicode.ToUpper(rune(s[0]))) + s[1:] }

// lowerFirst is how AWS spells members in validation texts and audit records:
// only the first letter changes, as in aWSAccountId.
func lowerFirst(s string) string { return string(unicode.ToLower(rune(s[0]))) + s[1:] }

// enumSuffix names an enum's value as the SDK for Go does: SYMMETRIC_DEFAULT is
// SymmetricDefault, GenerateDataKey stays.
func enumSuffix(value string) string {
	var out strings.Builder
	for _, word := range strings.FieldsFunc(value, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		if strings.ToUpper(word) == word {
			word = strings.ToLower(word)
		}
		out.WriteString(upperFirst(word))
	}
	return out.String()
}
