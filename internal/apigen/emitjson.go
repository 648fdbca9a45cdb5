package main

import (
	"fmt"
	"slices"
	"strings"
)

// jsonCodec writes decoders and encoders of awsJson 1.1.
func (s *service) jsonCodec() (decode, encode func(*writer)) {
	return s.jsonDecoders, s.jsonEncoders
}

func (s *service) jsonDecoders(w *writer) {
	for _, o := range s.Operations {
		w.p("func decode%s(body []byte) (any, error) {", o.Name)
		if o.In.hasBlob() {
			w.p("mem := new(struct {\nin %s\nroom wire.Room\n})", o.In.GoName)
			w.p("in := &mem.in")
			w.p("d := wire.ReadJSONInto(&mem.room, body)")
		} else {
			w.p("in := new(%s)", o.In.GoName)
			w.p("d := wire.ReadJSON(body)")
		}
		w.p("in.decodeJSON(&d)")
		s.finishDecode(w, o)
	}
	for _, o := range s.Operations {
		s.jsonDecoder(w, o.In)
	}
	for _, st := range s.Structs {
		if st.Decoded {
			s.jsonDecoder(w, st)
		}
	}
	for _, e := range s.Enums {
		if e.Decoded {
			w.p("// decode%s returns a known value without allocating.", e.Name)
			w.p("func decode%s(text []byte) %s {", e.Name, e.Name)
			w.p("switch string(text) {")
			for _, v := range e.Values {
				w.p("case %q:\nreturn %s", v.Wire, v.Go)
			}
			w.p("}\nreturn %s(text)\n}\n", e.Name)
		}
	}
}

// hasBlob tells whether a member is a blob.
func (s *structure) hasBlob() bool {
	return slices.ContainsFunc(s.Fields, func(f *field) bool { return f.Kind == kindBlob })
}

func (s *service) finishDecode(w *writer, o *operation) {
	w.p("if err := d.Close(); err != nil {\nreturn nil, err\n}")
	if s.checked(o.In) {
		w.p("var c wire.Violations")
		w.p("in.validate(&c, nil)")
		w.p("if err := c.Err(); err != nil {\nreturn nil, err\n}")
	}
	w.p("return in, nil\n}\n")
}

func (s *service) jsonDecoder(w *writer, st *structure) {
	w.p("func (v *%s) decodeJSON(d *wire.JSON) {", st.GoName)
	if len(st.Fields) > 0 {
		w.p("var seen uint64")
	}
	if absent := st.absentBits(); absent != 0 {
		w.p("v.odd = %d // until they come", absent)
	}
	w.p("for d.Object(); d.Next(); {")
	if len(st.Fields) == 0 {
		w.p("d.Unknown()\n}\n}\n")
		return
	}
	w.p("switch string(d.Key()) {")
	for i, f := range st.Fields {
		w.p("case %q:", f.Wire)
		w.p("if d.Member(&seen, 1<<%d) {", i)
		f.jsonRead(w)
		w.p("}")
	}
	w.p("default:\nd.Unknown()\n}\n}")
	w.p("}\n")
}

// emptyIsAbsent reports whether the field's zero value stands for absent.
func (f *field) emptyIsAbsent() bool {
	return !f.Pointer() && (f.Kind == kindEnum || f.Kind == kindString && (!emptyIsValid(f.Shape) || !f.Required))
}

// absentBits are the bits of the members that odd calls not sent.
func (s *structure) absentBits() uint64 {
	var bits uint64
	for _, f := range s.Fields {
		if f.Odd != 0 && !f.emptyIsAbsent() {
			bits |= f.Odd
		}
	}
	return bits
}

// jsonRead writes the statements that read a member's value, which is not null.
func (f *field) jsonRead(w *writer) {
	v := "v." + f.Name
	value := f.jsonValue()
	switch {
	case f.Kind == kindList:
		w.p("%s = %s{}", v, f.Type)
		w.p("for d.Array(); d.Element(); {")
		if f.Struct != nil {
			w.p("var e %s", f.Struct.GoName)
			w.p("e.decodeJSON(d)")
			w.p("%s = append(%s, e)", v, v)
		} else {
			w.p("%s = append(%s, %s)", v, v, f.Element.jsonValue())
		}
		w.p("}")
	case f.Kind == kindStruct:
		w.p("%s = new(%s)", v, f.Struct.GoName)
		w.p("%s.decodeJSON(d)", v)
	case f.Pointer():
		w.p("x := %s", value)
		w.p("%s = &x", v)
	default:
		w.p("%s = %s", v, value)
	}
	if f.Odd == 0 {
		return
	}
	if f.emptyIsAbsent() {
		w.p("if %s == \"\" {\nv.odd |= %d\n}", v, f.Odd)
	} else {
		w.p("v.odd &^= %d", f.Odd)
	}
}

func (f *field) jsonValue() string {
	switch f.Kind {
	case kindEnum:
		return "decode" + f.Type + "(d.Text())"
	case kindString:
		return strings.TrimPrefix(f.Type, "*") + "(d.Text())"
	case kindBlob:
		return "d.Blob()"
	case kindInt:
		return "d.Int32()"
	case kindBool:
		return "d.Bool()"
	case kindTime:
		return "d.Time()"
	case kindMap:
		if f.Element.Kind == kindList {
			return "d.StringLists()"
		}
		return "d.StringMap()"
	}
	return ""
}

