package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/internal/wire"
)

// TestConstraintsOnTheWire sends a request for each broken constraint of each
// operation to a server: it answers AWS's text, and nothing changes.
func TestConstraintsOnTheWire(t *testing.T) {
	edges := byName(t)
	r := startRunning(t, edges)
	before := r.state(t, edges)
	var cases []wireCase
	for name, e := range edges {
		code := map[wire.Protocol]string{wire.AWSJSON11: "ValidationException", wire.AWSQuery: "ValidationError"}[e.table.Protocol]
		count := len(cases)
		missing := unbuilt(t, name)
		for _, op := range slices.Sorted(maps.Keys(e.Operations)) {
			if e.Operations[op].Unsigned || missing[op] {
				continue
			}
			e.violations(t, op, r.plausible(e.input(t, op, true)), func(v violation) {
				message := v.message
				if e.table.Protocol == wire.AWSQuery {
					message = inXML(message)
				}
				body := e.request(op, e.lean(op, v.input, v.within))
				if len(body) > mostBody {
					return
				}
				broken := "too much"
				if len(body) < 4096 {
					broken = fmt.Sprintf("= %.80v", v.value)
				}
				cases = append(cases, wireCase{edge: e, op: op, body: body, code: code, message: message, member: v.member, describe: broken})
			})
		}
		if least := map[string]int{"iam": 500, "kms": 400, "sts": 50}[name]; len(cases)-count < least {
			t.Errorf("%s: only %d cases: the walk is wrong", name, len(cases)-count)
		}
	}
	r.refusals(t, cases)
	if after := r.state(t, edges); after != before {
		t.Errorf("state changed from\n%s\nto\n%s", before, after)
	}
	t.Logf("%d requests", len(cases))
}

// unbuilt are the operations of a service that are not built, as the list of
// deviations has them.
func unbuilt(t *testing.T, service string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../docs/deviations.md")
	if err != nil {
		t.Fatal(err)
	}
	missing := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if list, ok := strings.CutPrefix(line, "<!-- list: "+service+" -->"); ok {
			for _, name := range strings.Split(list, "`") {
				missing[name] = true
			}
		}
	}
	return missing
}

// inXML is how text comes back from XML 1.0, which has no control characters.
func inXML(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' {
			return '\uFFFD'
		}
		return r
	}, text)
}

// jsonKinds are values of every kind with AWS's words for one that is in the wrong
// place; %s is what was expected.
var jsonKinds = []struct{ kind, text, message string }{
	{"object", `{}`, "Start of structure or map found where not expected."},
	{"array", `[]`, "Start of list found where not expected."},
	{"string", `"text"`, "STRING_VALUE can not be converted to %s"},
	{"number", `7`, "NUMBER_VALUE can not be converted to %s"},
	{"boolean", `true`, "TRUE_VALUE can not be converted to %s"},
	{"boolean", `false`, "FALSE_VALUE can not be converted to %s"},
}

// jsonTypes are the types of the model: the kind of JSON that each is written in,
// and what it is called; a map goes for a structure, since AWS's word for it is not
// known.
var jsonTypes = map[string]struct{ kind, called string }{
	"string": {"string", "a String"}, "blob": {"string", "a Blob"}, "integer": {"number", "an Integer"}, "boolean": {"boolean", "a Boolean"},
	"timestamp": {"number", "a Timestamp"}, "structure": {"object", "a Structure"}, "map": {"object", "a Structure"}, "list": {"array", "a List"},
}

// mistyped calls try with each member of a shape, in each wrong kind of JSON.
func (e *edge) mistyped(shape string, in map[string]any, try func(member, text, message string)) {
	var visit func(member, shape string, put func(any))
	visit = func(member, shape string, put func(any)) {
		s := e.Shapes[shape]
		right := jsonTypes[s.Type]
		for _, wrong := range jsonKinds {
			if wrong.kind == right.kind {
				continue
			}
			message := wrong.message
			if strings.Contains(message, "%s") {
				message = fmt.Sprintf(message, right.called)
			}
			put(json.RawMessage(wrong.text))
			try(member, wrong.text, message)
		}
		switch s.Type {
		case "structure":
			inner := map[string]any{}
			put(inner)
			for _, m := range s.Members {
				visit(member+"."+m.Name, m.Shape, func(v any) { clear(inner); inner[m.Name] = v })
			}
		case "list":
			list := make([]any, 1)
			put(list)
			visit(member+"[0]", s.Member, func(v any) { list[0] = v })
			list[0] = nil
			try(member+"[0]", "null", "Null found in a list where a value was expected")
		case "map":
			inner := map[string]any{}
			put(inner)
			visit(member+"{}", s.Value, func(v any) { inner["k"] = v })
			inner["k"] = nil
			try(member+"{}", "null", "Null found in a map where a value was expected")
		}
	}
	for _, m := range e.Shapes[shape].Members {
		before, had := in[m.Name]
		visit(m.Name, m.Shape, func(v any) { in[m.Name] = v })
		if delete(in, m.Name); had {
			in[m.Name] = before
		}
	}
}

