package main

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// A javaPattern is a constraint's regular expression in the forms that the
// generated code checks it in. AWS's models write Java's syntax, and Java matches
// the whole value.
type javaPattern struct {
	// Text is the model's, as validation texts show it.
	Text string
	// Go is the same language in Go's syntax, anchored at both ends.
	Go string
	// Class is set when the pattern is one character class, repeated: then values
	// of ASCII alone, which are nearly all, need no regular expression.
	Class bool
	ASCII [2]uint64 // bit c is set when the class has the ASCII character c
	// MinRunes is how often the class must appear at least: 0 for *, 1 for +.
	MinRunes int
}

// parsePattern translates Java's syntax to Go's and fails on what it does not
// know, so that no constraint is checked by accident as something else.
func parsePattern(text string) (*javaPattern, error) {
	body, known := byHand[text]
	var err error
	if !known {
		body, err = translate(text)
	}
	if err != nil {
		return nil, fmt.Errorf("pattern %s: %w", text, err)
	}
	p := &javaPattern{Text: text, Go: `\A(?:` + body + `)\z`}
	if _, err := regexp.Compile(p.Go); err != nil {
		return nil, fmt.Errorf("pattern %s: %w", text, err)
	}
	p.findClass(body)
	return p, nil
}

// byHand are the patterns that Go's regexp cannot take, written anew. Each holds
// the same values to be valid within the lengths of the shapes that carry it.
var byHand = map[string]string{
	// An account alias: 3 to 63 characters, no hyphen at either end and no two
	// in a row. That it has at most 63 is left to the shape's length.
	`^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$`: `[a-z0-9](?:-[a-z0-9]|[a-z0-9]-?[a-z0-9])(?:-?[a-z0-9])*`,
	// A cluster's or a backup's id, with Go's own group.
	`(?:cluster|backup)-[2-7a-zA-Z]{11,16}`: `(?:cluster|backup)-[2-7a-zA-Z]{11,16}`,
}

// translate rewrites the escapes in which the two syntaxes differ.
func translate(text string) (string, error) {
	var out strings.Builder
	class := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\':
			if i+1 == len(text) {
				return "", fmt.Errorf("ends in a backslash")
			}
			i++
			switch e := text[i]; e {
			case 'u':
				n := 4
				// Java reads \u10000 as \u1000 and a 0. The models mean the code
				// point: the only such range runs to \u10FFFF.
				if rest := text[i+1:]; strings.HasPrefix(rest, "10000-\\u10FFFF") {
					n = 5
				} else if strings.HasPrefix(rest, "10FFFF") {
					n = 6
				}
				if len(text) < i+1+n || strings.Trim(text[i+1:i+1+n], "0123456789abcdefABCDEF") != "" {
					return "", fmt.Errorf(`\u needs four hexadecimal digits`)
				}
				out.WriteString(`\x{` + text[i+1:i+1+n] + `}`)
				i += n
			case 's': // Java's has the vertical tab, Go's has not
				if !class {
					return "", fmt.Errorf(`\s outside a class`)
				}
				out.WriteString(`\t\n\x0B\f\r `)
			case 'w', 'd': // ASCII in both
				out.WriteString(`\` + string(e))
			case 'p':
				end := strings.IndexByte(text[i:], '}')
				if end < 0 || text[i+1] != '{' {
					return "", fmt.Errorf(`\p without braces`)
				}
				switch name := text[i+2 : i+end]; name {
				case "L", "N", "Z", "M", "P", "S":
					out.WriteString(`\p{` + name + `}`)
				default:
					return "", fmt.Errorf(`\p{%s} is not known to be the same in Go`, name)
				}
				i += end
			default:
				if strings.IndexByte(`./:-@+*?()[]{}|^$=,_`, e) < 0 {
					return "", fmt.Errorf(`the escape \%c has no translation`, e)
				}
				out.WriteString(regexp.QuoteMeta(string(e)))
				if class && e == '-' {
					// QuoteMeta leaves '-' bare, which in a class may be a range.
					s := strings.TrimSuffix(out.String(), "-")
					out.Reset()
					out.WriteString(s + `\-`)
				}
			}
		case class && c == '[':
			return "", fmt.Errorf("a class within a class is Java's union")
		case class && c == '&' && strings.HasPrefix(text[i:], "&&"):
			return "", fmt.Errorf("&& is Java's intersection")
		case c == '[':
			class = true
			out.WriteByte(c)
		case c == ']':
			class = false
			out.WriteByte(c)
		case !class && c == '(' && strings.HasPrefix(text[i:], "(?"):
			return "", fmt.Errorf("groups of the form (?…) have no translation")
		case !class && strings.IndexByte("*+?}", c) >= 0 && i+1 < len(text) && text[i+1] == '+':
			return "", fmt.Errorf("possessive quantifiers have no translation")
		case !class && c == '.':
			// Java's dot leaves out more line ends than Go's.
			out.WriteString(`[^\n\r\x{85}\x{2028}\x{2029}]`)
		default:
			out.WriteByte(c)
		}
	}
	return out.String(), nil
}

// findClass sets Class when body is ^[…]+$ or the like.
func (p *javaPattern) findClass(body string) {
	re, err := syntax.Parse(strings.TrimSuffix(strings.TrimPrefix(body, "^"), "$"), syntax.Perl)
	if err != nil {
		return
	}
	switch re.Op {
	case syntax.OpStar:
	case syntax.OpPlus:
		p.MinRunes = 1
	default:
		return
	}
	class := re.Sub[0]
	if class.Op != syntax.OpCharClass {
		return
	}
	p.Class = true
	for i := 0; i < len(class.Rune); i += 2 {
		for r := class.Rune[i]; r <= class.Rune[i+1] && r < 128; r++ {
			p.ASCII[r/64] |= 1 << (r % 64)
		}
	}
}
