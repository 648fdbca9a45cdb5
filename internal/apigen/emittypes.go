package main

import (
	"fmt"
	"strings"
)

// packageDoc writes the package comment.
func (s *service) packageDoc(w *writer) {
	protocol := "awsJson 1.1"
	if s.Service.Protocol == "query" {
		protocol = "the query protocol"
	}
	w.doc = fmt.Sprintf(`// Package %s is the wire of the service %s, version %s, in
// %s: types, codecs, validation, redaction, errors and the operation
// table. Package api describes what the generated packages have in common.
`, s.Name, s.EventSource, s.Service.APIVersion, protocol)
}

// types writes the structures.
func (s *service) types(w *writer) {
	for _, o := range s.Operations {
		s.structType(w, o.In)
		s.structType(w, o.Out)
	}
	for _, st := range s.Structs {
		s.structType(w, st)
	}
}

func (s *service) structType(w *writer, st *structure) {
	w.p("// %s", st.Doc)
	if len(st.Fields) == 0 {
		w.p("type %s struct{}\n", st.GoName)
		return
	}
	w.p("type %s struct {", st.GoName)
	for _, f := range st.Fields {
		w.p("%s %s%s", f.Name, f.Type, f.facts(st.Decoded))
	}
	if st.HasOdd() {
		w.p("\nodd uint64 // members that came in a way that their values cannot tell")
	}
	w.p("}\n")
}

// facts says in a comment what the model asks of a request's member.
func (f *field) facts(decoded bool) string {
	if !decoded {
		return ""
	}
	var facts []string
	if f.Required {
		facts = append(facts, "required")
	}
	unit := map[kind]string{kindString: " characters", kindBlob: " bytes", kindList: " elements"}[f.Kind]
	switch lo, hi := f.Shape.Min, f.Shape.Max; {
	case f.Kind == kindEnum || f.Kind == kindMap:
	case lo != nil && hi != nil && *lo == *hi:
		facts = append(facts, fmt.Sprintf("%d%s", *lo, unit))
	case lo != nil && hi != nil:
		facts = append(facts, fmt.Sprintf("%d to %d%s", *lo, *hi, unit))
	case lo != nil:
		facts = append(facts, fmt.Sprintf("at least %d%s", *lo, unit))
	case hi != nil:
		facts = append(facts, fmt.Sprintf("at most %d%s", *hi, unit))
	}
	if len(facts) == 0 {
		return ""
	}
	return " // " + strings.Join(facts, ", ")
}

// enumTypes writes the enums and their values.
func (s *service) enumTypes(w *writer) {
	for _, e := range s.Enums {
		w.p("// %s is one of the values below; a request with another is refused.", e.Name)
		w.p("type %s string\n", e.Name)
		w.p("// The values of %s.", e.Name)
		w.p("const (")
		for _, v := range e.Values {
			w.p("%s %s = %q", v.Go, e.Name, v.Wire)
		}
		w.p(")\n")
	}
}

// exceptions writes one constructor for each error of the model.
func (s *service) exceptions(w *writer) {
	for _, e := range s.Errors {
		fault := "client"
		if e.Server {
			fault = "server"
		}
		w.p("// %s returns the %s error of that name, with status %d.", e.Name, fault, e.Status)
		w.p("func %s(message string) *awserr.Error {", e.Name)
		line := fmt.Sprintf("Code: %q, Message: message, Status: %d", e.Name, e.Status)
		if e.Server {
			line += ", Fault: awserr.Server"
		}
		if e.QueryCode != "" {
			line += fmt.Sprintf(", QueryCode: %q", e.QueryCode)
		}
		w.p("return &awserr.Error{%s}\n}\n", line)
	}
}

// table writes the handler's interface, its empty implementation and the table.
func (s *service) table(w *writer) {
	w.p("// Handler is what serves the operations. A method that returns an error returns")
	w.p("// an *awserr.Error for every refusal; any other error is answered as an internal")
	w.p("// failure. Methods are called from many goroutines at once.")
	w.p("type Handler interface {")
	for _, o := range s.Operations {
		w.p("%s(ctx context.Context, call *authz.Call, in *%s) (*%s, error)", o.Name, o.In.GoName, o.Out.GoName)
	}
	w.p("}\n")
	w.p("// Unimplemented refuses every operation by its name. A service embeds it, so that")
	w.p("// what it does not serve yet is answered clearly.")
	w.p("type Unimplemented struct{}\n")
	w.p("var _ Handler = Unimplemented{}\n")
	w.p("func unimplemented(operation string) *awserr.Error {")
	w.p("return awserr.New(\"UnsupportedOperationException\", \"Strongroom does not support %s:\" + operation + \" yet.\")", s.Name)
	w.p("}\n")
	for _, o := range s.Operations {
		w.p("// %s refuses the operation.", o.Name)
		w.p("func (Unimplemented) %s(context.Context, *authz.Call, *%s) (*%s, error) {", o.Name, o.In.GoName, o.Out.GoName)
		w.p("return nil, unimplemented(%q)\n}\n", o.Name)
	}
	w.p("// Table returns the service's operations, served by h.")
	w.p("func Table(h Handler) *operation.Service {")
	w.p("return &operation.Service{")
	w.p("Name: %q,", s.Service.SigningName)
	w.p("EventSource: %q,", s.EventSource)
	if s.Service.Protocol == "query" {
		w.p("Protocol: wire.AWSQuery,")
		w.p("Version: %q,", s.Service.APIVersion)
		w.p("XMLNamespace: %q,", s.Service.XMLNamespace)
	} else {
		w.p("Protocol: wire.AWSJSON11,")
		w.p("TargetPrefix: %q,", s.Service.TargetPrefix)
	}
	w.p("Operations: []operation.Row{")
	for _, o := range s.Operations {
		w.p("{")
		w.p("Name: %q, Action: %q,", o.Name, o.Action)
		if *o.ReadOnly {
			w.p("ReadOnly: true,")
		}
		if o.Unsigned {
			w.p("Unsigned: true,")
		}
		w.p("BodyLimit: %d,", o.BodyLimit)
		w.p("Decode: decode%s,", o.Name)
		w.p("Invoke: invoke(h.%s),", o.Name)
		w.p("Encode: encode%s,", o.Name)
		w.p("AuditRequest: %s,", auditFunc(o.In, o.Audit.Request))
		w.p("AuditResponse: %s,", auditFunc(o.Out, o.Audit.Response))
		w.p("},")
	}
	w.p("},\n}\n}\n")
	w.p("// invoke carries a handler's method for a table that knows no types.")
	w.p("func invoke[In, Out any](method func(context.Context, *authz.Call, *In) (*Out, error)) func(context.Context, *authz.Call, any) (any, error) {")
	w.p("return func(ctx context.Context, call *authz.Call, in any) (any, error) {")
	w.p("out, err := method(ctx, call, in.(*In))")
	w.p("if err != nil {\nreturn nil, err\n}")
	w.p("return out, nil\n}\n}\n")
}

func auditFunc(st *structure, members []string) string {
	if len(members) == 0 {
		return "auditNothing"
	}
	return "audit" + st.GoName
}
