package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/strongroom/strongroom/internal/awserr"
	"pgregory.net/rapid"
)

// readAny reads a body of unknown members, as a decoder that knows none does.
func readAny(body string) error {
	d := ReadJSON([]byte(body))
	for d.Object(); d.Next(); {
		d.Unknown()
	}
	return d.Close()
}

func TestReadJSONAccepts(t *testing.T) {
	for _, body := range []string{
		``, `{}`, " \t\r\n{ } \n",
		`{"a":1,"b":-0.5e+10,"c":[],"d":[1,"x",null,{"a":{}}],"e":true,"f":false,"g":null}`,
		`{"a":{"x":1},"b":{"x":1}}`,
		`{"\u0061":"\ud83d\ude00\n\/\"\\"}`,
		`{"a":"é\u0000"}`,
		`{"a":` + strings.Repeat("[", maxDepth-1) + strings.Repeat("]", maxDepth-1) + `}`,
	} {
		if err := readAny(body); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestReadJSONRefuses(t *testing.T) {
	for body, want := range map[string]string{
		` `:                        "Unexpected end of the request",
		`null`:                     "NULL_VALUE can not be converted to a Structure",
		`[]`:                       "Start of list found where not expected.",
		`"x"`:                      "STRING_VALUE can not be converted to a Structure",
		`7`:                        "NUMBER_VALUE can not be converted to a Structure",
		`x`:                        "Unexpected character",
		`{`:                        "Unexpected end of the request",
		`{"a"`:                     "Unexpected end of the request",
		`{"a":`:                    "Unexpected end of the request",
		`{"a":1`:                   "Unexpected end of the request",
		`{"a":"`:                   "Unexpected end of the request",
		`{"a":"\`:                  "Unexpected end of the request",
		`{"a":"\"`:                 "Unexpected end of the request",
		`{"a":"\u00`:               "An escape in a string is no character",
		`{"a":1,}`:                 "Unexpected comma",
		`{"a":1;"b":2}`:            "Expected a comma or the end of a structure or list",
		`{"a":[1;2]}`:              "Expected a comma or the end of a structure or list",
		`{,"a":1}`:                 "Expected the name of a member",
		`{"a":1 "b":2}`:            "Expected a comma or the end of a structure or list",
		`{"a":1,,"b":2}`:           "Expected the name of a member",
		`{"a" 1}`:                  "Expected a colon after the name of a member",
		`{a:1}`:                    "Expected the name of a member",
		`{'a':1}`:                  "Expected the name of a member",
		`{"a":1}}`:                 "Unexpected data after the request's value",
		`{"a":1}{}`:                "Unexpected data after the request's value",
		`{"a":1} x`:                "Unexpected data after the request's value",
		"{}\x00":                   "Unexpected data after the request's value",
		"\ufeff{}":                 "Unexpected character",
		`{"a":[1,]}`:               "Unexpected comma",
		`{"a":[1 2]}`:              "Expected a comma or the end of a structure or list",
		`{"a":[1}`:                 "Expected a comma or the end of a structure or list",
		`{"a":01}`:                 "Expected a comma or the end of a structure or list",
		`{"a":+1}`:                 "Unexpected character",
		`{"a":.5}`:                 "Unexpected character",
		`{"a":-}`:                  "A number is malformed",
		`{"a":1.}`:                 "A number is malformed",
		`{"a":1e}`:                 "A number is malformed",
		`{"a":NaN}`:                "Unexpected character",
		`{"a":tru}`:                "Unexpected character",
		`{"a":nul}`:                "Unexpected character",
		`{"a":1,"a":2}`:            "A member is given twice",
		`{"a":1,"\u0061":2}`:       "A member is given twice",
		`{"x":{"a":1,"a":1}}`:      "A member is given twice",
		`{"x":[{"a":1,"a":1}]}`:    "A member is given twice",
		"{\"a\":\"\xff\"}":         "A string is not valid UTF-8",
		"{\"\xc3\x28\":1}":         "A string is not valid UTF-8",
		"{\"a\":\"\\n\xff\"}":      "A string is not valid UTF-8",
		"{\"a\":\"\xed\xa0\x80\"}": "A string is not valid UTF-8",
		`{"a":"\ud800"}`:           "An escape in a string is no character",
		`{"a":"\ud800x"}`:          "An escape in a string is no character",
		`{"a":"\ud800\ud800"}`:     "An escape in a string is no character",
		`{"a":"\udc00\ud800"}`:     "An escape in a string is no character",
		`{"a":"\ud83d\u"}`:         "An escape in a string is no character",
		`{"a":"\uZZZZ"}`:           "An escape in a string is no character",
		`{"a":"\x"}`:               "An escape in a string is unknown",
		"{\"a\":\"\n\"}":           "A control character in a string is not escaped",
		"{\"a\":\"\\n\x00\"}":      "A control character in a string is not escaped",
		"{\"a\v:1}":                "A control character in a string is not escaped",
		`{"a":` + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth) + `}`: "The request nests too deeply",
		strings.Repeat(`{"a":`, maxDepth+1) + "1" + strings.Repeat(`}`, maxDepth+1):   "The request nests too deeply",
		strings.Repeat(`{"a":`, 1_000_000):                                            "The request nests too deeply",
	} {
		err := readAny(body)
		e, _ := err.(*awserr.Error)
		if e == nil || e.Code != "SerializationException" || e.HTTPStatus() != 400 || e.Message != want && !strings.HasPrefix(e.Message, want+" (at byte ") {
			if len(body) > 100 {
				body = body[:100] + "…"
			}
			t.Errorf("%s: %v; want %s", body, err, want)
		}
	}
}

// TestManyNames finds a name that comes twice among very many, which would take
// minutes if each were compared with each.
func TestManyNames(t *testing.T) {
	var body bytes.Buffer
	body.WriteString(`{"x":0`)
	for i := range 30_000 {
		fmt.Fprintf(&body, `,"%d":0`, i)
	}
	if err := readAny(body.String() + "}"); err != nil {
		t.Fatal(err)
	}
	for _, twice := range []string{"x", "5", "20", "29999"} {
		if err := readAny(body.String() + `,"` + twice + `":0}`); err == nil {
			t.Errorf("%s came twice and was taken", twice)
		}
	}
}

// one reads {"v":…} with read.
func one[T any](value string, read func(*JSON) T) (v T, err error) {
	d := ReadJSON([]byte(`{"v":` + value + `}`))
	for d.Object(); d.Next(); {
		v = read(&d)
	}
	return v, d.Close()
}

func TestScalars(t *testing.T) {
	for _, c := range []struct{ value, want string }{
		{`7`, "7"}, {`-0`, "0"}, {`2147483647`, "2147483647"}, {`-2147483648`, "-2147483648"},
		{`2147483648`, "A number is not an integer of 32 bits"}, {`-2147483649`, "A number is not an integer of 32 bits"},
		{`1.0`, "A number is not an integer of 32 bits"}, {`1e1`, "A number is not an integer of 32 bits"},
		{`"7"`, "STRING_VALUE can not be converted to an Integer"}, {`true`, "TRUE_VALUE can not be converted to an Integer"},
		{`false`, "FALSE_VALUE can not be converted to an Integer"}, {`null`, "NULL_VALUE can not be converted to an Integer"},
		{`{}`, "Start of structure or map found where not expected."}, {`[]`, "Start of list found where not expected."},
	} {
		v, err := one(c.value, (*JSON).Int32)
		if got := fmt.Sprint(v); err == nil && got != c.want || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("Int32 of %s = %v, %v; want %s", c.value, v, err, c.want)
		}
	}
	for value, want := range map[string]bool{`true`: true, `false`: false} {
		if v, err := one(value, (*JSON).Bool); v != want || err != nil {
			t.Errorf("Bool of %s = %v, %v", value, v, err)
		}
	}
	if _, err := one(`1`, (*JSON).Bool); err == nil || !strings.Contains(err.Error(), "NUMBER_VALUE can not be converted to a Boolean") {
		t.Errorf("Bool of 1: %v", err)
	}
	if _, err := one(`1`, (*JSON).Text); err == nil || !strings.Contains(err.Error(), "NUMBER_VALUE can not be converted to a String") {
		t.Errorf("Text of 1: %v", err)
	}
}

func TestBlob(t *testing.T) {
	for value, want := range map[string]string{
		`""`: "", `"AA=="`: "\x00", `"AAA="`: "\x00\x00", `"AAAA"`: "\x00\x00\x00", `"+/+/"`: "\xfb\xff\xbf",
		`"\/\/8="`: "\xff\xff", `"\u0041AAA"`: "\x00\x00\x00",
	} {
		v, err := one(value, (*JSON).Blob)
		if err != nil || v == nil || string(v) != want {
			t.Errorf("Blob of %s = %q, %v", value, v, err)
		}
	}
	for _, value := range []string{
		`"AA"`, `"AA="`, `"AAA"`, `"A"`, `"===="`, `"AB=="`, `"AAB="`, `"AA==AA=="`, `"-_-_"`, `"AA A"`, `"AAAA "`,
		`"AA\nAA"`, `"AAAA\r\n"`, "\"AA\nAA\"", "\"AA\x00A\"", `"AA\u000aAA"`, `"é==="`, "\"\xff\xff\xff\xff\"", `"AAAA`, `7`, `[]`,
	} {
		if v, err := one(value, (*JSON).Blob); err == nil {
			t.Errorf("Blob of %s = %q, and no error", value, v)
		}
	}
}

// Blobs that share the room of an input have nothing else in common.
func TestBlobsInRoom(t *testing.T) {
	var texts []string
	for i, size := range []int{0, 1, 32, 64, 4096, 90, 3, 2, 1, 1} {
		texts = append(texts, strings.Repeat(string(rune('a'+i)), size))
	}
	body := []byte{'['}
	for i, text := range texts {
		if i > 0 {
			body = append(body, ',')
		}
		body = AppendBlob(body, []byte(text))
	}
	room := new(Room)
	d := ReadJSONInto(room, append(body, ']'))
	var blobs [][]byte
	for d.Array(); d.Element(); {
		blobs = append(blobs, d.Blob())
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range blobs {
		_ = append(blobs[i], "beyond"...)
	}
	for i := range blobs {
		if blobs[i] == nil || string(blobs[i]) != texts[i] {
			t.Errorf("blob %d is %q", i, blobs[i])
		}
	}
	if room[0] != 'b' {
		t.Error("the room was not used")
	}
}

func TestTime(t *testing.T) {
	for value, want := range map[string]string{
		`0`: "1970-01-01T00:00:00Z", `1477431461`: "2016-10-25T21:37:41Z", `1.477431461E9`: "2016-10-25T21:37:41Z",
		`1477431461.999`: "2016-10-25T21:37:41.999Z", `1477431461.001`: "2016-10-25T21:37:41.001Z", `1477431461.0019`: "2016-10-25T21:37:41.002Z",
		`-1.5`: "1969-12-31T23:59:58.5Z", `253402300799`: "9999-12-31T23:59:59Z", `-62135596800`: "0001-01-01T00:00:00Z",
	} {
		v, err := one(value, (*JSON).Time)
		if got := v.Format(time.RFC3339Nano); err != nil || got != want {
			t.Errorf("Time of %s = %s, %v; want %s", value, got, err, want)
		}
	}
	for _, value := range []string{`253402300800`, `-62135596801`, `1e400`, `"2016-10-25T21:37:41Z"`, `true`, `{}`} {
		if v, err := one(value, (*JSON).Time); err == nil {
			t.Errorf("Time of %s = %s, and no error", value, v)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		want := time.UnixMilli(rapid.Int64Range(minSeconds*1000, maxSeconds*1000).Draw(t, "ms")).UTC()
		got, err := one(string(AppendTime(nil, want)), (*JSON).Time)
		if err != nil || !got.Equal(want) {
			t.Fatalf("%s came back as %s, %v", want, got, err)
		}
	})
}

func TestStringMap(t *testing.T) {
	m, err := one(`{"b":"2","a":"1","":"\u0000"}`, (*JSON).StringMap)
	if err != nil || fmt.Sprintf("%q", m) != `map["":"\x00" "a":"1" "b":"2"]` {
		t.Errorf("%q, %v", m, err)
	}
	for _, value := range []string{`{"a":"1","a":"1"}`, `{"a":"1","\u0061":"1"}`, `{"a":null}`, `{"a":1}`, `{"a":{}}`, `[]`, `"x"`} {
		if m, err := one(value, (*JSON).StringMap); err == nil {
			t.Errorf("%s = %q, and no error", value, m)
		}
	}
}

// TestStringsComeBack holds both directions against encoding/json.
func TestStringsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s")
		ours := string(AppendString(nil, s))
		var theirs string
		if err := json.Unmarshal([]byte(ours), &theirs); err != nil || theirs != s {
			t.Fatalf("%q was written as %s", s, ours)
		}
		written, _ := json.Marshal(s)
		got, err := one(string(written), func(d *JSON) string { return string(d.Text()) })
		if err != nil || got != s {
			t.Fatalf("%s was read as %q, %v", written, got, err)
		}
	})
	if got := string(AppendString(nil, "a\xffb\xc3")); got != "\"a\uFFFDb\uFFFD\"" {
		t.Errorf("bytes that are not UTF-8 were written as %q", got)
	}
}

// FuzzJSON holds the reader against encoding/json: what it takes, encoding/json
// takes too; what it refuses is invalid there or for one of our stricter reasons.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"a":[1,2.5e-3,"x\u00e9\ud83d\ude00",null,true,{"b":{}}]}`, `{"a":1,"a":1}`, `{"a":"\ud800"}`, "{\"a\":\"\xff\"}", `{"a":}`, `[]`, `{"a":1}x`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		err := readAny(string(body))
		if err == nil {
			if len(body) > 0 && (!json.Valid(body) || !utf8.Valid(body)) {
				t.Fatalf("took %q", body)
			}
			return
		}
		stricter := false
		for _, reason := range []string{"UTF-8", "no character", "nests", "twice", "converted to a Structure", "Start of list"} {
			stricter = stricter || strings.Contains(err.Error(), reason)
		}
		if !stricter && json.Valid(body) {
			t.Fatalf("refused %q: %v", body, err)
		}
	})
}
