package main

import (
	"regexp"
	"testing"
)

func TestPatternsTranslate(t *testing.T) {
	for _, c := range []struct {
		pattern string
		class   bool
		yes, no []string
	}{
		{`^[a-zA-Z0-9:/_-]+$`, true, []string{"alias/a_b-C:9"}, []string{"", "a b", "a\n", "é"}},
		{`[\w]+`, true, []string{"a_9"}, []string{"", "é", "a-b"}},
		{`[\d]*`, true, []string{"", "09"}, []string{"a", "٣"}},
		{`^[a-zA-Z0-9:/_\s.-]+$`, true, []string{"a b\tc\v\n\f\r"}, []string{"", "\u00a0", "\x85"}},
		{`[\u0020-\u00FF]*`, true, []string{"", "aÿ"}, []string{"Ā", "\t", "😀"}},
		{`[\u0009\u000A\u000D\u0020-\u00FF]+`, true, []string{"{\n\t}\r"}, []string{"\x00", "\v", "Ā"}},
		{`[\u0009\u000A\u000D\u0020-\u007E\u0085\u00A0-\uD7FF\uE000-\uFFFD\u10000-\u10FFFF]+`, true, []string{"arn:é😀\U0010FFFF\u0085"}, []string{"\x7f", "\u0080", "\uFFFE", "\x00"}},
		{`[\p{L}\p{Z}\p{N}_.:/=+\-@]+`, true, []string{"Größe 1_.:/=+-@", "٣"}, []string{"", "a,b", "a\n"}},
		{`^[a-zA-Z0-9-_.]+$`, true, []string{"a-_."}, []string{":", "@"}},
		{`^[a-zA-Z0-9\/+=]+$`, true, []string{"ab/+="}, []string{"a-b"}},
		{`[\w+=,.@\:-]*`, true, []string{"", "a+=,.@:-"}, []string{"/"}},
		{`^([a-z]+-){2,3}\d+$`, false, []string{"us-east-1", "us-gov-east-10"}, []string{"us-1", "us-east-", "us-east-1\n", "xus-east-1 "}},
		{`^(/[a-z]+/v\d{1,2})$|^(/v\d{1,2})$`, false, []string{"/a/v1", "/v10"}, []string{"/v100", "x/v1", "/a/v1/v1"}},
		{`cluster-[2-7a-zA-Z]{11,16}`, false, []string{"cluster-abcdefghijk"}, []string{"cluster-abc", "xcluster-abcdefghijk", "cluster-abcdefghijk1"}},
		{`^arn:.+$`, false, []string{"arn:x y"}, []string{"arn:", "arn:x\ny", "arn:\u2028", "arn:\u0085"}},
		{`^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$`, false,
			[]string{"abc", "a-b", "ab-c", "a-b-c", "ab-cd", "abcd-efgh-1"},
			[]string{"", "a", "ab", "a-", "-ab", "ab-", "a--b", "ab--c", "a-b--c", "A-b", "abc\n"}},
		{`[0-9]{12}`, false, []string{"111122223333"}, []string{"1", "1111222233334"}},
		{`^(com|eu)\.aws$`, false, []string{"com.aws"}, []string{"comxaws", "de.aws"}},
	} {
		p, err := parsePattern(c.pattern)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		if p.Class != c.class {
			t.Errorf("%s: Class is %v", c.pattern, p.Class)
		}
		re := regexp.MustCompile(p.Go)
		check := func(s string, want bool) {
			if re.MatchString(s) != want {
				t.Errorf("%s on %q: not %v (%s)", c.pattern, s, want, p.Go)
			}
			if !p.Class {
				return
			}
			in := len(s) >= p.MinRunes
			for _, r := range s {
				if r > 127 {
					return // the table leaves these to the expression
				}
				in = in && p.ASCII[r/64]&(1<<(r%64)) != 0
			}
			if in != want {
				t.Errorf("%s on %q: the table says %v", c.pattern, s, in)
			}
		}
		for _, s := range c.yes {
			check(s, true)
		}
		for _, s := range c.no {
			check(s, false)
		}
	}
}

func TestPatternsRefused(t *testing.T) {
	for _, pattern := range []string{
		`(?!aws:)[a-z]+`, `(?=x)x`, `(?<!a)b`, `(?i)a`, `a++`, `a*+`, `a{2}+`, `[a-z&&[^b]]`, `[a[b]]`, `\Qa\E`, `\bword`, `\h`, `\p{IsLatin}`,
		`\p{Alpha}`, `\pL`, `\u12`, `\uZZZZ`, `a\`, `\s+`, `(a)\1`, `[b-a]`, `(a`, `\x41`,
	} {
		if p, err := parsePattern(pattern); err == nil {
			t.Errorf("%s was translated to %s", pattern, p.Go)
		}
	}
}
