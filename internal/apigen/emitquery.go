package main

import (
	"fmt"
	"strings"
)

// queryCodec writes decoders of forms and encoders of XML.
func (s *service) queryCodec() (decode, encode func(*writer)) {
	return s.formDecoders, s.xmlEncoders
}

func (s *service) formDecoders(w *writer) {
	for _, o := range s.Operations {
		w.p("func decode%s(body []byte) (any, error) {", o.Name)
		w.p("in := new(%s)", o.In.GoName)
		w.p("d := wire.ReadForm(body)")
		if len(o.In.Fields) > 0 {
			w.p("in.decodeForm(d, \"\")")
		}
		s.finishDecode(w, o)
	}
	for _, o := range s.Operations {
		if len(o.In.Fields) > 0 {
			s.formDecoder(w, o.In)
		}
	}
	for _, st := range s.Structs {
		if st.Decoded {
			s.formDecoder(w, st)
		}
	}
}

// formDecoder writes the reader of a structure. at is the structure's own name
// with a full stop behind it, or empty.
func (s *service) formDecoder(w *writer, st *structure) {
	w.p("func (v *%s) decodeForm(d *wire.Form, at string) {", st.GoName)
	for _, f := range st.Fields {
		v, name := "v."+f.Name, fmt.Sprintf("at+%q", f.Wire)
		method := "Text"
		switch f.Kind {
		case kindString, kindEnum:
		case kindInt:
			method = "Int32"
		case kindBool:
			method = "Bool"
		case kindTime:
			method = "Time"
		case kindStruct:
			w.p("if d.Struct(%s) {", name)
			w.p("%s = new(%s)", v, f.Struct.GoName)
			w.p("%s.decodeForm(d, %s)\n}", v, fmt.Sprintf("at+%q", f.Wire+"."))
			continue
		case kindList:
			w.p("if names := d.List(%s); names != nil {", name)
			w.p("%s = make(%s, len(names))", v, f.Type)
			w.p("for i, name := range names {")
			if f.Struct != nil {
				w.p("%s[i].decodeForm(d, name+\".\")", v)
			} else {
				w.p("x, _ := d.Text(name)")
				w.p("%s[i] = %s", v, convert(f.Element.Type, "x"))
			}
			w.p("}\n}")
			continue
		}
		w.p("if x, ok := d.%s(%s); ok {", method, name)
		switch {
		case f.Pointer() && (f.Kind == kindString || f.Kind == kindEnum) && f.Type != "*string":
			w.p("y := %s", convert(strings.TrimPrefix(f.Type, "*"), "x"))
			w.p("%s = &y", v)
		case f.Pointer():
			w.p("%s = &x", v)
		default:
			w.p("%s = %s", v, convert(f.Type, "x"))
		}
		if f.Odd != 0 && f.emptyIsAbsent() {
			w.p("if x == \"\" {\nv.odd |= %d\n}", f.Odd)
		}
		if f.Odd != 0 && !f.emptyIsAbsent() {
			w.p("} else {\nv.odd |= %d", f.Odd)
		}
		w.p("}")
	}
	w.p("}\n")
}

func convert(goType, v string) string {
	switch goType {
	case "string", "int32", "bool", "time.Time":
		return v
	}
	return goType + "(" + v + ")"
}

func (s *service) xmlEncoders(w *writer) {
	for _, o := range s.Operations {
		wrapper := o.ResultWrapper
		if wrapper == "" {
			wrapper = o.Name + "Result"
		}
		if !o.HasOutput {
			w.p("func encode%s(dst []byte, _ any) []byte { return dst }\n", o.Name)
			continue
		}
		w.p("func encode%s(dst []byte, out any) []byte {", o.Name)
		if len(o.Out.Fields) == 0 {
			w.p("return wire.AppendEnd(wire.AppendStart(dst, %q), %q)\n}\n", wrapper, wrapper)
			continue
		}
		w.p("dst = wire.AppendStart(dst, %q)", wrapper)
		w.p("if v, _ := out.(*%s); v != nil {", o.Out.GoName)
		w.p("dst = v.appendXML(dst)\n}")
		w.p("return wire.AppendEnd(dst, %q)\n}\n", wrapper)
	}
	for _, o := range s.Operations {
		if len(o.Out.Fields) > 0 {
			s.xmlEncoder(w, o.Out)
		}
	}
	for _, st := range s.Structs {
		if st.Encoded {
			s.xmlEncoder(w, st)
		}
	}
}

func (s *service) xmlEncoder(w *writer, st *structure) {
	w.p("func (v *%s) appendXML(dst []byte) []byte {", st.GoName)
	for _, f := range st.Fields {
		v := "v." + f.Name
		present := f.present()
		if present != "" {
			w.p("if %s {", present)
		}
		if f.Pointer() && f.Kind != kindStruct {
			v = "*" + v
		}
		switch f.Kind {
		case kindList:
			w.p("dst = wire.AppendStart(dst, %q)", f.Wire)
			w.p("for i := range %s {", v)
			f.Element.xmlAppend(w, "member", v+"[i]")
			w.p("}\ndst = wire.AppendEnd(dst, %q)", f.Wire)
		case kindMap:
			w.p("dst = wire.AppendStart(dst, %q)", f.Wire)
			w.p("for _, key := range wire.SortedKeys(%s) {", v)
			w.p("dst = wire.AppendElement(wire.AppendStart(dst, \"entry\"), \"key\", key)")
			f.Element.xmlAppend(w, "value", v+"[key]")
			w.p("dst = wire.AppendEnd(dst, \"entry\")")
			w.p("}\ndst = wire.AppendEnd(dst, %q)", f.Wire)
		default:
			f.xmlAppend(w, f.Wire, v)
		}
		if present != "" {
			w.p("}")
		}
	}
	w.p("return dst\n}\n")
}

func (f *field) xmlAppend(w *writer, name, v string) {
	switch f.Kind {
	case kindString, kindEnum:
		if strings.TrimPrefix(f.Type, "*") != "string" {
			v = "string(" + v + ")"
		}
		w.p("dst = wire.AppendElement(dst, %q, %s)", name, v)
	case kindInt:
		w.p("dst = wire.AppendIntElement(dst, %q, int64(%s))", name, v)
	case kindBool:
		w.p("dst = wire.AppendBoolElement(dst, %q, %s)", name, v)
	case kindBlob:
		w.p("dst = wire.AppendBlobElement(dst, %q, %s)", name, v)
	case kindTime:
		w.p("dst = wire.AppendTimeElement(dst, %q, %s)", name, v)
	case kindStruct:
		w.p("dst = wire.AppendStart(dst, %q)", name)
		w.p("dst = %s.appendXML(dst)", v)
		w.p("dst = wire.AppendEnd(dst, %q)", name)
	}
}