// TestTypesOnTheWire sends each member of each KMS operation in each kind of JSON
// that it is not.
func TestTypesOnTheWire(t *testing.T) {
	edges := byName(t)
	e := edges["kms"]
	r := startRunning(t, edges)
	before := r.state(t, edges)
	var cases []wireCase
	for _, op := range slices.Sorted(maps.Keys(e.Operations)) {
		shape := e.Operations[op].Input
		if shape == "" {
			continue
		}
		in := r.plausible(e.input(t, op, false))
		e.mistyped(shape, in, func(member, text, message string) {
			cases = append(cases, wireCase{edge: e, op: op, body: e.request(op, in), code: "SerializationException", message: message,
				prefix: strings.HasPrefix(message, "Null"), member: member, describe: "= " + text})
		})
		// The request as a whole.
		for _, body := range []string{`[]`, `"text"`, `7`, `true`, `null`, `{`, `{}}`, `{"KeyId"}`, `{"KeyId":}`, `nul`} {
			cases = append(cases, wireCase{edge: e, op: op, body: []byte(body), code: "SerializationException", prefix: true, member: "the body", describe: body})
		}
	}
	if len(cases) < 1500 {
		t.Errorf("only %d cases: the walk is wrong", len(cases))
	}
	r.refusals(t, cases)
	if after := r.state(t, edges); after != before {
		t.Errorf("state changed from\n%s\nto\n%s", before, after)
	}
	t.Logf("%d requests", len(cases))
}

// TestNullsOnTheWire: null is the same as absent, in members that are optional and
// in those that nobody knows. What is broken besides is told as it would be
// without them.
func TestNullsOnTheWire(t *testing.T) {
	edges := byName(t)
	e := edges["kms"]
	r := startRunning(t, edges)
	var cases []wireCase
	for _, op := range slices.Sorted(maps.Keys(e.Operations)) {
		shape := e.Operations[op].Input
		if shape == "" {
			continue
		}
		last := map[string]wireCase{}
		e.violations(t, op, r.plausible(e.input(t, op, true)), func(v violation) {
			in := e.lean(op, v.input, v.within)
			if v.value == absent {
				in[v.within] = nil
			}
			for _, m := range e.Shapes[shape].Members {
				if _, given := in[m.Name]; !given && !m.Required {
					in[m.Name] = nil
				}
			}
			in["NobodyKnows"] = nil
			in["NorThis"] = map[string]any{"a": []any{nil, nil}, "b": nil}
			last[v.within] = wireCase{edge: e, op: op, body: e.request(op, in), code: "ValidationException", message: v.message, member: v.within, describe: "among nulls"}
		})
		cases = slices.AppendSeq(cases, maps.Values(last))
	}
	if len(cases) < 100 {
		t.Errorf("only %d cases: the walk is wrong", len(cases))
	}
	r.refusals(t, cases)
}

// TestQueryOnTheWire: members that come as something else than the model has them,
// in the query protocol.
func TestQueryOnTheWire(t *testing.T) {
	edges := byName(t)
	r := startRunning(t, edges)
	before := r.state(t, edges)
	var cases []wireCase
	for _, e := range []*edge{edges["iam"], edges["sts"]} {
		for _, op := range slices.Sorted(maps.Keys(e.Operations)) {
			o := e.Operations[op]
			if o.Input == "" || o.Unsigned {
				continue
			}
			for _, m := range e.Shapes[o.Input].Members {
				for _, value := range map[string][]string{
					"integer": {"", "x", "1.5", "99999999999", "0x10", " 7"}, "boolean": {"", "yes", "TRUE ", "1"}, "timestamp": {"", "yesterday", "2026-13-01T00:00:00Z"},
				}[e.Shapes[m.Shape].Type] {
					in := e.lean(op, r.plausible(e.input(t, op, false)), "")
					body := append(e.request(op, in), "&"+m.Name+"="+url.QueryEscape(value)...)
					cases = append(cases, wireCase{edge: e, op: op, body: body, code: "MalformedInput", prefix: true, member: m.Name, describe: fmt.Sprintf("= %q", value)})
				}
			}
		}
	}
	if len(cases) < 100 {
		t.Errorf("only %d cases: the walk is wrong", len(cases))
	}
	r.refusals(t, cases)
	if after := r.state(t, edges); after != before {
		t.Errorf("state changed from\n%s\nto\n%s", before, after)
	}
	t.Logf("%d requests", len(cases))
}
