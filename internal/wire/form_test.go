package wire

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestForm(t *testing.T) {
	f := ReadForm([]byte("Action=AssumeRole&Version=2011-06-15&Name=a+b%2Bc%C3%A9&Empty=&Bare&Days=900&&" +
		"Tags.member.10.Key=ten&Tags.member.2.Key=two&Tags.member.2.Value=zwei&Tags.member.1.Key=one&None=&At.Key=x"))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"Action": "AssumeRole", "Name": "a b+cé", "Empty": "", "Bare": ""} {
		if v, ok := f.Text(name); !ok || v != want {
			t.Errorf("%s = %q, %v", name, v, ok)
		}
	}
	if _, ok := f.Text("Absent"); ok {
		t.Error("Absent is there")
	}
	if n, ok := f.Int32("Days"); n != 900 || !ok {
		t.Errorf("Days = %d, %v", n, ok)
	}
	if got := fmt.Sprint(f.List("Tags")); got != "[Tags.member.1 Tags.member.2 Tags.member.10]" {
		t.Errorf("Tags = %s", got)
	}
	if got := f.List("None"); got == nil || len(got) != 0 {
		t.Errorf("None = %v; want an empty list", got)
	}
	if got := f.List("Absent"); got != nil {
		t.Errorf("Absent = %v; want nil", got)
	}
	if !f.Struct("At") || f.Struct("Absent") || f.Struct("None") {
		t.Error("Struct is wrong")
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func TestFormScalars(t *testing.T) {
	f := ReadForm([]byte("Yes=true&No=false&At=2026-01-02T03:04:05%2B01:00&Fine=2026-01-02T03:04:05.25Z"))
	if b, ok := f.Bool("Yes"); !b || !ok {
		t.Errorf("Yes = %v, %v", b, ok)
	}
	if b, ok := f.Bool("No"); b || !ok {
		t.Errorf("No = %v, %v", b, ok)
	}
	if _, ok := f.Bool("Absent"); ok {
		t.Error("Absent is a boolean")
	}
	for name, want := range map[string]time.Time{
		"At":   time.Date(2026, 1, 2, 2, 4, 5, 0, time.UTC),
		"Fine": time.Date(2026, 1, 2, 3, 4, 5, 250e6, time.UTC),
	} {
		if at, ok := f.Time(name); at != want || !ok {
			t.Errorf("%s = %v, %v", name, at, ok)
		}
	}
	if _, ok := f.Time("Absent"); ok {
		t.Error("Absent is a timestamp")
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	for _, body := range []string{"x=True", "x=1", "x=", "x.y=true"} {
		f := ReadForm([]byte(body))
		if _, ok := f.Bool("x"); ok || f.Close() == nil {
			t.Errorf("%s was taken for a boolean", body)
		}
	}
	for _, body := range []string{"x=1767322800", "x=2026-01-02", "x=2026-13-02T03:04:05Z", "x=", "x.y=2026-01-02T03:04:05Z"} {
		f := ReadForm([]byte(body))
		if _, ok := f.Time("x"); ok || f.Close() == nil {
			t.Errorf("%s was taken for a timestamp", body)
		}
	}
}

func TestFormRefuses(t *testing.T) {
	many := ""
	for i := range maxParams + 1 {
		many += fmt.Sprintf("&x%d=", i)
	}
	for body, want := range map[string]string{
		"a=1&a=1": "twice", "a=1&%61=2": "twice", "a=%": "percent", "a=%4": "percent", "a=%zz": "percent", "%g1=a": "percent",
		"a=%ff": "UTF-8", "a=\xff": "UTF-8", "%c3=": "UTF-8", "a=%ed%a0%80": "UTF-8", many: "too many",
	} {
		if err := ReadForm([]byte(body)).Close(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v; want %s", body, err, want)
		}
	}
	for body, read := range map[string]func(*Form){
		"a=x":                             func(f *Form) { f.Int32("a") },
		"a=":                              func(f *Form) { f.Int32("a") },
		"a=2147483648":                    func(f *Form) { f.Int32("a") },
		"a=1.0":                           func(f *Form) { f.Int32("a") },
		"a.b=1":                           func(f *Form) { f.Text("a") },
		"b=1":                             func(f *Form) { f.Struct("b") },
		"l.member.x=1":                    func(f *Form) { f.List("l") },
		"l.member.0=1":                    func(f *Form) { f.List("l") },
		"l.member.01=":                    func(f *Form) { f.List("l") },
		"l.member.+1=":                    func(f *Form) { f.List("l") },
		"l.member.-1=":                    func(f *Form) { f.List("l") },
		"l.member.=1":                     func(f *Form) { f.List("l") },
		"l.1=1":                           func(f *Form) { f.List("l") },
		"l=x":                             func(f *Form) { f.List("l") },
		"l=&l.member.1=a":                 func(f *Form) { f.List("l") },
		"l.member.99999999999999999999=1": func(f *Form) { f.List("l") },
	} {
		f := ReadForm([]byte(body))
		if err := f.Close(); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		read(f)
		if f.Close() == nil {
			t.Errorf("%s was taken", body)
		}
	}
}

// TestFormComesBack holds the parser against net/url's writer.
func TestFormComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.MapOfN(rapid.StringN(1, -1, -1), rapid.String(), 0, 20).Draw(t, "form")
		values := url.Values{}
		for k, v := range want {
			values.Set(k, v)
		}
		f := ReadForm([]byte(values.Encode()))
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if len(f.params) != len(want) {
			t.Fatalf("%d parameters of %d", len(f.params), len(want))
		}
		for k, v := range want {
			if got, ok := f.Value(k); !ok || got != v {
				t.Fatalf("%q = %q, %v; want %q", k, got, ok, v)
			}
		}
	})
}

// FuzzForm holds the parser against net/url's: what it takes reads the same there.
func FuzzForm(f *testing.F) {
	for _, seed := range []string{"Action=GetCallerIdentity&Version=2011-06-15", "a=%41+b&c", "a=1&a=2", "%", "a=%ff", "l.member.1.Key=x"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		form := ReadForm(body)
		for _, name := range []string{"a", "l", "Tags"} {
			form.Int32(name)
			form.List(name)
			form.Struct(name)
		}
		if form.Close() != nil {
			return
		}
		if !utf8.Valid(body) {
			t.Fatalf("took %q", body)
		}
		// net/url refuses semicolons, which neither AWS nor we treat as special.
		theirs, err := url.ParseQuery(strings.ReplaceAll(string(body), ";", "%3B"))
		if err != nil {
			t.Fatalf("took %q: %v", body, err)
		}
		if len(theirs) != len(form.params) {
			t.Fatalf("%q: %d parameters, net/url reads %d", body, len(form.params), len(theirs))
		}
		for _, p := range form.params {
			if v := theirs[p.name]; len(v) != 1 || v[0] != p.value {
				t.Fatalf("%q: %q = %q, net/url reads %q", body, p.name, p.value, v)
			}
		}
	})
}
