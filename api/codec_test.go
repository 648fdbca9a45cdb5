package api_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/internal/apigen/model"
	"github.com/strongroom/strongroom/internal/operation"
	"github.com/strongroom/strongroom/internal/wire"
	"pgregory.net/rapid"
)

// draw returns a random value of the shape that every constraint allows, in the
// types of sample.
func (e *edge) draw(t *rapid.T, shape, label string) any {
	s := e.Shapes[shape]
	lo, hi := 0, 12
	if s.Min != nil {
		lo = int(*s.Min)
		hi = lo + 12
	}
	if s.Max != nil {
		hi = min(hi, int(*s.Max))
	}
	switch s.Type {
	case "string":
		switch {
		case s.Enum != nil:
			return rapid.SampledFrom(s.Enum).Draw(t, label)
		case s.Pattern != "":
			return padded(patterns[s.Pattern].sample, s)
		}
		return rapid.StringN(lo, hi, -1).Draw(t, label)
	case "blob":
		return rapid.SliceOfN(rapid.Byte(), lo, hi).Draw(t, label)
	case "integer":
		return float64(rapid.IntRange(lo, hi).Draw(t, label))
	case "boolean":
		return rapid.Bool().Draw(t, label)
	case "timestamp":
		return float64(rapid.Int64Range(leastTimestamp*1000, 4e12).Draw(t, label)) / 1000
	case "structure":
		m := map[string]any{}
		for _, member := range s.Members {
			if member.Required || rapid.Bool().Draw(t, label+"."+member.Name+"?") {
				m[member.Name] = e.draw(t, member.Shape, label+"."+member.Name)
			}
		}
		if len(m) == 0 && strings.Contains(label, ".") && e.table.Protocol == wire.AWSQuery {
			// A form cannot carry a structure without members.
			first := s.Members[0]
			m[first.Name] = e.draw(t, first.Shape, label+"."+first.Name)
		}
		return m
	case "list":
		list := make([]any, rapid.IntRange(lo, min(hi, lo+3)).Draw(t, label))
		for i := range list {
			list[i] = e.draw(t, s.Member, label)
		}
		return list
	case "map":
		m := map[string]any{}
		for _, k := range rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, label) {
			m[k] = e.draw(t, s.Value, label)
		}
		return m
	}
	panic(s.Type)
}

// plain reports whether a member's Go value has no room for "absent", and what
// stands for it.
func (e *edge) plain(m *model.Member, v reflect.Value) bool {
	return v.Kind() == reflect.String && !(m.Required && e.Shapes[m.Shape].Enum == nil && (e.Shapes[m.Shape].Min == nil || *e.Shapes[m.Shape].Min == 0))
}

// fields reads a generated structure back into the types of sample.
func (e *edge) fields(v reflect.Value, shape string) map[string]any {
	out := map[string]any{}
	for _, m := range e.Shapes[shape].Members {
		f := v.FieldByName(strings.ToUpper(m.Name[:1]) + m.Name[1:])
		if e.plain(m, f) && f.Len() == 0 {
			continue
		}
		switch f.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			if f.IsNil() {
				continue
			}
		}
		out[m.Name] = e.value(f, m.Shape)
	}
	return out
}

func (e *edge) value(v reflect.Value, shape string) any {
	s := e.Shapes[shape]
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	switch s.Type {
	case "string":
		return v.String()
	case "blob":
		return v.Bytes()
	case "integer":
		return float64(v.Int())
	case "boolean":
		return v.Bool()
	case "timestamp":
		return float64(v.Interface().(time.Time).UnixMilli()) / 1000
	case "structure":
		return e.fields(v, shape)
	case "list":
		list := make([]any, v.Len())
		for i := range list {
			list[i] = e.value(v.Index(i), s.Member)
		}
		return list
	case "map":
		m := map[string]any{}
		for _, k := range v.MapKeys() {
			m[k.String()] = e.value(v.MapIndex(k), s.Value)
		}
		return m
	}
	panic(s.Type)
}

// fill is the reverse of fields.
func (e *edge) fill(v reflect.Value, shape string, from map[string]any) {
	for _, m := range e.Shapes[shape].Members {
		if x, ok := from[m.Name]; ok {
			e.set(v.FieldByName(strings.ToUpper(m.Name[:1])+m.Name[1:]), m.Shape, x)
		}
	}
}