func (s *service) jsonEncoders(w *writer) {
	for _, o := range s.Operations {
		if !o.HasOutput {
			w.p("func encode%s(dst []byte, _ any) []byte { return dst }\n", o.Name)
			continue
		}
		w.p("func encode%s(dst []byte, out any) []byte {", o.Name)
		w.p("if v, _ := out.(*%s); v != nil {", o.Out.GoName)
		w.p("return v.appendJSON(dst)\n}")
		w.p("return append(dst, \"{}\"...)\n}\n")
	}
	for _, o := range s.Operations {
		if o.HasOutput {
			s.jsonEncoder(w, o.Out, "appendJSON", o.Out.Fields)
		}
	}
	for _, st := range s.Structs {
		if st.Encoded {
			s.jsonEncoder(w, st, "appendJSON", st.Fields)
		}
	}
}

func (s *service) jsonEncoder(w *writer, st *structure, method string, fields []*field) {
	receiver := "v"
	if len(fields) == 0 {
		receiver = "_"
	}
	w.p("func (%s *%s) %s(dst []byte) []byte {", receiver, st.GoName, method)
	w.p("dst = append(dst, '{')")
	for _, f := range fields {
		f.jsonWrite(w, method)
	}
	w.p("return append(dst, '}')\n}\n")
}

// jsonWrite writes the statements that append a member, under its name on the
// wire or, for audit records, its camel-case one.
func (f *field) jsonWrite(w *writer, method string) {
	v, name := "v."+f.Name, f.Wire
	if method == "appendAudit" {
		name = f.Path
	}
	named := fmt.Sprintf("wire.AppendName(dst, %q)", name)
	present := f.present()
	if present != "" {
		w.p("if %s {", present)
	}
	if f.Pointer() && f.Kind != kindStruct {
		v = "*" + v
	}
	switch {
	case f.Kind == kindList:
		w.p("dst = append(%s, '[')", named)
		w.p("for i := range %s {", v)
		f.Element.jsonAppend(w, v+"[i]", "wire.AppendComma(dst)", method)
		w.p("}\ndst = append(dst, ']')")
	default:
		f.jsonAppend(w, v, named, method)
	}
	if present != "" {
		w.p("}")
	}
}

func (f *field) jsonAppend(w *writer, v, dst, method string) {
	switch f.Kind {
	case kindString, kindEnum:
		if strings.TrimPrefix(f.Type, "*") != "string" {
			v = "string(" + v + ")"
		}
		w.p("dst = wire.AppendString(%s, %s)", dst, v)
	case kindBlob:
		w.p("dst = wire.AppendBlob(%s, %s)", dst, v)
	case kindInt:
		w.p("dst = wire.AppendInt(%s, int64(%s))", dst, v)
	case kindBool:
		w.p("dst = wire.AppendBool(%s, %s)", dst, v)
	case kindTime:
		if method == "appendAudit" {
			w.p("dst = wire.AppendAuditTime(%s, %s)", dst, v)
		} else {
			w.p("dst = wire.AppendTime(%s, %s)", dst, v)
		}
	case kindStruct:
		w.p("dst = %s.%s(%s)", v, method, dst)
	case kindMap:
		if f.Element.Kind == kindList {
			w.p("dst = wire.AppendStringLists(%s, %s)", dst, v)
			break
		}
		w.p("dst = wire.AppendStringMap(%s, %s)", dst, v)
	}
}

// present is the Go expression for "this member is answered", "" for always.
func (f *field) present() string {
	v := "v." + f.Name
	switch f.Kind {
	case kindString, kindEnum:
		if f.Pointer() {
			return v + " != nil"
		}
		if f.Required {
			return ""
		}
		return v + ` != ""`
	case kindInt, kindBool, kindTime:
		if f.Pointer() {
			return v + " != nil"
		}
		return ""
	}
	return v + " != nil"
}

// auditors write what audit records show: for operations the listed members, for
// the structures in them whatever is neither sensitive nor a blob.
func (s *service) auditors(w *writer) {
	for _, o := range s.Operations {
		s.topAuditor(w, o.In, o.Audit.Request)
		s.topAuditor(w, o.Out, o.Audit.Response)
	}
	for _, st := range s.Structs {
		if !st.Audited {
			continue
		}
		var shown []*field
		for _, f := range st.Fields {
			if f.auditable() {
				shown = append(shown, f)
			}
		}
		s.jsonEncoder(w, st, "appendAudit", shown)
	}
	w.p("// auditNothing stands where records show nothing of a request or an answer.")
	w.p("func auditNothing(dst []byte, _ any) []byte { return append(dst, \"null\"...) }\n")
}

func (s *service) topAuditor(w *writer, st *structure, members []string) {
	if len(members) == 0 {
		return
	}
	listed := map[string]bool{}
	for _, m := range members {
		listed[m] = true
	}
	var shown []*field
	for _, f := range st.Fields {
		if listed[f.Wire] {
			shown = append(shown, f)
		}
	}
	w.p("func audit%s(dst []byte, value any) []byte {", st.GoName)
	w.p("v, _ := value.(*%s)", st.GoName)
	w.p("if v == nil {\nreturn append(dst, \"null\"...)\n}")
	w.p("return wire.NullIfEmpty(v.appendAudit(dst), len(dst))\n}\n")
	s.jsonEncoder(w, st, "appendAudit", shown)
}
