package policy

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestPattern(t *testing.T) {
	for _, tt := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true}, {"", "a", false}, {"a", "a", true}, {"a", "b", false}, {"a", "aa", false},
		{"*", "", true}, {"*", "abc", true}, {"**", "", true}, {"*****", "x", true},
		{"?", "", false}, {"?", "a", true}, {"?", "ab", false}, {"?", "é", true}, {"??", "é", false}, {"?", "😀", true},
		{"a*", "a", true}, {"a*", "abc", true}, {"a*", "ba", false},
		{"*a", "a", true}, {"*a", "bca", true}, {"*a", "ab", false},
		{"a*a", "a", false}, {"a*a", "aa", true}, {"a*a", "aba", true},
		{"ab*ba", "aba", false}, {"ab*ba", "abba", true},
		{"a*b*c", "abc", true}, {"a*b*c", "axxbxxc", true}, {"a*b*c", "acb", false}, {"a*b*c", "ac", false},
		{"*ab*", "xxabxx", true}, {"*ab*", "xxaxb", false}, {"*a?c*", "xaxxabc", true}, {"*a?c*", "xaxxabb", false},
		{"?*", "", false}, {"?*", "x", true}, {"*?", "", false}, {"*?", "xy", true}, {"*?*?*", "x", false}, {"*?*?*", "xy", true},
		{"a?", "ab", true}, {"a?*c?", "abcd", true}, {"a?*c?", "acd", false}, {"*?é", "éé", true}, {"*?é", "é", false},
		{"arn:aws:kms:*:111122223333:key/*", "arn:aws:kms:us-east-1:111122223333:key/x", true},
		{"arn:aws:kms:*:111122223333:key/*", "arn:aws:kms:us-east-1:111122223333:alias/x", false},
	} {
		p := compilePattern(wildcards(nil, tt.pattern))
		if got := p.match(tt.text); got != tt.want {
			t.Errorf("%q on %q: %v", tt.pattern, tt.text, got)
		}
	}
}

// TestPatternRandom compares both matchers with recursion, on words of a small
// alphabet and patterns that are long enough for every way of searching.
func TestPatternRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	word := func(alphabet []rune, n int) string {
		var b strings.Builder
		for range r.IntN(n + 1) {
			b.WriteRune(alphabet[r.IntN(len(alphabet))])
		}
		return b.String()
	}
	matched := 0
	for range 10_000 {
		text := word([]rune("aab"), 150)
		pattern := []rune(text)
		if r.IntN(4) == 0 {
			pattern = []rune(word([]rune("ab*?"), 12))
		}
		// Turn a text into a pattern that nearly matches it.
		for range r.IntN(6) {
			if len(pattern) == 0 {
				break
			}
			i := r.IntN(len(pattern))
			j := i + r.IntN(min(len(pattern)-i, 8)+1)
			switch r.IntN(4) {
			case 0:
				pattern = append(append(append([]rune{}, pattern[:i]...), '*'), pattern[j:]...)
			case 1:
				pattern[i] = '?'
			case 2:
				pattern[i] = 'b'
			default:
				pattern = append([]rune{'*'}, pattern[i:]...)
			}
		}
		if r.IntN(2) == 0 {
			text = strings.ReplaceAll(text, "b", "é")
			pattern = []rune(strings.ReplaceAll(string(pattern), "b", "é"))
		}
		tokens, _ := naiveTokens(string(pattern), false, true, nil)
		want := reference(tokens, []rune(text))
		p := compilePattern(wildcards(nil, string(pattern)))
		if got := p.match(text); got != want {
			t.Fatalf("%q on %q: %v", string(pattern), text, got)
		}
		if got := matchAction(strings.ToLower(string(pattern)), strings.ToUpper(text)); !strings.Contains(text, "é") && got != want {
			t.Fatalf("action %q on %q: %v", string(pattern), text, got)
		}
		if want {
			matched++
		}
	}
	if matched < 1000 || matched > 9000 {
		t.Errorf("%d of 10,000 matched: the words are badly chosen", matched)
	}
}

// reference matches by filling a table.
func reference(p []naiveToken, s []rune) bool {
	row := make([]bool, len(s)+1)
	row[0] = true
	for _, t := range p {
		next := make([]bool, len(s)+1)
		next[0] = t.star && row[0]
		for i := 1; i <= len(s); i++ {
			switch {
			case t.star:
				next[i] = row[i] || next[i-1]
			case t.any || t.char == s[i-1]:
				next[i] = row[i-1]
			}
		}
		row = next
	}
	return row[len(s)]
}

// TestPatternWork holds the matcher to its bound on texts and patterns made to
// backtrack.
func TestPatternWork(t *testing.T) {
	const n = 8192
	text := strings.Repeat("a", n)
	for _, pattern := range []string{
		strings.Repeat("*", 4096) + "b",
		strings.Repeat("a*", 4096) + "b",
		strings.Repeat("*a", 4000) + "*b*",
		strings.Repeat("*?", 4000) + "b*",
		strings.Repeat("?*", 4000) + "b",
		strings.Repeat("*?a", 2000) + "*b",
		strings.Repeat("*?aaaaaaaaaaaaab", 100) + "*",
		"*" + strings.Repeat("?a", 20) + "b*",
		"*" + strings.Repeat("a?", 30) + "*" + strings.Repeat("?", 40) + "b*",
	} {
		p := compilePattern(wildcards(nil, pattern))
		work := 0
		if p.matchCounting(text, &work) {
			t.Errorf("%.20q… matches", pattern)
		}
		if limit := 2*longSegment*n + 2*len(pattern); work > limit {
			t.Errorf("%.20q…: work %d, limit %d", pattern, work, limit)
		}
	}
	// The longest '?' segment that can match costs a 64th of the product.
	p := compilePattern(wildcards(nil, "*"+strings.Repeat("?a", n/4)+"b*"))
	work := 0
	if p.matchCounting(text, &work) || work > n*(n/2/64+2) {
		t.Errorf("long segment: work %d", work)
	}
}