func (e *edge) set(v reflect.Value, shape string, x any) {
	s := e.Shapes[shape]
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch s.Type {
	case "string":
		v.SetString(x.(string))
	case "blob":
		v.SetBytes(x.([]byte))
	case "integer":
		v.SetInt(int64(x.(float64)))
	case "boolean":
		v.SetBool(x.(bool))
	case "timestamp":
		v.Set(reflect.ValueOf(time.UnixMilli(int64(x.(float64)*1000 + 0.5))))
	case "structure":
		e.fill(v, shape, x.(map[string]any))
	case "list":
		v.Set(reflect.MakeSlice(v.Type(), len(x.([]any)), len(x.([]any))))
		for i, y := range x.([]any) {
			e.set(v.Index(i), s.Member, y)
		}
	case "map":
		v.Set(reflect.MakeMap(v.Type()))
		for k, y := range x.(map[string]any) {
			value := reflect.New(v.Type().Elem()).Elem()
			e.set(value, s.Value, y)
			v.SetMapIndex(reflect.ValueOf(k), value)
		}
	}
}

// primitives adds the booleans that stand for false when they are absent.
func (e *edge) primitives(shape string, m map[string]any) {
	for _, member := range e.Shapes[shape].Members {
		s := e.Shapes[member.Shape]
		if x, ok := m[member.Name]; !ok && s.ZeroIsAbsent {
			m[member.Name] = false
		} else if ok && s.Type == "structure" {
			e.primitives(member.Shape, x.(map[string]any))
		} else if ok && s.Type == "list" && e.Shapes[s.Member].Type == "structure" {
			for _, y := range x.([]any) {
				e.primitives(s.Member, y.(map[string]any))
			}
		}
	}
}

// TestRequestsComeBack: decoding what encoding/json or net/url wrote gives what
// was written.
func TestRequestsComeBack(t *testing.T) {
	for _, e := range edges(t) {
		for _, row := range e.table.Operations {
			shape := e.Operations[row.Name].Input
			if shape == "" {
				continue
			}
			rapid.Check(t, func(t *rapid.T) {
				want := e.draw(t, shape, row.Name).(map[string]any)
				body := e.body(want)
				in, err := row.Decode(body)
				if err != nil {
					t.Fatalf("%s: %v", body, err)
				}
				clear(body) // nothing may still refer to it
				e.primitives(shape, want)
				got := e.fields(reflect.ValueOf(in).Elem(), shape)
				if !reflect.DeepEqual(got, want) {
					t.Fatalf("%s\ngot  %v\nwant %v", row.Name, got, want)
				}
				if err := in.(interface{ Validate() error }).Validate(); err != nil {
					t.Fatalf("%s was decoded, but Validate says %v", row.Name, err)
				}
			})
		}
	}
}

// newOutput returns a new output of the operation.
func newOutput(row *operation.Row, handler reflect.Type) reflect.Value {
	method, _ := handler.MethodByName(row.Name)
	return reflect.New(method.Type.Out(0).Elem())
}

// TestAnswersComeBack: what the encoders write, encoding/json and encoding/xml
// read as it was meant.
func TestAnswersComeBack(t *testing.T) {
	for _, e := range edges(t) {
		for i := range e.table.Operations {
			row := &e.table.Operations[i]
			shape := e.Operations[row.Name].Output
			if shape == "" {
				if got := row.Encode(nil, newOutput(row, handlers[e.name]).Interface()); len(got) != 0 {
					t.Errorf("%s has no output, but answers %s", row.Name, got)
				}
				continue
			}
			rapid.Check(t, func(t *rapid.T) {
				want := e.draw(t, shape, row.Name).(map[string]any)
				out := newOutput(row, handlers[e.name])
				e.fill(out.Elem(), shape, want)
				e.primitives(shape, want)
				e.omitEmpty(out.Elem().Type(), shape, want)
				answer := row.Encode([]byte("before"), out.Interface())
				if !bytes.HasPrefix(answer, []byte("before")) {
					t.Fatalf("%s did not append: %s", row.Name, answer)
				}
				answer = answer[len("before"):]
				if e.table.Protocol == wire.AWSJSON11 {
					var got any
					if err := json.Unmarshal(answer, &got); err != nil {
						t.Fatalf("%s: %v", answer, err)
					}
					if want := onJSON(want); !reflect.DeepEqual(got, want) {
						t.Fatalf("%s\ngot  %v\nwant %v", row.Name, got, want)
					}
					return
				}
				name, got := parseXML(t, answer)
				if want := e.onXML(shape, want); name != row.Name+"Result" || !reflect.DeepEqual(got, want) {
					t.Fatalf("%s\ngot  %v\nwant %v", name, got, want)
				}
			})
		}
	}
}

