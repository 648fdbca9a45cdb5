package wire

import (
	"strings"
	"testing"
)

var (
	word = Text{Length: Length{Min: 1, Max: 3}, Pattern: &Pattern{
		Text: `^[a-c]+$`, Expr: `\A(?:^[a-c]+$)\z`, Class: true, ASCII: [2]uint64{0, 0xe << 32}, MinRunes: 1,
	}}
	color = Text{Length: Length{Min: -1, Max: -1}, Values: []string{"RED", "BLUE"}}
	pin   = Text{Length: Length{Min: 4, Max: 4}, Sensitive: true}
)

func TestTexts(t *testing.T) {
	at := &Path{Parent: &Path{Name: "config"}, Name: "tags", Index: 2}
	for want, break_ := range map[string]func(*Violations){
		"": func(c *Violations) {
			c.String(nil, "x", "abc", &word)
			c.String(nil, "x", "RED", &color)
			c.String(nil, "x", "1234", &pin)
			c.Blob(nil, "x", 3, Length{1, 3})
			c.Int(nil, "x", 5, &Range{Min: 5, HasMin: true})
			c.Int(nil, "x", -5, &Range{Max: 5, HasMax: true})
			c.Given(nil, "x", true)
			StringList(c, nil, "x", []string{"a", "b"}, Length{0, 2}, &word)
			StringMap(c, nil, "x", map[string]string{"a": "b"}, &word, &word)
		},
		"1 validation error detected: Value null at 'keyId' failed to satisfy constraint: Member must not be null": func(c *Violations) { c.Given(nil, "keyId", false) },
		"2 validation errors detected: Value '' at 'x' failed to satisfy constraint: Member must have length greater than or equal to 1; " +
			"Value '' at 'x' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-c]+$": func(c *Violations) { c.String(nil, "x", "", &word) },
		"2 validation errors detected: Value 'abcd' at 'x' failed to satisfy constraint: Member must have length less than or equal to 3; " +
			"Value 'abcd' at 'x' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-c]+$": func(c *Violations) { c.String(nil, "x", "abcd", &word) },
		"1 validation error detected: Value 'é' at 'x' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-c]+$": func(c *Violations) { c.String(nil, "x", "é", &word) },
		"1 validation error detected: Value 'GREEN' at 'x' failed to satisfy constraint: Member must satisfy enum value set: [RED, BLUE]":      func(c *Violations) { c.String(nil, "x", "GREEN", &color) },
		"1 validation error detected: Value '' at 'x' failed to satisfy constraint: Member must satisfy enum value set: [RED, BLUE]":           func(c *Violations) { c.String(nil, "x", "", &color) },
		"1 validation error detected: Value at 'x' failed to satisfy constraint: Member must have length less than or equal to 4":              func(c *Violations) { c.String(nil, "x", "12345", &pin) },
		"1 validation error detected: Value at 'x' failed to satisfy constraint: Member must have length greater than or equal to 4":           func(c *Violations) { c.String(nil, "x", "123", &pin) },
		"1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096":   func(c *Violations) { c.Blob(nil, "plaintext", 4097, Length{1, 4096}) },
		"1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length greater than or equal to 1":   func(c *Violations) { c.Blob(nil, "plaintext", 0, Length{1, 4096}) },
		"1 validation error detected: Value at 'tags' failed to satisfy constraint: Member must have length less than or equal to 50":          func(c *Violations) { c.List(nil, "tags", 51, Length{-1, 50}) },
		"1 validation error detected: Value '2561' at 'days' failed to satisfy constraint: Member must have value less than or equal to 2560":  func(c *Violations) { c.Int(nil, "days", 2561, &Range{Max: 2560, HasMax: true}) },
		"1 validation error detected: Value '-1' at 'days' failed to satisfy constraint: Member must have value greater than or equal to 0":    func(c *Violations) { c.Int(nil, "days", -1, &Range{HasMin: true}) },
		"1 validation error detected: Value null at 'config.tags.2.member.tagKey' failed to satisfy constraint: Member must not be null":       func(c *Violations) { c.Given(at, "tagKey", false) },
		"1 validation error detected: Value '[RED, PINK]' at 'x' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [RED, BLUE]]": func(c *Violations) {
			StringList(c, nil, "x", []string{"RED", "PINK"}, Length{-1, -1}, &color)
		},
		"2 validation errors detected: Value '[a, x]' at 'x' failed to satisfy constraint: Member must have length less than or equal to 1; " +
			"Value '[a, x]' at 'x' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 3, " +
			"Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: ^[a-c]+$]": func(c *Violations) {
			StringList(c, nil, "x", []string{"a", "x"}, Length{0, 1}, &word)
		},
		"1 validation error detected: Value '[]' at 'x' failed to satisfy constraint: Member must have length greater than or equal to 1": func(c *Violations) {
			StringList(c, nil, "x", []string{}, Length{1, -1}, &word)
		},
		"1 validation error detected: Value at 'x' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 4, Member must have length greater than or equal to 4]": func(c *Violations) {
			StringList(c, nil, "x", []string{"12345"}, Length{-1, -1}, &pin)
		},
		"2 validation errors detected: Value '{a=z, y=b}' at 'x' failed to satisfy constraint: Map keys must satisfy constraint: [Member must have length less than or equal to 3, " +
			"Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: ^[a-c]+$]; " +
			"Value '{a=z, y=b}' at 'x' failed to satisfy constraint: Map value must satisfy constraint: [Member must have length less than or equal to 3, " +
			"Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: ^[a-c]+$]": func(c *Violations) {
			StringMap(c, nil, "x", map[string]string{"a": "z", "y": "b"}, &word, &word)
		},
		"1 validation error detected: Value at 'x' failed to satisfy constraint: Map value must satisfy constraint: [Member must have length less than or equal to 4, Member must have length greater than or equal to 4]": func(c *Violations) {
			StringMap(c, nil, "x", map[string]string{"a": "12345"}, &word, &pin)
		},
	} {
		var c Violations
		break_(&c)
		got := ""
		if err := c.Err(); err != nil {
			got = strings.TrimPrefix(err.Error(), "ValidationException: ")
		}
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// TestLengthCountsCodePoints: four bytes, two UTF-16 units, one character.
func TestLengthCountsCodePoints(t *testing.T) {
	text := Text{Length: Length{Min: 2, Max: 3}}
	for s, want := range map[string]bool{"😀": false, "😀é": true, "😀😀😀": true, "😀😀😀😀": false, "ab": true, "a": false, "abcd": false, "éé": true} {
		if got := text.ok(s); got != want {
			t.Errorf("%q: %v", s, got)
		}
	}
}

// TestPatternClass holds the table of a class against its expression.
func TestPatternClass(t *testing.T) {
	for _, s := range []string{"", "a", "abcabc", "d", "a\n", "ab\x00", "é", "aé", "A"} {
		plain := Pattern{Expr: word.Pattern.Expr}
		if fast, slow := word.Pattern.match(s), plain.match(s); fast != slow {
			t.Errorf("%q: the table says %v, the expression %v", s, fast, slow)
		}
	}
}

func TestClausesAreBounded(t *testing.T) {
	var c Violations
	for range 10 * maxClauses {
		c.Given(nil, "x", false)
	}
	if !c.Full() || !strings.HasPrefix(c.Err().Error(), "ValidationException: 100 validation errors detected: ") {
		t.Errorf("%.100s", c.Err())
	}
}