// TestNothingToAnswer: no output, and an output that says nothing.
func TestNothingToAnswer(t *testing.T) {
	for _, e := range edges(t) {
		for i := range e.table.Operations {
			row := &e.table.Operations[i]
			want := "{}"
			if e.table.Protocol == wire.AWSQuery && e.Operations[row.Name].Output != "" {
				want = "<" + row.Name + "Result></" + row.Name + "Result>"
			} else if e.Operations[row.Name].Output == "" {
				want = ""
			}
			if got := string(row.Encode(nil, nil)); got != want {
				t.Errorf("%s answers %s; want %s", row.Name, got, want)
			}
		}
	}
}

// omitEmpty drops what an encoder leaves out: "" where that stands for absent.
func (e *edge) omitEmpty(typ reflect.Type, shape string, m map[string]any) {
	for _, member := range e.Shapes[shape].Members {
		s := e.Shapes[member.Shape]
		f, _ := typ.FieldByName(strings.ToUpper(member.Name[:1]) + member.Name[1:])
		x, ok := m[member.Name]
		switch {
		case !ok:
		case x == "" && !member.Required && s.Min == nil && f.Type.Kind() != reflect.Pointer:
			delete(m, member.Name)
		case s.Type == "structure":
			e.omitEmpty(f.Type.Elem(), member.Shape, x.(map[string]any))
		case s.Type == "list" && e.Shapes[s.Member].Type == "structure":
			for _, y := range x.([]any) {
				e.omitEmpty(f.Type.Elem(), s.Member, y.(map[string]any))
			}
		}
	}
}

func onJSON(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			v[k] = onJSON(x)
		}
	case []any:
		for i, x := range v {
			v[i] = onJSON(x)
		}
	case []byte:
		return base64.StdEncoding.EncodeToString(v)
	}
	return v
}

// An xmlElement is an element of an answer: its text, or what is in it.
type xmlElement struct {
	name string
	in   any // string or []xmlElement
}

// onXML is what an answer's structure looks like in XML, in the model's order.
func (e *edge) onXML(shape string, m map[string]any) any {
	var in []xmlElement
	for _, member := range e.Shapes[shape].Members {
		if x, ok := m[member.Name]; ok {
			in = append(in, xmlElement{member.Name, e.inXML(member.Shape, x)})
		}
	}
	return orEmpty(in)
}

// orEmpty: an element without anything in it reads like one with an empty text.
func orEmpty(in []xmlElement) any {
	if in == nil {
		return ""
	}
	return in
}

func (e *edge) inXML(shape string, x any) any {
	s := e.Shapes[shape]
	switch s.Type {
	case "structure":
		return e.onXML(shape, x.(map[string]any))
	case "list":
		var in []xmlElement
		for _, y := range x.([]any) {
			in = append(in, xmlElement{"member", e.inXML(s.Member, y)})
		}
		return orEmpty(in)
	case "map":
		var in []xmlElement
		values := x.(map[string]any)
		for _, k := range slices.Sorted(maps.Keys(values)) {
			in = append(in, xmlElement{"entry", []xmlElement{{"key", xmlText(k)}, {"value", e.inXML(s.Value, values[k])}}})
		}
		return orEmpty(in)
	case "timestamp":
		at := time.UnixMilli(int64(x.(float64)*1000 + 0.5)).UTC()
		return strings.Replace(at.Format("2006-01-02T15:04:05.000Z"), ".000Z", "Z", 1)
	case "string":
		return xmlText(x.(string))
	case "blob":
		return base64.StdEncoding.EncodeToString(x.([]byte))
	}
	return fmt.Sprint(x)
}

// xmlText has U+FFFD where XML cannot carry a character.
func xmlText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
			return 0xFFFD
		}
		return r
	}, s)
}

// parseXML reads one element: its name and what is in it.
func parseXML(t *rapid.T, answer []byte) (string, any) {
	d := xml.NewDecoder(bytes.NewReader(answer))
	token, err := d.Token()
	if err != nil {
		t.Fatalf("%s: %v", answer, err)
	}
	start := token.(xml.StartElement)
	var read func() any
	read = func() any {
		text := ""
		var children []xmlElement
		for {
			token, err := d.Token()
			if err != nil {
				t.Fatalf("%s: %v", answer, err)
			}
			switch token := token.(type) {
			case xml.StartElement:
				children = append(children, xmlElement{token.Name.Local, read()})
			case xml.CharData:
				text += string(token)
			case xml.EndElement:
				if len(children) > 0 {
					return children
				}
				return text
			}
		}
	}
	v := read()
	if _, err := d.Token(); err != io.EOF {
		t.Fatalf("%s goes on", answer)
	}
	return start.Name.Local, v
}
